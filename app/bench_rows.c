/* SPDX-License-Identifier: MIT
 * app/bench_rows.c - `cllm bench norm` and `cllm bench loss`: rows, each sphere its own, as the decoder has them.
 */
#include "app/bench_ops.h"
#include "app/command.h"
#include "app/options.h"
#include "ops/loss.h"
#include "ops/norm.h"

#include <math.h>

enum { MAX_ROWS = 1 << 24, MAX_COLS = 1 << 20 };

/* ---- norm ---- */

static const struct option_usage norm_usage = {
    .command = "bench norm",
    .synopsis = "cllm bench norm [options]",
    .summary =
        "Layer norm and RMS norm of rows in f32, as the decoder does them: forward; backward to the rows, added to a "
        "residual's gradient; and the gradient of the weights (and biases), columns summed over all rows. GB/s and "
        "their share of what is read from memory, GFLOP/s and their share of multiply-adds on registers alone, both "
        "measured in the same run; shapes that fit in a cache can pass 100% of memory. Median of --repeat rounds, "
        "waking the spheres included. Bytes are those of operands read or written once: 8 an element forward, 16 "
        "backward, 8 for the weights. FLOPs an element: 8, 14 and 5 (layer), 4, 10 and 3 (RMS).",
    .examples = "  cllm bench norm\n"
                "  cllm bench norm --rows 4096 --cols 4096 --threads 2\n"
                "  cllm bench norm --csv\n",
};

struct norm_bench {
    size_t rows, cols;
};

struct norm_case {
    struct norm norm;
    struct norm_grad grad;
    float *x, *y, *dy, *base, *dx;          /* [R,C] */
    float *mean, *rstd;                     /* [R] */
    float *weight, *bias, *dweight, *dbias; /* [C] */
    size_t rows, cols;
};

static void make_norm(struct sphere *me, void *arg)
{
    const struct norm_case *c = arg;
    const struct share own = sphere_share(me, c->rows);
    for (size_t r = own.begin; r < own.end; r++) {
        bench_ops_fill(c->x + r * c->cols, c->cols, (uint32_t)(3 * r));
        bench_ops_fill(c->dy + r * c->cols, c->cols, (uint32_t)(3 * r + 1));
        bench_ops_fill(c->base + r * c->cols, c->cols, (uint32_t)(3 * r + 2));
        bench_ops_poison(c->y + r * c->cols, c->cols);
        bench_ops_poison(c->dx + r * c->cols, c->cols);
    }
    if (me->id == 0) {
        bench_ops_fill(c->weight, c->cols, 1);
        bench_ops_fill(c->bias, c->cols, 2);
        bench_ops_poison(c->dweight, c->cols);
        bench_ops_poison(c->dbias, c->cols);
    }
}

enum { BLOCK = 48 }; /* rows that the decoder carries together */

static void norm_forward(struct sphere *me, void *arg)
{
    const struct norm_case *c = arg;
    const struct share own = sphere_share(me, c->rows);
    for (size_t r = own.begin; r < own.end; r += BLOCK) {
        const size_t n = own.end - r < BLOCK ? own.end - r : BLOCK, at = r * c->cols;
        norm_rows(&c->norm, c->y + at, c->x + at, n, c->cols, c->mean + r, c->rstd + r);
    }
}

static void norm_backward(struct sphere *me, void *arg)
{
    const struct norm_case *c = arg;
    const struct share own = sphere_share(me, c->rows);
    for (size_t r = own.begin; r < own.end; r += BLOCK) {
        const size_t n = own.end - r < BLOCK ? own.end - r : BLOCK, at = r * c->cols;
        norm_rows_backward(&c->norm, c->dx + at, c->base + at, NULL, c->dy + at, c->x + at, n, c->cols, c->mean + r,
                           c->rstd + r);
    }
}

static void norm_weights(struct sphere *me, void *arg)
{
    const struct norm_case *c = arg;
    const struct work work = norm_grad_work(&c->grad);
    work_run(me, &work, 1);
}

static enum status check_norm(const struct norm_case *c, const char *name, struct error *err)
{
    const size_t all = c->rows * c->cols;
    enum status status = bench_ops_check(name, c->y, all, err);
    if (status == STATUS_OK)
        status = bench_ops_check(name, c->dx, all, err);
    if (status == STATUS_OK)
        status = bench_ops_check(name, c->dweight, c->cols, err);
    if (status == STATUS_OK && c->grad.dbias)
        status = bench_ops_check(name, c->dbias, c->cols, err);
    return status;
}

