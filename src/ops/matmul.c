/* SPDX-License-Identifier: MIT
 * matmul.c - blocking for the caches around kernels' gemm_f32.
 *
 * Rows through a matrix: the row block is the caller's (it is in L2 already); panels of B stream past it.  The sum
 * over k may be cut into blocks of DEPTH: the chain goes on from what was stored, so the bits stay the same.  Not
 * when add is y, which a partial sum would overwrite.
 * Gradient of a matrix: tiles of at most TILE_IN x TILE_OUT are the units members own; rows come in blocks of ROWS, partial
 * sums in a tile that stays in L2.  An operand whose rows lie further apart than NEAR_ROWS floats, so that every row is
 * another page, is copied into scratch first; nearer ones are walked where they lie.
 * What bounds it beside the FMAs is reading x and dy from L3, out/TILE_OUT and in/TILE_IN times; narrow matrices get
 * half-wide tiles all the same, or there would be too few to share out evenly.
 */
#include "ops/matmul.h"

#include "base/arena.h"
#include "kernels/kernels.h"

#include <string.h>

enum { TILE_IN = 192, TILE_OUT = 128, SMALL_OUT = 512, ROWS = 256, DEPTH = 3072, NEAR_ROWS = 640 };

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

size_t packed_bytes(size_t k, size_t n)
{
    const size_t nr = kernels_get()->nr;
    return ceil_div(n, nr) * nr * k * sizeof(float);
}

size_t matmul_pack_units(size_t n)
{
    return ceil_div(n, kernels_get()->nr);
}

/* Columns of one panel, j0 … j0+width-1 of the whole, from the parts they lie in: element by element, for panels that
 * straddle an edge are few. */
static void pack_across(float *panel, size_t nr, size_t j0, size_t k, const struct part *parts, size_t n_parts)
{
    memset(panel, 0, k * nr * sizeof(float));
    for (size_t i = 0, first = 0; i < n_parts && first < j0 + nr; first += parts[i++].n)
        for (size_t j = first > j0 ? first : j0; j < first + parts[i].n && j < j0 + nr; j++)
            for (size_t p = 0; p < k; p++)
                panel[p * nr + j - j0] = parts[i].data[p * parts[i].row + (j - first) * parts[i].col];
}

void matmul_pack_beside(struct sphere *me, struct packed *dst, const struct part *parts, size_t n_parts)
{
    const struct kernels *kn = kernels_get();
    const size_t nr = kn->nr;
    const struct share panels = sphere_share(me, ceil_div(dst->n, nr));
    for (size_t panel = panels.begin; panel < panels.end; panel++) {
        const size_t j0 = panel * nr, width = dst->n - j0 < nr ? dst->n - j0 : nr;
        size_t i = 0, first = 0;
        while (j0 >= first + parts[i].n)
            first += parts[i++].n;
        const struct part *part = &parts[i];
        if (j0 + width <= first + part->n)
            kn->pack_f32(dst->data + j0 * dst->k, part->data + (j0 - first) * part->col, (ptrdiff_t)part->row,
                         (ptrdiff_t)part->col, dst->k, width);
        else
            pack_across(dst->data + j0 * dst->k, nr, j0, dst->k, parts, n_parts);
    }
}

void matmul_pack(struct sphere *me, struct packed *dst, const float *src, size_t row, size_t col)
{
    const struct part whole = {src, row, col, dst->k, dst->n};
    matmul_pack_beside(me, dst, &whole, 1);
}

void matmul_pack_below(struct sphere *me, struct packed *dst, const struct part *parts, size_t n_parts)
{
    const struct kernels *kn = kernels_get();
    const size_t nr = kn->nr;
    const struct share panels = sphere_share(me, ceil_div(dst->n, nr));
    for (size_t panel = panels.begin; panel < panels.end; panel++) {
        const size_t j0 = panel * nr, width = dst->n - j0 < nr ? dst->n - j0 : nr;
        float *to = dst->data + j0 * dst->k;
        for (size_t i = 0; i < n_parts; to += parts[i++].k * nr)
            kn->pack_f32(to, parts[i].data + j0 * parts[i].col, (ptrdiff_t)parts[i].row, (ptrdiff_t)parts[i].col,
                         parts[i].k, width);
    }
}

/* Columns begin … end-1 of the product, begin at a panel's edge; k in blocks, so that a panel's block stays in L2. */
static void product(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    const struct packed *b, const float *bias, const float *add, size_t add_stride, size_t begin,
                    size_t end)
{
    const struct kernels *kn = kernels_get();
    if (begin >= end || rows == 0)
        return;
    const size_t depth = add == y ? b->k : DEPTH;
    for (size_t k0 = 0; k0 < b->k; k0 += depth) {
        const size_t k = b->k - k0 < depth ? b->k - k0 : depth;
        const bool last = k0 + k == b->k;
        struct gemm g = {.m = rows, .n = end - begin, .k = k, .a = x + k0, .a_row = (ptrdiff_t)x_stride, .a_col = 1};
        g.b = b->data + begin * b->k + k0 * kn->nr;
        g.b_panel = b->k * kn->nr;
        g.b_row = kn->nr;
        g.c = y + begin;
        g.c_row = (ptrdiff_t)y_stride;
        if (k0 > 0) {
            g.init = g.c;
            g.init_row = g.c_row;
        } else if (bias) {
            g.init = bias + begin;
        }
        if (last && add) {
            g.add = add + begin;
            g.add_row = (ptrdiff_t)add_stride;
        }
        kn->gemm_f32(&g);
    }
    sphere_count_flops(me, 2 * (uint64_t)rows * (end - begin) * b->k);
}

