/* SPDX-License-Identifier: MIT
 * test_documents.c - documents by index and by marks say the same; windows with their masks against the words of the
 * header; indices that are wrong.
 */
#include "data/documents.h"

#include "base/memory.h"
#include "base/rng.h"
#include "data/batch_iterator.h"
#include "scratch.h"

static struct error err;

enum { N = 500, END = 7 };
static int32_t ids[N];
static bool begins[N + 1]; /* [N]: an empty document at the end */

static void make_ids(uint64_t seed)
{
    for (int i = 0; i < N; i++) {
        const struct rng_block r = philox4x32(rng_key(seed, RNG_TEST, 0, 0), 0, (uint64_t)i);
        ids[i] = r.word[0] % 9 == 0 ? END : (int32_t)(20 + r.word[1] % 50);
        begins[i] = i == 0 || ids[i - 1] == END;
    }
    begins[N] = ids[N - 1] == END;
}

/* The stream in shards of the given sizes, with indices or without. */
static struct tokens *shards(const size_t *sizes, size_t n, bool indexed)
{
    static const char *paths[8];
    size_t at = 0;
    for (size_t s = 0; s < n; s++) {
        char name[32];
        snprintf(name, sizeof name, "%s%zu.bin", indexed ? "i" : "m", s);
        paths[s] = scratch_path(name);
        struct token_writer *writer = token_writer_open(paths[s], 2, &err);
        ck_assert_int_eq(token_writer_append(writer, ids + at, sizes[s], &err), STATUS_OK);
        ck_assert_int_eq(token_writer_commit(writer, &err), STATUS_OK);
        uint64_t starts[N + 1];
        size_t count = 0;
        for (size_t i = at; i < at + sizes[s] + (s + 1 == n); i++)
            if (begins[i])
                starts[count++] = i;
        snprintf(name, sizeof name, "i%zu.idx", s);
        if (indexed)
            scratch_file(name, starts, count * sizeof *starts);
        at += sizes[s];
    }
    ck_assert_uint_eq(at, N);
    struct tokens *tokens = tokens_open(paths, n, &err);
    ck_assert_msg(tokens != NULL, "%s", err.text);
    return tokens;
}