static enum status time_norm(const struct bench_ops *b, struct norm_case *c, bool rms, struct error *err)
{
    const char *name = rms ? "rms norm" : "layer norm";
    const double all = (double)c->rows * (double)c->cols;
    struct bench_op ops[] = {
        {name, "forward", (rms ? 4 : 8) * all, 8 * all, norm_forward, c, {c->rows, c->cols}, 0},
        {name, "backward", (rms ? 10 : 14) * all, 16 * all, norm_backward, c, {c->rows, c->cols}, 0},
        {name, "weights", (rms ? 3 : 5) * all, 8 * all, norm_weights, c, {c->rows, c->cols}, 0},
    };
    c->norm = (struct norm){.weight = c->weight, .bias = rms ? NULL : c->bias, .eps = 1e-5f};
    c->grad = (struct norm_grad){.dweight = c->dweight,
                                 .dbias = rms ? NULL : c->dbias,
                                 .dy = c->dy,
                                 .x = c->x,
                                 .mean = c->mean,
                                 .rstd = c->rstd,
                                 .rows = c->rows,
                                 .cols = c->cols};
    enum status status = team_run(b->team, team_size(b->team), make_norm, c);
    if (status != STATUS_OK)
        return error_set(err, status, "the operands of a norm: %s", status_text(status));
    status = bench_ops_time(b, ops, 3, err);
    if (status == STATUS_OK)
        status = check_norm(c, name, err);
    if (status == STATUS_OK)
        bench_ops_print(b, ops, 3);
    return status;
}

static enum status measure_norms(struct bench_ops *b, void *arg, struct error *err)
{
    const struct norm_bench *s = arg;
    const size_t all = s->rows * s->cols * sizeof(float), rows = s->rows * sizeof(float),
                 cols = s->cols * sizeof(float);
    struct arena memory;
    enum status status = bench_ops_memory(
        &memory, 5 * arena_piece_bytes(all) + 2 * arena_piece_bytes(rows) + 4 * arena_piece_bytes(cols), err);
    if (status != STATUS_OK)
        return status;
    struct norm_case c = {.rows = s->rows, .cols = s->cols};
    float **const each[] = {&c.x,    &c.y,      &c.dy,   &c.base,    &c.dx,   &c.mean,
                            &c.rstd, &c.weight, &c.bias, &c.dweight, &c.dbias};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        *each[i] = arena_alloc(&memory, i < 5 ? all : i < 7 ? rows : cols);
    status = time_norm(b, &c, false, err);
    if (status == STATUS_OK)
        status = time_norm(b, &c, true, err);
    arena_release(&memory);
    return status;
}

