/* SPDX-License-Identifier: MIT
 * bf16_checks.h - what every table of bf16 kernels is held to: the order of its sums element by element in plain C, a bound
 * from the operands in double, its layouts, odd sizes, poison around outputs, values no one plans for.
 */
#ifndef TESTS_KERNELS_BF16_CHECKS_H
#define TESTS_KERNELS_BF16_CHECKS_H

#include "base/rng.h"
#include "kernels/kernels_bf16.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 64 }; /* elements of poison before and behind */
#define POISON   12345.678f
#define POISON16 ((bf16)0x7fc5) /* a NaN: whoever reads it shows it */

static inline bool same_value(float a, float b) /* the same bits, or both NaN */
{
    return f32_bits(a) == f32_bits(b) || (a != a && b != b);
}

/* ---- one step of each order, in plain C: exact in double, then rounded once (see src/kernels/portable/bf16.h) ---- */

static inline float ref_flush(float x)
{
    return (f32_bits(x) & 0x7f800000u) == 0 ? f32_of_bits(f32_bits(x) & 0x80000000u) : x;
}
static inline float ref_round(double x)
{
    return fabs(x) < 0x1p-126 - 0x1p-151 ? (float)copysign(0, x) : (float)x;
}
static inline float ref_fma(bf16 a, bf16 b, float c)
{
    return ref_round((double)ref_flush(f32_of_bf16(a)) * (double)ref_flush(f32_of_bf16(b)) + (double)ref_flush(c));
}
static inline float ref_add(float a, float b)
{
    return ref_round((double)ref_flush(a) + (double)ref_flush(b));
}
static inline float ref_pair(float sum, const bf16 a[2], const bf16 b[2])
{
    return ref_fma(a[0], b[0], ref_fma(a[1], b[1], sum));
}
static inline float ref_tile(float sum, const bf16 a[32], const bf16 b[32])
{
    float even = 0, odd = 0;
    for (int q = 0; q < 32; q += 2) {
        even = ref_fma(a[q], b[q], even);
        odd = ref_fma(a[q + 1], b[q + 1], odd);
    }
    return ref_add(sum, ref_add(even, odd));
}
/* a chain over k, the operands with `a_step` and `b_step` elements from one to the next */
static inline float ref_chain(enum bf16_order order, float start, const bf16 *a, size_t a_step, const bf16 *b,
                              size_t b_step, size_t k)
{
    const size_t width = order == BF16_PAIRS ? 2 : 32;
    float sum = ref_flush(start);
    for (size_t p = 0; p < k; p += width) {
        bf16 x[32] = {0}, y[32] = {0};
        for (size_t q = 0; q < width && p + q < k; q++) {
            x[q] = a[(p + q) * a_step];
            y[q] = b[(p + q) * b_step];
        }
        sum = order == BF16_PAIRS ? ref_pair(sum, x, y) : ref_tile(sum, x, y);
    }
    return sum;
}

/* ---- operands ---- */

static inline float *sum_scratch(void)
{
    static float sum[GEMM_BF16_SUM_BYTES / sizeof(float)];
    return sum;
}

static inline bf16 *numbers16(size_t n, uint64_t seed) /* with EDGE elements of poison on both sides */
{
    bf16 *all = malloc((n + 2 * EDGE) * sizeof *all);
    for (size_t i = 0; i < n + 2 * EDGE; i++)
        all[i] = POISON16;
    for (size_t i = 0; i < n; i++)
        all[EDGE + i] = bf16_of_f32((float)rng_normal(rng_key(seed, RNG_TEST, n, 0), i));
    return all + EDGE;
}
static inline float *numbers32(size_t n, uint64_t seed)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(rng_key(seed, RNG_TEST, n, 1), i);
    return x;
}
static inline void free16(bf16 *x)
{
    free(x - EDGE);
}

struct layout {
    bf16 *data;
    size_t panel, panels;
};
static inline struct layout layout_new(const struct kernels_bf16 *kn, size_t width, size_t n, size_t k)
{
    struct layout l = {.panel = bf16_padded(k, kn->kr) * width, .panels = (n + width - 1) / width};
    const size_t all = l.panel * l.panels;
    l.data = malloc((all + 2 * EDGE) * sizeof *l.data);
    for (size_t i = 0; i < all + 2 * EDGE; i++)
        l.data[i] = POISON16;
    l.data += EDGE;
    return l;
}
static inline void layout_free(struct layout *l, const char *what)
{
    for (size_t i = 0; i < EDGE; i++)
        ck_assert_msg(l->data[-1 - (ptrdiff_t)i] == POISON16 && l->data[l->panel * l->panels + i] == POISON16,
                      "%s writes outside its panels", what);
    free(l->data - EDGE);
}

