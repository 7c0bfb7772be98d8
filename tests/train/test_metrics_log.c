/* SPDX-License-Identifier: MIT */
#include "train/metrics_log.h"

#include "base/memory.h"

#include <check.h>
#include <math.h>
#include <string.h>

static struct metrics_log parsed(const char *text)
{
    struct metrics_log log;
    struct error err = {0};
    ck_assert_msg(metrics_log_parse(text, strlen(text), "FILE", &log, &err) == STATUS_OK, "%s", err.text);
    return log;
}

static const char good[] =
    "{\"step\": 1, \"tokens\": 8, \"loss\": 2.5, \"lr\": 0.001, \"grad_norm\": null, \"tokens_per_s\": 9.0, "
    "\"wait_share\": 0.5, \"elapsed_s\": 0.25}\n"
    "{\"step\": 1, \"val_loss\": 2.25, \"elapsed_s\": 1.0}\n"
    "{\"step\": 1, \"event\": \"sample\", \"text\": \"a<b\\n\"}\n"
    "{\"step\": 2, \"tokens\": 16, \"loss\": 2, \"lr\": 0.001, \"grad_norm\": 1.5}\n"
    "{\"step\": 2, \"event\": \"checkpoint\"}\n";

START_TEST(a_file_is_read_whole)
{
    struct metrics_log log = parsed(good);
    ck_assert_uint_eq(log.num_steps, 2);
    ck_assert_uint_eq(log.num_vals, 1);
    ck_assert_uint_eq(log.num_events, 2);
    ck_assert(!log.torn && log.num_damaged == 0);
    ck_assert(log.steps[0].loss == 2.5 && isnan(log.steps[0].grad_norm) && log.steps[0].elapsed_s == 0.25);
    ck_assert(log.steps[1].loss == 2 && log.steps[1].tokens == 16 && isnan(log.steps[1].elapsed_s));
    ck_assert(log.vals[0].step == 1 && log.vals[0].loss == 2.25);
    ck_assert_str_eq(log.events[0].text, "a<b\n");
    ck_assert_str_eq(log.events[1].name, "checkpoint");
    ck_assert_ptr_null(log.events[1].text);
    metrics_log_release(&log);
}
END_TEST

/* Cut after any byte, what is whole is there, and only a cut at a line's end is not torn. */
START_TEST(a_torn_last_line_is_left_out)
{
    for (size_t n = 0; n < sizeof good; n++) {
        struct metrics_log log;
        struct error err = {0};
        size_t lines = 0;
        for (size_t i = 0; i < n; i++)
            lines += good[i] == '\n';
        ck_assert(metrics_log_parse(good, n, "FILE", &log, &err) == STATUS_OK);
        ck_assert_uint_eq(log.num_steps + log.num_vals + log.num_events, lines);
        ck_assert_uint_eq(log.num_damaged, 0);
        ck_assert(log.torn == (n > 0 && good[n - 1] != '\n'));
        metrics_log_release(&log);
    }
}
END_TEST

START_TEST(a_damaged_line_is_named_and_the_rest_is_there)
{
    static const struct {
        const char *line, *why;
    } table[] = {
        {"{\"step\": 2, \"lo", "not valid JSON"},
        {"", "not valid JSON"},
        {"[1]", "not an object"},
        {"{\"step\": 2}", "none of"},
        {"{\"loss\": 2, \"tokens\": 3}", "\"step\" is missing"},
        {"{\"step\": -2, \"val_loss\": 1}", "\"step\" is missing or no count"},
        {"{\"step\": 99999999999999999999, \"val_loss\": 1}", "not valid JSON"},
        {"{\"step\": 2, \"tokens\": 3, \"loss\": \"x\"}", "\"loss\" is not a number"},
        {"{\"step\": 2, \"loss\": 3.0}", "\"tokens\" is missing"},
        {"{\"step\": 1, \"tokens\": 3, \"loss\": 3.0}", "step 1 comes where 2"},
        {"{\"step\": 2, \"event\": 5}", "\"event\" is not a text"},
        {"{\"step\": 0, \"val_loss\": 1}", "step 0 comes where 1"},
        {"{\"step\": 2, \"event\": \"\xff\"}", "not valid JSON"},
    };
    const char *second = strstr(good, "{\"step\": 2");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buffer text = {0};
        buffer_append(&text, good, (size_t)(second - good));
        buffer_printf(&text, "%s\n%s", table[i].line, second);
        struct metrics_log log = parsed(text.data);
        ck_assert_msg(log.num_damaged == 1, "%s", table[i].line);
        ck_assert_msg(strstr(log.damage.data, "FILE, line 4 is left out: ") && strstr(log.damage.data, table[i].why), "%s",
                      log.damage.data);
        ck_assert_uint_eq(log.num_steps, 2);
        ck_assert_uint_eq(log.num_events, 2);
        metrics_log_release(&log);
        buffer_release(&text);
    }
}
END_TEST

/* A byte model writes any character, 0 too. */
START_TEST(a_sample_may_hold_the_character_0)
{
    struct metrics_log log = parsed("{\"step\": 1, \"event\": \"sample\", \"text\": \"\\u0000a\\u0000\"}\n");
    ck_assert_uint_eq(log.num_events, 1);
    ck_assert_str_eq(log.events[0].text, "\xef\xbf\xbd" "a" "\xef\xbf\xbd");
    metrics_log_release(&log);
}
END_TEST

START_TEST(many_damaged_lines_are_counted_and_the_first_told)
{
    struct buffer text = {0};
    for (int i = 0; i < 1000; i++)
        buffer_append_text(&text, "x\n");
    struct metrics_log log = parsed(text.data);
    ck_assert_uint_eq(log.num_damaged, 1000);
    ck_assert_ptr_nonnull(strstr(log.damage.data, "line 8 "));
    ck_assert_ptr_null(strstr(log.damage.data, "line 9 "));
    metrics_log_release(&log);
    buffer_release(&text);
}
END_TEST

START_TEST(an_absent_file_is_empty_and_no_memory_is_said)
{
    struct metrics_log log;
    struct error err = {0};
    ck_assert(metrics_log_read("/nonexistent/metrics.jsonl", &log, &err) == STATUS_OK);
    ck_assert_uint_eq(log.num_steps, 0);
    for (int64_t n = 0; n < 6; n++) { /* three arrays, a name, a text, a name */
        mem_fail_at(n);
        const enum status st = metrics_log_parse(good, sizeof good - 1, "FILE", &log, &err);
        mem_fail_at(-1);
        ck_assert_msg(st == STATUS_NOMEM, "request %d", (int)n);
        ck_assert_ptr_null(log.steps);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics_log");
    TCase *tc = tcase_create("metrics_log");
    tcase_add_test(tc, a_file_is_read_whole);
    tcase_add_test(tc, a_torn_last_line_is_left_out);
    tcase_add_test(tc, a_damaged_line_is_named_and_the_rest_is_there);
    tcase_add_test(tc, a_sample_may_hold_the_character_0);
    tcase_add_test(tc, many_damaged_lines_are_counted_and_the_first_told);
    tcase_add_test(tc, an_absent_file_is_empty_and_no_memory_is_said);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
