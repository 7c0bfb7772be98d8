/* SPDX-License-Identifier: MIT
 * bf16.h (portable C) - what the bf16 sources of src/kernels/common are written in beside simd.h, and what it means.
 *
 * A vp is 16 lanes of two bf16, the even one in the low half.  vp_dot is one step of BF16_PAIRS (kernels/kernels_bf16.h).
 * Here it is computed in double: a product of two bf16 is exact there, and the sum with an f32 either is exact too or lies
 * so far from any midpoint of two f32 that rounding twice is rounding once (the addends' last places are at most 39
 * binary digits apart where both matter).  Underflow is judged as x86 does it, after rounding to 24 digits: what is
 * below the smallest normal number less half a last place becomes a zero of its sign.
 *
 * bf16_environment_enter … _leave bracket a kernel: the x86 levels set MXCSR to flush there, so that the additions around
 * the products treat denormals as the products do.
 */
#include "base/float16.h"

#define BF16_MR 4
#define BF16_NV 1

typedef struct {
    uint32_t u[16];
} vp;

typedef int bf16_environment;
SIMD bf16_environment bf16_environment_enter(void)
{
    return 0;
}
SIMD void bf16_environment_leave(bf16_environment old)
{
    (void)old;
}

SIMD double flush_input(uint32_t bits)
{
    return (double)f32_of_bits(bits & 0x7f800000u ? bits : bits & 0x80000000u);
}
SIMD float flush_result(double x)
{
    return fabs(x) < 0x1p-126 - 0x1p-151 ? (float)copysign(0, x) : (float)x;
}

SIMD vp vp_load(const bf16 *p)
{
    vp r;
    memcpy(r.u, p, sizeof r.u);
    return r;
}
SIMD void vp_store(bf16 *p, vp a)
{
    memcpy(p, a.u, sizeof a.u);
}
SIMD void vp_store_n(bf16 *p, vp a, size_t n) /* the first min(n,16) pairs */
{
    memcpy(p, a.u, (n < 16 ? n : 16) * sizeof a.u[0]);
}
SIMD vp vp_set1(const bf16 *pair)
{
    vp r;
    uint32_t u;
    memcpy(&u, pair, sizeof u);
    LANES r.u[i] = u;
    return r;
}
SIMD vf vp_dot(vf acc, vp a, vp b)
{
    LANES
    {
        double s = flush_input(f32_bits(acc.f[i]));
        s = (double)flush_result(flush_input(a.u[i] & 0xffff0000u) * flush_input(b.u[i] & 0xffff0000u) + s);
        acc.f[i] = flush_result(flush_input(a.u[i] << 16) * flush_input(b.u[i] << 16) + s);
    }
    return acc;
}
/* An addition in the kernels' environment. */
SIMD vf vf_add_flushed(vf a, vf b)
{
    LANES a.f[i] = flush_result(flush_input(f32_bits(a.f[i])) + flush_input(f32_bits(b.f[i])));
    return a;
}
/* Pairs from two rows, the first min(n,16) lanes, the others 0. */
SIMD vp vp_pair_bf16(const bf16 *even, const bf16 *odd, size_t n)
{
    vp r = {{0}};
    for (size_t i = 0; i < (n < 16 ? n : 16); i++)
        r.u[i] = even[i] | (uint32_t)odd[i] << 16;
    return r;
}
SIMD vp vp_pair_f32(const float *even, const float *odd, size_t n)
{
    vp r = {{0}};
    for (size_t i = 0; i < (n < 16 ? n : 16); i++)
        r.u[i] = bf16_of_f32(even[i]) | (uint32_t)bf16_of_f32(odd[i]) << 16;
    return r;
}
SIMD void vf_store_bf16(bf16 *p, vf a)
{
    LANES p[i] = bf16_of_f32(a.f[i]);
}
SIMD vf vf_load_bf16(const bf16 *p)
{
    vf r;
    LANES r.f[i] = f32_of_bf16(p[i]);
    return r;
}
