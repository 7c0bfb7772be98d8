/* SPDX-License-Identifier: MIT
 * runtime/parallel.h - loops, maps and reductions over 0 … n-1 on a pool.
 *
 * One thread calls, inside or outside the pool, works along, and returns when all is done; with a pool of N, N threads
 * work in all.  Small work runs in the caller alone: it begins, takes the time, and calls others only once it knows
 * that it pays.  Chunks grow until one takes about 20 us and shrink towards the end; each worker begins in a part of
 * its own and then helps the others out, near ones first.  The clock chooses who computes what and never what is
 * added to what, so results do not depend on it nor on the number of workers.
 *
 * A body that returns another status than STATUS_OK stops the handing out of further chunks, and of several failures
 * the one with the lowest `begin` is returned.  Bodies run in the default floating-point environment, the caller's
 * own is as it was afterwards, and they may call anything here again.  A NULL pool is the caller alone.
 */
#ifndef RUNTIME_PARALLEL_H
#define RUNTIME_PARALLEL_H

#include "base/status.h"
#include "runtime/pool.h"

#include <stddef.h>

struct parallel_options {
    size_t min_chunk;        /* elements; 0 = 1 */
    size_t max_chunk;        /* 0 = no limit */
    size_t element_bytes;    /* of the output: larger chunks end on a cache line; 0 = anywhere */
    size_t leaf;             /* parallel_reduce: elements of a leaf, 0 = from the length alone */
    int tasks_per_thread;    /* a chunk is at most this fraction of what is left of a part; 0 = 4 */
    int max_threads;         /* 0 = the whole pool */
};

/* Rows of a product [rows,cols]: chunks of whole rows, none below about 16 Ki multiplications.  Attention: one element
 * is a head's row of scores; none below about 4 Ki. */
struct parallel_options parallel_options_matmul(size_t rows, size_t cols);
struct parallel_options parallel_options_attention(size_t heads, size_t seq_len);

/* Has body(begin, end, arg) cover 0 … n-1, each element once.  `options` NULL is all 0. */
enum status parallel_for(struct pool *pool, size_t n, const struct parallel_options *options,
                         enum status (*body)(size_t begin, size_t end, void *arg), void *arg);

/* Writes out[i] = fn(in[i]) for elements of out_bytes and in_bytes each. */
enum status parallel_map(struct pool *pool, void *out, size_t out_bytes, const void *in, size_t in_bytes, size_t n,
                         const struct parallel_options *options, void (*fn)(void *out, const void *in, void *arg),
                         void *arg);

/* Folds 0 … n-1 into *result, of result_bytes.  fold(acc, begin, end, arg) writes to acc what the elements of one leaf
 * come to, combine(acc, more, arg) adds to acc what stands right of it.  Leaves are cut by n and options->leaf alone,
 * at most 1728 unless options->leaf asks for more, and combined in a 12-ary tree over their index: a left fold over up
 * to twelve children in order, at each level.  n = 0 calls fold with an empty range.  STATUS_NOMEM for the leaves'
 * results, STATUS_CONFIG when their size does not fit. */
enum status parallel_reduce(struct pool *pool, void *result, size_t result_bytes, size_t n,
                            const struct parallel_options *options,
                            enum status (*fold)(void *acc, size_t begin, size_t end, void *arg),
                            void (*combine)(void *acc, const void *more, void *arg), void *arg);

/* For callers who bring plain matrices, row-major without gaps.  softmax: out [rows,cols] of in [rows,cols], each row
 * by itself, out == in is allowed; -inf counts as masked, and a row of nothing else is 0.  matmul: c [m,n] =
 * a [m,k] b [k,n], c apart from a and b; every element of c is summed over k in order. */
enum status parallel_softmax(struct pool *pool, float *out, const float *in, size_t rows, size_t cols);
enum status parallel_matmul(struct pool *pool, float *c, const float *a, const float *b, size_t m, size_t n, size_t k);

#endif
