/* SPDX-License-Identifier: MIT
 * test_kernels.c - every kernel of kernels.def, in every ISA this CPU has: against a plain reference in double with a
 * bound from the operands, against the portable version bit for bit, on odd sizes, with poison around the ends.
 */
#include "base/detmath.h"
#include "base/memory.h"
#include "base/rng.h"
#include "kernels/kernels.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 32 }; /* floats of poison before and behind every output */
#define POISON 12345.678f

static const size_t lengths[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 127, 200};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

static float *numbers(size_t n, uint64_t seed)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(rng_key(seed, RNG_TEST, n, 0), i);
    return x;
}

/* An output with poison on both sides; `of` says where the poison was touched. */
struct guarded {
    float *all, *x;
    size_t n;
};
static struct guarded guard(size_t n, const float *start)
{
    struct guarded g = {.all = malloc((n + 2 * EDGE) * sizeof(float)), .n = n};
    g.x = g.all + EDGE;
    for (size_t i = 0; i < n + 2 * EDGE; i++)
        g.all[i] = POISON;
    if (start)
        memcpy(g.x, start, n * sizeof(float));
    return g;
}
static void release(struct guarded *g, const char *what)
{
    for (size_t i = 0; i < EDGE; i++)
        ck_assert_msg(g->all[i] == POISON && g->x[g->n + i] == POISON, "%s writes outside its row", what);
    free(g->all);
}

static void same_bits(const char *what, const struct kernels *k, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(memcmp(&a[i], &b[i], sizeof *a) == 0, "%s, %s: element %zu of %zu is %.9g, portable says %.9g",
                      isa_name(k->isa), what, i, n, (double)a[i], (double)b[i]);
}

static void within(const char *what, const struct kernels *k, size_t i, double got, double want, double tol)
{
    ck_assert_msg(!!(fabs(got - want) <= tol), "%s, %s: element %zu is %.9g, should be %.9g (tolerance %.3g)",
                  isa_name(k->isa), what, i, got, want, tol);
}

#define EACH_ISA(k)                                                                                                    \
    for (enum isa isa_ = 0; isa_ < ISA_COUNT; isa_++)                                                                  \
        for (const struct kernels *k = kernels_of(isa_); k; k = NULL)

/* --- gemm ------------------------------------------------------------------------------------------------------- */

struct gemm_case {
    size_t m, n, k;
    bool transposed, init, add, plain; /* plain: B as it lies, row-major */
    bool panels;                       /* A in panels */
};

static void gemm_once(const struct kernels *kn, const struct gemm_case *c, float *out /* [m,n] */)
{
    const size_t m = c->m, n = c->n, k = c->k, pad = 3;
    float *a = numbers(m * k, 1), *b = numbers(k * n, 2), *init = numbers(n, 3), *add = numbers(m * n, 4);
    float *packed = malloc((n + kn->nr) * k * sizeof *packed);
    kn->pack_f32(packed, b, (ptrdiff_t)(c->transposed ? 1 : n), (ptrdiff_t)(c->transposed ? k : 1), k, n);
    struct guarded y = guard(m * (n + pad), NULL), panels = guard((m + kn->mr - 1) / kn->mr * kn->mr * k, NULL);
    const size_t a_row = c->transposed ? 1 : k, a_col = c->transposed ? m : 1;
    if (c->panels)
        kn->pack_a_f32(panels.x, a, (ptrdiff_t)a_row, (ptrdiff_t)a_col, m, k);
    kn->gemm_f32(&(struct gemm){.m = m,
                                .n = n,
                                .k = k,
                                .a = c->panels ? panels.x : a,
                                .a_row = c->panels ? 1 : (ptrdiff_t)a_row,
                                .a_col = (ptrdiff_t)(c->panels ? kn->mr : a_col),
                                .a_panel = c->panels ? k * kn->mr : 0,
                                .b = c->plain ? b : packed,
                                .b_panel = c->plain ? kn->nr : k * kn->nr,
                                .b_row = c->plain ? n : kn->nr,
                                .init = c->init ? init : NULL,
                                .add = c->add ? add : NULL,
                                .add_row = (ptrdiff_t)n,
                                .c = y.x,
                                .c_row = (ptrdiff_t)(n + pad)});
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = c->init ? (double)init[j] : 0, size = fabs(sum);
            for (size_t p = 0; p < k; p++) {
                const double t = (double)(c->transposed ? a[p * m + i] : a[i * k + p]) *
                                 (double)(c->transposed ? b[j * k + p] : b[p * n + j]);
                sum += t;
                size += fabs(t);
            }
            if (c->add)
                sum += (double)add[i * n + j], size += fabs((double)add[i * n + j]);
            out[i * n + j] = y.x[i * (n + pad) + j];
            within("gemm", kn, i * n + j, (double)out[i * n + j], sum, 6e-8 * (double)(k + 2) * size + 1e-30);
        }
        for (size_t j = n; j < n + pad; j++)
            ck_assert_msg(y.x[i * (n + pad) + j] == POISON, "gemm writes beyond its columns");
    }
    release(&y, "gemm"), release(&panels, "pack_a");
    free(a), free(b), free(init), free(add), free(packed);
}

