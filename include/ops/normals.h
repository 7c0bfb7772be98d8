/* SPDX-License-Identifier: MIT
 * ops/normals.h - normal numbers in bulk.
 */
#ifndef OPS_NORMALS_H
#define OPS_NORMALS_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = (float)(std * rng_normal(key, first + i)) of base/rng.h for i < n, on any instruction set. */
void normals(float *out, uint64_t key, uint64_t first, size_t n, double std);

#endif
