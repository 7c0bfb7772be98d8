/* SPDX-License-Identifier: MIT
 * tokenizer/added_internal.h - tokens that are found in the text as they stand, before anything else is done to it.
 *
 * A trie of patterns.  At each place, from left to right, the longest pattern that stands there is a match; the next
 * search begins behind it.  single_word, lstrip and rstrip are seen to as huggingface/tokenizers does
 * (tokenizers/src/tokenizer/added_vocabulary.rs, find_matches).  Immutable once filled: any thread may search.
 */
#ifndef TOKENIZER_ADDED_INTERNAL_H
#define TOKENIZER_ADDED_INTERNAL_H

#include "base/status.h"
#include "tokenizer/unicode_internal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct added_token {
    char *text;    /* owned */
    char *pattern; /* owned; what is looked for: the text, or where it is `normalized` what that makes of it */
    size_t len, pattern_len;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

struct added_node;

struct added_trie {
    struct added_node *nodes;
    size_t count, capacity;
    bool first[256]; /* bytes that a pattern begins with */
};

void added_trie_release(struct added_trie *trie);

/* Adds the pattern of `token`, which is borrowed.  A pattern added again keeps its first token.  STATUS_NOMEM. */
enum status added_trie_add(struct added_trie *trie, const struct added_token *token, struct error *err);

struct added_match {
    size_t begin, end;               /* of the token, with what it strips */
    const struct added_token *token; /* NULL: no more */
};

/* The next match in text[from … len) that counts, where all that lies before `taken` belongs to earlier matches.  Where
 * the search went on to is *from.  parse_special false passes over special tokens. */
struct added_match added_trie_next(const struct added_trie *trie, const struct unicode *unicode, const char *text,
                                   size_t len, size_t *from, size_t taken, bool parse_special);

#endif
