/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include "scratch.h"

START_TEST(every_code_point)
{
    for (uint32_t cp = 0; cp < 0x110400; cp++) {
        char text[4];
        uint32_t back = 0;
        const int n = utf8_encode(cp, text);
        if ((cp >= 0xD800 && cp < 0xE000) || cp > 0x10FFFF) {
            ck_assert_int_eq(n, 0);
            continue;
        }
        ck_assert(utf8_decode(text, 4, &back) == n && back == cp);
        for (int cut = 1; cut < n; cut++) {
            if (utf8_decode(text, (size_t)cut, &back) != UTF8_INCOMPLETE || utf8_whole_prefix(text, (size_t)cut) != 0)
                ck_abort_msg("U+%04X cut at %d", cp, cut);
        }
        if (utf8_whole_prefix(text, (size_t)n) != (size_t)n)
            ck_abort_msg("U+%04X", cp);
    }
}
END_TEST

START_TEST(not_utf8)
{
    static const char *const wrong[] = {"\x80",         "\xC0\x80",     "\xC1\xBF",     "\xE0\x9F\xBF",     "\xED\xA0\x80",
                                        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5", "\xFF", "\xC3(", "\xE2\x82(", "\xF0\x9F\x98("};
    uint32_t cp;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_int_eq(utf8_decode(wrong[i], strlen(wrong[i]), &cp), UTF8_INVALID);
        ck_assert_uint_eq(utf8_whole_prefix(wrong[i], strlen(wrong[i])), strlen(wrong[i])); /* not waited for */
    }
    ck_assert_uint_eq(utf8_whole_prefix("ab\xE2\x82", 4), 2);
    ck_assert_uint_eq(utf8_whole_prefix("\x80\x80\x80\x80", 4), 4);
    ck_assert_uint_eq(utf8_whole_prefix("", 0), 0);
    ck_assert_int_eq(utf8_decode("", 0, &cp), UTF8_INCOMPLETE);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("utf8");
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, every_code_point);
    tcase_add_test(cases, not_utf8);
    return run_suite("base/utf8", cases);
}