START_TEST(test_gemm)
{
    const size_t sizes[] = {1, 2, 3, 5, 11, 12, 13, 16, 17, 31, 33, 48, 63, 64};
    enum { N = sizeof sizes / sizeof *sizes };
    for (int round = 0; round < 150; round++) {
        struct rng_block r = philox4x32(77, 0, (uint64_t)round);
        const struct gemm_case c = {.m = sizes[r.word[0] % N],
                                    .n = sizes[r.word[1] % N],
                                    .k = sizes[r.word[2] % N],
                                    .transposed = r.word[3] & 1,
                                    .init = r.word[3] & 2,
                                    .add = r.word[3] & 4,
                                    .plain = (r.word[3] & 9) == 8,
                                    .panels = r.word[3] & 16};
        float *want = malloc(c.m * c.n * sizeof *want), *got = malloc(c.m * c.n * sizeof *got);
        gemm_once(kernels_of(ISA_PORTABLE), &c, want);
        EACH_ISA(kn)
        {
            gemm_once(kn, &c, got);
            same_bits("gemm", kn, got, want, c.m * c.n);
        }
        free(want), free(got);
    }
}
END_TEST

/* A chain cut in two and gone on with (init = c) is the chain uncut. */
START_TEST(test_gemm_goes_on)
{
    const size_t m = 13, n = 35, k = 40, cut = 23;
    float *a = numbers(m * k, 5), *b = numbers(k * n, 6);
    EACH_ISA(kn)
    {
        float *p = malloc((n + kn->nr) * k * sizeof *p), *whole = malloc(m * n * sizeof *p),
              *parts = malloc(m * n * sizeof *p);
        kn->pack_f32(p, b, (ptrdiff_t)n, 1, k, n);
        struct gemm g = {.m = m,
                         .n = n,
                         .k = k,
                         .a = a,
                         .a_row = (ptrdiff_t)k,
                         .a_col = 1,
                         .b = p,
                         .b_panel = k * kn->nr,
                         .b_row = kn->nr,
                         .c = whole,
                         .c_row = (ptrdiff_t)n};
        kn->gemm_f32(&g);
        g.c = parts;
        g.k = cut;
        kn->gemm_f32(&g);
        g.a = a + cut;
        g.b = p + cut * kn->nr;
        g.k = k - cut;
        g.init = parts;
        g.init_row = (ptrdiff_t)n;
        kn->gemm_f32(&g);
        same_bits("gemm in two", kn, parts, whole, m * n);
        free(p), free(whole), free(parts);
    }
    free(a), free(b);
}
END_TEST

/* Panels of A: where each element goes, zeros beyond, from rows, from columns and from neither. */
START_TEST(test_pack_a)
{
    const size_t sizes[] = {1, 2, 5, 6, 7, 11, 12, 13, 15, 16, 17, 31, 33, 47, 63};
    enum { N = sizeof sizes / sizeof *sizes };
    EACH_ISA(kn)
    {
        for (size_t at = 0; at < 3 * N * N; at++) {
            const size_t m = sizes[at % N], k = sizes[at / N % N], way = at / N / N;
            const size_t row = way == 0 ? k : way == 1 ? 1 : 2, col = way == 0 ? 1 : way == 1 ? m : 2 * m;
            const size_t last = (m - 1) * row + (k - 1) * col + 1; /* nothing behind it is ours: poison the reader */
            float *src = numbers(last, at);
            struct guarded p = guard((m + kn->mr - 1) / kn->mr * kn->mr * k, NULL);
            kn->pack_a_f32(p.x, src, (ptrdiff_t)row, (ptrdiff_t)col, m, k);
            for (size_t i = 0; i < (m + kn->mr - 1) / kn->mr * kn->mr; i++)
                for (size_t q = 0; q < k; q++) {
                    const float want = i < m ? src[i * row + q * col] : 0;
                    ck_assert_msg(memcmp(&p.x[i / kn->mr * kn->mr * k + q * kn->mr + i % kn->mr], &want, 4) == 0,
                                  "%s: %zu x %zu, way %zu: element %zu,%zu", isa_name(kn->isa), m, k, way, i, q);
                }
            release(&p, "pack_a"), free(src);
        }
    }
}
END_TEST

