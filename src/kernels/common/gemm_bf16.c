/* SPDX-License-Identifier: MIT
 * gemm_bf16.c - C = (add +) (init + A·B) in bf16 pairs, for the levels that multiply vectors (amx has its own).
 *
 * The register tile is BF16_MR rows by BF16_NV vectors of 16 columns; rows that are left over go in tiles of 8, 4, 2, 1.
 * Every element is the chain of BF16_PAIRS whichever tile or block it falls in: between two blocks of k it rests in
 * g->sum as the f32 it is.
 *
 * Bound by the multiply-add units: per pair a tile loads BF16_NV vectors of B and broadcasts BF16_MR pairs of A.  A block of
 * B (COLS columns by DEPTH) is meant to stay in L2 while the row tiles pass over it.  Rows of A as they lie are copied tile by
 * tile to the stack first: with rows a multiple of 4 KiB apart all lines of a tile would fall into one set of L1.
 */
#include "kernels_internal_bf16.h"

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { MR = BF16_MR, NR = 16 * BF16_NV, DEPTH = GEMM_BF16_DEPTH, ROWS = GEMM_BF16_ROWS, COLS = GEMM_BF16_COLS };
enum { COPY_ROW = DEPTH + 32 }; /* elements; odd in lines, so that the rows of a tile lie in different sets of L1 */

/* One block of k for one tile of C: rows from i, n columns from j. */
struct tile {
    const bf16 *a, *b;
    size_t pairs;
    bool copied;
    const float *start; /* NULL: 0 */
    size_t start_row;
    float *rest;        /* NULL: the chain ends here, finish it into C */
    size_t i, j, n;
};

/* mr, full (all columns are there) and copied (A is a copy of rows, not a panel) are constants at every call, so the
 * accumulators are registers and the addresses of A one register and constants. */
SIMD void tile_compute(const size_t mr, const bool full, const bool copied, const struct gemm_bf16 *g,
                       const struct tile *t)
{
    const bf16 *a = t->a, *b = t->b;
    const size_t a_row = copied ? COPY_ROW : 2, a_pair = copied ? 2 : 2 * MR, n = full ? NR : t->n;
    vf acc[BF16_MR][BF16_NV];

    UNROLL
    for (size_t i = 0; i < mr; i++) {
        UNROLL
        for (size_t v = 0; v < BF16_NV; v++) {
            const float *start = t->start ? t->start + i * t->start_row + 16 * v : NULL;
            acc[i][v] = !start ? vf_set1(0) : full ? vf_load(start) : vf_load_n(start, left(n, 16 * v));
        }
    }
    if (!t->rest && g->c) {
        UNROLL
        for (size_t i = 0; i < mr; i++) { /* the output's lines arrive while the products are made */
            UNROLL
            for (size_t v = 0; v < BF16_NV; v++)
                __builtin_prefetch(g->c + (t->i + i) * g->c_row + t->j + 16 * v, 1);
        }
    }
    for (size_t q = 0; q < t->pairs; q++) {
        vp bv[BF16_NV];
        UNROLL
        for (size_t v = 0; v < BF16_NV; v++)
            bv[v] = vp_load(b + 32 * v);
        UNROLL
        for (size_t i = 0; i < mr; i++) {
            const vp av = vp_set1(a + i * a_row);
            UNROLL
            for (size_t v = 0; v < BF16_NV; v++)
                acc[i][v] = vp_dot(acc[i][v], av, bv[v]);
        }
        for (size_t v = 0; v < BF16_NV; v++)
            __builtin_prefetch(b + g->b_panel + 32 * v, 0, 2);
        a += a_pair;
        b += 2 * NR;
    }
    UNROLL
    for (size_t i = 0; i < mr; i++) {
        UNROLL
        for (size_t v = 0; v < BF16_NV; v++) {
            if (t->rest)
                vf_store(t->rest + i * COLS + 16 * v, acc[i][v]);
            else
                finish_16(g, acc[i][v], t->i + i, t->j + 16 * v, left(n, 16 * v));
        }
    }
}

