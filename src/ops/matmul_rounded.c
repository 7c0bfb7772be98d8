/* SPDX-License-Identifier: MIT
 * matmul_rounded.c - products of f32 operands that are rounded to bf16 on their way into the kernels.
 *
 * Rows through a matrix: blocks of ROWS by DEPTH of x are rounded into scratch and meet their block of k in the panels; the
 * chain of sums goes on from what was stored in y, so blocks do not reach the result.  Where the addend is y itself, which a
 * partial sum would overwrite, a block has all of k and fewer rows.
 * Gradient of a matrix: tiles of at most TILE_IN x TILE_OUT are the units members own.  Each rounds and packs the columns of
 * x and dy that it needs, SPAN rows at a time: (TILE_IN + TILE_OUT) elements for every TILE_IN * TILE_OUT products of a
 * row, 0.2 a hundred, which is a tenth of the time where a core multiplies at 0.2 TFLOP/s.
 */
#include "base/arena.h"
#include "base/check.h"
#include "kernels/kernels_bf16.h"
#include "matmul_internal.h"

#include <string.h>

enum { ROWS = 192, DEPTH = 1024, PACK_DEPTH = 256, PANEL_MAX = 64 };
enum { TILE_IN = GEMM_BF16_ROWS, TILE_OUT = GEMM_BF16_COLS, SMALL_OUT = 512, SPAN = 512 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t rounded__panel_width(void)
{
    return kernels_bf16_get()->nr;
}

/* Elements of a panel `width` wide. */
static size_t panel_elements(const struct kernels_bf16 *kn, size_t width, size_t k)
{
    return bf16_padded(k, kn->kr) * width;
}

size_t rounded__packed_bytes(size_t k, size_t n)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return ceil_div(n, kn->nr) * panel_elements(kn, kn->nr, k) * sizeof(bf16);
}

/* The part that holds row p (below) or column j (beside) of the whole, and where it begins. */
static const struct part *part_at(const struct part *parts, bool below, size_t at, size_t *first)
{
    *first = 0;
    for (;; parts++) {
        const size_t length = below ? parts->k : parts->n;
        if (at < *first + length)
            return parts;
        *first += length;
    }
}

/* A block of rows and columns that lies in several parts, element by element: there are few of them. */
static void gather(float *block, const struct part *parts, bool below, size_t p0, size_t k, size_t j0, size_t n)
{
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < n; j++) {
            size_t first;
            const struct part *part = part_at(parts, below, below ? p0 + p : j0 + j, &first);
            const size_t row = p0 + p - (below ? first : 0), col = j0 + j - (below ? 0 : first);
            block[p * n + j] = part->data[row * part->row + col * part->col];
        }
}

void rounded__pack(struct packed *dst, const struct part *parts, size_t n_parts, bool below, struct share panels)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const size_t nr = kn->nr, panel = panel_elements(kn, nr, dst->k);
    float block[PACK_DEPTH * PANEL_MAX];
    CHECK(nr <= PANEL_MAX && n_parts > 0);
    for (size_t u = panels.begin; u < panels.end; u++) {
        const size_t j0 = u * nr, n = least(nr, dst->n - j0);
        bf16 *to = (bf16 *)dst->data + u * panel;
        for (size_t p0 = 0; p0 < dst->k; p0 += PACK_DEPTH) {
            const size_t k = least(PACK_DEPTH, dst->k - p0);
            size_t first;
            const struct part *part = part_at(parts, below, below ? p0 : j0, &first);
            const size_t row = p0 - (below ? first : 0), col = j0 - (below ? 0 : first);
            if (row + k <= part->k && col + n <= part->n) {
                kn->pack_b_f32(to + p0 * nr, panel, part->data + row * part->row + col * part->col,
                               (ptrdiff_t)part->row, (ptrdiff_t)part->col, k, n);
            } else {
                gather(block, parts, below, p0, k, j0, n);
                kn->pack_b_f32(to + p0 * nr, panel, block, (ptrdiff_t)n, 1, k, n);
            }
        }
    }
}

size_t rounded__product_scratch_bytes(void)
{
    return arena_piece_bytes(ROWS * DEPTH * sizeof(bf16)) + arena_piece_bytes(GEMM_BF16_SUM_BYTES);
}

static void round_rows(const struct kernels_bf16 *kn, bf16 *dst, const float *src, size_t stride, size_t rows,
                       size_t cols)
{
    if (stride == cols) {
        kn->round_bf16(dst, src, rows * cols);
        return;
    }
    for (size_t r = 0; r < rows; r++)
        kn->round_bf16(dst + r * cols, src + r * stride, cols);
}

void rounded__product(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                      const struct packed *b, const float *bias, const float *add, size_t add_stride, size_t begin,
                      size_t end)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const size_t mark = arena_mark(&me->scratch), panel = panel_elements(kn, kn->nr, b->k);
    bf16 *x16 = arena_alloc(&me->scratch, ROWS * DEPTH * sizeof *x16);
    float *sum = arena_alloc(&me->scratch, GEMM_BF16_SUM_BYTES);
    const size_t depth = add == y ? b->k : DEPTH, block = add == y ? ROWS * DEPTH / b->k : ROWS;
    CHECK(block > 0); /* a matrix of so many rows is never added in place */
    for (size_t r = 0; r < rows; r += block)
        for (size_t k0 = 0; k0 < b->k; k0 += depth) {
            const size_t m = least(block, rows - r), k = least(depth, b->k - k0);
            struct gemm_bf16 g = {.m = m,
                                  .n = end - begin,
                                  .k = k,
                                  .a = x16,
                                  .a_row = k,
                                  .b = (const bf16 *)b->data + begin / kn->nr * panel + k0 * kn->nr,
                                  .b_panel = panel,
                                  .c = y + r * y_stride + begin,
                                  .c_row = y_stride,
                                  .sum = sum};
            if (k0 > 0) {
                g.init = g.c;
                g.init_row = g.c_row;
            } else if (bias) {
                g.init = bias + begin;
            }
            if (add && k0 + k == b->k) {
                g.add = add + r * add_stride + begin;
                g.add_row = add_stride;
            }
            round_rows(kn, x16, x + r * x_stride + k0, x_stride, m, k);
            kn->gemm_bf16(&g);
        }
    arena_reset(&me->scratch, mark);
}

