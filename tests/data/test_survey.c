/* SPDX-License-Identifier: MIT
 * test_survey.c - figures of streams of documents against those of the plain definition.
 */
#include "data/survey.h"

#include "base/memory.h"
#include "base/rng.h"
#include "scratch.h"

#include <math.h>

static struct error err;

enum { MAX_DOCUMENTS = 300, MAX_LENGTH = 40, END = 3, VOCAB = 9 };

struct stream {
    size_t documents, n, lengths[MAX_DOCUMENTS], starts[MAX_DOCUMENTS];
    int32_t ids[MAX_DOCUMENTS * (MAX_LENGTH + 1)];
};

/* Short documents over few tokens, so that some are equal and some empty; each but the last ends with END. */
static struct stream *make(uint64_t seed, size_t documents, size_t longest)
{
    struct stream *s = calloc(1, sizeof *s);
    s->documents = documents;
    for (size_t d = 0, k = 0; d < documents; d++) {
        s->lengths[d] = philox4x32(rng_key(seed, RNG_TEST, 1, 0), 0, d).word[0] % (longest + 1);
        s->starts[d] = s->n;
        for (size_t i = 0; i < s->lengths[d]; i++, k++)
            s->ids[s->n++] = 4 + (int32_t)(philox4x32(rng_key(seed, RNG_TEST, 2, 0), 0, k).word[0] % 3);
        if (d + 1 < documents)
            s->ids[s->n++] = END;
    }
    return s;
}

/* Fed in pieces of any length. */
static struct survey *take(const struct stream *s, const struct survey_options *options, size_t piece)
{
    struct survey *survey = survey_new(options, &err);
    ck_assert_msg(survey != NULL, "%s", err.text);
    for (size_t d = 0; d < s->documents; d++) {
        const size_t end = d + 1 < s->documents ? s->starts[d + 1] : s->n;
        ck_assert_int_eq(survey_document(survey, &err), STATUS_OK);
        for (size_t at = s->starts[d]; at < end; at += piece)
            survey_tokens(survey, s->ids + at, end - at < piece ? end - at : piece);
    }
    ck_assert_int_eq(survey_finish(survey, &err), STATUS_OK);
    return survey;
}

static bool equal(const struct stream *s, size_t a, size_t b)
{
    return s->lengths[a] == s->lengths[b] &&
           memcmp(s->ids + s->starts[a], s->ids + s->starts[b], s->lengths[a] * sizeof *s->ids) == 0;
}

static void expect_duplicates(const struct stream *s, const struct survey_figures *f)
{
    uint64_t duplicates = 0, tokens = 0;
    for (size_t d = 0; d < s->documents; d++)
        for (size_t e = 0; e < d && s->lengths[d]; e++)
            if (equal(s, d, e)) {
                if (duplicates < SURVEY_NAMED)
                    ck_assert(f->named[duplicates].document == d + 1 && f->named[duplicates].of == e + 1);
                duplicates++;
                tokens += s->lengths[d];
                break;
            }
    ck_assert_uint_eq(f->duplicates, duplicates);
    ck_assert_uint_eq(f->duplicate_tokens, tokens);
    ck_assert_uint_eq(f->num_named, duplicates < SURVEY_NAMED ? duplicates : SURVEY_NAMED);
}

