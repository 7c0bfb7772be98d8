/* SPDX-License-Identifier: MIT
 * bf16.h (AVX2) - bf16 as two multiply-adds on widened halves.  See portable/bf16.h for what each function means.
 */
#include "base/float16.h"

#define BF16_MR 4
#define BF16_NV 1

typedef struct {
    __m256i lo, hi;
} vp;

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
    return (vp){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 16))};
}
SIMD void vp_store(bf16 *p, vp a)
{
    _mm256_storeu_si256((__m256i *)p, a.lo);
    _mm256_storeu_si256((__m256i *)(p + 16), a.hi);
}
SIMD void vp_store_n(bf16 *p, vp a, size_t n)
{
    bf16 all[32];
    vp_store(all, a);
    __builtin_memcpy(p, all, (n < 16 ? n : 16) * 2 * sizeof(bf16));
}
SIMD vp vp_set1(const bf16 *pair)
{
    int bits;
    __builtin_memcpy(&bits, pair, sizeof bits);
    return (vp){_mm256_set1_epi32(bits), _mm256_set1_epi32(bits)};
}
SIMD __m256 odd_half(__m256i x)
{
    return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000u)));
}
SIMD __m256 even_half(__m256i x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}
SIMD vf vp_dot(vf acc, vp a, vp b)
{
    acc.a = _mm256_fmadd_ps(odd_half(a.lo), odd_half(b.lo), acc.a);
    acc.b = _mm256_fmadd_ps(odd_half(a.hi), odd_half(b.hi), acc.b);
    acc.a = _mm256_fmadd_ps(even_half(a.lo), even_half(b.lo), acc.a);
    acc.b = _mm256_fmadd_ps(even_half(a.hi), even_half(b.hi), acc.b);
    return acc;
}
SIMD vf vf_add_flushed(vf a, vf b)
{
    return vf_add(a, b);
}
SIMD __m256i rounded_8(__m256 x) /* bf16_of_f32 in the low half of each lane */
{
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), even);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    return _mm256_srli_epi32(
        _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(up), _mm256_castsi256_ps(quiet), nan)), 16);
}
SIMD vp vp_pair_bf16(const bf16 *even, const bf16 *odd, size_t n)
{
    bf16 e[16] = {0}, o[16] = {0};
    if (n < 16) {
        __builtin_memcpy(e, even, n * sizeof *e);
        __builtin_memcpy(o, odd, n * sizeof *o);
        even = e;
        odd = o;
    }
    const __m128i *pe = (const __m128i *)even, *po = (const __m128i *)odd;
    return (vp){_mm256_or_si256(_mm256_cvtepu16_epi32(_mm_loadu_si128(pe)),
                                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(po)), 16)),
                _mm256_or_si256(_mm256_cvtepu16_epi32(_mm_loadu_si128(pe + 1)),
                                _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(po + 1)), 16))};
}
SIMD vp vp_pair_f32(const float *even, const float *odd, size_t n)
{
    const vf e = vf_load_n(even, n), o = vf_load_n(odd, n);
    return (vp){_mm256_or_si256(rounded_8(e.a), _mm256_slli_epi32(rounded_8(o.a), 16)),
                _mm256_or_si256(rounded_8(e.b), _mm256_slli_epi32(rounded_8(o.b), 16))};
}
SIMD void vf_store_bf16(bf16 *p, vf a)
{
    const __m256i both = _mm256_packus_epi32(rounded_8(a.a), rounded_8(a.b)); /* quarters 0 2 1 3 */
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(both, 0xd8));
}
SIMD vf vf_load_bf16(const bf16 *p)
{
    const __m128i *at = (const __m128i *)p;
    return (vf){_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(at)), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(at + 1)), 16))};
}
