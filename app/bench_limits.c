/* SPDX-License-Identifier: MIT
 * app/bench_limits.c - `cllm bench limits`: what this machine's units can do when nothing else holds them up.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "base/clock.h"
#include "base/human.h"
#include "base/memory.h"
#include "kernels/kernels_bf16.h"
#include "ops/peak.h"
#include "runtime/team.h"
#include "topology/topology.h"

#include <stdio.h>
#include <string.h>

static const struct option_usage limits_usage = {
    .command = "bench limits",
    .synopsis = "cllm bench limits [options]",
    .summary = "GFLOP/s of multiply-adds on registers alone, in f32 and in bf16 pairs, for each instruction set this "
               "machine has; and GB/s of reading from each cache and from memory, each sphere its own bytes. For one "
               "sphere and for all. What other benchmarks reach is a share of these.",
    .examples = "  cllm bench limits\n"
                "  cllm bench limits --threads 1 --csv\n",
};

/* ---- peaks ---- */

enum { MAX_ROUNDS = 9 };

static double best_gflops(struct team *team, peak_kernel *kernel)
{
    return peak_best(team, team_size(team), kernel);
}

double bench_peak_gflops(struct team *team, bool bf16_units)
{
    return best_gflops(team, peak_kernel_in_use(bf16_units));
}

/* ---- reading ---- */

struct reading {
    const struct kernels_bf16 *kn;
    float *all;
    size_t floats, times; /* of each member */
};

static void touch(struct sphere *me, void *arg)
{
    struct reading *r = arg;
    for (size_t i = 0; i < r->floats; i++)
        r->all[(size_t)me->id * r->floats + i] = 1;
}

static void run_read(struct sphere *me, void *arg)
{
    const struct reading *r = arg;
    float result[16] = {0};
    for (size_t t = 0; t < r->times; t++)
        r->kn->read_f32(r->all + (size_t)me->id * r->floats, r->floats, result);
}

static enum status best_gbytes(struct team *team, size_t bytes, double *out, struct error *err)
{
    struct reading r = {.kn = kernels_bf16_get(), .floats = bytes / sizeof(float) / 128 * 128, .times = 1};
    const size_t all = r.floats * sizeof(float) * (size_t)team_size(team);
    r.all = mem_map(all);
    if (!r.all) {
        struct human h;
        return error_set(err, STATUS_NOMEM, "no memory for %s to read", human_bytes(&h, all));
    }
    mem_advise_huge(r.all, all);
    team_run(team, team_size(team), touch, &r);
    *out = 0;
    for (int go = 0; go < MAX_ROUNDS; go++) {
        const uint64_t start = clock_now_ns();
        team_run(team, team_size(team), run_read, &r);
        const double ns = (double)(clock_now_ns() - start) + 1, rate = (double)all * (double)r.times / ns;
        if (ns < 5e6) {
            r.times *= 4;
            go = -1;
        } else if (rate > *out) {
            *out = rate;
        }
    }
    mem_unmap(r.all, all);
    return STATUS_OK;
}

/* What one of `spheres` reads so that it comes from `level` (0 is L1) and from no lower one, or from memory (-1). */
static size_t working_set(const struct topology *t, int level, int spheres)
{
    size_t largest = 0;
    for (int i = 0; i < TOPOLOGY_MAX_CACHE_LEVEL; i++)
        if (t->data_cache[i].size_bytes > largest)
            largest = t->data_cache[i].size_bytes;
    if (level < 0) {
        const size_t wanted = 4 * largest / (size_t)spheres, least = (size_t)64 << 20;
        return wanted > least ? wanted : least;
    }
    const size_t size = t->data_cache[level].size_bytes;
    int sharers = t->data_cache[level].shared_by < spheres ? t->data_cache[level].shared_by : spheres;
    return size / 2 / (size_t)(sharers < 1 ? 1 : sharers);
}

enum status bench_memory_gbytes(struct team *team, double *out, struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    return best_gbytes(team, working_set(&topology, -1, team_size(team)), out, err);
}

/* ---- the command ---- */

struct limits {
    struct topology topology;
    struct bench_list threads;
    bool csv;
};

static void print_figure(const struct limits *l, const char *what, const char *isa, int threads, double figure,
                         const char *unit)
{
    if (l->csv)
        printf("%s,%s,%s,%d,%.2f,%s\n", CLLM_VERSION, what, isa, threads, figure, unit);
    else
        printf("%-12s %-11s %7d  %10.1f %s\n", what, isa, threads, figure, unit);
    fflush(stdout);
}

static enum status measure(const struct limits *l, struct team *team, struct error *err)
{
    static const char *const LEVELS[TOPOLOGY_MAX_CACHE_LEVEL] = {"L1 read", "L2 read", "L3 read", "L4 read"};
    const int n = team_size(team);
    for (int i = 0; i < ISA_COUNT; i++) {
        const struct kernels_bf16 *kn = kernels_bf16_of((enum isa)i);
        if (!kn)
            continue;
        if (i <= ISA_AVX512) /* the levels above have its units for f32 */
            print_figure(l, "f32", isa_name(kn->isa), n, best_gflops(team, kn->peak_f32), "GFLOP/s");
        print_figure(l, "bf16", isa_name(kn->isa), n, best_gflops(team, kn->peak_bf16), "GFLOP/s");
    }
    enum status status = STATUS_OK;
    for (int level = 0; level <= TOPOLOGY_MAX_CACHE_LEVEL && status == STATUS_OK; level++) {
        const bool memory = level == TOPOLOGY_MAX_CACHE_LEVEL;
        if (!memory && !l->topology.data_cache[level].size_bytes)
            continue;
        double rate = 0;
        status = best_gbytes(team, working_set(&l->topology, memory ? -1 : level, n), &rate, err);
        if (status == STATUS_OK)
            print_figure(l, memory ? "memory read" : LEVELS[level], bench_isa(), n, rate, "GB/s");
    }
    return status;
}

int bench_limits(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct limits l = {0};
    const char *threads = all;
    struct option_def options[] = {
        OPT_TEXT("threads", "LIST", &threads, "numbers of spheres (1, and all)"),
        OPT_FLAG("csv", &l.csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &limits_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (bench_parse_list("threads", threads, 1, SPHERES_MAX, &l.threads, &err) != STATUS_OK) {
        command_say("bench limits", "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    topology_read(&l.topology);
    printf(l.csv ? "version,what,isa,threads,figure,unit\n" : "what         isa         spheres      figure\n");
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < l.threads.n; i++) {
        struct team_options team_options = {.num_spheres = (int)l.threads.value[i], .backend = TEAM_PTHREAD};
        struct team *team = team_new(&team_options, &err);
        status = team ? measure(&l, team, &err) : err.status;
        team_free(team);
    }
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed("bench limits", &err);
}