static int ascending(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

static void expect_lengths(const struct stream *s, const struct survey_figures *f)
{
    size_t sorted[MAX_DOCUMENTS];
    uint64_t empty = 0, bins[SURVEY_BINS] = {0};
    double sum = 0;
    memcpy(sorted, s->lengths, sizeof sorted);
    qsort(sorted, s->documents, sizeof *sorted, ascending);
    for (size_t d = 0; d < s->documents; d++) {
        empty += sorted[d] == 0;
        sum += (double)sorted[d];
        bins[sorted[d] ? 1 + (size_t)floor(log2((double)sorted[d])) : 0]++;
    }
    ck_assert(f->shortest == sorted[0] && f->longest == sorted[s->documents - 1] && f->empty == empty);
    ck_assert(!!(fabs(f->mean - sum / (double)s->documents) <= 1e-9));
    ck_assert(memcmp(f->bins, bins, sizeof bins) == 0);
    for (size_t i = 0; i < SURVEY_QUANTILES; i++)
        ck_assert_uint_eq(f->quantile[i],
                          sorted[(size_t)floor(survey_quantiles[i] * (double)(s->documents - 1) + 0.5)]);
}

/* Whether the token at `place` begins a document. */
static bool begins(const struct stream *s, size_t place)
{
    for (size_t d = 0; d < s->documents; d++)
        if (s->starts[d] == place)
            return true;
    return false;
}

static void expect_windows(const struct stream *s, const struct survey *survey, size_t T, bool packed)
{
    const struct survey_figures *f = survey_figures(survey);
    const size_t windows = s->n ? (s->n - 1) / T : 0;
    uint64_t supervised = 0, kept = 0;
    for (size_t w = 0; w < windows; w++)
        for (size_t t = 0; t < T; t++) {
            const size_t at = w * T + t;
            size_t from = t;
            while (packed && from > 0 && !begins(s, w * T + from))
                from--;
            supervised += !packed || !begins(s, at + 1);
            kept += t - (packed ? from : 0) + 1;
        }
    ck_assert_uint_eq(f->windows, windows);
    ck_assert_uint_eq(f->supervised, supervised);
    ck_assert_uint_eq(f->pairs_kept, kept);
    ck_assert_uint_eq(f->pairs, windows * T * (T + 1) / 2);
    uint64_t last = 0;
    for (size_t i = 0; i < survey_num_windows(survey); i++) {
        const struct survey_window w = survey_window(survey, i);
        ck_assert(w.number < windows && (i == 0 || w.number > last));
        last = w.number;
        ck_assert(memcmp(w.ids, s->ids + w.number * T, (T + 1) * sizeof *w.ids) == 0);
        for (size_t t = 0; t <= T; t++) {
            size_t d = 0; /* the last that begins at or before it */
            while (d < s->documents && s->starts[d] <= w.number * T + t)
                d++;
            ck_assert_uint_eq(w.document[t], d);
            ck_assert(t == 0 || w.supervised[t - 1] == (!packed || !begins(s, w.number * T + t)));
        }
    }
}

START_TEST(figures)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct stream *s = make(seed, seed == 0 ? 1 : 27 * seed, seed % 3 ? 4 : MAX_LENGTH);
        const bool packed = seed % 2;
        const size_t T = 1 + 7 * (seed % 4);
        const struct survey_options options = {.seq_len = T,
                                               .packing = packed ? PACKING_DOCUMENTS : PACKING_NONE,
                                               .vocab_size = seed % 5 ? VOCAB : 6,
                                               .end_of_text = END,
                                               .samples = seed};
        struct survey *survey = take(s, &options, 1 + seed), *again = take(s, &options, SIZE_MAX / 2);
        const struct survey_figures *f = survey_figures(survey);
        ck_assert(memcmp(f, survey_figures(again), sizeof *f) == 0);
        uint64_t outside = 0, ends = 0;
        for (size_t i = 0; i < s->n; i++) {
            if ((uint32_t)s->ids[i] >= options.vocab_size && outside++ == 0)
                ck_assert_uint_eq(f->first_outside, i);
            ends += s->ids[i] == END;
        }
        ck_assert(f->documents == s->documents && f->tokens == s->n && f->outside == outside && f->ends == ends);
        expect_duplicates(s, f);
        expect_lengths(s, f);
        expect_windows(s, survey, T, packed);
        ck_assert_uint_eq(survey_num_windows(survey), f->windows < seed ? f->windows : seed);
        survey_free(survey);
        survey_free(again);
        free(s);
    }
}
END_TEST

