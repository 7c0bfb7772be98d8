/* SPDX-License-Identifier: MIT
 * test_optimizers.c - Lion, AdamW's moments in 8 bits and the orthogonal matrix of Muon, each against its formula in
 * double, Muon's step also against PyTorch (tests/fixtures/muon, by scripts/make_muon_fixture.py); and that members and
 * cuts do not reach a bit.
 */
#include "base/memory.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "ops/adamw8bit.h"
#include "ops/lion.h"
#include "ops/muon.h"
#include "runtime/team.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N = 3 * ADAMW8BIT_BLOCK + 57 };

/* Normal numbers, from a few to very small. */
static void fill(float *x, size_t n, uint32_t stream, double scale)
{
    for (size_t i = 0; i < n; i++) {
        const struct rng_block r = philox4x32(rng_key(5, RNG_TEST, stream, 0), 0, (uint32_t)i);
        const double u = ((double)r.word[0] + 0.5) / 4294967296.0, a = (double)r.word[1] * 1.4629180792671596e-9;
        x[i] = (float)(scale * sqrt(-2 * log(u)) * cos(a));
    }
}

/* ---- Lion ---- */

START_TEST(lion_is_its_formula)
{
    float w[N], m[N], g[N], cut_w[N], cut_m[N];
    const struct lion l = {.lr = 0.003f, .beta1 = 0.9f, .beta2 = 0.99f, .weight_decay = 0.3f, .grad_scale = 0.7f};
    fill(w, N, 1, 0.02);
    memset(m, 0, sizeof m);
    memcpy(cut_w, w, sizeof w);
    memcpy(cut_m, m, sizeof m);
    for (uint32_t step = 0; step < 5; step++) {
        double want_w[N], want_m[N];
        fill(g, N, 10 + step, 0.1);
        g[3] = 0;
        for (size_t i = 0; i < N; i++) {
            const double gi = (double)g[i] * (double)l.grad_scale, mi = (double)m[i], wi = (double)w[i];
            const double c = (double)l.beta1 * mi + (1 - (double)l.beta1) * gi;
            want_m[i] = (double)l.beta2 * mi + (1 - (double)l.beta2) * gi;
            want_w[i] = wi - (double)l.lr * ((c > 0) - (c < 0) + (double)l.weight_decay * wi);
            if (fabs(c) < 1e-8) /* a sign that rounding may turn */
                want_w[i] = NAN;
        }
        lion_update(w, m, g, N, &l);
        for (size_t i = 0; i < N; i++) {
            ck_assert_msg(!(fabs((double)m[i] - want_m[i]) > 1e-7), "m[%zu] %g, not %g", i, (double)m[i], want_m[i]);
            ck_assert_msg(isnan(want_w[i]) || fabs((double)w[i] - want_w[i]) <= 2e-8, "w[%zu] %g, not %g", i,
                          (double)w[i], want_w[i]);
        }
        lion_update(cut_w, cut_m, g, 401, &l);
        lion_update(cut_w + 401, cut_m + 401, g + 401, N - 401, &l);
        ck_assert(memcmp(w, cut_w, sizeof w) == 0 && memcmp(m, cut_m, sizeof m) == 0);
    }
    float still = 0.5f, none = 0;
    const struct lion no_decay = {.lr = 1, .beta1 = 0.9f, .beta2 = 0.99f, .grad_scale = 1};
    lion_update(&still, &none, &none, 1, &no_decay);
    ck_assert(still == 0.5f); /* sign(0) = 0 */
}
END_TEST

/* ---- moments in 8 bits ---- */

static struct adamw8bit_codes codes;

/* The published list, made another way: all ends of parts by their own formula, and the nearest by looking at all. */
static int nearest(const struct magnitudes *m, double x)
{
    int best = 0;
    for (int i = 1; i < m->count; i++)
        if (fabs(x - (double)m->value[i]) < fabs(x - (double)m->value[best]))
            best = i;
    return best;
}

START_TEST(the_lists_are_the_published_ones)
{
    adamw8bit_codes_make(&codes);
    ck_assert_int_eq(codes.with_sign.count, 129);
    ck_assert_int_eq(codes.without_sign.count, 256);
    for (int sign = 0; sign < 2; sign++) {
        const struct magnitudes *m = sign ? &codes.with_sign : &codes.without_sign;
        int i = 0;
        ck_assert(m->value[i++] == 0);
        for (int decade = -6; decade <= 0; decade++) {
            const int parts = 1 << (decade + 6 + !sign);
            for (int p = 0; p < parts; p++, i++) {
                const double low = 0.1 + 0.9 * p / parts, high = 0.1 + 0.9 * (p + 1) / parts;
                const double want = pow(10, decade) * (low + high) / 2;
                ck_assert_msg(!(fabs((double)m->value[i] - want) > 1e-7 * want), "%d: %g, not %g", i,
                              (double)m->value[i], want);
            }
        }
        ck_assert(m->value[i] == 1 && i + 1 == m->count);
    }
}
END_TEST

