/* SPDX-License-Identifier: MIT */
#include "train/control_protocol.h"

#include "base/memory.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(each_command_is_said_and_read)
{
    static char prompt[] = "Once\n\"upon\" \xc3\xa9";
    for (int command = CONTROL_STATUS; command <= CONTROL_EVAL; command++) {
        struct control_request out = {.command = (enum control_command)command, .timeout_s = 1.5}, back;
        struct error err = {0};
        struct buffer line = {0};
        enum control_command parsed;
        ck_assert(control_command_parse(control_command_name(out.command), &parsed) && parsed == out.command);
        if (command == CONTROL_SAMPLE)
            out.prompt = prompt;
        if (command == CONTROL_LR)
            out.factor = 0.1;
        if (command == CONTROL_SPHERES)
            out.spheres = 1885;
        json_t *object = control_request_json(&out);
        ck_assert_int_eq(json_write(object, false, &line, &err), STATUS_OK);
        ck_assert_ptr_null(memchr(line.data, '\n', line.len));
        ck_assert_msg(control_request_parse(line.data, line.len, &back, &err) == STATUS_OK, "%s", err.text);
        ck_assert(back.command == out.command && back.factor == out.factor && back.spheres == out.spheres);
        ck_assert(back.timeout_s == 1.5);
        if (command == CONTROL_SAMPLE)
            ck_assert_str_eq(back.prompt, prompt);
        else
            ck_assert_ptr_null(back.prompt);
        control_request_release(&back);
        json_decref(object);
        buffer_release(&line);
    }
}
END_TEST

static void refused(const char *line, size_t n, const char *want)
{
    struct control_request request;
    struct error err = {0};
    ck_assert_msg(control_request_parse(line, n, &request, &err) == STATUS_FORMAT, "%.80s", line);
    ck_assert_msg(strstr(err.text, want) != NULL, "%.80s: %s", line, err.text);
}

START_TEST(what_makes_no_sense_is_refused_with_a_sentence)
{
    static const struct {
        const char *line, *want;
    } wrong[] = {
        {"", "JSON object"},
        {"status", "JSON object"},
        {"[\"status\"]", "JSON object"},
        {"{\"command\": \"status\"} x", "JSON object"},
        {"{\"command\": \"status\", \"command\": \"stop\"}", "JSON object"},
        {"{}", "command"},
        {"{\"command\": 3}", "command"},
        {"{\"command\": \"fly\"}", "there is no command \"fly\""},
        {"{\"command\": \"pause\", \"factor\": 1}", "there is no key \"factor\""},
        {"{\"command\": \"lr\"}", "factor"},
        {"{\"command\": \"lr\", \"factor\": null}", "factor"},
        {"{\"command\": \"lr\", \"factor\": \"1\"}", "factor"},
        {"{\"command\": \"lr\", \"factor\": -0.5}", "from 0 to"},
        {"{\"command\": \"lr\", \"factor\": 1e9}", "from 0 to"},
        {"{\"command\": \"lr\", \"factor\": 1, \"timeout_s\": -1}", "timeout_s"},
        {"{\"command\": \"spheres\"}", "spheres"},
        {"{\"command\": \"spheres\", \"spheres\": 1886}", "spheres"},
        {"{\"command\": \"spheres\", \"spheres\": -1}", "spheres"},
        {"{\"command\": \"sample\", \"prompt\": 3}", "prompt"},
        {"{\"command\": \"sample\", \"prompt\": \"a\\u0000b\"}", "JSON object"},
        {"{\"command\": \"sample\", \"prompt\": \"\xff\"}", "JSON object"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(wrong[i].line, strlen(wrong[i].line), wrong[i].want);
    static char deep[CONTROL_LINE_MAX + 1];
    memset(deep, '[', sizeof deep);
    refused(deep, CONTROL_LINE_MAX, "JSON object");
    refused(deep, sizeof deep, "at most 65536 bytes");
}
END_TEST

START_TEST(a_refusal_is_one_line_of_json_whatever_its_text)
{
    static const char *const texts[] = {"plain", "", "line\nbreak \"quoted\"", "\xff\xfe half \xc3", "\xe2\x82\xac"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buffer line = {0};
        json_t *refusal = control_refusal(texts[i]);
        ck_assert_ptr_nonnull(refusal);
        ck_assert(json_is_false(json_object_get(refusal, "ok")));
        ck_assert_int_eq(json_write(refusal, false, &line, NULL), STATUS_OK);
        ck_assert_ptr_null(memchr(line.data, '\n', line.len));
        json_decref(refusal);
        buffer_release(&line);
    }
    char *much = malloc(5000);
    memset(much, 'x', 4999);
    much[4999] = 0;
    json_t *refusal = control_refusal(much);
    ck_assert_int_gt((int)json_string_length(json_object_get(refusal, "error")), 900);
    json_decref(refusal);
    free(much);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control_protocol");
    TCase *tc = tcase_create("control_protocol");
    tcase_add_test(tc, each_command_is_said_and_read);
    tcase_add_test(tc, what_makes_no_sense_is_refused_with_a_sentence);
    tcase_add_test(tc, a_refusal_is_one_line_of_json_whatever_its_text);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
