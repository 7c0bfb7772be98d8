/* SPDX-License-Identifier: MIT */
#include "base/detmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>


/* log(x) = k ln2 + log(m), m in [sqrt(1/2), sqrt(2)), and log(m) = 2 atanh(s) with s = (m-1)/(m+1), |s| < 0.1716. */
double det_log(double x)
{
    if (!(x > 0))
        return x == 0 ? -INFINITY : NAN;
    if (isinf(x))
        return x;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k -= 54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    k += (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }
    double f = m - 1, s = f / (2 + f), z = s * s;
    double p = 0; /* sum of z^i / (2i+1), i = 1 … 11; the next term is below 2^-60 */
    for (int i = 11; i >= 1; i--)
        p = p * z + 1.0 / (2 * i + 1);
    p *= z;
    double tail = 2 * s * p + k * DET_LN2_LO;
    return k * DET_LN2_HI + (2 * s + tail);
}

/* exp(x) = 2^k exp(r), |r| <= ln2/2, by its Taylor series to r^14. */
double det_exp(double x)
{
    if (isnan(x))
        return x;
    if (x > 709.8)
        return INFINITY;
    if (x < -745.2)
        return 0;
    double k = floor(x * 0x1.71547652b82fep+0 + 0.5);
    double r = (x - k * DET_LN2_HI) - k * DET_LN2_LO, p = 1;
    for (int i = 14; i >= 1; i--)
        p = p * (r / i) + 1;
    return ldexp(p, (int)k);
}

double det_cospi(double x)
{
    x = fabs(x);
    x = x - 2 * floor(x * 0.5); /* [0,2) */
    if (x > 1)
        x = 2 - x; /* cos is even about 1 */
    double sign = 1;
    if (x > 0.5) {
        x = 1 - x;
        sign = -1;
    }
    const double pi = 3.14159265358979323846;
    double p = 1;
    if (x <= 0.25) {
        const double z = x * pi * (x * pi); /* Taylor to t^20, nested: 1 - z/(1*2) (1 - z/(3*4) (…)) */
        for (int i = 20; i >= 2; i -= 2)
            p = 1 - p * z / ((i - 1) * (double)i);
        return sign * p;
    }
    const double t = (0.5 - x) * pi, z = t * t; /* near its zero as a sine, so that it stays accurate there */
    for (int i = 21; i >= 3; i -= 2)
        p = 1 - p * z / ((i - 1) * (double)i);
    return sign * t * p;
}

double det_powi(double x, unsigned long long n)
{
    double result = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}