/* Every value finds itself, every edge its neighbours, and anything between the nearest. */
START_TEST(the_nearest_code_is_found)
{
    adamw8bit_codes_make(&codes);
    float x[2 * ADAMW8BIT_BLOCK], back[ADAMW8BIT_BLOCK], scale;
    uint8_t code[ADAMW8BIT_BLOCK];
    for (uint32_t round = 0; round < 200; round++) {
        for (size_t i = 0; i < ADAMW8BIT_BLOCK; i++) {
            const struct rng_block r = philox4x32(rng_key(6, RNG_TEST, round, 0), 0, (uint32_t)i);
            const int k = (int)(r.word[1] % 256);
            const float at = codes.without_sign.value[k], edge = codes.without_sign.edge[k < 255 ? k : 0];
            x[i] = round % 4 == 0   ? at
                   : round % 4 == 1 ? nextafterf(edge, round % 8 < 4 ? 0 : 1)
                                    : (float)exp(-18 * (double)r.word[0] / 4294967296.0);
        }
        x[round] = 1;
        adamw8bit_encode_second(code, &scale, x, ADAMW8BIT_BLOCK, &codes);
        ck_assert(scale == 1);
        adamw8bit_decode_second(back, code, scale, ADAMW8BIT_BLOCK, &codes);
        for (size_t i = 0; i < ADAMW8BIT_BLOCK; i++) {
            int want = nearest(&codes.without_sign, (double)x[i]);
            if (want == 0 && x[i] > 0)
                want = 1;
            const double off = fabs((double)x[i] - (double)back[i]),
                         best = fabs((double)x[i] - (double)codes.without_sign.value[want]);
            ck_assert_msg(!(off > best * 1.000001), "%.9g became %.9g", (double)x[i], (double)back[i]);
        }
        for (size_t i = 0; i < ADAMW8BIT_BLOCK; i++)
            x[i] = i % 3 ? x[i] * 0.01f : -x[i] * 0.01f;
        adamw8bit_encode_first(code, &scale, x, ADAMW8BIT_BLOCK, &codes);
        ck_assert(scale == 0.01f);
        adamw8bit_decode_first(back, code, scale, ADAMW8BIT_BLOCK, &codes);
        for (size_t i = 0; i < ADAMW8BIT_BLOCK; i++) {
            const double relative = fabs((double)x[i]) / 0.01f;
            int want = nearest(&codes.with_sign, relative);
            if (x[i] < 0 && want == 128)
                want = 127;
            const double best = fabs(relative - (double)codes.with_sign.value[want]);
            const double off = fabs((double)x[i] - (double)back[i]) / 0.01f;
            ck_assert_msg(!(off > best + 1e-6 * relative + 1e-12), "%.9g became %.9g", (double)x[i], (double)back[i]);
            ck_assert(back[i] == 0 || (back[i] < 0) == (x[i] < 0));
        }
    }
}
END_TEST

START_TEST(a_moment_of_nothing_stays_nothing)
{
    adamw8bit_codes_make(&codes);
    uint8_t code[5] = {9, 9, 9, 9, 9};
    float scale = 3, x[5] = {0}, tiny[5] = {1, 1e-30f, 0, 1e-8f, 1e-38f};
    adamw8bit_encode_first(code, &scale, x, 5, &codes);
    adamw8bit_decode_first(x, code, scale, 5, &codes);
    for (int i = 0; i < 5; i++)
        ck_assert(x[i] == 0);
    const uint8_t never_written[5] = {0};
    adamw8bit_decode_first(x, never_written, 0, 5, &codes);
    for (int i = 0; i < 5; i++)
        ck_assert(x[i] == 0);
    /* What is not zero in a second moment is never zero again. */
    adamw8bit_encode_second(code, &scale, tiny, 5, &codes);
    adamw8bit_decode_second(x, code, scale, 5, &codes);
    for (int i = 0; i < 5; i++)
        ck_assert((x[i] > 0) == (tiny[i] > 0));
}
END_TEST

