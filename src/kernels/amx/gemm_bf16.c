/* SPDX-License-Identifier: MIT
 * gemm_bf16.c (AMX) - C = (add +) (init + A·B) in the order BF16_TILES, by 2 x 2 tiles: 32 rows by 32 columns.
 *
 * Four tiles hold sums, two hold A (16 rows of 32 elements), two hold B (16 pairs of 16 columns): four products for four loads,
 * and a product takes as long as two loads from L1.  So a panel's block of B (32 columns by DEPTH) is to stay in L1
 * while all row tiles of ROWS pass over it (half of L1 or a little more); A streams past from L2, hinted as not wanted again; partial sums rest in
 * g->sum, which stays in L2, and are loaded and stored as tiles.
 * Rows of A are loaded as they lie; only where fewer than 16 rows or 32 elements are left they are copied and filled up
 * with zeros first.  Written in the macros of tiles.h alone, so that the tests run it anywhere (with tiles in plain C).
 */
#include "kernels/common/kernels_internal_bf16.h"

enum { SIDE = 32, TILE = 16, STEP = 32, DEPTH = 512, ROWS = GEMM_BF16_ROWS, COLS = GEMM_BF16_COLS };
_Static_assert(DEPTH % STEP == 0 && ROWS % SIDE == 0 && COLS % SIDE == 0, "blocks are whole tiles");

/* One block of k for 32 x 32 elements of C, or what there is of them: rows from i, columns from j. */
struct tile_block {
    const bf16 *a, *b;     /* first tile of each; a second tile of A a_tile elements behind the first */
    size_t a_tile, a_row;  /* a_row: elements from row to row of a tile */
    size_t a_step;         /* elements from one step of 32 to the next */
    size_t steps;
    size_t i, j, m, n;
    bool first, last;
    float *sum;            /* 32 x 32 partial sums, rows COLS apart */
};

/* Rows and elements of A that are there, zeros elsewhere. */
static void copy_filled(bf16 *dst, const bf16 *src, size_t src_row, size_t m, size_t k)
{
    const size_t padded = bf16_padded(k, STEP);
    for (size_t i = 0; i < SIDE; i++) {
        const size_t there = i < m ? k : 0;
        if (there)
            memcpy(dst + i * DEPTH, src + i * src_row, there * sizeof *dst);
        memset(dst + i * DEPTH + there, 0, (padded - there) * sizeof *dst);
    }
}

static void load_sums(const struct gemm_bf16 *g, const struct tile_block *t)
{
    if (t->first && !g->init) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        return;
    }
    if (t->first)
        for (size_t i = 0; i < SIDE; i++)
            for (size_t v = 0; v < SIDE; v += 16) {
                const float *init = g->init + (t->i + i) * g->init_row + t->j + v;
                vf_store(t->sum + i * COLS + v,
                         i < t->m && v < t->n ? vf_load_n(init, t->n - v) : vf_set1(0));
            }
    TILE_LOAD(0, t->sum, COLS * sizeof(float));
    TILE_LOAD(1, t->sum + TILE, COLS * sizeof(float));
    TILE_LOAD(2, t->sum + TILE * COLS, COLS * sizeof(float));
    TILE_LOAD(3, t->sum + TILE * COLS + TILE, COLS * sizeof(float));
}

static void store_sums(float *to, size_t row)
{
    TILE_STORE(0, to, row * sizeof(float));
    TILE_STORE(1, to + TILE, row * sizeof(float));
    TILE_STORE(2, to + TILE * row, row * sizeof(float));
    TILE_STORE(3, to + TILE * row + TILE, row * sizeof(float));
}

/* The output's lines, a few for each step of k, so that they are there when the sums are. */
static void fetch_lines(const struct gemm_bf16 *g, const struct tile_block *t, size_t step)
{
    const size_t each = (SIDE + t->steps - 1) / t->steps;
    for (size_t i = step * each; i < (step + 1) * each && i < t->m; i++) {
        if (g->c) {
            __builtin_prefetch(g->c + (t->i + i) * g->c_row + t->j, 1);
            __builtin_prefetch(g->c + (t->i + i) * g->c_row + t->j + TILE, 1);
        }
        if (g->c16)
            __builtin_prefetch(g->c16 + (t->i + i) * g->c16_row + t->j, 1);
    }
}