/* The same of whole tiles in panels, whose steps go by fours. */
START_TEST(test_special_values_in_panels)
{
    const float special[] = {1e-40f, INFINITY, NAN, -1.5f, -INFINITY, 3e38f};
    enum { SPECIAL = sizeof special / sizeof *special, DEEP = 9 };
    EACH_ISA(kn)
    {
        for (size_t at = 0; at < DEEP; at++) {
            float a[16 * DEEP] = {0}, b[64 * DEEP], c[16 * 64];
            for (size_t i = 0; i < kn->mr; i++)
                a[at * kn->mr + i] = special[(i + at) % SPECIAL];
            for (size_t i = 0; i < 64 * DEEP; i++)
                b[i] = 1;
            kn->gemm_f32(&(struct gemm){.m = kn->mr,
                                        .n = kn->nr,
                                        .k = DEEP,
                                        .a = a,
                                        .a_row = 1,
                                        .a_col = (ptrdiff_t)kn->mr,
                                        .a_panel = DEEP * kn->mr,
                                        .b = b,
                                        .b_panel = DEEP * kn->nr,
                                        .b_row = kn->nr,
                                        .c = c,
                                        .c_row = (ptrdiff_t)kn->nr});
            for (size_t i = 0; i < kn->mr * kn->nr; i++) {
                const float want = special[(i / kn->nr + at) % SPECIAL];
                ck_assert_msg(isnan(want) ? isnan(c[i]) : c[i] == want, "%s: %g became %g", isa_name(kn->isa),
                              (double)want, (double)c[i]);
            }
        }
    }
}
END_TEST

/* Rows 4 KiB apart are copied and k is cut; the bits are those of rows that are not. */
START_TEST(test_gemm_rows_that_clash)
{
    const size_t m = 27, n = 150, k = 1100, apart = 2048;
    float *a = numbers(m * apart, 7), *b = numbers(k * n, 8), *near = malloc(m * k * sizeof *near);
    float *init = numbers(n, 9), *add = numbers(m * n, 10);
    for (size_t i = 0; i < m; i++)
        memcpy(near + i * k, a + i * apart, k * sizeof *near);
    EACH_ISA(kn)
    {
        float *p = malloc((n + kn->nr) * k * sizeof *p);
        struct guarded y = guard(m * n, NULL), z = guard(m * n, NULL);
        kn->pack_f32(p, b, (ptrdiff_t)n, 1, k, n);
        struct gemm g = {.m = m, .n = n, .k = k, .a = near, .a_row = (ptrdiff_t)k, .a_col = 1, .b = p};
        g.b_panel = k * kn->nr;
        g.b_row = kn->nr;
        g.init = init;
        g.add = add;
        g.add_row = g.c_row = (ptrdiff_t)n;
        g.c = y.x;
        kn->gemm_f32(&g);
        g.a = a;
        g.a_row = (ptrdiff_t)apart;
        g.c = z.x;
        kn->gemm_f32(&g);
        same_bits("gemm with rows 8 KiB apart", kn, z.x, y.x, m * n);
        release(&y, "gemm"), release(&z, "gemm"), free(p);
    }
    free(a), free(b), free(near), free(init), free(add);
}
END_TEST

/* Values no one plans for: a denormal, infinities and NaN go through as IEEE says, in every version. */
START_TEST(test_special_values)
{
    EACH_ISA(kn)
    {
        const float a[4] = {1e-40f, INFINITY, NAN, -1.5f};
        float b[4 * 32], c[4] = {0}, packed[4 * 32];
        for (int i = 0; i < 4; i++)
            b[i] = 1;
        kn->pack_f32(packed, b, 1, 1, 1, 1);
        kn->gemm_f32(&(struct gemm){.m = 4,
                                    .n = 1,
                                    .k = 1,
                                    .a = a,
                                    .a_row = 1,
                                    .a_col = 1,
                                    .b = packed,
                                    .b_panel = kn->nr,
                                    .b_row = kn->nr,
                                    .c = c,
                                    .c_row = 1});
        ck_assert(c[0] == 1e-40f && isinf(c[1]) && isnan(c[2]) && c[3] == -1.5f);
        float x[20] = {[3] = NAN}, max, sum;
        kn->exp_sum_f32(x, 20, &max, &sum);
        ck_assert_msg(isnan(sum), "%s: exp_sum hides a NaN", isa_name(kn->isa));
        float y[20] = {[7] = NAN}, inverse;
        kn->softmax_f32(y, 20, 20, 1, &max, &inverse);
        ck_assert_msg(isnan(y[0]), "%s: softmax hides a NaN", isa_name(kn->isa));
        const float g[3] = {1, NAN, 2};
        ck_assert(isnan(kn->sumsq_f32(g, 3)));
    }
}
END_TEST

