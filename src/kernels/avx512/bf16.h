/* SPDX-License-Identifier: MIT
 * bf16.h (AVX-512) - bf16 without bf16 units: a pair is two multiply-adds on widened halves.  See portable/bf16.h for
 * what each function means.
 */
#include "bf16_moves.h"

#define BF16_MR 12
#define BF16_NV 2

SIMD vf vp_dot(vf acc, vp a, vp b)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    acc = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(a, high)),
                          _mm512_castsi512_ps(_mm512_and_si512(b, high)), acc);
    return _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)),
                           _mm512_castsi512_ps(_mm512_slli_epi32(b, 16)), acc);
}
