/* SPDX-License-Identifier: MIT
 * test_ops.c - how work is cut among members: each unit exactly once, fairly, at any width; and that the cut never
 * reaches a result: weight gradients in one call, in several, and at other widths.
 */
#include "base/arena.h"
#include "base/float16.h"
#include "base/rng.h"
#include "ops/attention.h"
#include "ops/loss.h"
#include "ops/matmul.h"
#include "ops/work.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void count_units(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    int *times = *(int *const *)ctx;
    ck_assert(begin < end);
    me->stats.flops += end - begin;
    for (size_t i = begin; i < end; i++)
        times[i]++;
}

START_TEST(test_each_unit_once)
{
    for (uint64_t round = 0; round < 400; round++) {
        const struct rng_block r = philox4x32(3, 0, round);
        const int width = 1 + (int)(r.word[0] % 40);
        int times[4][64] = {{0}};
        int *rows[4] = {times[0], times[1], times[2], times[3]};
        struct work bags[4];
        for (int b = 0; b < 4; b++) {
            bags[b] =
                (struct work){(r.word[1] >> (8 * b)) % 65, 1 + (r.word[2] >> (8 * b)) % 1000, count_units, &rows[b]};
        }
        for (int id = 0; id < width; id++) {
            struct sphere me = {.id = id, .width = width};
            work_run(&me, bags, 4);
        }
        for (int b = 0; b < 4; b++)
            for (size_t u = 0; u < 64; u++)
                ck_assert_int_eq(times[b][u], u < bags[b].units);
    }
}
END_TEST

/* No member gets more than its share and one unit. */
START_TEST(test_fair)
{
    int many[1000] = {0}, *row = many;
    for (int width = 1; width <= 30; width++) {
        const struct work bag = {1000, 7, count_units, &row};
        for (int id = 0; id < width; id++) {
            struct sphere me = {.id = id, .width = width};
            work_run(&me, &bag, 1);
            ck_assert(me.stats.flops * (uint64_t)width <= 1000 + (uint64_t)width);
        }
    }
}
END_TEST

static float *numbers(size_t n, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(rng_key(seed, RNG_TEST, 0, 0), i);
    return x;
}

static const enum dtype DTYPES[] = {DTYPE_F32, DTYPE_BF16};

/* An operand as the products take it. */
static double operand(enum dtype dtype, float x)
{
    return (double)(dtype == DTYPE_BF16 ? f32_of_bf16(bf16_of_f32(x)) : x);
}

static void grad(struct weight_grad g, int width)
{
    const struct work work = weight_grad_work(&g);
    for (int id = 0; id < width; id++) {
        struct sphere me = {.id = id, .width = width};
        ck_assert(arena_init(&me.scratch, weight_grad_scratch_bytes(g.dtype, g.rows), NULL) == STATUS_OK);
        work_run(&me, &work, 1);
        arena_release(&me.scratch);
    }
}

