/* SPDX-License-Identifier: MIT
 * tokenizer/words_internal.h - from the bytes of a whole word to the number of a token, in one look-up.
 *
 * Open addressing.  Words of up to WORD_INLINE bytes lie in the slot itself, so that most look-ups touch one cache line;
 * longer ones are compared with the text they were added with, which the table borrows.  Immutable once filled: any
 * thread may look up.
 */
#ifndef TOKENIZER_WORDS_INTERNAL_H
#define TOKENIZER_WORDS_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { WORD_INLINE = 15 };

/* A short word as two numbers: its bytes, zeros, and its length in the last byte. */
struct word_key {
    uint64_t low, high;
};

struct word_slot {
    struct word_key key; /* key.high's last byte 0: free */
    int32_t id;
};

struct long_slot {
    const char *text; /* NULL: free */
    size_t len;
    int32_t id;
};

struct words {
    struct word_slot *slots;
    struct long_slot *longs;
    size_t mask, long_mask; /* one less than the number of slots, a power of two */
};

/* Room for so many short and long words.  STATUS_NOMEM. */
enum status words_init(struct words *words, size_t num_short, size_t num_long, struct error *err);
void words_release(struct words *words);

/* `text` is borrowed when len > WORD_INLINE.  len > 0.  A word added again keeps its first id. */
void words_add(struct words *words, const char *text, size_t len, int32_t id);

static inline struct word_key word_key(const char *text, size_t len)
{
    struct word_key key = {0, 0};
    if (len >= 8) {
        memcpy(&key.low, text, 8);
        uint64_t tail; /* the last eight bytes; those already in `low` are shifted out */
        memcpy(&tail, text + len - 8, 8);
        key.high = len > 8 ? tail >> 8 * (16 - len) : 0;
    } else if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, text, 4);
        memcpy(&tail, text + len - 4, 4);
        key.low = head | (uint64_t)tail << 8 * (len - 4);
    } else {
        const unsigned char *s = (const unsigned char *)text;
        key.low = s[0] | (uint64_t)s[len / 2] << 8 * (len / 2) | (uint64_t)s[len - 1] << 8 * (len - 1);
    }
    key.high |= (uint64_t)len << 56;
    return key;
}

static inline uint64_t word_hash(struct word_key key)
{
    const uint64_t h = (key.low ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u ^ key.high * 0xA0761D6478BD642Fu;
    return (h ^ h >> 32) * 0xE7037ED1A0B428DBu >> 24;
}

/* Of any bytes, len > 0. */
uint64_t words_hash(const char *text, size_t len);

int32_t words_find_long(const struct words *words, const char *text, size_t len);

/* -1: not there.  len > 0. */
static inline int32_t words_find(const struct words *words, const char *text, size_t len)
{
    if (len > WORD_INLINE)
        return words_find_long(words, text, len);
    const struct word_key key = word_key(text, len);
    for (size_t i = word_hash(key) & words->mask;; i = (i + 1) & words->mask) {
        const struct word_slot *slot = &words->slots[i];
        if (slot->key.low == key.low && slot->key.high == key.high)
            return slot->id;
        if (slot->key.high == 0)
            return -1;
    }
}

#endif
