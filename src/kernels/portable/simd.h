/* SPDX-License-Identifier: MIT
 * simd.h (portable C) - the vector of 16 lanes that src/kernels/common is written in, and what each function means.
 *
 * Lanes are independent but for the sums.  vf_max(a,b) is a > b ? a : b, vf_min(a,b) is a < b ? a : b (so a NaN in
 * either gives b, as the x86 instructions do).  A fused multiply-add is rounded once: by the CPU's instruction where
 * the compiler says there is a fast one, else computed in double and rounded to odd first, which gives the same bits
 * (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GEMM_MR 4
#define GEMM_NV 1

typedef struct {
    float f[16];
} vf;
typedef struct {
    double d[16];
} vd;
typedef struct {
    uint64_t q[8];
} vq;

#ifdef SIMD_CALLS /* sanitizer builds: inlined, the checks of 16 lanes at a time take the compiler many minutes */
#define SIMD static __attribute__((unused))
#else
#define SIMD static inline __attribute__((always_inline))
#endif
#define LANES for (int i = 0; i < 16; i++)
#define EIGHT for (int i = 0; i < 8; i++)

#ifdef __FP_FAST_FMAF
#define fma_lane(a, b, c) __builtin_fmaf(a, b, c)
#else
SIMD float fma_lane(float a, float b, float c)
{
    double p = (double)a * b, s = p + c; /* p is exact */
    double t = s - p, e = (p - (s - t)) + (c - t); /* s + e is exact (Knuth) */
    uint64_t bits;
    memcpy(&bits, &s, sizeof bits);
    uint64_t inexact = (e < 0) | (e > 0), away = (e > 0) == (s > 0);
    bits += (inexact & ~bits & 1) * (2 * away - 1);
    memcpy(&s, &bits, sizeof s);
    return (float)s;
}
#endif

SIMD vf vf_load(const float *p)
{
    vf r;
    memcpy(r.f, p, sizeof r.f);
    return r;
}
SIMD void vf_store(float *p, vf a)
{
    memcpy(p, a.f, sizeof a.f);
}
SIMD vf vf_load_n(const float *p, size_t n) /* the first min(n,16) elements, the rest 0 */
{
    vf r = {{0}};
    memcpy(r.f, p, (n < 16 ? n : 16) * sizeof(float));
    return r;
}
SIMD void vf_store_n(float *p, vf a, size_t n)
{
    memcpy(p, a.f, (n < 16 ? n : 16) * sizeof(float));
}
SIMD vf vf_set1(float x)
{
    vf r;
    LANES r.f[i] = x;
    return r;
}
SIMD vf vf_add(vf a, vf b)
{
    LANES a.f[i] += b.f[i];
    return a;
}
SIMD vf vf_sub(vf a, vf b)
{
    LANES a.f[i] -= b.f[i];
    return a;
}
SIMD vf vf_mul(vf a, vf b)
{
    LANES a.f[i] *= b.f[i];
    return a;
}
SIMD vf vf_div(vf a, vf b)
{
    LANES a.f[i] /= b.f[i];
    return a;
}
SIMD vf vf_sqrt(vf a)
{
    LANES a.f[i] = sqrtf(a.f[i]);
    return a;
}
SIMD vf vf_fma(vf a, vf b, vf c) /* a*b + c, one rounding */
{
    LANES a.f[i] = fma_lane(a.f[i], b.f[i], c.f[i]);
    return a;
}
SIMD void vf_accumulate(vf *acc, vf x, vf y) /* acc = vf_fma(x, y, acc) */
{
    *acc = vf_fma(x, y, *acc);
}
SIMD vf vf_max(vf a, vf b)
{
    LANES a.f[i] = a.f[i] > b.f[i] ? a.f[i] : b.f[i];
    return a;
}
SIMD vf vf_min(vf a, vf b)
{
    LANES a.f[i] = a.f[i] < b.f[i] ? a.f[i] : b.f[i];
    return a;
}
SIMD vf vf_first_n(vf a, size_t n) /* lanes from n on become 0 */
{
    LANES a.f[i] = (size_t)i < n ? a.f[i] : 0;
    return a;
}
SIMD vf vf_pow2(vf shifted) /* the low bits of each lane, moved into the exponent field */
{
    LANES {
        uint32_t bits;
        memcpy(&bits, &shifted.f[i], sizeof bits);
        bits <<= 23;
        memcpy(&shifted.f[i], &bits, sizeof bits);
    }
    return shifted;
}
SIMD vf vf_keep_ge(const uint32_t *random, uint32_t threshold, vf a) /* lanes with random < threshold become 0 */
{
    LANES a.f[i] = random[i] >= threshold ? a.f[i] : 0;
    return a;
}
SIMD vf vf_keep_nonzero(vf mask, vf a) /* lanes whose mask is 0 become 0 */
{
    LANES a.f[i] = mask.f[i] < 0 || mask.f[i] > 0 || mask.f[i] != mask.f[i] ? a.f[i] : 0;
    return a;
}
/* vq: eight words of 32 bits, each in a place of 64 whose upper half is of no account but to vq_high. */
SIMD vq vq_set1(uint32_t x)
{
    vq r;
    EIGHT r.q[i] = x;
    return r;
}
SIMD vq vq_count(uint32_t first) /* first … first+7 */
{
    vq r;
    EIGHT r.q[i] = first + (uint32_t)i;
    return r;
}
SIMD vq vq_mul(vq a, vq b) /* all 64 bits of the words' products */
{
    EIGHT a.q[i] = (uint64_t)(uint32_t)a.q[i] * (uint32_t)b.q[i];
    return a;
}
SIMD vq vq_high(vq a) /* the upper halves */
{
    EIGHT a.q[i] >>= 32;
    return a;
}
SIMD vq vq_xor(vq a, vq b)
{
    EIGHT a.q[i] ^= b.q[i];
    return a;
}
SIMD void vq_store(uint32_t *p, vq a)
{
    EIGHT p[i] = (uint32_t)a.q[i];
}
SIMD float vf_sum(vf a) /* folded 8, 4, 2, 1 */
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++)
            a.f[i] += a.f[i + w];
    return a.f[0];
}
SIMD float vf_greatest(vf a) /* folded likewise, by vf_max */
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++)
            a.f[i] = a.f[i] > a.f[i + w] ? a.f[i] : a.f[i + w];
    return a.f[0];
}
SIMD vd vd_zero(void)
{
    return (vd){{0}};
}
SIMD vd vd_add_square(vd acc, vf x) /* squares of floats are exact in double */
{
    LANES acc.d[i] += (double)x.f[i] * x.f[i];
    return acc;
}
SIMD double vd_sum(vd a)
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++)
            a.d[i] += a.d[i + w];
    return a.d[0];
}
SIMD void transpose_mr(float *dst, const float *src, ptrdiff_t src_row) /* GEMM_MR rows of 16 become 16 of GEMM_MR */
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < GEMM_MR; j++)
            dst[i * GEMM_MR + j] = src[j * src_row + i];
}
SIMD void transpose16(float *dst, ptrdiff_t dst_row, const float *src, ptrdiff_t src_row) /* 16 x 16 */
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            dst[i * dst_row + j] = src[j * src_row + i];
}
