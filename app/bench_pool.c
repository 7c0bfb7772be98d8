/* SPDX-License-Identifier: MIT
 * app/bench_pool.c - `cllm bench pool`: what a task and a parallel loop cost, beside other runtimes.
 *
 * All contenders run the same loads on the same number of threads, in turn, round after round, so that a machine that
 * slows down meanwhile slows all of them.  A peer's start and stop are outside the timing.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "app/peers/peers.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "runtime/parallel.h"
#include "runtime/pool.h"
#include "topology/topology.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TASKS = 100000, BLOCK = 1000, DEPTH = 16, LIGHT = 1000000, UNEVEN = 4000, ROUNDS = 15, CONTENDERS = 8, REST_NS = 20000000 };

static const struct option_usage usage = {
    .command = "bench pool",
    .synopsis = "cllm bench pool [options]",
    .summary = "Nanoseconds of an empty task, submitted from outside, by a task, and as a tree; microseconds of loops over "
               "light elements, over elements whose cost grows with their index, and over some few heavy ones among many "
               "light. Beside libgomp, and beside oneTBB in the program that `make cllm-bench` builds where it is "
               "installed. Median (and minimum) of --repeat rounds in turn; then the workers' own figures.",
    .examples = "  cllm bench pool\n"
                "  build/release/cllm-bench bench pool --threads 2 --csv\n",
};

/* --- loads -------------------------------------------------------------------------------------------------------- */

struct arrays {
    float *out, *a, *b;
    uint32_t *cost; /* [UNEVEN] rounds of a dependent chain */
    float *sink;    /* [UNEVEN] */
};

static void light(size_t begin, size_t end, void *arg)
{
    const struct arrays *x = arg;
    for (size_t i = begin; i < end; i++)
        x->out[i] = 2.0f * x->a[i] + x->b[i];
}

static void uneven(size_t begin, size_t end, void *arg)
{
    const struct arrays *x = arg;
    for (size_t i = begin; i < end; i++) {
        float y = 1.0f;
        for (uint32_t k = x->cost[i]; k > 0; k--)
            y = y * 0.5f + 1.0f;
        x->sink[i] = y;
    }
}

static void growing_costs(uint32_t *cost)
{
    for (size_t i = 0; i < UNEVEN; i++)
        cost[i] = (uint32_t)i / 2;
}

/* Pareto with exponent 1.1, cut off at a hundredth of the whole. */
static void heavy_tailed_costs(uint32_t *cost)
{
    for (size_t i = 0; i < UNEVEN; i++) {
        const double u = ((double)philox4x32(11, 0, i).word[0] + 1.0) / 4294967297.0;
        const double x = 100.0 * pow(u, -1.0 / 1.1);
        cost[i] = (uint32_t)(x < 60000.0 ? x : 60000.0);
    }
}

/* --- ours --------------------------------------------------------------------------------------------------------- */

static struct pool *pool;

static enum status nothing(struct future *me, void *arg)
{
    (void)me;
    (void)arg;
    return STATUS_OK;
}

/* A full queue is the submitter's to deal with: it lets the workers go on for a moment. */
static void submit(pool_task fn, void *arg, struct future **out)
{
    while (pool_submit(pool, POOL_BATCH, fn, arg, out) == STATUS_QUEUE_FULL)
        for (int i = 0; i < 100; i++)
            clock_now_ns();
}

static void our_outside(size_t n)
{
    struct future *last[BLOCK];
    for (size_t done = 0; done < n; done += BLOCK) {
        for (size_t i = 0; i < BLOCK; i++)
            submit(nothing, NULL, &last[i]);
        for (size_t i = 0; i < BLOCK; i++) {
            (void)future_wait(last[i]);
            future_release(last[i]);
        }
    }
}

struct blocks {
    size_t n, block;
};

static enum status submit_blocks(struct future *me, void *arg)
{
    (void)me;
    const struct blocks *b = arg;
    struct future *futures[BLOCK];
    for (size_t done = 0; done < b->n; done += b->block) {
        for (size_t i = 0; i < b->block; i++)
            submit(nothing, NULL, &futures[i]);
        for (size_t i = b->block; i-- > 0;) {
            (void)future_wait(futures[i]);
            future_release(futures[i]);
        }
    }
    return STATUS_OK;
}

static void run_one(pool_task fn, void *arg)
{
    struct future *future;
    submit(fn, arg, &future);
    (void)future_wait(future);
    future_release(future);
}

static void our_inside(size_t n, size_t block)
{
    run_one(submit_blocks, &(struct blocks){n, block});
}

static enum status branch(struct future *me, void *arg)
{
    (void)me;
    const intptr_t depth = (intptr_t)arg;
    if (depth == 0)
        return STATUS_OK;
    struct future *half[2];
    for (int i = 0; i < 2; i++)
        submit(branch, (void *)(depth - 1), &half[i]);
    for (int i = 1; i >= 0; i--) {
        (void)future_wait(half[i]);
        future_release(half[i]);
    }
    return STATUS_OK;
}

static void our_tree(int depth)
{
    run_one(branch, (void *)(intptr_t)depth);
}

