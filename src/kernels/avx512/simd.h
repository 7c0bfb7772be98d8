/* SPDX-License-Identifier: MIT
 * simd.h (AVX-512) - the vector of 16 lanes that src/kernels/common is written in.  See portable/simd.h for what each
 * function means.
 */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define GEMM_MR 12
#define GEMM_NV 2

typedef __m512 vf;
typedef struct {
    __m512d lo, hi;
} vd;
typedef __m512i vq;

#ifdef SIMD_CALLS /* sanitizer builds: inlined, the checks of 16 lanes at a time take the compiler many minutes */
#define SIMD static __attribute__((unused))
#else
#define SIMD static inline __attribute__((always_inline))
#endif

SIMD __mmask16 tail_mask(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1);
}
SIMD vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SIMD void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
SIMD vf vf_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(tail_mask(n), p);
}
SIMD void vf_store_n(float *p, vf a, size_t n)
{
    _mm512_mask_storeu_ps(p, tail_mask(n), a);
}
SIMD vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
SIMD vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
SIMD vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
SIMD vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
SIMD vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
SIMD vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
SIMD vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
SIMD void vf_accumulate(vf *acc, vf x, vf y)
{
    *acc = vf_fma(x, y, *acc);
}
SIMD vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
SIMD vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
SIMD vf vf_first_n(vf a, size_t n)
{
    return _mm512_maskz_mov_ps(tail_mask(n), a);
}
SIMD vf vf_pow2(vf shifted)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
}
SIMD vf vf_keep_ge(const uint32_t *random, uint32_t threshold, vf a)
{
    __mmask16 keep = _mm512_cmpge_epu32_mask(_mm512_loadu_si512(random), _mm512_set1_epi32((int)threshold));
    return _mm512_maskz_mov_ps(keep, a);
}
SIMD vf vf_keep_nonzero(vf mask, vf a)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(mask, _mm512_setzero_ps(), _CMP_NEQ_UQ), a);
}
SIMD vq vq_set1(uint32_t x)
{
    return _mm512_set1_epi64((int64_t)x);
}
SIMD vq vq_count(uint32_t first)
{
    return _mm512_add_epi32(vq_set1(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}
SIMD vq vq_mul(vq a, vq b)
{
    return _mm512_mul_epu32(a, b);
}
SIMD vq vq_high(vq a)
{
    return _mm512_srli_epi64(a, 32);
}
SIMD vq vq_xor(vq a, vq b)
{
    return _mm512_xor_si512(a, b);
}
SIMD void vq_store(uint32_t *p, vq a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi64_epi32(a));
}
SIMD float vf_sum(vf a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
SIMD float vf_greatest(vf a)
{
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
SIMD vd vd_zero(void)
{
    return (vd){_mm512_setzero_pd(), _mm512_setzero_pd()};
}
SIMD vd vd_add_square(vd acc, vf x)
{
    __m512d lo = _mm512_cvtps_pd(_mm512_castps512_ps256(x)), hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return (vd){_mm512_add_pd(acc.lo, _mm512_mul_pd(lo, lo)), _mm512_add_pd(acc.hi, _mm512_mul_pd(hi, hi))};
}
SIMD double vd_sum(vd a)
{
    __m512d s = _mm512_add_pd(a.lo, a.hi);
    __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
SIMD void transpose16(float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row)
{
    __m512 r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        r[i] = _mm512_loadu_ps(src + i * src_row);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) { /* pairs of floats */
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { /* quadruples */
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) { /* r[4g+i] holds column 4q+i of rows 4g … 4g+3 in its quarter q */
        __m512 a = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88), b = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        __m512 c = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd), d = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
        _mm512_storeu_ps(dst + i * dst_row, _mm512_shuffle_f32x4(a, b, 0x88));
        _mm512_storeu_ps(dst + (i + 4) * dst_row, _mm512_shuffle_f32x4(c, d, 0x88));
        _mm512_storeu_ps(dst + (i + 8) * dst_row, _mm512_shuffle_f32x4(a, b, 0xdd));
        _mm512_storeu_ps(dst + (i + 12) * dst_row, _mm512_shuffle_f32x4(c, d, 0xdd));
    }
}
/* Each store of 16 leaves four floats to the next one; the last is cut. */
SIMD void transpose_mr(float *dst, const float *src, ptrdiff_t src_row)
{
    float from[16 * 16], to[16 * 16];
    for (int i = 0; i < 16; i++)
        vf_store(from + 16 * i, i < GEMM_MR ? vf_load(src + i * src_row) : vf_set1(0));
    transpose16(to, 16, from, 16);
    for (int i = 0; i < 15; i++)
        vf_store(dst + i * GEMM_MR, vf_load(to + 16 * i));
    vf_store_n(dst + 15 * GEMM_MR, vf_load(to + 16 * 15), GEMM_MR);
}
