/* SPDX-License-Identifier: MIT
 *
 * parallel_for, _map, _reduce and the plain matrices: complete, the same bits for any number of workers, failures.
 */
#include "runtime/parallel.h"

#include "base/memory.h"
#include "base/rng.h"

#include <check.h>
#include <fenv.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int SIZES[] = {1, 2, 5, 16};
enum { NUM_SIZES = sizeof SIZES / sizeof SIZES[0] };

static struct pool *start(int num_threads)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.num_threads = num_threads;
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool != NULL, "%s", err.text);
    ck_assert_msg(pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    return pool;
}

static void stop(struct pool *pool)
{
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}

static void spend(uint64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const uint64_t until = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec + ns;
    do
        clock_gettime(CLOCK_MONOTONIC, &t);
    while ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec < until);
}

struct cover {
    _Atomic int *hits;
    uint64_t ns; /* for each element, times its index when `rising` */
    bool rising;
    size_t fails_at; /* SIZE_MAX: never */
    size_t shortest;
    _Atomic size_t tooshort;
};

static enum status cover(size_t begin, size_t end, void *arg)
{
    struct cover *c = arg;
    if (end - begin < c->shortest)
        atomic_fetch_add(&c->tooshort, 1);
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add_explicit(&c->hits[i], 1, memory_order_relaxed);
        if (c->ns)
            spend(c->rising ? c->ns * i / 100 : c->ns);
    }
    return begin <= c->fails_at && c->fails_at < end ? STATUS_IO : STATUS_OK;
}

START_TEST(each_element_is_covered_once)
{
    static const struct parallel_options OPTIONS[] = {
        {0}, {.min_chunk = 64, .max_chunk = 100}, {.element_bytes = 4}, {.tasks_per_thread = 1}, {.max_threads = 2}};
    static const size_t LENGTHS[] = {0, 1, 2, 63, 64, 65, 1000, 4099};
    struct pool *pool = start(SIZES[_i]);
    for (size_t k = 0; k < sizeof OPTIONS / sizeof OPTIONS[0]; k++)
        for (size_t l = 0; l < sizeof LENGTHS / sizeof LENGTHS[0]; l++) {
            const size_t n = LENGTHS[l];
            for (int kind = 0; kind < 3; kind++) {
                struct cover c = {.hits = calloc(n + 1, sizeof *c.hits), .fails_at = SIZE_MAX};
                c.ns = kind && n <= 1000 ? 1000 : 0;
                c.rising = kind == 2;
                ck_assert_int_eq(parallel_for(pool, n, &OPTIONS[k], cover, &c), STATUS_OK);
                for (size_t i = 0; i < n; i++)
                    ck_assert_msg(c.hits[i] == 1, "element %zu of %zu was covered %d times", i, n, c.hits[i]);
                free((void *)c.hits);
            }
        }
    stop(pool);
}
END_TEST

START_TEST(chunks_are_as_long_as_asked)
{
    struct pool *pool = start(2);
    enum { N = 6400 };
    struct cover c = {.hits = calloc(N, sizeof *c.hits), .fails_at = SIZE_MAX, .shortest = 64, .ns = 500};
    ck_assert_int_eq(parallel_for(pool, N, &(struct parallel_options){.min_chunk = 64}, cover, &c), STATUS_OK);
    ck_assert_uint_le(c.tooshort, 2); /* the end of a part */
    free((void *)c.hits);
    stop(pool);
}
END_TEST

START_TEST(a_failure_stops_the_loop_and_is_returned)
{
    enum { N = 5000 };
    struct pool *pool = start(SIZES[_i]);
    for (size_t at = 0; at < N; at += 1234) {
        struct cover c = {.hits = calloc(N, sizeof *c.hits), .fails_at = at, .ns = 300};
        ck_assert_int_eq(parallel_for(pool, N, NULL, cover, &c), STATUS_IO);
        ck_assert_int_eq(c.hits[at], 1);
        for (size_t i = 0; i < N; i++)
            ck_assert_int_le(c.hits[i], 1);
        free((void *)c.hits);
    }
    stop(pool);
}
END_TEST

static void square(void *out, const void *in, void *arg)
{
    (void)arg;
    const int x = *(const int *)in;
    *(long *)out = (long)x * x;
}

