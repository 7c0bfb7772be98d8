/* SPDX-License-Identifier: MIT
 * bf16.h (AMX) - bf16 in tiles of 16 rows by 64 bytes; the moves are AVX-512's.
 */
#include "kernels/avx512/bf16_moves.h"
#include "tiles.h"

#define BF16_TILE_LAYOUT
