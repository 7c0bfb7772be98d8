/* SPDX-License-Identifier: MIT
 * gemm.c - C = (add +) (init + A·B) on packed panels of B.
 *
 * The register tile is GEMM_MR rows by GEMM_NV vectors of 16; rows that are left over go in tiles of 8, 4, 2, 1.
 * Every element is one chain of fused multiply-adds over p = 0 … k-1, whichever tile it falls in, so tile shapes do
 * not reach the result.  Bound by the FMA units: per p a tile loads GEMM_NV vectors and GEMM_MR scalars for
 * GEMM_MR * GEMM_NV FMAs; a block of A's rows stays in L2 while panels of B (k * nr floats) stream past, the next one
 * fetched while one is in use.
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

/* One tile of `mr` rows and n <= NR columns; mr and full (n == NR) are constants at every call, so the accumulators are
 * registers and a whole panel is read without masks. */
SIMD void tile(const size_t mr, const bool full, const struct gemm *g, size_t i0, size_t j0, size_t n)
{
    const float *a = g->a + (ptrdiff_t)i0 * g->a_row;
    const float *b = g->b + j0 / NR * g->b_panel;
    const ptrdiff_t a_row = g->a_row, a_col = g->a_col;
    const size_t b_row = g->b_row;
    vf acc[GEMM_MR][GEMM_NV];

    UNROLL
    for (size_t i = 0; i < mr; i++) {
        const float *init = g->init ? g->init + (ptrdiff_t)(i0 + i) * g->init_row + j0 : NULL;
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            acc[i][v] = !init ? vf_set1(0) : full ? vf_load(init + 16 * v) : vf_load_n(init + 16 * v, left(n, 16 * v));
    }
    UNROLL
    for (size_t i = 0; i < mr; i++) { /* the output's lines arrive while the products are made */
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            __builtin_prefetch(g->c + (ptrdiff_t)(i0 + i) * g->c_row + j0 + 16 * v, 1);
    }
    for (size_t p = 0; p < g->k; p++) {
        vf bv[GEMM_NV];
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            bv[v] = full ? vf_load(b + 16 * v) : vf_load_n(b + 16 * v, left(n, 16 * v));
        UNROLL
        for (size_t i = 0; i < mr; i++) {
            const vf av = vf_set1(a[(ptrdiff_t)i * a_row]);
            UNROLL
            for (size_t v = 0; v < GEMM_NV; v++)
                acc[i][v] = vf_fma(av, bv[v], acc[i][v]);
        }
        if (full) /* the next panel comes from further away than this one */
            UNROLL
            for (size_t v = 0; v < GEMM_NV; v++)
                __builtin_prefetch(b + g->b_panel + 16 * v, 0, 2);
        a += a_col;
        b += b_row;
    }
    UNROLL
    for (size_t i = 0; i < mr; i++) {
        const float *add = g->add ? g->add + (ptrdiff_t)(i0 + i) * g->add_row + j0 : NULL;
        float *c = g->c + (ptrdiff_t)(i0 + i) * g->c_row + j0;
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++) {
            vf r = acc[i][v];
            if (add)
                r = vf_add(full ? vf_load(add + 16 * v) : vf_load_n(add + 16 * v, left(n, 16 * v)), r);
            if (full)
                vf_store(c + 16 * v, r);
            else
                vf_store_n(c + 16 * v, r, left(n, 16 * v));
        }
    }
}

#define TILE_FUNCTION(mr)                                                                                              \
    static __attribute__((noinline)) void tile_##mr(const struct gemm *g, size_t i0, size_t j0, size_t n)              \
    {                                                                                                                  \
        if (n == NR)                                                                                                   \
            tile(mr, true, g, i0, j0, NR);                                                                             \
        else                                                                                                           \
            tile(mr, false, g, i0, j0, n);                                                                             \
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
    rows = rows < LEAST_TILES * GEMM_MR ? LEAST_TILES * GEMM_MR : rows;
    for (size_t i = 0; i < g->m; i += rows)
        for (size_t j = 0; j < g->n; j += NR)
            rows_of_panel(g, i, i + rows < g->m ? i + rows : g->m, j);
}

void K(pack_f32)(float *dst, const float *src, ptrdiff_t row, ptrdiff_t col, size_t k, size_t n)
{
    for (size_t j = 0; j < n; j += NR) {
        const size_t w = n - j < NR ? n - j : NR;
        const float *s = src + (ptrdiff_t)j * col;
        if (col == 1) {
            for (size_t p = 0; p < k; p++)
                for (size_t v = 0; v < NR; v += 16)
                    vf_store(dst + p * NR + v, vf_load_n(s + (ptrdiff_t)p * row + v, left(w, v)));
        } else {
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
        }
        dst += k * NR;
    }
}
