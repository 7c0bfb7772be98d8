/* SPDX-License-Identifier: MIT
 * matmul_grad.c - the gradient of a matrix in f32, dw = x'dy over rows.
 *
 * Tiles of at most TILE_IN x TILE_OUT are the units, numbered down the columns.  A member's units, which follow each other,
 * are whole columns of tiles and a part of one before and behind them: rectangles, each made in one go.  Rows come in blocks
 * of DEPTH at most.  What a block needs of dy is packed once for up to COLS columns; x is packed in parts that take three
 * quarters of L2 while those panels pass.  So an element of x is packed once for every COLS columns of a
 * rectangle and one of dy once, a few per cent of the time, and no address lies a page from the one before.  Between two
 * blocks the sums rest in dw; where the whole sum is added to what dw holds, in scratch, ADD_ROWS of x's columns at a time.
 * Small matrices whose rows lie near each other are read where they are.
 */
#include "base/arena.h"
#include "kernels/kernels.h"
#include "matmul_internal.h"

enum { TILE_IN = 192, TILE_OUT = 128, SMALL_OUT = 512, GRAIN = 12 };
enum { DEPTH = 1024, COLS = 576, ADD_ROWS = 384, NEAR_ROWS = 640, SMALL = 96 };

/* The tile of an [in,out] matrix: in is cut evenly, in twelves, which every kernel's tile divides.  Narrow matrices get
 * half-wide ones, or there would be too few to share out. */
struct tile {
    size_t rows, cols, down, across;
};
static struct tile tile_of(size_t in, size_t out)
{
    struct tile t = {.rows = even_part(in, TILE_IN, GRAIN), .cols = out <= SMALL_OUT ? TILE_OUT / 2 : TILE_OUT};
    t.down = ceil_div(in, t.rows);
    t.across = ceil_div(out, t.cols);
    return t;
}

size_t weight_grad_units(enum dtype dtype, size_t in, size_t out)
{
    if (dtype == DTYPE_BF16)
        return rounded__grad_units(in, out);
    const struct tile t = tile_of(in, out);
    return t.down * t.across;
}

struct space {
    float *x, *dy; /* panels */
    float *sum;    /* [ADD_ROWS,COLS] */
};

/* Floats of a part of x, and its columns where it is `depth` rows deep. */
static size_t x_floats(void)
{
    const size_t most = kernels_l2_bytes() * 3 / 4 / sizeof(float);
    return most > (size_t)GRAIN * DEPTH ? most : (size_t)GRAIN * DEPTH;
}

static size_t part_of_x(size_t depth)
{
    return x_floats() / depth / GRAIN * GRAIN;
}

static size_t deepest(size_t rows)
{
    return rows < DEPTH ? rows : DEPTH;
}

size_t weight_grad_scratch_bytes(enum dtype dtype, size_t rows)
{
    if (dtype == DTYPE_BF16)
        return rounded__grad_scratch_bytes();
    const size_t k = deepest(rows);
    return arena_piece_bytes(x_floats() * sizeof(float)) + arena_piece_bytes(k * COLS * sizeof(float)) +
           arena_piece_bytes(sizeof(float) * ADD_ROWS * COLS);
}