static void tile_block_compute(const struct gemm_bf16 *g, const struct tile_block *t)
{
    const bf16 *a = t->a, *b = t->b;
    const size_t a_bytes = t->a_row * sizeof *a, b_bytes = 2 * SIDE * sizeof *b;
    load_sums(g, t);
    for (size_t s = 0; s < t->steps; s++) {
        TILE_LOAD(4, b, b_bytes);
        TILE_LOAD_STREAM(6, a, a_bytes);
        TILE_DOT(0, 6, 4);
        TILE_LOAD(5, b + 2 * TILE, b_bytes);
        TILE_DOT(1, 6, 5);
        if (t->m > TILE) {
            TILE_LOAD_STREAM(7, a + t->a_tile, a_bytes);
            TILE_DOT(2, 7, 4);
            TILE_DOT(3, 7, 5);
        }
        if (t->last)
            fetch_lines(g, t, s);
        a += t->a_step;
        b += STEP * SIDE;
    }
    if (t->last && g->c && !g->add && !g->c16 && t->m == SIDE && t->n == SIDE) {
        store_sums(g->c + t->i * g->c_row + t->j, g->c_row);
        return;
    }
    store_sums(t->sum, COLS);
    if (t->last)
        for (size_t i = 0; i < t->m; i++)
            for (size_t v = 0; v < t->n; v += 16)
                finish_16(g, vf_load(t->sum + i * COLS + v), t->i + i, t->j + v, left(t->n, v));
}

/* One block of k of one panel of B: all row tiles of the rows i0 … i0+rows-1 pass over it. */
static void panel_block(const struct gemm_bf16 *g, size_t i0, size_t rows, size_t j, size_t k0, size_t k, float *sum,
                        bf16 *copy)
{
    for (size_t i = i0; i < i0 + rows; i += SIDE) {
        struct tile_block t = {.i = i, .j = j, .steps = bf16_padded(k, STEP) / STEP, .first = k0 == 0};
        t.last = k0 + k == g->k;
        t.m = i0 + rows - i < SIDE ? i0 + rows - i : SIDE;
        t.n = g->n - j < SIDE ? g->n - j : SIDE;
        t.b = g->b + j / SIDE * g->b_panel + k0 * SIDE;
        t.sum = sum + (i - i0) * COLS;
        if (!g->a_row) {
            t.a = g->a + i / TILE * g->a_panel + k0 * TILE;
            t.a_tile = g->a_panel;
            t.a_row = STEP;
            t.a_step = TILE * STEP;
        } else {
            t.a = g->a + i * g->a_row + k0;
            t.a_row = g->a_row;
            t.a_step = STEP;
            if (t.m % TILE || k % STEP) {
                copy_filled(copy, t.a, g->a_row, t.m, k);
                t.a = copy;
                t.a_row = DEPTH;
            }
            t.a_tile = TILE * t.a_row;
        }
        tile_block_compute(g, &t);
    }
}

void K(gemm_bf16)(const struct gemm_bf16 *g)
{
    bf16 copy[SIDE * DEPTH];
    const bf16_environment old = bf16_environment_enter();
    const size_t depth = block_depth(g->k, DEPTH);
    tiles_begin();
    for (size_t j0 = 0; j0 < g->n; j0 += COLS)
        for (size_t i0 = 0; i0 < g->m; i0 += ROWS)
            for (size_t k0 = 0; k0 < g->k; k0 += depth)
                for (size_t j = j0; j < j0 + COLS && j < g->n; j += SIDE)
                    panel_block(g, i0, g->m - i0 < ROWS ? g->m - i0 : ROWS, j, k0,
                                g->k - k0 < depth ? g->k - k0 : depth, g->sum + (j - j0), copy);
    tiles_end();
    bf16_environment_leave(old);
}