/* ---- products ---- */

enum a_form { A_ROWS, A_TURNED };
struct product_case {
    size_t m, n, k;
    enum a_form a_form;
    bool b_turned; /* B's k lies side by side in the source */
    bool init, init_rows, add, c, c16;
};

static inline void check_product(const struct kernels_bf16 *kn, const struct product_case *c)
{
    const size_t m = c->m, n = c->n, k = c->k, pad = 3, row = n + pad;
    bf16 *a, *b = numbers16(n * k, 2); /* b as [k,n], or [n,k] when turned */
    float *init = numbers32(m * n, 3), *add = numbers32(m * n, 4), *sum = sum_scratch();
    struct layout pa = layout_new(kn, kn->mr, m, k), pb = layout_new(kn, kn->nr, n, k);
    kn->pack_b_bf16(pb.data, pb.panel, b, c->b_turned ? 1 : (ptrdiff_t)n, c->b_turned ? (ptrdiff_t)k : 1, k, n);
    float *y = malloc((m * row + 2 * EDGE) * sizeof *y);
    bf16 *y16 = malloc((m * row + 2 * EDGE) * sizeof *y16);
    for (size_t i = 0; i < m * row + 2 * EDGE; i++) {
        y[i] = POISON;
        y16[i] = POISON16;
    }
    struct gemm_bf16 g = {.m = m, .n = n, .k = k, .b = pb.data, .b_panel = pb.panel, .sum = sum};
    if (c->a_form == A_ROWS) { /* rows a little apart, poison between */
        a = numbers16(m * (k + 1), 1);
        for (size_t i = 0; i < m; i++)
            a[i * (k + 1) + k] = POISON16;
        g.a = a;
        g.a_row = k + 1;
    } else {
        a = numbers16(m * k, 1); /* [k,m] */
        kn->pack_a_bf16(pa.data, pa.panel, a, m, m, k);
        g.a = pa.data;
        g.a_panel = pa.panel;
    }
    if (c->init) {
        g.init = init;
        g.init_row = c->init_rows ? n : 0;
    }
    if (c->add) {
        g.add = add;
        g.add_row = n;
    }
    if (c->c) {
        g.c = y + EDGE;
        g.c_row = row;
    }
    if (c->c16) {
        g.c16 = y16 + EDGE;
        g.c16_row = row;
    }
    kn->gemm_bf16(&g);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < row; j++) {
            const float got = y[EDGE + i * row + j];
            const bf16 got16 = y16[EDGE + i * row + j];
            if (j >= n) {
                ck_assert_msg(got == POISON && got16 == POISON16, "gemm_bf16 writes beyond its columns");
                continue;
            }
            const bf16 *ai = c->a_form == A_ROWS ? a + i * (k + 1) : a + i, *bj = c->b_turned ? b + j * k : b + j;
            const size_t as = c->a_form == A_ROWS ? 1 : m, bs = c->b_turned ? 1 : n;
            const float start = c->init ? init[c->init_rows ? i * n + j : j] : 0;
            float want = ref_chain(kn->order, start, ai, as, bj, bs, k);
            double exact = (double)start, size = fabs(exact);
            for (size_t p = 0; p < k; p++) {
                const double t = (double)f32_of_bf16(ai[p * as]) * (double)f32_of_bf16(bj[p * bs]);
                exact += t;
                size += fabs(t);
            }
            if (c->add) {
                want = ref_add(add[i * n + j], want);
                exact += (double)add[i * n + j];
                size += fabs((double)add[i * n + j]);
            }
            const char *name = isa_name(kn->isa);
            ck_assert_msg(!!(fabs((double)want - exact) <= 0x1p-24 * (double)(k + 3) * size),
                          "the order itself is off: %g for %g", (double)want, exact);
            if (c->c)
                ck_assert_msg(same_value(got, want), "%s: %zu x %zu x %zu, element %zu,%zu is %a, should be %a", name, m,
                              n, k, i, j, (double)got, (double)want);
            if (c->c16)
                ck_assert_msg(got16 == bf16_of_f32(want), "%s: %zu x %zu x %zu, element %zu,%zu is %#x for %a", name, m,
                              n, k, i, j, got16, (double)want);
        }
    for (size_t i = 0; i < EDGE; i++)
        ck_assert_msg(y[i] == POISON && y16[i] == POISON16 && y[EDGE + m * row + i] == POISON &&
                          y16[EDGE + m * row + i] == POISON16,
                      "gemm_bf16 writes outside C");
    layout_free(&pa, "pack_a_bf16");
    layout_free(&pb, "pack_b_bf16");
    free16(a), free16(b), free(init), free(add), free(y), free(y16);
}

