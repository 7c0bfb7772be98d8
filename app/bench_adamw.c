/* SPDX-License-Identifier: MIT
 * app/bench_adamw.c - `cllm bench adamw`: optimizers that know each element by itself, and the gradients' norm.
 */
#include "app/bench_ops.h"
#include "app/command.h"
#include "app/options.h"
#include "base/memory.h"
#include "ops/adamw.h"
#include "ops/adamw8bit.h"
#include "ops/lion.h"

#include <math.h>

static const struct option_usage adamw_usage = {
    .command = "bench adamw",
    .synopsis = "cllm bench adamw [options]",
    .summary = "Updates of f32 weights by AdamW, Lion and AdamW with moments of 8 bits, and the sum of squares of the "
               "gradients, each "
               "sphere its own part. GB/s and their share of what is read from memory, GFLOP/s and their share of "
               "multiply-adds on "
               "registers alone, both measured in the same run; what fits in a cache can pass 100% of memory. Median "
               "of --repeat rounds, "
               "waking the spheres included. Bytes an element, each read or write once: norm 4, adamw 28, lion 20, "
               "adamw8bit 16. FLOPs an "
               "element, a division or a root as one: 2, 17, 10 and 17; packing into 8 bits counts nothing.",
    .examples = "  cllm bench adamw\n"
                "  cllm bench adamw --elements 124439808 --threads 1,2\n"
                "  cllm bench adamw --csv\n",
};

struct update_bench {
    size_t elements;
    struct adamw adamw;
    struct lion lion;
    struct adamw8bit_codes *codes;
    float *g, *w, *m, *v;        /* AdamW's */
    float *lion_w, *lion_m, *w8; /* Lion's, and the weights of the one with 8 bits */
    struct moment8 first, second;
    double sumsq[SPHERES_MAX];
};

/* Whole blocks of 8-bit moments. */
static struct share own_elements(const struct sphere *me, size_t n)
{
    const struct share blocks = sphere_share(me, (n + ADAMW8BIT_BLOCK - 1) / ADAMW8BIT_BLOCK);
    const size_t begin = blocks.begin * ADAMW8BIT_BLOCK, end = blocks.end * ADAMW8BIT_BLOCK;
    return (struct share){begin < n ? begin : n, end < n ? end : n};
}

/* Weights and moments begin as the zeros that fresh memory has; their owner touches them first, in its first update. */
static void make_gradients(struct sphere *me, void *arg)
{
    struct update_bench *s = arg;
    const struct share own = own_elements(me, s->elements);
    bench_ops_fill(s->g + own.begin, own.end - own.begin, (uint32_t)own.begin);
    s->sumsq[me->id] = (double)NAN;
}

static void run_norm(struct sphere *me, void *arg)
{
    struct update_bench *s = arg;
    const struct share own = own_elements(me, s->elements);
    s->sumsq[me->id] = grads_sumsq(s->g + own.begin, own.end - own.begin);
}

static void run_adamw(struct sphere *me, void *arg)
{
    struct update_bench *s = arg;
    const struct share own = own_elements(me, s->elements);
    const size_t at = own.begin;
    adamw_update(s->w + at, s->m + at, s->v + at, s->g + at, own.end - at, &s->adamw);
}

static void run_lion(struct sphere *me, void *arg)
{
    struct update_bench *s = arg;
    const struct share own = own_elements(me, s->elements);
    lion_update(s->lion_w + own.begin, s->lion_m + own.begin, s->g + own.begin, own.end - own.begin, &s->lion);
}

static void run_adamw8bit(struct sphere *me, void *arg)
{
    struct update_bench *s = arg;
    const struct share own = own_elements(me, s->elements);
    const size_t at = own.begin, block = at / ADAMW8BIT_BLOCK;
    adamw8bit_update(s->w8 + at, (struct moment8){s->first.code + at, s->first.scale + block},
                     (struct moment8){s->second.code + at, s->second.scale + block}, s->g + at, own.end - at, &s->adamw,
                     s->codes);
}

/* No gradient is 0, so every weight has left its 0. */
static enum status check_weights(const char *what, const float *w, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(w[i]) || w[i] == 0)
            return error_set(err, STATUS_NONFINITE, "%s: weight %zu is %g", what, i, (double)w[i]);
    return STATUS_OK;
}

