/* SPDX-License-Identifier: MIT
 * tests/infer/test_sampler.c - the draw: greedy, its frequencies, what top-k and top-p leave, ties.
 */
#include "base/rng.h"
#include "infer/generator.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { V = 200 };
static float logits[V], scratch[V];

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < V; i++)
        logits[i] = (float)(2.0 * rng_normal(rng_key(seed, RNG_TEST, 0, 0), i));
}

static int32_t draw(const struct sampling *s, uint64_t i)
{
    struct rng_block block = philox4x32(s->seed, 0, i);
    return sample_token(logits, V, s, rng_uniform(&block, 0), scratch);
}

static int by_value_down(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

START_TEST(greedy_takes_the_first_largest)
{
    fill(1);
    logits[17] = logits[90] = 50.0f;
    struct sampling s = {.temperature = 0, .top_p = 1};
    ck_assert_int_eq(draw(&s, 0), 17);
    s = (struct sampling){.temperature = 1, .top_p = 1, .top_k = 1};
    for (uint64_t i = 0; i < 50; i++)
        ck_assert_int_eq(draw(&s, i), 17);
}
END_TEST

START_TEST(frequencies_are_softmax)
{
    fill(2);
    enum { DRAWS = 40000 };
    struct sampling s = {.temperature = 0.8, .top_p = 1, .seed = 3};
    int count[V] = {0};
    double p[V], total = 0;
    for (uint64_t i = 0; i < DRAWS; i++)
        count[draw(&s, i)]++;
    for (size_t i = 0; i < V; i++)
        total += p[i] = exp((double)logits[i] / 0.8);
    for (size_t i = 0; i < V; i++) {
        double expected = DRAWS * p[i] / total, spread = 5 * sqrt(expected + 1);
        ck_assert(fabs(count[i] - expected) <= spread);
    }
}
END_TEST

START_TEST(top_k_keeps_the_k_likeliest)
{
    fill(4);
    float sorted[V];
    for (size_t i = 0; i < V; i++)
        sorted[i] = logits[i];
    qsort(sorted, V, sizeof *sorted, by_value_down);
    struct sampling s = {.temperature = 3, .top_p = 1, .top_k = 7, .seed = 5};
    bool seen[V] = {false};
    for (uint64_t i = 0; i < 5000; i++)
        seen[draw(&s, i)] = true;
    int kinds = 0;
    for (size_t i = 0; i < V; i++) {
        kinds += seen[i];
        ck_assert(!seen[i] || logits[i] >= sorted[6]);
    }
    ck_assert_int_eq(kinds, 7);
}
END_TEST

START_TEST(top_p_keeps_the_smallest_set_that_reaches_it)
{
    fill(6);
    for (size_t k = 0; k < 2; k++) {
        struct sampling s = {.temperature = 1, .top_p = 0.6, .top_k = k ? 20 : 0, .seed = 7};
        float sorted[V];
        double total = 0, sum = 0;
        size_t among = k ? 20 : V, kept = 0;
        for (size_t i = 0; i < V; i++)
            sorted[i] = logits[i];
        qsort(sorted, V, sizeof *sorted, by_value_down);
        for (size_t i = 0; i < among; i++)
            total += exp((double)sorted[i]);
        while (sum < 0.6 * total)
            sum += exp((double)sorted[kept++]);
        bool seen[V] = {false};
        size_t kinds = 0;
        for (uint64_t i = 0; i < 20000; i++)
            seen[draw(&s, i)] = true;
        for (size_t i = 0; i < V; i++) {
            kinds += seen[i];
            ck_assert(!seen[i] || logits[i] >= sorted[kept - 1]);
        }
        ck_assert_uint_eq(kinds, kept);
    }
}
END_TEST

START_TEST(ties_at_the_cut_go_to_the_lower_index)
{
    for (size_t i = 0; i < V; i++)
        logits[i] = 1.0f;
    struct sampling s = {.temperature = 1, .top_p = 1, .top_k = 3, .seed = 9};
    for (uint64_t i = 0; i < 500; i++)
        ck_assert_int_lt(draw(&s, i), 3);
}
END_TEST

/* The whole chain, written plainly in double: sorted by logit, then by id; what is left and how likely each is. */
struct entry {
    double logit;
    int id;
};

static int by_logit_then_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit) : x->id - y->id;
}

static size_t plain_chain(const struct sampling *s, const bool *seen, double *p)
{
    struct entry e[V];
    for (int i = 0; i < V; i++) {
        double x = (double)logits[i];
        if (seen[i])
            x = x < 0 ? x * s->repetition_penalty : x / s->repetition_penalty;
        e[i] = (struct entry){(double)(float)x / s->temperature, i};
        p[i] = 0;
    }
    qsort(e, V, sizeof *e, by_logit_then_id);
    size_t n = s->top_k && s->top_k < V ? s->top_k : V, kept = 0;
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        total += exp(e[i].logit - e[0].logit);
    while (kept < n && (kept == 0 || sum < s->top_p * total))
        sum += exp(e[kept++].logit - e[0].logit);
    while (kept > 1 && exp(e[kept - 1].logit - e[0].logit) < s->min_p)
        kept--;
    total = 0;
    for (size_t i = 0; i < kept; i++)
        total += p[e[i].id] = exp(e[i].logit - e[0].logit);
    for (size_t i = 0; i < V; i++)
        p[i] /= total;
    return kept;
}

