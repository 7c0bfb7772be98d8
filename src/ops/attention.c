/* SPDX-License-Identifier: MIT
 * attention.c - forward; a unit is one head of one sequence.
 *
 * K^T and V are copied once per head of keys into panels, T*d floats each, so that everything a unit touches repeatedly
 * stays in L2.  Bands of queries see only the keys from the first row's window and document up to their last row; inside
 * a band, entries outside a row's own view are zeros, which add nothing to a chain.
 */
#include "ops/attention.h"

#include "attention_internal.h"
#include "base/arena.h"
#include "base/rng.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

float attention__scale(size_t head_dim)
{
    return 1.0f / sqrtf((float)head_dim);
}

struct dropout dropout_make(uint64_t step_key, uint64_t layer, uint64_t site, double probability)
{
    if (!(probability > 0))
        return (struct dropout){.scale = 1};
    return (struct dropout){.key = rng_key(step_key, RNG_DROPOUT, layer, site),
                            .threshold = (uint32_t)(probability * 4294967296.0),
                            .scale = (float)(1 / (1 - probability))};
}

size_t attention__panels_bytes(size_t k, size_t n)
{
    const size_t nr = kernels_get()->nr;
    return ceil_div(n, nr) * nr * k * sizeof(float);
}

void attention__product(float *c, size_t c_row, const float *a, size_t a_row, size_t a_col, const float *b,
                        size_t b_rows, size_t m, size_t n, size_t k, bool go_on)
{
    const struct kernels *kn = kernels_get();
    kn->gemm_f32(&(struct gemm){.m = m,
                                .n = n,
                                .k = k,
                                .a = a,
                                .a_row = (ptrdiff_t)a_row,
                                .a_col = (ptrdiff_t)a_col,
                                .b = b,
                                .b_panel = b_rows * kn->nr,
                                .b_row = kn->nr,
                                .init = go_on ? c : NULL,
                                .init_row = (ptrdiff_t)c_row,
                                .c = c,
                                .c_row = (ptrdiff_t)c_row});
}

/* First key that a query sees in its window. */
static size_t window_begin(size_t query, size_t window)
{
    return window && query + 1 > window ? query + 1 - window : 0;
}

size_t attention__first_key(const int32_t *first, size_t query, size_t window)
{
    const size_t begin = window_begin(query, window), document = first ? (size_t)first[query] : 0;
    return document > begin ? document : begin;
}

/* Neither windows nor documents begin earlier for a later query, so the first one sees farthest back. */
struct attention_view attention__view(const int32_t *first, size_t q0, size_t m, size_t window)
{
    const size_t nr = kernels_get()->nr, low = attention__first_key(first, q0, window);
    return (struct attention_view){.begin = low / nr * nr, .low = low, .end = q0 + m};
}

size_t attention__row_floats(size_t keys)
{
    return (ceil_div(keys, 16) | 1) * 16;
}

size_t attention__padded(size_t n, size_t room)
{
    const size_t whole = ceil_div(n, 16) * 16;
    return whole < room ? whole : room;
}

size_t attention__widest_row(size_t T, size_t window, size_t beside)
{
    return attention__row_floats(window && T > beside && window < T - beside ? window + beside : T);
}

uint64_t attention_pairs(size_t T, size_t window)
{
    if (!window || window >= T)
        return (uint64_t)T * (T + 1) / 2;
    return (uint64_t)window * (window + 1) / 2 + (uint64_t)(T - window) * window;
}

uint64_t attention__computed_pairs(size_t T, size_t window)
{
    return (uint64_t)T * ATTENTION_BAND / (window && window < T ? 1 : 2) + attention_pairs(T, window);
}

struct attention_shape attention__shape(const struct attention *a)
{
    return (struct attention_shape){.T = a->seq_len,
                                    .d = a->head_dim,
                                    .group = a->heads / a->kv_heads,
                                    .E = (a->heads + 2 * a->kv_heads) * a->head_dim,
                                    .A = a->heads * a->head_dim};
}

struct attention_head attention__head(const struct attention *a, size_t b, size_t h)
{
    const struct attention_shape s = attention__shape(a);
    const size_t kv = h / s.group;
    const float *row = a->qkv + b * s.T * s.E;
    return (struct attention_head){.q = row + h * s.d,
                                   .k = row + (a->heads + kv) * s.d,
                                   .v = row + (a->heads + a->kv_heads + kv) * s.d,
                                   .first = a->first ? a->first + b * s.T : NULL,
                                   .row0 = b * s.T,
                                   .stats = (b * a->heads + h) * s.T,
                                   .mask_row = ((a->first_sequence + b) * a->heads + h) * s.T,
                                   .column = h * s.d,
                                   .key = b * a->kv_heads + kv};
}

