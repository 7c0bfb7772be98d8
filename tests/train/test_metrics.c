/* SPDX-License-Identifier: MIT */
#include "train/metrics.h"

#include "train/fixture.h"

#include <math.h>

static struct fixture fixture;
static char path[600];

static void setup(void)
{
    fixture_open(&fixture);
    snprintf(path, sizeof path, "%s", fixture_path(&fixture, "metrics.jsonl"));
}

static void teardown(void)
{
    fixture_close(&fixture);
}

static struct metrics *open_at(uint64_t step)
{
    struct error err = {0};
    struct metrics *m = metrics_open(path, step, &err);
    MADE_OR_SAY(m, err);
    return m;
}

/* Steps first … last, a validation loss at each fifth, and an event. */
static void write_steps(struct metrics *m, uint64_t first, uint64_t last)
{
    struct error err = {0};
    for (uint64_t step = first; step <= last; step++) {
        struct metrics_step line = {.step = step,
                                    .tokens = 100 * step,
                                    .loss = 1.0 / (double)step,
                                    .lr = 1e-3,
                                    .grad_norm = 0.1 * (double)step,
                                    .tokens_per_s = 5,
                                    .wait_share = 0,
                                    .elapsed_s = 1};
        OK_OR_SAY(metrics_write_step(m, &line, &err), err);
        if (step % 5 == 0)
            OK_OR_SAY(metrics_write_val(m, step, 2.0 / 3, 1, &err), err);
    }
    OK_OR_SAY(metrics_sync(m, &err), err);
}

static struct buffer content(void)
{
    struct buffer text = {0};
    struct error err = {0};
    OK_OR_SAY(file_read(path, 1 << 20, &text, &err), err);
    buffer_append_text(&text, "");
    return text;
}

