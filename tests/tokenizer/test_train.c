/* SPDX-License-Identifier: MIT
 * test_train.c - vocabularies as Hugging Face's BpeTrainer makes them of the same text (tests/fixtures/tokenizers, made by
 * scripts/make_tokenizer_fixtures.py); the same whatever order words are counted in.
 */
#include "tokenizer/train.h"

#include "base/memory.h"
#include "formats/json.h"
#include "scratch.h"

#define FIXTURES "tests/fixtures/tokenizers/"

static struct error err;
static const char *const END = "<|endoftext|>";

static struct tokenizer *blank(const char *family)
{
    struct tokenizer *t = tokenizer_blank(family, &END, 1, &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    return t;
}

static struct word_counts *count(const struct tokenizer *t, const char *text, size_t len)
{
    struct word_counts *counts = word_counts_new(&err);
    ck_assert_ptr_nonnull(counts);
    ck_assert_msg(word_counts_add_text(counts, t, 0, text, len, &err) == STATUS_OK, "%s", err.text);
    return counts;
}

static struct buffer json_of(const struct tokenizer *t)
{
    struct buffer text = {0};
    ck_assert_int_eq(tokenizer_json(t, &text, &err), STATUS_OK);
    return text;
}

START_TEST(as_the_reference)
{
    static const char *const families[] = {"gpt2", "qwen2"};
    struct buffer text = {0}, path = {0};
    ck_assert_msg(file_read(FIXTURES "train.txt", 1 << 20, &text, &err) == STATUS_OK, "%s", err.text);
    struct tokenizer *t = blank(families[_i]);
    struct word_counts *counts = count(t, text.data, text.len);
    struct tokenizer *made = tokenizer_train(t, counts, 700, 0, &err);
    ck_assert_msg(made != NULL, "%s", err.text);
    ck_assert_uint_eq(tokenizer_vocab_size(made), 700);
    ck_assert_int_eq(tokenizer_end_of_text(made), 0);
    struct buffer json = json_of(made);
    buffer_printf(&path, FIXTURES "train-%s.json", families[_i]);
    json_t *file = json_read_text(json.data, json.len, "ours", &err),
           *expected = json_read_file(path.data, 1 << 20, &err);
    json_t *model = json_object_get(file, "model");
    ck_assert(json_equal(json_object_get(model, "vocab"), json_object_get(expected, "vocab")));
    ck_assert(json_equal(json_object_get(model, "merges"), json_object_get(expected, "merges")));
    json_decref(file);
    json_decref(expected);
    buffer_release(&path);

    /* What it has learnt is shorter than bytes, and comes back. */
    struct buffer ids = {0}, back = {0};
    ck_assert_int_eq(tokenizer_encode(made, text.data, text.len, &ids, &err), STATUS_OK);
    ck_assert_uint_lt(ids.len / sizeof(int32_t), text.len / 2);
    ck_assert_int_eq(tokenizer_decode_text(made, (const int32_t *)(const void *)ids.data, ids.len / sizeof(int32_t),
                                           false, &back, &err),
                     STATUS_OK);
    ck_assert_uint_eq(back.len, text.len);
    ck_assert_mem_eq(back.data, text.data, text.len);
    buffer_release(&ids);
    buffer_release(&back);
    buffer_release(&json);
    buffer_release(&text);
    word_counts_free(counts);
    tokenizer_free(made);
    tokenizer_free(t);
}
END_TEST

/* Counted in pieces, cut where tokenizer_cut says, and added up from the last to the first. */
START_TEST(in_any_order)
{
    struct buffer text = {0};
    ck_assert_int_eq(file_read(FIXTURES "train.txt", 1 << 20, &text, &err), STATUS_OK);
    struct tokenizer *t = blank("gpt2");
    struct word_counts *whole = count(t, text.data, text.len), *sum = word_counts_new(&err);
    size_t end = text.len;
    while (end) {
        const size_t cut = end > 700 ? tokenizer_cut(t, 0, text.data, end - 500) : 0;
        struct word_counts *piece = word_counts_new(&err);
        ck_assert_int_eq(
            word_counts_add_text(piece, t, cut ? TOKENIZER_CONTINUES : 0, text.data + cut, end - cut, &err), STATUS_OK);
        ck_assert_int_eq(word_counts_add(sum, piece, &err), STATUS_OK);
        word_counts_free(piece);
        end = cut;
    }
    ck_assert_uint_eq(word_counts_total(sum), word_counts_total(whole));
    ck_assert_uint_eq(word_counts_distinct(sum), word_counts_distinct(whole));
    struct tokenizer *a = tokenizer_train(t, whole, 600, 2, &err), *b = tokenizer_train(t, sum, 600, 2, &err);
    struct buffer x = json_of(a), y = json_of(b);
    ck_assert_str_eq(x.data, y.data);
    buffer_release(&x);
    buffer_release(&y);
    buffer_release(&text);
    word_counts_free(whole);
    word_counts_free(sum);
    tokenizer_free(a);
    tokenizer_free(b);
    tokenizer_free(t);
}
END_TEST

/* Worked out by hand: ties go to smaller ids, and the list ends when nothing occurs often enough. */
START_TEST(small)
{
    struct tokenizer *t = blank("gpt2");
    struct word_counts *counts = count(t, "abab abab cd", 12);
    struct tokenizer *made = tokenizer_train(t, counts, 1000, 2, &err);
    struct buffer json = json_of(made);
    /* words: abab, " abab", " cd"; ab 4, then abab 2, then " abab" has 1 */
    ck_assert_ptr_nonnull(strstr(json.data, "\"merges\":[\"a b\",\"ab ab\"]"));
    ck_assert_uint_eq(tokenizer_vocab_size(made), 257 + 2);
    tokenizer_free(made);
    buffer_release(&json);
    made = tokenizer_train(t, counts, 257, 2, &err);
    ck_assert_uint_eq(tokenizer_vocab_size(made), 257);
    tokenizer_free(made);
    ck_assert_ptr_null(tokenizer_train(t, counts, 256, 2, &err));
    expect_error(&err, STATUS_CONFIG, "bytes and special tokens alone are 257");
    word_counts_free(counts);
    counts = count(t, "aaaa", 4); /* one word; pairs that overlap */
    made = tokenizer_train(t, counts, 1000, 0, &err);
    json = json_of(made);
    ck_assert_ptr_nonnull(strstr(json.data, "\"merges\":[\"a a\",\"aa aa\"]"));
    buffer_release(&json);
    tokenizer_free(made);
    word_counts_free(counts);
    tokenizer_free(t);
}
END_TEST

/* A special token is not made of text, though the text is full of it. */
START_TEST(special_tokens)
{
    static const char *const special[] = {"ab", "<x>"};
    struct tokenizer *t = tokenizer_blank("gpt2", special, 2, &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    struct word_counts *counts = count(t, "ababab ab ab ab", 15);
    struct tokenizer *made = tokenizer_train(t, counts, 300, 0, &err);
    ck_assert_msg(made != NULL, "%s", err.text);
    struct buffer ids = {0};
    ck_assert_int_eq(tokenizer_encode(made, "ab ab", 5, &ids, &err), STATUS_OK);
    for (size_t i = 0; i < ids.len / sizeof(int32_t); i++)
        ck_assert_int_gt(((const int32_t *)(const void *)ids.data)[i], 1);
    buffer_release(&ids);
    word_counts_free(counts);
    tokenizer_free(made);
    tokenizer_free(t);
    static const char *const bad[][2] = {{"<s>", "<s>"}, {"", "b"}, {"a", "<s>"}};
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(tokenizer_blank("gpt2", bad[i], 2, &err));
        expect_error(&err, STATUS_CONFIG, "as a special token");
    }
    ck_assert_ptr_null(tokenizer_blank("bert", special, 2, &err));
    expect_error(&err, STATUS_CONFIG, "\"bert\" is no family");
}
END_TEST

START_TEST(without_memory)
{
    struct tokenizer *t = blank("gpt2"), *made = NULL;
    static const char text[] = "the other then there, and the other";
    int64_t at = 0;
    for (; !made && at < 100000; at++) {
        mem_fail_at(at);
        struct word_counts *counts = word_counts_new(&err);
        if (counts && word_counts_add_text(counts, t, 0, text, sizeof text - 1, &err) == STATUS_OK)
            made = tokenizer_train(t, counts, 290, 0, &err);
        if (!made)
            expect_error(&err, STATUS_NOMEM, "memory");
        word_counts_free(counts);
    }
    mem_fail_at(-1);
    ck_assert_ptr_nonnull(made);
    ck_assert_int_gt(at, 10);
    tokenizer_free(made);
    tokenizer_free(t);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("train");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, as_the_reference, 0, 2);
    tcase_add_test(cases, in_any_order);
    tcase_add_test(cases, small);
    tcase_add_test(cases, special_tokens);
    tcase_add_test(cases, without_memory);
    return run_suite("train", cases);
}