void attention__drop(const struct dropout *d, float *x, size_t first, size_t n, uint64_t row)
{
    if (d->threshold)
        kernels_get()->dropout_f32(x, x, first, n, d->key, row, d->threshold, d->scale);
}

void attention__softmax(const struct attention *a, const struct attention_head *h, float *p, size_t row, size_t q0,
                        size_t m, struct attention_view v)
{
    const struct kernels *kn = kernels_get();
    const float scale = attention__scale(a->head_dim);
    for (size_t i = 0; i < m; i++, p += row) {
        const size_t q = q0 + i, from = attention__first_key(h->first, q, a->window), skip = from - v.begin;
        kn->softmax_f32(p + skip, q + 1 - from, attention__padded(v.end - from, row - skip), scale,
                        &a->max[h->stats + q], &a->inverse_sum[h->stats + q]);
        attention__drop(&a->dropout, p + skip, 0, q + 1 - from, h->mask_row + q);
        memset(p, 0, skip * sizeof *p);
    }
}

static void forward_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct attention *a = ctx;
    const struct kernels *kn = kernels_get();
    const struct attention_shape s = attention__shape(a);
    const size_t T = s.T, d = s.d, mark = arena_mark(&me->scratch);
    const size_t P = attention__widest_row(T, a->window, ATTENTION_BAND + kn->nr);
    float *keys = arena_alloc(&me->scratch, attention__panels_bytes(d, T)),
          *values = arena_alloc(&me->scratch, attention__panels_bytes(T, d));
    float *p = arena_alloc(&me->scratch, ATTENTION_BAND * P * sizeof(float));
    size_t packed = SIZE_MAX; /* whose keys and values lie in the panels */
    for (size_t unit = begin; unit < end; unit++) {
        const struct attention_head h = attention__head(a, unit / a->heads, unit % a->heads);
        if (h.key != packed) {
            kn->pack_f32(keys, h.k, 1, (ptrdiff_t)s.E, d, T);
            kn->pack_f32(values, h.v, (ptrdiff_t)s.E, 1, T, d);
            packed = h.key;
        }
        for (size_t q0 = 0; q0 < T; q0 += ATTENTION_BAND) {
            const size_t m = T - q0 < ATTENTION_BAND ? T - q0 : ATTENTION_BAND;
            const struct attention_view v = attention__view(h.first, q0, m, a->window);
            attention__product(p, P, h.q + q0 * s.E, s.E, 1, keys + v.begin * d, d, m, v.end - v.begin, d, false);
            attention__softmax(a, &h, p, P, q0, m, v);
            attention__product(a->out + (h.row0 + q0) * s.A + h.column, s.A, p + (v.low - v.begin), P, 1,
                               values + v.low * kn->nr, T, m, d, v.end - v.low, false);
            sphere_count_flops(me, 4 * (uint64_t)m * (v.end - v.low) * d);
        }
    }
    arena_reset(&me->scratch, mark);
}

size_t attention_forward_units(const struct attention *a)
{
    return a->batch * a->heads;
}

struct work attention_forward_work(const struct attention *a)
{
    return (struct work){.units = attention_forward_units(a),
                         .cost = 4 * attention__computed_pairs(a->seq_len, a->window) * a->head_dim,
                         .run = a->dtype == DTYPE_BF16 ? rounded__attention_forward : forward_run,
                         .ctx = a};
}

size_t attention_scratch_bytes(enum dtype dtype, size_t T, size_t d, size_t group, size_t window)
{
    if (dtype == DTYPE_BF16)
        return rounded__attention_scratch_bytes(T, d, group, window);
    const size_t row = attention__widest_row(T, window, ATTENTION_BAND + kernels_get()->nr);
    const size_t forward = arena_piece_bytes(attention__panels_bytes(d, T)) +
                           arena_piece_bytes(attention__panels_bytes(T, d)) +
                           arena_piece_bytes(ATTENTION_BAND * row * sizeof(float));
    const size_t backward = attention__backward_scratch_bytes(T, d, group);
    return forward > backward ? forward : backward;
}