START_TEST(runs)
{
    static const int32_t a[] = {5, 5, 6, 6, 6, 7, 8, 8, 8, 8, 9}, b[] = {9, 9, 9, 4, 4, 4, 4, 4};
    const struct survey_options options = {.seq_len = 4, .end_of_text = -1};
    struct survey *s = survey_new(&options, &err);
    survey_document(s, &err);
    survey_tokens(s, a, 11);
    survey_document(s, &err); /* a run ends with its document */
    survey_tokens(s, b, 8);
    ck_assert_int_eq(survey_finish(s, &err), STATUS_OK);
    const struct survey_figures *f = survey_figures(s);
    ck_assert_uint_eq(f->num_runs, 3);
    ck_assert(f->runs[0].length == 5 && f->runs[0].token == 4 && f->runs[0].begin == 14 && f->runs[0].document == 2);
    ck_assert(f->runs[1].length == 4 && f->runs[1].token == 8 && f->runs[1].begin == 6 && f->runs[1].document == 1);
    ck_assert(f->runs[2].length == 3 && f->runs[2].token == 6);
    survey_free(s);
}
END_TEST

/* Each window is as likely to be shown as another. */
START_TEST(samples_are_drawn_from_all)
{
    enum { WINDOWS = 2000, SAMPLES = 400 };
    static const int32_t ids[WINDOWS + 1];
    const struct survey_options options = {.seq_len = 1, .end_of_text = -1, .samples = SAMPLES};
    struct survey *s = survey_new(&options, &err);
    survey_document(s, &err);
    survey_tokens(s, ids, WINDOWS + 1);
    ck_assert_int_eq(survey_finish(s, &err), STATUS_OK);
    size_t quarter[4] = {0};
    for (size_t i = 0; i < SAMPLES; i++)
        quarter[survey_window(s, i).number / (WINDOWS / 4)]++;
    for (int i = 0; i < 4; i++)
        ck_assert_msg(quarter[i] > 70 && quarter[i] < 130, "%zu of the %d. quarter", quarter[i], i + 1);
    survey_free(s);
}
END_TEST

START_TEST(nothing_and_too_much)
{
    struct survey_options options = {.seq_len = 4, .end_of_text = -1, .samples = 3};
    struct survey *s = survey_new(&options, &err);
    ck_assert_int_eq(survey_finish(s, &err), STATUS_OK);
    ck_assert(survey_figures(s)->documents == 0 && survey_num_windows(s) == 0);
    survey_free(s);
    s = survey_new(&options, &err); /* tokens before the first document belong to none */
    static const int32_t ids[] = {1, 2, 3, 4, 5};
    survey_tokens(s, ids, 5);
    survey_document(s, &err);
    ck_assert_int_eq(survey_finish(s, &err), STATUS_OK);
    ck_assert(survey_figures(s)->documents == 1 && survey_figures(s)->empty == 1 && survey_figures(s)->tokens == 5);
    ck_assert_uint_eq(survey_window(s, 0).document[0], 0);
    survey_free(s);
    options.seq_len = 0;
    ck_assert_ptr_null(survey_new(&options, &err));
    expect_error(&err, STATUS_CONFIG, "cannot be shown");
    options.seq_len = 4;
    s = NULL;
    for (int64_t failing = 0; !s && failing < 50; failing++) {
        mem_fail_at(failing);
        s = survey_new(&options, &err);
        mem_fail_at(-1);
        ck_assert(s || err.status != STATUS_OK);
    }
    ck_assert_ptr_nonnull(s);
    mem_fail_at(0); /* the first record of a document */
    survey_document(s, &err);
    survey_tokens(s, ids, 3);
    const enum status status = survey_finish(s, &err);
    mem_fail_at(-1);
    ck_assert_int_eq(status, STATUS_NOMEM);
    survey_free(s);
    survey_free(NULL);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("survey");
    tcase_set_timeout(cases, 30);
    tcase_add_test(cases, figures);
    tcase_add_test(cases, runs);
    tcase_add_test(cases, samples_are_drawn_from_all);
    tcase_add_test(cases, nothing_and_too_much);
    return run_suite("data/survey", cases);
}