struct body {
    peer_body *fn;
    void *arg;
};

static enum status call_body(size_t begin, size_t end, void *arg)
{
    const struct body *body = arg;
    body->fn(begin, end, body->arg);
    return STATUS_OK;
}

static void our_loop(enum peer_schedule schedule, size_t n, peer_body *body, void *arg)
{
    (void)schedule;
    (void)parallel_for(pool, n, NULL, call_body, &(struct body){body, arg});
}

static void our_start(int threads)
{
    (void)threads; /* started before, for a refusal is said in words */
}

static void our_stop(void)
{
}

static const struct pool_peer ours = {"cllm", {NULL, "cllm"}, our_start, our_stop, our_outside, our_inside, our_tree,
                                      our_loop};

/* --- the table ---------------------------------------------------------------------------------------------------- */

enum load { OUTSIDE, INSIDE, TREE, LOOP_LIGHT, LOOP_GROWING, LOOP_HEAVY, LOADS };

static const struct {
    const char *name, *unit;
    double per; /* tasks, or 1000 for microseconds of the whole */
} LOAD[LOADS] = {
    [OUTSIDE] = {"empty tasks from outside", "ns a task", TASKS},
    [INSIDE] = {"empty tasks by a task", "ns a task", TASKS},
    [TREE] = {"a tree of empty tasks", "ns a task", (1 << (DEPTH + 1)) - 2},
    [LOOP_LIGHT] = {"10^6 light elements", "us", 1000},
    [LOOP_GROWING] = {"cost grows with index", "us", 1000},
    [LOOP_HEAVY] = {"heavy-tailed cost", "us", 1000},
};

struct contender {
    const struct pool_peer *peer;
    enum peer_schedule schedule;
    const char *name;
};

static void run_load(const struct contender *c, enum load load, struct arrays *x)
{
    switch (load) {
    case OUTSIDE:
        c->peer->outside(TASKS);
        break;
    case INSIDE:
        c->peer->inside(TASKS, BLOCK);
        break;
    case TREE:
        c->peer->tree(DEPTH);
        break;
    case LOOP_LIGHT:
        c->peer->loop(c->schedule, LIGHT, light, x);
        break;
    default:
        c->peer->loop(c->schedule, UNEVEN, uneven, x);
    }
}

/* Who takes part in a load. */
static size_t contenders_of(enum load load, struct contender *out)
{
    const struct pool_peer *peers[] = {&ours, &peer_gomp, &peer_tbb};
    size_t n = 0;
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        const struct pool_peer *p = peers[i];
        if (!p)
            continue;
        if (load >= LOOP_LIGHT) {
            for (int s = 0; s < PEER_SCHEDULES; s++)
                if (p->loop_name[s] && !(load == LOOP_LIGHT && p == &peer_gomp && s == PEER_DYNAMIC))
                    out[n++] = (struct contender){p, (enum peer_schedule)s, p->loop_name[s]};
        } else if (load != OUTSIDE || p->outside) {
            out[n++] = (struct contender){p, PEER_STATIC, p->name};
        }
    }
    return n;
}

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = REST_NS};
    nanosleep(&pause, NULL);
}

static void run_rounds(enum load load, struct arrays *x, int threads, size_t repeat, bool csv)
{
    struct contender who[CONTENDERS];
    double ns[CONTENDERS][BENCH_MAX_REPEAT];
    const size_t n = contenders_of(load, who);
    for (size_t r = 0; r < repeat + 1; r++)
        for (size_t i = 0; i < n; i++) {
            /* Workers of the one before spin for a while yet and would take a core from this one: they get time to
             * fall asleep.  Then a run that is not timed wakes this one's own.  The first round warms up. */
            rest();
            run_load(&who[i], load, x);
            const uint64_t start_ns = clock_now_ns();
            run_load(&who[i], load, x);
            if (r > 0)
                ns[i][r - 1] = (double)(clock_now_ns() - start_ns);
        }
    double ours_ns = 0;
    for (size_t i = 0; i < n; i++) {
        const double middle = bench_median(ns[i], repeat), least = ns[i][0];
        if (i == 0)
            ours_ns = middle;
        if (csv)
            printf("%s,%d,\"%s\",%s,%s,%.1f,%.1f\n", CLLM_VERSION, threads, LOAD[load].name, who[i].name,
                   LOAD[load].unit, middle / LOAD[load].per, least / LOAD[load].per);
        else
            printf("%-26s  %-14s  %9.1f  %9.1f  %-9s  %6.2f\n", i == 0 ? LOAD[load].name : "", who[i].name,
                   middle / LOAD[load].per, least / LOAD[load].per, LOAD[load].unit, middle / ours_ns);
        fflush(stdout);
    }
}

