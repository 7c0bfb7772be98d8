/* SPDX-License-Identifier: MIT */
#include "tokenizer/unicode_internal.h"

#include "base/check.h"

#include <string.h>

#include "tokenizer/unicode_ranges.h"

enum { NUM_RANGES = sizeof UNICODE_RANGES / sizeof *UNICODE_RANGES, FLAG_BITS = 5 };

void unicode_init(struct unicode *unicode)
{
    size_t range = 0;
    unicode->num_distinct = 0;
    for (uint32_t b = 0; b < UNICODE_BLOCKS; b++) {
        uint8_t flags[UNICODE_BLOCK];
        for (uint32_t i = 0; i < UNICODE_BLOCK; i++) {
            while (range + 1 < NUM_RANGES && UNICODE_RANGES[range + 1] >> FLAG_BITS <= b * UNICODE_BLOCK + i)
                range++;
            flags[i] = UNICODE_RANGES[range] & ((1u << FLAG_BITS) - 1);
        }
        /* The search is short: most of the 8704 blocks are one of the last few met. */
        uint16_t found = unicode->num_distinct;
        while (found > 0 && memcmp(unicode->flags[found - 1], flags, sizeof flags) != 0)
            found--;
        if (found == 0) {
            CHECK(unicode->num_distinct < UNICODE_MAX_DISTINCT);
            memcpy(unicode->flags[unicode->num_distinct++], flags, sizeof flags);
            found = unicode->num_distinct;
        }
        unicode->block[b] = (uint16_t)(found - 1);
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