/* --- rows ------------------------------------------------------------------------------------------------------- */

START_TEST(test_exp)
{
    EACH_ISA(kn)
    {
        float x[400], y[400];
        double worst = 0;
        for (int round = 0; round < 200; round++) {
            for (int i = 0; i < 400; i++)
                x[i] = -87.0f + 175.0f * (float)(round * 400 + i) / 80000;
            kn->exp_f32(y, x, 400);
            for (int i = 0; i < 400; i++)
                worst = fmax(worst, fabs((double)y[i] / det_exp((double)x[i]) - 1));
        }
        ck_assert_msg(!!(worst <= 1.2e-7), "%s: exp is off by %.3g", isa_name(kn->isa), worst);
    }
}
END_TEST

START_TEST(test_layernorm)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l];
        float *x = numbers(n, 1), *w = numbers(n, 2), *b = numbers(n, 3), *dy = numbers(n, 4), *dx0 = numbers(n, 5);
        struct guarded want_y = guard(n, NULL), want_dx = guard(n, dx0);
        EACH_ISA(kn)
        {
            struct guarded y = guard(n, NULL), again = guard(n, NULL), dx = guard(n, dx0);
            float mean, rstd;
            kn->layernorm_f32(y.x, x, w, b, n, 1e-5f, &mean, &rstd);
            kn->layernorm_backward_f32(dx.x, again.x, dy, x, w, b, n, mean, rstd);
            same_bits("layernorm again", kn, again.x, y.x, n);
            double m = 0, var = 0, s1 = 0, s2 = 0;
            for (size_t i = 0; i < n; i++)
                m += (double)x[i] / (double)n;
            for (size_t i = 0; i < n; i++)
                var += ((double)x[i] - m) * ((double)x[i] - m) / (double)n;
            const double r = 1 / sqrt(var + 1e-5);
            for (size_t i = 0; i < n; i++) {
                s1 += (double)dy[i] * w[i] / (double)n;
                s2 += (double)dy[i] * w[i] * ((double)x[i] - m) * r / (double)n;
            }
            for (size_t i = 0; i < n; i++) {
                const double hat = ((double)x[i] - m) * r;
                within("layernorm", kn, i, (double)y.x[i], hat * w[i] + b[i], 2e-6 * (1 + fabs(hat) * r / 100));
                within("layernorm backward", kn, i, (double)dx.x[i],
                       (double)dx0[i] + r * ((double)dy[i] * w[i] - s1 - hat * s2), 5e-6 * (1 + r));
            }
            if (kn->isa == ISA_PORTABLE) {
                memcpy(want_y.x, y.x, n * sizeof(float));
                memcpy(want_dx.x, dx.x, n * sizeof(float));
            }
            same_bits("layernorm", kn, y.x, want_y.x, n);
            same_bits("layernorm backward", kn, dx.x, want_dx.x, n);
            release(&y, "layernorm"), release(&again, "layernorm"), release(&dx, "layernorm");
        }
        release(&want_y, "-"), release(&want_dx, "-");
        free(x), free(w), free(b), free(dy), free(dx0);
    }
}
END_TEST

static double gelu_reference(double x)
{
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

START_TEST(test_gelu)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l];
        float *x = numbers(n, 6), *dy = numbers(n, 7);
        for (size_t i = 0; i < n; i++)
            x[i] *= 3;
        struct guarded want = guard(n, NULL), want_dx = guard(n, NULL);
        EACH_ISA(kn)
        {
            struct guarded y = guard(n, NULL), again = guard(n, NULL), dx = guard(n, dy);
            kn->gelu_f32(y.x, x, n);
            kn->gelu_backward_f32(dx.x, again.x, x, n);
            same_bits("gelu again", kn, again.x, y.x, n);
            for (size_t i = 0; i < n; i++) {
                const double h = 1e-5, slope = (gelu_reference(x[i] + h) - gelu_reference(x[i] - h)) / (2 * h);
                within("gelu", kn, i, (double)y.x[i], gelu_reference(x[i]), 4e-7 * (1 + fabs((double)x[i])));
                within("gelu backward", kn, i, (double)dx.x[i], (double)dy[i] * slope,
                       2e-6 * (1 + fabs((double)dy[i])));
            }
            if (kn->isa == ISA_PORTABLE) {
                memcpy(want.x, y.x, n * sizeof(float));
                memcpy(want_dx.x, dx.x, n * sizeof(float));
            }
            same_bits("gelu", kn, y.x, want.x, n);
            same_bits("gelu backward", kn, dx.x, want_dx.x, n);
            release(&y, "gelu"), release(&again, "gelu"), release(&dx, "gelu");
        }
        release(&want, "-"), release(&want_dx, "-");
        free(x), free(dy);
    }
}
END_TEST

