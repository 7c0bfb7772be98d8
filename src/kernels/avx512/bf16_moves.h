/* SPDX-License-Identifier: MIT
 * bf16_moves.h (AVX-512) - pairs of bf16 in 512-bit registers: everything of bf16.h but the product, for the levels from
 * AVX-512 up.
 */
#include "base/float16.h"

typedef __m512i vp;

/* Round to nearest, denormals to zero on both sides, exceptions masked: what the bf16 instructions do by themselves. */
typedef unsigned bf16_environment;
SIMD bf16_environment bf16_environment_enter(void)
{
    const unsigned old = _mm_getcsr();
    _mm_setcsr(0x1f80 | _MM_FLUSH_ZERO_ON | 0x40);
    return old;
}
SIMD void bf16_environment_leave(bf16_environment old)
{
    _mm_setcsr(old);
}

SIMD vp vp_load(const bf16 *p)
{
    return _mm512_loadu_si512(p);
}
SIMD void vp_store(bf16 *p, vp a)
{
    _mm512_storeu_si512(p, a);
}
SIMD void vp_store_n(bf16 *p, vp a, size_t n)
{
    _mm512_mask_storeu_epi32(p, tail_mask(n), a);
}
SIMD vp vp_set1(const bf16 *pair)
{
    int bits;
    __builtin_memcpy(&bits, pair, sizeof bits);
    return _mm512_set1_epi32(bits);
}
SIMD vf vf_add_flushed(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
SIMD __m512i widen_16(const bf16 *p, __mmask16 m)
{
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p));
}
SIMD __m512i rounded_16(__m512 x) /* bf16_of_f32 in the low half of each lane */
{
    const __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), even);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_srli_epi32(
        _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000)), 16);
}
SIMD vp vp_pair_bf16(const bf16 *even, const bf16 *odd, size_t n)
{
    const __mmask16 m = tail_mask(n);
    return _mm512_or_si512(widen_16(even, m), _mm512_slli_epi32(widen_16(odd, m), 16));
}
SIMD vp vp_pair_f32(const float *even, const float *odd, size_t n)
{
    return _mm512_or_si512(rounded_16(vf_load_n(even, n)), _mm512_slli_epi32(rounded_16(vf_load_n(odd, n)), 16));
}
SIMD void vf_store_bf16(bf16 *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(rounded_16(a)));
}
SIMD vf vf_load_bf16(const bf16 *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
