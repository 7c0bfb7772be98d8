/* SPDX-License-Identifier: MIT
 * kernels_internal.h - what the sources of this folder share.  The ISA's simd.h is included before everything else by
 * the compiler's command line, together with -DISA=<folder>.
 */
#ifndef KERNELS_COMMON_KERNELS_INTERNAL_H
#define KERNELS_COMMON_KERNELS_INTERNAL_H

#include "kernels/kernels.h"

#include <math.h>

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
#define K(name) PASTE(name, ISA)

#define KERNEL(name, result, args) result K(name) args;
#include "kernels/kernels.def"
#undef KERNEL

/* Elements left of n from position `from` on: 0 when none. */
SIMD size_t left(size_t n, size_t from)
{
    return n > from ? n - from : 0;
}

/* exp(x) for -87.3 <= x <= 88, relative error below 1.2e-7; arguments outside count as the bound, NaN stays NaN.
 * x = n ln2 + r, exp(r) by its Taylor series to r^7 (next term below 5e-9), n added to the exponent. */
SIMD vf vf_exp(vf x)
{
    const float magic = 12582912.0f + 127; /* 1.5 * 2^23: the integer part lands in the low bits, biased by 127 */
    x = vf_max(vf_set1(-87.3f), vf_min(vf_set1(88.0f), x));
    vf t = vf_fma(x, vf_set1(0x1.715476p+0f), vf_set1(magic));
    vf n = vf_sub(t, vf_set1(magic));
    vf r = vf_fma(n, vf_set1(-0x1.62e400p-1f), x);   /* ln2 in two parts, the first with 15 bits: n*hi is exact */
    r = vf_fma(n, vf_set1(-0x1.7f7d1cp-20f), r);
    vf p = vf_set1(1.0f / 5040);
    p = vf_fma(p, r, vf_set1(1.0f / 720));
    p = vf_fma(p, r, vf_set1(1.0f / 120));
    p = vf_fma(p, r, vf_set1(1.0f / 24));
    p = vf_fma(p, r, vf_set1(1.0f / 6));
    p = vf_fma(p, r, vf_set1(0.5f));
    p = vf_fma(p, r, vf_set1(1.0f));
    p = vf_fma(p, r, vf_set1(1.0f));
    return vf_mul(p, vf_pow2(t));
}

#endif