int bench_norm(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct bench_ops b = {.command = "bench norm", .dim_names = {"rows", "cols"}, .by_memory = true, .repeat = 9};
    struct norm_bench s = {.rows = 16384, .cols = 768};
    const char *threads = all;
    struct option_def options[] = {
        OPT_SIZE("rows", &s.rows, 1, MAX_ROWS, "rows: tokens of a batch (16384)"),
        OPT_SIZE("cols", &s.cols, 1, MAX_COLS, "elements of a row: the model's width (768)"),
        BENCH_OPS_FLAGS(&b, &threads),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &norm_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err) != STATUS_OK) {
        command_say(b.command, "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    enum status status = bench_ops_each_team(&b, 0, measure_norms, &s, &err);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(b.command, &err);
}

/* ---- loss ---- */

static const struct option_usage loss_usage = {
    .command = "bench loss",
    .synopsis = "cllm bench loss [options]",
    .summary = "Softmax cross-entropy of rows of logits in f32: forward, which leaves the losses alone, and backward, "
               "which makes the "
               "losses and in the logits' place their gradient, as a training does. GB/s and their share of what is "
               "read from memory, "
               "GFLOP/s and their share of multiply-adds on registers alone, both measured in the same run; shapes "
               "that fit in a cache can "
               "pass 100% of memory. Median of --repeat rounds, waking the spheres included. Bytes: 8 a logit, read "
               "once and written "
               "once. FLOPs: 13 a logit forward, of which 11 are the exponential, and 14 backward.",
    .examples = "  cllm bench loss\n"
                "  cllm bench loss --vocab 128256 --rows 512 --threads 2\n"
                "  cllm bench loss --csv\n",
};

struct loss_bench {
    size_t rows, vocab;
    size_t stride;
    float *logits;
    int32_t *targets;
    double *losses;
};

static void make_logits(struct sphere *me, void *arg)
{
    const struct loss_bench *s = arg;
    const struct share own = sphere_share(me, s->rows);
    for (size_t r = own.begin; r < own.end; r++) {
        bench_ops_fill(s->logits + r * s->stride, s->vocab, (uint32_t)r);
        s->targets[r] = (int32_t)(r * 7919 % s->vocab);
        s->losses[r] = (double)NAN;
    }
}

/* The logits are what the round before left in their place: other numbers, the same work. */
static void cross_entropy(struct sphere *me, const struct loss_bench *s, bool gradient)
{
    const struct share own = sphere_share(me, s->rows);
    cross_entropy_rows(me, s->logits + own.begin * s->stride, s->stride, s->vocab, s->targets + own.begin, NULL,
                       own.end - own.begin, gradient, 1.0f / (float)s->rows, s->losses + own.begin);
}

static void loss_forward(struct sphere *me, void *arg)
{
    cross_entropy(me, arg, false);
}

static void loss_backward(struct sphere *me, void *arg)
{
    cross_entropy(me, arg, true);
}

/* The backward came last: what stands at a target is (p - 1) / rows. */
static enum status check_losses(const struct loss_bench *s, struct error *err)
{
    for (size_t r = 0; r < s->rows; r++) {
        const float *row = s->logits + r * s->stride;
        if (!isfinite(s->losses[r]) || !(row[s->targets[r]] <= 0))
            return error_set(err, STATUS_NONFINITE, "the loss of row %zu is %g, its target's gradient %g", r,
                             s->losses[r], (double)row[s->targets[r]]);
        if (bench_ops_check("a row's gradient", row, s->vocab, err) != STATUS_OK)
            return err->status;
    }
    return STATUS_OK;
}

static enum status measure_loss(struct bench_ops *b, void *arg, struct error *err)
{
    struct loss_bench *s = arg;
    const double all = (double)s->rows * (double)s->vocab;
    struct bench_op ops[] = {
        {"loss", "forward", 13 * all, 8 * all, loss_forward, s, {s->rows, s->vocab}, 0},
        {"loss", "backward", 14 * all, 8 * all, loss_backward, s, {s->rows, s->vocab}, 0},
    };
    s->stride = (s->vocab + 15) / 16 * 16;
    const size_t logits = s->rows * s->stride * sizeof *s->logits, targets = s->rows * sizeof *s->targets,
                 losses = s->rows * sizeof *s->losses;
    struct arena memory;
    enum status status = bench_ops_memory(
        &memory, arena_piece_bytes(logits) + arena_piece_bytes(targets) + arena_piece_bytes(losses), err);
    if (status != STATUS_OK)
        return status;
    s->logits = arena_alloc(&memory, logits);
    s->targets = arena_alloc(&memory, targets);
    s->losses = arena_alloc(&memory, losses);
    status = team_run(b->team, team_size(b->team), make_logits, s);
    if (status != STATUS_OK)
        error_set(err, status, "the logits: %s", status_text(status));
    if (status == STATUS_OK)
        status = bench_ops_time(b, ops, 2, err);
    if (status == STATUS_OK)
        status = check_losses(s, err);
    if (status == STATUS_OK)
        bench_ops_print(b, ops, 2);
    arena_release(&memory);
    return status;
}

int bench_loss(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct bench_ops b = {.command = "bench loss", .dim_names = {"rows", "vocab"}, .by_memory = true, .repeat = 9};
    struct loss_bench s = {.rows = 1024, .vocab = 50257};
    const char *threads = all;
    struct option_def options[] = {
        OPT_SIZE("rows", &s.rows, 1, MAX_ROWS, "rows of logits: tokens (1024)"),
        OPT_SIZE("vocab", &s.vocab, 1, MAX_COLS, "logits of a row (50257)"),
        BENCH_OPS_FLAGS(&b, &threads),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &loss_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err) != STATUS_OK) {
        command_say(b.command, "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    enum status status = bench_ops_each_team(&b, 0, measure_loss, &s, &err);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(b.command, &err);
}
