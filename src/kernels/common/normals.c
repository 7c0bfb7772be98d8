/* SPDX-License-Identifier: MIT
 * normals.c - normal numbers, sixteen side by side: the operations of base/rng.h's rng_normal and base/detmath.h's det_log
 * and det_cospi in the same order, without branches, so that the divider is never idle and the bits are the same.
 * Uniforms of ours are neither subnormal nor infinite, and twice one is in (0,2).  Bound by some twenty divisions a number.
 */
#include "base/detmath.h"
#include "base/rng.h"
#include "kernels_internal.h"
#include "philox_internal.h"

#include <string.h>

enum { N = 16 };

static const double TWO_52 = 0x1p52;

/* v < 2^52 as a double: its bits below the exponent of 2^52, and that taken off again. */
SIMD double whole(uint64_t v)
{
    double x;
    v |= 0x4330000000000000ULL;
    memcpy(&x, &v, sizeof x);
    return x - TWO_52;
}

SIMD double uniform(uint32_t high, uint32_t low)
{
    return (whole(((uint64_t)high << 32 | low) >> 12) + 0.5) * 0x1p-52;
}

SIMD void logs(double x[N])
{
    double k[N], s[N], p[N] = {0};
    for (int j = 0; j < N; j++) {
        uint64_t bits;
        memcpy(&bits, &x[j], sizeof bits);
        const double exponent = whole(bits >> 52) - 1023;
        bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
        double m;
        memcpy(&m, &bits, sizeof m);
        const bool above = m > 0x1.6a09e667f3bcdp+0;
        k[j] = exponent + (above ? 1 : 0);
        m *= above ? 0.5 : 1;
        s[j] = (m - 1) / (2 + (m - 1));
    }
    for (int i = 11; i >= 1; i--)
        for (int j = 0; j < N; j++)
            p[j] = p[j] * (s[j] * s[j]) + 1.0 / (2 * i + 1);
    for (int j = 0; j < N; j++)
        x[j] = k[j] * DET_LN2_HI + (2 * s[j] + (2 * s[j] * (p[j] * (s[j] * s[j])) + k[j] * DET_LN2_LO));
}

SIMD void cospis(double x[N])
{
    double factor[N], z[N], odd[N], p[N];
    for (int j = 0; j < N; j++) {
        double y = x[j] > 1 ? 2 - x[j] : x[j];
        const double sign = y > 0.5 ? -1 : 1;
        y = y > 0.5 ? 1 - y : y;
        odd[j] = y <= 0.25 ? 0 : 1; /* as a sine */
        const double t = (y <= 0.25 ? y : 0.5 - y) * 3.14159265358979323846;
        z[j] = t * t;
        factor[j] = y <= 0.25 ? sign : sign * t;
        p[j] = 1;
    }
    for (int i = 20; i >= 2; i -= 2)
        for (int j = 0; j < N; j++)
            p[j] = 1 - p[j] * z[j] / ((i - 1 + odd[j]) * (i + odd[j]));
    for (int j = 0; j < N; j++)
        x[j] = factor[j] * p[j];
}

/* Numbers at … at+15 of the key, at a multiple of 16. */
static void sixteen(float out[N], uint64_t key, uint64_t at, double std)
{
    double radius[N], turn[N];
    uint32_t words[4 * N];
    philox8(words, key, 0, at);
    philox8(words + 8, key, 0, at + 8);
    for (int j = 0; j < N; j++) {
        radius[j] = uniform(words[N + j], words[j]);
        turn[j] = 2 * uniform(words[3 * N + j], words[2 * N + j]);
    }
    logs(radius);
    cospis(turn);
    for (int j = 0; j < N; j++)
        out[j] = (float)(sqrt(-2 * radius[j]) * turn[j] * std);
}

void K(normals_f32)(float *out, uint64_t key, uint64_t first, size_t n, double std)
{
    for (size_t i = 0; i < n;) {
        const size_t skip = (size_t)((first + i) % N), m = n - i < N - skip ? n - i : N - skip;
        float x[N];
        sixteen(x, key, first + i - skip, std);
        memcpy(out + i, x + skip, m * sizeof *out);
        i += m;
    }
}
