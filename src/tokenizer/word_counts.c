/* SPDX-License-Identifier: MIT */
#include "tokenizer/word_counts_internal.h"

#include "base/memory.h"
#include "tokenizer/tokenizer_internal.h"

#include <string.h>

struct word_counts *word_counts_new(struct error *err)
{
    enum { FIRST_SLOTS = 1024 };
    struct word_counts *counts = mem_calloc(1, sizeof *counts);
    if (counts)
        counts->slots = mem_calloc(FIRST_SLOTS, sizeof *counts->slots);
    if (!counts || !counts->slots) {
        mem_free(counts);
        error_set(err, STATUS_NOMEM, "no memory to count words");
        return NULL;
    }
    counts->mask = FIRST_SLOTS - 1;
    return counts;
}

void word_counts_free(struct word_counts *counts)
{
    if (!counts)
        return;
    mem_free(counts->words);
    mem_free(counts->slots);
    buffer_release(&counts->texts);
    mem_free(counts);
}

size_t word_counts_distinct(const struct word_counts *counts)
{
    return counts->num_words;
}

uint64_t word_counts_total(const struct word_counts *counts)
{
    return counts->total;
}

static bool more_slots(struct word_counts *counts)
{
    size_t size = 2 * (counts->mask + 1);
    uint32_t *slots = mem_calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < counts->num_words; i++) {
        size_t at = counts->words[i].hash & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = (uint32_t)i + 1;
    }
    mem_free(counts->slots);
    counts->slots = slots;
    counts->mask = size - 1;
    return true;
}

static bool more_words(struct word_counts *counts)
{
    const size_t capacity = counts->capacity ? 2 * counts->capacity : 512;
    size_t bytes;
    struct counted_word *words = size_mul(capacity, sizeof *words, &bytes) ? mem_realloc(counts->words, bytes) : NULL;
    if (!words)
        return false;
    counts->words = words;
    counts->capacity = capacity;
    return true;
}

enum status word_counts_add_word(struct word_counts *counts, const char *text, size_t len, uint64_t count,
                                 struct error *err)
{
    const uint32_t hash = (uint32_t)words_hash(text, len);
    counts->total += count;
    size_t at = hash & counts->mask;
    for (; counts->slots[at]; at = (at + 1) & counts->mask) {
        struct counted_word *word = &counts->words[counts->slots[at] - 1];
        if (word->hash == hash && word->len == len && memcmp(counts->texts.data + word->at, text, len) == 0) {
            word->count += count;
            return STATUS_OK;
        }
    }
    if (len > UINT32_MAX || counts->num_words >= UINT32_MAX - 1)
        return error_set(err, STATUS_CONFIG, "more words than can be counted: %zu, the next with %zu bytes",
                         counts->num_words, len);
    bool ok = counts->num_words < counts->capacity || more_words(counts);
    const size_t where = counts->texts.len;
    buffer_append(&counts->texts, text, len);
    ok = ok && !counts->texts.failed;
    if (ok) {
        counts->words[counts->num_words++] = (struct counted_word){where, (uint32_t)len, hash, count};
        counts->slots[at] = (uint32_t)counts->num_words;
        ok = counts->num_words <= counts->mask / 2 || more_slots(counts);
    }
    return ok ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory to count words");
}

enum status word_counts_add(struct word_counts *counts, const struct word_counts *from, struct error *err)
{
    enum status st = STATUS_OK;
    for (size_t i = 0; i < from->num_words && st == STATUS_OK; i++) {
        const struct counted_word *word = &from->words[i];
        st = word_counts_add_word(counts, from->texts.data + word->at, word->len, word->count, err);
    }
    return st;
}

static enum status count_word(void *arg, const char *text, size_t len, struct error *err)
{
    return word_counts_add_word(arg, text, len, 1, err);
}

enum status word_counts_add_text(struct word_counts *counts, const struct tokenizer *blank, unsigned flags,
                                 const char *text, size_t len, struct error *err)
{
    return each_word(blank, flags & TOKENIZER_CONTINUES, text, len, count_word, counts, err);
}
