/* SPDX-License-Identifier: MIT
 * attention_backward.c - a unit is one head of keys and values with the queries that share it, for their terms meet in one
 * sum.
 *
 *     dV = P'^T dO,  dP = dO V^T (through dropout),  dS = P (dP - rowsum(O dO)) scale,  dQ = dS K,  dK = dS^T Q
 *
 * Row maxima and sums are known from the forward, so P and dS are made in blocks of QUERIES by KEYS that stay in L2 (the order
 * of Dao, "FlashAttention-2", 2023): keys outermost, whose panels and sums stay while the queries that see them pass.
 * A chain of dQ goes on over the blocks of keys in order, those of dK and dV over the query heads in order and in each over
 * the queries in order, so blocks do not show in the result.  On the diagonal, products are cut in bands; entries
 * outside a row's own view are zeros.
 */
#include "attention_internal.h"
#include "base/arena.h"
#include "kernels/kernels.h"
#include "ops/attention.h"

#include <string.h>

enum { BAND = ATTENTION_BAND, QUERIES = 2 * BAND, KEYS = 2 * QUERIES };

/* Panels of a block's keys and queries, its scores, and the sums of its keys. */
struct space {
    size_t row;                                 /* floats of a row of p, ds and dropped */
    float *keys_t, *values_t, *keys, *q, *dout; /* panels */
    float *p, *ds, *dropped;                    /* [QUERIES,row]; without dropout dropped is p */
    float *dk, *dv;                             /* [KEYS,d] */
    float *dot;                                 /* [group,T]: rowsum(O dO) */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

void attention__softmax_backward(const struct attention *a, const struct attention_head *h, const float *dot, float *p,
                                 float *ds, float *dropped, size_t row, size_t q0, size_t m, size_t k0,
                                 struct attention_view v)
{
    const struct kernels *kn = kernels_get();
    const float scale = attention__scale(a->head_dim);
    const size_t first = v.begin - k0;
    for (size_t i = 0; i < m; i++, p += row, ds += row, dropped += row) {
        const size_t q = q0 + i, own = attention__first_key(h->first, q, a->window);
        const size_t from = least(most(own, v.low), v.end), valid = least(most(q + 1, from), v.end) - from;
        const size_t at = from - k0, total = attention__padded(v.end - from, row - at);
        kn->softmax_again_f32(p + at, valid, total, scale, a->max[h->stats + q], a->inverse_sum[h->stats + q]);
        memset(p + first, 0, (at - first) * sizeof *p);
        memset(ds + first, 0, (at - first) * sizeof *ds);
        if (a->dropout.threshold) {
            memcpy(dropped + first, p + first, (v.end - v.begin) * sizeof *p);
            attention__drop(&a->dropout, dropped + at, from - own, valid, h->mask_row + q);
        }
        kn->softmax_backward_f32(ds + at, p + at, a->dropout.threshold ? dropped + at : NULL, a->dropout.scale, valid,
                                 total, dot[q], scale);
    }
}

static void make_dots(const struct attention *a, const struct attention_head *h, float *dot)
{
    const struct kernels *kn = kernels_get();
    const struct attention_shape s = attention__shape(a);
    for (size_t i = 0; i < s.group; i++)
        for (size_t t = 0; t < s.T; t++) {
            const size_t at = (h->row0 + t) * s.A + h->column + i * s.d;
            dot[i * s.T + t] = kn->dot_f32(a->dout + at, a->out + at, s.d);
        }
}

/* Scores of queries q0 … q0+m-1 and keys low … k0+n-1, and their gradients; columns are counted from k0. */
static void scores(const struct attention *a, const struct attention_head *h, const struct space *x, const float *dot,
                   size_t q0, size_t m, size_t k0, size_t n, size_t low)
{
    const struct attention_shape s = attention__shape(a);
    const size_t d = s.d, nr = kernels_get()->nr, first = (low - k0) / nr * nr;
    for (size_t i0 = 0; i0 < m; i0 += BAND) {
        const size_t rows = least(BAND, m - i0), at = i0 * x->row;
        const struct attention_view v = {k0 + first, low, least(q0 + i0 + rows, k0 + n)};
        const size_t cols = v.end - v.begin;
        attention__product(x->p + at + first, x->row, h->q + (q0 + i0) * s.E, s.E, 1, x->keys_t + first * d, d, rows,
                           cols, d, false);
        attention__product(x->ds + at + first, x->row, a->dout + (h->row0 + q0 + i0) * s.A + h->column, s.A, 1,
                           x->values_t + first * d, d, rows, cols, d, false);
        attention__softmax_backward(a, h, dot, x->p + at, x->ds + at, x->dropped + at, x->row, q0 + i0, rows, k0, v);
    }
}

/* What a block of queries and a block of keys from low on give each other. */
static void block(struct sphere *me, const struct attention *a, const void *space, const struct attention_head *h,
                  const float *dot, size_t q0, size_t m, size_t k0, size_t n, size_t low)
{
    const struct space *x = space;
    const struct kernels *kn = kernels_get();
    const struct attention_shape s = attention__shape(a);
    const size_t d = s.d, end = least(q0 + m, k0 + n), skip = low - k0;
    float *dq = a->dqkv + (h->q - a->qkv) + q0 * s.E;
    scores(a, h, x, dot, q0, m, k0, n, low);
    for (size_t i0 = 0; i0 < m; i0 += BAND) {
        const size_t rows = least(BAND, m - i0), to = least(q0 + i0 + rows, k0 + n);
        attention__product(dq + i0 * s.E, s.E, x->ds + i0 * x->row + skip, x->row, 1, x->keys + skip * kn->nr, n, rows,
                           d, to - low, low > attention__first_key(h->first, q0, a->window));
    }
    kn->pack_f32(x->q, h->q + q0 * s.E, (ptrdiff_t)s.E, 1, m, d);
    kn->pack_f32(x->dout, a->dout + (h->row0 + q0) * s.A + h->column, (ptrdiff_t)s.A, 1, m, d);
    for (size_t j = low; j < end;) { /* keys before q0 meet all queries, the others those from their band on */
        const size_t i0 = j < q0 ? 0 : (j - q0) / BAND * BAND,
                     to = j < q0 ? least(q0, end) : least(q0 + i0 + BAND, end);
        const size_t at = i0 * x->row + (j - k0);
        attention__product(x->dv + (j - k0) * d, d, x->dropped + at, 1, x->row, x->dout + i0 * kn->nr, m, to - j, d,
                           m - i0, true);
        attention__product(x->dk + (j - k0) * d, d, x->ds + at, 1, x->row, x->q + i0 * kn->nr, m, to - j, d, m - i0,
                           true);
        j = to;
    }
    sphere_count_flops(me, 10 * (uint64_t)m * (end - low) * d);
}

void attention__backward_unit(struct sphere *me, const struct attention *a, const struct attention_walk *w, size_t b,
                              size_t kv)
{
    const struct attention_shape s = attention__shape(a);
    const size_t T = s.T, d = s.d;
    const struct attention_head shared = attention__head(a, b, kv * s.group);
    float *dk = a->dqkv + (shared.k - a->qkv), *dv = a->dqkv + (shared.v - a->qkv);
    make_dots(a, &shared, w->dot);
    for (size_t k0 = 0; k0 < T; k0 += w->keys) {
        const size_t n = least(w->keys, T - k0);
        w->pack(a, w->space, &shared, k0, n);
        memset(w->dk, 0, n * d * sizeof(float));
        memset(w->dv, 0, n * d * sizeof(float));
        for (size_t i = 0; i < s.group; i++) {
            const struct attention_head h = attention__head(a, b, kv * s.group + i);
            for (size_t q0 = k0; q0 < T; q0 += w->queries) {
                const size_t low = most(attention__first_key(h.first, q0, a->window), k0);
                if (low >= k0 + n)
                    break; /* neither does any later query see these keys */
                w->block(me, a, w->space, &h, w->dot + i * T, q0, least(w->queries, T - q0), k0, n, low);
            }
        }
        for (size_t j = 0; j < n; j++) {
            memcpy(dk + (k0 + j) * s.E, w->dk + j * d, d * sizeof(float));
            memcpy(dv + (k0 + j) * s.E, w->dv + j * d, d * sizeof(float));
        }
    }
    if (!a->made_by)
        return;
    for (size_t i = 0; i < s.group; i++)
        heads_backward(a->made_by, a->dqkv, b, kv * s.group + i);
    heads_backward(a->made_by, a->dqkv, b, a->heads + kv);
}

static void pack(const struct attention *a, const void *space, const struct attention_head *h, size_t k0, size_t n)
{
    const struct kernels *kn = kernels_get();
    const struct space *x = space;
    const struct attention_shape s = attention__shape(a);
    kn->pack_f32(x->keys_t, h->k + k0 * s.E, 1, (ptrdiff_t)s.E, s.d, n);
    kn->pack_f32(x->values_t, h->v + k0 * s.E, 1, (ptrdiff_t)s.E, s.d, n);
    kn->pack_f32(x->keys, h->k + k0 * s.E, (ptrdiff_t)s.E, 1, n, s.d);
}

static void backward_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct attention *a = ctx;
    const size_t d = a->head_dim, keys = least(KEYS, a->seq_len), queries = least(QUERIES, a->seq_len);
    const size_t row = attention__row_floats(keys), mark = arena_mark(&me->scratch);
    struct arena *memory = &me->scratch;
    struct space x = {.row = row,
                      .keys_t = arena_alloc(memory, attention__panels_bytes(d, keys)),
                      .values_t = arena_alloc(memory, attention__panels_bytes(d, keys)),
                      .keys = arena_alloc(memory, attention__panels_bytes(keys, d)),
                      .q = arena_alloc(memory, attention__panels_bytes(queries, d)),
                      .dout = arena_alloc(memory, attention__panels_bytes(queries, d)),
                      .p = arena_alloc(memory, queries * row * sizeof(float)),
                      .ds = arena_alloc(memory, queries * row * sizeof(float)),
                      .dk = arena_alloc(memory, keys * d * sizeof(float)),
                      .dv = arena_alloc(memory, keys * d * sizeof(float)),
                      .dot = arena_alloc(memory, a->heads / a->kv_heads * a->seq_len * sizeof(float))};
    x.dropped = a->dropout.threshold ? arena_alloc(memory, queries * row * sizeof(float)) : x.p;
    const struct attention_walk walk = {QUERIES, KEYS, x.dk, x.dv, x.dot, pack, block, &x};
    for (size_t i = begin; i < end; i++)
        attention__backward_unit(me, a, &walk, i / a->kv_heads, i % a->kv_heads);
    arena_reset(&me->scratch, mark);
}