void matmul_rows(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                 const struct packed *b, const float *bias, const float *add, size_t add_stride)
{
    product(me, y, y_stride, x, x_stride, rows, b, bias, add, add_stride, 0, b->n);
}

struct share matmul_column_share(const struct sphere *me, size_t n)
{
    const size_t nr = kernels_get()->nr;
    struct share s = sphere_share(me, ceil_div(n, nr));
    s.begin = s.begin * nr < n ? s.begin * nr : n;
    s.end = s.end * nr < n ? s.end * nr : n;
    return s;
}

void matmul_columns(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    const struct packed *b, const float *bias, const float *add, size_t add_stride)
{
    const struct share s = matmul_column_share(me, b->n);
    product(me, y, y_stride, x, x_stride, rows, b, bias, add, add_stride, s.begin, s.end);
}

/* The tile of an [in,out] matrix: in is cut evenly, in fours. */
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

size_t weight_grad_units(size_t in, size_t out)
{
    const struct tile t = tile_of(in, out);
    return t.down * t.across;
}

size_t weight_grad_scratch_bytes(size_t rows)
{
    const size_t k = rows < ROWS ? rows : ROWS;
    return arena_piece_bytes(k * TILE_IN * sizeof(float)) + arena_piece_bytes(packed_bytes(k, TILE_OUT)) +
           arena_piece_bytes(sizeof(float) * TILE_IN * TILE_OUT);
}

static void copy_block(float *dst, const float *src, size_t stride, size_t rows, size_t cols)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(dst + r * cols, src + r * stride, cols * sizeof(float));
}

static void grad_tile(const struct kernels *kn, const struct weight_grad *g, size_t i0, size_t m, size_t j0, size_t n,
                      float *xs, float *dys, float *sum)
{
    float *dw = g->dw + i0 * g->out + j0;
    for (size_t r0 = 0; r0 < g->rows; r0 += ROWS) {
        const size_t k = g->rows - r0 < ROWS ? g->rows - r0 : ROWS;
        const bool first = r0 == 0, last = r0 + k == g->rows;
        const float *x = g->x + r0 * g->x_stride + i0, *dy = g->dy + r0 * g->dy_stride + j0;
        struct gemm p = {.m = m, .n = n, .k = k, .a = x, .a_row = 1, .a_col = (ptrdiff_t)g->x_stride};
        if (g->x_stride > NEAR_ROWS) {
            copy_block(xs, x, g->x_stride, k, m);
            p.a = xs;
            p.a_col = (ptrdiff_t)m;
        }
        p.b = dy;
        p.b_panel = kn->nr;
        p.b_row = g->dy_stride;
        if (g->dy_stride > NEAR_ROWS) {
            kn->pack_f32(dys, dy, (ptrdiff_t)g->dy_stride, 1, k, n);
            p.b = dys;
            p.b_panel = k * kn->nr;
            p.b_row = kn->nr;
        }
        p.c = last ? dw : sum;
        p.c_row = last ? (ptrdiff_t)g->out : TILE_OUT;
        if (!first) {
            p.init = sum;
            p.init_row = TILE_OUT;
        } else if (g->mode == GRAD_CONTINUE) {
            p.init = dw;
            p.init_row = (ptrdiff_t)g->out;
        }
        if (last && g->mode == GRAD_ADD) {
            p.add = dw;
            p.add_row = (ptrdiff_t)g->out;
        }
        kn->gemm_f32(&p);
    }
}

static void grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct weight_grad *g = ctx;
    const struct kernels *kn = kernels_get();
    const struct tile t = tile_of(g->in, g->out);
    const size_t mark = arena_mark(&me->scratch), k = g->rows < ROWS ? g->rows : ROWS;
    float *xs = arena_alloc(&me->scratch, k * TILE_IN * sizeof(float));
    float *dys = arena_alloc(&me->scratch, packed_bytes(k, TILE_OUT));
    float *sum = arena_alloc(&me->scratch, sizeof(float) * TILE_IN * TILE_OUT);
    for (size_t u = begin; u < end; u++) {
        const size_t i0 = u % t.down * t.rows, j0 = u / t.down * t.cols;
        const size_t m = g->in - i0 < t.rows ? g->in - i0 : t.rows, n = g->out - j0 < t.cols ? g->out - j0 : t.cols;
        grad_tile(kn, g, i0, m, j0, n, xs, dys, sum);
        sphere_count_flops(me, 2 * (uint64_t)m * n * g->rows);
    }
    arena_reset(&me->scratch, mark);
}

struct work weight_grad_work(const struct weight_grad *g)
{
    const struct tile t = tile_of(g->in, g->out);
    const size_t n = t.cols < g->out ? t.cols : g->out;
    return (struct work){
        .units = t.down * t.across, .cost = 2 * (uint64_t)t.rows * n * g->rows, .run = grad_run, .ctx = g};
}
