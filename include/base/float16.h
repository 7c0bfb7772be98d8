/* SPDX-License-Identifier: MIT
 * base/float16.h - the two 16-bit floating-point formats of model files, and f32 from and to them.
 *
 * bf16 is the upper half of an f32; f16 is IEEE 754 binary16.  Towards 16 bits both round to nearest, ties to even;
 * a NaN stays a NaN (quiet), what is too large becomes infinity, and f16's subnormals are kept.  Any thread.
 */
#ifndef BASE_FLOAT16_H
#define BASE_FLOAT16_H

#include <stdint.h>
#include <string.h>

typedef uint16_t bf16; /* the bits, in the machine's byte order */
typedef uint16_t f16;

static inline float f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t f32_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float f32_of_bf16(bf16 x)
{
    return f32_of_bits((uint32_t)x << 16);
}

static inline bf16 bf16_of_f32(float x)
{
    const uint32_t bits = f32_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (bf16)(bits >> 16 | 0x40);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float f32_of_f16(f16 x)
{
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 0x1f, mantissa = x & 0x3ff;
    if (exponent == 0x1f)
        return f32_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
    if (exponent == 0) {
        const float magnitude = (float)mantissa * 0x1p-24f;
        return f32_of_bits(sign | f32_bits(magnitude));
    }
    return f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline f16 f16_of_f32(float x)
{
    const uint32_t bits = f32_bits(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (f16)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000u) /* from halfway between the largest f16 and the next power of two */
        return (f16)(sign | 0x7c00);
    if (magnitude < 0x38800000u) { /* below the smallest normal: the sum's last place is that of the subnormals */
        const float sum = f32_of_bits(magnitude) + 0.5f;
        return (f16)(sign | (f32_bits(sum) - 0x3f000000u));
    }
    return (f16)(sign | (((magnitude + 0xfff + (magnitude >> 13 & 1)) >> 13) - (112u << 10)));
}

#endif