static struct documents *open_documents(const struct tokens *tokens, int32_t ends, int32_t starts)
{
    struct documents *d = documents_open(tokens, (struct document_marks){ends, starts}, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    return d;
}

START_TEST(index_and_marks_agree)
{
    static const size_t cuts[][4] = {{N, 0, 0, 0}, {1, 1, 248, 250}, {200, 3, 290, 7}};
    for (uint64_t seed = 1; seed < 4; seed++)
        for (size_t c = 0; c < 3; c++) {
            make_ids(seed);
            const size_t n = cuts[c][1] ? 4 : 1;
            struct tokens *plain = shards(cuts[c], n, false), *with_index = shards(cuts[c], n, true);
            struct documents *marked = open_documents(plain, END, -1), *indexed = open_documents(with_index, -1, -1);
            ck_assert(documents_indexed(indexed) && !documents_indexed(marked));
            for (size_t begin = 0; begin < N; begin++)
                for (size_t len = 1; begin + len <= N; len += 1 + len / 3) {
                    bool a[N], b[N];
                    documents_begins(marked, begin, len, ids + begin, a);
                    documents_begins(indexed, begin, len, ids + begin, b);
                    ck_assert(memcmp(a, begins + begin, len) == 0 && memcmp(b, begins + begin, len) == 0);
                }
            for (size_t i = 0; i <= N; i++)
                ck_assert(documents_at(indexed, i) == begins[i] || i == 0 || (!begins[i] && i < N));
            ck_assert_uint_eq(documents_at(marked, 0), 1);
            documents_close(marked);
            documents_close(indexed);
            tokens_close(plain);
            tokens_close(with_index);
        }
}
END_TEST

/* A token that begins documents, alone and with one that ends them. */
START_TEST(marks_that_begin)
{
    static const int32_t text[] = {30, END, 8, 30, 31, 8, END, 32, 33};
    struct token_writer *writer = token_writer_open(scratch_path("t.bin"), 2, &err);
    const char *path = scratch_path("t.bin");
    ck_assert_int_eq(token_writer_append(writer, text, 9, &err), STATUS_OK);
    ck_assert_int_eq(token_writer_commit(writer, &err), STATUS_OK);
    struct tokens *tokens = tokens_open(&path, 1, &err);
    static const struct {
        int32_t ends, begins;
        bool want[9];
    } cases[] = {{-1, 8, {true, false, true, false, false, true, false, false, false}},
                 {END, 8, {true, false, true, false, false, true, false, true, false}},
                 {END, -1, {true, false, true, false, false, false, false, true, false}}};
    for (size_t c = 0; c < 3; c++) {
        struct documents *d = open_documents(tokens, cases[c].ends, cases[c].begins);
        bool got[9];
        documents_begins(d, 0, 9, text, got);
        ck_assert(memcmp(got, cases[c].want, sizeof got) == 0);
        documents_close(d);
    }
    struct documents *a = open_documents(tokens, END, 8), *b = open_documents(tokens, END, -1);
    ck_assert_uint_ne(documents_crc32(a), documents_crc32(b));
    documents_close(a);
    documents_close(b);
    ck_assert_ptr_null(documents_open(tokens, (struct document_marks){-1, -1}, &err));
    expect_error(&err, STATUS_CONFIG, "nobody says where its documents begin");
    tokens_close(tokens);
}
END_TEST

/* Each batch and each validation window, from the definition: token t sees from the last begin at or before it; target t
 * counts unless it begins a document. */
static void expect_window(const int32_t *inputs, const int32_t *targets, const int32_t *first, const bool *supervised,
                          size_t T, uint64_t *seen)
{
    size_t at = 0; /* where the window lies: a window of this length is found once */
    while (memcmp(ids + at, inputs, T * sizeof *ids) != 0)
        at++;
    for (size_t t = 0; t < T; t++) {
        size_t from = t;
        while (from > 0 && !begins[at + from])
            from--;
        ck_assert_uint_eq((size_t)first[t], from);
        ck_assert(supervised[t] == !begins[at + t + 1]);
        ck_assert_int_eq(targets[t], ids[at + t + 1]);
        *seen += supervised[t];
    }
}

START_TEST(windows_know_their_documents)
{
    enum { T = 24, B = 3 };
    make_ids(5);
    static const size_t cut[] = {100, 400};
    struct tokens *tokens = shards(cut, 2, _i == 1);
    struct documents *documents = open_documents(tokens, END, -1);
    const struct batch_options options = {.seq_len = T,
                                          .batch_size = B,
                                          .val_fraction = 0.25,
                                          .seed = 3,
                                          .packing = PACKING_DOCUMENTS,
                                          .documents = documents};
    struct batch_iterator *it = batch_iterator_create(tokens, &options, &err);
    ck_assert_msg(it != NULL, "%s", err.text);
    const uint64_t before = mem_request_count();
    for (int i = 0; i < 40; i++) {
        struct batch batch;
        uint64_t seen = 0;
        ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
        for (size_t b = 0; b < B; b++)
            expect_window(batch.inputs + b * T, batch.targets + b * T, batch.first + b * T, batch.supervised + b * T, T,
                          &seen);
        ck_assert_uint_eq(batch.num_supervised, seen);
        ck_assert(seen > 0 && seen < B * T);
    }
    int32_t inputs[T], targets[T], first[T];
    bool supervised[T];
    uint64_t seen = 0;
    ck_assert_uint_gt(batch_iterator_val_windows(it), 2);
    for (uint64_t w = 0; w < batch_iterator_val_windows(it); w++) {
        batch_iterator_val_window(it, w, &(struct window){inputs, targets, first, supervised});
        expect_window(inputs, targets, first, supervised, T, &seen);
    }
    ck_assert_uint_eq(mem_request_count(), before);
    const struct batch_options plain = {.seq_len = T, .batch_size = B};
    ck_assert_uint_ge(batch_iterator_bytes(&options), batch_iterator_bytes(&plain) + 2 * 5 * T * B);
    batch_iterator_free(it);
    struct batch_options lost = options;
    lost.documents = NULL;
    ck_assert_ptr_null(batch_iterator_create(tokens, &lost, &err));
    expect_error(&err, STATUS_MISUSE, "where they begin");
    documents_close(documents);
    tokens_close(tokens);
}
END_TEST

/* A part where every token begins a document has nothing to predict; one token that does not is enough, also far in. */
START_TEST(nothing_to_predict)
{
    enum { COUNT = 5000, T = 8 };
    static int32_t tokens_of[COUNT];
    static uint64_t starts[COUNT];
    const char *path = scratch_path("n.bin");
    struct token_writer *writer = token_writer_open(path, 2, &err);
    ck_assert_int_eq(token_writer_append(writer, tokens_of, COUNT, &err), STATUS_OK);
    ck_assert_int_eq(token_writer_commit(writer, &err), STATUS_OK);
    struct tokens *tokens = tokens_open(&path, 1, &err);
    /* the token that begins no document; training has those before 4000 */
    const uint64_t counts[] = {COUNT, 1, 3999, 4000, 4001, 4992, 4993, 4999};
    const bool train[] = {false, true, true, false, false, false, false, false},
               val[] = {false, false, false, false, true, true, false, false}; /* 124 windows: targets 4001 to 4992 */
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        size_t n = 0;
        for (uint64_t i = 0; i < COUNT; i++)
            if (i != counts[k])
                starts[n++] = i;
        scratch_file("n.idx", starts, n * sizeof *starts);
        struct documents *d = open_documents(tokens, -1, -1);
        const struct batch_options options = {.seq_len = T, .batch_size = 2, .val_fraction = 0.2, .packing = PACKING_DOCUMENTS,
                                              .documents = d};
        struct batch_iterator *it = batch_iterator_create(tokens, &options, &err);
        ck_assert_uint_eq(batch_iterator_val_windows(it), 124);
        ck_assert_msg(batch_iterator_trains_any(it) == train[k], "training, token %d", (int)counts[k]);
        ck_assert_msg(batch_iterator_validates_any(it) == val[k], "validation, token %d", (int)counts[k]);
        batch_iterator_free(it);
        documents_close(d);
    }
    const struct batch_options plain = {.seq_len = T, .batch_size = 2};
    struct batch_iterator *it = batch_iterator_create(tokens, &plain, &err);
    ck_assert(batch_iterator_trains_any(it) && !batch_iterator_validates_any(it));
    batch_iterator_free(it);
    tokens_close(tokens);
}
END_TEST

