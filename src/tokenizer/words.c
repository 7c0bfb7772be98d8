/* SPDX-License-Identifier: MIT */
#include "tokenizer/words_internal.h"

#include "base/memory.h"

/* A power of two that n entries fill at most by half. */
static bool table_size(size_t n, size_t *out)
{
    size_t size = 16, twice;
    if (!size_mul(n, 2, &twice))
        return false;
    while (size < twice)
        if (!size_mul(size, 2, &size))
            return false;
    *out = size;
    return true;
}

enum status words_init(struct words *words, size_t num_short, size_t num_long, struct error *err)
{
    size_t n, m;
    *words = (struct words){0};
    if (table_size(num_short, &n) && table_size(num_long, &m)) {
        words->slots = mem_calloc(n, sizeof *words->slots);
        words->longs = mem_calloc(m, sizeof *words->longs);
        words->mask = n - 1;
        words->long_mask = m - 1;
    }
    if (words->slots && words->longs)
        return STATUS_OK;
    words_release(words);
    return error_set(err, STATUS_NOMEM, "no memory for a table of %zu words", num_short + num_long);
}

void words_release(struct words *words)
{
    mem_free(words->slots);
    mem_free(words->longs);
    *words = (struct words){0};
}

uint64_t words_hash(const char *text, size_t len)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ len;
    for (; len > WORD_INLINE; text += 8, len -= 8) {
        uint64_t part;
        memcpy(&part, text, 8);
        h = (h ^ part) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    return h ^ word_hash(word_key(text, len));
}

static struct long_slot *find_long_slot(const struct words *words, const char *text, size_t len)
{
    size_t i = words_hash(text, len) & words->long_mask;
    while (words->longs[i].text && (words->longs[i].len != len || memcmp(words->longs[i].text, text, len) != 0))
        i = (i + 1) & words->long_mask;
    return &words->longs[i];
}

int32_t words_find_long(const struct words *words, const char *text, size_t len)
{
    const struct long_slot *slot = find_long_slot(words, text, len);
    return slot->text ? slot->id : -1;
}

void words_add(struct words *words, const char *text, size_t len, int32_t id)
{
    if (len > WORD_INLINE) {
        struct long_slot *slot = find_long_slot(words, text, len);
        if (!slot->text)
            *slot = (struct long_slot){text, len, id};
        return;
    }
    const struct word_key key = word_key(text, len);
    for (size_t i = word_hash(key) & words->mask;; i = (i + 1) & words->mask) {
        struct word_slot *slot = &words->slots[i];
        if (slot->key.high == 0) {
            *slot = (struct word_slot){key, id};
            return;
        }
        if (slot->key.low == key.low && slot->key.high == key.high)
            return;
    }
}
