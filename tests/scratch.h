/* SPDX-License-Identifier: MIT
 * scratch.h - for tests of what touches files: a fresh directory before each test (checked fixtures), gone after it.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "base/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[256];

static inline void scratch_setup(void)
{
    const char *where = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/cllm-test-XXXXXX", where && *where ? where : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(scratch));
}

static inline void scratch_teardown(void)
{
    struct error err = {0};
    ck_assert_msg(file_remove_tree(scratch, &err) == STATUS_OK, "%s", err.text);
}

/* A path in the directory; the text lives through the next 15 calls. */
static inline const char *scratch_path(const char *name)
{
    static char paths[16][512];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

/* Written by stdio, so that what is tested does not make what it is tested on. */
static inline const char *scratch_file(const char *name, const void *bytes, size_t n)
{
    const char *path = scratch_path(name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
    return path;
}

static inline const char *scratch_text(const char *name, const char *text)
{
    return scratch_file(name, text, strlen(text));
}

/* Makes files that others may not read unreadable for us too, when we are root; scratch_end_unprivileged undoes it. */
static inline void scratch_begin_unprivileged(void)
{
    ck_assert_int_eq(chmod(scratch, 0755), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
}

static inline void scratch_end_unprivileged(void)
{
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
}

/* The call failed with this status and its sentence has these words. */
static inline void expect_error(const struct error *err, enum status status, const char *words)
{
    ck_assert_msg(err->status == status, "status %d where %d should be: %s", err->status, status, err->text);
    ck_assert_msg(strstr(err->text, words), "\"%s\" does not say \"%s\"", err->text, words);
    ck_assert_msg(!strchr(err->text, '\n'), "more than one line: %s", err->text);
}

static inline int run_suite(const char *name, TCase *cases)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, cases);
    tcase_add_checked_fixture(cases, scratch_setup, scratch_teardown);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
