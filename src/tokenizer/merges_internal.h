/* SPDX-License-Identifier: MIT
 * tokenizer/merges_internal.h - the rules of byte-pair encoding, and a word merged by them.
 *
 * Of all pairs of neighbours that a rule joins, the one of lowest rank is joined first, the leftmost of equals, until no
 * rule applies (Sennrich, Haddow and Birch 2016, arXiv:1508.07909).  Short words are scanned for the lowest rank again
 * and again; long ones keep their pairs in a heap, so that n symbols take O(n log n).  The table is immutable once
 * filled; merging works on the caller's memory: any thread.
 */
#ifndef TOKENIZER_MERGES_INTERNAL_H
#define TOKENIZER_MERGES_INTERNAL_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct merge_slot {
    int32_t left, right; /* left -1: free */
    uint32_t rank;
    int32_t id; /* what the two become */
};

struct merges {
    struct merge_slot *slots;
    size_t mask, count;
};

/* Room for `count` rules. */
enum status merges_init(struct merges *merges, size_t count, struct error *err);
void merges_release(struct merges *merges);

/* Of two rules for the same pair the later one counts, as in the reference. */
void merges_add(struct merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t id);

static inline const struct merge_slot *merges_find(const struct merges *merges, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    for (size_t i = (h ^ h >> 29) >> 15 & merges->mask;; i = (i + 1) & merges->mask) {
        const struct merge_slot *slot = &merges->slots[i];
        if (slot->left == left && slot->right == right)
            return slot;
        if (slot->left < 0)
            return NULL;
    }
}

/* Merges ids[0 … n) in place and returns how many are left in *n.  STATUS_NOMEM: long words need memory of their own. */
enum status merges_apply(const struct merges *merges, int32_t *ids, size_t *n, struct error *err);

#endif
