/* SPDX-License-Identifier: MIT
 * attention.c - a unit is one head of one sequence; in the backward one head of keys and values with the queries that
 * share it, for their terms meet in one sum.
 *
 * Operands are copied once per head of keys into panels: K^T and V (forward), K^T, V^T and K (backward), each T*d
 * floats, so that everything a unit touches repeatedly stays in L2.  Blocks of QUERIES rows see only the keys from the
 * first row's window and document up to their last row; inside a block, entries outside a row's own view are zeros, which add nothing to a
 * chain.  dK and dV of a shared head are chains over its query heads in order, and in each over the queries in order.
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

/* Keys that a block of m queries from q0 on meets: low … end-1.  Products with K^T start at `first`, a panel's edge. */
struct view {
    size_t first, low, end;
};

/* First key that a query sees in its window. */
static size_t window_begin(size_t query, size_t window)
{
    return window && query + 1 > window ? query + 1 - window : 0;
}

/* And in its document; first: of its sequence, or NULL. */
static size_t first_key(const int32_t *first, size_t query, size_t window)
{
    const size_t begin = window_begin(query, window), document = first ? (size_t)first[query] : 0;
    return document > begin ? document : begin;
}

/* Neither windows nor documents begin earlier for a later query, so the block's first one sees farthest back. */
static struct view view_of(const int32_t *first, size_t q0, size_t m, size_t window, size_t nr)
{
    const size_t low = first_key(first, q0, window);
    return (struct view){.first = low / nr * nr, .low = low, .end = q0 + m};
}

/* Most keys of a block, from `first` on: the stride of its rows of scores. */
static size_t widest_view(size_t T, size_t window)
{
    const size_t nr = kernels_get()->nr;
    return window && T > QUERIES + nr && window < T - QUERIES - nr ? window + QUERIES + nr : T;
}

uint64_t attention_pairs(size_t T, size_t window)
{
    if (!window || window >= T)
        return (uint64_t)T * (T + 1) / 2;
    return (uint64_t)window * (window + 1) / 2 + (uint64_t)(T - window) * window;
}

/* Scores of all blocks of a sequence: what a product computes of them, zeros in a block included. */
static uint64_t block_scores(size_t T, size_t window)
{
    return (uint64_t)T * QUERIES / (window && window < T ? 1 : 2) + attention_pairs(T, window);
}

struct shape {
    size_t T, d, group, E, A; /* group: query heads of a head of keys; E, A: floats of a row of qkv and of out */
};
static struct shape shape_of(const struct attention *a)
{
    return (struct shape){.T = a->seq_len,
                          .d = a->head_dim,
                          .group = a->heads / a->kv_heads,
                          .E = (a->heads + 2 * a->kv_heads) * a->head_dim,
                          .A = a->heads * a->head_dim};
}

struct head {
    const float *q, *k, *v; /* first row, stride E */
    const int32_t *first;   /* of the sequence, or NULL */
    size_t row0;            /* of the sequence in [B*T] */
    size_t stats;           /* first element in max and inverse_sum */
    uint64_t mask_row;      /* dropout row of query 0 */
    size_t column;          /* first column of the query head in q and out */
    size_t key;             /* its head of keys and values, counted over sequences */
};