static inline void check_products(const struct kernels_bf16 *kn, int rounds)
{
    static const size_t sizes[] = {1, 2, 3, 7, 8, 12, 13, 15, 16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65, 97};
    enum { N = sizeof sizes / sizeof *sizes };
    for (int round = 0; round < rounds; round++) {
        const struct rng_block r = philox4x32(78, 0, (uint64_t)round);
        const uint32_t bits = r.word[3];
        check_product(kn, &(struct product_case){.m = sizes[r.word[0] % N],
                                                 .n = sizes[r.word[1] % N],
                                                 .k = sizes[r.word[2] % N],
                                                 .a_form = bits & 1 ? A_TURNED : A_ROWS,
                                                 .b_turned = bits >> 1 & 1,
                                                 .init = bits >> 2 & 1,
                                                 .init_rows = bits >> 3 & 1,
                                                 .add = bits >> 4 & 1,
                                                 .c = bits >> 5 & 1 || !(bits >> 6 & 1),
                                                 .c16 = bits >> 6 & 1});
    }
    /* beyond one block of rows, of columns and of k */
    const size_t m = GEMM_BF16_ROWS + 13, n = GEMM_BF16_COLS + 37, k = 2 * GEMM_BF16_DEPTH + 45;
    check_product(kn, &(struct product_case){.m = 5, .n = n, .k = 33, .c = true, .c16 = true});
    check_product(kn, &(struct product_case){.m = m, .n = 34, .k = 7, .a_form = A_TURNED, .c = true});
    check_product(kn, &(struct product_case){.m = 14, .n = 40, .k = k, .init = true, .add = true, .c16 = true});
    check_product(kn, &(struct product_case){.m = 37, .n = 33, .k = k, .a_form = A_TURNED, .b_turned = true, .c = true});
    check_product(kn, &(struct product_case){.m = m, .n = n, .k = GEMM_BF16_DEPTH + 1, .c = true});
}

/* A chain cut at a multiple of kr and gone on with (init = c) is the chain uncut, from blocks of the same panels. */
static inline void check_going_on(const struct kernels_bf16 *kn)
{
    const size_t m = 13, n = 35, k = 200, cut = 64;
    bf16 *a = numbers16(m * k, 5), *b = numbers16(k * n, 6);
    float *sum = sum_scratch(), *whole = malloc(m * n * sizeof *whole), *parts = malloc(m * n * sizeof *parts);
    struct layout pb = layout_new(kn, kn->nr, n, k);
    kn->pack_b_bf16(pb.data, pb.panel, b, (ptrdiff_t)n, 1, cut, n); /* packed in two goes as well */
    kn->pack_b_bf16(pb.data + cut * kn->nr, pb.panel, b + cut * n, (ptrdiff_t)n, 1, k - cut, n);
    struct gemm_bf16 g = {.m = m, .n = n, .k = k, .a = a, .a_row = k, .b = pb.data, .b_panel = pb.panel, .sum = sum};
    g.c = whole;
    g.c_row = n;
    kn->gemm_bf16(&g);
    g.c = parts;
    g.k = cut;
    kn->gemm_bf16(&g);
    g.a += cut;
    g.b += cut * kn->nr;
    g.k = k - cut;
    g.init = parts;
    g.init_row = n;
    kn->gemm_bf16(&g);
    for (size_t i = 0; i < m * n; i++)
        ck_assert_msg(same_value(whole[i], parts[i]), "%s: element %zu: %a in one, %a in two", isa_name(kn->isa), i,
                      (double)whole[i], (double)parts[i]);
    layout_free(&pb, "pack_b_bf16");
    free16(a), free16(b), free(whole), free(parts);
}

