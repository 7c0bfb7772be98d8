/* SPDX-License-Identifier: MIT
 * matmul_bf16.c - who does which tile of a bf16 product; the blocking for the caches is the kernel's own.
 *
 * Gradient of a matrix: units are tiles of ROWS x COLS elements, the block that a kernel keeps partial sums of.  Both operands are
 * activations, so a chunk of rows is packed first, each element once by one member: 32 rows are the unit there, since
 * the layout and the order of sums know blocks of 32.
 */
#include "ops/matmul_bf16.h"

#include "base/arena.h"
#include "base/check.h"
#include "kernels/kernels_bf16.h"

enum { PACK_ROWS = 32 };

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* Elements of panels of `width` for n rows or columns, k deep. */
static size_t panel_elements(const struct kernels_bf16 *kn, size_t width, size_t n, size_t k)
{
    return ceil_div(n, width) * width * bf16_padded(k, kn->kr);
}

size_t packed_bf16_bytes(size_t k, size_t n)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return panel_elements(kn, kn->nr, n, k) * sizeof(bf16);
}

void matmul_bf16_pack(struct sphere *me, struct packed_bf16 *dst, const float *src, size_t row, size_t col)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const size_t nr = kn->nr, panel = bf16_padded(dst->k, kn->kr) * nr;
    const struct share s = sphere_share(me, ceil_div(dst->n, nr));
    const size_t last = s.end * nr < dst->n ? s.end * nr : dst->n;
    if (s.begin < s.end)
        kn->pack_b_f32(dst->data + s.begin * panel, panel, src + s.begin * nr * col, (ptrdiff_t)row, (ptrdiff_t)col,
                       dst->k, last - s.begin * nr);
}

size_t matmul_bf16_scratch_bytes(void)
{
    return arena_piece_bytes(GEMM_BF16_SUM_BYTES);
}

void matmul_bf16_rows(struct sphere *me, const struct matmul_bf16 *p)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const size_t mark = arena_mark(&me->scratch);
    if (p->rows == 0)
        return;
    kn->gemm_bf16(&(struct gemm_bf16){.m = p->rows,
                                      .n = p->b->n,
                                      .k = p->b->k,
                                      .a = p->x,
                                      .a_row = p->x_stride,
                                      .b = p->b->data,
                                      .b_panel = bf16_padded(p->b->k, kn->kr) * kn->nr,
                                      .init = p->bias,
                                      .add = p->add,
                                      .add_row = p->add_stride,
                                      .c = p->y,
                                      .c_row = p->y_stride,
                                      .c16 = p->y16,
                                      .c16_row = p->y16_stride,
                                      .sum = arena_alloc(&me->scratch, GEMM_BF16_SUM_BYTES)});
    arena_reset(&me->scratch, mark);
    sphere_count_flops(me, 2 * (uint64_t)p->rows * p->b->n * p->b->k);
}

size_t weight_grad_bf16_panel_bytes(size_t in, size_t out, size_t chunk)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return (panel_elements(kn, kn->mr, in, chunk) + panel_elements(kn, kn->nr, out, chunk)) * sizeof(bf16);
}

static size_t rows_of_chunk(const struct weight_grad_bf16 *g, size_t r0)
{
    return g->rows - r0 < g->chunk ? g->rows - r0 : g->chunk;
}

/* Where the panels of x and of dy begin, and how far apart they are. */
struct panels {
    bf16 *x, *dy;
    size_t x_panel, dy_panel;
};
static struct panels panels_of(const struct kernels_bf16 *kn, const struct weight_grad_bf16 *g)
{
    const size_t deep = bf16_padded(g->chunk, kn->kr);
    return (struct panels){.x = g->panels,
                           .x_panel = deep * kn->mr,
                           .dy = g->panels + panel_elements(kn, kn->mr, g->in, g->chunk),
                           .dy_panel = deep * kn->nr};
}

