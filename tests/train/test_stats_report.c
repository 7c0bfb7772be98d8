/* SPDX-License-Identifier: MIT */
#include "train/stats_report.h"

#include "base/memory.h"
#include "train/fixture.h"

static struct stats_report make(int n)
{
    struct stats_report r = {.backend = "pthread",
                             .num_spheres = n,
                             .width = n,
                             .step = 1000,
                             .tokens = 768000,
                             .seconds = 12.5,
                             .planned_bytes = (uint64_t)3 << 30,
                             .peak_bytes = ((uint64_t)3 << 30) - 4096,
                             .peak_gflops = 123.5,
                             .saving = {.saved = 7, .failed = 1, .bytes = 7000000, .last_bytes = 1000000, .lost_s = 0.25,
                                        .write_s = 4.5, .last_write_s = 0.5, .longest_write_s = 1.25, .session_s = 100},
                             .spheres = mem_calloc((size_t)n, sizeof *r.spheres)};
    ck_assert_ptr_nonnull(r.spheres);
    for (int i = 0; i < n; i++)
        r.spheres[i] = (struct sphere_stats){.id = i,
                                             .level = sphere_level(i),
                                             .parent = sphere_parent(i),
                                             .first_child = sphere_first_child(i),
                                             .num_children = sphere_num_children(i, n),
                                             .group = sphere_group(i),
                                             .cpu = i % 64,
                                             .sequences = 1000 + (uint64_t)i,
                                             .tokens = 64000 + (uint64_t)i,
                                             .flops = 123456789012ull,
                                             .compute_ns = 9000000000ull,
                                             .wait_ns = 1000000000ull,
                                             .barriers = 5000,
                                             .scratch_peak_bytes = 204800,
                                             .robbed_ns = 3000000};
    return r;
}

static int lines(const char *text)
{
    int n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

/* Every row of a block of the table is as long as its head. */
static void expect_aligned(const char *text, const char *head)
{
    const char *at = strstr(text, head);
    ck_assert_ptr_nonnull(at);
    while (at > text && at[-1] != '\n')
        at--;
    size_t width = strcspn(at, "\n");
    for (; *at && *at != '\n'; at += strcspn(at, "\n") + 1)
        ck_assert_msg(strcspn(at, "\n") == width, "%.*s", (int)strcspn(at, "\n"), at);
}

START_TEST(a_table_of_few_shows_all_of_many_the_groups)
{
    static const struct {
        int n, all, lines;
    } table[] = {
        {1, 0, 5 + 4 + 2 + 1},       {2, 0, 5 + 1 + 1 + 2 + 2 + 2 + 2}, {24, 0, 5 + 1 + 1 + 3 + 12 + 2 + 24},
        {25, 0, 5 + 1 + 1 + 3 + 12}, {1741, 0, 5 + 1 + 1 + 4 + 12},     {1741, 1, 5 + 1 + 1 + 4 + 12 + 2 + 1741},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct stats_report r = make(table[i].n);
        struct buffer text = {0};
        stats_report_table(&r, table[i].all, &text);
        ck_assert_msg(lines(text.data) == table[i].lines, "%d spheres: %d lines, not %d:\n%s", table[i].n,
                      lines(text.data), table[i].lines, text.data);
        expect_aligned(text.data, " spheres  sequences");
        if (table[i].all || table[i].n <= 24)
            expect_aligned(text.data, "sphere  level");
        ck_assert_ptr_nonnull(strstr(text.data, "10.0%"));
        buffer_release(&text);
        stats_report_release(&r);
    }
}
END_TEST

START_TEST(json_reads_back)
{
    struct fixture fixture;
    fixture_open(&fixture);
    static const int counts[] = {1, 2, 13, 1741};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct stats_report r = make(counts[i]), back;
        struct error err = {0};
        struct buffer text = {0};
        json_t *object = stats_report_json(&r);
        ck_assert_ptr_nonnull(object);
        OK_OR_SAY(json_write(object, true, &text, &err), err);
        OK_OR_SAY(file_replace(fixture_path(&fixture, "stats.json"), text.data, text.len, &err), err);
        OK_OR_SAY(stats_report_read(fixture_path(&fixture, "stats.json"), &back, &err), err);
        ck_assert_int_eq(back.num_spheres, counts[i]);
        ck_assert_str_eq(back.backend, r.backend);
        ck_assert(back.seconds == r.seconds && back.tokens == r.tokens && back.step == r.step);
        ck_assert_int_eq(back.width, r.width);
        ck_assert(back.peak_gflops == r.peak_gflops && back.saving.saved == 7 && back.saving.failed == 1);
        ck_assert(back.saving.bytes == 7000000 && back.saving.last_bytes == 1000000 && back.saving.lost_s == 0.25);
        ck_assert(back.saving.write_s == 4.5 && back.saving.last_write_s == 0.5 && back.saving.longest_write_s == 1.25);
        ck_assert(back.saving.session_s == 100);
        ck_assert(json_real_value(json_object_get(json_object_get(object, "saving"), "lost_share")) == 0.0025);
        ck_assert(back.planned_bytes == r.planned_bytes && back.peak_bytes == r.peak_bytes);
        ck_assert_int_eq(memcmp(back.spheres, r.spheres, (size_t)counts[i] * sizeof *r.spheres), 0);
        ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(object, "whole"), "flops")),
                         (json_int_t)123456789012 * counts[i]);
        json_decref(object);
        buffer_release(&text);
        stats_report_release(&r);
        stats_report_release(&back);
    }
    fixture_close(&fixture);
}
END_TEST

