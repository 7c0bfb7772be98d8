/* SPDX-License-Identifier: MIT
 * base/rng.h - random numbers as a pure function of (key, counter).
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11).  There is no
 * state, so any thread may ask for any number in any order and a run resumes without remembering anything.
 * Who draws what is written in docs/numerics.md: a key is (seed, stream), a counter is a global index.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng_block {
    uint32_t word[4];
};

/* What the numbers are for; a part of every key, so that two uses never share numbers. */
enum rng_stream {
    RNG_INIT = 1,    /* initial weights: counter = (parameter, element) */
    RNG_DROPOUT = 2, /* dropout masks */
    RNG_SHUFFLE = 3, /* order of the windows */
    RNG_SAMPLE = 4,  /* generation: counter = (sequence, position) */
    RNG_CORPUS = 5,  /* generated corpora */
    RNG_TEST = 6
};

/* The block of four numbers for 64-bit key and 128-bit counter (hi, lo). */
static inline struct rng_block philox4x32(uint64_t key, uint64_t hi, uint64_t lo)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)lo, c1 = (uint32_t)(lo >> 32), c2 = (uint32_t)hi, c3 = (uint32_t)(hi >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (struct rng_block){{c0, c1, c2, c3}};
}

/* A key for a stream and up to two further coordinates (step, layer, epoch …), well mixed. */
uint64_t rng_key(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b);

/* Uniform in (0,1), 53 bits; never 0, never 1.  Uses words 2i and 2i+1 of the block. */
double rng_uniform(const struct rng_block *block, int i);

/* Standard normal number `index` of the key (Box-Muller, one block per number). */
double rng_normal(uint64_t key, uint64_t index);

/* The `index`-th member (index < n) of a random permutation of 0 … n-1, n ≥ 1: a Feistel network with
 * cycle walking, so any position can be computed without a table. */
uint64_t rng_permute(uint64_t key, uint64_t n, uint64_t index);

#endif