static struct head head_of(const struct attention *a, size_t b, size_t h)
{
    const struct shape s = shape_of(a);
    const size_t kv = h / s.group;
    const float *row = a->qkv + b * s.T * s.E;
    return (struct head){.q = row + h * s.d,
                         .k = row + (a->heads + kv) * s.d,
                         .v = row + (a->heads + a->kv_heads + kv) * s.d,
                         .first = a->first ? a->first + b * s.T : NULL,
                         .row0 = b * s.T,
                         .stats = (b * a->heads + h) * s.T,
                         .mask_row = ((a->first_sequence + b) * a->heads + h) * s.T,
                         .column = h * s.d,
                         .key = b * a->kv_heads + kv};
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
    const struct shape s = shape_of(a);
    const size_t T = s.T, d = s.d, P = widest_view(T, a->window), mark = arena_mark(&me->scratch);
    const float scale = attention_scale(d);
    float *keys = arena_alloc(&me->scratch, panels_bytes(d, T)),
          *values = arena_alloc(&me->scratch, panels_bytes(T, d));
    float *p = arena_alloc(&me->scratch, QUERIES * P * sizeof(float));
    size_t packed = SIZE_MAX; /* whose keys and values lie in the panels */
    for (size_t unit = begin; unit < end; unit++) {
        const struct head h = head_of(a, unit / a->heads, unit % a->heads);
        if (h.key != packed) {
            kn->pack_f32(keys, h.k, 1, (ptrdiff_t)s.E, d, T);
            kn->pack_f32(values, h.v, (ptrdiff_t)s.E, 1, T, d);
            packed = h.key;
        }
        for (size_t q0 = 0; q0 < T; q0 += QUERIES) {
            const size_t m = T - q0 < QUERIES ? T - q0 : QUERIES;
            const struct view v = view_of(h.first, q0, m, a->window, kn->nr);
            product(kn, p, P, h.q + q0 * s.E, s.E, 1, keys + v.first * d, d, m, v.end - v.first, d, false);
            for (size_t i = 0; i < m; i++) {
                const size_t q = q0 + i, from = first_key(h.first, q, a->window);
                float *row = p + i * P + (from - v.first);
                kn->softmax_f32(row, q + 1 - from, v.end - from, scale, &a->max[h.stats + q],
                                &a->inverse_sum[h.stats + q]);
                drop(kn, &a->dropout, row, q + 1 - from, h.mask_row + q);
                memset(p + i * P + (v.low - v.first), 0, (from - v.low) * sizeof(float));
            }
            product(kn, a->out + (h.row0 + q0) * s.A + h.column, s.A, p + (v.low - v.first), P, 1,
                    values + v.low * kn->nr, T, m, d, v.end - v.low, false);
            sphere_count_flops(me, 4 * (uint64_t)m * (v.end - v.low) * d);
        }
    }
    arena_reset(&me->scratch, mark);
}

struct backward_scratch {
    float *keys_t, *values_t, *keys, *q_panel, *do_panel, *p, *ds, *dropped;
};

/* One query head: dV = P'^T dO, dP = dO V^T (through dropout), dS = P (dP - rowsum(O dO)) scale, dQ = dS K, dK = dS^T Q.
 * dK and dV go on from what is there unless this is the first head that writes them. */
