/* SPDX-License-Identifier: MIT
 * app/bench_attention.c - `cllm bench attention`: causal attention of one layer, forward and backward, by itself.
 */
#include "app/bench_ops.h"
#include "app/command.h"
#include "app/options.h"
#include "ops/attention.h"

#include <string.h>

static const struct option_usage attention_usage = {
    .command = "bench attention",
    .synopsis = "cllm bench attention [options]",
    .summary = "GFLOP/s of causal attention as a layer of the decoder does it, forward and backward, and their "
               "share of what "
               "the chosen instruction set's multiply-adds reach on registers alone, measured in the same run. Median "
               "of --repeat "
               "rounds, waking the spheres included. Counted are 4 FLOPs for each pair of a query and a key it sees "
               "and each element "
               "of a head forward, 10 backward, where the scores are made a second time; exponentials, and what blocks "
               "compute "
               "outside the mask, count nothing.",
    .examples = "  cllm bench attention\n"
                "  cllm bench attention --heads 32 --kv-heads 8 --head-dim 128 --batch 1 --seq-len 1024,4096\n"
                "  cllm bench attention --seq-len 4096 --batch 1 --window 512 --threads 2 --csv\n",
};

struct attention_bench {
    enum dtype dtype;
    size_t batch, heads, kv_heads, head_dim, window;
    struct bench_list seq_lens;
};

struct layer {
    struct attention a;
    float *qkv, *out, *dout, *dqkv; /* its operands, to be written */
    size_t width, out_width;
};

static void make_operands(struct sphere *me, void *arg)
{
    const struct layer *l = arg;
    const struct share own = sphere_share(me, l->a.batch * l->a.seq_len);
    for (size_t r = own.begin; r < own.end; r++) {
        bench_ops_fill(l->qkv + r * l->width, l->width, (uint32_t)(2 * r));
        bench_ops_fill(l->dout + r * l->out_width, l->out_width, (uint32_t)(2 * r + 1));
        bench_ops_poison(l->out + r * l->out_width, l->out_width);
        bench_ops_poison(l->dqkv + r * l->width, l->width);
    }
}

static void forward(struct sphere *me, void *arg)
{
    const struct layer *l = arg;
    const struct work work = attention_forward_work(&l->a);
    work_run(me, &work, 1);
}

static void backward(struct sphere *me, void *arg)
{
    const struct layer *l = arg;
    const struct work work = attention_backward_work(&l->a);
    work_run(me, &work, 1);
}

static enum status time_layer(const struct bench_ops *b, struct layer *l, struct error *err)
{
    const struct attention *a = &l->a;
    const size_t rows = a->batch * a->seq_len;
    const double products =
        (double)attention_pairs(a->seq_len, a->window) * (double)(a->batch * a->heads * a->head_dim);
    const size_t dim[BENCH_OPS_DIMS] = {a->batch, a->heads, a->kv_heads, a->head_dim, a->seq_len, a->window};
    struct bench_op ops[] = {
        {.name = "attention", .pass = "forward", .flops = 4 * products, .run = forward, .arg = l},
        {.name = "attention", .pass = "backward", .flops = 10 * products, .run = backward, .arg = l},
    };
    for (size_t i = 0; i < 2; i++)
        for (size_t d = 0; d < BENCH_OPS_DIMS; d++)
            ops[i].dim[d] = dim[d];
    enum status status = team_run(b->team, team_size(b->team), make_operands, l);
    if (status != STATUS_OK)
        return error_set(err, status, "the operands of attention: %s", status_text(status));
    status = bench_ops_time(b, ops, 2, err);
    if (status == STATUS_OK)
        status = bench_ops_check("attention's output", l->out, rows * l->out_width, err);
    if (status == STATUS_OK)
        status = bench_ops_check("attention's gradient", l->dqkv, rows * l->width, err);
    if (status == STATUS_OK)
        bench_ops_print(b, ops, 2);
    return status;
}