START_TEST(test_weight_grad)
{
    const size_t shapes[][3] = {{1, 1, 1},     {700, 13, 37},   {300, 200, 600}, {513, 385, 65},
                                {5, 250, 129}, {1100, 31, 260}, {400, 390, 790}, {2100, 50, 600}};
    const enum dtype dtype = DTYPES[_i];
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const size_t rows = shapes[s][0], in = shapes[s][1], out = shapes[s][2], n = in * out;
        float *x = numbers(rows * in, 1), *dy = numbers(rows * out, 2), *old = numbers(n, 3);
        float *whole = calloc(n, 4), *parts = calloc(n, 4), *added = calloc(n, 4);
        struct weight_grad g = {dtype, whole, x, dy, in, out, in, out, rows, GRAD_WRITE};
        double *want = calloc(n, sizeof *want), *size = calloc(n, sizeof *size);
        size_t wrong = 0; /* told once: an assertion for each element takes longer than the sums */
        grad(g, 1);
        for (size_t r = 0; r < rows; r++)
            for (size_t i = 0; i < in; i++) {
                const double one = operand(dtype, x[r * in + i]);
                for (size_t j = 0; j < out; j++) {
                    const double product = one * operand(dtype, dy[r * out + j]);
                    want[i * out + j] += product;
                    size[i * out + j] += fabs(product);
                }
            }
        for (size_t i = 0; i < n; i++)
            wrong += !(fabs(whole[i] - want[i]) <= 6e-8 * (double)(rows + 1) * size[i]);
        ck_assert_msg(wrong == 0, "shape %zu: %zu of %zu elements are too far from the sum in double", s, wrong, n);
        /* at another width, in two calls, and added */
        g.dw = parts;
        g.rows = rows / 3 / 32 * 32; /* bf16 sums go in pairs or blocks of 32 */
        if (g.rows) {
            grad(g, 4);
            g.x += g.rows * in;
            g.dy += g.rows * out;
            g.rows = rows - g.rows;
            g.mode = GRAD_CONTINUE;
            grad(g, 7);
            ck_assert_msg(memcmp(whole, parts, n * sizeof *whole) == 0, "shape %zu: another sum in two calls", s);
        }
        memcpy(added, old, n * sizeof *old);
        grad((struct weight_grad){dtype, added, x, dy, in, out, in, out, rows, GRAD_ADD}, 3);
        for (size_t i = 0; i < n; i++)
            wrong += !(added[i] == old[i] + whole[i]);
        ck_assert_msg(wrong == 0, "shape %zu: %zu of %zu elements are not the old one and the sum", s, wrong, n);
        free(want), free(size);
        free(x), free(dy), free(old), free(whole), free(parts), free(added);
    }
}
END_TEST

/* A product with k beyond a block, with bias and an addend that may be the output itself. */
START_TEST(test_rows)
{
    const size_t rows = 5, k = 7000, n = 33;
    float *x = numbers(rows * k, 4), *w = numbers(k * n, 5), *bias = numbers(n, 6), *add = numbers(rows * n, 7);
    float *y = calloc(rows * n, 4), *in_place = malloc(rows * n * 4);
    const enum dtype dtype = DTYPES[_i];
    struct packed b = {dtype, k, n, malloc(packed_bytes(dtype, k, n))};
    struct sphere me = {.id = 0, .width = 1};
    ck_assert(arena_init(&me.scratch, matmul_scratch_bytes(dtype) + 64, NULL) == STATUS_OK);
    matmul_pack(&me, &b, w, n, 1);
    matmul_rows(&me, y, n, x, k, rows, &b, bias, add, n);
    memcpy(in_place, add, rows * n * 4);
    matmul_rows(&me, in_place, n, x, k, rows, &b, bias, in_place, n);
    ck_assert(memcmp(y, in_place, rows * n * 4) == 0);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++) {
            double want = (double)bias[j] + add[r * n + j], size = fabs(want);
            for (size_t p = 0; p < k; p++) {
                const double one = operand(dtype, x[r * k + p]) * operand(dtype, w[p * n + j]);
                want += one;
                size += fabs(one);
            }
            ck_assert(!!(fabs(y[r * n + j] - want) <= 6e-8 * (double)k * size));
        }
    float *columns = calloc(rows * n, 4);
    for (int id = 0; id < 3; id++) {
        struct sphere one = {.id = id, .width = 3, .scratch = me.scratch};
        matmul_columns(&one, columns, n, x, k, rows, &b, bias, add, n);
    }
    ck_assert(memcmp(y, columns, rows * n * 4) == 0);
    /* the same matrix out of parts beside each other and below each other, cut where no panel or block ends */
    float *again = calloc(rows * n, 4);
    const struct part beside[] = {{w, n, 1, k, 5}, {w + 5, n, 1, k, n - 5}};
    const struct part below[] = {{w, n, 1, 1001, n}, {w + 1001 * n, n, 1, k - 1001, n}};
    matmul_pack_beside(&me, &b, beside, 2);
    matmul_rows(&me, again, n, x, k, rows, &b, bias, add, n);
    ck_assert(memcmp(y, again, rows * n * 4) == 0);
    matmul_pack_below(&me, &b, below, 2);
    matmul_rows(&me, again, n, x, k, rows, &b, bias, add, n);
    ck_assert(memcmp(y, again, rows * n * 4) == 0);
    arena_release(&me.scratch);
    free(x), free(w), free(bias), free(add), free(y), free(in_place), free(b.data), free(columns), free(again);
}
END_TEST

