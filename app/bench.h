/* SPDX-License-Identifier: MIT
 * app/bench.h - what the benchmarks of `cllm bench NAME` share; each is one file, bench_NAME.c.
 */
#ifndef APP_BENCH_H
#define APP_BENCH_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct team;

enum { BENCH_MAX_LIST = 32, BENCH_MAX_REPEAT = 1000 };

int bench_step(int argc, char **argv);
int bench_barrier(int argc, char **argv);
int bench_matmul(int argc, char **argv);
int bench_pool(int argc, char **argv);
int bench_limits(int argc, char **argv);
int bench_attention(int argc, char **argv);
int bench_norm(int argc, char **argv);
int bench_loss(int argc, char **argv);
int bench_adamw(int argc, char **argv);
int bench_tokenizer(int argc, char **argv);
int bench_generate(int argc, char **argv);
int bench_save(int argc, char **argv);

double bench_median(double *values, size_t n); /* sorts them */

/* "1,2,16" */
struct bench_list {
    size_t n;
    uint64_t value[BENCH_MAX_LIST];
};
enum status bench_parse_list(const char *flag, const char *text, uint64_t min, uint64_t max, struct bench_list *list,
                             struct error *err);

/* A directory below TMPDIR for what a bench writes, whose path goes to `path` ("" on failure). */
enum status bench_scratch(char *path, size_t size, struct error *err);

const char *bench_isa(void); /* the name of the chosen one */

/* What all of a team do together of the chosen instruction set's multiply-adds on registers alone. */
double bench_peak_gflops(struct team *team, bool bf16_units);

/* GB/s that all of a team read from memory, each member its own bytes. */
enum status bench_memory_gbytes(struct team *team, double *out, struct error *err);

/* 1, and as many as there are cores, as such a list. */
void bench_default_threads(char *text, size_t size);

#endif
