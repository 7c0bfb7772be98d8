/* SPDX-License-Identifier: MIT
 * test_gguf.c - the container: written and read, cut at every byte, and with every number in it wrong.
 */
#include "formats/gguf.h"

#include "base/buffer.h"
#include "scratch.h"

static struct error err;

static void put(struct buffer *out, const void *bytes, size_t n) { buffer_append(out, bytes, n); }
static void put_u32(struct buffer *out, uint32_t x) { put(out, &x, 4); }
static void put_u64(struct buffer *out, uint64_t x) { put(out, &x, 8); }

static void put_text(struct buffer *out, const char *text)
{
    put_u64(out, strlen(text));
    buffer_append_text(out, text);
}

static void begin(struct buffer *out, uint64_t tensors, uint64_t keys)
{
    buffer_clear(out);
    buffer_append_text(out, "GGUF");
    put_u32(out, 3);
    put_u64(out, tensors);
    put_u64(out, keys);
}

static void tensor(struct buffer *out, const char *name, uint32_t rank, const uint64_t *shape, uint32_t type, uint64_t offset)
{
    put_text(out, name);
    put_u32(out, rank);
    for (uint32_t i = 0; i < rank && i < 8; i++)
        put_u64(out, shape[i]);
    put_u32(out, type);
    put_u64(out, offset);
}

static void pad(struct buffer *out, size_t alignment, size_t more)
{
    while (out->len % alignment)
        put(out, "", 1);
    for (size_t i = 0; i < more; i++)
        put(out, "", 1);
}

static void refuse(const struct buffer *bytes, const char *words)
{
    err = (struct error){0};
    const char *path = scratch_file("x.gguf", bytes->data, bytes->len);
    struct gguf *file = gguf_open(path, &err);
    ck_assert_msg(!file, "opened, where \"%s\" should be said", words);
    expect_error(&err, STATUS_FORMAT, words);
    ck_assert(strstr(err.text, path));
}

static enum status count_up(void *ctx, size_t i, size_t first, size_t n, float *out, struct error *e)
{
    const size_t *cols = ctx;
    (void)e;
    for (size_t j = 0; j < n * cols[i]; j++)
        out[j] = (float)(first * cols[i] + j);
    return STATUS_OK;
}

static const char *write_sample(void)
{
    static size_t cols[3] = {5, 64, 3};
    struct gguf_writer *w = gguf_writer_new(&err);
    ck_assert_ptr_nonnull(w);
    gguf_set_text(w, "general.architecture", "sample", 6);
    gguf_set_u32(w, "a.number", 4000000000u);
    gguf_set_float(w, "a.float", 0.25f);
    gguf_set_bool(w, "a.bool", true);
    gguf_set_array(w, "words", GGUF_STRING, 3);
    gguf_item_text(w, "one", 3);
    gguf_item_text(w, "", 0);
    gguf_item_text(w, "drei ü", 7);
    gguf_set_array(w, "whole", GGUF_I32, 2);
    gguf_item_i32(w, -1);
    gguf_item_i32(w, 7);
    gguf_set_array(w, "none", GGUF_STRING, 0);
    gguf_set_array(w, "real", GGUF_F32, 1);
    gguf_item_float(w, 1.5f);
    const uint64_t a[] = {5, 3}, b[] = {64, 2}, c[] = {3};
    ck_assert_int_eq(gguf_add_tensor(w, "a.weight", 2, a, TENSOR_F32, &err), STATUS_OK);
    ck_assert_int_eq(gguf_add_tensor(w, "b.weight", 2, b, TENSOR_Q8_0, &err), STATUS_OK);
    ck_assert_int_eq(gguf_add_tensor(w, "c", 1, c, TENSOR_BF16, &err), STATUS_OK);
    ck_assert_int_eq(gguf_add_tensor(w, "d", 1, c, TENSOR_Q8_0, &err), STATUS_CONFIG);
    const char *path = scratch_path("sample.gguf");
    ck_assert_msg(gguf_write(w, path, count_up, cols, &err) == STATUS_OK, "%s", err.text);
    gguf_writer_free(w);
    return path;
}