/* Wide products pack their rows, narrow ones do not: member by member, with few columns each, the bits are the same.  Blocks of
 * rows and of k, rows 4 KiB apart, rows that are a tile's or fewer, an addend that is the output. */
START_TEST(test_rows_wide)
{
    const size_t shapes[][3] = {{61, 100, 401}, {13, 1024, 390}, {700, 64, 385}, {150, 4500, 400}, {5, 40, 500}};
    enum { WIDTH = 9 };
    for (size_t s = 0; s < 2 * (sizeof shapes / sizeof *shapes); s++) {
        const size_t rows = shapes[s / 2][0], k = shapes[s / 2][1], n = shapes[s / 2][2];
        const bool in_place = s % 2;
        float *x = numbers(rows * k, 4), *w = numbers(k * n, 5), *bias = numbers(n, 6), *add = numbers(rows * n, 7);
        float *y = malloc(rows * n * sizeof *y), *columns = malloc(rows * n * sizeof *y);
        struct packed b = {DTYPE_F32, k, n, malloc(packed_bytes(DTYPE_F32, k, n))};
        struct sphere me = {.id = 0, .width = 1};
        ck_assert(arena_init(&me.scratch, matmul_scratch_bytes(DTYPE_F32), NULL) == STATUS_OK);
        matmul_pack(&me, &b, w, n, 1);
        memcpy(y, add, rows * n * sizeof *y), memcpy(columns, add, rows * n * sizeof *y);
        matmul_rows(&me, y, n, x, k, rows, &b, bias, in_place ? y : add, n);
        for (int id = 0; id < WIDTH; id++) {
            struct sphere one = {.id = id, .width = WIDTH, .scratch = me.scratch};
            matmul_columns(&one, columns, n, x, k, rows, &b, bias, in_place ? columns : add, n);
        }
        ck_assert_msg(memcmp(y, columns, rows * n * sizeof *y) == 0, "%zu x %zu x %zu, in place %d", rows, n, k,
                      in_place);
        arena_release(&me.scratch);
        free(x), free(w), free(bias), free(add), free(y), free(columns), free(b.data);
    }
}
END_TEST

START_TEST(test_cross_entropy)
{
    const size_t rows = 3, V = 37, stride = 48;
    float *x = numbers(rows * stride, 8), *g = malloc(rows * stride * 4);
    memcpy(g, x, rows * stride * 4);
    const int32_t targets[3] = {0, 36, 17};
    double loss[3];
    struct sphere me = {.id = 0, .width = 1};
    cross_entropy_rows(&me, g, stride, V, targets, NULL, rows, true, 0.25f, loss);
    for (size_t r = 0; r < rows; r++) {
        double sum = 0;
        for (size_t v = 0; v < V; v++)
            sum += exp((double)x[r * stride + v]);
        ck_assert(!!(fabs(loss[r] - (log(sum) - (double)x[r * stride + (size_t)targets[r]])) <= 2e-6));
        for (size_t v = 0; v < V; v++) {
            const double want = 0.25 * (exp((double)x[r * stride + v]) / sum - (v == (size_t)targets[r]));
            ck_assert(!!(fabs((double)g[r * stride + v] - want) <= 1e-7));
        }
    }
    free(x), free(g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ops");
    TCase *t = tcase_create("ops");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_each_unit_once);
    tcase_add_test(t, test_fair);
    tcase_add_loop_test(t, test_weight_grad, 0, 2);
    tcase_add_loop_test(t, test_rows, 0, 2);
    tcase_add_test(t, test_rows_wide);
    tcase_add_test(t, test_cross_entropy);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
