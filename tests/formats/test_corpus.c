/* SPDX-License-Identifier: MIT */
#include "formats/corpus.h"

#include "base/utf8.h"
#include "scratch.h"

#include <zlib.h>

static struct error err;

/* All documents, each followed by '|'.  NULL with err when reading failed. */
static char *read_all(const char *path)
{
    err = (struct error){0};
    struct corpus *corpus = corpus_open(path, &err);
    if (!corpus)
        return NULL;
    struct buffer all = {0};
    struct corpus_piece piece;
    bool more = true, ended = true;
    while (corpus_next(corpus, &piece, &more, &err) == STATUS_OK && more) {
        ck_assert_uint_le(piece.len, 512 * 1024);
        ck_assert_ptr_nonnull(strstr(piece.file, path));
        buffer_append(&all, piece.text, piece.len);
        ended = piece.document_end;
        if (ended)
            buffer_append(&all, "|", 1);
    }
    if (err.status == STATUS_OK) {
        ck_assert(ended);
        ck_assert_uint_eq(corpus_bytes_read(corpus), corpus_bytes_total(corpus));
    }
    corpus_close(corpus);
    if (err.status == STATUS_OK)
        return all.data;
    buffer_release(&all);
    return NULL;
}

static void expect_text(const char *path, const char *text)
{
    char *all = read_all(path);
    ck_assert_msg(all != NULL, "%s", err.text);
    ck_assert_str_eq(all, text);
    free(all);
}

static void refuse(const char *path, enum status status, const char *words)
{
    char *all = read_all(path);
    ck_assert_msg(!all, "read \"%.100s\", where \"%s\" should be said", all, words);
    expect_error(&err, status, words);
    expect_error(&err, status, path);
}

/* Appends text as one gzip member; `extra` adds a dictzip-like extra field. */
static void gzip(struct buffer *out, const char *text, size_t len, bool extra)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    unsigned char field[] = {'R', 'A', 6, 0, 1, 0, 0, 0xE8, 0, 0};
    gz_header header = {.extra = field, .extra_len = sizeof field, .name = (unsigned char *)"a name"};
    if (extra)
        deflateSetHeader(&z, &header);
    const size_t bound = deflateBound(&z, len) + 100;
    ck_assert(buffer_reserve(out, bound));
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (unsigned)len;
    z.next_out = (unsigned char *)out->data + out->len;
    z.avail_out = (unsigned)bound;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

START_TEST(plain)
{
    expect_text(scratch_text("a.txt", "one\ntwo"), "one\ntwo|");
    expect_text(scratch_text("no suffix", "x"), "x|");
    expect_text(scratch_text("half", "x\xE2\x82"), "x\xE2\x82|"); /* invalid bytes are passed on */
}
END_TEST

START_TEST(pieces_end_between_characters)
{
    for (size_t shift = 0; shift < 4; shift++) {
        struct buffer text = {0};
        for (size_t i = 0; i < shift; i++)
            buffer_append(&text, "x", 1);
        while (text.len < 1000000)
            buffer_append_text(&text, "😀€");
        struct corpus *corpus = corpus_open(scratch_file("a.txt", text.data, text.len), &err);
        ck_assert_ptr_nonnull(corpus);
        struct corpus_piece piece;
        bool more;
        size_t at = 0, pieces = 0;
        while (corpus_next(corpus, &piece, &more, &err) == STATUS_OK && more) {
            ck_assert_mem_eq(piece.text, text.data + at, piece.len);
            ck_assert_uint_eq(utf8_whole_prefix(piece.text, piece.len), piece.len);
            at += piece.len;
            pieces++;
        }
        ck_assert_uint_eq(at, text.len);
        ck_assert_uint_gt(pieces, 2);
        corpus_close(corpus);
        buffer_release(&text);
    }
}
END_TEST

