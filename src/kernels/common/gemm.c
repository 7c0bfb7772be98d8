/* SPDX-License-Identifier: MIT
 * gemm.c - C = (add +) (init + A·B) on packed panels of B.
 *
 * The register tile is GEMM_MR rows by GEMM_NV vectors of 16; rows that are left over go in tiles of 8, 4, 2, 1.
 * Every element is one chain of fused multiply-adds over p = 0 … k-1, whichever tile it falls in, so tile shapes do
 * not reach the result.  Bound by the FMA units: per p a tile loads GEMM_NV vectors and GEMM_MR scalars for
 * GEMM_MR * GEMM_NV FMAs; a panel of B (k * nr floats) stays in L2 while a block of A's rows passes, the next one
 * fetched while one is in use.
 *
 * What A's layout is worth: in panels it is one stream with constant offsets, which makes fewer instructions a step and
 * leaves room where a core's other hardware thread takes half of the front end; in rows it is GEMM_MR streams, which clash
 * in L1 where they lie 4 KiB apart.
 */
#include "kernels_internal.h"

#include <string.h>

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { NR = 16 * GEMM_NV };

/* Rows of A go in blocks of about A_FLOATS, half of an L2 of 1 MiB, that stay there while all panels of B pass. */
enum { A_FLOATS = 128 * 1024, LEAST_TILES = 4 };

/* Rows a multiple of CLASH floats (4 KiB) apart have their lines in one set of L1, which a tile's rows overflow; such ones are
 * copied tile by tile, where a copy serves for several panels.  Rows of the copy are odd in lines. */
enum { CLASH = 1024, COPY_DEPTH = 1024, COPY_ROW = COPY_DEPTH + 16, COPY_FROM = 64, COLS = 128 };

enum { STEPS = 4 };

enum { ACROSS = 8 }; /* rows that are packed together: as many streams as a CPU fetches ahead */

SIMD void load_row(const bool full, vf row[GEMM_NV], const float *from, size_t n)
{
    UNROLL
    for (size_t v = 0; v < GEMM_NV; v++)
        row[v] = full ? vf_load(from + 16 * v) : vf_load_n(from + 16 * v, left(n, 16 * v));
}

/* Step p of a tile.  Rows are reached from two bases, for a CPU's addresses have a register times 1, 2, 4 or 8 in them. */
SIMD void step(const size_t mr, const bool full, vf acc[GEMM_MR][GEMM_NV], const float *a, const float *a3, ptrdiff_t a_row,
               const float *b, size_t n)
{
    vf bv[GEMM_NV];
    load_row(full, bv, b, n);
    UNROLL
    for (size_t i = 0; i < mr; i++) {
        const vf av = vf_set1(i < 3 ? a[(ptrdiff_t)i * a_row] : a3[(ptrdiff_t)(i - 3) * a_row]);
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            vf_accumulate(&acc[i][v], av, bv[v]);
    }
}

SIMD void fetch_row(const float *row, int level)
{
    UNROLL
    for (size_t v = 0; v < GEMM_NV; v++)
        if (level == 1)
            __builtin_prefetch(row + 16 * v, 1);
        else
            __builtin_prefetch(row + 16 * v, 0, 2);
}

/* How A lies. */
enum layout {
    PANELS,  /* of GEMM_MR rows */
    ROWS,    /* a_col is 1 */
    COLUMNS, /* a_row is 1 */
    ANY
};

/* All k of a tile.  The next panel of B comes from further away than this one: where steps go by STEPS, each tile fetches a
 * part of it, else each fetches all. */
