/* SPDX-License-Identifier: MIT */
#include "tokenizer/unicode_internal.h"

#include "base/check.h"

#include <string.h>

#include "tokenizer/unicode_ranges.h"

enum { NUM_RANGES = sizeof UNICODE_RANGES / sizeof *UNICODE_RANGES, FLAG_BITS = 5 };

/* Where range number i begins; the last one ends with Unicode. */
static uint32_t range_begin(size_t i)
{
    return i < NUM_RANGES ? UNICODE_RANGES[i] >> FLAG_BITS : UNICODE_BLOCKS * UNICODE_BLOCK;
}

void unicode_init(struct unicode *unicode)
{
    static const unsigned flag_mask = (1u << FLAG_BITS) - 1;
    uint16_t even[1u << FLAG_BITS] = {0}; /* one more than the block all of whose characters have these flags; 0: none yet */
    size_t range = 0;
    unicode->num_distinct = 0;
    for (uint32_t b = 0, beyond; b < UNICODE_BLOCKS; b = beyond) {
        uint32_t at = b * UNICODE_BLOCK;
        while (range_begin(range + 1) <= at)
            range++;
        /* Most of the 8704 blocks lie in one range, long stretches of them in the same; of the others no two need be
         * the same. */
        const uint32_t whole = range_begin(range + 1) / UNICODE_BLOCK;
        uint16_t *known = whole > b ? &even[UNICODE_RANGES[range] & flag_mask] : NULL;
        beyond = known ? whole : b + 1;
        if (!known || !*known) {
            CHECK(unicode->num_distinct < UNICODE_MAX_DISTINCT);
            uint8_t *flags = unicode->flags[unicode->num_distinct++];
            const uint32_t end = at + UNICODE_BLOCK;
            while (at < end) {
                const uint32_t next = range_begin(range + 1) < end ? range_begin(range + 1) : end;
                memset(flags + at % UNICODE_BLOCK, (int)(UNICODE_RANGES[range] & flag_mask), next - at);
                at = next;
                if (at < end)
                    range++;
            }
            if (known)
                *known = unicode->num_distinct;
        }
        const uint16_t block = (uint16_t)((known ? *known : unicode->num_distinct) - 1);
        for (uint32_t i = b; i < beyond; i++)
            unicode->block[i] = block;
    }
}

unsigned unicode_previous(const struct unicode *unicode, const char *text, size_t len, size_t *n)
{
    size_t back = 1;
    while (back < 4 && back < len && ((unsigned char)text[len - back] & 0xC0) == 0x80)
        back++;
    const unsigned flags = unicode_next(unicode, text + len - back, back, n);
    if (*n == back)
        return flags;
    *n = 1;
    return 0;
}