void weight_grad_bf16_pack(struct sphere *me, const struct weight_grad_bf16 *g, size_t r0)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const struct panels p = panels_of(kn, g);
    const size_t rows = rows_of_chunk(g, r0);
    ASSERT(g->chunk % PACK_ROWS == 0);
    const struct share s = sphere_share(me, ceil_div(rows, PACK_ROWS));
    for (size_t u = s.begin; u < s.end; u++) {
        const size_t at = u * PACK_ROWS, k = rows - at < PACK_ROWS ? rows - at : PACK_ROWS, r = r0 + at;
        kn->pack_a_bf16(p.x + at * kn->mr, p.x_panel, g->x + r * g->x_stride, g->x_stride, g->in, k);
        kn->pack_b_bf16(p.dy + at * kn->nr, p.dy_panel, g->dy + r * g->dy_stride, (ptrdiff_t)g->dy_stride, 1, k,
                        g->out);
    }
}

/* The tiles of an [in,out] matrix; ROWS is a multiple of mr, COLS of nr, in every level. */
static size_t tiles_down(const struct weight_grad_bf16 *g)
{
    return ceil_div(g->in, GEMM_BF16_ROWS);
}

static void grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct weight_grad_bf16_chunk *c = ctx;
    const struct weight_grad_bf16 *g = c->g;
    const struct kernels_bf16 *kn = kernels_bf16_get();
    const struct panels p = panels_of(kn, g);
    const size_t rows = rows_of_chunk(g, c->r0), down = tiles_down(g), mark = arena_mark(&me->scratch);
    float *sum = arena_alloc(&me->scratch, GEMM_BF16_SUM_BYTES);
    CHECK(g->mode != GRAD_ADD || g->rows <= g->chunk);
    for (size_t u = begin; u < end; u++) {
        const size_t i = u % down * GEMM_BF16_ROWS, j = u / down * GEMM_BF16_COLS;
        float *dw = g->dw + i * g->out + j;
        struct gemm_bf16 t = {.m = g->in - i < GEMM_BF16_ROWS ? g->in - i : GEMM_BF16_ROWS,
                              .n = g->out - j < GEMM_BF16_COLS ? g->out - j : GEMM_BF16_COLS,
                              .k = rows,
                              .a = p.x + i / kn->mr * p.x_panel,
                              .a_panel = p.x_panel,
                              .b = p.dy + j / kn->nr * p.dy_panel,
                              .b_panel = p.dy_panel,
                              .c = dw,
                              .c_row = g->out,
                              .sum = sum};
        if (c->r0 > 0 || g->mode == GRAD_CONTINUE) {
            t.init = dw;
            t.init_row = g->out;
        } else if (g->mode == GRAD_ADD) {
            t.add = dw;
            t.add_row = g->out;
        }
        kn->gemm_bf16(&t);
        sphere_count_flops(me, 2 * (uint64_t)t.m * t.n * t.k);
    }
    arena_reset(&me->scratch, mark);
}

struct work weight_grad_bf16_work(const struct weight_grad_bf16_chunk *c)
{
    const struct weight_grad_bf16 *g = c->g;
    const size_t m = g->in < GEMM_BF16_ROWS ? g->in : GEMM_BF16_ROWS, n = g->out < GEMM_BF16_COLS ? g->out : GEMM_BF16_COLS;
    return (struct work){.units = tiles_down(g) * ceil_div(g->out, GEMM_BF16_COLS),
                         .cost = 2 * (uint64_t)m * n * rows_of_chunk(g, c->r0),
                         .run = grad_run,
                         .ctx = c};
}

void weight_grad_bf16(struct sphere *me, const struct weight_grad_bf16 *g)
{
    for (size_t r0 = 0; r0 < g->rows; r0 += g->chunk) {
        const struct weight_grad_bf16_chunk c = {g, r0};
        const struct work bag = weight_grad_bf16_work(&c);
        weight_grad_bf16_pack(me, g, r0);
        sphere_barrier(me);
        work_run(me, &bag, 1);
        sphere_barrier(me);
    }
}