SIMD void steps(const size_t mr, const bool full, const enum layout lies, const bool b_packed, const struct gemm *g,
                vf acc[GEMM_MR][GEMM_NV], const float *a, const float *b, size_t i0, size_t n)
{
    const ptrdiff_t a_row = lies == ROWS || lies == ANY ? g->a_row : 1;
    const ptrdiff_t a_col = lies == PANELS ? GEMM_MR : lies == ROWS ? 1 : g->a_col;
    const size_t b_row = b_packed ? NR : g->b_row, b_panel = g->b_panel;
    const float *a3 = a + 3 * a_row;
    size_t p = 0;
    if (lies == ROWS)
        __asm__("" : "+r"(a3)); /* or the compiler would make six of two */
    if (full && b_packed) {
        const float *next = b + b_panel + i0 / GEMM_MR % STEPS * (g->k / STEPS) * NR;
        for (; p + STEPS <= g->k; p += STEPS, next += NR) {
            fetch_row(next, 2);
            UNROLL
            for (size_t q = 0; q < STEPS; q++, a += a_col, a3 += a_col, b += b_row) {
                step(mr, full, acc, a, lies == ROWS ? a3 : a + 3 * a_row, a_row, b, n);
                __asm__ volatile("" ::: "memory"); /* mixed by the compiler they would want more registers than there are */
            }
        }
    }
    for (; p < g->k; p++, a += a_col, a3 += a_col, b += b_row) {
        step(mr, full, acc, a, lies == ROWS ? a3 : a + 3 * a_row, a_row, b, n);
        if (full && !b_packed)
            fetch_row(b + b_panel, 2);
    }
}

/* One tile of `mr` rows and n <= NR columns; mr, full (n == NR), how A lies and whether B is packed are constants at every call, so
 * the accumulators are registers, a whole panel is read without masks, and operands are reached by constant offsets. */
SIMD void tile(const size_t mr, const bool full, const enum layout lies, const bool b_packed, const struct gemm *g, size_t i0,
               size_t j0, size_t n)
{
    const float *a = g->a + (g->a_panel ? (ptrdiff_t)(i0 / GEMM_MR * g->a_panel) + (ptrdiff_t)(i0 % GEMM_MR) * g->a_row
                                        : (ptrdiff_t)i0 * g->a_row);
    const ptrdiff_t init_row = g->init_row, add_row = g->add_row, c_row = g->c_row;
    const float *init = g->init ? g->init + (ptrdiff_t)i0 * init_row + j0 : NULL;
    const float *add = g->add ? g->add + (ptrdiff_t)i0 * add_row + j0 : NULL;
    float *c = g->c + (ptrdiff_t)i0 * c_row + j0;
    vf acc[GEMM_MR][GEMM_NV];

    if (g->init != g->c) /* the output's lines arrive while the products are made */
        UNROLL
        for (size_t i = 0; i < mr; i++)
            fetch_row(c + (ptrdiff_t)i * c_row, 1);
    if (!init)
        UNROLL
        for (size_t i = 0; i < mr; i++)
            UNROLL
            for (size_t v = 0; v < GEMM_NV; v++)
                acc[i][v] = vf_set1(0);
    else
        UNROLL
        for (size_t i = 0; i < mr; i++) {
            load_row(full, acc[i], init + (ptrdiff_t)i * init_row, n);
            if (init_row) /* and so do the next tile's beginnings */
                fetch_row(init + (ptrdiff_t)(mr + i) * init_row, 1);
        }
    steps(mr, full, lies, b_packed, g, acc, a, g->b + j0 / NR * g->b_panel, i0, n);
    if (add)
        UNROLL
        for (size_t i = 0; i < mr; i++) {
            vf more[GEMM_NV];
            load_row(full, more, add + (ptrdiff_t)i * add_row, n);
            UNROLL
            for (size_t v = 0; v < GEMM_NV; v++)
                acc[i][v] = vf_add(more[v], acc[i][v]);
        }
    UNROLL
    for (size_t i = 0; i < mr; i++)
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            if (full)
                vf_store(c + (ptrdiff_t)i * c_row + 16 * v, acc[i][v]);
            else
                vf_store_n(c + (ptrdiff_t)i * c_row + 16 * v, acc[i][v], left(n, 16 * v));
}

#define TILE_FUNCTION(mr)                                                                                              \
    static __attribute__((noinline)) void tile_##mr(const struct gemm *g, size_t i0, size_t j0, size_t n)              \
    {                                                                                                                  \
        if (n == NR && g->a_panel && g->b_row == NR)                                                                   \
            tile(mr, true, PANELS, true, g, i0, j0, NR);                                                               \
        else if (n == NR && g->a_col == 1 && g->b_row == NR)                                                           \
            tile(mr, true, ROWS, true, g, i0, j0, NR);                                                                 \
        else if (n == NR && g->a_row == 1 && g->b_row == NR)                                                           \
            tile(mr, true, COLUMNS, true, g, i0, j0, NR);                                                              \
        else if (n == NR)                                                                                              \
            tile(mr, true, ANY, false, g, i0, j0, NR);                                                                 \
        else                                                                                                           \
            tile(mr, false, ANY, false, g, i0, j0, n);                                                                 \
    }
