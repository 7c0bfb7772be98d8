/* SPDX-License-Identifier: MIT
 * tokenizer/word_counts_internal.h - how often each word occurs: words in the order they were met, and a hash over them.
 */
#ifndef TOKENIZER_WORD_COUNTS_INTERNAL_H
#define TOKENIZER_WORD_COUNTS_INTERNAL_H

#include "tokenizer/train.h"

struct counted_word {
    size_t at; /* in texts */
    uint32_t len;
    uint32_t hash;
    uint64_t count;
};

struct word_counts {
    struct counted_word *words; /* [num_words] */
    size_t num_words, capacity;
    uint32_t *slots; /* index + 1, or 0; [mask + 1] */
    size_t mask;
    struct buffer texts;
    uint64_t total;
};

/* Adds `count` to a word's. */
enum status word_counts_add_word(struct word_counts *counts, const char *text, size_t len, uint64_t count,
                                 struct error *err);

#endif
