/* SPDX-License-Identifier: MIT
 * simd.h (AVX2 and FMA) - the vector of 16 lanes as two of 8.  See portable/simd.h for what each function means.
 */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define GEMM_MR 6
#define GEMM_NV 1

typedef struct {
    __m256 a, b;
} vf;
typedef struct {
    __m256d v[4];
} vd;
typedef struct {
    __m256i even, odd; /* words 0 2 4 6 and 1 3 5 7 */
} vq;

#ifdef SIMD_CALLS /* sanitizer builds: inlined, the checks of 16 lanes at a time take the compiler many minutes */
#define SIMD static __attribute__((unused))
#else
#define SIMD static inline __attribute__((always_inline))
#endif
#define EACH(x, y) ((vf){x, y})

SIMD __m256i tail_mask(size_t n, int first)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n > 16 ? 16 : n) - first), lane);
}
SIMD vf vf_load(const float *p)
{
    return EACH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
SIMD void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
/* Nearly all vectors of a row are whole: a branch costs less than masks, and a masked store is microcode on AMD's. */
SIMD vf vf_load_n(const float *p, size_t n)
{
    if (n >= 16)
        return vf_load(p);
    return EACH(_mm256_maskload_ps(p, tail_mask(n, 0)), _mm256_maskload_ps(p + 8, tail_mask(n, 8)));
}
SIMD void vf_store_n(float *p, vf x, size_t n)
{
    if (n >= 16) {
        vf_store(p, x);
        return;
    }
    _mm256_maskstore_ps(p, tail_mask(n, 0), x.a);
    _mm256_maskstore_ps(p + 8, tail_mask(n, 8), x.b);
}
SIMD vf vf_set1(float x)
{
    __m256 v = _mm256_set1_ps(x);
    return EACH(v, v);
}
SIMD vf vf_add(vf x, vf y)
{
    return EACH(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b));
}
SIMD vf vf_sub(vf x, vf y)
{
    return EACH(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b));
}
SIMD vf vf_mul(vf x, vf y)
{
    return EACH(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b));
}
SIMD vf vf_div(vf x, vf y)
{
    return EACH(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b));
}
SIMD vf vf_sqrt(vf x)
{
    return EACH(_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b));
}
SIMD vf vf_fma(vf x, vf y, vf z)
{
    return EACH(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
/* In the form that keeps the sum in its register: gcc takes the others, and then has to move and spill. */
SIMD void vf_accumulate(vf *acc, vf x, vf y)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc->a) : "x"(x.a), "x"(y.a));
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(acc->b) : "x"(x.b), "x"(y.b));
}
SIMD vf vf_max(vf x, vf y)
{
    return EACH(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b));
}
SIMD vf vf_min(vf x, vf y)
{
    return EACH(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b));
}
SIMD vf vf_first_n(vf x, size_t n)
{
    if (n >= 16)
        return x;
    return EACH(_mm256_and_ps(x.a, _mm256_castsi256_ps(tail_mask(n, 0))),
                _mm256_and_ps(x.b, _mm256_castsi256_ps(tail_mask(n, 8))));
}
SIMD vf vf_pow2(vf x)
{
    return EACH(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x.a), 23)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x.b), 23)));
}
SIMD __m256 keep8(const uint32_t *random, uint32_t threshold, __m256 x)
{
    __m256i r = _mm256_loadu_si256((const __m256i *)random), t = _mm256_set1_epi32((int)threshold);
    return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_max_epu32(r, t), r)));
}
SIMD vf vf_keep_ge(const uint32_t *random, uint32_t threshold, vf x)
{
    return EACH(keep8(random, threshold, x.a), keep8(random + 8, threshold, x.b));
}
SIMD vf vf_keep_nonzero(vf mask, vf x)
{
    const __m256 zero = _mm256_setzero_ps();
    return EACH(_mm256_and_ps(x.a, _mm256_cmp_ps(mask.a, zero, _CMP_NEQ_UQ)),
                _mm256_and_ps(x.b, _mm256_cmp_ps(mask.b, zero, _CMP_NEQ_UQ)));
}
SIMD vq vq_set1(uint32_t x)
{
    const __m256i v = _mm256_set1_epi64x((int64_t)x);
    return (vq){v, v};
}
SIMD vq vq_count(uint32_t first)
{
    const __m256i from = _mm256_set1_epi64x((int64_t)first);
    return (vq){_mm256_add_epi32(from, _mm256_setr_epi64x(0, 2, 4, 6)),
                _mm256_add_epi32(from, _mm256_setr_epi64x(1, 3, 5, 7))};
}
SIMD vq vq_mul(vq x, vq y)
{
    return (vq){_mm256_mul_epu32(x.even, y.even), _mm256_mul_epu32(x.odd, y.odd)};
}
SIMD vq vq_high(vq x)
{
    return (vq){_mm256_srli_epi64(x.even, 32), _mm256_srli_epi64(x.odd, 32)};
}
SIMD vq vq_xor(vq x, vq y)
{
    return (vq){_mm256_xor_si256(x.even, y.even), _mm256_xor_si256(x.odd, y.odd)};
}
SIMD void vq_store(uint32_t *p, vq x)
{
    _mm256_storeu_si256((__m256i *)p, _mm256_blend_epi32(x.even, _mm256_slli_epi64(x.odd, 32), 0xaa));
}
SIMD float vf_sum(vf x)
{
    __m256 h = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
SIMD float vf_greatest(vf x)
{
    __m256 h = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
SIMD vd vd_zero(void)
{
    __m256d z = _mm256_setzero_pd();
    return (vd){{z, z, z, z}};
}
SIMD vd vd_add_square(vd acc, vf x)
{
    __m128 part[4] = {_mm256_castps256_ps128(x.a), _mm256_extractf128_ps(x.a, 1), _mm256_castps256_ps128(x.b),
                      _mm256_extractf128_ps(x.b, 1)};
    for (int i = 0; i < 4; i++) {
        __m256d d = _mm256_cvtps_pd(part[i]);
        acc.v[i] = _mm256_add_pd(acc.v[i], _mm256_mul_pd(d, d));
    }
    return acc;
}
SIMD double vd_sum(vd x)
{
    __m256d h = _mm256_add_pd(_mm256_add_pd(x.v[0], x.v[2]), _mm256_add_pd(x.v[1], x.v[3]));
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
SIMD void transpose8(float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row)
{
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(src + i * src_row);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(dst + i * dst_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(dst + (i + 4) * dst_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
/* Each store of 8 leaves two floats to the next one; the last is cut. */
SIMD void transpose_mr(float *dst, const float *src, ptrdiff_t src_row)
{
    for (int half = 0; half < 2; half++, src += 8, dst += 8 * GEMM_MR) {
        __m256 r[8], t[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            r[i] = i < GEMM_MR ? _mm256_loadu_ps(src + i * src_row) : _mm256_setzero_ps();
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2) {
            t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
#pragma GCC unroll 2
        for (int i = 0; i < 8; i += 4) {
            r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
            r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
            r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
            r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            _mm256_storeu_ps(dst + i * GEMM_MR, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m256 row = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
            if (i < 3)
                _mm256_storeu_ps(dst + (i + 4) * GEMM_MR, row);
            else
                _mm256_maskstore_ps(dst + (i + 4) * GEMM_MR, tail_mask(GEMM_MR, 0), row);
        }
    }
}
SIMD void transpose16(float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row)
{
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 16; j += 8)
            transpose8(dst + i * dst_row + j, dst_row, src + j * src_row + i, src_row);
}