/* The update between decoding and encoding is AdamW's, in double here; and cutting between blocks changes nothing. */
START_TEST(the_step_is_adamw)
{
    adamw8bit_codes_make(&codes);
    static float w[N], g[N], cut_w[N], m[N], v[N];
    enum { BLOCKS = (N + ADAMW8BIT_BLOCK - 1) / ADAMW8BIT_BLOCK, CUT = 2 * ADAMW8BIT_BLOCK };
    static uint8_t code[4][N];
    static float scale[4][BLOCKS];
    const struct moment8 first = {code[0], scale[0]}, second = {code[1], scale[1]};
    const struct moment8 cut_first = {code[2], scale[2]}, cut_second = {code[3], scale[3]};
    fill(w, N, 2, 0.02);
    memcpy(cut_w, w, sizeof w);
    for (uint32_t step = 1; step <= 6; step++) {
        const struct adamw a = adamw_at_step(1e-3, 0.9, 0.99, 1e-8, 0.1, 0.5, step);
        static float before[N];
        memcpy(before, w, sizeof w);
        fill(g, N, 20 + step, 0.1);
        for (size_t b = 0, at = 0; b < BLOCKS; b++, at += ADAMW8BIT_BLOCK) {
            const size_t n = N - at < ADAMW8BIT_BLOCK ? N - at : ADAMW8BIT_BLOCK;
            adamw8bit_decode_first(m + at, code[0] + at, scale[0][b], n, &codes);
            adamw8bit_decode_second(v + at, code[1] + at, scale[1][b], n, &codes);
        }
        adamw8bit_update(w, first, second, g, N, &a, &codes);
        for (size_t i = 0; i < N; i++) {
            const double gi = 0.5 * (double)g[i];
            const double mi = 0.9 * (double)m[i] + 0.1 * gi, vi = 0.99 * (double)v[i] + 0.01 * gi * gi;
            const double mhat = mi / (1 - pow(0.9, step)), vhat = vi / (1 - pow(0.99, step));
            const double want = (double)before[i] - 1e-3 * (mhat / (sqrt(vhat) + 1e-8) + 0.1 * (double)before[i]);
            ck_assert_msg(!(fabs((double)w[i] - want) > 1e-6 * fabs(want) + 1e-7), "step %u, %zu: %.9g, not %.9g", step, i,
                          (double)w[i], want);
        }
        adamw8bit_update(cut_w, cut_first, cut_second, g, CUT, &a, &codes);
        adamw8bit_update(cut_w + CUT, (struct moment8){code[2] + CUT, scale[2] + 2},
                         (struct moment8){code[3] + CUT, scale[3] + 2}, g + CUT, N - CUT, &a, &codes);
        ck_assert(memcmp(w, cut_w, sizeof w) == 0);
        ck_assert(memcmp(code[0], code[2], N) == 0 && memcmp(code[1], code[3], N) == 0);
    }
}
END_TEST

/* ---- the orthogonal matrix ---- */

static const struct {
    size_t rows, cols;
} shapes[] = {{1, 1}, {24, 24}, {96, 24}, {37, 21}, {130, 1}, {200, 129}, {301, 70}};
enum { NUM_SHAPES = sizeof shapes / sizeof *shapes };

struct job {
    struct orthogonal_space space;
    size_t rows, cols;
    const float *in;
    const float *out;
};

static void job_run(struct sphere *me, void *arg)
{
    struct job *job = arg;
    const struct share own = sphere_share(me, job->rows);
    memcpy(job->space.x + own.begin * job->cols, job->in + own.begin * job->cols,
           (own.end - own.begin) * job->cols * sizeof(float));
    const float *out = orthogonalise(me, &job->space, job->rows, job->cols);
    if (me->id == 0)
        job->out = out;
}

