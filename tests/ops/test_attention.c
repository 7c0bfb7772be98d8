/* SPDX-License-Identifier: MIT
 * test_attention.c - attention with shared heads of keys, sliding windows and documents over several blocks of queries,
 * against the plain formula in double; its cache, and documents by themselves, bit for bit; tables of angles, and the
 * way back through rotation and norms.
 */
#include "base/arena.h"
#include "base/float16.h"
#include "base/rng.h"
#include "ops/attention.h"
#include "ops/heads.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static float *numbers(size_t n, uint64_t seed)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_normal(rng_key(seed, RNG_TEST, 0, 0), i);
    return x;
}

static void run(struct work work, int width, size_t scratch_bytes)
{
    for (int id = 0; id < width; id++) {
        struct sphere me = {.id = id, .width = width};
        ck_assert(arena_init(&me.scratch, scratch_bytes, NULL) == STATUS_OK);
        work_run(&me, &work, 1);
        arena_release(&me.scratch);
    }
}

struct shape {
    size_t B, T, H, Hkv, d, window, document; /* mean length of documents; 0: the sequence is one */
    double dropout;
};
static const struct shape shapes[] = {
    {2, 130, 6, 2, 5, 0, 0, 0},     {1, 130, 6, 2, 5, 37, 0, 0},      {2, 99, 3, 1, 16, 1, 0, 0},
    {1, 200, 4, 4, 7, 48, 0, 0},    {1, 150, 2, 1, 18, 64, 0, 0},     {2, 49, 2, 2, 4, 500, 0, 0},
    {2, 130, 6, 2, 5, 0, 20, 0},    {1, 230, 2, 1, 18, 37, 60, 0},    {2, 99, 3, 1, 16, 1, 9, 0},
    {2, 97, 2, 2, 4, 0, 1, 0},      {1, 200, 4, 4, 7, 48, 130, 0},    {2, 300, 2, 1, 8, 0, 0, 0.3},
    {1, 300, 4, 2, 9, 150, 0, 0.2}, {1, 310, 2, 2, 16, 70, 110, 0.4},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* [B,T], or NULL. */
static int32_t *first_of_documents(const struct shape *s)
{
    if (!s->document)
        return NULL;
    int32_t *first = calloc(s->B * s->T, sizeof *first);
    for (size_t b = 0; b < s->B; b++)
        for (size_t t = 1; t < s->T; t++) {
            const bool begins = philox4x32(rng_key(9, RNG_TEST, b, 0), 0, t).word[0] % s->document == 0;
            first[b * s->T + t] = begins ? (int32_t)t : first[b * s->T + t - 1];
        }
    return first;
}

static struct attention attention_of(const struct shape *s, enum dtype dtype, double dropout, const int32_t *first,
                                     const float *qkv, float *out, float *max, float *inverse, const float *dout,
                                     float *dqkv)
{
    return (struct attention){.dtype = dtype,
                              .batch = s->B,
                              .seq_len = s->T,
                              .heads = s->H,
                              .kv_heads = s->Hkv,
                              .head_dim = s->d,
                              .window = s->window,
                              .first = first,
                              .qkv = qkv,
                              .out = out,
                              .max = max,
                              .inverse_sum = inverse,
                              .dropout = dropout_make(77, 3, 1, dropout),
                              .first_sequence = 5,
                              .dout = dout,
                              .dqkv = dqkv};
}

/* Probabilities of one query head, [T,T]. */
static void plain_probabilities(const struct shape *s, const int32_t *first, const float *qkv, size_t b, size_t h,
                                double *p)
{
    const size_t E = (s->H + 2 * s->Hkv) * s->d, kv = h / (s->H / s->Hkv);
    memset(p, 0, s->T * s->T * sizeof *p);
    for (size_t i = 0; i < s->T; i++) {
        double sum = 0;
        for (size_t j = s->window && i + 1 > s->window ? i + 1 - s->window : 0; j <= i; j++) {
            double dot = 0;
            if (first && j < (size_t)first[b * s->T + i])
                continue;
            for (size_t c = 0; c < s->d; c++)
                dot += (double)qkv[(b * s->T + i) * E + h * s->d + c] *
                       (double)qkv[(b * s->T + j) * E + (s->H + kv) * s->d + c];
            sum += p[i * s->T + j] = exp(dot / sqrt((double)s->d));
        }
        for (size_t j = 0; j <= i; j++)
            p[i * s->T + j] /= sum;
    }
}

/* What the weight of key j is multiplied with: the mask of a query is counted from the first key it sees. */
static double kept(const struct shape *s, const struct attention *a, size_t b, size_t h, size_t i, size_t j)
{
    if (!(s->dropout > 0))
        return 1;
    const size_t window = s->window && i + 1 > s->window ? i + 1 - s->window : 0;
    const size_t document = a->first ? (size_t)a->first[b * s->T + i] : 0,
                 begin = window > document ? window : document;
    const size_t e = j < begin ? 0 : j - begin;
    const uint64_t row = ((a->first_sequence + b) * s->H + h) * s->T + i;
    const struct rng_block block = philox4x32(a->dropout.key, row, e / 64 * 16 + e % 16);
    return block.word[e / 16 % 4] < a->dropout.threshold ? 0 : (double)a->dropout.scale;
}

static void plain(const struct shape *s, const struct attention *a, double *out, double *dqkv)
{
    const int32_t *first = a->first;
    const float *qkv = a->qkv, *dout = a->dout;
    const size_t T = s->T, d = s->d, A = s->H * d, E = A + 2 * s->Hkv * d;
    double *p = malloc(T * T * sizeof *p);
    memset(out, 0, s->B * T * A * sizeof *out);
    memset(dqkv, 0, s->B * T * E * sizeof *dqkv);
    for (size_t b = 0; b < s->B; b++)
        for (size_t h = 0; h < s->H; h++) {
            const size_t kv = h / (s->H / s->Hkv), at_k = (s->H + kv) * d, at_v = (s->H + s->Hkv + kv) * d;
            plain_probabilities(s, first, qkv, b, h, p);
            for (size_t i = 0; i < T; i++) {
                const size_t qi = b * T + i;
                double total = 0; /* rowsum(P dP) */
                for (int pass = 0; pass < 2; pass++)
                    for (size_t j = 0; j <= i; j++) {
                        const size_t kj = b * T + j;
                        const double keep = kept(s, a, b, h, i, j);
                        double dp = 0;
                        for (size_t c = 0; c < d; c++)
                            dp += keep * (double)dout[qi * A + h * d + c] * (double)qkv[kj * E + at_v + c];
                        if (pass == 0) {
                            total += p[i * T + j] * dp;
                            continue;
                        }
                        const double ds = p[i * T + j] * (dp - total) / sqrt((double)d);
                        for (size_t c = 0; c < d; c++) {
                            out[qi * A + h * d + c] += keep * p[i * T + j] * (double)qkv[kj * E + at_v + c];
                            dqkv[qi * E + h * d + c] += ds * (double)qkv[kj * E + at_k + c];
                            dqkv[kj * E + at_k + c] += ds * (double)qkv[qi * E + h * d + c];
                            dqkv[kj * E + at_v + c] += keep * p[i * T + j] * (double)dout[qi * A + h * d + c];
                        }
                    }
            }
        }
    free(p);
}

START_TEST(test_attention)
{
    const struct shape *s = &shapes[_i];
    const size_t n = s->B * s->T, A = s->H * s->d, E = A + 2 * s->Hkv * s->d;
    float *qkv = numbers(n * E, 1), *dout = numbers(n * A, 2), *out = calloc(n * A, 4), *dqkv = calloc(n * E, 4);
    float *max = calloc(n * s->H, 4), *inverse = calloc(n * s->H, 4), *again = calloc(n * E, 4);
    double *want = malloc(n * A * sizeof *want), *dwant = malloc(n * E * sizeof *dwant);
    int32_t *first = first_of_documents(s);
    struct attention a = attention_of(s, DTYPE_F32, s->dropout, first, qkv, out, max, inverse, dout, dqkv);
    const size_t scratch = attention_scratch_bytes(DTYPE_F32, s->T, s->d, s->H / s->Hkv, s->window);
    run(attention_forward_work(&a), 1, scratch);
    memset(dqkv, 0x7f, n * E * sizeof *dqkv); /* what is not written shows */
    run(attention_backward_work(&a), 1, scratch);
    plain(s, &a, want, dwant);
    for (size_t i = 0; i < n * A; i++)
        ck_assert_msg(!!(fabs((double)out[i] - want[i]) <= 2e-6 * (1 + fabs(want[i]))), "out[%zu] is %.9g, not %.9g", i,
                      (double)out[i], want[i]);
    for (size_t i = 0; i < n * E; i++)
        ck_assert_msg(!!(fabs((double)dqkv[i] - dwant[i]) <= 2e-5 * (1 + fabs(dwant[i]))),
                      "dqkv[%zu] is %.9g, not %.9g", i, (double)dqkv[i], dwant[i]);
    a.dqkv = again;
    run(attention_backward_work(&a), 3, scratch);
    ck_assert(memcmp(dqkv, again, n * E * sizeof *dqkv) == 0);

    /* The first sequence again through the cache, in pieces: the same bits, whoever owns the heads. */
    struct attention_cache cache = {
        calloc(1, attention_cache_bytes(s->T, s->Hkv, s->d)), s->T, s->H, s->Hkv, s->d, s->window};
    struct sphere me = {.id = 0, .width = 1};
    ck_assert(arena_init(&me.scratch, attention_cached_scratch_bytes(s->T, s->window), NULL) == STATUS_OK);
    float *cached = calloc(s->T * A, 4);
    for (size_t t = 0; t < s->T;) {
        const size_t piece = t + 50 <= s->T && t % 3 == 0 ? 50 : 1, half = s->H / 2;
        for (size_t i = t; i < t + piece; i++)
            attention_cache_put(&cache, i, qkv + i * E + A, qkv + i * E + A + s->Hkv * s->d, (struct share){0, s->Hkv});
        attention_cached(&me, &cache, cached + t * A, qkv + t * E, E, t, piece, (struct share){0, half});
        attention_cached(&me, &cache, cached + t * A, qkv + t * E, E, t, piece, (struct share){half, s->H});
        t += piece;
    }
    ck_assert(first || s->dropout > 0 || memcmp(cached, out, s->T * A * sizeof *out) == 0);
    arena_release(&me.scratch);
    void *owned[] = {qkv, dout, out, dqkv, max, inverse, again, want, dwant, cached, cache.data, first};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}
END_TEST

/* Operands that are bf16 already, so that only the rounding of weights and their gradients stands between the formula and
 * this: a part in 2^9 of each term, of terms that sum up to no more than `most`.  The same bits however units are shared. */
START_TEST(test_attention_in_bf16)
{
    const struct shape *s = &shapes[_i];
    const size_t n = s->B * s->T, A = s->H * s->d, E = A + 2 * s->Hkv * s->d;
    float *qkv = numbers(n * E, 1), *dout = numbers(n * A, 2), *out = calloc(n * A, 4), *dqkv = calloc(n * E, 4);
    float *max = calloc(n * s->H, 4), *inverse = calloc(n * s->H, 4), *again = calloc(n * E, 4);
    double *want = malloc(n * A * sizeof *want), *dwant = malloc(n * E * sizeof *dwant);
    int32_t *first = first_of_documents(s);
    struct attention a = attention_of(s, DTYPE_BF16, s->dropout, first, qkv, out, max, inverse, dout, dqkv);
    for (size_t i = 0; i < n * E; i++)
        qkv[i] = f32_of_bf16(bf16_of_f32(qkv[i]));
    for (size_t i = 0; i < n * A; i++)
        dout[i] = f32_of_bf16(bf16_of_f32(dout[i]));
    const size_t scratch = attention_scratch_bytes(DTYPE_BF16, s->T, s->d, s->H / s->Hkv, s->window);
    run(attention_forward_work(&a), 1, scratch);
    memset(dqkv, 0x7f, n * E * sizeof *dqkv); /* what is not written shows */
    run(attention_backward_work(&a), 1, scratch);
    plain(s, &a, want, dwant);
    const double most = s->dropout > 0 ? 16 : 8;
    double worst = 0, error = 0, size = 0;
    for (size_t i = 0; i < n * A; i++) {
        worst = fmax(worst, fabs((double)out[i] - want[i]));
        ck_assert_msg(!!(fabs((double)out[i] - want[i]) <= most / 512), "out[%zu] is %.9g, not %.9g", i, (double)out[i],
                      want[i]);
    }
    for (size_t i = 0; i < n * E; i++) {
        error += ((double)dqkv[i] - dwant[i]) * ((double)dqkv[i] - dwant[i]);
        size += dwant[i] * dwant[i];
        ck_assert_msg(!!(fabs((double)dqkv[i] - dwant[i]) <= 4 * most / 512), "dqkv[%zu] is %.9g, not %.9g", i,
                      (double)dqkv[i], dwant[i]);
    }
    ck_assert_msg(!!(sqrt(error / size) <= 1.0 / 256), "dqkv is off by %g of its size", sqrt(error / size));
    ck_assert_msg(s->window == 1 || s->document == 1 || worst > 1e-7,
                  "nothing was rounded"); /* a weight of 1 is exact */
    a.dqkv = again;
    run(attention_backward_work(&a), 3, scratch);
    ck_assert(memcmp(dqkv, again, n * E * sizeof *dqkv) == 0);
    void *owned[] = {qkv, dout, out, dqkv, max, inverse, again, want, dwant, first};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}
END_TEST

/* Each document of a sequence by itself, at the beginning of a sequence of its own: the same numbers, forward and
 * backward, to the last bit. */
START_TEST(test_documents_are_alone)
{
    const struct shape *s = &shapes[_i];
    const size_t n = s->B * s->T, A = s->H * s->d, E = A + 2 * s->Hkv * s->d;
    int32_t *first = first_of_documents(s);
    if (!first)
        return;
    float *qkv = numbers(n * E, 1), *dout = numbers(n * A, 2), *out = calloc(n * A, 4), *dqkv = calloc(n * E, 4);
    float *max = calloc(n * s->H, 4), *inverse = calloc(n * s->H, 4), *own = calloc(n * A, 4), *down = calloc(n * E, 4);
    struct attention a = attention_of(s, DTYPE_F32, 0, first, qkv, out, max, inverse, dout, dqkv);
    const size_t scratch = attention_scratch_bytes(DTYPE_F32, s->T, s->d, s->H / s->Hkv, s->window);
    run(attention_forward_work(&a), 2, scratch);
    run(attention_backward_work(&a), 2, scratch);
    size_t documents = 0;
    for (size_t at = 0, len; at < n; at += len, documents++) {
        const size_t b = at / s->T;
        for (len = 1; at + len < (b + 1) * s->T && first[at + len] == first[at]; len++)
            ;
        struct attention alone = a;
        alone.batch = 1;
        alone.seq_len = len;
        alone.first = NULL;
        alone.qkv = qkv + at * E;
        alone.dout = dout + at * A;
        alone.out = own;
        alone.dqkv = down;
        run(attention_forward_work(&alone), 1, scratch);
        run(attention_backward_work(&alone), 1, scratch);
        ck_assert_msg(memcmp(own, out + at * A, len * A * sizeof *out) == 0, "document at %zu", at);
        for (size_t i = 0; i < len * E; i++) /* the sign of a zero may differ */
            ck_assert_msg(down[i] == dqkv[at * E + i], "document at %zu, dqkv[%zu]: %.9g alone, %.9g", at, i,
                          (double)down[i], (double)dqkv[at * E + i]);
    }
    ck_assert_uint_gt(documents, s->B);
    void *owned[] = {first, qkv, dout, out, dqkv, max, inverse, own, down};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}
END_TEST

/* What lies outside the window costs nothing. */
START_TEST(test_pairs)
{
    ck_assert(attention_pairs(10, 0) == 55 && attention_pairs(10, 10) == 55 && attention_pairs(10, 1) == 10);
    ck_assert(attention_pairs(10, 3) == 1 + 2 + 8 * 3);
    struct attention a = {.batch = 1, .seq_len = 5000, .heads = 1, .kv_heads = 1, .head_dim = 8};
    const uint64_t all = attention_forward_work(&a).cost;
    a.window = 100;
    ck_assert(attention_forward_work(&a).cost < all / 15);
    /* with a window only the panels of keys and values grow with the sequence */
    enum { D = 32, MORE = 4800 };
    const size_t panels = 2 * MORE * D * sizeof(float);
    ck_assert(attention_scratch_bytes(DTYPE_F32, 2 * MORE, D, 1, 100) -
                  attention_scratch_bytes(DTYPE_F32, MORE, D, 1, 100) ==
              panels);
    ck_assert(attention_scratch_bytes(DTYPE_F32, 2 * MORE, D, 1, 0) -
                  attention_scratch_bytes(DTYPE_F32, MORE, D, 1, 0) >
              panels);
}
END_TEST

START_TEST(test_angles)
{
    enum { HALF = 8, FROM = 131000, N = 3 };
    double f[HALF], linear[HALF], scaled[HALF];
    float cosine[N * HALF], sine[N * HALF];
    rope_frequencies(f, HALF, 500000);
    memcpy(linear, f, sizeof f);
    memcpy(scaled, f, sizeof f);
    rope_scale_linear(linear, HALF, 4);
    rope_scale_llama3(scaled, HALF, 32, 1, 4, 8192);
    rope_angles(cosine, sine, f, HALF, FROM, N);
    for (int i = 0; i < HALF; i++) {
        const double want = pow(500000, -(double)i / HALF), wave = 2 * 3.14159265358979323846 / want;
        const double mix = (8192 / wave - 1) / 3;
        const double l3 = wave > 8192 ? want / 32 : wave < 2048 ? want : (1 - mix) * want / 32 + mix * want;
        ck_assert(!!(fabs(f[i] / want - 1) <= 1e-14) && !!(fabs(linear[i] / want * 4 - 1) <= 1e-14));
        ck_assert(!!(fabs(scaled[i] / l3 - 1) <= 1e-12));
        for (int t = 0; t < N; t++) {
            ck_assert(!!(fabs((double)cosine[t * HALF + i] - cos((FROM + t) * want)) <= 6e-8));
            ck_assert(!!(fabs((double)sine[t * HALF + i] - sin((FROM + t) * want)) <= 6e-8));
        }
    }
}
END_TEST

/* heads_backward is the slope of heads_forward: of the sum of y*u, by finite differences in double steps; with positions
 * that begin anew at documents too. */
START_TEST(test_heads)
{
    enum { B = 2, T = 5, H = 3, HKV = 1, D = 6, E = (H + 2 * HKV) * D, TOKENS = B * T };
    double f[D / 2];
    float cosine[T * D / 2], sine[T * D / 2], raw[TOKENS * (H + HKV) * D], rstd[(H + HKV) * TOKENS];
    float dq[B * H * D], dk[B * HKV * D];
    rope_frequencies(f, D / 2, 50);
    rope_angles(cosine, sine, f, D / 2, 0, T);
    float *x = numbers(TOKENS * E, 5), *u = numbers(TOKENS * E, 6), *w = numbers(2 * D, 7),
          *dx = malloc(TOKENS * E * 4), *y = malloc(TOKENS * E * 4);
    static const int32_t first[TOKENS] = {0, 0, 2, 2, 2, 0, 1, 1, 1, 4};
    struct heads h = {H, HKV, D, T, _i ? first : NULL, cosine, sine, w, w + D, 1e-5f, raw, rstd, TOKENS, dq, dk};
    memcpy(y, x, TOKENS * E * 4);
    heads_forward(&h, y, 0, TOKENS, (struct share){0, H + HKV});
    ck_assert(memcmp(y + (H + HKV) * D, x + (H + HKV) * D, HKV * D * 4) == 0); /* values are left alone */
    if (_i) { /* row 8 is the third of its document, so at the angle of position 2 */
        float *third = malloc(E * 4);
        memcpy(third, x + 8 * E, E * 4);
        h.first = NULL;
        heads_forward(&h, third, 2, 1, (struct share){0, H + HKV});
        ck_assert(memcmp(third, y + 8 * E, E * 4) == 0);
        h.first = first;
        memcpy(y, x, TOKENS * E * 4);
        heads_forward(&h, y, 0, TOKENS, (struct share){0, H + HKV}); /* raw and rstd anew */
        free(third);
    }
    memcpy(dx, u, TOKENS * E * 4);
    for (size_t b = 0; b < B; b++)
        for (size_t i = 0; i < H + HKV; i++)
            heads_backward(&h, dx, b, i);
    double dw[2 * D] = {0};
    for (size_t b = 0; b < B; b++)
        for (size_t c = 0; c < D; c++) {
            for (size_t i = 0; i < H; i++)
                dw[c] += (double)dq[(b * H + i) * D + c];
            dw[D + c] += (double)dk[b * D + c];
        }
    for (int k = 0; k < TOKENS * (H + HKV) * D + 2 * D; k++) {
        const int row = k / ((H + HKV) * D);
        float *at = row < TOKENS ? &x[row * E + k % ((H + HKV) * D)] : &w[k - TOKENS * (H + HKV) * D];
        const double got = row < TOKENS ? (double)dx[at - x] : dw[at - w];
        const float old = *at;
        double value[2] = {0, 0};
        for (int side = 0; side < 2; side++) {
            *at = side ? old - 0.01f : old + 0.01f;
            memcpy(y, x, TOKENS * E * 4);
            heads_forward(&h, y, 0, TOKENS, (struct share){0, H + HKV});
            for (int i = 0; i < TOKENS * E; i++)
                value[side] += i % E < (H + HKV) * D ? (double)y[i] * u[i] : 0;
            *at = old;
        }
        const double slope = (value[0] - value[1]) / 0.02;
        ck_assert_msg(!!(fabs(slope - got) <= 3e-3 * (1 + fabs(slope))), "%d: slope %.6g, gradient %.6g", k, slope,
                      got);
    }
    free(x), free(u), free(w), free(dx), free(y);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attention");
    TCase *t = tcase_create("attention");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_attention, 0, SHAPES);
    tcase_add_loop_test(t, test_attention_in_bf16, 0, SHAPES);
    tcase_add_loop_test(t, test_documents_are_alone, 0, SHAPES);
    tcase_add_test(t, test_pairs);
    tcase_add_test(t, test_angles);
    tcase_add_loop_test(t, test_heads, 0, 2);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
