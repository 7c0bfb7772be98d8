/* SPDX-License-Identifier: MIT */
#include "ops/normals.h"

#include "kernels/kernels.h"

void normals(float *out, uint64_t key, uint64_t first, size_t n, double std)
{
    kernels_get()->normals_f32(out, key, first, n, std);
}