START_TEST(damaged)
{
    static const struct {
        uint64_t at[3];
        size_t bytes;
        const char *words;
    } bad[] = {{{0, 5, 4}, 24, "before 5: damaged"},
               {{0, 5, 501}, 24, "from 0 to 500"},
               {{0, 5, UINT64_MAX}, 24, "i0.idx"},
               {{0, 5, 9}, 23, "23 bytes are no index"}};
    make_ids(1);
    static const size_t one[] = {N}, two[] = {100, 400};
    struct tokens *tokens = shards(one, 1, true);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scratch_file("i0.idx", bad[i].at, bad[i].bytes);
        ck_assert_ptr_null(documents_open(tokens, (struct document_marks){END, -1}, &err));
        expect_error(&err, STATUS_FORMAT, bad[i].words);
    }
    tokens_close(tokens);
    tokens = shards(two, 2, true);
    ck_assert_int_eq(remove(scratch_path("i1.idx")), 0);
    ck_assert_ptr_null(documents_open(tokens, (struct document_marks){END, -1}, &err));
    expect_error(&err, STATUS_CONFIG, "i1.bin has no index");
    tokens_close(tokens);
    tokens = shards(two, 2, true);
    ck_assert_int_eq(remove(scratch_path("i0.idx")), 0);
    ck_assert_ptr_null(documents_open(tokens, (struct document_marks){END, -1}, &err));
    expect_error(&err, STATUS_CONFIG, "i1.idx is an index");
    tokens_close(tokens);
    const char *second = scratch_path("i1.bin"); /* alone, its index counts from elsewhere */
    tokens = tokens_open(&second, 1, &err);
    ck_assert_ptr_null(documents_open(tokens, (struct document_marks){END, -1}, &err));
    expect_error(&err, STATUS_FORMAT, "give the directory");
    tokens_close(tokens);
    documents_close(NULL);
}
END_TEST