static void backward_head(struct sphere *me, const struct attention *a, const struct head *h, bool first_head,
                          const struct backward_scratch *x)
{
    const struct kernels *kn = kernels_get();
    const struct shape s = shape_of(a);
    const size_t T = s.T, d = s.d, E = s.E, P = widest_view(T, a->window);
    const float scale = attention_scale(d);
    float *dq = a->dqkv + (h->q - a->qkv), *dk = a->dqkv + (h->k - a->qkv), *dv = a->dqkv + (h->v - a->qkv);
    for (size_t q0 = 0; q0 < T; q0 += QUERIES) {
        const size_t m = T - q0 < QUERIES ? T - q0 : QUERIES;
        const struct view v = view_of(h->first, q0, m, a->window, kn->nr);
        const size_t n = v.end - v.first, skip = v.low - v.first, old = q0 - v.low; /* keys met before */
        const float *dout = a->dout + (h->row0 + q0) * s.A + h->column;
        const float *out = a->out + (h->row0 + q0) * s.A + h->column, *q = h->q + q0 * E;
        kn->pack_f32(x->q_panel, q, (ptrdiff_t)E, 1, m, d);
        kn->pack_f32(x->do_panel, dout, (ptrdiff_t)s.A, 1, m, d);
        product(kn, x->p, P, q, E, 1, x->keys_t + v.first * d, d, m, n, d, false);
        product(kn, x->ds, P, dout, s.A, 1, x->values_t + v.first * d, d, m, n, d, false);
        for (size_t i = 0; i < m; i++) {
            const size_t row = q0 + i, from = first_key(h->first, row, a->window), valid = row + 1 - from;
            const size_t at = i * P + (from - v.first), outside = (from - v.low) * sizeof(float);
            float *pi = x->p + at, *di = x->ds + at;
            kn->softmax_again_f32(pi, valid, v.end - from, scale, a->max[h->stats + row],
                                  a->inverse_sum[h->stats + row]);
            memset(x->p + i * P + skip, 0, outside);
            memset(x->ds + i * P + skip, 0, outside);
            if (a->dropout.threshold) {
                memcpy(x->dropped + i * P + skip, x->p + i * P + skip, (n - skip) * sizeof(float));
                drop(kn, &a->dropout, x->dropped + at, valid, h->mask_row + row);
                drop(kn, &a->dropout, di, valid, h->mask_row + row);
            }
            const float dot = kn->dot_f32(dout + i * s.A, out + i * s.A, d);
            kn->softmax_backward_f32(di, pi, valid, v.end - from, dot, scale);
        }
        const float *ds = x->ds + skip, *dropped = x->dropped + skip;
        product(kn, dq + q0 * E, E, ds, P, 1, x->keys + v.low * kn->nr, T, m, d, v.end - v.low, false);
        /* the first head meets keys q0 … end-1 here for the first time: their chains begin, those before go on */
        const size_t go_on = first_head ? old : v.end - v.low;
        product(kn, dv + v.low * E, E, dropped, 1, P, x->do_panel, m, go_on, d, m, true);
        product(kn, dk + v.low * E, E, ds, 1, P, x->q_panel, m, go_on, d, m, true);
        if (first_head) {
            product(kn, dv + q0 * E, E, dropped + old, 1, P, x->do_panel, m, m, d, m, false);
            product(kn, dk + q0 * E, E, ds + old, 1, P, x->q_panel, m, m, d, m, false);
        }
        sphere_count_flops(me, 10 * (uint64_t)m * (v.end - v.low) * d);
    }
}

static void backward_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct attention *a = ctx;
    const struct kernels *kn = kernels_get();
    const struct shape s = shape_of(a);
    const size_t T = s.T, d = s.d, mark = arena_mark(&me->scratch);
    const size_t block = QUERIES * widest_view(T, a->window) * sizeof(float);
    struct arena *memory = &me->scratch;
    struct backward_scratch x = {.keys_t = arena_alloc(memory, panels_bytes(d, T)),
                                 .values_t = arena_alloc(memory, panels_bytes(d, T)),
                                 .keys = arena_alloc(memory, panels_bytes(T, d)),
                                 .q_panel = arena_alloc(memory, panels_bytes(QUERIES, d)),
                                 .do_panel = arena_alloc(memory, panels_bytes(QUERIES, d)),
                                 .p = arena_alloc(memory, block),
                                 .ds = arena_alloc(memory, block)};
    x.dropped = a->dropout.threshold ? arena_alloc(memory, block) : x.p;
    for (size_t unit = begin; unit < end; unit++) {
        const size_t b = unit / a->kv_heads, kv = unit % a->kv_heads;
        for (size_t i = 0; i < s.group; i++) {
            const struct head h = head_of(a, b, kv * s.group + i);
            if (i == 0) {
                kn->pack_f32(x.keys_t, h.k, 1, (ptrdiff_t)s.E, d, T);
                kn->pack_f32(x.values_t, h.v, 1, (ptrdiff_t)s.E, d, T);
                kn->pack_f32(x.keys, h.k, (ptrdiff_t)s.E, 1, T, d);
            }
            backward_head(me, a, &h, i == 0, &x);
            if (a->made_by)
                heads_backward(a->made_by, a->dqkv, b, kv * s.group + i);
        }
        if (a->made_by)
            heads_backward(a->made_by, a->dqkv, b, a->heads + kv);
    }
    arena_reset(&me->scratch, mark);
}

