/* SPDX-License-Identifier: MIT
 * simd.h (avx512bf16) - the vector of 16 lanes is AVX-512's.
 */
#include "kernels/avx512/simd.h"
