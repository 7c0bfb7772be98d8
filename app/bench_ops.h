/* SPDX-License-Identifier: MIT
 * app/bench_ops.h - what the benchmarks of single operations share: teams, rounds, counts held against measured limits,
 * and lines of a table or of CSV.
 *
 * A bench describes its operations (struct bench_op) and calls bench_ops_each_team with a function that, for a team,
 * makes the operands, has the operations timed in turn, checks what they made and prints.
 */
#ifndef APP_BENCH_OPS_H
#define APP_BENCH_OPS_H

#include "app/bench.h"
#include "base/arena.h"
#include "runtime/team.h"

enum { BENCH_OPS_MAX = 8, BENCH_OPS_DIMS = 6 };

/* One operation in one shape: a team function that does all of it. */
struct bench_op {
    const char *name, *pass;
    double flops, bytes; /* of one run, as the bench's help counts them */
    void (*run)(struct sphere *me, void *arg);
    void *arg;
    size_t dim[BENCH_OPS_DIMS];
    double ms; /* set by bench_ops_time */
};

struct bench_ops {
    const char *command;                   /* "bench norm" */
    const char *dim_names[BENCH_OPS_DIMS]; /* as many as there are, then NULL */
    bool by_memory;                        /* GB/s are told too, and how fast memory is read is measured */
    size_t repeat;
    bool csv;
    struct bench_list threads;
    /* of the team at hand */
    struct team *team;
    bool bf16_peak; /* the limit is that of bf16 products */
    double peak_gflops, read_gbytes;
};

/* The options of all of them; `text` (const char *) holds the list of numbers of spheres. */
#define BENCH_OPS_FLAGS(b, text)                                                                                       \
    OPT_TEXT("threads", "LIST", (text), "numbers of spheres (1, and all)"),                                            \
        OPT_SIZE("repeat", &(b)->repeat, 1, BENCH_MAX_REPEAT, "rounds timed, after one that warms up (9)"),            \
        OPT_FLAG("csv", &(b)->csv, "as CSV")

/* Prints the heads of the columns; then for each number of spheres makes a team whose members have scratch_bytes,
 * measures the limits, and calls fn. */
enum status bench_ops_each_team(struct bench_ops *b, size_t scratch_bytes,
                                enum status (*fn)(struct bench_ops *b, void *arg, struct error *err), void *arg,
                                struct error *err);

/* Memory for operands, to be released by arena_release.  STATUS_NOMEM when it is more than can be had now. */
enum status bench_ops_memory(struct arena *arena, size_t bytes, struct error *err);

/* x [n] = numbers between -1 and 1, none of them 0; and x [n] = NaN, which shows where nothing was written. */
void bench_ops_fill(float *x, size_t n, uint32_t seed);
void bench_ops_poison(float *x, size_t n);

/* STATUS_NONFINITE where one of x [n] is not finite. */
enum status bench_ops_check(const char *what, const float *x, size_t n, struct error *err);

/* All n in turn, round by round; the medians go to their ms.  A run's time includes the waking of the team. */
enum status bench_ops_time(const struct bench_ops *b, struct bench_op *ops, size_t n, struct error *err);
void bench_ops_print(const struct bench_ops *b, const struct bench_op *ops, size_t n);

#endif
