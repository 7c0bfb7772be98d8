/* SPDX-License-Identifier: MIT
 * app/bench_gemm.h - one matrix product, and who can be asked to make it: our kernels, or a library beside them.
 *
 * Two kinds, as a training step has them.  Rows: C [m,n] = A [m,k] · B [k,n] with B a weight, brought into whatever layout is
 * wanted before the clock starts, and A rows as they lie.  Gradient: C [m,n] = A^T · B with A [k,m] and B [k,n] both activations
 * as they lie, so that whatever is done to them counts.  C is f32 in all.
 */
#ifndef APP_BENCH_GEMM_H
#define APP_BENCH_GEMM_H

#include "base/float16.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct gemm_case {
    char name[64];
    size_t m, n, k;
    bool gradient;
    float *a, *b, *c;
    bf16 *a16, *b16;
};

/* Somebody to ask.  prepare gives what run and finish take, or NULL with *err; run makes the whole product. */
struct gemm_contender {
    const char *name;
    bool bf16_operands;
    bool peer;
    void *(*prepare)(struct gemm_case *c, int threads, struct error *err);
    void (*run)(void *self);
    void (*finish)(void *self);
};

extern const struct gemm_contender bench_gemm_ours[2]; /* f32, bf16 */

/* The libraries of this build, their number, and a line that says which they are or are not. */
extern const struct gemm_contender bench_gemm_peers[];
extern const size_t bench_gemm_num_peers;
const char *bench_gemm_peers_line(void);

#endif