START_TEST(gzip_kinds)
{
    struct buffer z = {0};
    gzip(&z, "first ", 6, false);
    expect_text(scratch_file("one.gz", z.data, z.len), "first |");
    gzip(&z, "", 0, false);
    gzip(&z, "second", 6, true);
    expect_text(scratch_file("two.dict.dz", z.data, z.len), "first second|"); /* members are joined */
    expect_text(scratch_file("no suffix", z.data, z.len), "first second|");   /* known by its magic */
    buffer_append(&z, "\0\0\0\0", 4);
    expect_text(scratch_file("padded.gz", z.data, z.len), "first second|");
    buffer_append(&z, "x", 1);
    refuse(scratch_file("garbage.gz", z.data, z.len), STATUS_FORMAT, "something else follows");
    buffer_release(&z);

    struct buffer text = {0};
    for (int i = 0; i < 200000; i++)
        buffer_printf(&text, "%d ", i * 7919);
    gzip(&z, text.data, text.len, false);
    buffer_append(&text, "|", 1);
    expect_text(scratch_file("long.gz", z.data, z.len), text.data);
    buffer_release(&text);
    buffer_release(&z);
}
END_TEST

START_TEST(gzip_damaged)
{
    struct buffer z = {0};
    char text[4000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + (i * i / 7) % 26);
    gzip(&z, text, sizeof text, true);
    for (size_t n = 2; n < z.len; n += n < 40 ? 1 : 13)
        refuse(scratch_file("cut.gz", z.data, n), STATUS_FORMAT, "truncated gzip file");
    refuse(scratch_file("cut.gz", z.data, z.len - 1), STATUS_FORMAT, "truncated gzip file");
    refuse(scratch_file("cut.gz", z.data, 1), STATUS_FORMAT, "not a gzip file");
    z.data[z.len - 6] ^= 1; /* its checksum */
    refuse(scratch_file("sum.gz", z.data, z.len), STATUS_FORMAT, "corrupt gzip file: incorrect data check");
    z.data[z.len - 6] ^= 1;
    z.data[z.len / 2] ^= 0x55;
    refuse(scratch_file("bits.gz", z.data, z.len), STATUS_FORMAT, "corrupt gzip file");
    refuse(scratch_text("name.gz", "plain text"), STATUS_FORMAT, "not a gzip file, though its name says so");
    buffer_release(&z);
    gzip(&z, "", 0, false);
    refuse(scratch_file("nothing.gz", z.data, z.len), STATUS_FORMAT, "holds no text");
    buffer_release(&z);
}
END_TEST

START_TEST(json_lines)
{
    static const char text[] = "{\"text\": \"a\\nb\", \"id\": 1}\r\n\n   \n{\"text\":\"\"}\n{\"id\":[{}],\"text\":\"é\\u0000\"}";
    char *all = read_all(scratch_text("a.jsonl", text));
    ck_assert_msg(all != NULL, "%s", err.text);
    ck_assert_mem_eq(all, "a\nb||é\0|", 9);
    free(all);
    struct buffer z = {0}, line = {0}, expected = {0};
    gzip(&z, "{\"text\":\"zipped\"}\n", 18, false);
    expect_text(scratch_file("a.jsonl.gz", z.data, z.len), "zipped|");
    buffer_release(&z);
    buffer_append_text(&line, "{\"text\":\"1\"}\n{\"text\":\"");
    buffer_append_text(&expected, "1|");
    for (int i = 0; i < 300000; i++) {
        buffer_append_text(&line, "€x");
        buffer_append_text(&expected, "€x");
    }
    buffer_append_text(&line, "\"}\n{\"text\":\"3\"}\n");
    buffer_append_text(&expected, "|3|");
    expect_text(scratch_text("long.jsonl", line.data), expected.data);
    buffer_release(&line);
    buffer_release(&expected);
}
END_TEST