static void with_team(struct job *job, struct arena *arena, int spheres)
{
    struct error err = {0};
    const size_t elements = job->rows * job->cols;
    ck_assert_int_eq(arena_init(arena, orthogonal_space_bytes(elements, job->cols), &err), STATUS_OK);
    orthogonal_space_take(&job->space, arena, elements, job->cols);
    const struct team_options options = {.num_spheres = spheres,
                                         .backend = spheres == 1 ? TEAM_SERIAL : TEAM_PTHREAD,
                                         .scratch_bytes = orthogonal_scratch_bytes(job->rows)};
    struct team *team = team_new(&options, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_int_eq(team_run(team, spheres, job_run, job), STATUS_OK);
    team_free(team);
}

/* y = x^T x, in double. */
static void gram_of(double *y, const double *x, size_t rows, size_t cols)
{
    for (size_t i = 0; i < cols; i++)
        for (size_t j = 0; j < cols; j++) {
            double sum = 0;
            for (size_t r = 0; r < rows; r++)
                sum += x[r * cols + i] * x[r * cols + j];
            y[i * cols + j] = sum;
        }
}

/* The published iteration, as it is written there: X = a X + (b A + c A A) X with A = X X^T, of the transposed. */
static void reference(double *x, size_t rows, size_t cols)
{
    double norm = 0;
    double *a = mem_alloc(cols * cols * sizeof *a), *aa = mem_alloc(cols * cols * sizeof *aa),
           *y = mem_alloc(rows * cols * sizeof *y);
    for (size_t i = 0; i < rows * cols; i++)
        norm += x[i] * x[i];
    norm = sqrt(norm) + 1e-7;
    for (size_t i = 0; i < rows * cols; i++)
        x[i] /= norm;
    for (int step = 0; step < 5; step++) {
        gram_of(a, x, rows, cols);
        gram_of(aa, a, cols, cols);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < cols; j++) {
                double sum = 3.4445 * x[r * cols + j];
                for (size_t k = 0; k < cols; k++)
                    sum += x[r * cols + k] * (-4.7750 * a[k * cols + j] + 2.0315 * aa[k * cols + j]);
                y[r * cols + j] = sum;
            }
        memcpy(x, y, rows * cols * sizeof *x);
    }
    mem_free(a);
    mem_free(aa);
    mem_free(y);
}