START_TEST(a_map_of_a_hundred)
{
    struct pool *pool = start(SIZES[_i]);
    int in[100];
    long out[100];
    for (int i = 0; i < 100; i++)
        in[i] = i - 50;
    ck_assert_int_eq(parallel_map(pool, out, sizeof *out, in, sizeof *in, 100, NULL, square, NULL), STATUS_OK);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(out[i], (long)(i - 50) * (i - 50));
    stop(pool);
}
END_TEST

static enum status fold_index(void *acc, size_t begin, size_t end, void *arg)
{
    const uint64_t ns = arg ? *(uint64_t *)arg : 0;
    uint64_t sum = 0;
    for (size_t i = begin; i < end; i++)
        sum += i + 1;
    if (ns)
        spend(ns);
    *(uint64_t *)acc = sum;
    return STATUS_OK;
}

static void add_index(void *acc, const void *more, void *arg)
{
    (void)arg;
    *(uint64_t *)acc += *(const uint64_t *)more;
}

START_TEST(one_to_a_thousand_is_500500)
{
    struct pool *pool = start(SIZES[_i]);
    uint64_t sum = 0, ns = 2000;
    ck_assert_int_eq(parallel_reduce(pool, &sum, sizeof sum, 1000, NULL, fold_index, add_index, NULL), STATUS_OK);
    ck_assert_uint_eq(sum, 500500);
    ck_assert_int_eq(parallel_reduce(pool, &sum, sizeof sum, 1000, NULL, fold_index, add_index, &ns), STATUS_OK);
    ck_assert_uint_eq(sum, 500500);
    ck_assert_int_eq(parallel_reduce(pool, &sum, sizeof sum, 0, NULL, fold_index, add_index, NULL), STATUS_OK);
    ck_assert_uint_eq(sum, 0);
    stop(pool);
}
END_TEST

struct floats {
    const float *x;
    uint64_t ns;
};

static enum status fold_float(void *acc, size_t begin, size_t end, void *arg)
{
    const struct floats *f = arg;
    float sum = 0.0f;
    for (size_t i = begin; i < end; i++)
        sum += f->x[i];
    if (f->ns)
        spend(f->ns);
    *(float *)acc = sum;
    return STATUS_OK;
}

static void add_float(void *acc, const void *more, void *arg)
{
    (void)arg;
    *(float *)acc += *(const float *)more;
}

START_TEST(a_float_sum_has_the_same_bits_for_any_number)
{
    enum { N = 100003 };
    float *x = malloc(N * sizeof *x);
    for (size_t i = 0; i < N; i++)
        x[i] = (float)rng_normal(rng_key(3, RNG_TEST, 0, 0), i);
    static const size_t LENGTHS[] = {1, 12, 13, 143, 145, 1000, 20000, N};
    for (size_t l = 0; l < sizeof LENGTHS / sizeof LENGTHS[0]; l++) {
        float first = 0.0f, alone = 0.0f;
        struct floats f = {x, 1000};
        ck_assert_int_eq(parallel_reduce(NULL, &alone, sizeof alone, LENGTHS[l], NULL, fold_float, add_float, &f),
                         STATUS_OK);
        for (int s = 0; s < NUM_SIZES; s++) {
            struct pool *pool = start(SIZES[s]);
            for (int again = 0; again < 3; again++) {
                float sum = 0.0f;
                f.ns = again == 0 ? 0 : 3000;
                const struct parallel_options options = {.min_chunk = (size_t)again * 7, .max_chunk = (size_t)again * 90};
                ck_assert_int_eq(parallel_reduce(pool, &sum, sizeof sum, LENGTHS[l], &options, fold_float, add_float, &f),
                                 STATUS_OK);
                first = s == 0 && again == 0 ? sum : first;
                ck_assert_msg(memcmp(&sum, &first, sizeof sum) == 0, "%a with %d workers, %a before (n = %zu)",
                              (double)sum, SIZES[s], (double)first, LENGTHS[l]);
            }
            stop(pool);
        }
        ck_assert(memcmp(&alone, &first, sizeof first) == 0);
    }
    free(x);
}
END_TEST