size_t attention__backward_scratch_bytes(size_t T, size_t d, size_t group)
{
    const size_t keys = least(KEYS, T), queries = least(QUERIES, T);
    return 2 * arena_piece_bytes(attention__panels_bytes(d, keys)) +
           arena_piece_bytes(attention__panels_bytes(keys, d)) +
           2 * arena_piece_bytes(attention__panels_bytes(queries, d)) +
           3 * arena_piece_bytes(queries * attention__row_floats(keys) * sizeof(float)) +
           2 * arena_piece_bytes(keys * d * sizeof(float)) + arena_piece_bytes(group * T * sizeof(float));
}

size_t attention_backward_units(const struct attention *a)
{
    return a->batch * a->kv_heads;
}

/* Beside products, in the time that a multiply-add of theirs takes: for each pair the exponential and what follows, and the
 * mask; for each element of a head's rows, packing and moving. */
enum { PAIR_COST = 100, MASKED_PAIR_COST = 100, ELEMENT_COST = 80 };

static uint64_t backward_cost(const struct attention *a)
{
    const uint64_t pair = 10 * a->head_dim + PAIR_COST + (a->dropout.threshold ? MASKED_PAIR_COST : 0);
    const uint64_t pairs = attention__computed_pairs(a->seq_len, a->window);
    return (pairs * pair + a->seq_len * a->head_dim * ELEMENT_COST) * (a->heads / a->kv_heads);
}

struct work attention_backward_work(const struct attention *a)
{
    return (struct work){.units = attention_backward_units(a),
                         .cost = backward_cost(a),
                         .run = a->dtype == DTYPE_BF16 ? rounded__attention_backward : backward_run,
                         .ctx = a};
}
