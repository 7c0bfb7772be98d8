/* SPDX-License-Identifier: MIT
 * kernels/kernels_bf16.h - products of bf16 operands summed in f32, and what brings operands into their layouts.
 *
 * One output element is one chain of f32 sums over k, in one of two orders.  Both take k in pairs (2q, 2q+1), an odd k
 * counts with a zero behind it, denormals count as zeros at every input and become zeros at every result, and rounding
 * is to nearest even whatever MXCSR says: what the bf16 instructions do.
 *
 *   BF16_PAIRS   s = fma(a[2q+1], b[2q+1], s), then s = fma(a[2q], b[2q], s), for q = 0, 1, 2 …
 *                VDPBF16PS does this in one instruction; portable, avx2 and avx512 do it in two multiply-adds.
 *   BF16_TILES   k in blocks of 32, the last filled up with zeros; in each, e and o are the sums of the even and of the odd
 *                products, each a chain of fused multiply-adds from 0 in index order; then s = s + (e + o).  TDPBF16PS.
 *
 * (Intel SDM volume 2, the operation sections of the two instructions.)  So all levels but amx give the same bits,
 * and within a level neither tiles nor blocks nor who computes what reach the result.  A NaN is a NaN everywhere; which
 * one is not promised.  Kernels cannot fail, allocate nothing and know no threads; safe from any thread on distinct
 * outputs; no alignment is required.  docs/kernels.md has error bounds, blocking and measurements.
 */
#ifndef KERNELS_KERNELS_BF16_H
#define KERNELS_KERNELS_BF16_H

#include "base/float16.h"
#include "base/status.h"
#include "topology/isa.h"

#include <stddef.h>

enum bf16_order { BF16_PAIRS, BF16_TILES };

/* The blocks that sums are made in, k by DEPTH; partial sums of ROWS x COLS elements rest in g->sum. */
enum { GEMM_BF16_DEPTH = 1024, GEMM_BF16_ROWS = 192, GEMM_BF16_COLS = 256 };
#define GEMM_BF16_SUM_BYTES (GEMM_BF16_ROWS * GEMM_BF16_COLS * sizeof(float))

/* C [m,n] = (add +) (init + A [m,k] · B [k,n]), k >= 1; the chain starts at init, add is one f32 addition at the end.
 * Strides in elements.  C must not overlap A, B or sum; init and add may be c. */
struct gemm_bf16 {
    size_t m, n, k;
    const bf16 *a;      /* rows as they lie, element (i,p) at a[i*a_row + p]; a_row 0: panels as pack_a_bf16 wrote them */
    size_t a_row, a_panel;
    const bf16 *b;      /* panels as pack_b_* wrote them */
    size_t b_panel;
    const float *init;  /* NULL: 0; init_row 0: one row for all (a bias) */
    size_t init_row;
    const float *add;   /* NULL: nothing */
    size_t add_row;
    float *c;           /* f32 result, or NULL */
    size_t c_row;
    bf16 *c16;          /* the same rounded to bf16, or NULL */
    size_t c16_row;
    float *sum;         /* scratch of GEMM_BF16_SUM_BYTES */
};

/* A level's layouts.  Panels of A have mr rows and panels of B nr columns; k is filled up to a multiple of kr with zeros, so
 * a panel takes at least mr (nr) times bf16_padded(k, kr) elements; `panel` is the distance of one to the next.
 * A block of k that begins at a multiple of kr begins at k*mr (k*nr) in each panel, and may be packed by itself.
 *
 * pack_a_bf16   A from its transpose: element (i,p) at src[p*row + i].  (An A with its k side by side needs no packing.)
 * pack_b_bf16   B from element (p,j) at src[p*row + j*col]; one of row and col is 1
 * pack_b_f32    the same from f32, rounded to nearest even
 * round_bf16    dst = src rounded to nearest even; base/float16.h's bf16_of_f32, bit for bit
 * widen_bf16    dst = src, exactly
 *
 * and for measurements of the machine, each with result [16] as an operand and for the outcome:
 * peak_f32, peak_bf16   `rounds` rounds of products on registers alone; returns their multiplications and additions
 * read_f32      the largest numbers of x [n]: reads it once, n a multiple of 128
 *
 * The packed layouts are the level's own: never written to a file, never read by another level. */
struct kernels_bf16 {
    enum isa isa;
    enum bf16_order order;
    size_t mr, nr, kr;
#define KERNEL(name, result, args) result(*name) args;
#include "kernels/kernels_bf16.def"
#undef KERNEL
};

static inline size_t bf16_padded(size_t k, size_t kr)
{
    return (k + kr - 1) / kr * kr;
}

/* The table in use, chosen with the f32 one (kernels_choose); and that of one ISA, NULL when it is not built in or this
 * CPU cannot run it. */
const struct kernels_bf16 *kernels_bf16_get(void);
const struct kernels_bf16 *kernels_bf16_of(enum isa isa);

#endif