START_TEST(lines_are_json_and_numbers_exact)
{
    struct metrics *m = open_at(0);
    struct metrics_step line = {.step = 7,
                                .tokens = 1ull << 40,
                                .loss = 1.0 / 3,
                                .lr = 6e-4,
                                .grad_norm = INFINITY,
                                .tokens_per_s = 12345,
                                .wait_share = 0.25,
                                .peak_share = 0.375,
                                .elapsed_s = 0x1.fffffffffffffp-3};
    struct error err = {0};
    OK_OR_SAY(metrics_write_step(m, &line, &err), err);
    OK_OR_SAY(metrics_write_val(m, 7, NAN, 2, &err), err);
    json_t *more = json_pack("{s:s, s:i}", "text", "line\n\"end\"", "n", 3);
    OK_OR_SAY(metrics_write_event(m, 7, "sample", more, &err), err);
    OK_OR_SAY(metrics_write_event(m, 8, "stop", NULL, &err), err);
    json_decref(more);
    metrics_close(m);
    struct buffer text = content();
    json_t *lines[4];
    char *save = NULL, *at = strtok_r(text.data, "\n", &save);
    ck_assert_ptr_nonnull(strstr(at, "\"lr\": 0.0006,"));
    for (int i = 0; i < 4; i++, at = strtok_r(NULL, "\n", &save)) {
        ck_assert_ptr_nonnull(at);
        lines[i] = json_loads(at, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(lines[i] != NULL, "%s", at);
    }
    ck_assert_ptr_null(at);
    ck_assert(json_real_value(json_object_get(lines[0], "loss")) == 1.0 / 3);
    ck_assert(json_real_value(json_object_get(lines[0], "elapsed_s")) == line.elapsed_s);
    ck_assert(json_real_value(json_object_get(lines[0], "tokens_per_s")) == 12345);
    ck_assert(json_real_value(json_object_get(lines[0], "peak_share")) == 0.375);
    ck_assert(json_integer_value(json_object_get(lines[0], "tokens")) == 1ll << 40);
    ck_assert(json_is_null(json_object_get(lines[0], "grad_norm")));
    ck_assert(json_is_null(json_object_get(lines[1], "val_loss")));
    ck_assert_str_eq(json_string_value(json_object_get(lines[2], "text")), "line\n\"end\"");
    ck_assert_str_eq(json_string_value(json_object_get(lines[3], "event")), "stop");
    for (int i = 0; i < 4; i++)
        json_decref(lines[i]);
    buffer_release(&text);
}
END_TEST

/* Cut anywhere and resumed, the file is that of a run that was never cut. */
START_TEST(a_resumed_file_is_the_same_file)
{
    struct metrics *m = open_at(0);
    write_steps(m, 1, 20);
    metrics_close(m);
    struct buffer whole = content();
    for (size_t torn = 0; torn < 3; torn++)
        for (uint64_t cut = 1; cut <= 20; cut++) {
            /* It ran to step 20, or a line was torn after it; the checkpoint is of step `cut`. */
            static const char *const rest[] = {"", "{\"step\": 21, \"tok", "{"};
            OK_OR_SAY(file_replace(path, whole.data, whole.len, NULL), (struct error){0});
            FILE *file = fopen(path, "ab");
            fputs(rest[torn], file);
            fclose(file);
            m = open_at(cut);
            write_steps(m, cut + 1, 20);
            metrics_close(m);
            struct buffer now = content();
            ck_assert_msg(now.len == whole.len && memcmp(now.data, whole.data, now.len) == 0, "cut %d, torn %d:\n%s",
                          (int)cut, (int)torn, now.data);
            buffer_release(&now);
        }
    buffer_release(&whole);
}
END_TEST

/* Where a session's clock begins: behind the lines that stay.  Runs of once began anew with each session. */
START_TEST(time_goes_on_where_the_lines_end)
{
    static const char lines[] =
        "{\"step\": 1, \"tokens\": 8, \"loss\": 2.0, \"elapsed_s\": 1.5}\n"
        "{\"step\": 1, \"event\": \"sample\", \"text\": \", \\\"elapsed_s\\\": 99\"}\n"
        "{\"step\": 2, \"tokens\": 16, \"loss\": 2.0, \"elapsed_s\": 4.0}\n"
        "{\"step\": 2, \"val_loss\": 2.0, \"elapsed_s\": 5.25}\n"
        "{\"step\": 3, \"tokens\": 24, \"loss\": 2.0, \"elapsed_s\": 0.5}\n"
        "{\"step\": 4, \"tokens\": 32, \"loss\": 2.0, \"elapsed_s\": null}\n"
        "{\"step\": 5, \"tokens\": 40, \"loss\": 2.0, \"elapsed_s\": 2.75}\n"
        "{\"step\": 6, \"tokens\": 48, \"loss\": 2.0, \"elapsed_s\": 7";
    static const double at[] = {0, 1.5, 5.25, 5.75, 5.75, 8, 8};
    for (int step = 6; step >= 0; step--) {
        OK_OR_SAY(file_replace(path, lines, sizeof lines - 1, NULL), (struct error){0});
        struct metrics *m = open_at((uint64_t)step);
        ck_assert_msg(metrics_elapsed_s(m) == at[step], "step %d: %g", step, metrics_elapsed_s(m));
        metrics_close(m);
    }
}
END_TEST

START_TEST(a_fresh_run_starts_empty_and_a_bad_place_is_an_error)
{
    struct metrics *m = open_at(0);
    write_steps(m, 1, 3);
    metrics_close(m);
    m = open_at(0);
    metrics_close(m);
    struct buffer text = content();
    ck_assert_uint_eq(text.len, 0);
    buffer_release(&text);
    struct error err = {0};
    ck_assert_ptr_null(metrics_open(fixture_path(&fixture, "none/metrics.jsonl"), 0, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "none/metrics.jsonl"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tc = tcase_create("metrics");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, lines_are_json_and_numbers_exact);
    tcase_add_test(tc, a_resumed_file_is_the_same_file);
    tcase_add_test(tc, time_goes_on_where_the_lines_end);
    tcase_add_test(tc, a_fresh_run_starts_empty_and_a_bad_place_is_an_error);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