static enum status measure_length(const struct bench_ops *b, const struct attention_bench *s, size_t seq_len,
                                  struct error *err)
{
    struct layer l = {.width = (s->heads + 2 * s->kv_heads) * s->head_dim, .out_width = s->heads * s->head_dim};
    const size_t rows = s->batch * seq_len, qkv = rows * l.width * sizeof(float),
                 out = rows * l.out_width * sizeof(float);
    const size_t statistics = rows * s->heads * sizeof(float);
    struct arena memory;
    enum status status = bench_ops_memory(
        &memory, 2 * (arena_piece_bytes(qkv) + arena_piece_bytes(out) + arena_piece_bytes(statistics)), err);
    if (status != STATUS_OK)
        return status;
    l.qkv = arena_alloc(&memory, qkv);
    l.dqkv = arena_alloc(&memory, qkv);
    l.out = arena_alloc(&memory, out);
    l.dout = arena_alloc(&memory, out);
    l.a = (struct attention){.dtype = s->dtype,
                             .batch = s->batch,
                             .seq_len = seq_len,
                             .heads = s->heads,
                             .kv_heads = s->kv_heads,
                             .head_dim = s->head_dim,
                             .window = s->window,
                             .qkv = l.qkv,
                             .out = l.out,
                             .max = arena_alloc(&memory, statistics),
                             .inverse_sum = arena_alloc(&memory, statistics),
                             .dropout = dropout_make(0, 0, 0, 0),
                             .dout = l.dout,
                             .dqkv = l.dqkv};
    status = time_layer(b, &l, err);
    arena_release(&memory);
    return status;
}

static enum status measure(struct bench_ops *b, void *arg, struct error *err)
{
    const struct attention_bench *s = arg;
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < s->seq_lens.n; i++)
        status = measure_length(b, s, (size_t)s->seq_lens.value[i], err);
    return status;
}

int bench_attention(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct bench_ops b = {.command = "bench attention",
                          .dim_names = {"batch", "heads", "kv_heads", "head_dim", "seq_len", "window"},
                          .repeat = 9};
    struct attention_bench s = {.batch = 4, .heads = 12, .head_dim = 64};
    static const char *const dtypes[] = {"f32", "bf16", NULL};
    const char *threads = all, *seq_lens = "256,1024", *dtype = "f32";
    struct option_def options[] = {
        OPT_SIZE("batch", &s.batch, 1, 1 << 16, "sequences (4)"),
        OPT_SIZE("heads", &s.heads, 1, 1024, "heads of queries (12)"),
        OPT_SIZE("kv-heads", &s.kv_heads, 1, 1024,
                 "heads of keys and values, a divisor of --heads; without it as many"),
        OPT_SIZE("head-dim", &s.head_dim, 1, 1024, "elements of a head (64)"),
        OPT_TEXT("seq-len", "LIST", &seq_lens, "tokens per sequence, one or more (256,1024)"),
        OPT_CHOICE("dtype", &dtype, dtypes, "operands of the products (f32)"),
        OPT_SIZE("window", &s.window, 0, 1 << 20, "keys that a query sees, itself included; 0: all before it (0)"),
        BENCH_OPS_FLAGS(&b, &threads),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0, longest = 0;
    int code = options_parse(argc, argv, options, &attention_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (s.kv_heads == 0)
        s.kv_heads = s.heads;
    b.bf16_peak = strcmp(dtype, "bf16") == 0;
    s.dtype = b.bf16_peak ? DTYPE_BF16 : DTYPE_F32;
    enum status status = bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err);
    if (status == STATUS_OK)
        status = bench_parse_list("seq-len", seq_lens, 1, 1 << 20, &s.seq_lens, &err);
    if (status == STATUS_OK && s.heads % s.kv_heads != 0)
        status =
            error_set(&err, STATUS_CONFIG, "--kv-heads wants a divisor of --heads (%zu), not %zu", s.heads, s.kv_heads);
    if (status != STATUS_OK) {
        command_say(b.command, "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    for (size_t i = 0; i < s.seq_lens.n; i++) {
        const size_t bytes =
            attention_scratch_bytes(s.dtype, (size_t)s.seq_lens.value[i], s.head_dim, s.heads / s.kv_heads, s.window);
        longest = bytes > longest ? bytes : longest;
    }
    status = bench_ops_each_team(&b, longest, measure, &s, &err);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(b.command, &err);
}
