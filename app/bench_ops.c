/* SPDX-License-Identifier: MIT */
#include "app/bench_ops.h"

#include "base/clock.h"
#include "base/human.h"
#include "base/memory.h"
#include "topology/topology.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum status bench_ops_memory(struct arena *arena, size_t bytes, struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    const size_t available = topology.memory_available_bytes;
    struct human wanted, had;
    *arena = (struct arena){0};
    if (available && bytes > available)
        return error_set(err, STATUS_NOMEM, "the operands take %s, and %s can be had now; a smaller shape is wanted",
                         human_bytes(&wanted, bytes), human_bytes(&had, available));
    enum status status = arena_init(arena, bytes, err);
    if (status == STATUS_OK)
        mem_advise_huge(arena->base, bytes);
    return status;
}

void bench_ops_fill(float *x, size_t n, uint32_t seed)
{
    uint32_t s = seed;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)((int32_t)(s >> 8 | 1u) - (1 << 23)) * 0x1p-23f;
    }
}

void bench_ops_poison(float *x, size_t n)
{
    memset(x, 0xff, n * sizeof *x);
}

enum status bench_ops_check(const char *what, const float *x, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return error_set(err, STATUS_NONFINITE, "%s: element %zu is %g", what, i, (double)x[i]);
    return STATUS_OK;
}

enum status bench_ops_time(const struct bench_ops *b, struct bench_op *ops, size_t n, struct error *err)
{
    double *ms = mem_calloc(n * b->repeat, sizeof *ms);
    if (!ms)
        return error_set(err, STATUS_NOMEM, "no memory for the times of %zu rounds", b->repeat);
    enum status status = STATUS_OK;
    for (size_t round = 0; round <= b->repeat; round++)
        for (size_t i = 0; status == STATUS_OK && i < n; i++) {
            const uint64_t start = clock_now_ns();
            status = team_run(b->team, team_size(b->team), ops[i].run, ops[i].arg);
            const uint64_t took = clock_now_ns() - start;
            if (round > 0)
                ms[i * b->repeat + round - 1] = 1e-6 * (double)(took ? took : 1);
            if (status != STATUS_OK)
                error_set(err, status, "%s, %s: %s", ops[i].name, ops[i].pass, status_text(status));
        }
    for (size_t i = 0; status == STATUS_OK && i < n; i++)
        ops[i].ms = bench_median(ms + i * b->repeat, b->repeat);
    mem_free(ms);
    return status;
}

static void print_csv(const struct bench_ops *b, const struct bench_op *op, double gflops, double gbytes)
{
    printf("%s,%s,%s,%s", CLLM_VERSION, bench_isa(), op->name, op->pass);
    for (size_t d = 0; d < BENCH_OPS_DIMS && b->dim_names[d]; d++)
        printf(",%zu", op->dim[d]);
    printf(",%d,%.6g,%.6g,%.4f", team_size(b->team), op->ms, gflops, gflops / b->peak_gflops);
    if (b->by_memory)
        printf(",%.6g,%.4f", gbytes, gbytes / b->read_gbytes);
    printf("\n");
}

static void print_line(const struct bench_ops *b, const struct bench_op *op, double gflops, double gbytes)
{
    printf("%-10s %-8s", op->name, op->pass);
    for (size_t d = 0; d < BENCH_OPS_DIMS && b->dim_names[d]; d++)
        printf(" %9zu", op->dim[d]);
    printf(" %7d %10.3f %9.2f %7.1f%%", team_size(b->team), op->ms, gflops, 100 * gflops / b->peak_gflops);
    if (b->by_memory)
        printf(" %8.2f %7.1f%%", gbytes, 100 * gbytes / b->read_gbytes);
    printf("\n");
}

void bench_ops_print(const struct bench_ops *b, const struct bench_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double gflops = 1e-6 * ops[i].flops / ops[i].ms, gbytes = 1e-6 * ops[i].bytes / ops[i].ms;
        (b->csv ? print_csv : print_line)(b, &ops[i], gflops, gbytes);
    }
    fflush(stdout);
}

static void print_heads(const struct bench_ops *b)
{
    if (b->csv) {
        printf("version,isa,op,pass");
        for (size_t d = 0; d < BENCH_OPS_DIMS && b->dim_names[d]; d++)
            printf(",%s", b->dim_names[d]);
        printf(",threads,ms,gflops,share_of_peak%s\n", b->by_memory ? ",gbytes_per_s,share_of_read" : "");
        return;
    }
    printf("%s, median of %zu rounds\n%-10s %-8s", bench_isa(), b->repeat, "op", "pass");
    for (size_t d = 0; d < BENCH_OPS_DIMS && b->dim_names[d]; d++)
        printf(" %9s", b->dim_names[d]);
    printf(" spheres         ms   GFLOP/s  of peak%s\n", b->by_memory ? "     GB/s  of read" : "");
}

static enum status measure_limits(struct bench_ops *b, struct error *err)
{
    const int n = team_size(b->team);
    b->peak_gflops = bench_peak_gflops(b->team, b->bf16_peak);
    enum status status = b->by_memory ? bench_memory_gbytes(b->team, &b->read_gbytes, err) : STATUS_OK;
    if (status != STATUS_OK || b->csv)
        return status;
    printf("limits of %d sphere%s: %.1f GFLOP/s of multiply-adds on registers", n, n == 1 ? "" : "s", b->peak_gflops);
    if (b->by_memory)
        printf(", %.1f GB/s read from memory", b->read_gbytes);
    printf("\n");
    fflush(stdout);
    return STATUS_OK;
}

enum status bench_ops_each_team(struct bench_ops *b, size_t scratch_bytes,
                                enum status (*fn)(struct bench_ops *b, void *arg, struct error *err), void *arg,
                                struct error *err)
{
    enum status status = STATUS_OK;
    print_heads(b);
    for (size_t i = 0; status == STATUS_OK && i < b->threads.n; i++) {
        b->team = team_new(&(struct team_options){.num_spheres = (int)b->threads.value[i],
                                                  .backend = TEAM_PTHREAD,
                                                  .scratch_bytes = scratch_bytes},
                           err);
        status = b->team ? measure_limits(b, err) : err->status;
        if (status == STATUS_OK)
            status = fn(b, arg, err);
        team_free(b->team);
        b->team = NULL;
    }
    return status;
}
