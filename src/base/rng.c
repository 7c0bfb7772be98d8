/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include "base/check.h"
#include "base/detmath.h"

#include <math.h>
#include <string.h>

uint64_t rng_key(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b)
{
    struct rng_block block = philox4x32(seed, a, (uint64_t)stream);
    uint64_t key = (uint64_t)block.word[1] << 32 | block.word[0];
    block = philox4x32(key, b, ~(uint64_t)stream);
    return (uint64_t)block.word[3] << 32 | block.word[2];
}

double rng_uniform(const struct rng_block *block, int i)
{
    uint64_t bits = (uint64_t)block->word[2 * i + 1] << 32 | block->word[2 * i];
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

/* Box and Muller (1958), cosine branch, in double: two uniforms of one block make one normal. */
double rng_normal(uint64_t key, uint64_t index)
{
    struct rng_block block = philox4x32(key, 0, index);
    double radius = sqrt(-2 * det_log(rng_uniform(&block, 0)));
    return radius * det_cospi(2 * rng_uniform(&block, 1));
}

/* A balanced Feistel network over 2h bits, the smallest with 4^h >= n; values outside 0 … n-1 are walked on
 * (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).  Expected number of walks: below 4. */
uint64_t rng_permute(uint64_t key, uint64_t n, uint64_t index)
{
    CHECK(index < n);
    unsigned half = 1;
    while (half < 32 && (uint64_t)1 << (2 * half) < n)
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t x = index;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < 6; round++) {
            struct rng_block f = philox4x32(key, round, right);
            uint64_t next = left ^ (((uint64_t)f.word[1] << 32 | f.word[0]) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}
