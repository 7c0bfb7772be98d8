/* SPDX-License-Identifier: MIT */
#include "data/tokens.h"

#include "scratch.h"

#include <zlib.h>

static struct error err;

static int32_t token(size_t i, int width)
{
    return width == 2 ? (int32_t)(i * 7919 % 65536) : (int32_t)(i * 104729 % 2147483648u);
}

/* Tokens first … first+n of the pattern. */
static const char *write_shard(const char *name, int width, size_t first, size_t n)
{
    const char *path = scratch_path(name);
    struct token_writer *writer = token_writer_open(path, width, &err);
    ck_assert_msg(writer != NULL, "%s", err.text);
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = token(first + i, width);
    const size_t half = n / 3;
    ck_assert_int_eq(token_writer_append(writer, ids, half, &err), STATUS_OK);
    ck_assert(!file_exists(path)); /* nothing there before _commit */
    ck_assert_int_eq(token_writer_append(writer, ids + half, n - half, &err), STATUS_OK);
    ck_assert_int_eq(token_writer_commit(writer, &err), STATUS_OK);
    free(ids);
    return path;
}

static struct tokens *open_one(const char *path)
{
    err = (struct error){0};
    return tokens_open(&path, 1, &err);
}

START_TEST(round_trip)
{
    const int width = _i;
    enum { N = 10000 };
    struct tokens *tokens = open_one(write_shard("a.bin", width, 0, N));
    ck_assert_msg(tokens != NULL, "%s", err.text);
    ck_assert(!file_exists(scratch_path("a.bin.tmp")));
    ck_assert_uint_eq(tokens_count(tokens), N);
    int32_t out[N];
    tokens_read(tokens, 0, N, out);
    for (size_t i = 0; i < N; i++)
        ck_assert_int_eq(out[i], token(i, width));
    tokens_read(tokens, N - 1, 1, out);
    ck_assert_int_eq(out[0], token(N - 1, width));
    tokens_read(tokens, N, 0, out);
    tokens_close(tokens);
    unsigned char header[12] = {0};
    FILE *f = fopen(scratch_path("a.bin"), "rb");
    ck_assert_uint_eq(fread(header, 1, 12, f), 12);
    fclose(f);
    static const unsigned char gpt2[12] = {0x88, 0xd8, 0x34, 0x01, 1, 0, 0, 0, 0x10, 0x27, 0, 0};
    if (width == 2)
        ck_assert_mem_eq(header, gpt2, 12); /* 20240520, 1, 10000 */
}
END_TEST

START_TEST(several_shards_are_one_stream)
{
    const char *directory = scratch_path("shards");
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    write_shard("shards/b.bin", 2, 5, 100);
    write_shard("shards/a.bin", 2, 0, 5);
    write_shard("shards/c.bin", 2, 105, 0); /* empty ones are passed over */
    write_shard("shards/d.bin", 2, 105, 1);
    scratch_text("shards/readme", "no");
    const char *last = write_shard("e.bin", 2, 106, 50);
    const char *const paths[] = {directory, last};
    struct tokens *tokens = tokens_open(paths, 2, &err);
    ck_assert_msg(tokens != NULL, "%s", err.text);
    ck_assert_uint_eq(tokens_count(tokens), 156);
    int32_t out[156];
    for (size_t begin = 0; begin < 156; begin++)
        for (size_t n = 1; n <= 156 - begin; n += 1 + n / 3) {
            tokens_read(tokens, begin, n, out);
            for (size_t i = 0; i < n; i++)
                ck_assert_int_eq(out[i], token(begin + i, 2));
        }
    const uint32_t sum = tokens_crc32(tokens);
    tokens_close(tokens);
    tokens = open_one(write_shard("whole.bin", 2, 0, 156)); /* another container, the same sum */
    ck_assert_uint_eq(tokens_crc32(tokens), sum);
    tokens_close(tokens);
}
END_TEST

