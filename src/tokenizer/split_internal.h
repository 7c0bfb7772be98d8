/* SPDX-License-Identifier: MIT
 * tokenizer/split_internal.h - the regular expressions that tokenizer files split text with, written out by hand.
 *
 * Each cuts any text into pieces that follow one another without a gap.  The expressions are those of the files, letter
 * for letter (split_of_regex); the code is checked against PCRE2 in tests/tokenizer.
 */
#ifndef TOKENIZER_SPLIT_INTERNAL_H
#define TOKENIZER_SPLIT_INTERNAL_H

#include "tokenizer/unicode_internal.h"

#include <stddef.h>

enum split_kind {
    SPLIT_GPT2,   /* the one ByteLevel means with use_regex */
    SPLIT_LLAMA3, /* tiktoken's cl100k, as Llama 3 writes it */
    SPLIT_QWEN2,  /* the same with single digits */
    SPLIT_QWEN35, /* the same with marks taken as letters */
    SPLIT_DIGIT,  /* Digits with individual_digits */
    SPLIT_DIGITS, /* Digits without */
    SPLIT_UNKNOWN
};

/* The kind whose expression this is, or SPLIT_UNKNOWN. */
enum split_kind split_of_regex(const char *regex);
const char *split_regex(enum split_kind kind); /* the expression; NULL for Digits */

/* The bytes of the piece that text[0 … len) begins with, 1 … len; len > 0. */
size_t split_next(enum split_kind kind, const struct unicode *unicode, const char *text, size_t len);

#endif
