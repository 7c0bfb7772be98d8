/* SPDX-License-Identifier: MIT
 * philox_internal.h - base/rng.h's random numbers, eight blocks side by side.
 */
#ifndef KERNELS_COMMON_PHILOX_INTERNAL_H
#define KERNELS_COMMON_PHILOX_INTERNAL_H

#include "kernels_internal.h"

/* Blocks first … first+7 of base/rng.h's philox4x32, side by side: word w of block first+j to words[16*w + j].  first is
 * a multiple of 8, so counting carries nothing upward. */
SIMD void philox8(uint32_t *words, uint64_t key, uint64_t row, uint64_t first)
{
    vq c0 = vq_count((uint32_t)first), c1 = vq_set1((uint32_t)(first >> 32));
    vq c2 = vq_set1((uint32_t)row), c3 = vq_set1((uint32_t)(row >> 32));
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const vq p0 = vq_mul(c0, vq_set1(0xD2511F53u)), p1 = vq_mul(c2, vq_set1(0xCD9E8D57u));
        c0 = vq_xor(vq_high(p1), vq_xor(c1, vq_set1(k0)));
        c2 = vq_xor(vq_high(p0), vq_xor(c3, vq_set1(k1)));
        c1 = p1;
        c3 = p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    vq_store(words, c0);
    vq_store(words + 16, c1);
    vq_store(words + 32, c2);
    vq_store(words + 48, c3);
}

#endif