/* Where several begin at one place, all but the last are empty. */
START_TEST(empty_documents)
{
    static const size_t two[] = {100, 400};
    static const uint64_t first[] = {0, 0, 40, 100, 100}, second[] = {100, 300, 500, 500};
    make_ids(1);
    struct tokens *tokens = shards(two, 2, true);
    scratch_file("i0.idx", first, sizeof first);
    scratch_file("i1.idx", second, sizeof second);
    struct documents *d = open_documents(tokens, -1, -1);
    ck_assert_uint_eq(documents_at(d, 0), 2);
    ck_assert_uint_eq(documents_at(d, 40), 1);
    ck_assert_uint_eq(documents_at(d, 100), 3);
    ck_assert_uint_eq(documents_at(d, 300), 1);
    ck_assert_uint_eq(documents_at(d, 500), 2);
    bool got[N];
    documents_begins(d, 0, N, ids, got);
    for (size_t i = 0; i < N; i++)
        ck_assert(got[i] == (i == 0 || i == 40 || i == 100 || i == 300));
    documents_begins(d, 100, 5, ids + 100, got);
    ck_assert(got[0] && !got[1]);
    documents_close(d);
    tokens_close(tokens);
}
END_TEST

START_TEST(out_of_memory)
{
    make_ids(1);
    static const size_t two[] = {100, 400};
    struct tokens *tokens = shards(two, 2, true);
    struct documents *d = NULL;
    int64_t failing = 0;
    for (; !d && failing < 100; failing++) {
        err = (struct error){0};
        mem_fail_at(failing);
        d = documents_open(tokens, (struct document_marks){END, -1}, &err);
        mem_fail_at(-1);
        if (!d)
            ck_assert_msg(err.status == STATUS_NOMEM && err.text[0], "failure %d: %s", (int)failing, err.text);
    }
    ck_assert_ptr_nonnull(d);
    ck_assert_int_gt(failing, 2);
    documents_close(d);
    tokens_close(tokens);
}
END_TEST

START_TEST(names)
{
    enum packing packing = PACKING_NONE;
    ck_assert_int_eq(packing_parse("documents", &packing, &err), STATUS_OK);
    ck_assert_int_eq(packing, PACKING_DOCUMENTS);
    ck_assert_str_eq(packing_name(packing), "documents");
    ck_assert_int_eq(packing_parse("none", &packing, &err), STATUS_OK);
    ck_assert_int_eq(packing, PACKING_NONE);
    ck_assert_int_eq(packing_parse("tight", &packing, &err), STATUS_CONFIG);
    expect_error(&err, STATUS_CONFIG, "none or documents");
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("documents");
    tcase_set_timeout(cases, 30);
    tcase_add_test(cases, index_and_marks_agree);
    tcase_add_test(cases, marks_that_begin);
    tcase_add_loop_test(cases, windows_know_their_documents, 0, 2);
    tcase_add_test(cases, nothing_to_predict);
    tcase_add_test(cases, damaged);
    tcase_add_test(cases, empty_documents);
    tcase_add_test(cases, out_of_memory);
    tcase_add_test(cases, names);
    return run_suite("data/documents", cases);
}
