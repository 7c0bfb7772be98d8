/* SPDX-License-Identifier: MIT */
#include "base/file.h"

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <zlib.h>

static struct error err;

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 31 + i / 251);
}

START_TEST(replace_and_read)
{
    const char *path = scratch_path("file");
    struct buffer text = {0};
    ck_assert_int_eq(file_replace(path, "old", 3, &err), STATUS_OK);
    ck_assert_int_eq(file_replace(path, "newer", 5, &err), STATUS_OK);
    buffer_append_text(&text, "<");
    ck_assert_int_eq(file_read(path, 5, &text, &err), STATUS_OK);
    ck_assert_str_eq(text.data, "<newer");
    ck_assert(!file_exists(scratch_path("file.tmp")));
    ck_assert_int_eq(file_read(path, 4, &text, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "5 bytes long");
    ck_assert_str_eq(text.data, "<newer"); /* what was there stays */
    ck_assert_int_eq(file_replace(path, "", 0, &err), STATUS_OK);
    buffer_clear(&text);
    ck_assert_int_eq(file_read(path, 0, &text, &err), STATUS_OK);
    ck_assert_uint_eq(text.len, 0);
    buffer_release(&text);
}
END_TEST

START_TEST(replace_fails_and_leaves_nothing)
{
    const char *directory = scratch_path("directory");
    ck_assert_int_eq(file_make_directory(directory, &err), STATUS_OK);
    ck_assert_int_eq(file_replace(directory, "x", 1, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, directory);
    ck_assert(!file_exists(scratch_path("directory.tmp")));
    ck_assert_int_eq(file_replace(scratch_path("absent/file"), "x", 1, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, "No such file or directory");
    ck_assert_int_eq(file_make_directory(directory, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, "File exists");
}
END_TEST

START_TEST(only_regular_files_are_read)
{
    const char *fifo = scratch_path("fifo"), *link = scratch_path("link"), *good = scratch_text("good", "text");
    struct file_map map;
    struct buffer text = {0};
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_int_eq(symlink(fifo, link), 0);
    const char *const refused[] = {fifo, link, scratch, "/dev/null", scratch_path("absent")};
    const char *const words[] = {"is a pipe", "is a pipe", "is a directory", "is a device", "No such file"};
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(file_map_open(&map, refused[i], &err), STATUS_IO);
        expect_error(&err, STATUS_IO, words[i]);
        ck_assert_int_eq(file_read(refused[i], 100, &text, &err), STATUS_IO);
        expect_error(&err, STATUS_IO, words[i]);
        ck_assert_int_eq(file_crc32(refused[i], NULL, NULL, &err), STATUS_IO);
    }
    ck_assert_int_eq(unlink(link), 0);
    ck_assert_int_eq(symlink(good, link), 0); /* a link to a file is a file */
    ck_assert_int_eq(file_map_open(&map, link, &err), STATUS_OK);
    ck_assert_uint_eq(map.size_bytes, 4);
    ck_assert_mem_eq(map.data, "text", 4);
    file_map_advise(&map, FILE_RANDOM);
    file_map_close(&map);
    ck_assert_int_eq(file_map_open(&map, scratch_text("empty", ""), &err), STATUS_OK);
    ck_assert(map.data == NULL && map.size_bytes == 0);
    file_map_advise(&map, FILE_ALL_SOON);
    file_map_close(&map);
    buffer_release(&text);
}
END_TEST

START_TEST(unreadable)
{
    const char *path = scratch_text("secret", "x");
    ck_assert_int_eq(chmod(path, 0), 0);
    scratch_begin_unprivileged();
    struct file_map map;
    ck_assert_int_eq(file_map_open(&map, path, &err), STATUS_IO);
    scratch_end_unprivileged();
    expect_error(&err, STATUS_IO, "Permission denied");
}
END_TEST

/* The system takes the first thousand bytes and refuses the rest. */
START_TEST(short_write)
{
    char line[5000];
    memset(line, 'x', sizeof line);
    struct rlimit limit = {1000, 1000};
    signal(SIGXFSZ, SIG_IGN);
    const int fd = open(scratch_path("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert_int_eq(file_append_line(fd, "log", "first", 5, &err), STATUS_OK);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(file_append_line(fd, "log", line, sizeof line, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, "cannot write log: File too large");
    ck_assert_int_eq(file_append_line(fd, "log", "last\n", 5, &err), STATUS_OK);
    close(fd);
    struct buffer text = {0};
    ck_assert_int_eq(file_read(scratch_path("log"), 5000, &text, &err), STATUS_OK);
    ck_assert_str_eq(text.data, "first\nlast\n"); /* no half line between */
    buffer_release(&text);
    ck_assert_int_eq(file_replace(scratch_path("big"), line, sizeof line, &err), STATUS_IO);
    ck_assert(!file_exists(scratch_path("big")) && !file_exists(scratch_path("big.tmp")));
}
END_TEST

static void nothing(int signal_number)
{
    (void)signal_number;
}

/* A pipe with a slow reader takes a little at a time, and a timer interrupts the writer between. */
START_TEST(interrupted_and_partial_writes)
{
    enum { N = 1 << 20 };
    char *line = malloc(N);
    for (size_t i = 0; i < N; i++)
        line[i] = (char)('a' + pattern(i) % 26);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    const pid_t reader = fork();
    if (reader == 0) {
        close(ends[1]);
        char piece[8192];
        size_t at = 0;
        bool same = true;
        for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0; at += (size_t)n) {
            for (ssize_t i = 0; i < n; i++)
                same = same && piece[i] == (at + (size_t)i < N ? line[at + (size_t)i] : '\n');
            usleep(500);
        }
        _exit(same && at == N + 1 ? 0 : 1);
    }
    close(ends[0]);
    struct sigaction action = {.sa_handler = nothing}; /* no SA_RESTART */
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    setitimer(ITIMER_REAL, &often, NULL);
    const enum status st = file_append_line(ends[1], "pipe", line, N, &err);
    setitimer(ITIMER_REAL, &never, NULL);
    close(ends[1]);
    int result;
    waitpid(reader, &result, 0);
    ck_assert_int_eq(st, STATUS_OK);
    ck_assert_int_eq(result, 0);
    free(line);
}
END_TEST

START_TEST(patch_and_rename)
{
    const char *from = scratch_text("from", "0123456789"), *to = scratch_path("to");
    ck_assert_int_eq(file_patch(from, 3, "abc", 3, &err), STATUS_OK);
    ck_assert_int_eq(file_rename(from, to, &err), STATUS_OK);
    struct buffer text = {0};
    ck_assert_int_eq(file_read(to, 10, &text, &err), STATUS_OK);
    ck_assert_str_eq(text.data, "012abc6789");
    buffer_release(&text);
    ck_assert_int_eq(file_rename(from, to, &err), STATUS_IO);
    ck_assert_int_eq(file_patch(from, 0, "x", 1, &err), STATUS_IO);
}
END_TEST

START_TEST(remove_tree)
{
    const char *outside = scratch_path("outside"), *tree = scratch_path("tree");
    ck_assert_int_eq(mkdir(outside, 0700), 0);
    scratch_text("outside/precious", "x");
    ck_assert_int_eq(mkdir(tree, 0700), 0);
    ck_assert_int_eq(mkdir(scratch_path("tree/a"), 0700), 0);
    ck_assert_int_eq(mkdir(scratch_path("tree/a/b"), 0700), 0);
    scratch_text("tree/a/b/file", "x");
    ck_assert_int_eq(symlink(outside, scratch_path("tree/a/link")), 0);
    ck_assert_int_eq(file_remove_tree(tree, &err), STATUS_OK);
    ck_assert(!file_exists(tree));
    ck_assert(file_exists(scratch_path("outside/precious")));
    ck_assert_int_eq(file_remove_tree(tree, &err), STATUS_OK); /* nothing to do */
    ck_assert_int_eq(symlink(outside, tree), 0);
    ck_assert_int_eq(file_remove_tree(tree, &err), STATUS_OK); /* the link itself */
    ck_assert(file_exists(scratch_path("outside/precious")));
}
END_TEST

START_TEST(questions)
{
    uint64_t bytes = 0;
    ck_assert_int_eq(file_free_space(scratch, &bytes, &err), STATUS_OK);
    ck_assert_int_eq(file_free_space(scratch_path("absent"), &bytes, &err), STATUS_IO);
    ck_assert_int_eq(file_sync_directory(scratch, &err), STATUS_OK);
    ck_assert(file_is_directory(scratch) && !file_is_directory(scratch_text("f", "")));
    ck_assert(!file_exists(scratch_path("absent")));
    struct buffer out = {0};
    ck_assert_str_eq(path_join(&out, "a", "b"), "a/b");
    ck_assert_str_eq(path_join(&out, "a/", "b"), "a/b");
    ck_assert_str_eq(path_join(&out, "/", "b"), "/b");
    ck_assert_str_eq(path_join(&out, "", "b"), "b");
    buffer_release(&out);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("file");
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, replace_and_read);
    tcase_add_test(cases, replace_fails_and_leaves_nothing);
    tcase_add_test(cases, only_regular_files_are_read);
    tcase_add_test(cases, unreadable);
    tcase_add_test(cases, short_write);
    tcase_add_test(cases, interrupted_and_partial_writes);
    tcase_add_test(cases, patch_and_rename);
    tcase_add_test(cases, remove_tree);
    tcase_add_test(cases, questions);
    return run_suite("base/file", cases);
}
