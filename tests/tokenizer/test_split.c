/* SPDX-License-Identifier: MIT
 * test_split.c - the hand-written splitters against PCRE2 with the very expressions, on random text; the table of
 * properties against utf8proc's categories.
 */
#include "tokenizer/split_internal.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "scratch.h"

#include <utf8proc.h>
#ifdef HAVE_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

static struct unicode unicode;

/* Where both know the character, they say the same of it; what only the table knows is newer than utf8proc. */
START_TEST(properties)
{
    size_t newer = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        const unsigned flags = unicode_flags(&unicode, c);
        const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
        const bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
        const bool mark = category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
        const bool number = category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
        if (category == UTF8PROC_CATEGORY_CN && flags) {
            newer++;
            continue;
        }
        const bool space = (c >= 9 && c <= 13) || c == 0x85 || category == UTF8PROC_CATEGORY_ZS ||
                           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
        const bool word = letter || mark || category == UTF8PROC_CATEGORY_ND || c == '_';
        if (!!(flags & UNICODE_LETTER) != letter || !!(flags & UNICODE_MARK) != mark ||
            !!(flags & UNICODE_NUMBER) != number || !!(flags & UNICODE_SPACE) != space ||
            (word && !(flags & UNICODE_WORD)))
            ck_abort_msg("U+%04X has the flags %u, and the category %s", c, flags,
                         utf8proc_category_string((utf8proc_int32_t)c));
    }
    ck_assert_uint_lt(newer, 20000);
}
END_TEST

START_TEST(previous)
{
    static const char text[] = "aé語😀\xff\x80";
    static const size_t ends[] = {1, 3, 6, 10, 11, 12}, lengths[] = {1, 2, 3, 4, 1, 1};
    size_t n;
    for (size_t i = 0; i < 6; i++) {
        const unsigned flags = unicode_previous(&unicode, text, ends[i], &n);
        ck_assert_uint_eq(n, lengths[i]);
        ck_assert_uint_eq(!!(flags & UNICODE_LETTER), i < 3);
    }
}
END_TEST

#ifdef HAVE_PCRE2
/* Whether this PCRE2's edition of Unicode has the character; U+0085 is a space to `tokenizers` and not to PCRE2,
 * U+180E the other way round. */
static bool is_common(uint32_t c)
{
    static pcre2_code *unassigned;
    static pcre2_match_data *match;
    int code;
    PCRE2_SIZE where;
    unsigned char text[4];
    const int n = utf8_encode(c, (char *)text);
    if (!unassigned) {
        unassigned =
            pcre2_compile((PCRE2_SPTR) "\\p{Cn}", PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &where, NULL);
        match = pcre2_match_data_create(4, NULL);
    }
    return c != 0x85 && c != 0x180E && n > 0 && pcre2_match(unassigned, text, (size_t)n, 0, 0, match, NULL) < 0;
}

static size_t random_text(uint64_t number, char *out, size_t most)
{
    static const uint32_t often[] = {' ',    ' ',     ' ',   '\n',   '\r',   '\t',   '\'',   '\'',  's',  'S',
                                     't',    'T',     'r',   'R',    'e',    'E',    'v',    'V',   'm',  'M',
                                     'l',    'L',     'd',   'D',    0x17F,  'a',    'Z',    '0',   '9',  '.',
                                     '!',    '_',     0xA0,  0x2003, 0x3000, 0x2028, 0x301,  0x5B0, 0xE9, 0x3042,
                                     0x4E2D, 0x1F600, 0x663, 0x2167, 0xBD,   0x200B, 0xFEFF, 0};
    size_t len = 0;
    const uint32_t count = philox4x32(rng_key(7, RNG_TEST, number, 0), 0, 0).word[0] % 30;
    for (uint32_t i = 1; i <= count && len + 4 <= most; i++) {
        const struct rng_block r = philox4x32(rng_key(7, RNG_TEST, number, 0), 0, i);
        uint32_t c = often[r.word[0] % (sizeof often / sizeof *often)];
        const uint32_t any = r.word[2] % (r.word[3] % 2 ? 0x3000 : 0x20000);
        if (r.word[1] % 4 == 0 && is_common(any))
            c = any;
        len += (size_t)utf8_encode(c, out + len);
    }
    return len;
}
#endif

START_TEST(as_pcre2)
{
#ifndef HAVE_PCRE2
    printf("PCRE2 is not installed (libpcre2-dev): the splitters are not held against it\n");
#else
    const enum split_kind kind = (enum split_kind)_i;
    int code;
    PCRE2_SIZE where;
    pcre2_code *regex =
        pcre2_compile((PCRE2_SPTR)split_regex(kind), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &where, NULL);
    ck_assert_ptr_nonnull(regex);
    pcre2_match_data *match = pcre2_match_data_create(4, NULL);
    const uint64_t rounds = getenv("CLLM_TEST_SANITIZED") ? 5000 : 60000;
    char text[256];
    for (uint64_t number = 0; number < rounds; number++) {
        const size_t len = random_text(number, text, sizeof text);
        for (size_t at = 0, n; at < len; at += n) {
            n = split_next(kind, &unicode, text + at, len - at);
            const PCRE2_SIZE *found = pcre2_get_ovector_pointer(match);
            if (pcre2_match(regex, (PCRE2_SPTR)text, len, at, PCRE2_ANCHORED, match, NULL) <= 0 || found[1] != at + n)
                ck_abort_msg("kind %d, text %d: \"%.*s\" at %zu: %zu bytes, %zu in PCRE2", _i, (int)number, (int)len,
                             text, at, n, (size_t)found[1] - at);
        }
    }
    pcre2_match_data_free(match);
    pcre2_code_free(regex);
#endif
}
END_TEST

/* Any bytes are cut into pieces that follow one another. */
START_TEST(any_bytes)
{
    unsigned char text[64];
    for (uint64_t number = 0; number < 20000; number++) {
        const size_t len = 1 + number % sizeof text;
        for (size_t i = 0; i < len; i += 16) {
            const struct rng_block r = philox4x32(rng_key(9, RNG_TEST, number, 0), 0, i);
            memcpy(text + i, &r, 16);
        }
        for (int kind = 0; kind < SPLIT_UNKNOWN; kind++)
            for (size_t at = 0; at < len;) {
                const size_t n = split_next((enum split_kind)kind, &unicode, (const char *)text + at, len - at);
                if (n < 1 || n > len - at)
                    ck_abort_msg("kind %d: %zu bytes of %zu", kind, n, len - at);
                at += n;
            }
    }
}
END_TEST

START_TEST(known_by_their_text)
{
    for (int kind = 0; kind < SPLIT_DIGIT; kind++)
        ck_assert_int_eq(split_of_regex(split_regex((enum split_kind)kind)), kind);
    ck_assert_int_eq(split_of_regex("\\s+"), SPLIT_UNKNOWN);
    ck_assert_int_eq(split_of_regex(""), SPLIT_UNKNOWN);
    ck_assert_ptr_null(split_regex(SPLIT_DIGIT));
}
END_TEST

int main(void)
{
    unicode_init(&unicode);
    TCase *cases = tcase_create("split");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, properties);
    tcase_add_test(cases, previous);
    tcase_add_loop_test(cases, as_pcre2, 0, SPLIT_DIGIT);
    tcase_add_test(cases, any_bytes);
    tcase_add_test(cases, known_by_their_text);
    return run_suite("split", cases);
}