static enum status check_updates(const struct bench_ops *b, const struct update_bench *s, struct error *err)
{
    double sum = 0;
    for (int i = 0; i < team_size(b->team); i++)
        sum += s->sumsq[i];
    if (!(sum > 0 && sum < (double)s->elements))
        return error_set(err, STATUS_NONFINITE, "the squares of %zu gradients sum to %g", s->elements, sum);
    enum status status = check_weights("adamw", s->w, s->elements, err);
    if (status == STATUS_OK)
        status = check_weights("lion", s->lion_w, s->elements, err);
    if (status == STATUS_OK)
        status = check_weights("adamw8bit", s->w8, s->elements, err);
    return status;
}

static enum status time_updates(const struct bench_ops *b, struct update_bench *s, struct error *err)
{
    const double n = (double)s->elements;
    struct bench_op ops[] = {
        {"gradients", "norm", 2 * n, 4 * n, run_norm, s, {s->elements}, 0},
        {"adamw", "update", 17 * n, 28 * n, run_adamw, s, {s->elements}, 0},
        {"lion", "update", 10 * n, 20 * n, run_lion, s, {s->elements}, 0},
        {"adamw8bit", "update", 17 * n, 16 * n, run_adamw8bit, s, {s->elements}, 0},
    };
    enum status status = team_run(b->team, team_size(b->team), make_gradients, s);
    if (status != STATUS_OK)
        return error_set(err, status, "the gradients: %s", status_text(status));
    status = bench_ops_time(b, ops, 4, err);
    if (status == STATUS_OK)
        status = check_updates(b, s, err);
    if (status == STATUS_OK)
        bench_ops_print(b, ops, 4);
    return status;
}

static enum status measure_updates(struct bench_ops *b, void *arg, struct error *err)
{
    struct update_bench *s = arg;
    const size_t n = s->elements, floats = n * sizeof(float);
    const size_t scales = (n + ADAMW8BIT_BLOCK - 1) / ADAMW8BIT_BLOCK * sizeof(float);
    struct arena memory;
    enum status status = bench_ops_memory(&memory,
                                          7 * arena_piece_bytes(floats) + 2 * arena_piece_bytes(n) +
                                              2 * arena_piece_bytes(scales) + arena_piece_bytes(sizeof *s->codes),
                                          err);
    if (status != STATUS_OK)
        return status;
    float **const each[] = {&s->g, &s->w, &s->m, &s->v, &s->lion_w, &s->lion_m, &s->w8};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        *each[i] = arena_alloc(&memory, floats);
    s->first = (struct moment8){arena_alloc(&memory, n), arena_alloc(&memory, scales)};
    s->second = (struct moment8){arena_alloc(&memory, n), arena_alloc(&memory, scales)};
    s->codes = arena_alloc(&memory, sizeof *s->codes);
    adamw8bit_codes_make(s->codes);
    status = time_updates(b, s, err);
    arena_release(&memory);
    return status;
}

int bench_adamw(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct bench_ops b = {.command = "bench adamw", .dim_names = {"elements"}, .by_memory = true, .repeat = 9};
    size_t elements = 1 << 24;
    const char *threads = all;
    struct option_def options[] = {
        OPT_SIZE("elements", &elements, 1, 1099511627776.0, "weights updated (16777216)"),
        BENCH_OPS_FLAGS(&b, &threads),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &adamw_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err) != STATUS_OK) {
        command_say(b.command, "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    struct update_bench *s = mem_calloc(1, sizeof *s);
    if (!s) {
        command_say(b.command, "no memory for the bench");
        return EXIT_CODE_FAILURE;
    }
    s->elements = elements;
    s->adamw = adamw_at_step(1e-4, 0.9, 0.95, 1e-8, 0.1, 1, 1);
    s->lion = (struct lion){.lr = 1e-4f, .beta1 = 0.9f, .beta2 = 0.99f, .weight_decay = 0.1f, .grad_scale = 1};
    enum status status = bench_ops_each_team(&b, 0, measure_updates, s, &err);
    mem_free(s);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(b.command, &err);
}
