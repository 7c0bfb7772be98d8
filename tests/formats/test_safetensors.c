/* SPDX-License-Identifier: MIT */
#include "formats/safetensors.h"

#include "scratch.h"

#include <zlib.h>

static struct error err;

/* A file with this length prefix, header text and number of data bytes. */
static const char *make(uint64_t prefix, const char *header, size_t header_bytes, size_t data_bytes)
{
    unsigned char *bytes = calloc(1, 8 + header_bytes + data_bytes);
    memcpy(bytes, &prefix, 8);
    memcpy(bytes + 8, header, header_bytes);
    const char *path = scratch_file("made.safetensors", bytes, 8 + header_bytes + data_bytes);
    free(bytes);
    return path;
}

static void refuse(const char *path, const char *words)
{
    err = (struct error){0};
    struct safetensors *file = safetensors_open(path, &err);
    ck_assert_msg(!file, "opened, where \"%s\" should be said", words);
    expect_error(&err, STATUS_FORMAT, words);
    ck_assert(strstr(err.text, path));
}

START_TEST(round_trip)
{
    float x[24];
    for (int i = 0; i < 24; i++)
        x[i] = (float)i / 7;
    const struct tensor_view out[] = {{"wte.weight", "F32", 2, {4, 6}, x, 96},
                                      {"a \"quoted\"\\ é name", "F32", 1, {5}, x, 20},
                                      {"scalar", "F32", 0, {0}, x + 3, 4},
                                      {"none", "F32", 2, {0, 9}, NULL, 0}};
    const char *path = scratch_path("x.safetensors");
    uint64_t size;
    uint32_t sum;
    ck_assert_int_eq(safetensors_write(path, out, 4, &size, &sum, &err), STATUS_OK);
    struct buffer bytes = {0};
    ck_assert_int_eq(file_read(path, 10000, &bytes, &err), STATUS_OK);
    ck_assert_uint_eq(bytes.len, size);
    ck_assert_uint_eq(safetensors_file_bytes(out, 4), size);
    ck_assert_uint_eq(crc32(0, (unsigned char *)bytes.data, (unsigned)bytes.len), sum);
    uint64_t header_bytes;
    memcpy(&header_bytes, bytes.data, 8);
    ck_assert_uint_eq(header_bytes % 8, 0);
    ck_assert_uint_eq(8 + header_bytes + 120, size);
    buffer_release(&bytes);

    struct safetensors *in = safetensors_open_whole(path, &err);
    ck_assert_msg(in != NULL, "%s", err.text);
    ck_assert_uint_eq(safetensors_count(in), 4);
    ck_assert_str_eq(safetensors_metadata(in, "format"), "pt");
    ck_assert_ptr_null(safetensors_metadata(in, "other"));
    ck_assert_ptr_null(safetensors_find(in, "absent"));
    for (int i = 0; i < 4; i++) {
        const struct tensor_view *view = safetensors_find(in, out[i].name);
        ck_assert_ptr_nonnull(view);
        ck_assert_str_eq(view->dtype, "F32");
        ck_assert(view->rank == out[i].rank && view->size_bytes == out[i].size_bytes);
        ck_assert_mem_eq(view->shape, out[i].shape, view->rank * sizeof view->shape[0]);
        if (view->size_bytes)
            ck_assert_mem_eq(view->data, out[i].data, view->size_bytes);
    }
    ck_assert_str_eq(safetensors_at(in, 0)->name, "wte.weight");
    safetensors_close(in);
}
END_TEST

START_TEST(truncated_at_every_byte_and_too_long)
{
    const float x[6] = {1, 2, 3, 4, 5, 6};
    const struct tensor_view out[] = {{"b", "F32", 2, {2, 2}, x, 16}, {"a", "F32", 1, {2}, x, 8}};
    const char *path = scratch_path("whole");
    ck_assert_int_eq(safetensors_write(path, out, 2, NULL, NULL, &err), STATUS_OK);
    struct buffer bytes = {0};
    ck_assert_int_eq(file_read(path, 10000, &bytes, &err), STATUS_OK);
    for (size_t n = 0; n < bytes.len; n++)
        refuse(scratch_file("cut", bytes.data, n), "cut");
    buffer_append(&bytes, "x", 1);
    refuse(scratch_file("long", bytes.data, bytes.len), "cover 24 of 25 bytes");
    buffer_release(&bytes);
}
END_TEST