size_t attention_forward_units(const struct attention *a)
{
    return a->batch * a->heads;
}

size_t attention_backward_units(const struct attention *a)
{
    return a->batch * a->kv_heads;
}

struct work attention_forward_work(const struct attention *a)
{
    return (struct work){.units = attention_forward_units(a),
                         .cost = 4 * block_scores(a->seq_len, a->window) * a->head_dim,
                         .run = forward_run,
                         .ctx = a};
}

struct work attention_backward_work(const struct attention *a)
{
    return (struct work){.units = attention_backward_units(a),
                         .cost = 10 * block_scores(a->seq_len, a->window) * a->head_dim * (a->heads / a->kv_heads),
                         .run = backward_run,
                         .ctx = a};
}

size_t attention_scratch_bytes(size_t T, size_t d, size_t window)
{
    return 2 * arena_piece_bytes(panels_bytes(d, T)) + arena_piece_bytes(panels_bytes(T, d)) +
           2 * arena_piece_bytes(panels_bytes(QUERIES, d)) +
           3 * arena_piece_bytes(QUERIES * widest_view(T, window) * sizeof(float));
}

/* A cache holds, head after head, K^T panels [ceil(max_len/nr)][d][nr] and V panels [ceil(d/nr)][max_len][nr]. */
static size_t head_cache_floats(size_t max_len, size_t d)
{
    return (panels_bytes(d, max_len) + panels_bytes(max_len, d)) / sizeof(float);
}

size_t attention_cache_bytes(size_t max_len, size_t kv_heads, size_t head_dim)
{
    return kv_heads * head_cache_floats(max_len, head_dim) * sizeof(float);
}

size_t attention_cached_scratch_bytes(size_t max_len, size_t window)
{
    return arena_piece_bytes(QUERIES * widest_view(max_len, window) * sizeof(float));
}

void attention_cache_put(const struct attention_cache *c, size_t pos, const float *key, const float *value,
                         struct share which)
{
    const size_t nr = kernels_get()->nr, d = c->head_dim;
    for (size_t h = which.begin; h < which.end; h++) {
        float *keys = c->data + h * head_cache_floats(c->max_len, d);
        float *values = keys + panels_bytes(d, c->max_len) / sizeof(float);
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
    const size_t P = widest_view(max_len, c->window), mark = arena_mark(&me->scratch);
    const float scale = attention_scale(d);
    float *p = arena_alloc(&me->scratch, QUERIES * P * sizeof(float));
    for (size_t h = which.begin; h < which.end; h++) {
        const float *keys = c->data + h / group * head_cache_floats(max_len, d);
        const float *values = keys + panels_bytes(d, max_len) / sizeof(float);
        for (size_t q0 = 0; q0 < n; q0 += QUERIES) {
            const size_t m = n - q0 < QUERIES ? n - q0 : QUERIES;
            const struct view v = view_of(NULL, pos + q0, m, c->window, kn->nr);
            product(kn, p, P, q + q0 * q_stride + h * d, q_stride, 1, keys + v.first * d, d, m, v.end - v.first, d,
                    false);
            for (size_t i = 0; i < m; i++) {
                const size_t at = pos + q0 + i, from = first_key(NULL, at, c->window);
                float max, inverse;
                kn->softmax_f32(p + i * P + (from - v.first), at + 1 - from, v.end - from, scale, &max, &inverse);
                memset(p + i * P + (v.low - v.first), 0, (from - v.low) * sizeof(float));
            }
            product(kn, out + q0 * A + h * d, A, p + (v.low - v.first), P, 1, values + v.low * kn->nr, max_len, m, d,
                    v.end - v.low, false);
            sphere_count_flops(me, 4 * (uint64_t)m * (v.end - v.low) * d);
        }
    }
    arena_reset(&me->scratch, mark);
}