START_TEST(the_fold_tree_is_twelve_wide)
{
    /* Leaves of one element: a left fold over twelve, then over these. */
    enum { N = 200 };
    float x[N], expected = 0.0f;
    for (size_t i = 0; i < N; i++)
        x[i] = (float)rng_normal(rng_key(4, RNG_TEST, 0, 0), i);
    for (size_t top = 0; top < N; top += 144) {
        float upper = 0.0f;
        for (size_t node = top; node < N && node < top + 144; node += 12) {
            float lower = x[node];
            for (size_t i = node + 1; i < N && i < node + 12; i++)
                lower += x[i];
            upper = node == top ? lower : upper + lower;
        }
        expected = top == 0 ? upper : expected + upper;
    }
    struct floats f = {x, 0};
    float sum = 0.0f;
    const struct parallel_options options = {.leaf = 1};
    ck_assert_int_eq(parallel_reduce(NULL, &sum, sizeof sum, N, &options, fold_float, add_float, &f), STATUS_OK);
    ck_assert(memcmp(&sum, &expected, sizeof sum) == 0);
}
END_TEST

struct inner {
    struct pool *pool;
    _Atomic uint64_t total;
};

static enum status nested(size_t begin, size_t end, void *arg)
{
    struct inner *inner = arg;
    for (size_t i = begin; i < end; i++) {
        uint64_t sum = 0, ns = 1000;
        enum status status = parallel_reduce(inner->pool, &sum, sizeof sum, 300, NULL, fold_index, add_index, &ns);
        if (status != STATUS_OK)
            return status;
        atomic_fetch_add(&inner->total, sum);
    }
    return STATUS_OK;
}

START_TEST(loops_nest)
{
    struct inner inner = {.pool = start(SIZES[_i])};
    ck_assert_int_eq(parallel_for(inner.pool, 40, NULL, nested, &inner), STATUS_OK);
    ck_assert_uint_eq(inner.total, 40 * (300 * 301 / 2));
    stop(inner.pool);
}
END_TEST

static enum status environment(size_t begin, size_t end, void *arg)
{
    (void)begin;
    (void)end;
    spend(2000);
    if (fegetround() != FE_TONEAREST)
        atomic_fetch_add((_Atomic int *)arg, 1);
    return STATUS_OK;
}

START_TEST(bodies_round_to_nearest_whatever_the_caller_does)
{
    _Atomic int wrong = 0;
    fesetround(FE_UPWARD);
    struct pool *pool = start(3);
    ck_assert_int_eq(parallel_for(pool, 100, NULL, environment, (void *)&wrong), STATUS_OK);
    ck_assert_int_eq(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
    ck_assert_int_eq(wrong, 0);
    stop(pool);
}
END_TEST

START_TEST(softmax_of_rows)
{
    enum { ROWS = 70, COLS = 33 };
    static float in[ROWS * COLS], out[ROWS * COLS], first[ROWS * COLS];
    for (size_t i = 0; i < ROWS * COLS; i++)
        in[i] = 10.0f * (float)rng_normal(rng_key(5, RNG_TEST, 0, 0), i);
    in[3] = -INFINITY;
    for (int c = 0; c < COLS; c++)
        in[COLS + c] = -INFINITY;
    in[2 * COLS] = NAN;
    for (int s = 0; s < NUM_SIZES; s++) {
        struct pool *pool = start(SIZES[s]);
        ck_assert_int_eq(parallel_softmax(pool, out, in, ROWS, COLS), STATUS_OK);
        if (s == 0)
            memcpy(first, out, sizeof out);
        ck_assert(memcmp(first, out, sizeof out) == 0);
        stop(pool);
    }
    for (int r = 0; r < ROWS; r++) {
        double top = -INFINITY, sum = 0.0;
        for (int c = 0; c < COLS; c++)
            top = fmax(top, (double)in[r * COLS + c]);
        for (int c = 0; c < COLS; c++)
            sum += exp((double)in[r * COLS + c] - top);
        for (int c = 0; c < COLS; c++) {
            const double y = (double)out[r * COLS + c];
            if (r == 1)
                ck_assert(y == 0.0);
            else if (r == 2)
                ck_assert(isnan(y));
            else
                ck_assert(!(fabs(y - exp((double)in[r * COLS + c] - top) / sum) > 1e-6) && y == y);
        }
    }
}
END_TEST

START_TEST(products_by_row_tiles)
{
    static const size_t SHAPES[][3] = {{1, 1, 1}, {3, 5, 7}, {4, 256, 8}, {9, 300, 17}, {37, 41, 0}, {0, 4, 4}, {64, 64, 64}};
    for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
        const size_t m = SHAPES[i][0], n = SHAPES[i][1], k = SHAPES[i][2];
        float *a = malloc((m * k + 1) * sizeof *a), *b = malloc((k * n + 1) * sizeof *b);
        float *c = malloc((m * n + 1) * sizeof *c), *first = malloc((m * n + 1) * sizeof *c);
        for (size_t j = 0; j < m * k; j++)
            a[j] = (float)rng_normal(rng_key(6, RNG_TEST, i, 0), j);
        for (size_t j = 0; j < k * n; j++)
            b[j] = (float)rng_normal(rng_key(6, RNG_TEST, i, 1), j);
        for (int s = 0; s < NUM_SIZES; s++) {
            struct pool *pool = start(SIZES[s]);
            ck_assert_int_eq(parallel_matmul(pool, c, a, b, m, n, k), STATUS_OK);
            if (s == 0)
                memcpy(first, c, m * n * sizeof *c);
            ck_assert(memcmp(first, c, m * n * sizeof *c) == 0);
            stop(pool);
        }
        for (size_t r = 0; r < m; r++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0.0, size = 0.0;
                for (size_t l = 0; l < k; l++) {
                    sum += (double)a[r * k + l] * (double)b[l * n + j];
                    size += fabs((double)a[r * k + l] * (double)b[l * n + j]);
                }
                const double tol = (double)(k + 1) * 6e-8 * size;
                ck_assert(!(fabs((double)c[r * n + j] - sum) > tol) && c[r * n + j] == c[r * n + j]);
            }
        free(a);
        free(b);
        free(c);
        free(first);
    }
}
END_TEST

