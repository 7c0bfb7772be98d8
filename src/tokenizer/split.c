/* SPDX-License-Identifier: MIT
 * tokenizer/split.c - first alternative that matches, as the expressions have it; no alternative needs going back more
 * than one character, so a piece costs its length.
 */
#include "tokenizer/split_internal.h"

#include <string.h>

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define SPACES       "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char *const REGEX[] = {
    [SPLIT_GPT2] = CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    [SPLIT_LLAMA3] =
        "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
    [SPLIT_QWEN2] = "(?i:" CONTRACTIONS ")|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
    [SPLIT_QWEN35] = "(?i:" CONTRACTIONS
                     ")|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES,
};

const char *split_regex(enum split_kind kind)
{
    return (size_t)kind < sizeof REGEX / sizeof *REGEX ? REGEX[kind] : NULL;
}

enum split_kind split_of_regex(const char *regex)
{
    for (size_t i = 0; i < sizeof REGEX / sizeof *REGEX; i++)
        if (strcmp(regex, REGEX[i]) == 0)
            return (enum split_kind)i;
    return SPLIT_UNKNOWN;
}

/* From text[at] on, the end of the run of characters that have one of `wanted` and none of `unwanted`. */
static inline size_t run_of(const struct unicode *unicode, const char *text, size_t at, size_t len, unsigned wanted,
                            unsigned unwanted)
{
    size_t n;
    while (at < len) {
        const unsigned flags = unicode_next(unicode, text + at, len - at, &n);
        if ((wanted && !(flags & wanted)) || (flags & unwanted))
            break;
        at += n;
    }
    return at;
}

/* 's 't 're 've 'm 'll 'd at text[0 … len), which begins with '; 0 when it is none of them. */
static size_t contraction(const char *text, size_t len, bool any_case)
{
    if (len < 2)
        return 0;
    const unsigned lower = any_case ? 0x20 : 0; /* what it maps onto these letters are they and their capitals */
    const unsigned a = (unsigned char)text[1] | lower;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (len < 3)
        return 0;
    if (any_case && memcmp(text + 1, "\xC5\xBF", 2) == 0) /* U+017F, whose upper case is S */
        return 3;
    const unsigned b = (unsigned char)text[2] | lower;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ at text[0 … len), whose first character of n bytes is a space: all of the run but the last when
 * something else follows, unless the last is all there is. */
static size_t spaces(const struct unicode *unicode, const char *text, size_t len, size_t n)
{
    size_t at = n, last = 0;
    while (at < len) {
        if (!(unicode_next(unicode, text + at, len - at, &n) & UNICODE_SPACE))
            return last ? last : at;
        last = at;
        at += n;
    }
    return at;
}

static size_t next_gpt2(const struct unicode *unicode, const char *text, size_t len)
{
    const unsigned text_flags = UNICODE_LETTER | UNICODE_NUMBER | UNICODE_SPACE;
    size_t n, at = 0;
    unsigned flags = unicode_next(unicode, text, len, &n);
    if (text[0] == '\'') {
        const size_t bytes = contraction(text, len, false);
        if (bytes)
            return bytes;
    } else if (text[0] == ' ' && len > 1) {
        const unsigned next = unicode_next(unicode, text + 1, len - 1, &n);
        if (next & UNICODE_SPACE)
            return spaces(unicode, text, len, 1);
        at = 1;
        flags = next;
    }
    if (flags & UNICODE_LETTER)
        return run_of(unicode, text, at + n, len, UNICODE_LETTER, 0);
    if (flags & UNICODE_NUMBER)
        return run_of(unicode, text, at + n, len, UNICODE_NUMBER, 0);
    if (flags & UNICODE_SPACE)
        return spaces(unicode, text, len, n);
    return run_of(unicode, text, at + n, len, 0, text_flags);
}

/* \s*[\r\n]+|\s+(?!\S)|\s+: up to the last line end of the run, if it has one. */
static size_t lines_or_spaces(const struct unicode *unicode, const char *text, size_t len, size_t n)
{
    const size_t run = run_of(unicode, text, n, len, UNICODE_SPACE, 0);
    for (size_t at = run; at > 0; at--)
        if (text[at - 1] == '\r' || text[at - 1] == '\n')
            return at;
    return spaces(unicode, text, len, n);
}

/* The family of cl100k: which flags are letters, and how many digits stand together. */
static inline size_t next_cl100k(const struct unicode *unicode, const char *text, size_t len, unsigned letters,
                                 int max_digits)
{
    const unsigned text_flags = letters | UNICODE_NUMBER | UNICODE_SPACE;
    size_t n, more = 0;
    const unsigned flags = unicode_next(unicode, text, len, &n);
    if (flags & letters)
        return run_of(unicode, text, n, len, letters, 0);
    if (flags & UNICODE_NUMBER) {
        size_t at = n;
        for (int digits = 1; digits < max_digits && at < len; digits++, at += more)
            if (!(unicode_next(unicode, text + at, len - at, &more) & UNICODE_NUMBER))
                break;
        return at;
    }
    if (text[0] == '\'') {
        const size_t bytes = contraction(text, len, true);
        if (bytes)
            return bytes;
    }
    size_t at = n;
    unsigned next = UNICODE_SPACE; /* the end is neither letter nor sign */
    if (n < len && text[0] != '\r' && text[0] != '\n') {
        next = unicode_next(unicode, text + n, len - n, &more);
        if (next & letters)
            return run_of(unicode, text, n + more, len, letters, 0);
    }
    if (flags & UNICODE_SPACE) {
        if (text[0] != ' ' || (next & text_flags))
            return lines_or_spaces(unicode, text, len, n);
        at += more;
    }
    at = run_of(unicode, text, at, len, 0, text_flags);
    while (at < len && (text[at] == '\r' || text[at] == '\n'))
        at++;
    return at;
}

size_t split_next(enum split_kind kind, const struct unicode *unicode, const char *text, size_t len)
{
    size_t n;
    switch (kind) {
    case SPLIT_GPT2:
        return next_gpt2(unicode, text, len);
    case SPLIT_LLAMA3:
        return next_cl100k(unicode, text, len, UNICODE_LETTER, 3);
    case SPLIT_QWEN2:
        return next_cl100k(unicode, text, len, UNICODE_LETTER, 1);
    case SPLIT_QWEN35:
        return next_cl100k(unicode, text, len, UNICODE_LETTER | UNICODE_MARK, 1);
    case SPLIT_DIGIT:
    case SPLIT_DIGITS:
        if (!(unicode_next(unicode, text, len, &n) & UNICODE_NUMBER))
            return run_of(unicode, text, n, len, 0, UNICODE_NUMBER);
        return kind == SPLIT_DIGIT ? n : run_of(unicode, text, n, len, UNICODE_NUMBER, 0);
    case SPLIT_UNKNOWN:
        break;
    }
    return len;
}