TILE_FUNCTION(1)
TILE_FUNCTION(2)
TILE_FUNCTION(4)
#if GEMM_MR > 4
TILE_FUNCTION(6)
#endif
#if GEMM_MR > 8
TILE_FUNCTION(8)
TILE_FUNCTION(12)
#endif

/* Rows i … end-1 of one panel. */
static void rows_of_panel(const struct gemm *g, size_t i, size_t end, size_t j)
{
    const size_t n = g->n - j < NR ? g->n - j : NR;
#if GEMM_MR > 8
    for (; i + 12 <= end; i += 12)
        tile_12(g, i, j, n);
    if (i + 8 <= end)
        tile_8(g, i, j, n), i += 8;
#endif
#if GEMM_MR > 4
    for (; i + 6 <= end; i += 6)
        tile_6(g, i, j, n);
#endif
    for (; i + 4 <= end; i += 4)
        tile_4(g, i, j, n);
    if (i + 2 <= end)
        tile_2(g, i, j, n), i += 2;
    if (i < end)
        tile_1(g, i, j, n);
}

/* One tile's rows, copied to the stack, against columns j0 … j0+cols-1; the next tile's rows are fetched meanwhile. */
static void copied_rows(const struct gemm *g, size_t i, size_t m, size_t j0, size_t cols)
{
    float copy[GEMM_MR * COPY_ROW];
    struct gemm t = *g;
    for (size_t r = 0; r < m; r++)
        memcpy(copy + r * COPY_ROW, g->a + (ptrdiff_t)(i + r) * g->a_row, g->k * sizeof *copy);
    t.a = copy;
    t.a_row = COPY_ROW;
    t.c += (ptrdiff_t)i * g->c_row;
    t.init = g->init ? g->init + (ptrdiff_t)i * g->init_row : NULL;
    t.add = g->add ? g->add + (ptrdiff_t)i * g->add_row : NULL;
    for (size_t j = j0; j < j0 + cols; j += NR) {
        const size_t part = (j - j0) / NR, parts = (cols + NR - 1) / NR;
        if (i + 2 * GEMM_MR <= g->m)
            for (size_t r = part * GEMM_MR / parts; r < (part + 1) * GEMM_MR / parts; r++)
                for (size_t p = 0; p < g->k; p += 16)
                    __builtin_prefetch(g->a + (ptrdiff_t)(i + GEMM_MR + r) * g->a_row + p, 0, 2);
        rows_of_panel(&t, 0, m, j);
    }
}

/* All of it with copies, k in blocks: the chain goes on from what was stored in C. */
static void gemm_copied(const struct gemm *g, size_t rows)
{
    for (size_t i0 = 0; i0 < g->m; i0 += rows)
        for (size_t j = 0; j < g->n; j += COLS)
            for (size_t k0 = 0; k0 < g->k; k0 += COPY_DEPTH) {
                struct gemm t = *g;
                t.m = i0 + rows < g->m ? i0 + rows : g->m;
                t.k = g->k - k0 < COPY_DEPTH ? g->k - k0 : COPY_DEPTH;
                t.a += k0;
                t.b += k0 * g->b_row;
                t.add = k0 + t.k == g->k ? g->add : NULL;
                if (k0 > 0) {
                    t.init = g->c;
                    t.init_row = g->c_row;
                }
                for (size_t i = i0; i < t.m; i += GEMM_MR)
                    copied_rows(&t, i, t.m - i < GEMM_MR ? t.m - i : GEMM_MR, j, g->n - j < COLS ? g->n - j : COLS);
            }
}

void K(gemm_f32)(const struct gemm *g)
{
    const size_t deep = g->k < COPY_DEPTH ? g->k : COPY_DEPTH;
    const bool clash = g->a_col == 1 && g->a_row % CLASH == 0 && g->n > COPY_FROM && g->m > GEMM_MR && g->k > 0;
    if (clash && (g->k <= COPY_DEPTH || g->add != g->c)) {
        gemm_copied(g, A_FLOATS / deep / GEMM_MR * GEMM_MR);
        return;
    }
    size_t rows = A_FLOATS / (g->k ? g->k : 1) / GEMM_MR * GEMM_MR;
    if (g->a_panel) /* whoever packed it chose the block */
        rows = g->m + GEMM_MR;
    rows = rows < LEAST_TILES * GEMM_MR ? LEAST_TILES * GEMM_MR : rows;
    for (size_t i = 0; i < g->m; i += rows)
        for (size_t j = 0; j < g->n; j += NR)
            rows_of_panel(g, i, i + rows < g->m ? i + rows : g->m, j);
}

