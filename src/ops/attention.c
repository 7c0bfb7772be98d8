/* SPDX-License-Identifier: MIT
 * attention.c - a unit is one head of one sequence.
 *
 * Operands are copied once per unit into panels: K^T and V (forward), and also V^T and K (backward), each T*d
 * floats, so that everything a unit touches repeatedly stays in L2.  Blocks of QUERIES rows see only the keys up to
 * their last row; inside a block, entries beyond a row's own position are zeros, which add nothing to a chain.
 */
#include "ops/attention.h"

#include "base/arena.h"
#include "base/rng.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { QUERIES = 48 };

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static float attention_scale(size_t head_dim)
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

size_t attention_units(size_t batch, size_t heads)
{
    return batch * heads;
}

/* Panels of [k,n]: bytes, and packing. */
static size_t panels_bytes(size_t k, size_t n)
{
    const size_t nr = kernels_get()->nr;
    return ceil_div(n, nr) * nr * k * sizeof(float);
}

/* C [m,n] = (C +) A·B with A given by its two strides. */
static void product(const struct kernels *kn, float *c, size_t c_row, const float *a, size_t a_row, size_t a_col,
                    const float *b, size_t b_rows, size_t m, size_t n, size_t k, bool go_on)
{
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

struct head {
    const float *q, *k, *v; /* first row, stride 3C */
    size_t row0;            /* of the sequence in [B*T] */
    size_t stats;           /* first element in max and inverse_sum */
    uint64_t mask_row;      /* dropout row of query 0 */
    size_t column;          /* first column of the head in C */
};

static struct head head_of(const struct attention *a, size_t unit)
{
    const size_t b = unit / a->heads, h = unit % a->heads, c = a->heads * a->head_dim;
    const float *first = a->qkv + b * a->seq_len * 3 * c + h * a->head_dim;
    return (struct head){.q = first,
                         .k = first + c,
                         .v = first + 2 * c,
                         .row0 = b * a->seq_len,
                         .stats = unit * a->seq_len,
                         .mask_row = ((a->first_sequence + b) * a->heads + h) * a->seq_len,
                         .column = h * a->head_dim};
}

static void drop(const struct kernels *kn, const struct dropout *d, float *x, size_t n, uint64_t row)
{
    if (d->threshold)
        kn->dropout_f32(x, x, n, d->key, row, d->threshold, d->scale);
}

static void forward_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct attention *a = ctx;
    const struct kernels *kn = kernels_get();
    const size_t T = a->seq_len, d = a->head_dim, C = a->heads * d, mark = arena_mark(&me->scratch);
    const float scale = attention_scale(d);
    float *keys = arena_alloc(&me->scratch, panels_bytes(d, T)),
          *values = arena_alloc(&me->scratch, panels_bytes(T, d));
    float *p = arena_alloc(&me->scratch, QUERIES * T * sizeof(float));
    for (size_t unit = begin; unit < end; unit++) {
        const struct head h = head_of(a, unit);
        kn->pack_f32(keys, h.k, 1, (ptrdiff_t)(3 * C), d, T);
        kn->pack_f32(values, h.v, (ptrdiff_t)(3 * C), 1, T, d);
        for (size_t q0 = 0; q0 < T; q0 += QUERIES) {
            const size_t m = T - q0 < QUERIES ? T - q0 : QUERIES, n = q0 + m;
            product(kn, p, T, h.q + q0 * 3 * C, 3 * C, 1, keys, d, m, n, d, false);
            for (size_t i = 0; i < m; i++) {
                const size_t q = q0 + i;
                kn->softmax_f32(p + i * T, q + 1, n, scale, &a->max[h.stats + q], &a->inverse_sum[h.stats + q]);
                drop(kn, &a->dropout, p + i * T, q + 1, h.mask_row + q);
            }
            product(kn, a->out + (h.row0 + q0) * C + h.column, C, p, T, 1, values, T, m, d, n, false);
            sphere_count_flops(me, 4 * (uint64_t)m * n * d);
        }
    }
    arena_reset(&me->scratch, mark);
}