/* x * sigmoid(x) * up and its slopes. */
START_TEST(test_swiglu)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l];
        float *gate = numbers(n, 30), *up = numbers(n, 31), *dy = numbers(n, 32);
        for (size_t i = 0; i < n; i++)
            gate[i] *= 3;
        struct guarded want[3] = {guard(n, NULL), guard(n, NULL), guard(n, NULL)};
        EACH_ISA(kn)
        {
            struct guarded y = guard(n, NULL), in_place = guard(n, gate), dg = guard(n, NULL), du = guard(n, NULL),
                           again = guard(n, dy);
            kn->swiglu_f32(y.x, gate, up, n);
            kn->swiglu_f32(in_place.x, in_place.x, up, n);
            kn->swiglu_backward_f32(dg.x, du.x, again.x, gate, up, n);
            same_bits("swiglu again", kn, again.x, y.x, n);
            same_bits("swiglu in place", kn, in_place.x, y.x, n);
            for (size_t i = 0; i < n; i++) {
                const double g = (double)gate[i], s = 1 / (1 + exp(-g)), size = 1 + fabs(g) * fabs((double)up[i]);
                within("swiglu", kn, i, (double)y.x[i], g * s * up[i], 4e-7 * size);
                within("swiglu dgate", kn, i, (double)dg.x[i], (double)dy[i] * up[i] * (s + g * s * (1 - s)),
                       1e-6 * (1 + fabs((double)dy[i] * up[i])));
                within("swiglu dup", kn, i, (double)du.x[i], (double)dy[i] * g * s, 4e-7 * (1 + fabs(dy[i] * g)));
            }
            const float *got[3] = {y.x, dg.x, du.x};
            for (int j = 0; j < 3; j++) {
                if (kn->isa == ISA_PORTABLE)
                    memcpy(want[j].x, got[j], n * sizeof(float));
                same_bits("swiglu", kn, got[j], want[j].x, n);
            }
            release(&y, "swiglu"), release(&in_place, "swiglu"), release(&dg, "swiglu"), release(&du, "swiglu");
            release(&again, "swiglu");
        }
        for (int j = 0; j < 3; j++)
            release(&want[j], "-");
        free(gate), free(up), free(dy);
    }
}
END_TEST

START_TEST(test_rmsnorm)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l], rows = 5, stride = n + 3, wide = n + 7;
        float *x = numbers(rows * stride, 33), *w = numbers(n, 34), *dy = numbers(rows * wide, 35);
        float *base = numbers(n, 36), *rstds = numbers(rows, 37), *old = numbers(n, 38);
        struct guarded want[3] = {guard(n, NULL), guard(n, NULL), guard(n, NULL)};
        EACH_ISA(kn)
        {
            struct guarded y = guard(n, NULL), again = guard(n, NULL), dx = guard(n, NULL), in_place = guard(n, dy),
                           dw = guard(n, old);
            float rstd;
            kn->rmsnorm_f32(y.x, x, w, n, 1e-5f, &rstd);
            kn->rmsnorm_backward_f32(dx.x, base, again.x, dy, x, w, n, rstd);
            kn->rmsnorm_backward_f32(in_place.x, NULL, NULL, in_place.x, x, w, n, rstd);
            kn->rmsnorm_columns_f32(dw.x, dy, wide, x, stride, rstds, rows, n, true);
            same_bits("rmsnorm again", kn, again.x, y.x, n);
            double square = 0, mean = 0;
            for (size_t i = 0; i < n; i++)
                square += (double)x[i] * x[i] / (double)n;
            const double r = 1 / sqrt(square + 1e-5);
            for (size_t i = 0; i < n; i++)
                mean += (double)dy[i] * w[i] * x[i] * r / (double)n;
            for (size_t i = 0; i < n; i++) {
                const double hat = (double)x[i] * r, g = r * ((double)dy[i] * w[i] - hat * mean);
                double sum = 0, size = fabs((double)old[i]);
                for (size_t t = 0; t < rows; t++) {
                    sum += (double)dy[t * wide + i] * x[t * stride + i] * rstds[t];
                    size += fabs((double)dy[t * wide + i] * x[t * stride + i] * rstds[t]);
                }
                within("rmsnorm", kn, i, (double)y.x[i], hat * w[i], 1e-6 * fabs(hat * w[i]));
                within("rmsnorm backward", kn, i, (double)dx.x[i], (double)base[i] + g, 5e-6 * (1 + r));
                within("rmsnorm backward in place", kn, i, (double)in_place.x[i], g, 5e-6 * (1 + r));
                within("rmsnorm columns", kn, i, (double)dw.x[i], (double)old[i] + sum, 1e-6 * size);
            }
            const float *got[3] = {y.x, dx.x, dw.x};
            for (int j = 0; j < 3; j++) {
                if (kn->isa == ISA_PORTABLE)
                    memcpy(want[j].x, got[j], n * sizeof(float));
                same_bits("rmsnorm", kn, got[j], want[j].x, n);
            }
            release(&y, "rmsnorm"), release(&again, "rmsnorm"), release(&dx, "rmsnorm"), release(&dw, "rmsnorm");
            release(&in_place, "rmsnorm");
        }
        for (int j = 0; j < 3; j++)
            release(&want[j], "-");
        free(x), free(w), free(dy), free(base), free(rstds), free(old);
    }
}
END_TEST