/* Rows of src lie side by side in memory, `row` apart: a few of them through all panels, so that both sides go along lines. */
static void pack_rows_across(float *dst, const float *src, ptrdiff_t row, size_t k, size_t n)
{
    for (size_t p0 = 0; p0 < k; p0 += ACROSS) {
        const size_t end = k - p0 < ACROSS ? k : p0 + ACROSS;
        for (size_t j = 0; j < n; j += NR) {
            float *to = dst + j * k;
            const float *from = src + j;
            if (j + NR <= n)
                for (size_t p = p0; p < end; p++)
                    UNROLL
                    for (size_t v = 0; v < NR; v += 16)
                        vf_store(to + p * NR + v, vf_load(from + (ptrdiff_t)p * row + v));
            else
                for (size_t p = p0; p < end; p++)
                    for (size_t v = 0; v < NR; v += 16)
                        vf_store(to + p * NR + v, vf_load_n(from + (ptrdiff_t)p * row + v, left(n - j, v)));
        }
    }
}

void K(pack_f32)(float *dst, const float *src, ptrdiff_t row, ptrdiff_t col, size_t k, size_t n)
{
    if (col == 1) {
        pack_rows_across(dst, src, row, k, n);
        return;
    }
    for (size_t j = 0; j < n; j += NR) {
        const size_t w = n - j < NR ? n - j : NR;
        const float *s = src + (ptrdiff_t)j * col;
        /* 16 x 16 at a time, so that both sides are touched by whole lines; row is 1 in every use we have */
        for (size_t p0 = 0; p0 < k; p0 += 16)
            for (size_t c0 = 0; c0 < NR; c0 += 16) {
                const float *from = s + (ptrdiff_t)p0 * row + (ptrdiff_t)c0 * col;
                float *to = dst + p0 * NR + c0;
                if (row == 1 && p0 + 16 <= k && c0 + 16 <= w) {
                    transpose16(to, NR, from, col);
                    continue;
                }
                for (size_t p = 0; p < 16 && p0 + p < k; p++)
                    for (size_t c = 0; c < 16; c++)
                        to[p * NR + c] = c0 + c < w ? from[(ptrdiff_t)p * row + (ptrdiff_t)c * col] : 0;
            }
        dst += k * NR;
    }
}

/* Columns p … end-1 of a panel's `rows` rows, element by element. */
static void pack_a_plain(float *panel, const float *src, ptrdiff_t row, ptrdiff_t col, size_t rows, size_t p, size_t end)
{
    for (; p < end; p++)
        for (size_t i = 0; i < GEMM_MR; i++)
            panel[p * GEMM_MR + i] = i < rows ? src[(ptrdiff_t)i * row + (ptrdiff_t)p * col] : 0;
}

void K(pack_a_f32)(float *dst, const float *src, ptrdiff_t row, ptrdiff_t col, size_t m, size_t k)
{
    if (row == 1) { /* as in pack_rows_across */
        for (size_t p0 = 0; p0 < k; p0 += ACROSS) {
            const size_t end = k - p0 < ACROSS ? k : p0 + ACROSS;
            for (size_t i = 0; i < m; i += GEMM_MR) {
                if (i + GEMM_MR > m) {
                    pack_a_plain(dst + i * k, src + i, 1, col, m - i, p0, end);
                    continue;
                }
                for (size_t p = p0; p < end; p++)
                    memcpy(dst + i * k + p * GEMM_MR, src + i + (ptrdiff_t)p * col, GEMM_MR * sizeof *dst);
            }
        }
        return;
    }
    for (size_t i = 0; i < m; i += GEMM_MR) {
        float *panel = dst + i * k;
        const float *s = src + (ptrdiff_t)i * row;
        size_t p = 0;
        if (col == 1 && i + GEMM_MR <= m)
            for (; p + 16 <= k; p += 16)
                transpose_mr(panel + p * GEMM_MR, s + p, row);
        pack_a_plain(panel, s, row, col, m - i < GEMM_MR ? m - i : GEMM_MR, p, k);
    }
}
