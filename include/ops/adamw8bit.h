/* SPDX-License-Identifier: MIT
 * ops/adamw8bit.h - AdamW whose two moments are stored in a byte an element.
 *
 * Block-wise dynamic quantization (Dettmers et al., "8-bit optimizers via block-wise quantization", arXiv 2110.02861): a block
 * of ADAMW8BIT_BLOCK elements of one parameter keeps the largest magnitude of its moment as a f32 scale, and each
 * element as the number of the nearest value, relative to the scale, in a fixed list.  The list has seven decades, the
 * largest with the most values: from 10^(k-7) to 10^(k-6), k = 0 … 6, the middles of 2^k equal parts (of 2^(k+1) where there is no
 * sign), and beside them 0 and 1.  A value half way between two goes to the smaller.
 *
 * One departure: a second moment that is not zero is never stored as zero, but as the smallest value above it; for a
 * first moment over the root of nothing would be a step of any size.
 *
 * The step itself is ops/adamw.h's, in f32.  Serial functions, any thread on distinct blocks; nothing here allocates or
 * fails.  The result depends on where blocks begin, and on nothing else.
 */
#ifndef OPS_ADAMW8BIT_H
#define OPS_ADAMW8BIT_H

#include "ops/adamw.h"

#include <stddef.h>
#include <stdint.h>

enum { ADAMW8BIT_BLOCK = 256, ADAMW8BIT_BUCKETS = 24 * 128 + 1 };

/* Magnitudes relative to the scale, ascending from 0 to 1, and how one is found: a bucket of an exponent and seven bits of
 * mantissa has at most one edge between neighbours, so the bucket's first number and one comparison give the number. */
struct magnitudes {
    int count; /* 129 or 256 */
    float value[256], edge[256];
    uint8_t first[ADAMW8BIT_BUCKETS];
};

/* The two lists.  Code c of a first moment is 127 + number, or 127 - number for a negative one (1 has no negative); that of a
 * second moment is the number. */
struct adamw8bit_codes {
    struct magnitudes with_sign, without_sign;
};
void adamw8bit_codes_make(struct adamw8bit_codes *codes);

/* One moment of n elements: codes [n] and scales [ceil(n / ADAMW8BIT_BLOCK)].  Zero: code 127 where there is a sign, else 0; a scale
 * of 0 makes every code zero, so memory of zero bytes is a moment of zero. */
struct moment8 {
    uint8_t *code;
    float *scale;
};

/* x [n] from a moment, and back, n at most ADAMW8BIT_BLOCK: the elements of one block, from its begin. */
void adamw8bit_decode_first(float *x, const uint8_t *code, float scale, size_t n, const struct adamw8bit_codes *codes);
void adamw8bit_decode_second(float *x, const uint8_t *code, float scale, size_t n, const struct adamw8bit_codes *codes);
void adamw8bit_encode_first(uint8_t *code, float *scale, const float *x, size_t n, const struct adamw8bit_codes *codes);
void adamw8bit_encode_second(uint8_t *code, float *scale, const float *x, size_t n,
                             const struct adamw8bit_codes *codes);

/* Updates w [n] and its moments from g [n], block by block; w[0] begins a block.  Moves 16 bytes an element. */
void adamw8bit_update(float *w, struct moment8 first, struct moment8 second, const float *g, size_t n,
                      const struct adamw *a, const struct adamw8bit_codes *codes);

#endif
