/* SPDX-License-Identifier: MIT */
#include "train/run_view.h"

#include "base/memory.h"
#include "train/report_internal.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* A view of `count` steps with the values given, without a directory. */
static struct run_view view_of(const double *values, size_t count, uint64_t first_step)
{
    static char path[] = "run";
    struct run_view view = {.path = path};
    view.log.steps = mem_calloc(count, sizeof *view.log.steps);
    view.log.num_steps = count;
    ck_assert_ptr_nonnull(view.log.steps);
    for (size_t i = 0; i < count; i++)
        view.log.steps[i] = (struct metrics_step){first_step + i, i, values[i], values[i], values[i], values[i], values[i], values[i], values[i]};
    return view;
}

static struct buffer page_of(const struct run_view *view)
{
    struct buffer out = {0};
    struct error err = {0};
    ck_assert_msg(run_report_html(view, &out, &err) == STATUS_OK, "%s", err.text);
    return out;
}

/* No coordinate is anything but a number, wherever the values lie. */
static void expect_numbers(const char *page)
{
    for (const char *at = page; (at = strstr(at, " d=\"")); at++) {
        const size_t n = strcspn(at + 4, "\"");
        ck_assert_msg(strspn(at + 4, "MLHVAZh0123456789. -") == n, "%.*s", (int)n, at + 4);
    }
    ck_assert_ptr_null(strstr(page, "%\">nan"));
    ck_assert_ptr_null(strstr(page, ":nan%"));
    ck_assert_ptr_null(strstr(page, ":inf%"));
}

START_TEST(any_values_can_be_drawn)
{
    static const double table[][3] = {
        {1, 1, 1}, {0, 0, 0}, {-DBL_MAX, 0, DBL_MAX}, {5e-324, 1e-323, 5e-324}, {NAN, NAN, NAN}, {INFINITY, 1, -INFINITY},
        {1e-300, 1, 1e300}, {1, 1 + DBL_EPSILON, 1}, {DBL_MAX, DBL_MAX, DBL_MAX}, {-5, -4, -3}, {NAN, 2, NAN}};
    static const uint64_t steps[] = {0, 1, INT64_MAX - 3};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t k = 0; k < 3; k++)
            for (size_t count = 1; count <= 3; count++) {
                struct run_view view = view_of(table[i], count, steps[k]);
                struct buffer page = page_of(&view);
                expect_numbers(page.data);
                buffer_release(&page);
                mem_free(view.log.steps);
            }
}
END_TEST

/* Share of the peak: a curve and a scale of its own, in percent; where no line has it nothing is said of it. */
START_TEST(speed_as_a_share)
{
    const double ones[] = {1, 1, 1};
    static const struct {
        double share[3];
        const char *points, *top;
    } table[] = {{{0.25, 0.5, 0.375}, "1:25 2:50 3:37.5", "top:0.0%\">100 %<"},
                 {{NAN, 0.5, NAN}, "1:nan 2:50 3:nan", "top:0.0%\">100 %<"},
                 {{0.25, 1.9047619, 0.5}, "2:190.476", "top:0.0%\">200 %<"}};
    struct run_view view = view_of(ones, 3, 1);
    for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
        for (int i = 0; i < 3; i++)
            view.log.steps[i].peak_share = table[k].share[i];
        struct buffer page = page_of(&view);
        expect_numbers(page.data);
        const char *speed = strstr(page.data, "<section id=\"speed\">"), *share = strstr(speed, "data-name=\"% of peak (right)\"");
        ck_assert_ptr_nonnull(share);
        ck_assert_msg(strstr(share, table[k].points) != NULL, "%.200s", share);
        ck_assert_msg(k == 2 || strstr(speed, table[k].top) != NULL, "%zu: %.900s", k, speed);
        ck_assert_ptr_nonnull(strstr(speed, "<span class=\"r\""));
        ck_assert_ptr_nonnull(strstr(speed, "class=\"chart two\""));
        buffer_release(&page);
    }
    for (int i = 0; i < 3; i++)
        view.log.steps[i].peak_share = NAN;
    struct buffer page = page_of(&view);
    ck_assert_ptr_null(strstr(page.data, "of peak"));
    ck_assert_ptr_null(strstr(page.data, "<span class=\"r\""));
    ck_assert_ptr_null(strstr(page.data, "class=\"chart two\""));
    buffer_release(&page);
    mem_free(view.log.steps);
}
END_TEST

START_TEST(text_is_escaped)
{
    static const struct {
        const char *text, *html;
    } table[] = {{"<a href='x'>\"&", "&lt;a href=&#39;x&#39;&gt;&quot;&amp;"},
                 {"\xff<\xc3", "\xef\xbf\xbd&lt;\xef\xbf\xbd"},
                 {"a\n\tb\x01\x7f", "a\n\tb&#x2401;&#x2421;"},
                 {"\xc3\xa9 \xe2\x82\xac", "\xc3\xa9 \xe2\x82\xac"},
                 {"\xc2\x85", "\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buffer out = {0};
        html_text(&out, table[i].text);
        ck_assert_str_eq(out.data, table[i].html);
        buffer_release(&out);
    }
}
END_TEST

/* The whole tree: a shape for each sphere in both pictures. */
START_TEST(all_1885_spheres_are_drawn)
{
    struct stats_report stats = {.backend = "serial", .num_spheres = SPHERES_MAX, .width = 1,
                                 .spheres = mem_calloc(SPHERES_MAX, sizeof *stats.spheres)};
    struct buffer out = {0};
    int titles = 0;
    ck_assert_ptr_nonnull(stats.spheres);
    stats.spheres[7] = (struct sphere_stats){.compute_ns = 3, .wait_ns = 1, .robbed_ns = 7000000, .flops = 5000, .cpu = 2};
    report_spheres(&out, &stats);
    for (const char *at = out.data; (at = strstr(at, "<title>sphere ")); at++)
        titles++;
    ck_assert_int_eq(titles, 2 * SPHERES_MAX);
    ck_assert_ptr_nonnull(strstr(out.data, "sphere 7, level 1: waiting 25.0 %, robbed of its core 7 ms, 5.00kFLOP, 0 tokens, CPU 2<"));
    expect_numbers(out.data);
    buffer_release(&out);
    mem_free(stats.spheres);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_report");
    TCase *tc = tcase_create("run_report");
    tcase_add_test(tc, any_values_can_be_drawn);
    tcase_add_test(tc, speed_as_a_share);
    tcase_add_test(tc, text_is_escaped);
    tcase_add_test(tc, all_1885_spheres_are_drawn);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
