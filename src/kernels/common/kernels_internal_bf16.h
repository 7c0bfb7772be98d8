/* SPDX-License-Identifier: MIT
 * kernels_internal_bf16.h - what the bf16 sources of all levels share.  The level's simd.h and bf16.h are included before
 * everything else by the compiler's command line, together with -DISA=<folder>.
 */
#ifndef KERNELS_COMMON_KERNELS_INTERNAL_BF16_H
#define KERNELS_COMMON_KERNELS_INTERNAL_BF16_H

#include "kernels/kernels_bf16.h"

#include <stdbool.h>
#include <string.h>

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
#define K(name) PASTE(name, ISA)

#define KERNEL(name, result, args) result K(name) args;
#include "kernels/kernels_bf16.def"
#undef KERNEL

/* Elements left of n from position `from` on: 0 when none. */
SIMD size_t left(size_t n, size_t from)
{
    return n > from ? n - from : 0;
}

/* k in even blocks of at most `most`, a multiple of 32 each but the last. */
SIMD size_t block_depth(size_t k, size_t most)
{
    const size_t blocks = (k + most - 1) / most, each = blocks ? (k + blocks - 1) / blocks : most;
    return (each + 31) / 32 * 32;
}

/* m rows of k elements, with a zero behind an odd k. */
SIMD void copy_rows(bf16 *dst, size_t dst_row, const bf16 *src, size_t src_row, size_t m, size_t k)
{
    for (size_t i = 0; i < m; i++) {
        memcpy(dst + i * dst_row, src + i * src_row, k * sizeof(bf16));
        if (k % 2)
            dst[i * dst_row + k] = 0;
    }
}

SIMD void vf_store_bf16_n(bf16 *p, vf a, size_t n)
{
    bf16 all[16];
    if (n >= 16) {
        vf_store_bf16(p, a);
        return;
    }
    vf_store_bf16(all, a);
    memcpy(p, all, n * sizeof *p);
}

/* The end of up to 16 chains: n columns of row i from j. */
SIMD void finish_16(const struct gemm_bf16 *g, vf r, size_t i, size_t j, size_t n)
{
    if (n == 0)
        return;
    if (g->add) {
        const float *add = g->add + i * g->add_row + j;
        r = vf_add_flushed(n >= 16 ? vf_load(add) : vf_load_n(add, n), r);
    }
    if (g->c) {
        float *c = g->c + i * g->c_row + j;
        if (n >= 16)
            vf_store(c, r);
        else
            vf_store_n(c, r, n);
    }
    if (g->c16)
        vf_store_bf16_n(g->c16 + i * g->c16_row + j, r, n);
}

#endif
