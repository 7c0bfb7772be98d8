/* SPDX-License-Identifier: MIT
 * emulated_tiles.h - the macros of src/kernels/amx/tiles.h on tiles in plain C, by the documented operation of the
 * instructions (Intel SDM volume 2).  Using a tile before tiles_begin or after tiles_end fails, as it would there.
 */
#ifndef KERNELS_AMX_TILES_H
#define KERNELS_AMX_TILES_H

static struct {
    bool configured;
    unsigned char bytes[8][16][64];
} tile_unit;

static void tiles_begin(void)
{
    memset(&tile_unit, 0, sizeof tile_unit);
    tile_unit.configured = true;
}
static void tiles_end(void)
{
    ck_assert(tile_unit.configured);
    memset(&tile_unit, 0xff, sizeof tile_unit);
    tile_unit.configured = false;
}
static void tile_load(int t, const void *p, size_t stride)
{
    ck_assert(tile_unit.configured);
    for (size_t i = 0; i < 16; i++)
        memcpy(tile_unit.bytes[t][i], (const char *)p + i * stride, 64);
}
static void tile_store(int t, void *p, size_t stride)
{
    ck_assert(tile_unit.configured);
    for (size_t i = 0; i < 16; i++)
        memcpy((char *)p + i * stride, tile_unit.bytes[t][i], 64);
}
static void tile_zero(int t)
{
    ck_assert(tile_unit.configured);
    memset(tile_unit.bytes[t], 0, sizeof tile_unit.bytes[t]);
}
static void tile_dot(int c, int a, int b)
{
    ck_assert(tile_unit.configured);
    for (size_t i = 0; i < 16; i++) {
        float sum[16];
        bf16 x[32];
        memcpy(sum, tile_unit.bytes[c][i], sizeof sum);
        memcpy(x, tile_unit.bytes[a][i], sizeof x);
        for (size_t j = 0; j < 16; j++) {
            bf16 y[32];
            for (size_t q = 0; q < 16; q++)
                memcpy(y + 2 * q, tile_unit.bytes[b][q] + 4 * j, 4);
            sum[j] = ref_tile(sum[j], x, y);
        }
        memcpy(tile_unit.bytes[c][i], sum, sizeof sum);
    }
}

#define TILE_ZERO(t)                   tile_zero(t)
#define TILE_LOAD(t, p, stride)        tile_load(t, p, stride)
#define TILE_LOAD_STREAM(t, p, stride) tile_load(t, p, stride)
#define TILE_STORE(t, p, stride)       tile_store(t, p, stride)
#define TILE_DOT(c, a, b)              tile_dot(c, a, b)

#endif