/* dV = P'^T dO, dP = dO V^T (through dropout), dS = P (dP - rowsum(O dO)) scale, dQ = dS K, dK = dS^T Q. */
static void backward_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct attention *a = ctx;
    const struct kernels *kn = kernels_get();
    const size_t T = a->seq_len, d = a->head_dim, C = a->heads * d, mark = arena_mark(&me->scratch);
    const float scale = attention_scale(d);
    struct arena *s = &me->scratch;
    float *keys_t = arena_alloc(s, panels_bytes(d, T)), *values_t = arena_alloc(s, panels_bytes(d, T));
    float *keys = arena_alloc(s, panels_bytes(T, d));
    float *q_panel = arena_alloc(s, panels_bytes(QUERIES, d)), *do_panel = arena_alloc(s, panels_bytes(QUERIES, d));
    float *p = arena_alloc(s, QUERIES * T * sizeof(float)), *ds = arena_alloc(s, QUERIES * T * sizeof(float));
    float *dropped = a->dropout.threshold ? arena_alloc(s, QUERIES * T * sizeof(float)) : p;
    for (size_t unit = begin; unit < end; unit++) {
        const struct head h = head_of(a, unit);
        float *dq = a->dqkv + h.row0 * 3 * C + h.column, *dk = dq + C, *dv = dq + 2 * C;
        kn->pack_f32(keys_t, h.k, 1, (ptrdiff_t)(3 * C), d, T);
        kn->pack_f32(values_t, h.v, 1, (ptrdiff_t)(3 * C), d, T);
        kn->pack_f32(keys, h.k, (ptrdiff_t)(3 * C), 1, T, d);
        for (size_t q0 = 0; q0 < T; q0 += QUERIES) {
            const size_t m = T - q0 < QUERIES ? T - q0 : QUERIES, n = q0 + m;
            const float *dout = a->dout + (h.row0 + q0) * C + h.column, *out = a->out + (h.row0 + q0) * C + h.column;
            const float *q = h.q + q0 * 3 * C;
            kn->pack_f32(q_panel, q, (ptrdiff_t)(3 * C), 1, m, d);
            kn->pack_f32(do_panel, dout, (ptrdiff_t)C, 1, m, d);
            product(kn, p, T, q, 3 * C, 1, keys_t, d, m, n, d, false);
            product(kn, ds, T, dout, C, 1, values_t, d, m, n, d, false);
            for (size_t i = 0; i < m; i++) {
                const size_t row = q0 + i, valid = row + 1;
                float *pi = p + i * T, *di = ds + i * T;
                kn->softmax_again_f32(pi, valid, n, scale, a->max[h.stats + row], a->inverse_sum[h.stats + row]);
                if (a->dropout.threshold) {
                    memcpy(dropped + i * T, pi, n * sizeof(float));
                    drop(kn, &a->dropout, dropped + i * T, valid, h.mask_row + row);
                    drop(kn, &a->dropout, di, valid, h.mask_row + row);
                }
                const float dot = kn->dot_f32(dout + i * C, out + i * C, d);
                kn->softmax_backward_f32(di, pi, valid, n, dot, scale);
            }
            /* keys q0 … n-1 are met here for the first time: their chains begin, those before go on */
            product(kn, dq + q0 * 3 * C, 3 * C, ds, T, 1, keys, T, m, d, n, false);
            product(kn, dv, 3 * C, dropped, 1, T, do_panel, m, q0, d, m, true);
            product(kn, dk, 3 * C, ds, 1, T, q_panel, m, q0, d, m, true);
            product(kn, dv + q0 * 3 * C, 3 * C, dropped + q0, 1, T, do_panel, m, m, d, m, false);
            product(kn, dk + q0 * 3 * C, 3 * C, ds + q0, 1, T, q_panel, m, m, d, m, false);
            sphere_count_flops(me, 10 * (uint64_t)m * n * d);
        }
    }
    arena_reset(&me->scratch, mark);
}

struct work attention_forward_work(const struct attention *a)
{
    return (struct work){.units = attention_units(a->batch, a->heads),
                         .cost = 2 * (uint64_t)a->seq_len * (a->seq_len + QUERIES) * a->head_dim,
                         .run = forward_run,
                         .ctx = a};
}

struct work attention_backward_work(const struct attention *a)
{
    return (struct work){.units = attention_units(a->batch, a->heads),
                         .cost = 5 * (uint64_t)a->seq_len * (a->seq_len + QUERIES) * a->head_dim,
                         .run = backward_run,
                         .ctx = a};
}

size_t attention_scratch_bytes(size_t T, size_t d)
{
    return 2 * arena_piece_bytes(panels_bytes(d, T)) + arena_piece_bytes(panels_bytes(T, d)) +
           2 * arena_piece_bytes(panels_bytes(QUERIES, d)) + 3 * arena_piece_bytes(QUERIES * T * sizeof(float));
}

/* A cache holds, head after head, K^T panels [ceil(max_len/nr)][d][nr] and V panels [ceil(d/nr)][max_len][nr]. */
static size_t head_cache_floats(size_t max_len, size_t d)
{
    return (panels_bytes(d, max_len) + panels_bytes(max_len, d)) / sizeof(float);
}

size_t attention_cache_bytes(size_t max_len, size_t heads, size_t head_dim)
{
    return heads * head_cache_floats(max_len, head_dim) * sizeof(float);
}

void attention_cache_put(float *cache, size_t max_len, size_t heads, size_t d, size_t pos, const float *key,
                         const float *value, struct share which)
{
    (void)heads;
    const size_t nr = kernels_get()->nr;
    for (size_t h = which.begin; h < which.end; h++) {
        float *keys = cache + h * head_cache_floats(max_len, d);
        float *values = keys + panels_bytes(d, max_len) / sizeof(float);
        for (size_t i = 0; i < d; i++) {
            keys[pos / nr * d * nr + i * nr + pos % nr] = key[h * d + i];
            values[i / nr * max_len * nr + pos * nr + i % nr] = value[h * d + i];
        }
    }
}

void attention_cached(struct sphere *me, float *out, const float *q, size_t q_stride, const float *cache,
                      size_t max_len, size_t heads, size_t d, size_t pos, size_t n, struct share which)
{
    const struct kernels *kn = kernels_get();
    const size_t C = heads * d, mark = arena_mark(&me->scratch);
    const float scale = attention_scale(d);
    float *p = arena_alloc(&me->scratch, QUERIES * max_len * sizeof(float));
    for (size_t h = which.begin; h < which.end; h++) {
        const float *keys = cache + h * head_cache_floats(max_len, d);
        const float *values = keys + panels_bytes(d, max_len) / sizeof(float);
        for (size_t q0 = 0; q0 < n; q0 += QUERIES) {
            const size_t m = n - q0 < QUERIES ? n - q0 : QUERIES, len = pos + q0 + m;
            product(kn, p, max_len, q + q0 * q_stride + h * d, q_stride, 1, keys, d, m, len, d, false);
            for (size_t i = 0; i < m; i++) {
                float max, inverse;
                kn->softmax_f32(p + i * max_len, pos + q0 + i + 1, len, scale, &max, &inverse);
            }
            product(kn, out + q0 * C + h * d, C, p, max_len, 1, values, max_len, m, d, len, false);
            sphere_count_flops(me, 4 * (uint64_t)m * len * d);
        }
    }
    arena_reset(&me->scratch, mark);
}
