/* SPDX-License-Identifier: MIT
 * attention_rounded.c - attention whose products take operands rounded to bf16: Q, K, V, dO, and P and dS once they are made.
 * Scores, softmax, dropout, masks and all sums are f32, and the statistics kept are those of these scores.
 *
 * The blocks are those of attention.c and attention_backward.c in the sizes of bf16's units: a block of k that another goes
 * on from is a multiple of 32, so that neither a tile of AMX nor a pair is cut, and begins at the edge of a panel of keys, with
 * zeros up to the first key that is seen.
 */
#include "attention_internal.h"
#include "base/arena.h"
#include "base/check.h"
#include "kernels/kernels_bf16.h"
#include "ops/attention.h"

#include <string.h>

enum { BAND = 32, QUERIES = 2 * BAND, KEYS = 2 * QUERIES, PAIRS_MAX = 32 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Elements of one panel of B, k deep, and bytes of those of [k,n]. */
static size_t panel_of(size_t k)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return bf16_padded(k, kn->kr) * kn->nr;
}

static size_t panels_bytes(size_t k, size_t n)
{
    const size_t nr = kernels_bf16_get()->nr;
    return up(n, nr) / nr * panel_of(k) * sizeof(bf16);
}

/* Panels of A [m,k]. */
static size_t a_panels_bytes(size_t m, size_t k)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return up(m, kn->mr) * bf16_padded(k, kn->kr) * sizeof(bf16);
}

/* C [m,n] = (C +) A·B; a_row 0: A in panels k deep. */
static void product(float *sum, float *c, size_t c_row, const bf16 *a, size_t a_row, const bf16 *b, size_t b_panel,
                    size_t m, size_t n, size_t k, bool go_on)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    kn->gemm_bf16(&(struct gemm_bf16){.m = m,
                                      .n = n,
                                      .k = k,
                                      .a = a,
                                      .a_row = a_row,
                                      .a_panel = a_row ? 0 : bf16_padded(k, kn->kr) * kn->mr,
                                      .b = b,
                                      .b_panel = b_panel,
                                      .init = go_on ? c : NULL,
                                      .init_row = c_row,
                                      .c = c,
                                      .c_row = c_row,
                                      .sum = sum});
}

/* m rows of n elements, and zeros up to a multiple of 32; strides in elements. */
static void round_rows(bf16 *dst, size_t dst_row, const float *src, size_t src_row, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++) {
        kernels_bf16_get()->round_bf16(dst + i * dst_row, src + i * src_row, n);
        memset(dst + i * dst_row + n, 0, (up(n, PAIRS_MAX) - n) * sizeof *dst);
    }
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static size_t widest_row(size_t T, size_t window)
{
    return attention__widest_row(T, window, BAND + kernels_bf16_get()->nr);
}

