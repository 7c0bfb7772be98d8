/* SPDX-License-Identifier: MIT
 * simd.h (amx) - the vector of 16 lanes is AVX-512's.
 */
#include "kernels/avx512/simd.h"
