/* SPDX-License-Identifier: MIT
 * kernels/kernels.h - serial arithmetic on one tile or row, in a version for each instruction set.
 *
 * Each function of kernels.def exists once per ISA folder of src/kernels, compiled from one source over a vector of 16
 * virtual lanes.  All versions give the same bits: an element's products are one chain of fused multiply-adds in
 * index order, sums over a row go through 16 lanes (lane = index mod 16) folded 8-4-2-1, and exp is ours.  So a
 * kernel cannot fail, allocates nothing, knows no threads, and neither tile sizes nor the ISA reach the result
 * (docs/numerics.md; tests/kernels holds every version to the portable one bit for bit).
 * Safe from any thread on distinct outputs.  No alignment is required.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "base/status.h"
#include "topology/isa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* C [m,n] = (add +) (init + A [m,k] · B [k,n]), the sum over k in order, by fused multiply-add, starting at init.
 * B goes in panels of nr columns: element (p,j) at b[j/nr * b_panel + p*b_row + j%nr].  Packed by pack_f32 it has b_row = nr and
 * b_panel = k*nr; a plain row-major matrix has b_panel = nr and its own b_row.  Nothing beyond column n-1 is read.
 * A lies in rows or columns, or in panels of mr rows as pack_a_f32 makes them: a_row = 1, a_col = mr, a_panel = k*mr.
 * Strides in floats.  C must not overlap A or B; init and add may be C. */
struct gemm {
    size_t m, n, k;
    const float *a;
    ptrdiff_t a_row, a_col; /* element (i,p) at a[i*a_row + p*a_col] */
    size_t a_panel;         /* 0, or the distance of panels: then at a[i/mr*a_panel + i%mr*a_row + p*a_col] */
    const float *b;
    size_t b_panel, b_row;
    const float *init;      /* NULL: 0; init_row 0: one row for all (a bias) */
    ptrdiff_t init_row;
    const float *add;       /* NULL: nothing */
    ptrdiff_t add_row;
    float *c;
    ptrdiff_t c_row;
};

/* The rest of the list, in a word each; n is the length of a row, any value from 0 up:
 *
 * pack_f32                dst panels of B from element (p,j) at src[p*row + j*col], padding 0
 * pack_a_f32              dst panels of A from element (i,p) at src[i*row + p*col], padding 0; quick where row or col is 1
 * layernorm_f32           y = (x-mean)*rstd*weight + bias; writes mean and rstd = 1/sqrt(var+eps)
 * layernorm_backward_f32  ADDS to dx; writes y again unless NULL.  dx may not be dy
 * layernorm_columns_f32   dweight[j] = sum over rows of dy*xhat, dbias[j] = sum of dy, rows in order; add: ADDS that
 *                         whole sum to what is there.  dy and x have rows of `stride` floats, n columns are done
 * rmsnorm_f32             y = x*rstd*weight; writes rstd = 1/sqrt(mean(x^2)+eps); y may be x
 * rmsnorm_backward_f32    dx = (base +) the gradient; base may be NULL or dx, and dx may be dy; writes y again unless NULL
 * rmsnorm_columns_f32     dweight[j] = sum over rows of dy*x*rstd, likewise; dy and x each have their own stride
 * colsum_f32              dst[j] = sum over rows of x, likewise
 * gelu_f32                y = x * sigmoid(2u), u = sqrt(2/pi)(x + 0.044715 x^3): GPT-2's tanh form; y may be x
 * gelu_backward_f32       dx *= gelu'(x); writes y = gelu(x) unless NULL
 * swiglu_f32              y = gate * sigmoid(gate) * up; y may be either
 * swiglu_backward_f32     y holds dy and becomes the activation; writes dgate and dup
 * rope_f32                x [2 half]: pairs (x[i], x[half+i]) turned by the angle whose cos and sin [half] are given;
 *                         direction 1, or -1 for the way back
 * softmax_f32             p[0…n) = exp(scale*p - max) * inverse_sum in place, p[n…n_total) = 0; max of scale*p
 * softmax_again_f32       the same bits from the max and inverse_sum that softmax_f32 wrote
 * softmax_backward_f32    ds = p*(ds - dot)*scale for i < n, 0 up to n_total; with dropped, p after dropout by 1/kept, ds counts
 *                         as ds*kept, and as 0 where dropped is 0
 * exp_sum_f32             x = exp(x - max) in place, its max and sum
 * exp_f32                 y = exp(x), 1 ulp
 * dot_f32                 sum of x*y
 * add_f32, scale_f32      y += x; y *= a
 * dropout_f32             y = random(key,row,first+i) < threshold ? 0 : x*scale; y may be x
 * normals_f32             out[i] = (float)(std * base/rng.h's rng_normal(key, first + i))
 * sumsq_f32               sum of x*x in double
 * adamw_f32               one AdamW update, formula in ops/adamw.h
 */

struct adamw_coef {
    float lr, beta1, beta2, eps, decay, grad_scale, inv_bias1, inv_bias2;
};

struct kernels {
    enum isa isa;
    size_t mr, nr; /* rows and columns of the register tile; nr is the panel width */
#define KERNEL(name, result, args) result(*name) args;
#include "kernels/kernels.def"
#undef KERNEL
};

/* The table in use.  Chosen once, at the first call, from CPU, OS and CLLM_ISA (topology/isa.h); a bad CLLM_ISA
 * counts as unset here and is reported by kernels_choose, which the command calls first. */
const struct kernels *kernels_get(void);
enum status kernels_choose(struct error *err);

/* A core's second level of cache, as blocks are cut for it (topology/cache.h). */
size_t kernels_l2_bytes(void);

/* The table of one ISA, NULL when it is not built in, this CPU cannot run it, or it has no f32 kernels of its own: the levels
 * above avx512 add bf16 units and use avx512's (kernels_bf16.h).  For tests and benchmarks. */
const struct kernels *kernels_of(enum isa isa);

#endif
