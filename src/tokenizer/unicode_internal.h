/* SPDX-License-Identifier: MIT
 * tokenizer/unicode_internal.h - the properties of characters that splitting goes by, in a table of two stages.
 *
 * A code point's first stage names the block of 128 it lies in; blocks of one kind of character are kept once, so the whole is some tens of
 * KiB.  Made when a tokenizer is, from the ranges in unicode_ranges.h, and immutable then.
 */
#ifndef TOKENIZER_UNICODE_INTERNAL_H
#define TOKENIZER_UNICODE_INTERNAL_H

#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unicode_flag {
    UNICODE_LETTER = 1, /* \p{L} */
    UNICODE_NUMBER = 2, /* \p{N} */
    UNICODE_MARK = 4,   /* \p{M} */
    UNICODE_SPACE = 8,  /* \s: White_Space */
    UNICODE_WORD = 16   /* \w as single_word takes it */
};

enum { UNICODE_BLOCK = 128, UNICODE_BLOCKS = 0x110000 / UNICODE_BLOCK, UNICODE_MAX_DISTINCT = 320 };

struct unicode {
    uint16_t block[UNICODE_BLOCKS];
    uint8_t flags[UNICODE_MAX_DISTINCT][UNICODE_BLOCK];
    uint16_t num_distinct;
};

void unicode_init(struct unicode *unicode);

static inline unsigned unicode_flags(const struct unicode *unicode, uint32_t code_point)
{
    return unicode->flags[unicode->block[code_point / UNICODE_BLOCK]][code_point % UNICODE_BLOCK];
}

/* The flags of the character at text[0 … len), len > 0, and its bytes in *n.  A byte that is not UTF-8 is a character
 * by itself without a property. */
static inline unsigned unicode_next(const struct unicode *unicode, const char *text, size_t len, size_t *n)
{
    const unsigned char c = (unsigned char)text[0];
    *n = 1;
    if (c < 0x80)
        return unicode->flags[0][c]; /* block 0 is always the first */
    uint32_t code_point;
    const int bytes = utf8_decode(text, len, &code_point);
    if (bytes <= 0)
        return 0;
    *n = (size_t)bytes;
    return unicode_flags(unicode, code_point);
}

/* The same for the character that ends at text[len), len > 0. */
unsigned unicode_previous(const struct unicode *unicode, const char *text, size_t len, size_t *n);

#endif
