/* SPDX-License-Identifier: MIT
 * formats/tensor_type.h - the element types of tensors in files that we read and write, and f32 from and to them.
 *
 * Q8_0 is GGUF's: blocks of 32 elements along a row, each a f16 scale d and 32 signed bytes q, x = d q (ggml's
 * ggml-quants.c, quantize_row_q8_0).  All are little-endian in files; so are the machines this is built for.  Any thread.
 */
#ifndef FORMATS_TENSOR_TYPE_H
#define FORMATS_TENSOR_TYPE_H

#include <stdbool.h>
#include <stddef.h>

enum tensor_type { TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_Q8_0 };
enum { NUM_TENSOR_TYPES = TENSOR_Q8_0 + 1, Q8_0_BLOCK = 32, Q8_0_BLOCK_BYTES = 34 };

/* "F32", "F16", "BF16", "Q8_0": as safetensors and GGUF tools write them. */
const char *tensor_type_name(enum tensor_type type);

/* By that name, in either case.  False: none of them. */
bool tensor_type_find(const char *name, enum tensor_type *out);

/* What n elements of a row take; false when that does not fit or, for Q8_0, n is no multiple of the block. */
bool tensor_type_bytes(enum tensor_type type, size_t n, size_t *bytes);

/* out[i] = in[i], exactly.  n elements of one row or of whole rows; `in` need not be aligned. */
void tensor_decode(float *out, const void *in, enum tensor_type type, size_t n);

/* The nearest value of the type (ties to even; Q8_0 as ggml does it). */
void tensor_encode(void *out, const float *in, enum tensor_type type, size_t n);

/* The first element that is not finite or whose magnitude the type cannot hold; n when there is none. */
size_t tensor_unfit(const float *x, enum tensor_type type, size_t n);

#endif