/* One chain for each combination of values no one plans for, and of values at every edge of the arithmetic. */
static inline void check_edges(const struct kernels_bf16 *kn, uint64_t seed, int rounds)
{
    static const uint16_t special[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x0080, 0x8080, 0x3f80, 0xbf80,
                                       0x7f7f, 0xff7f, 0x7f80, 0xff80, 0x7fc0, 0xffc1, 0x7f81, 0x3f81, 0x0100};
    enum { S = sizeof special / sizeof *special, M = 16, N = 32, LONGEST = 70 };
    float *sum = sum_scratch();
    for (int round = 0; round < rounds; round++) {
        const size_t k = (size_t)round % LONGEST + 1;
        bf16 a[M * LONGEST], b[N * LONGEST];
        float init[M * N], c[M * N];
        for (size_t i = 0; i < (M + N) * k; i++) {
            const struct rng_block r = philox4x32(seed, (uint64_t)round, i);
            bf16 x;
            switch (round % 4) {
            case 0: /* anything, often special */
                x = r.word[0] % 3 ? (bf16)r.word[1] : special[r.word[1] % S];
                break;
            case 1: /* near one: ties and cancellation */
                x = (bf16)(0x3f00 | (r.word[0] & 0x80ff));
                break;
            case 2: /* products near the smallest normal number */
                x = (bf16)(0x1f00 + (r.word[0] & 0x81ff));
                break;
            default: /* products near overflow */
                x = (bf16)(0x5f00 + (r.word[0] & 0x80ff));
            }
            if (i < M * k)
                a[i] = x;
            else
                b[i - M * k] = x;
        }
        for (size_t i = 0; i < M * N; i++) {
            const struct rng_block r = philox4x32(seed + 1, (uint64_t)round, i);
            const uint32_t mask[] = {0xffffffffu, 0x80ffffffu, 0x81ffffffu, 0xffffffffu};
            init[i] = f32_of_bits((r.word[0] & mask[round % 4]) | (round % 4 == 1 ? 0x3f000000u : 0));
        }
        struct layout pb = layout_new(kn, kn->nr, N, k);
        kn->pack_b_bf16(pb.data, pb.panel, b, 1, (ptrdiff_t)k, k, N);
        kn->gemm_bf16(&(struct gemm_bf16){.m = M,
                                          .n = N,
                                          .k = k,
                                          .a = a,
                                          .a_row = k,
                                          .b = pb.data,
                                          .b_panel = pb.panel,
                                          .init = init,
                                          .init_row = N,
                                          .c = c,
                                          .c_row = N,
                                          .sum = sum});
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++) {
                const float want = ref_chain(kn->order, init[i * N + j], a + i * k, 1, b + j * k, 1, k);
                ck_assert_msg(same_value(c[i * N + j], want), "%s: round %d, k %zu, element %zu,%zu is %a, should be %a",
                              isa_name(kn->isa), round, k, i, j, (double)c[i * N + j], (double)want);
            }
        layout_free(&pb, "pack_b_bf16");
    }
}

/* Packing from f32 is rounding and then packing, in both directions; rows convert as base/float16.h does. */
static inline void check_conversions(const struct kernels_bf16 *kn)
{
    static const size_t sizes[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 65, 100};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++)
            for (int turned = 0; turned < 2; turned++) {
                const size_t k = sizes[s], n = sizes[t];
                const ptrdiff_t row = turned ? 1 : (ptrdiff_t)n, col = turned ? (ptrdiff_t)k : 1;
                float *x = numbers32(k * n, 9);
                bf16 *x16 = numbers16(k * n, 9);
                kn->round_bf16(x16, x, k * n);
                ck_assert(x16[-1] == POISON16 && x16[k * n] == POISON16);
                for (size_t i = 0; i < k * n; i++)
                    ck_assert_uint_eq(x16[i], bf16_of_f32(x[i]));
                struct layout p = layout_new(kn, kn->nr, n, k), q = layout_new(kn, kn->nr, n, k);
                kn->pack_b_f32(p.data, p.panel, x, row, col, k, n);
                kn->pack_b_bf16(q.data, q.panel, x16, row, col, k, n);
                for (size_t i = 0; i < p.panel * p.panels; i++)
                    ck_assert_msg(p.data[i] == q.data[i], "%s: %zu x %zu, element %zu of the panels", isa_name(kn->isa),
                                  k, n, i);
                kn->widen_bf16(x, x16, k * n);
                for (size_t i = 0; i < k * n; i++)
                    ck_assert(f32_bits(x[i]) == (uint32_t)x16[i] << 16);
                layout_free(&p, "pack_b_f32"), layout_free(&q, "pack_b_bf16");
                free(x), free16(x16);
            }
    /* all patterns of the upper half with the lower halves where rounding turns, NaN and denormals among them */
    static const uint32_t low[] = {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff};
    float x[48];
    bf16 y[48];
    size_t n = 0;
    for (uint32_t high = 0; high < 0x10000; high++)
        for (size_t l = 0; l < sizeof low / sizeof *low; l++) {
            x[n++] = f32_of_bits(high << 16 | low[l]);
            if (n == 48) {
                kn->round_bf16(y, x, n);
                for (size_t i = 0; i < n; i++)
                    ck_assert_msg(y[i] == bf16_of_f32(x[i]), "%s: %#x rounds to %#x", isa_name(kn->isa), f32_bits(x[i]),
                                  y[i]);
                n = 0;
            }
        }
}

#endif