START_TEST(misuse_and_refused_memory)
{
    uint64_t sum = 0;
    ck_assert_int_eq(parallel_for(NULL, 10, NULL, NULL, NULL), STATUS_MISUSE);
    ck_assert_int_eq(parallel_reduce(NULL, NULL, 8, 10, NULL, fold_index, add_index, NULL), STATUS_MISUSE);
    ck_assert_int_eq(parallel_reduce(NULL, &sum, SIZE_MAX / 2, 10, NULL, fold_index, add_index, NULL), STATUS_CONFIG);
    ck_assert_int_eq(parallel_softmax(NULL, NULL, NULL, SIZE_MAX, 2), STATUS_CONFIG);
    mem_fail_at(0);
    ck_assert_int_eq(parallel_reduce(NULL, &sum, sizeof sum, 100000, NULL, fold_index, add_index, NULL), STATUS_NOMEM);
    mem_fail_at(-1);
    struct pool_options options = pool_options_default();
    struct pool *pool = pool_init(&options, NULL);
    struct cover c = {.fails_at = SIZE_MAX};
    ck_assert_int_eq(parallel_for(pool, 0, NULL, cover, &c), STATUS_MISUSE); /* not started */
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parallel");
    TCase *tc = tcase_create("parallel");
    tcase_add_loop_test(tc, each_element_is_covered_once, 0, NUM_SIZES);
    tcase_add_test(tc, chunks_are_as_long_as_asked);
    tcase_add_loop_test(tc, a_failure_stops_the_loop_and_is_returned, 0, NUM_SIZES);
    tcase_add_loop_test(tc, a_map_of_a_hundred, 0, NUM_SIZES);
    tcase_add_loop_test(tc, one_to_a_thousand_is_500500, 0, NUM_SIZES);
    tcase_add_test(tc, a_float_sum_has_the_same_bits_for_any_number);
    tcase_add_test(tc, the_fold_tree_is_twelve_wide);
    tcase_add_loop_test(tc, loops_nest, 0, NUM_SIZES);
    tcase_add_test(tc, bodies_round_to_nearest_whatever_the_caller_does);
    tcase_add_test(tc, softmax_of_rows);
    tcase_add_test(tc, products_by_row_tiles);
    tcase_add_test(tc, misuse_and_refused_memory);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
