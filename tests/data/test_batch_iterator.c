/* SPDX-License-Identifier: MIT */
#include "data/batch_iterator.h"

#include "base/memory.h"
#include "base/rng.h"
#include "scratch.h"

#include <math.h>

static struct error err;

/* A stream in which token i is i, so that a batch says where it comes from. */
static struct tokens *counting(size_t n)
{
    const char *path = scratch_path("counting.bin");
    struct token_writer *writer = token_writer_open(path, 4, &err);
    int32_t *ids = malloc(n * sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)i;
    ck_assert_int_eq(token_writer_append(writer, ids, n, &err), STATUS_OK);
    ck_assert_int_eq(token_writer_commit(writer, &err), STATUS_OK);
    free(ids);
    struct tokens *tokens = tokens_open(&path, 1, &err);
    ck_assert_msg(tokens != NULL, "%s", err.text);
    return tokens;
}

static struct batch_iterator *create(const struct tokens *tokens, size_t T, size_t B, double val, uint64_t seed)
{
    const struct batch_options options = {.seq_len = T, .batch_size = B, .val_fraction = val, .seed = seed};
    return batch_iterator_create(tokens, &options, &err);
}

/* The design's words, computed anew: where sample g begins, of n training tokens. */
static uint64_t expected_begin(uint64_t n, uint64_t T, uint64_t seed, uint64_t g)
{
    const uint64_t W = n / T > 1 ? n / T - 1 : 1, e = g / W;
    const struct rng_block r = philox4x32(rng_key(seed, RNG_SHUFFLE, e, 1), 0, 0);
    return ((uint64_t)r.word[1] << 32 | r.word[0]) % (n - W * T) +
           T * rng_permute(rng_key(seed, RNG_SHUFFLE, e, 0), W, g % W);
}

static void expect_batch(const struct batch *batch, uint64_t n, uint64_t seed, uint64_t first)
{
    const size_t T = batch->seq_len;
    ck_assert_uint_eq(batch->first_sample, first);
    for (size_t b = 0; b < batch->batch_size; b++) {
        const uint64_t begin = expected_begin(n, T, seed, first + b);
        ck_assert_uint_lt(begin + T, n);
        for (size_t t = 0; t < T; t++) {
            ck_assert_int_eq(batch->inputs[b * T + t], (int32_t)(begin + t));
            ck_assert_int_eq(batch->targets[b * T + t], (int32_t)(begin + t + 1));
        }
    }
}

static const size_t WINDOWS[] = {1, 2, 3, 10, 1000, 4096, 12345};

START_TEST(every_window_once_an_epoch)
{
    enum { T = 4 };
    const size_t W = WINDOWS[_i], n = W * T + T + 2;
    struct tokens *tokens = counting(n);
    struct batch_iterator *it = create(tokens, T, 1, 0, 42);
    ck_assert_msg(it != NULL, "%s", err.text);
    ck_assert_uint_eq(batch_iterator_windows(it), W);
    uint8_t *seen = malloc(W);
    bool shuffled = false;
    for (int epoch = 0; epoch < 3; epoch++) {
        memset(seen, 0, W);
        size_t offset = SIZE_MAX;
        for (size_t i = 0; i < W; i++) {
            struct batch batch;
            ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
            const size_t begin = (size_t)batch.inputs[0];
            if (offset == SIZE_MAX)
                offset = begin % T; /* the same residue for all windows of an epoch */
            ck_assert_uint_eq(begin % T, offset);
            const size_t w = begin / T;
            if (w < W) { /* offsets from T up shift every window by one */
                seen[w]++;
                shuffled = shuffled || w != i;
            } else
                seen[0]++;
        }
        for (size_t w = 0; w < W; w++)
            ck_assert_uint_eq(seen[w], 1);
    }
    ck_assert(shuffled || W < 10);
    free(seen);
    batch_iterator_free(it);
    tokens_close(tokens);
}
END_TEST

START_TEST(prefetched_equals_computed)
{
    static const struct {
        size_t n, T, B;
    } cases[] = {{1000, 7, 3}, {9, 8, 5}, {15, 8, 2}, {16, 8, 1}, {24, 8, 4}, {5000, 64, 12}, {3, 1, 2}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (uint64_t seed = 1; seed < 4; seed++) {
            struct tokens *tokens = counting(cases[c].n);
            struct batch_iterator *it = create(tokens, cases[c].T, cases[c].B, 0, seed);
            ck_assert_msg(it != NULL, "%s", err.text);
            for (uint64_t g = 0; g < 40; g += cases[c].B) {
                struct batch batch;
                ck_assert_uint_eq(batch_iterator_position(it), g);
                ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
                expect_batch(&batch, cases[c].n, seed, g);
            }
            batch_iterator_free(it);
            tokens_close(tokens);
        }
}
END_TEST

START_TEST(seek_anywhere)
{
    enum { N = 3000, T = 16, B = 6 };
    struct tokens *tokens = counting(N);
    struct batch_iterator *it = create(tokens, T, B, 0, 7);
    static const uint64_t to[] = {0, 6, 6, 5, 1000003, 0, 12, 18, (uint64_t)1 << 60};
    struct batch batch;
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        batch_iterator_seek(it, to[i]);
        ck_assert_uint_eq(batch_iterator_position(it), to[i]);
        for (int more = 0; more < 3; more++) {
            ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
            expect_batch(&batch, N, 7, to[i] + (uint64_t)more * B);
        }
    }
    for (uint64_t i = 0; i < 2000; i++) { /* seeks while the thread is at work */
        batch_iterator_seek(it, i * 31 % 500);
        if (i % 3 == 0) {
            ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
            expect_batch(&batch, N, 7, i * 31 % 500);
        }
    }
    batch_iterator_free(it);
    tokens_close(tokens);
}
END_TEST

