/* SPDX-License-Identifier: MIT
 * base/detmath.h - elementary functions in double that give the same bits on every machine.
 *
 * libm's results differ between versions and CPUs in the last bit; where a result reaches weights or metrics we
 * use these instead.  Only + - * / and sqrt, no FMA, no tables, so any IEEE-754 machine agrees.  Scalar and not
 * for inner loops.  Error: below 4 ulp over the ranges named (tests/base/test_detmath.c measures).  Any thread.
 */
#ifndef BASE_DETMATH_H
#define BASE_DETMATH_H

/* ln 2 in two parts; the first has 32 bits, so that its product with an exponent is exact. */
#define DET_LN2_HI 0x1.62e42fee00000p-1
#define DET_LN2_LO 0x1.a39ef35793c76p-33

double det_log(double x);                           /* x > 0, normal or subnormal; 0 → -inf, negative → NaN */
double det_exp(double x);                           /* underflows to 0, overflows to inf */
double det_cospi(double x);                         /* cos(pi x), x in [-1e6, 1e6] */
double det_powi(double x, unsigned long long n);    /* x to the n, by repeated squaring in fixed order */

#endif