START_TEST(json_lines_wrong)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{\"text\":\"a\"}\n{\"text\":}\n", "bad.jsonl, line 2: not valid JSON"},
        {"\n\n{\"text\":\"a\"", "line 3: not valid JSON"},
        {"{\"txt\":\"a\"}\n", "line 1: the object has no member \"text\""},
        {"{\"text\":null}\n", "line 1: the member \"text\" is not a string"},
        {"{\"text\":\"a\"}\n[\"text\"]\n", "line 2: should be an object"},
        {"\"text\"\n", "line 1"},
        {"{\"text\":\"a\",\"text\":\"b\"}\n", "line 1: not valid JSON: duplicate"},
        {"{\"text\":\"\xff\"}\n", "line 1: not valid JSON"},
        {"{\"text\":\"a\"} {\"text\":\"b\"}\n", "line 1: not valid JSON"},
        {"\n \n", "holds no text"},
        {"{\"text\":\"\"}\n", "holds no text"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse(scratch_text("bad.jsonl", bad[i].text), STATUS_FORMAT, bad[i].words);
}
END_TEST

START_TEST(directory)
{
    const char *top = scratch_path("top"), *outside = scratch_text("outside.txt", "OUTSIDE");
    ck_assert_int_eq(mkdir(top, 0755), 0);
    refuse(top, STATUS_FORMAT, "has no text");
    scratch_text("top/code.c", "no");
    scratch_text("top/empty.txt", "");
    refuse(top, STATUS_FORMAT, "has no text");
    ck_assert_int_eq(mkdir(scratch_path("top/b"), 0755), 0);
    ck_assert_int_eq(mkdir(scratch_path("top/b/deep"), 0755), 0);
    scratch_text("top/c.md", "3");
    scratch_text("top/b/deep/x.text", "2");
    scratch_text("top/b.jsonl", "{\"text\":\"d1\"}\n{\"text\":\"d2\"}\n");
    scratch_text("top/a.txt", "1");
    ck_assert_int_eq(symlink(outside, scratch_path("top/link.txt")), 0);
    ck_assert_int_eq(symlink(top, scratch_path("top/loop")), 0);
    ck_assert_int_eq(mkfifo(scratch_path("top/pipe.txt"), 0600), 0);
    expect_text(top, "1|d1|d2|2|3|"); /* a.txt b.jsonl b/deep/x.text c.md: '.' before '/' */
    struct corpus *corpus = corpus_open(top, &err);
    ck_assert_uint_eq(corpus_num_files(corpus), 4);
    corpus_close(corpus);
    scratch_text("top/z.jsonl", "{\n");
    refuse(top, STATUS_FORMAT, "z.jsonl, line 1");
}
END_TEST

START_TEST(cannot_be_read)
{
    const char *fifo = scratch_path("fifo.txt"), *secret = scratch_text("secret.txt", "x");
    refuse(scratch_path("absent.txt"), STATUS_IO, "No such file");
    refuse(scratch_text("empty.txt", ""), STATUS_FORMAT, "is empty");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    refuse(fifo, STATUS_IO, "is a pipe");
    refuse("/dev/zero", STATUS_IO, "is a device");
    const char *dir = scratch_path("dir"), *closed = scratch_path("dir/closed");
    ck_assert_int_eq(mkdir(dir, 0755), 0);
    scratch_text("dir/fine.txt", "x");
    ck_assert_int_eq(chmod(scratch_text("dir/secret.txt", "x"), 0), 0);
    ck_assert_int_eq(chmod(secret, 0), 0);
    scratch_begin_unprivileged();
    refuse(secret, STATUS_IO, "Permission denied");
    refuse(dir, STATUS_IO, "secret.txt: Permission denied"); /* before the first text is read */
    scratch_end_unprivileged();
    ck_assert_int_eq(unlink(scratch_path("dir/secret.txt")), 0);
    ck_assert_int_eq(mkdir(closed, 0), 0);
    scratch_begin_unprivileged();
    refuse(dir, STATUS_IO, "closed: Permission denied");
    scratch_end_unprivileged();
    ck_assert_int_eq(chmod(closed, 0700), 0);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("corpus");
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, plain);
    tcase_add_test(cases, pieces_end_between_characters);
    tcase_add_test(cases, gzip_kinds);
    tcase_add_test(cases, gzip_damaged);
    tcase_add_test(cases, json_lines);
    tcase_add_test(cases, json_lines_wrong);
    tcase_add_test(cases, directory);
    tcase_add_test(cases, cannot_be_read);
    return run_suite("formats/corpus", cases);
}