/* Eigenvalues of a symmetric matrix by Jacobi's rotations, left on the diagonal. */
static void jacobi(double *a, size_t n)
{
    for (int sweep = 0; sweep < 12; sweep++)
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                if (fabs(a[p * n + q]) < 1e-14)
                    continue;
                const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
                const double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
                const double c = 1 / sqrt(t * t + 1), s = t * c;
                for (size_t k = 0; k < n; k++) {
                    const double x = a[k * n + p], y = a[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (size_t k = 0; k < n; k++) {
                    const double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
            }
}

START_TEST(singular_values_come_near_one)
{
    const size_t rows = shapes[_i].rows, cols = shapes[_i].cols, n = rows * cols;
    float *in = mem_alloc(n * sizeof *in);
    double *want = mem_alloc(n * sizeof *want), *have = mem_alloc(n * sizeof *have),
           *gram = mem_alloc(cols * cols * sizeof *gram);
    fill(in, n, 40 + (uint32_t)_i, 1e-4);
    for (size_t i = 0; i < n; i++)
        want[i] = (double)in[i];
    reference(want, rows, cols);
    struct job job = {.rows = rows, .cols = cols, .in = in};
    struct arena arena;
    with_team(&job, &arena, 1);
    for (size_t i = 0; i < n; i++) {
        have[i] = (double)job.out[i];
        ck_assert_msg(!(fabs(have[i] - want[i]) > 2e-4), "%zux%zu, %zu: %.9g, not %.9g", rows, cols, i, have[i], want[i]);
    }
    gram_of(gram, have, rows, cols);
    jacobi(gram, cols);
    for (size_t j = 0; j < cols; j++) {
        const double value = sqrt(gram[j * cols + j]);
        /* A square matrix has some that are too small to come up in five steps. */
        ck_assert_msg(!(value > 1.25) && (rows == cols || !(value < 0.65)), "%zux%zu: %g", rows, cols, value);
    }
    arena_release(&arena);
    mem_free(in);
    mem_free(want);
    mem_free(have);
    mem_free(gram);
}
END_TEST

START_TEST(members_do_not_reach_a_bit)
{
    static const int spheres[] = {2, 3, 7, 13};
    const size_t rows = shapes[_i].rows, cols = shapes[_i].cols, n = rows * cols;
    float *in = mem_alloc(n * sizeof *in);
    fill(in, n, 60 + (uint32_t)_i, 3);
    struct job one = {.rows = rows, .cols = cols, .in = in}, more = one;
    struct arena arena, other;
    with_team(&one, &arena, 1);
    for (size_t i = 0; i < sizeof spheres / sizeof *spheres; i++) {
        with_team(&more, &other, spheres[i]);
        ck_assert_msg(memcmp(one.out, more.out, n * sizeof *in) == 0, "%zux%zu, %d members", rows, cols, spheres[i]);
        arena_release(&other);
    }
    arena_release(&arena);
    mem_free(in);
}
END_TEST

START_TEST(a_matrix_of_zeros_stays_one)
{
    static const float zeros[24 * 7];
    struct job job = {.rows = 24, .cols = 7, .in = zeros};
    struct arena arena;
    with_team(&job, &arena, 2);
    for (size_t i = 0; i < 24 * 7; i++)
        ck_assert(job.out[i] == 0);
    arena_release(&arena);
}
END_TEST

struct muon_job {
    struct orthogonal_space space;
    struct muon_matrix matrix;
    struct muon step;
};

static void muon_run(struct sphere *me, void *arg)
{
    const struct muon_job *job = arg;
    muon_update(me, &job->space, &job->matrix, &job->step);
}

static const struct tensor_view *expected(const struct safetensors *file, const char *shape, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", shape, what);
    const struct tensor_view *t = safetensors_find(file, name);
    ck_assert_msg(t && strcmp(t->dtype, "F32") == 0, "%s", name);
    return t;
}

/* Steps of PyTorch's, in a matrix that is a part of a wider one; the rest of it stays. */
START_TEST(a_step_of_muon_is_pytorchs)
{
    static const char *const names[] = {"wide", "tall", "square"};
    enum { LEFT = 2, RIGHT = 3, SPHERES = 2 };
    struct error err = {0};
    struct safetensors *file = safetensors_open_whole("tests/fixtures/muon/expected.safetensors", &err);
    ck_assert_msg(file != NULL, "%s", err.text);
    const struct tensor_view *weight = expected(file, names[_i], "weight"), *grads = expected(file, names[_i], "grads");
    const struct tensor_view *final = expected(file, names[_i], "final");
    const size_t rows = (size_t)weight->shape[0], cols = (size_t)weight->shape[1], stride = LEFT + cols + RIGHT;
    const size_t steps = (size_t)grads->shape[0] / rows, least = rows < cols ? rows : cols;
    float *w = mem_calloc(rows * stride, sizeof *w), *m = mem_calloc(rows * stride, sizeof *m),
          *g = mem_calloc(rows * stride, sizeof *g);
    for (size_t r = 0; r < rows; r++)
        memcpy(w + r * stride + LEFT, (const float *)weight->data + r * cols, cols * sizeof *w);
    struct muon_job job = {.matrix = {w + LEFT, m + LEFT, g + LEFT, rows, cols, stride},
                           .step = {.lr = 0.02f, .momentum = 0.95f, .weight_decay = 0.1f, .grad_scale = 0.5f}};
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, orthogonal_space_bytes(rows * cols, least), &err), STATUS_OK);
    orthogonal_space_take(&job.space, &arena, rows * cols, least);
    const struct team_options options = {
        .num_spheres = SPHERES, .backend = TEAM_PTHREAD, .scratch_bytes = orthogonal_scratch_bytes(rows + cols)};
    struct team *team = team_new(&options, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    for (size_t step = 0; step < steps; step++) {
        const float *from = (const float *)grads->data + step * rows * cols;
        for (size_t i = 0; i < rows * cols; i++)
            g[i / cols * stride + LEFT + i % cols] = 2 * from[i]; /* grad_scale takes it back */
        ck_assert_int_eq(team_run(team, SPHERES, muon_run, &job), STATUS_OK);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < stride; c++) {
            const bool inside = c >= LEFT && c < LEFT + cols;
            const double want = inside ? (double)((const float *)final->data)[r * cols + c - LEFT] : 0;
            const double have = (double)w[r * stride + c];
            ck_assert_msg(!(fabs(have - want) > (inside ? 2e-6 : 0)), "%s [%zu,%zu]: %.9g, not %.9g", names[_i], r, c, have,
                          want);
        }
    team_free(team);
    arena_release(&arena);
    safetensors_close(file);
    mem_free(w);
    mem_free(m);
    mem_free(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizers");
    TCase *tc = tcase_create("formulas");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, lion_is_its_formula);
    tcase_add_test(tc, the_lists_are_the_published_ones);
    tcase_add_test(tc, the_nearest_code_is_found);
    tcase_add_test(tc, a_moment_of_nothing_stays_nothing);
    tcase_add_test(tc, the_step_is_adamw);
    tcase_add_loop_test(tc, singular_values_come_near_one, 0, NUM_SHAPES);
    tcase_add_loop_test(tc, members_do_not_reach_a_bit, 0, NUM_SHAPES);
    tcase_add_test(tc, a_matrix_of_zeros_stays_one);
    tcase_add_loop_test(tc, a_step_of_muon_is_pytorchs, 0, 3);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