START_TEST(a_step_allocates_nothing)
{
    struct tokens *tokens = counting(3000);
    struct batch_iterator *it = create(tokens, 16, 6, 0.1, 7);
    struct batch batch;
    const uint64_t before = mem_request_count();
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
    ck_assert_uint_eq(mem_request_count(), before);
    batch_iterator_free(it);
    tokens_close(tokens);
}
END_TEST

START_TEST(validation)
{
    enum { N = 1000, T = 16 };
    struct tokens *tokens = counting(N);
    struct batch_iterator *it = create(tokens, T, 2, 0.25, 7);
    ck_assert_msg(it != NULL, "%s", err.text);
    ck_assert_uint_eq(batch_iterator_val_windows(it), 249 / T);
    ck_assert_uint_eq(batch_iterator_windows(it), 750 / T - 1);
    int32_t inputs[T], targets[T];
    for (uint64_t w = 0; w < batch_iterator_val_windows(it); w++) {
        batch_iterator_val_window(it, w, &(struct window){inputs, targets, NULL, NULL});
        for (int t = 0; t < T; t++)
            ck_assert(inputs[t] == 750 + (int32_t)w * T + t && targets[t] == inputs[t] + 1);
    }
    struct batch batch;
    for (int i = 0; i < 200; i++) { /* training never sees it */
        ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
        expect_batch(&batch, 750, 7, (uint64_t)i * 2);
    }
    ck_assert_uint_eq(batch_iterator_options(it)->seq_len, T);
    ck_assert_ptr_eq(batch_iterator_tokens(it), tokens);
    batch_iterator_free(it);
    tokens_close(tokens);
}
END_TEST

START_TEST(refused)
{
    struct tokens *tokens = counting(100);
    static const struct {
        size_t T, B;
        double val;
        enum status status;
        const char *words;
    } bad[] = {
        {100, 1, 0, STATUS_CONFIG, "training part has 100 tokens, and one window of sequence length 100 needs 101"},
        {60, 1, 0.5, STATUS_CONFIG, "training part has 50 tokens"},
        {10, 1, 0.1, STATUS_CONFIG, "validation part, 0.1 of it, has 10 tokens"},
        {0, 1, 0, STATUS_CONFIG, "at least 1"},
        {10, 0, 0, STATUS_CONFIG, "at least 1"},
        {10, 1, 0.51, STATUS_CONFIG, "between 0 and 0.5"},
        {10, 1, -0.1, STATUS_CONFIG, "between 0 and 0.5"},
        {10, 1, NAN, STATUS_CONFIG, "between 0 and 0.5"},
        {SIZE_MAX, 1, 0, STATUS_CONFIG, "too short"},
        {16, SIZE_MAX / 16, 0, STATUS_NOMEM, "two batches"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_ptr_null(create(tokens, bad[i].T, bad[i].B, bad[i].val, 1));
        expect_error(&err, bad[i].status, bad[i].words);
    }
    const struct batch_options huge = {.seq_len = 16, .batch_size = SIZE_MAX / 16};
    const struct batch_options small = {.seq_len = 16, .batch_size = 4};
    ck_assert_uint_eq(batch_iterator_bytes(&huge), SIZE_MAX);
    ck_assert_uint_ge(batch_iterator_bytes(&small), 2 * 2 * 16 * 4 * 4);
    batch_iterator_free(NULL);
    tokens_close(tokens);
}
END_TEST

/* Every allocation of _create fails in turn: an error, no leak, no thread left. */
START_TEST(out_of_memory)
{
    struct tokens *tokens = counting(100);
    struct batch_iterator *it = NULL;
    int64_t failing = 0;
    for (; !it && failing < 100; failing++) {
        err = (struct error){0};
        mem_fail_at(failing);
        it = create(tokens, 4, 2, 0, 1);
        mem_fail_at(-1);
        if (!it)
            ck_assert_msg(err.status != STATUS_OK && err.text[0], "failure %d without a sentence", (int)failing);
    }
    ck_assert_ptr_nonnull(it);
    ck_assert_int_gt(failing, 3);
    batch_iterator_free(it);
    tokens_close(tokens);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("batch_iterator");
    tcase_set_timeout(cases, 30);
    tcase_add_loop_test(cases, every_window_once_an_epoch, 0, sizeof WINDOWS / sizeof *WINDOWS);
    tcase_add_test(cases, prefetched_equals_computed);
    tcase_add_test(cases, seek_anywhere);
    tcase_add_test(cases, a_step_allocates_nothing);
    tcase_add_test(cases, validation);
    tcase_add_test(cases, refused);
    tcase_add_test(cases, out_of_memory);
    return run_suite("data/batch_iterator", cases);
}