START_TEST(round_trip)
{
    struct gguf *file = gguf_open(write_sample(), &err);
    ck_assert_msg(file != NULL, "%s", err.text);
    struct gguf_text text;
    uint64_t number = 0;
    double real = 0;
    bool flag = false;
    ck_assert_int_eq(gguf_get_text(file, "general.architecture", true, &text, &err), STATUS_OK);
    ck_assert(gguf_text_is(text, "sample") && !gguf_text_is(text, "samples") && !gguf_text_is(text, "sampl"));
    ck_assert(gguf_get_u64(file, "a.number", true, UINT32_MAX, &number, &err) == STATUS_OK && number == 4000000000u);
    ck_assert(gguf_get_float(file, "a.float", true, &real, &err) == STATUS_OK && real == 0.25);
    ck_assert(gguf_get_bool(file, "a.bool", true, &flag, &err) == STATUS_OK && flag);
    struct gguf_value walk;
    ck_assert_int_eq(gguf_get_array(file, "words", true, GGUF_STRING, &walk, &err), STATUS_OK);
    ck_assert_uint_eq(walk.count, 3);
    static const char *const words[] = {"one", "", "drei ü"};
    for (int i = 0; i < 3; i++)
        ck_assert(gguf_next_text(&walk, &text) && gguf_text_is(text, words[i]));
    ck_assert(!gguf_next_text(&walk, &text));
    int64_t whole;
    ck_assert_int_eq(gguf_get_array(file, "whole", true, GGUF_I32, &walk, &err), STATUS_OK);
    ck_assert(gguf_next_i64(&walk, &whole) && whole == -1 && gguf_next_i64(&walk, &whole) && whole == 7);
    ck_assert(!gguf_next_i64(&walk, &whole));

    ck_assert_uint_eq(gguf_count(file), 3);
    float x[15];
    const struct gguf_tensor *t = gguf_find(file, "a.weight");
    ck_assert(t && t->rank == 2 && t->shape[0] == 5 && t->shape[1] == 3 && t->size_bytes == 60 && t->readable);
    ck_assert_int_eq(gguf_read(file, t, 0, x, sizeof x, &err), STATUS_OK);
    for (int i = 0; i < 15; i++)
        ck_assert(x[i] == (float)i);
    t = gguf_find(file, "b.weight");
    ck_assert(t && t->size_bytes == 136 && strcmp(t->type_name, "Q8_0") == 0 && t->type == TENSOR_Q8_0);
    ck_assert_ptr_null(gguf_find(file, "d"));
    ck_assert_ptr_null(gguf_find(file, "a name that is longer than any that a tensor of this format could ever have"));

    /* absent, of another type, out of range */
    number = 5;
    ck_assert(gguf_get_u64(file, "absent", false, 9, &number, &err) == STATUS_OK && number == 5);
    ck_assert_int_eq(gguf_get_u64(file, "absent", true, 9, &number, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_u64(file, "a.number", true, 9, &number, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_u64(file, "a.float", true, 9, &number, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_u64(file, "words", true, 9, &number, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_float(file, "a.number", true, &real, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_bool(file, "a.number", true, &flag, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_text(file, "a.number", true, &text, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_array(file, "words", true, GGUF_I32, &walk, &err), STATUS_FORMAT);
    ck_assert_int_eq(gguf_get_array(file, "a.number", true, GGUF_U32, &walk, &err), STATUS_FORMAT);
    ck_assert(gguf_get_array(file, "absent", false, GGUF_U32, &walk, &err) == STATUS_OK && walk.count == 0);
    gguf_close(file);
}
END_TEST

START_TEST(cut_at_every_byte)
{
    struct buffer bytes = {0};
    ck_assert_int_eq(file_read(write_sample(), 1 << 20, &bytes, &err), STATUS_OK);
    for (size_t n = 0; n + 32 < bytes.len; n++) { /* the last bytes are padding, which may be missing */
        struct buffer part = {.data = bytes.data, .len = n};
        refuse(&part, "");
    }
    buffer_append(&bytes, "x", 1);
    refuse(&bytes, "follow the last tensor");
    buffer_release(&bytes);
}
END_TEST

/* A head longer than the first piece that is read. */
START_TEST(long_head)
{
    enum { WORDS = 100000 };
    struct gguf_writer *w = gguf_writer_new(&err);
    gguf_set_array(w, "words", GGUF_STRING, WORDS);
    for (int i = 0; i < WORDS; i++) {
        char word[16];
        gguf_item_text(w, word, (size_t)snprintf(word, sizeof word, "w%d", i));
    }
    size_t cols[1] = {4};
    const uint64_t shape[1] = {4};
    ck_assert_int_eq(gguf_add_tensor(w, "a", 1, shape, TENSOR_F32, &err), STATUS_OK);
    const char *path = scratch_path("long.gguf");
    ck_assert_int_eq(gguf_write(w, path, count_up, cols, &err), STATUS_OK);
    gguf_writer_free(w);
    struct gguf *file = gguf_open(path, &err);
    ck_assert_msg(file != NULL, "%s", err.text);
    struct gguf_value walk;
    struct gguf_text text = {0};
    ck_assert_int_eq(gguf_get_array(file, "words", true, GGUF_STRING, &walk, &err), STATUS_OK);
    for (int i = 0; i < WORDS; i++)
        ck_assert(gguf_next_text(&walk, &text));
    ck_assert(gguf_text_is(text, "w99999"));
    gguf_close(file);
}
END_TEST

START_TEST(bad_heads)
{
    struct buffer b = {0};
    static const uint64_t counts[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 32, 1000000, UINT64_MAX / 24 + 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        begin(&b, counts[i], 0);
        refuse(&b, "tensors, more than fit");
        begin(&b, 0, counts[i]);
        refuse(&b, "keys, more than fit");
    }
    begin(&b, 0, 0);
    memcpy(b.data, "GGUX", 4);
    refuse(&b, "does not begin with");
    static const struct {
        uint32_t version;
        const char *words;
    } versions[] = {{0, "big-endian"}, {1, "version 1"}, {4, "version 4"}, {0x03000000, "big-endian"}};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        begin(&b, 0, 0);
        memcpy(b.data + 4, &versions[i].version, 4);
        refuse(&b, versions[i].words);
    }
    begin(&b, 0, 0);
    struct gguf *file = gguf_open(scratch_file("empty.gguf", b.data, b.len), &err);
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_null(gguf_key(file, "a"));
    gguf_close(file);
    buffer_release(&b);
}
END_TEST

START_TEST(bad_keys)
{
    struct buffer b = {0};
    static const uint64_t lengths[] = {UINT64_MAX, (uint64_t)1 << 63, 1 << 20, UINT64_MAX - 40};
    for (size_t i = 0; i < 4; i++) {
        begin(&b, 0, 1);
        put_u64(&b, lengths[i]);
        pad(&b, 1, 40);
        refuse(&b, "a key");
        begin(&b, 0, 1);
        put_text(&b, "k");
        put_u32(&b, GGUF_STRING);
        put_u64(&b, lengths[i]);
        pad(&b, 1, 40);
        refuse(&b, "k");
        for (uint32_t item = 0; item < NUM_GGUF_TYPES; item++) {
            begin(&b, 0, 1);
            put_text(&b, "k");
            put_u32(&b, GGUF_ARRAY);
            put_u32(&b, item);
            put_u64(&b, lengths[i]);
            pad(&b, 1, 40);
            refuse(&b, "k");
        }
    }
    static const uint32_t types[] = {NUM_GGUF_TYPES, UINT32_MAX};
    for (int i = 0; i < 2; i++) {
        begin(&b, 0, 1);
        put_text(&b, "k");
        put_u32(&b, types[i]);
        pad(&b, 1, 40);
        refuse(&b, "unknown type");
    }
    begin(&b, 0, 1);
    put_text(&b, "k");
    put_u32(&b, GGUF_BOOL);
    put(&b, "\2", 1);
    pad(&b, 1, 40);
    refuse(&b, "neither 0 nor 1");
    begin(&b, 0, 1);
    put_text(&b, "\xff");
    pad(&b, 1, 40);
    refuse(&b, "not UTF-8");
    begin(&b, 0, 1);
    put_u64(&b, 3);
    put(&b, "a\0b", 3);
    pad(&b, 1, 40);
    refuse(&b, "zero byte");
    begin(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&b, "k");
        put_u32(&b, GGUF_U8);
        put(&b, "\1", 1);
    }
    refuse(&b, "twice");
    static const uint32_t alignments[] = {0, 3, 1u << 31, UINT32_MAX, 1 << 21};
    for (int i = 0; i < 5; i++) {
        begin(&b, 0, 1);
        put_text(&b, "general.alignment");
        put_u32(&b, GGUF_U32);
        put_u32(&b, alignments[i]);
        refuse(&b, "power of two");
    }
    buffer_release(&b);
}
END_TEST

START_TEST(bad_tensors)
{
    static const struct {
        uint32_t rank;
        uint64_t shape[5];
        uint32_t type;
        uint64_t offset;
        const char *words;
    } bad[] = {
        {5, {1, 1, 1, 1, 1}, 0, 0, "5 dimensions"},
        {UINT32_MAX, {1}, 0, 0, "dimensions"},
        {1, {0}, 0, 0, "empty or too much"},
        {1, {UINT64_MAX}, 0, 0, "empty or too much"},
        {1, {(uint64_t)1 << 62}, 0, 0, "more bytes than can be counted"},
        {2, {(uint64_t)1 << 32, (uint64_t)1 << 32}, 0, 0, "empty or too much"},
        {4, {1 << 16, 1 << 16, 1 << 16, 1 << 15}, 0, 0, "more bytes than can be counted"},
        {2, {33, 2}, 8, 0, "blocks of 32"},
        {1, {8}, 4, 0, "unknown element type 4"},
        {1, {8}, UINT32_MAX, 0, "unknown element type"},
        {1, {8}, 0, 32, "where 0 should be"},
        {1, {8}, 0, UINT64_MAX, "where 0 should be"},
        {1, {9}, 0, 0, "goes beyond the end"},
        {1, {(uint64_t)1 << 61}, 24, 0, "goes beyond the end"},
    };
    struct buffer b = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin(&b, 1, 0);
        tensor(&b, "t", bad[i].rank, bad[i].shape, bad[i].type, bad[i].offset);
        pad(&b, 32, 32);
        refuse(&b, bad[i].words);
    }
    const uint64_t eight[1] = {8};
    begin(&b, 1, 0);
    tensor(&b, "a name of sixty-four bytes, which is one more than what fits in it", 1, eight, 0, 0);
    pad(&b, 32, 32);
    refuse(&b, "bytes long");
    for (int overlap = 0; overlap < 2; overlap++) {
        begin(&b, 2, 0);
        tensor(&b, "a", 1, eight, 0, 0);
        tensor(&b, overlap ? "b" : "a", 1, eight, 0, overlap ? 0 : 32);
        pad(&b, 32, 64);
        refuse(&b, overlap ? "where 32 should be" : "are named");
    }
    begin(&b, 2, 0); /* descending, and with a hole */
    tensor(&b, "a", 1, eight, 0, 32);
    tensor(&b, "b", 1, eight, 0, 0);
    pad(&b, 32, 64);
    refuse(&b, "where 0 should be");
    begin(&b, 2, 0);
    tensor(&b, "a", 1, eight, 0, 0);
    tensor(&b, "b", 1, eight, 0, 64);
    pad(&b, 32, 96);
    refuse(&b, "where 32 should be");
    buffer_release(&b);
}
END_TEST

START_TEST(not_a_file)
{
    const char *fifo = scratch_path("fifo");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    const char *const refused[] = {fifo, scratch, scratch_path("absent")};
    for (int i = 0; i < 3; i++) {
        err = (struct error){0};
        ck_assert_ptr_null(gguf_open(refused[i], &err));
        expect_error(&err, STATUS_IO, refused[i]);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("gguf");
    tcase_set_timeout(cases, 30);
    tcase_add_test(cases, round_trip);
    tcase_add_test(cases, cut_at_every_byte);
    tcase_add_test(cases, long_head);
    tcase_add_test(cases, bad_heads);
    tcase_add_test(cases, bad_keys);
    tcase_add_test(cases, bad_tensors);
    tcase_add_test(cases, not_a_file);
    return run_suite("formats/gguf", cases);
}
