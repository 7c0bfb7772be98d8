/* SPDX-License-Identifier: MIT
 * tests/infer/test_stop.c - stop texts: cut into pieces in every way, overlapping, incomplete at the end.
 */
#include "infer/stop.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* Feeds the text in pieces that end behind the bytes whose bits are set, and compares what comes out. */
static void expect(const char *const *stops, size_t n, const char *text, const char *wanted, bool stopped)
{
    const size_t len = strlen(text);
    for (unsigned cuts = 0; cuts < 1u << (len - 1); cuts++) {
        struct stop_filter f = {.texts = stops, .count = n};
        struct buffer out = {0};
        size_t from = 0;
        for (size_t i = 0; i < len; i++)
            if (i + 1 == len || cuts >> i & 1) {
                stop_filter_push(&f, text + from, i + 1 - from, &out);
                from = i + 1;
                ck_assert(out.len <= strlen(wanted) && memcmp(out.data ? out.data : "", wanted, out.len) == 0);
            }
        ck_assert(f.stopped == stopped);
        if (!f.stopped)
            stop_filter_finish(&f, &out);
        ck_assert_str_eq(out.data ? out.data : "", wanted);
        stop_filter_release(&f);
        buffer_release(&out);
    }
}

START_TEST(it_is_cut_where_the_first_complete_one_begins)
{
    static const char *const one[] = {"END"}, *const two[] = {"bcd", "abcde"}, *const same[] = {"cd", "bcd"};
    static const char *const twice[] = {"aab"}, *const letters[] = {"\n\n", "User:"};
    expect(one, 1, "a cat END of", "a cat ", true);
    expect(one, 1, "ENENDxx", "EN", true);
    expect(one, 1, "ENEN", "ENEN", false);
    expect(two, 2, "xabcdef", "xa", true); /* the shorter one is complete first */
    expect(same, 2, "abcd", "a", true);    /* both at once: the longer */
    expect(twice, 1, "aaab", "a", true);
    expect(letters, 2, "ok\nUser: hi", "ok\n", true);
    expect(letters, 2, "ok\nUse", "ok\nUse", false);
    expect(one, 1, "END", "", true);
}
END_TEST

START_TEST(without_stop_texts_all_passes_at_once)
{
    struct stop_filter f = {0};
    struct buffer out = {0};
    stop_filter_push(&f, "abc", 3, &out);
    ck_assert_str_eq(out.data, "abc");
    stop_filter_finish(&f, &out);
    ck_assert_str_eq(out.data, "abc");
    stop_filter_release(&f);
    buffer_release(&out);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("stop");
    tcase_add_test(cases, it_is_cut_where_the_first_complete_one_begins);
    tcase_add_test(cases, without_stop_texts_all_passes_at_once);
    Suite *suite = suite_create("infer/stop");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