#define TILE_FUNCTION(mr)                                                                                              \
    static __attribute__((noinline)) void tile_##mr(const struct gemm_bf16 *g, const struct tile *t)                   \
    {                                                                                                                  \
        if (t->n == NR && t->copied)                                                                                   \
            tile_compute(mr, true, true, g, t);                                                                        \
        else if (t->n == NR)                                                                                           \
            tile_compute(mr, true, false, g, t);                                                                       \
        else if (t->copied)                                                                                            \
            tile_compute(mr, false, true, g, t);                                                                       \
        else                                                                                                           \
            tile_compute(mr, false, false, g, t);                                                                      \
    }
TILE_FUNCTION(1)
TILE_FUNCTION(2)
TILE_FUNCTION(4)
#if BF16_MR > 4
TILE_FUNCTION(8)
TILE_FUNCTION(12)
#endif

/* m <= MR rows; the pieces differ in where they begin alone. */
static void rows_compute(const struct gemm_bf16 *g, struct tile t, size_t m)
{
#if BF16_MR > 4
    if (m == 12) {
        tile_12(g, &t);
        return;
    }
#endif
    for (size_t done = 0; done < m;) {
        const size_t now = MR > 4 && m - done >= 8 ? 8 : m - done >= 4 ? 4 : m - done >= 2 ? 2 : 1;
        switch (now) {
#if BF16_MR > 4
        case 8:
            tile_8(g, &t);
            break;
#endif
        case 4:
            tile_4(g, &t);
            break;
        case 2:
            tile_2(g, &t);
            break;
        default:
            tile_1(g, &t);
        }
        done += now;
        t.i += now;
        t.a += now * (t.copied ? COPY_ROW : 2);
        t.start = t.start ? t.start + now * t.start_row : NULL;
        t.rest = t.rest ? t.rest + now * COLS : NULL;
    }
}

/* The part-th of `parts` of the next tile's rows: it is far away, and rows are too short for the CPU to foresee them. */
static void fetch_rows(const bf16 *a, size_t a_row, size_t k, size_t part, size_t parts)
{
    for (size_t r = part * MR / parts; r < (part + 1) * MR / parts; r++)
        for (size_t p = 0; p < k; p += 32)
            __builtin_prefetch(a + r * a_row + p, 0, 2);
}

/* One block of k of the columns j0 … j0+cols-1 of m <= MR rows from i; `sum` is where their partial sums rest. */
static void block_of_k(const struct gemm_bf16 *g, size_t i, size_t m, size_t j0, size_t cols, size_t k0, size_t k,
                       float *sum)
{
    bf16 copy[MR * COPY_ROW];
    struct tile t = {.pairs = (k + 1) / 2, .i = i};
    if (g->a_row) {
        copy_rows(copy, COPY_ROW, g->a + i * g->a_row + k0, g->a_row, m, k);
        t.a = copy;
        t.copied = true;
    } else {
        t.a = g->a + i / MR * g->a_panel + k0 * MR;
    }
    const size_t panels = (cols + NR - 1) / NR;
    for (size_t j = j0; j < j0 + cols; j += NR) {
        if (g->a_row && i + 2 * MR <= g->m)
            fetch_rows(g->a + (i + MR) * g->a_row + k0, g->a_row, k, (j - j0) / NR, panels);
        t.j = j;
        t.n = j0 + cols - j < NR ? j0 + cols - j : NR;
        t.b = g->b + j / NR * g->b_panel + k0 * NR;
        t.rest = k0 + k < g->k ? sum + (j - j0) : NULL;
        if (k0 > 0) {
            t.start = sum + (j - j0);
            t.start_row = COLS;
        } else if (g->init) {
            t.start = g->init + i * g->init_row + j;
            t.start_row = g->init_row;
        }
        rows_compute(g, t, m);
    }
}

void K(gemm_bf16)(const struct gemm_bf16 *g)
{
    const bf16_environment old = bf16_environment_enter();
    const size_t depth = block_depth(g->k, DEPTH);
    for (size_t i0 = 0; i0 < g->m; i0 += ROWS)
        for (size_t j = 0; j < g->n; j += COLS) {
            const size_t cols = g->n - j < COLS ? g->n - j : COLS;
            for (size_t k0 = 0; k0 < g->k; k0 += depth)
                for (size_t i = i0; i < i0 + ROWS && i < g->m; i += MR)
                    block_of_k(g, i, g->m - i < MR ? g->m - i : MR, j, cols, k0, g->k - k0 < depth ? g->k - k0 : depth,
                               g->sum + (i - i0) * COLS);
        }
    bf16_environment_leave(old);
}