/* The peak and the saving are said where they are known, and only there; a run from before they were is read. */
START_TEST(what_is_not_known_is_not_said)
{
    struct fixture fixture;
    fixture_open(&fixture);
    struct stats_report r = make(2), back;
    struct error err = {0};
    struct buffer text = {0};
    stats_report_table(&r, false, &text); /* 2 * 123456789012 operations in 12.5 s, of 123.5 a nanosecond */
    ck_assert_msg(strstr(text.data, " on average since then, 16.0 % of the 124GFLOP/s") != NULL, "%s", text.data);
    ck_assert_msg(strstr(text.data, "saving: 7 checkpoints (1 more failed), 0.25 % or 250 ms of training lost, 4.5 s of writing "
                                    "(the last 500 ms, the longest 1.2 s), 6.68 MiB in all\n") != NULL, "%s", text.data);
    r.peak_gflops = 0;
    r.saving = (struct stats_saving){0};
    buffer_clear(&text);
    stats_report_table(&r, false, &text);
    ck_assert(strstr(text.data, "on average since then\n") && !strstr(text.data, "saving:"));
    json_t *object = stats_report_json(&r);
    ck_assert(!json_object_get(object, "peak_gflops") && !json_object_get(object, "saving"));
    buffer_clear(&text);
    OK_OR_SAY(json_write(object, true, &text, &err), err);
    OK_OR_SAY(file_replace(fixture_path(&fixture, "stats.json"), text.data, text.len, &err), err);
    OK_OR_SAY(stats_report_read(fixture_path(&fixture, "stats.json"), &back, &err), err);
    ck_assert(back.peak_gflops == 0 && back.saving.session_s == 0);
    stats_report_release(&back);
    static const char *const wrong[] = {"[]", "{}", "{\"saved\": -1}", "3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_object_set_new(object, "saving", json_loads(wrong[i], JSON_DECODE_ANY, NULL));
        buffer_clear(&text);
        OK_OR_SAY(json_write(object, true, &text, &err), err);
        OK_OR_SAY(file_replace(fixture_path(&fixture, "stats.json"), text.data, text.len, &err), err);
        ck_assert_int_eq(stats_report_read(fixture_path(&fixture, "stats.json"), &back, &err), STATUS_FORMAT);
        ck_assert_msg(strstr(err.text, "saving") != NULL, "%s", err.text);
    }
    json_decref(object);
    buffer_release(&text);
    stats_report_release(&r);
    fixture_close(&fixture);
}
END_TEST

static void add_workers(struct stats_report *r, int n)
{
    r->num_workers = n;
    r->workers = mem_calloc((size_t)n, sizeof *r->workers);
    ck_assert_ptr_nonnull(r->workers);
    for (int i = 0; i < n; i++)
        r->workers[i] = (struct pool_stats){.created = 3,
                                            .run = 100,
                                            .stolen = 25,
                                            .cancelled = 1,
                                            .gangs = 7000 + (uint64_t)i,
                                            .busy_ns = 9000000000u,
                                            .idle_ns = 800000,
                                            .asleep_ns = 70000000,
                                            .sleeps = 600,
                                            .steal_ratio = 0.25};
    r->pool = r->workers[0];
    r->pool.created = 1000000;
}