/* Turned and turned back; pairs are i and i + half. */
START_TEST(test_rope)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t half = lengths[l], n = 2 * half;
        float *x = numbers(n, 40), *cosine = numbers(half, 41), *sine = numbers(half, 42);
        for (size_t i = 0; i < half; i++) {
            const double angle = (double)sine[i];
            cosine[i] = (float)cos(angle);
            sine[i] = (float)sin(angle);
        }
        struct guarded want = guard(n, NULL);
        EACH_ISA(kn)
        {
            struct guarded y = guard(n, x);
            kn->rope_f32(y.x, cosine, sine, half, 1);
            for (size_t i = 0; i < half; i++) {
                const double a = (double)x[i], b = (double)x[half + i], size = fabs(a) + fabs(b);
                within("rope", kn, i, (double)y.x[i], a * cosine[i] - b * sine[i], 2e-7 * size);
                within("rope", kn, half + i, (double)y.x[half + i], a * sine[i] + b * cosine[i], 2e-7 * size);
            }
            if (kn->isa == ISA_PORTABLE)
                memcpy(want.x, y.x, n * sizeof(float));
            same_bits("rope", kn, y.x, want.x, n);
            kn->rope_f32(y.x, cosine, sine, half, -1);
            for (size_t i = 0; i < n; i++)
                within("rope and back", kn, i, (double)y.x[i], (double)x[i], 1e-5);
            release(&y, "rope");
        }
        release(&want, "-");
        free(x), free(cosine), free(sine);
    }
}
END_TEST

/* Rows with none, few and many places behind them, what lies there being of no account; the way back without and with
 * dropout, whose zeros stop a gradient. */
START_TEST(test_softmax)
{
    static const size_t behind[] = {0, 5, 37};
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l], total = n + behind[l % 3];
        float *x = numbers(total, 8), *up = numbers(total, 9), *dropped = numbers(total, 10);
        const float scale = 0.37f, kept = _i ? 1.25f : 1;
        for (size_t i = n; i < total; i++)
            x[i] = up[i] = dropped[i] = i % 2 ? NAN : INFINITY;
        for (size_t i = 0; i < n; i++)
            dropped[i] = dropped[i] > 0.2f ? dropped[i] : 0;
        struct guarded want = guard(total, NULL), want_ds = guard(total, NULL);
        EACH_ISA(kn)
        {
            struct guarded p = guard(total, x), again = guard(total, x), ds = guard(total, up);
            float max, inverse;
            kn->softmax_f32(p.x, n, total, scale, &max, &inverse);
            kn->softmax_again_f32(again.x, n, total, scale, max, inverse);
            same_bits("softmax again", kn, again.x, p.x, total);
            double sum = 0, dot = 0;
            for (size_t i = 0; i < n; i++)
                sum += exp((double)scale * x[i]);
            for (size_t i = 0; i < n; i++)
                dot += (double)p.x[i] * up[i];
            kn->softmax_backward_f32(ds.x, p.x, _i ? dropped : NULL, kept, n, total, (float)dot, scale);
            for (size_t i = 0; i < total; i++) {
                const double q = i < n ? exp((double)scale * x[i]) / sum : 0;
                const double g = i >= n || (_i && !(dropped[i] > 0)) ? 0 : (double)up[i] * kept;
                within("softmax", kn, i, (double)p.x[i], q, 1e-6 * q);
                within("softmax backward", kn, i, (double)ds.x[i], q * (g - dot) * scale, 3e-6 * q + 1e-12);
            }
            if (kn->isa == ISA_PORTABLE) {
                memcpy(want.x, p.x, total * sizeof(float));
                memcpy(want_ds.x, ds.x, total * sizeof(float));
            }
            same_bits("softmax", kn, p.x, want.x, total);
            same_bits("softmax backward", kn, ds.x, want_ds.x, total);
            release(&p, "softmax"), release(&again, "softmax"), release(&ds, "softmax");
        }
        release(&want, "-"), release(&want_ds, "-");
        free(x), free(up), free(dropped);
    }
}
END_TEST

