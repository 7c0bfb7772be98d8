/* SPDX-License-Identifier: MIT
 * matmul.c - blocking for the caches around kernels' gemm_f32; what is rounded to bf16 goes on in matmul_rounded.c, the
 * gradient of a matrix in matmul_grad.c.
 *
 * Rows of x go in blocks that are packed into scratch and read once for each panel of B, in one stream that the CPU fetches
 * ahead; a panel's part stays in L2 while they pass.  Narrow products are not worth the packing.  The sum over k may be
 * cut: the chain goes on from what was stored, so the bits stay the same.  Not when add is y, which a partial sum would
 * overwrite.
 */
#include "ops/matmul.h"

#include "base/arena.h"
#include "kernels/kernels.h"
#include "matmul_internal.h"

#include <string.h>

/* Packed from so many columns on; from fewer where all of a tile's rows fall into one set of L1 (4 KiB apart). */
enum { PACK_COLS = 384, PACK_COLS_CLASH = 64, CLASH = 1024 };

static size_t panel_width(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? rounded__panel_width() : kernels_get()->nr;
}

static size_t panels_bytes(size_t k, size_t n)
{
    const size_t nr = kernels_get()->nr;
    return ceil_div(n, nr) * nr * k * sizeof(float);
}

size_t packed_bytes(enum dtype dtype, size_t k, size_t n)
{
    return dtype == DTYPE_BF16 ? rounded__packed_bytes(k, n) : panels_bytes(k, n);
}

size_t matmul_pack_units(enum dtype dtype, size_t n)
{
    return ceil_div(n, panel_width(dtype));
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
    const struct share panels = sphere_share(me, ceil_div(dst->n, panel_width(dst->dtype)));
    float *data = dst->data;
    if (dst->dtype == DTYPE_BF16) {
        rounded__pack(dst, parts, n_parts, false, panels);
        return;
    }
    for (size_t panel = panels.begin; panel < panels.end; panel++) {
        const size_t j0 = panel * nr, width = dst->n - j0 < nr ? dst->n - j0 : nr;
        size_t i = 0, first = 0;
        while (j0 >= first + parts[i].n)
            first += parts[i++].n;
        const struct part *part = &parts[i];
        if (j0 + width <= first + part->n)
            kn->pack_f32(data + j0 * dst->k, part->data + (j0 - first) * part->col, (ptrdiff_t)part->row,
                         (ptrdiff_t)part->col, dst->k, width);
        else
            pack_across(data + j0 * dst->k, nr, j0, dst->k, parts, n_parts);
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
    const struct share panels = sphere_share(me, ceil_div(dst->n, panel_width(dst->dtype)));
    if (dst->dtype == DTYPE_BF16) {
        rounded__pack(dst, parts, n_parts, true, panels);
        return;
    }
    for (size_t panel = panels.begin; panel < panels.end; panel++) {
        const size_t j0 = panel * nr, width = dst->n - j0 < nr ? dst->n - j0 : nr;
        float *to = (float *)dst->data + j0 * dst->k;
        for (size_t i = 0; i < n_parts; to += parts[i++].k * nr)
            kn->pack_f32(to, parts[i].data + j0 * parts[i].col, (ptrdiff_t)parts[i].row, (ptrdiff_t)parts[i].col,
                         parts[i].k, width);
    }
}

/* Floats of a block of x's rows: more than L2 holds, for they are read in order; 1.5 of it did best. */
static size_t block_floats(void)
{
    return kernels_l2_bytes() * 3 / 2 / sizeof(float);
}

/* The depth of a block: its part of a panel of B is a quarter of L2 at most. */
static size_t block_depth(const struct kernels *kn, size_t k)
{
    const size_t most = kernels_l2_bytes() / 4 / sizeof(float) / kn->nr;
    return k > most ? even_part(k, most, 16) : k;
}

/* Columns begin … end-1 of the product, begin at a panel's edge. */
static void product(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    const struct packed *b, const float *bias, const float *add, size_t add_stride, size_t begin,
                    size_t end)
{
    const struct kernels *kn = kernels_get();
    if (begin >= end || rows == 0 || b->k == 0)
        return;
    sphere_count_flops(me, 2 * (uint64_t)rows * (end - begin) * b->k);
    if (b->dtype == DTYPE_BF16) {
        rounded__product(me, y, y_stride, x, x_stride, rows, b, bias, add, add_stride, begin, end);
        return;
    }
    const size_t depth = add == y ? b->k : block_depth(kn, b->k);
    const bool pack = rows >= kn->mr && depth * kn->mr <= block_floats() &&
                      end - begin >= (x_stride % CLASH == 0 ? PACK_COLS_CLASH : PACK_COLS);
    const size_t block = pack ? even_part(rows, block_floats() / depth / kn->mr * kn->mr, kn->mr) : rows;
    const size_t mark = arena_mark(&me->scratch);
    float *panels = pack ? arena_alloc(&me->scratch, block_floats() * sizeof(float)) : NULL;
    for (size_t i = 0; i < rows; i += block)
        for (size_t k0 = 0; k0 < b->k; k0 += depth) {
            const size_t m = rows - i < block ? rows - i : block, k = b->k - k0 < depth ? b->k - k0 : depth;
            struct gemm g = {.m = m, .n = end - begin, .k = k, .a = x + i * x_stride + k0, .a_col = 1};
            g.a_row = (ptrdiff_t)x_stride;
            if (pack) {
                kn->pack_a_f32(panels, g.a, g.a_row, 1, m, k);
                g.a = panels;
                g.a_row = 1;
                g.a_col = (ptrdiff_t)kn->mr;
                g.a_panel = k * kn->mr;
            }
            g.b = (const float *)b->data + begin * b->k + k0 * kn->nr;
            g.b_panel = b->k * kn->nr;
            g.b_row = kn->nr;
            g.c = y + i * y_stride + begin;
            g.c_row = (ptrdiff_t)y_stride;
            if (k0 > 0) {
                g.init = g.c;
                g.init_row = g.c_row;
            } else if (bias) {
                g.init = bias + begin;
            }
            if (add && k0 + k == b->k) {
                g.add = add + i * add_stride + begin;
                g.add_row = (ptrdiff_t)add_stride;
            }
            kn->gemm_f32(&g);
        }
    arena_reset(&me->scratch, mark);
}

void matmul_rows(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                 const struct packed *b, const float *bias, const float *add, size_t add_stride)
{
    product(me, y, y_stride, x, x_stride, rows, b, bias, add, add_stride, 0, b->n);
}

size_t matmul_scratch_bytes(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? rounded__product_scratch_bytes() : arena_piece_bytes(block_floats() * sizeof(float));
}

struct share matmul_column_share(const struct sphere *me, enum dtype dtype, size_t n)
{
    const size_t nr = panel_width(dtype);
    struct share s = sphere_share(me, ceil_div(n, nr));
    s.begin = s.begin * nr < n ? s.begin * nr : n;
    s.end = s.end * nr < n ? s.end * nr : n;
    return s;
}

void matmul_columns(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    const struct packed *b, const float *bias, const float *add, size_t add_stride)
{
    const struct share s = matmul_column_share(me, b->dtype, b->n);
    product(me, y, y_stride, x, x_stride, rows, b, bias, add, add_stride, s.begin, s.end);
}