START_TEST(the_pool_is_told)
{
    struct fixture fixture;
    fixture_open(&fixture);
    static const int counts[] = {1, 2, 25};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct stats_report r = make(2), back;
        struct error err = {0};
        struct buffer text = {0};
        add_workers(&r, counts[i]);
        stats_report_table(&r, false, &text);
        expect_aligned(text.data, "pool        created");
        ck_assert_ptr_nonnull(strstr(text.data, "25.0%"));
        ck_assert_int_eq(lines(strstr(text.data, "\npool ") + 1), 2 + (counts[i] > 24 ? 0 : counts[i]));
        buffer_clear(&text);
        json_t *object = stats_report_json(&r);
        OK_OR_SAY(json_write(object, true, &text, &err), err);
        OK_OR_SAY(file_replace(fixture_path(&fixture, "stats.json"), text.data, text.len, &err), err);
        OK_OR_SAY(stats_report_read(fixture_path(&fixture, "stats.json"), &back, &err), err);
        ck_assert_int_eq(back.num_workers, counts[i]);
        ck_assert_int_eq(memcmp(back.workers, r.workers, (size_t)counts[i] * sizeof *r.workers), 0);
        ck_assert_int_eq(memcmp(&back.pool, &r.pool, sizeof r.pool), 0);
        stats_report_release(&back);

        buffer_clear(&text);
        json_object_del(json_array_get(json_object_get(json_object_get(object, "pool"), "workers"), 0), "stolen");
        OK_OR_SAY(json_write(object, true, &text, &err), err);
        OK_OR_SAY(file_replace(fixture_path(&fixture, "stats.json"), text.data, text.len, &err), err);
        ck_assert_int_eq(stats_report_read(fixture_path(&fixture, "stats.json"), &back, &err), STATUS_FORMAT);
        ck_assert_msg(strstr(err.text, "worker 0") && strstr(err.text, "stolen"), "%s", err.text);
        json_decref(object);
        buffer_release(&text);
        stats_report_release(&r);
    }
    fixture_close(&fixture);
}
END_TEST

START_TEST(a_wrong_file_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture);
    static const char *const wrong[] = {
        "{}",
        "[]",
        "{\"backend\":\"x\",\"num_spheres\":1886,\"width\":1,\"step\":0,\"tokens\":0,\"seconds\":1,\"spheres\":[]}",
        "{\"backend\":\"x\",\"num_spheres\":2,\"width\":1,\"step\":0,\"tokens\":0,\"seconds\":1,\"spheres\":[{}]}",
        "{\"backend\":\"x\",\"num_spheres\":1,\"width\":2,\"step\":0,\"tokens\":0,\"seconds\":1,\"spheres\":[{}]}",
        "{\"backend\":\"x\",\"num_spheres\":1,\"width\":1,\"step\":-1,\"tokens\":0,\"seconds\":1,\"spheres\":[{}]}",
        ("{\"backend\":\"x\",\"num_spheres\":1,\"width\":1,\"step\":0,\"tokens\":0,\"seconds\":1,\"spheres\":[{\"id\":3}"
         "]}")};
    char path[600];
    snprintf(path, sizeof path, "%s", fixture_path(&fixture, "stats.json"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct stats_report back;
        struct error err = {0};
        OK_OR_SAY(file_replace(path, wrong[i], strlen(wrong[i]), &err), err);
        ck_assert_int_eq(stats_report_read(path, &back, &err), STATUS_FORMAT);
        ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
        ck_assert_ptr_null(back.spheres);
    }
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats report");
    TCase *tc = tcase_create("stats");
    tcase_add_test(tc, a_table_of_few_shows_all_of_many_the_groups);
    tcase_add_test(tc, json_reads_back);
    tcase_add_test(tc, what_is_not_known_is_not_said);
    tcase_add_test(tc, the_pool_is_told);
    tcase_add_test(tc, a_wrong_file_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