/* Where calling others begins to pay: loops of growing length, alone and together. */
static void run_lengths(struct arrays *x, int threads, size_t repeat, bool csv)
{
    struct contender who[CONTENDERS];
    const size_t n = contenders_of(LOOP_LIGHT, who);
    if (!csv) {
        printf("\nlight elements, us of a loop        alone");
        for (size_t i = 0; i < n; i++)
            printf("  %14s", who[i].name);
        printf("\n");
    }
    for (size_t length = 1000; length <= LIGHT; length *= length < 100000 ? 3 : 10) {
        double us[CONTENDERS + 1];
        for (size_t i = 0; i <= n; i++) {
            double ns[BENCH_MAX_REPEAT];
            rest();
            for (size_t r = 0; r < repeat + 3; r++) {
                const uint64_t start_ns = clock_now_ns();
                if (i == 0)
                    light(0, length, x);
                else
                    who[i - 1].peer->loop(who[i - 1].schedule, length, light, x);
                if (r >= 3)
                    ns[r - 3] = (double)(clock_now_ns() - start_ns);
            }
            us[i] = 1e-3 * bench_median(ns, repeat);
            if (csv)
                printf("%s,%d,\"%zu light elements\",%s,us,%.2f,%.2f\n", CLLM_VERSION, threads, length,
                       i == 0 ? "alone" : who[i - 1].name, us[i], 1e-3 * ns[0]);
        }
        if (csv)
            continue;
        printf("%30zu  %9.2f", length, us[0]);
        for (size_t i = 1; i <= n; i++)
            printf("  %14.2f", us[i]);
        printf("\n");
    }
}

static void print_workers(bool csv)
{
    if (csv)
        return;
    printf("\nworker    created        run     stolen  steal ratio   busy s   idle s  asleep s\n");
    for (int i = -1; i < pool_stats_count(pool); i++) {
        struct pool_stats s;
        char name[12];
        if (pool_stats(pool, i, &s) != STATUS_OK)
            continue;
        snprintf(name, sizeof name, i < 0 ? "all" : "%d", i);
        printf("%-6s %10llu %10llu %10llu  %11.3f  %7.2f  %7.2f  %8.2f\n", name, (unsigned long long)s.created,
               (unsigned long long)s.run, (unsigned long long)s.stolen, s.steal_ratio, 1e-9 * (double)s.busy_ns,
               1e-9 * (double)s.idle_ns, 1e-9 * (double)s.asleep_ns);
    }
}

static enum status bench(int threads, size_t repeat, bool csv, struct error *err)
{
    struct arrays x = {.out = mem_calloc(LIGHT, sizeof(float)),
                       .a = mem_calloc(LIGHT, sizeof(float)),
                       .b = mem_calloc(LIGHT, sizeof(float)),
                       .cost = mem_calloc(UNEVEN, sizeof(uint32_t)),
                       .sink = mem_calloc(UNEVEN, sizeof(float))};
    struct pool_options options = pool_options_default();
    options.num_threads = threads;
    enum status status = STATUS_OK;
    if (!x.out || !x.a || !x.b || !x.cost || !x.sink)
        status = error_set(err, STATUS_NOMEM, "no memory for the loads of the benchmark");
    pool = status == STATUS_OK ? pool_init(&options, err) : NULL;
    if (pool)
        status = pool_start(pool, err);
    else if (status == STATUS_OK)
        status = err->status;
    if (status == STATUS_OK) {
        for (size_t i = 0; i < LIGHT; i++)
            x.a[i] = x.b[i] = x.out[i] = (float)(i % 17);
        threads = pool_size(pool);
        peer_gomp.start(threads);
        if (&peer_tbb)
            peer_tbb.start(threads);
        if (csv)
            printf("version,threads,load,contender,unit,median,minimum\n");
        else
            printf("%d threads%s, %zu rounds%s\n\n%-26s  %-14s  %9s  %9s  %-9s  %6s\n", threads,
                   pool_note(pool)[0] ? "" : " as asked", repeat,
                   &peer_tbb ? "" : "; built without oneTBB (make cllm-bench builds with it where it is installed)",
                   "load", "who", "median", "minimum", "", "/ours");
        for (int load = 0; load < LOADS; load++) {
            if (load >= LOOP_GROWING)
                (load == LOOP_GROWING ? growing_costs : heavy_tailed_costs)(x.cost);
            run_rounds((enum load)load, &x, threads, repeat, csv);
        }
        run_lengths(&x, threads, repeat, csv);
        print_workers(csv);
        peer_gomp.stop();
        if (&peer_tbb)
            peer_tbb.stop();
    }
    pool_free(pool);
    mem_free(x.out);
    mem_free(x.a);
    mem_free(x.b);
    mem_free(x.cost);
    mem_free(x.sink);
    return status;
}

int bench_pool(int argc, char **argv)
{
    int threads = 0;
    size_t repeat = ROUNDS;
    bool csv = false;
    struct option_def options[] = {
        OPT_INT("threads", &threads, 0, POOL_THREADS_MAX, "workers; 0 = as many as there are cores to use (0)"),
        OPT_SIZE("repeat", &repeat, 1, BENCH_MAX_REPEAT, "rounds (15)"),
        OPT_FLAG("csv", &csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    const int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    return bench(threads, repeat, csv, &err) == STATUS_OK ? EXIT_CODE_OK : command_failed("bench pool", &err);
}