START_TEST(test_sums)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l], rows = 7, stride = n + 3;
        float *x = numbers(rows * stride, 10), *y = numbers(rows * stride, 11), *mean = numbers(rows, 12);
        float *rstd = numbers(rows, 13), *old = numbers(n, 14);
        struct guarded want[3] = {guard(n, NULL), guard(n, NULL), guard(n, NULL)};
        float want_dot = 0;
        double want_square = 0;
        EACH_ISA(kn)
        {
            struct guarded sum = guard(n, old), dw = guard(n, NULL), db = guard(n, NULL);
            kn->colsum_f32(sum.x, x, rows, n, stride, true);
            kn->layernorm_columns_f32(dw.x, db.x, x, y, mean, rstd, rows, n, stride, false);
            const float dot = kn->dot_f32(x, y, n);
            const double square = kn->sumsq_f32(x, n);
            double d = 0, q = 0, size = 0;
            for (size_t i = 0; i < n; i++) {
                double s = 0, w = 0, abs = 0;
                for (size_t r = 0; r < rows; r++) {
                    const double hat = ((double)y[r * stride + i] - mean[r]) * rstd[r];
                    s += (double)x[r * stride + i];
                    w += (double)x[r * stride + i] * hat;
                    abs += fabs((double)x[r * stride + i]) * (1 + fabs(hat));
                }
                within("colsum", kn, i, (double)sum.x[i], (double)old[i] + s, 1e-6 * (abs + 1));
                within("dweight", kn, i, (double)dw.x[i], w, 2e-6 * (abs + 1));
                within("dbias", kn, i, (double)db.x[i], s, 1e-6 * (abs + 1));
                d += (double)x[i] * y[i];
                size += fabs((double)x[i] * y[i]);
                q += (double)x[i] * x[i];
            }
            within("dot", kn, 0, (double)dot, d, 1e-6 * size);
            within("sumsq", kn, 0, square, q, 1e-14 * q);
            if (kn->isa == ISA_PORTABLE) {
                memcpy(want[0].x, sum.x, n * sizeof(float));
                memcpy(want[1].x, dw.x, n * sizeof(float));
                memcpy(want[2].x, db.x, n * sizeof(float));
                want_dot = dot;
                want_square = square;
            }
            same_bits("colsum", kn, sum.x, want[0].x, n);
            same_bits("dweight", kn, dw.x, want[1].x, n);
            same_bits("dbias", kn, db.x, want[2].x, n);
            same_bits("dot", kn, &dot, &want_dot, 1);
            ck_assert(square == want_square);
            release(&sum, "colsum"), release(&dw, "dweight"), release(&db, "dbias");
        }
        for (int i = 0; i < 3; i++)
            release(&want[i], "-");
        free(x), free(y), free(mean), free(rstd), free(old);
    }
}
END_TEST

/* Many, so that every branch of the logarithm and the cosine is met; any length, any place to begin. */
START_TEST(test_normals)
{
    enum { MANY = 100003 };
    static float many[MANY + 1];
    const double std = (double)0.02f;
    EACH_ISA(kn)
    {
        kn->normals_f32(many, 77, 5, MANY, std);
        for (size_t i = 0; i < MANY; i++) {
            const float one = (float)(rng_normal(77, 5 + i) * std);
            ck_assert_msg(memcmp(&one, &many[i], sizeof one) == 0, "%s, %zu: %a is not %a", isa_name(kn->isa), i,
                          (double)many[i], (double)one);
        }
        for (size_t n = 0; n < 40; n++) {
            float few[41];
            few[n] = 9;
            kn->normals_f32(few, 77, 5 + n, n, std);
            ck_assert_mem_eq(few, many + n, n * sizeof *few);
            ck_assert(few[n] == 9);
        }
    }
}
END_TEST

