/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include "base/check.h"
#include "base/detmath.h"

#include <math.h>
#include <string.h>

uint64_t rng_key(uint64_t seed, enum rng_stream stream, uint64_t a, uint64_t b)
{
    struct rng_block block = philox4x32(seed, a, (uint64_t)stream);
    uint64_t key = (uint64_t)block.word[1] << 32 | block.word[0];
    block = philox4x32(key, b, ~(uint64_t)stream);
    return (uint64_t)block.word[3] << 32 | block.word[2];
}

double rng_uniform(const struct rng_block *block, int i)
{
    uint64_t bits = (uint64_t)block->word[2 * i + 1] << 32 | block->word[2 * i];
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

/* Box and Muller (1958), cosine branch, in double: two uniforms of one block make one normal. */
double rng_normal(uint64_t key, uint64_t index)
{
    struct rng_block block = philox4x32(key, 0, index);
    double radius = sqrt(-2 * det_log(rng_uniform(&block, 0)));
    return radius * det_cospi(2 * rng_uniform(&block, 1));
}

/* det_log and det_cospi are chains of divisions, each waiting for the one before.  Here the same operations are done for
 * LANES numbers side by side, without branches, so that the divider is never idle; tests/base/test_rng.c holds the two
 * to the same bits.  Uniforms of ours are neither subnormal nor infinite, and 2u is in (0,2). */
enum { LANES = 16 };

static void logs(double x[LANES])
{
    double k[LANES], s[LANES], p[LANES] = {0};
    for (int j = 0; j < LANES; j++) {
        uint64_t bits;
        memcpy(&bits, &x[j], sizeof bits);
        const int exponent = (int)(bits >> 52) - 1023;
        bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
        double m;
        memcpy(&m, &bits, sizeof m);
        const int above = m > 0x1.6a09e667f3bcdp+0;
        k[j] = exponent + above;
        m *= above ? 0.5 : 1;
        s[j] = (m - 1) / (2 + (m - 1));
    }
    for (int i = 11; i >= 1; i--)
        for (int j = 0; j < LANES; j++)
            p[j] = p[j] * (s[j] * s[j]) + 1.0 / (2 * i + 1);
    for (int j = 0; j < LANES; j++)
        x[j] = k[j] * DET_LN2_HI + (2 * s[j] + (2 * s[j] * (p[j] * (s[j] * s[j])) + k[j] * DET_LN2_LO));
}

static void cospis(double x[LANES])
{
    double factor[LANES], z[LANES], odd[LANES], p[LANES];
    for (int j = 0; j < LANES; j++) {
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
        for (int j = 0; j < LANES; j++)
            p[j] = 1 - p[j] * z[j] / ((i - 1 + odd[j]) * (i + odd[j]));
    for (int j = 0; j < LANES; j++)
        x[j] = factor[j] * p[j];
}

void rng_normals(float *out, uint64_t key, uint64_t first, size_t n, double std)
{
    for (size_t i = 0; i < n; i += LANES) {
        double radius[LANES], turn[LANES];
        for (size_t j = 0; j < LANES; j++) {
            const struct rng_block block = philox4x32(key, 0, first + i + j);
            radius[j] = rng_uniform(&block, 0);
            turn[j] = 2 * rng_uniform(&block, 1);
        }
        logs(radius);
        cospis(turn);
        for (size_t j = 0; j < LANES && i + j < n; j++)
            out[i + j] = (float)(sqrt(-2 * radius[j]) * turn[j] * std);
    }
}

/* A balanced Feistel network over 2h bits, the smallest with 4^h >= n; values outside 0 … n-1 are walked on
 * (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).  Expected number of walks: below 4. */
uint64_t rng_permute(uint64_t key, uint64_t n, uint64_t index)
{
    CHECK(index < n);
    unsigned half = 1;
    while (half < 32 && (uint64_t)1 << (2 * half) < n)
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t x = index;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint64_t round = 0; round < 6; round++) {
            struct rng_block f = philox4x32(key, round, right);
            uint64_t next = left ^ (((uint64_t)f.word[1] << 32 | f.word[0]) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}