/* Columns [i0,i0+m) of x against [j0,j0+n) of dy, n <= COLS, all rows. */
static void grad_block(const struct kernels *kn, const struct weight_grad *g, size_t i0, size_t m, size_t j0, size_t n,
                       const struct space *space)
{
    const bool x_near = g->x_stride <= NEAR_ROWS && n <= SMALL, dy_near = g->dy_stride <= NEAR_ROWS && m <= SMALL;
    const size_t depth = even_part(g->rows, DEPTH, 16), part = even_part(m, part_of_x(depth), GRAIN);
    for (size_t r = 0; r < g->rows; r += depth) {
        const size_t k = g->rows - r < depth ? g->rows - r : depth;
        const bool first = r == 0, last = r + k == g->rows;
        struct gemm p = {.n = n, .k = k, .b = g->dy + r * g->dy_stride + j0, .b_panel = kn->nr, .b_row = g->dy_stride};
        if (!dy_near) {
            kn->pack_f32(space->dy, p.b, (ptrdiff_t)g->dy_stride, 1, k, n);
            p.b = space->dy;
            p.b_panel = k * kn->nr;
            p.b_row = kn->nr;
        }
        for (size_t i = 0; i < m; i += part) {
            float *dw = g->dw + (i0 + i) * g->out + j0, *sum = g->mode == GRAD_ADD ? space->sum + i * COLS : dw;
            const size_t sum_row = g->mode == GRAD_ADD ? COLS : g->out;
            p.m = m - i < part ? m - i : part;
            p.a = g->x + r * g->x_stride + i0 + i;
            p.a_row = 1;
            p.a_col = (ptrdiff_t)g->x_stride;
            if (!x_near) {
                kn->pack_a_f32(space->x, p.a, 1, p.a_col, p.m, k);
                p.a = space->x;
                p.a_col = (ptrdiff_t)kn->mr;
                p.a_panel = k * kn->mr;
            }
            p.c = last ? dw : sum;
            p.c_row = (ptrdiff_t)(last ? g->out : sum_row);
            p.init = first ? (g->mode == GRAD_CONTINUE ? dw : NULL) : sum;
            p.init_row = (ptrdiff_t)sum_row;
            p.add = last && g->mode == GRAD_ADD ? dw : NULL;
            p.add_row = (ptrdiff_t)g->out;
            kn->gemm_f32(&p);
        }
    }
}

/* Tiles [down0,down1) x [across0,across1). */
static void grad_rectangle(struct sphere *me, const struct weight_grad *g, const struct tile *t, size_t down0,
                           size_t down1, size_t across0, size_t across1, const struct space *space)
{
    const struct kernels *kn = kernels_get();
    const size_t i0 = down0 * t->rows, i1 = down1 * t->rows < g->in ? down1 * t->rows : g->in;
    const size_t j0 = across0 * t->cols, j1 = across1 * t->cols < g->out ? across1 * t->cols : g->out;
    if (i0 >= i1 || j0 >= j1)
        return;
    const size_t rows = g->mode == GRAD_ADD ? even_part(i1 - i0, ADD_ROWS, GRAIN) : i1 - i0;
    const size_t cols = even_part(j1 - j0, COLS, kn->nr);
    for (size_t j = j0; j < j1; j += cols)
        for (size_t i = i0; i < i1; i += rows)
            grad_block(kn, g, i, i1 - i < rows ? i1 - i : rows, j, j1 - j < cols ? j1 - j : cols, space);
    sphere_count_flops(me, 2 * (uint64_t)(i1 - i0) * (j1 - j0) * g->rows);
}

static void grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct weight_grad *g = ctx;
    const struct tile t = tile_of(g->in, g->out);
    const size_t mark = arena_mark(&me->scratch), k = deepest(g->rows);
    const struct space space = {.x = arena_alloc(&me->scratch, x_floats() * sizeof(float)),
                                .dy = arena_alloc(&me->scratch, k * COLS * sizeof(float)),
                                .sum = arena_alloc(&me->scratch, sizeof(float) * ADD_ROWS * COLS)};
    const size_t first = begin / t.down, last = end / t.down; /* the columns of tiles that these lie in */
    if (first == last) {
        grad_rectangle(me, g, &t, begin % t.down, end % t.down, first, first + 1, &space);
    } else {
        const size_t whole = ceil_div(begin, t.down);
        if (whole > first)
            grad_rectangle(me, g, &t, begin % t.down, t.down, first, whole, &space);
        grad_rectangle(me, g, &t, 0, t.down, whole, last, &space);
        grad_rectangle(me, g, &t, 0, end % t.down, last, last + 1, &space);
    }
    arena_reset(&me->scratch, mark);
}

struct work weight_grad_work(const struct weight_grad *g)
{
    if (g->dtype == DTYPE_BF16)
        return rounded__grad_work(g);
    const struct tile t = tile_of(g->in, g->out);
    const size_t n = t.cols < g->out ? t.cols : g->out;
    return (struct work){
        .units = t.down * t.across, .cost = 2 * (uint64_t)t.rows * n * g->rows, .run = grad_run, .ctx = g};
}