START_TEST(the_chain_is_that_of_a_plain_reference)
{
    static const struct sampling settings[] = {
        {.temperature = 1, .top_p = 1, .min_p = 0.05, .repetition_penalty = 1},
        {.temperature = 1.7, .top_p = 0.8, .min_p = 0.1, .repetition_penalty = 1.3},
        {.temperature = 0.7, .top_p = 0.95, .top_k = 30, .min_p = 0.02, .repetition_penalty = 1.1},
        {.temperature = 2, .top_p = 0.5, .top_k = 50, .min_p = 0, .repetition_penalty = 0.8},
        {.temperature = 1, .top_p = 1e-9, .min_p = 1, .repetition_penalty = 2},
    };
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        fill(20 + k);
        for (size_t i = 0; i < V; i++) /* many equal ones */
            logits[i] = roundf(logits[i] * 8) / 8;
        bool seen[V];
        double p[V];
        for (size_t i = 0; i < V; i++)
            seen[i] = i % 3 == 0;
        const size_t kept = plain_chain(&settings[k], seen, p);
        sampling_penalize(logits, seen, V, settings[k].repetition_penalty);
        /* At the n-th of many points between 0 and 1 the draw is where the sum of p passes it. */
        enum { POINTS = 20000 };
        size_t kinds = 0;
        int id = 0, last = -1;
        double sum = p[0];
        for (int n = 0; n < POINTS; n++) {
            const double u = (n + 0.5) / POINTS;
            while (sum < u && id + 1 < V)
                sum += p[++id];
            const int32_t drawn = sample_token(logits, V, &settings[k], u, scratch);
            ck_assert(p[drawn] > 0);
            if (fabs(sum - u) > 1e-5 && fabs(sum - p[id] - u) > 1e-5)
                ck_assert_int_eq(drawn, id);
            kinds += drawn != last;
            last = drawn;
        }
        size_t likely = 0; /* those wide enough to be met by the points */
        for (size_t i = 0; i < V; i++)
            likely += p[i] > 2.0 / POINTS;
        ck_assert(kinds >= likely && kinds <= kept);
    }
}
END_TEST

START_TEST(min_p_keeps_what_is_just_as_likely)
{
    for (size_t i = 0; i < V; i++)
        logits[i] = i == 5 || i == 9 ? 2.0f : 1.0f;
    struct sampling s = {.temperature = 1, .top_p = 1, .min_p = 1, .seed = 9};
    bool seen[V] = {false};
    for (uint64_t i = 0; i < 200; i++)
        seen[draw(&s, i)] = true;
    for (size_t i = 0; i < V; i++)
        ck_assert(seen[i] == (i == 5 || i == 9));
}
END_TEST

START_TEST(the_penalty_divides_and_multiplies)
{
    float values[] = {2, -2, 0, 3e38f, -3e38f, 2}, expected[] = {1, -4, 0, 1.5e38f, -FLT_MAX, 2};
    const bool seen[] = {true, true, true, true, true, false};
    sampling_penalize(values, seen, 6, 2);
    for (size_t i = 0; i < 6; i++)
        ck_assert(values[i] == expected[i]);
    sampling_penalize(values, seen, 6, 0); /* off */
    ck_assert(values[0] == 1);
}
END_TEST

START_TEST(bad_settings_are_refused)
{
    struct error err;
    ck_assert_int_eq(sampling_check(&(struct sampling){.temperature = 1, .top_p = 1}, &err), STATUS_OK);
    ck_assert_int_eq(sampling_check(&(struct sampling){.temperature = -1, .top_p = 1}, &err), STATUS_CONFIG);
    ck_assert_int_eq(sampling_check(&(struct sampling){.temperature = NAN, .top_p = 1}, &err), STATUS_CONFIG);
    ck_assert_int_eq(sampling_check(&(struct sampling){.temperature = 1, .top_p = 0}, &err), STATUS_CONFIG);
    ck_assert_int_eq(sampling_check(&(struct sampling){.temperature = 1, .top_p = 1.5}, &err), STATUS_CONFIG);
    ck_assert_int_eq(sampling_check(&(struct sampling){.temperature = 1, .top_p = 1, .min_p = 1.5}, &err), STATUS_CONFIG);
    ck_assert_int_eq(sampling_check(&(struct sampling){.top_p = 1, .repetition_penalty = -1}, &err), STATUS_CONFIG);
    ck_assert_int_eq(sampling_check(&(struct sampling){.top_p = 1, .repetition_penalty = NAN}, &err), STATUS_CONFIG);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("sampler");
    tcase_add_test(cases, greedy_takes_the_first_largest);
    tcase_add_test(cases, frequencies_are_softmax);
    tcase_add_test(cases, top_k_keeps_the_k_likeliest);
    tcase_add_test(cases, top_p_keeps_the_smallest_set_that_reaches_it);
    tcase_add_test(cases, ties_at_the_cut_go_to_the_lower_index);
    tcase_add_test(cases, the_chain_is_that_of_a_plain_reference);
    tcase_add_test(cases, min_p_keeps_what_is_just_as_likely);
    tcase_add_test(cases, the_penalty_divides_and_multiplies);
    tcase_add_test(cases, bad_settings_are_refused);
    Suite *suite = suite_create("infer/sampler");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