/* Dropout keeps the share it should, scales what it keeps, and draws what philox4x32 says element by element. */
START_TEST(test_dropout)
{
    const float p = 0.3f;
    const uint32_t threshold = (uint32_t)((double)p * 4294967296.0);
    EACH_ISA(kn)
    {
        size_t dropped = 0, all = 0;
        for (uint64_t row = 0; row < 300; row++) {
            const size_t n = lengths[row % LENGTHS], first = row % 3 ? row % 5 * 41 : 0;
            float *x = numbers(n, row);
            struct guarded y = guard(n, x);
            kn->dropout_f32(y.x, y.x, first, n, 99, row, threshold, 1 / (1 - p));
            for (size_t i = 0; i < n; i++) {
                const size_t e = first + i;
                const struct rng_block b = philox4x32(99, row, e / 64 * 16 + e % 16);
                const float want = b.word[e / 16 % 4] < threshold ? 0 : x[i] * (1 / (1 - p));
                ck_assert_msg(y.x[i] == want, "%s: row %d element %zu", isa_name(kn->isa), (int)row, i);
                dropped += want == 0;
            }
            all += n;
            release(&y, "dropout");
            free(x);
        }
        const double share = (double)dropped / (double)all;
        ck_assert_msg(!!(fabs(share - (double)p) <= 0.02), "dropped %.4f instead of %.2f", share, (double)p);
    }
}
END_TEST

START_TEST(test_vectors)
{
    for (size_t l = 0; l < LENGTHS; l++) {
        const size_t n = lengths[l];
        float *w = numbers(n, 20), *m = numbers(n, 21), *v = numbers(n, 22), *g = numbers(n, 23);
        for (size_t i = 0; i < n; i++)
            v[i] = fabsf(v[i]);
        const struct adamw_coef c = {1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.7f, 1.3f, 1.1f};
        struct guarded ww = guard(n, w), wm = guard(n, m), wv = guard(n, v);
        kernels_of(ISA_PORTABLE)->adamw_f32(ww.x, wm.x, wv.x, g, n, &c);
        EACH_ISA(kn)
        {
            struct guarded gw = guard(n, w), gm = guard(n, m), gv = guard(n, v), sum = guard(n, w);
            kn->adamw_f32(gw.x, gm.x, gv.x, g, n, &c);
            kn->add_f32(sum.x, g, n);
            kn->scale_f32(sum.x, 0.5f, n);
            for (size_t i = 0; i < n; i++) {
                const double grad = 0.7 * (double)g[i], m1 = 0.9 * (double)m[i] + 0.1 * grad;
                const double v1 = 0.95 * (double)v[i] + 0.05 * grad * grad;
                within("adamw m", kn, i, (double)gm.x[i], m1, 1e-6 * (1 + fabs(m1)));
                within("adamw v", kn, i, (double)gv.x[i], v1, 1e-6 * (1 + v1));
                within("adamw w", kn, i, (double)gw.x[i],
                       (double)w[i] - 1e-2 * (m1 * 1.3 / (sqrt(v1 * 1.1) + 1e-8) + 0.1 * (double)w[i]),
                       1e-6 * (1 + fabs((double)w[i])));
                ck_assert(sum.x[i] == (w[i] + g[i]) * 0.5f);
            }
            same_bits("adamw w", kn, gw.x, ww.x, n);
            same_bits("adamw m", kn, gm.x, wm.x, n);
            same_bits("adamw v", kn, gv.x, wv.x, n);
            release(&gw, "adamw"), release(&gm, "adamw"), release(&gv, "adamw"), release(&sum, "add");
        }
        release(&ww, "-"), release(&wm, "-"), release(&wv, "-");
        free(w), free(m), free(v), free(g);
    }
}
END_TEST

int main(void)
{
    for (enum isa i = 0; i <= ISA_AVX512; i++) /* the levels above have no f32 kernels of their own */
        if (!kernels_of(i))
            printf("skipped: %s (this CPU or build does not have it)\n", isa_name(i));
    Suite *s = suite_create("kernels");
    TCase *t = tcase_create("every ISA");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_gemm);
    tcase_add_test(t, test_pack_a);
    tcase_add_test(t, test_special_values_in_panels);
    tcase_add_test(t, test_gemm_goes_on);
    tcase_add_test(t, test_gemm_rows_that_clash);
    tcase_add_test(t, test_special_values);
    tcase_add_test(t, test_exp);
    tcase_add_test(t, test_layernorm);
    tcase_add_test(t, test_gelu);
    tcase_add_test(t, test_swiglu);
    tcase_add_test(t, test_rmsnorm);
    tcase_add_test(t, test_rope);
    tcase_add_loop_test(t, test_softmax, 0, 2);
    tcase_add_test(t, test_sums);
    tcase_add_test(t, test_normals);
    tcase_add_test(t, test_dropout);
    tcase_add_test(t, test_vectors);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
