/* SPDX-License-Identifier: MIT
 * attention_cached.c - new queries on the keys and values of a sequence so far, kept in the layout the products want.
 */
#include "attention_internal.h"
#include "base/arena.h"
#include "kernels/kernels.h"
#include "ops/attention.h"

#include <string.h>

/* A cache holds, head after head, K^T panels [ceil(max_len/nr)][d][nr] and V panels [ceil(d/nr)][max_len][nr]. */
static size_t head_cache_floats(size_t max_len, size_t d)
{
    return (attention__panels_bytes(d, max_len) + attention__panels_bytes(max_len, d)) / sizeof(float);
}

size_t attention_cache_bytes(size_t max_len, size_t kv_heads, size_t head_dim)
{
    return kv_heads * head_cache_floats(max_len, head_dim) * sizeof(float);
}

size_t attention_cached_scratch_bytes(size_t max_len, size_t window)
{
    return arena_piece_bytes(
        ATTENTION_BAND * attention__widest_row(max_len, window, ATTENTION_BAND + kernels_get()->nr) * sizeof(float));
}

void attention_cache_put(const struct attention_cache *c, size_t pos, const float *key, const float *value,
                         struct share which)
{
    const size_t nr = kernels_get()->nr, d = c->head_dim;
    for (size_t h = which.begin; h < which.end; h++) {
        float *keys = c->data + h * head_cache_floats(c->max_len, d);
        float *values = keys + attention__panels_bytes(d, c->max_len) / sizeof(float);
        for (size_t i = 0; i < d; i++) {
            keys[pos / nr * d * nr + i * nr + pos % nr] = key[h * d + i];
            values[i / nr * c->max_len * nr + pos * nr + i % nr] = value[h * d + i];
        }
    }
}

void attention_cached(struct sphere *me, const struct attention_cache *c, float *out, const float *q, size_t q_stride,
                      size_t pos, size_t n, struct share which)
{
    const struct kernels *kn = kernels_get();
    const size_t d = c->head_dim, A = c->heads * d, max_len = c->max_len, group = c->heads / c->kv_heads;
    const size_t P = attention__widest_row(max_len, c->window, ATTENTION_BAND + kn->nr),
                 mark = arena_mark(&me->scratch);
    const float scale = attention__scale(d);
    float *p = arena_alloc(&me->scratch, ATTENTION_BAND * P * sizeof(float));
    for (size_t h = which.begin; h < which.end; h++) {
        const float *keys = c->data + h / group * head_cache_floats(max_len, d);
        const float *values = keys + attention__panels_bytes(d, max_len) / sizeof(float);
        for (size_t q0 = 0; q0 < n; q0 += ATTENTION_BAND) {
            const size_t m = n - q0 < ATTENTION_BAND ? n - q0 : ATTENTION_BAND;
            const struct attention_view v = attention__view(NULL, pos + q0, m, c->window);
            attention__product(p, P, q + q0 * q_stride + h * d, q_stride, 1, keys + v.begin * d, d, m, v.end - v.begin,
                               d, false);
            for (size_t i = 0; i < m; i++) {
                const size_t at = pos + q0 + i, from = attention__first_key(NULL, at, c->window);
                const size_t total = attention__padded(v.end - from, P - (from - v.begin));
                float max, inverse;
                kn->softmax_f32(p + i * P + (from - v.begin), at + 1 - from, total, scale, &max, &inverse);
                memset(p + i * P + (v.low - v.begin), 0, (from - v.low) * sizeof(float));
            }
            attention__product(out + q0 * A + h * d, A, p + (v.low - v.begin), P, 1, values + v.low * kn->nr, max_len,
                               m, d, v.end - v.low, false);
            sphere_count_flops(me, 4 * (uint64_t)m * (v.end - v.low) * d);
        }
    }
    arena_reset(&me->scratch, mark);
}