void rounded__attention_forward(struct sphere *me, const void *attention, size_t begin, size_t end)
{
    const struct attention *a = attention;
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const struct attention_shape s = attention__shape(a);
    const size_t T = s.T, d = s.d, P = widest_row(T, a->window), P16 = up(P, PAIRS_MAX), D16 = up(d, PAIRS_MAX);
    const size_t mark = arena_mark(&me->scratch);
    struct arena *memory = &me->scratch;
    bf16 *keys = arena_alloc(memory, panels_bytes(d, T)), *values = arena_alloc(memory, panels_bytes(T, d));
    bf16 *q = arena_alloc(memory, BAND * D16 * sizeof *q), *p16 = arena_alloc(memory, BAND * P16 * sizeof *p16);
    float *p = arena_alloc(memory, BAND * P * sizeof *p), *sum = arena_alloc(memory, GEMM_BF16_SUM_BYTES);
    size_t packed = SIZE_MAX; /* whose keys and values lie in the panels */
    CHECK(kn->nr % kn->kr == 0 && kn->kr <= PAIRS_MAX);
    for (size_t unit = begin; unit < end; unit++) {
        const struct attention_head h = attention__head(a, unit / a->heads, unit % a->heads);
        if (h.key != packed) {
            kn->pack_b_f32(keys, panel_of(d), h.k, 1, (ptrdiff_t)s.E, d, T);
            kn->pack_b_f32(values, panel_of(T), h.v, (ptrdiff_t)s.E, 1, T, d);
            packed = h.key;
        }
        for (size_t q0 = 0; q0 < T; q0 += BAND) {
            const size_t m = least(BAND, T - q0), low = attention__first_key(h.first, q0, a->window);
            const struct attention_view v = {low / kn->nr * kn->nr, low, q0 + m};
            const size_t n = v.end - v.begin;
            round_rows(q, D16, h.q + q0 * s.E, s.E, m, d);
            product(sum, p, P, q, D16, keys + v.begin / kn->nr * panel_of(d), panel_of(d), m, n, d, false);
            attention__softmax(a, &h, p, P, q0, m, v);
            round_rows(p16, P16, p, P, m, n);
            product(sum, a->out + (h.row0 + q0) * s.A + h.column, s.A, p16, P16, values + v.begin * kn->nr, panel_of(T),
                    m, d, least(up(n, kn->kr), bf16_padded(T, kn->kr) - v.begin), false);
            sphere_count_flops(me, 4 * (uint64_t)m * (v.end - low) * d);
        }
    }
    arena_reset(&me->scratch, mark);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

struct space {
    size_t row, row16, d16;         /* elements of rows of scores in f32 and in bf16, and of a head */
    bf16 *keys_t, *values_t, *keys; /* panels of a block of keys */
    bf16 *q, *dout;                 /* [QUERIES,d16] */
    bf16 *q_panels, *dout_panels;   /* the same as B */
    bf16 *p16, *ds16;               /* [QUERIES,row16] */
    bf16 *across;                   /* panels of p16's or ds16's transpose */
    float *p, *ds, *dropped;        /* [QUERIES,row]; without dropout dropped is p */
    float *dk, *dv;                 /* [KEYS,d] */
    float *dot;                     /* [group,T] */
    float *sum;
};

/* What a block of queries and a block of keys from `low` on give each other; columns are counted from k0. */
static void block(struct sphere *me, const struct attention *a, const void *space, const struct attention_head *h,
                  const float *dot, size_t q0, size_t m, size_t k0, size_t n, size_t low)
{
    const struct space *x = space;
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const struct attention_shape s = attention__shape(a);
    const size_t d = s.d, end = least(q0 + m, k0 + n), first = (low - k0) / kn->nr * kn->nr, part = first / kn->nr;
    const float *dout = a->dout + (h->row0 + q0) * s.A + h->column, *q = h->q + q0 * s.E;
    float *dq = a->dqkv + (h->q - a->qkv) + q0 * s.E;
    round_rows(x->q, x->d16, q, s.E, m, d);
    round_rows(x->dout, x->d16, dout, s.A, m, d);
    for (size_t i0 = 0; i0 < m; i0 += BAND) {
        const size_t rows = least(BAND, m - i0), at = i0 * x->row, at16 = i0 * x->row16;
        const struct attention_view v = {k0 + first, low, least(q0 + i0 + rows, k0 + n)};
        const size_t cols = v.end - v.begin;
        product(x->sum, x->p + at + first, x->row, x->q + i0 * x->d16, x->d16, x->keys_t + part * panel_of(d),
                panel_of(d), rows, cols, d, false);
        product(x->sum, x->ds + at + first, x->row, x->dout + i0 * x->d16, x->d16, x->values_t + part * panel_of(d),
                panel_of(d), rows, cols, d, false);
        attention__softmax_backward(a, h, dot, x->p + at, x->ds + at, x->dropped + at, x->row, q0 + i0, rows, k0, v);
        round_rows(x->p16 + at16 + first, x->row16, x->dropped + at + first, x->row, rows, cols);
        round_rows(x->ds16 + at16 + first, x->row16, x->ds + at + first, x->row, rows, cols);
        product(x->sum, dq + i0 * s.E, s.E, x->ds16 + at16 + first, x->row16, x->keys + first * kn->nr, panel_of(n),
                rows, d, least(up(cols, kn->kr), bf16_padded(n, kn->kr) - first),
                low > attention__first_key(h->first, q0, a->window));
    }
    kn->pack_b_f32(x->q_panels, panel_of(m), q, (ptrdiff_t)s.E, 1, m, d);
    kn->pack_b_f32(x->dout_panels, panel_of(m), dout, (ptrdiff_t)s.A, 1, m, d);
    for (size_t j = low; j < end;) { /* keys before q0 meet all queries, the others those from their band on */
        const size_t i0 = j < q0 ? 0 : (j - q0) / BAND * BAND,
                     to = j < q0 ? least(q0, end) : least(q0 + i0 + BAND, end);
        const size_t at16 = i0 * x->row16 + (j - k0), keys = to - j, k = m - i0;
        const size_t panel = bf16_padded(k, kn->kr) * kn->mr;
        kn->pack_a_bf16(x->across, panel, x->p16 + at16, x->row16, keys, k);
        product(x->sum, x->dv + (j - k0) * d, d, x->across, 0, x->dout_panels + i0 * kn->nr, panel_of(m), keys, d, k,
                true);
        kn->pack_a_bf16(x->across, panel, x->ds16 + at16, x->row16, keys, k);
        product(x->sum, x->dk + (j - k0) * d, d, x->across, 0, x->q_panels + i0 * kn->nr, panel_of(m), keys, d, k,
                true);
        j = to;
    }
    sphere_count_flops(me, 10 * (uint64_t)m * (end - low) * d);
}

static void pack(const struct attention *a, const void *space, const struct attention_head *h, size_t k0, size_t n)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const struct space *x = space;
    const struct attention_shape s = attention__shape(a);
    kn->pack_b_f32(x->keys_t, panel_of(s.d), h->k + k0 * s.E, 1, (ptrdiff_t)s.E, s.d, n);
    kn->pack_b_f32(x->values_t, panel_of(s.d), h->v + k0 * s.E, 1, (ptrdiff_t)s.E, s.d, n);
    kn->pack_b_f32(x->keys, panel_of(n), h->k + k0 * s.E, (ptrdiff_t)s.E, 1, n, s.d);
}