START_TEST(header_lengths)
{
    static const uint64_t lengths[] = {1, 3, 100000000, 100000001, (uint64_t)1 << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        refuse(make(lengths[i], "{}", 2, 0), ""); /* 3: reaches behind the end; 1: "{" */
    refuse(make(0, "{}", 2, 0), "should begin with '{'");
    refuse(make(3, " {}", 3, 0), "should begin with '{'");
    refuse(make(2, "[]", 2, 0), "should begin with '{'");
    struct safetensors *file = safetensors_open(make(4, "{}  ", 4, 0), &err); /* no tensors is a file too */
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(safetensors_count(file), 0);
    ck_assert_ptr_null(safetensors_find(file, "a"));
    safetensors_close(file);
}
END_TEST

#define ENTRY(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
static const struct {
    const char *header, *words;
} BAD[] = {
    {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[1]", "[4,8]") "}", "overlapping"},
    {"{\"a\":" ENTRY("F32", "[1]", "[0,4]") ",\"b\":" ENTRY("F32", "[1]", "[0,4]") "}", "overlapping"},
    {"{\"a\":" ENTRY("F32", "[1]", "[4,8]") "}", "leaving a hole"},
    {"{\"a\":" ENTRY("F32", "[1]", "[0,4]") "}", "cover 4 of 8 bytes"},
    {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", "duplicate"},
    {"{\"a\":" ENTRY("F32", "[3]", "[0,12]") "}", "begin <= end <= 8"},
    {"{\"a\":" ENTRY("F32", "[2]", "[8,0]") "}", "begin <= end"},
    {"{\"a\":" ENTRY("F32", "[2]", "[-8,0]") "}", "begin <= end"},
    {"{\"a\":" ENTRY("F32", "[2]", "[0,8,8]") "}", "begin <= end"},
    {"{\"a\":" ENTRY("F32", "[2]", "[0,8.0]") "}", "begin <= end"},
    {"{\"a\":" ENTRY("F32", "[2]", "[0,9223372036854775808]") "}", "integer"},
    {"{\"a\":" ENTRY("F32", "[3]", "[0,8]") "}", "does not make the 8 bytes"},
    {"{\"a\":" ENTRY("F32", "[4611686018427387906]", "[0,8]") "}", "does not make"}, /* x4 is 8 modulo 2^64 */
    {"{\"a\":" ENTRY("F32", "[4294967296,4294967296,2]", "[0,8]") "}", "does not make"},
    {"{\"a\":" ENTRY("F32", "[4294967296,4294967296,0]", "[0,0]") "}", "does not make"},
    {"{\"a\":" ENTRY("F32", "[-2]", "[0,8]") "}", "dimension 0"},
    {"{\"a\":" ENTRY("F32", "[2,\"x\"]", "[0,8]") "}", "dimension 1"},
    {"{\"a\":" ENTRY("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", "9 dimensions"},
    {"{\"a\":" ENTRY("F4", "[17]", "[0,8]") "}", "does not make"}, /* eight bytes and a half */
    {"{\"a\":" ENTRY("Q8_0", "[2]", "[0,8]") "}", "unknown dtype \"Q8_0\""},
    {"{\"a\":" ENTRY("F32", "2", "[0,8]") "}", "should have"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "should have"},
    {"{\"a\":[]}", "should have"},
    {"{\"a\":null}", "should have"},
    {"{\"__metadata__\":[],\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", "__metadata__"},
    {"{\"__metadata__\":{\"x\":1},\"a\":" ENTRY("F32", "[2]", "[0,8]") "}", "should be a string"},
    {"{\"a\xff\":" ENTRY("F32", "[2]", "[0,8]") "}", "decode byte 0xff"},
    {"{\"a\\u0000\":" ENTRY("F32", "[2]", "[0,8]") "}", "not valid JSON"},
    {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}}", "not valid JSON"},
    {"{", "not valid JSON"},
};

START_TEST(bad_header)
{
    refuse(make(strlen(BAD[_i].header), BAD[_i].header, strlen(BAD[_i].header), 8), BAD[_i].words);
}
END_TEST

START_TEST(good_headers)
{
    static const char *const good[] = {
        "{\"b\":" ENTRY("BF16", "[2,2]", "[0,8]") ",\"e\":" ENTRY("F32", "[0]", "[8,8]") "}",
        "{\"e\":" ENTRY("F32", "[3,0]", "[0,0]") ",\"b\":" ENTRY("I64", "[]", "[0,8]") "}",
        "{\"b\":" ENTRY("U8", "[7]", "[1,8]") ",\"a\":" ENTRY("BOOL", "[1]", "[0,1]") "}",
        "{\"../../etc\":" ENTRY("F4", "[16]", "[0,8]") "}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct safetensors *file = safetensors_open(make(strlen(good[i]), good[i], strlen(good[i]), 8), &err);
        ck_assert_msg(file != NULL, "%s: %s", good[i], err.text);
        safetensors_close(file);
    }
}
END_TEST

START_TEST(many_tensors)
{
    enum { N = 20000 };
    struct buffer header = {0};
    for (int i = 0; i < N; i++)
        buffer_printf(&header, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? "," : "{",
                      (i * 7919) % N, i, i + 1);
    buffer_append_text(&header, "}");
    struct safetensors *file = safetensors_open(make(header.len, header.data, header.len, N), &err);
    ck_assert_msg(file != NULL, "%s", err.text);
    ck_assert_uint_eq(safetensors_count(file), N);
    ck_assert_str_eq(safetensors_find(file, "t123")->name, "t123");
    safetensors_close(file);
    buffer_release(&header);
}
END_TEST

START_TEST(not_a_file)
{
    const char *fifo = scratch_path("fifo"), *link = scratch_path("link"), *dir = scratch_path("dirlink");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_int_eq(symlink(fifo, link), 0);
    ck_assert_int_eq(symlink(scratch, dir), 0);
    const char *const refused[] = {fifo, link, scratch, dir, scratch_path("absent")};
    for (int i = 0; i < 5; i++) {
        err = (struct error){0};
        ck_assert_ptr_null(safetensors_open(refused[i], &err));
        expect_error(&err, STATUS_IO, refused[i]);
    }
}
END_TEST

START_TEST(writing_refused)
{
    const float x[2] = {1, 2};
    const struct tensor_view wrong_size = {"a", "F32", 1, {3}, x, 8}, wrong_type = {"a", "I64", 1, {1}, x, 8};
    const struct tensor_view twice[] = {{"a", "F32", 1, {2}, x, 8}, {"a", "F32", 1, {2}, x, 8}};
    const char *path = scratch_path("out");
    ck_assert_int_eq(safetensors_write(path, &wrong_size, 1, NULL, NULL, &err), STATUS_MISUSE);
    ck_assert_int_eq(safetensors_write(path, &wrong_type, 1, NULL, NULL, &err), STATUS_MISUSE);
    const struct tensor_view bytes = {"a", "U8", 1, {8}, x, 8}, wrong_bytes = {"a", "U8", 1, {2}, x, 8};
    ck_assert_int_eq(safetensors_write(path, &wrong_bytes, 1, NULL, NULL, &err), STATUS_MISUSE);
    ck_assert_uint_gt(safetensors_file_bytes(&bytes, 1), 8);
    ck_assert_int_eq(safetensors_write(path, twice, 2, NULL, NULL, &err), STATUS_MISUSE);
    ck_assert(!file_exists(path));
    ck_assert_uint_eq(safetensors_file_bytes(twice, 2), 0);
    ck_assert_int_eq(safetensors_write(scratch_path("absent/out"), twice, 1, NULL, NULL, &err), STATUS_IO);
    if (access("/dev/full", W_OK) == 0) {
        ck_assert_int_eq(safetensors_write("/dev/full", twice, 1, NULL, NULL, &err), STATUS_IO);
        expect_error(&err, STATUS_IO, "No space left");
        ck_assert(file_exists("/dev/full"));
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("safetensors");
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, round_trip);
    tcase_add_test(cases, truncated_at_every_byte_and_too_long);
    tcase_add_test(cases, header_lengths);
    tcase_add_loop_test(cases, bad_header, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(cases, good_headers);
    tcase_add_test(cases, many_tensors);
    tcase_add_test(cases, not_a_file);
    tcase_add_test(cases, writing_refused);
    return run_suite("formats/safetensors", cases);
}
