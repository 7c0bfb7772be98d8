/* SPDX-License-Identifier: MIT
 * ops/activation.h - GELU, SwiGLU and dropout on a member's own rows.
 */
#ifndef OPS_ACTIVATION_H
#define OPS_ACTIVATION_H

#include "ops/attention.h" /* struct dropout */
#include "runtime/sphere.h"

#include <stddef.h>

/* y [n] = gelu(x [n]), GPT-2's tanh form; y may be x. */
void gelu_forward(struct sphere *me, float *y, const float *x, size_t n);

/* dx [n] *= gelu'(x); writes y [n] = gelu(x). */
void gelu_backward(struct sphere *me, float *dx, float *y, const float *x, size_t n);

/* y [rows,F] = silu(gate) * up on columns `which` of F, x rows of [gate | up], each of F floats; strides in floats.  y
 * may be x with its stride: the activation takes the place of the gate. */
void swiglu_rows(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                 size_t inner, struct share which);

/* y [rows,F] holds dy and becomes the activation again; writes dx [rows,2F], dense like x. */
void swiglu_rows_backward(struct sphere *me, float *dx, float *y, const float *x, size_t rows, size_t inner);

/* In place on rows of `cols` floats; row r of the call is row first_row + r of the mask.  Nothing when off. */
void dropout_rows(const struct dropout *dropout, float *x, size_t rows, size_t cols, uint64_t first_row);

/* y [n] += x [n]. */
void add_to(float *y, const float *x, size_t n);

#endif