/* Takes the backward's space, or with memory NULL only adds up. */
static size_t take_space(struct arena *memory, struct space *x, size_t T, size_t d, size_t group, bool dropout)
{
    const size_t row = attention__row_floats(KEYS), row16 = KEYS + 2 * PAIRS_MAX, d16 = up(d, PAIRS_MAX);
    const struct {
        void *to;
        size_t bytes;
    } pieces[] = {{&x->keys_t, panels_bytes(d, KEYS)},
                  {&x->values_t, panels_bytes(d, KEYS)},
                  {&x->keys, panels_bytes(KEYS, d)},
                  {&x->q, QUERIES * d16 * sizeof(bf16)},
                  {&x->dout, QUERIES * d16 * sizeof(bf16)},
                  {&x->q_panels, panels_bytes(QUERIES, d)},
                  {&x->dout_panels, panels_bytes(QUERIES, d)},
                  {&x->p16, QUERIES * row16 * sizeof(bf16)},
                  {&x->ds16, QUERIES * row16 * sizeof(bf16)},
                  {&x->across, a_panels_bytes(KEYS, QUERIES)},
                  {&x->p, QUERIES * row * sizeof(float)},
                  {&x->ds, QUERIES * row * sizeof(float)},
                  {&x->dk, KEYS * d * sizeof(float)},
                  {&x->dv, KEYS * d * sizeof(float)},
                  {&x->dot, group * T * sizeof(float)},
                  {&x->sum, GEMM_BF16_SUM_BYTES},
                  {&x->dropped, dropout ? QUERIES * row * sizeof(float) : 0}};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        bytes += arena_piece_bytes(pieces[i].bytes);
        if (memory) {
            void *p = arena_alloc(memory, pieces[i].bytes);
            memcpy(pieces[i].to, &p, sizeof p);
        }
    }
    x->row = row;
    x->row16 = row16;
    x->d16 = d16;
    if (!dropout)
        x->dropped = x->p;
    return bytes;
}

void rounded__attention_backward(struct sphere *me, const void *attention, size_t begin, size_t end)
{
    const struct attention *a = attention;
    const size_t mark = arena_mark(&me->scratch);
    struct space x = {0};
    take_space(&me->scratch, &x, a->seq_len, a->head_dim, a->heads / a->kv_heads, a->dropout.threshold > 0);
    const struct attention_walk walk = {QUERIES, KEYS, x.dk, x.dv, x.dot, pack, block, &x};
    for (size_t i = begin; i < end; i++)
        attention__backward_unit(me, a, &walk, i / a->kv_heads, i % a->kv_heads);
    arena_reset(&me->scratch, mark);
}

size_t rounded__attention_scratch_bytes(size_t T, size_t d, size_t group, size_t window)
{
    struct space x = {0};
    const size_t P = widest_row(T, window);
    const size_t forward = arena_piece_bytes(panels_bytes(d, T)) + arena_piece_bytes(panels_bytes(T, d)) +
                           arena_piece_bytes(BAND * up(d, PAIRS_MAX) * sizeof(bf16)) +
                           arena_piece_bytes(BAND * up(P, PAIRS_MAX) * sizeof(bf16)) +
                           arena_piece_bytes(BAND * P * sizeof(float)) + arena_piece_bytes(GEMM_BF16_SUM_BYTES);
    const size_t backward = take_space(NULL, &x, T, d, group, true);
    return forward > backward ? forward : backward;
}
