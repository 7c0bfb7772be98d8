/* SPDX-License-Identifier: MIT
 * bf16.h (AVX512_BF16) - a pair is one instruction.  See portable/bf16.h for what each function means.
 */
#include "kernels/avx512/bf16_moves.h"

#define BF16_MR 12
#define BF16_NV 2

SIMD vf vp_dot(vf acc, vp a, vp b)
{
    return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
