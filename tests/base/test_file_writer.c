/* SPDX-License-Identifier: MIT
 * The writer's system calls are looked at on their way: `write` is this program's.
 */
#include "base/file_writer.h"

#include "base/file.h"

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <zlib.h>

static struct error err;

static struct {
    size_t calls, direct;  /* those past the page cache */
    size_t cut_at, cut_to; /* call `cut_at` (from 1) takes cut_to bytes only */
    size_t refuse_at;      /* and this one says EINVAL when it is direct */
} watch;

ssize_t write(int fd, const void *bytes, size_t n)
{
    const int flags = fcntl(fd, F_GETFL);
    const bool direct = flags >= 0 && (flags & O_DIRECT);
    watch.calls++;
    watch.direct += direct;
    if (watch.calls == watch.cut_at && n > watch.cut_to) { /* as a buffered one, for a direct one takes whole sectors */
        fcntl(fd, F_SETFL, flags & ~O_DIRECT);
        const ssize_t done = syscall(SYS_write, fd, bytes, watch.cut_to);
        fcntl(fd, F_SETFL, flags);
        return done;
    }
    if (watch.calls == watch.refuse_at && direct) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, n);
}

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 31 + i / 251);
}

/* Writes the pieces and reads them again: what is there is what was given, and the sums agree with another's. */
static void written_as_given(const size_t *pieces, size_t num_pieces)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < num_pieces; i++)
        total += pieces[i];
    unsigned char *all = malloc(total + 1);
    for (size_t i = 0; i < total; i++)
        all[i] = pattern(i);
    const char *path = scratch_path("written");
    struct file_writer *writer = file_writer_open(path, &err);
    ck_assert_ptr_nonnull(writer);
    watch.calls = watch.direct = 0;
    for (size_t i = 0; i < num_pieces; at += pieces[i++])
        file_writer_write(writer, all + at, pieces[i]);
    uint64_t size, size_again;
    uint32_t sum, sum_again;
    ck_assert_int_eq(file_writer_close(writer, true, &size, &sum, &err), STATUS_OK);
    ck_assert_uint_eq(size, total);
    ck_assert_uint_eq(sum, crc32_z(0, all, total));
    ck_assert_int_eq(file_crc32(path, &size_again, &sum_again, &err), STATUS_OK);
    ck_assert(size == size_again && sum == sum_again);
    struct buffer text = {0};
    ck_assert_int_eq(file_read(path, total, &text, &err), STATUS_OK);
    ck_assert(text.len == total && memcmp(text.data, all, total) == 0);
    buffer_release(&text);
    free(all);
}

enum { BLOCK = 1 << 20 };

static const struct {
    size_t n, pieces[8], blocks; /* blocks: of them whole ones */
} cases[] = {
    {1, {0}, 0},
    {1, {1}, 0},
    {8, {0, 1, 255, 65535, 65536, 65537, 7, 3}, 0},
    {1, {BLOCK - 1}, 0},
    {1, {BLOCK}, 1},
    {1, {BLOCK + 1}, 1},
    {2, {1, BLOCK}, 1},
    {5, {262143, 1, 1000000, 3 * BLOCK, 17}, 4},
    {3, {BLOCK, BLOCK, BLOCK}, 3},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(in_pieces)
{
    written_as_given(cases[_i].pieces, cases[_i].n);
    ck_assert(watch.direct == 0 || watch.direct == cases[_i].blocks);
    if (watch.direct < cases[_i].blocks)
        printf("blocks are not written past the page cache here\n");
}
END_TEST

/* Every call but the first in turn is cut short or refused: a file is whole all the same. */
START_TEST(cut_and_refused)
{
    static const size_t pieces[] = {5 * BLOCK + 1000};
    for (size_t call = 1; call <= 6; call++) {
        for (size_t cut = 1; cut < BLOCK; cut = 300 * cut + 212) {
            watch.cut_at = call;
            watch.cut_to = cut;
            written_as_given(pieces, 1);
            ck_assert_uint_gt(watch.calls, 5 + (cut < 1000 || call < 6));
        }
        watch.cut_at = 0;
        watch.refuse_at = call;
        written_as_given(pieces, 1);
        watch.refuse_at = 0;
    }
}
END_TEST

START_TEST(full_disk)
{
    if (access("/dev/full", W_OK) != 0)
        return;
    struct file_writer *writer = file_writer_open("/dev/full", &err);
    ck_assert_ptr_nonnull(writer);
    file_writer_write(writer, "x", 1); /* told by _close, however small */
    ck_assert_int_eq(file_writer_close(writer, false, NULL, NULL, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, "cannot write /dev/full: No space left on device");
    file_discard("/dev/full");
    ck_assert(file_exists("/dev/full")); /* not ours to remove */
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("file_writer");
    tcase_set_timeout(tests, 20);
    tcase_add_loop_test(tests, in_pieces, 0, CASES);
    tcase_add_test(tests, cut_and_refused);
    tcase_add_test(tests, full_disk);
    return run_suite("base/file_writer", tests);
}
