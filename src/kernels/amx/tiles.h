/* SPDX-License-Identifier: MIT
 * tiles.h - the tile instructions that gemm_bf16.c beside this file is written in, on tiles 0 … 7.
 *
 * As assembly, each one volatile and a barrier for memory: gcc 12 and clang 14 do not know that _tile_loadconfig reads
 * the whole configuration, nor that a tile's contents outlive a function, and drop or move what is needed.  A tile number is
 * part of the instruction, hence macros.  The configuration is the thread's own: tiles_begin and tiles_end bracket every
 * use, so that nothing rests in a thread that may end or be switched between two products.
 *
 * A second implementation in plain C, by the instructions' documented operation, is what the tests run everywhere.
 */
#ifndef KERNELS_AMX_TILES_H
#define KERNELS_AMX_TILES_H

#include <stddef.h>
#include <stdint.h>

/* All eight tiles with 16 rows of 64 bytes (palette 1; Intel SDM volume 1, 18.2). */
SIMD void tiles_begin(void)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
}
SIMD void tiles_end(void)
{
    __asm__ volatile("tilerelease" : : : "memory");
}

/* Rows `stride` bytes apart.  _STREAM hints that the lines are not wanted again soon. */
#define TILE_ZERO(t) __asm__ volatile("tilezero %%tmm" #t : : : "memory")
#define TILE_LOAD(t, p, stride)                                                                                        \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t : : "r"(p), "r"((size_t)(stride)) : "memory")
#define TILE_LOAD_STREAM(t, p, stride)                                                                                 \
    __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #t : : "r"(p), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(t, p, stride)                                                                                       \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" : : "r"(p), "r"((size_t)(stride)) : "memory")
/* c += a · b: the step of BF16_TILES for 16 x 16 chains */
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : : : "memory")

#endif