START_TEST(plain_bytes)
{
    struct tokens *tokens = tokens_open_bytes(scratch_file("text", "a\0\xff", 3), &err);
    ck_assert_ptr_nonnull(tokens);
    int32_t out[3];
    tokens_read(tokens, 0, 3, out);
    ck_assert(out[0] == 'a' && out[1] == 0 && out[2] == 255);
    static const unsigned char words[] = {'a', 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0};
    ck_assert_uint_eq(tokens_crc32(tokens), crc32(0, words, 12));
    ck_assert_int_eq(tokens_check_vocab(tokens, 256, &err), STATUS_OK);
    ck_assert_int_eq(tokens_check_vocab(tokens, 255, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "token 255 at position 2 is outside the vocabulary of 255");
    tokens_close(tokens);
    ck_assert_ptr_null(tokens_open_bytes(scratch_text("empty", ""), &err));
    expect_error(&err, STATUS_FORMAT, "is empty");
    ck_assert_ptr_null(tokens_open_bytes(scratch, &err));
    expect_error(&err, STATUS_IO, "is a directory");
}
END_TEST

START_TEST(vocabulary)
{
    const char *const paths[] = {write_shard("a.bin", 2, 0, 3000), write_shard("b.bin", 2, 0, 3000)};
    int32_t largest = 0, position = 0;
    for (int i = 0; i < 3000; i++)
        if (token((size_t)i, 2) > largest)
            largest = token((size_t)(position = i), 2);
    struct tokens *tokens = tokens_open(paths, 2, &err);
    ck_assert_int_eq(tokens_check_vocab(tokens, (uint32_t)largest + 1, &err), STATUS_OK);
    ck_assert_int_eq(tokens_check_vocab(tokens, (uint32_t)largest, &err), STATUS_FORMAT);
    char words[100];
    snprintf(words, sizeof words, "a.bin: token %d at position %d is outside", largest, position);
    expect_error(&err, STATUS_FORMAT, words);
    tokens_close(tokens);
    unsigned char bytes[1024 + 4] = {0xa1, 0xd9, 0x34, 0x01, 7, 0, 0, 0, 1};
    memset(bytes + 1024, 0xff, 4); /* token 2^32-1: negative as an int32 */
    tokens = open_one(scratch_file("negative.bin", bytes, sizeof bytes));
    ck_assert_msg(tokens != NULL, "%s", err.text);
    ck_assert_int_eq(tokens_check_vocab(tokens, 50257, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "token 4294967295");
    tokens_close(tokens);
}
END_TEST

static void refuse(const char *path, enum status status, const char *words)
{
    ck_assert_ptr_null(open_one(path));
    expect_error(&err, status, words);
}

START_TEST(damaged)
{
    struct buffer bytes = {0};
    ck_assert_int_eq(file_read(write_shard("a.bin", 2, 0, 20), 10000, &bytes, &err), STATUS_OK);
    for (size_t n = 0; n < bytes.len; n++)
        refuse(scratch_file("cut.bin", bytes.data, n), STATUS_FORMAT,
               n < 1024 ? "too few for a token shard" : "header says 20 tokens");
    buffer_append(&bytes, "xx", 2);
    refuse(scratch_file("long.bin", bytes.data, bytes.len), STATUS_FORMAT, "42 bytes");
    bytes.len -= 2;
    bytes.data[11] = (char)0x80; /* a negative number of tokens */
    refuse(scratch_file("negative.bin", bytes.data, bytes.len), STATUS_FORMAT, "header says -2147483628 tokens");
    bytes.data[11] = 0x7f;
    refuse(scratch_file("many.bin", bytes.data, bytes.len), STATUS_FORMAT, "header says 2130706452 tokens");
    bytes.data[11] = 0;
    bytes.data[4] = 2;
    refuse(scratch_file("version.bin", bytes.data, bytes.len), STATUS_FORMAT, "version 2, where 1 should be");
    bytes.data[0] ^= 1;
    refuse(scratch_file("magic.bin", bytes.data, bytes.len), STATUS_FORMAT, "magic is 20240521");
    buffer_release(&bytes);
    refuse(write_shard("none.bin", 4, 0, 0), STATUS_FORMAT, "there are no tokens");
    refuse(scratch_path("absent.bin"), STATUS_IO, "No such file");
    const char *directory = scratch_path("directory"), *fifo = scratch_path("fifo.bin");
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    refuse(directory, STATUS_FORMAT, "has no token shards");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    refuse(fifo, STATUS_IO, "is a pipe");
}
END_TEST

START_TEST(writing_refused)
{
    const char *path = scratch_path("out.bin");
    struct token_writer *writer = token_writer_open(path, 2, &err);
    const int32_t wide[] = {1, 65536}, negative[] = {-1};
    ck_assert_int_eq(token_writer_append(writer, wide, 2, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "token 65536 at position 1");
    ck_assert_int_eq(token_writer_append(writer, negative, 1, &err), STATUS_FORMAT);
    ck_assert_int_eq(token_writer_append(writer, wide, 0x80000000u, &err), STATUS_CONFIG);
    expect_error(&err, STATUS_CONFIG, "2147483647 tokens");
    token_writer_abort(writer);
    ck_assert(!file_exists(path) && !file_exists(scratch_path("out.bin.tmp")));
    token_writer_abort(NULL);
    ck_assert_ptr_null(token_writer_open(scratch_path("absent/out.bin"), 2, &err));
    expect_error(&err, STATUS_IO, "No such file");
    writer = token_writer_open(path, 2, &err);
    ck_assert_int_eq(mkdir(path, 0700), 0); /* what the rename will meet */
    ck_assert_int_eq(token_writer_commit(writer, &err), STATUS_IO);
    ck_assert(!file_exists(scratch_path("out.bin.tmp")));
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("tokens");
    tcase_set_timeout(cases, 20);
    tcase_add_loop_test(cases, round_trip, 2, 3);
    tcase_add_loop_test(cases, round_trip, 4, 5);
    tcase_add_test(cases, several_shards_are_one_stream);
    tcase_add_test(cases, plain_bytes);
    tcase_add_test(cases, vocabulary);
    tcase_add_test(cases, damaged);
    tcase_add_test(cases, writing_refused);
    return run_suite("data/tokens", cases);
}