/* --- gradient of a matrix ----------------------------------------------------------------------------------------- */

/* The tile of an [in,out] matrix: in is cut evenly. */
struct tile {
    size_t rows, cols, down, across;
};
static struct tile tile_of(size_t in, size_t out)
{
    struct tile t = {.down = ceil_div(in, TILE_IN), .cols = out <= SMALL_OUT ? TILE_OUT / 2 : TILE_OUT};
    t.rows = ceil_div(ceil_div(in, t.down), 4) * 4;
    t.down = ceil_div(in, t.rows);
    t.across = ceil_div(out, t.cols);
    return t;
}

size_t rounded__grad_units(size_t in, size_t out)
{
    const struct tile t = tile_of(in, out);
    return t.down * t.across;
}

struct grad_scratch {
    bf16 *rows;   /* [SPAN,TILE_IN] */
    bf16 *x, *dy; /* panels of SPAN */
    float *sum;
};

/* Panels hold whole widths. */
static size_t x_panels_bytes(const struct kernels_bf16 *kn)
{
    return ceil_div(TILE_IN, kn->mr) * panel_elements(kn, kn->mr, SPAN) * sizeof(bf16);
}
static size_t dy_panels_bytes(const struct kernels_bf16 *kn)
{
    return ceil_div(TILE_OUT, kn->nr) * panel_elements(kn, kn->nr, SPAN) * sizeof(bf16);
}

size_t rounded__grad_scratch_bytes(void)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return arena_piece_bytes(SPAN * TILE_IN * sizeof(bf16)) + arena_piece_bytes(x_panels_bytes(kn)) +
           arena_piece_bytes(dy_panels_bytes(kn)) + arena_piece_bytes(2 * GEMM_BF16_SUM_BYTES);
}

static void grad_tile(const struct kernels_bf16 *kn, const struct weight_grad *g, size_t i0, size_t m, size_t j0,
                      size_t n, const struct grad_scratch *s)
{
    float *dw = g->dw + i0 * g->out + j0, *rest = s->sum + TILE_IN * TILE_OUT;
    for (size_t r0 = 0; r0 < g->rows; r0 += SPAN) {
        const size_t k = least(SPAN, g->rows - r0);
        const bool last = r0 + k == g->rows;
        round_rows(kn, s->rows, g->x + r0 * g->x_stride + i0, g->x_stride, k, m);
        kn->pack_a_bf16(s->x, panel_elements(kn, kn->mr, SPAN), s->rows, m, m, k);
        kn->pack_b_f32(s->dy, panel_elements(kn, kn->nr, SPAN), g->dy + r0 * g->dy_stride + j0, (ptrdiff_t)g->dy_stride,
                       1, k, n);
        struct gemm_bf16 p = {.m = m,
                              .n = n,
                              .k = k,
                              .a = s->x,
                              .a_panel = panel_elements(kn, kn->mr, SPAN),
                              .b = s->dy,
                              .b_panel = panel_elements(kn, kn->nr, SPAN),
                              .c = last ? dw : rest,
                              .c_row = last ? g->out : TILE_OUT,
                              .sum = s->sum};
        if (r0 > 0) {
            p.init = rest;
            p.init_row = TILE_OUT;
        } else if (g->mode == GRAD_CONTINUE) {
            p.init = dw;
            p.init_row = g->out;
        }
        if (last && g->mode == GRAD_ADD) {
            p.add = dw;
            p.add_row = g->out;
        }
        kn->gemm_bf16(&p);
    }
}

static void grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct weight_grad *g = ctx;
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const struct tile t = tile_of(g->in, g->out);
    const size_t mark = arena_mark(&me->scratch);
    const struct grad_scratch s = {.rows = arena_alloc(&me->scratch, SPAN * TILE_IN * sizeof(bf16)),
                                   .x = arena_alloc(&me->scratch, x_panels_bytes(kn)),
                                   .dy = arena_alloc(&me->scratch, dy_panels_bytes(kn)),
                                   .sum = arena_alloc(&me->scratch, 2 * GEMM_BF16_SUM_BYTES)};
    for (size_t u = begin; u < end; u++) {
        const size_t i0 = u % t.down * t.rows, j0 = u / t.down * t.cols;
        const size_t m = least(t.rows, g->in - i0), n = least(t.cols, g->out - j0);
        grad_tile(kn, g, i0, m, j0, n, &s);
        sphere_count_flops(me, 2 * (uint64_t)m * n * g->rows);
    }
    arena_reset(&me->scratch, mark);
}

struct work rounded__grad_work(const struct weight_grad *g)
{
    const struct tile t = tile_of(g->in, g->out);
    const size_t n = least(t.cols, g->out);
    return (struct work){
        .units = t.down * t.across, .cost = 2 * (uint64_t)t.rows * n * g->rows, .run = grad_run, .ctx = g};
}
