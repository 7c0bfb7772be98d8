/* SPDX-License-Identifier: MIT */
#include "ops/peak.h"

#include "base/clock.h"
#include "kernels/kernels_bf16.h"

struct going {
    struct team *team;
    int width;
    peak_kernel *kernel;
    size_t rounds;
    struct {
        double flops;
        uint64_t start_ns, end_ns, own_ns; /* own: that it had a processor */
        double best;                       /* GFLOP/s by its own time */
    } member[SPHERES_MAX];
};

/* The clock runs from a barrier on, where all are awake. */
static void run_go(struct sphere *me, void *arg)
{
    struct going *g = arg;
    float result[16];
    for (int i = 0; i < 16; i++)
        result[i] = 0.5f + 0.01f * (float)i;
    sphere_barrier(me);
    const uint64_t own_ns = clock_thread_ns();
    g->member[me->id].start_ns = clock_now_ns();
    g->member[me->id].flops = g->kernel(g->rounds, result);
    g->member[me->id].end_ns = clock_now_ns();
    g->member[me->id].own_ns = clock_thread_ns() - own_ns + 1;
}

/* Returns the time from the first one's start to the last one's end; *flops: of all. */
static double go(struct going *g, double *flops)
{
    uint64_t start_ns = UINT64_MAX, end_ns = 0;
    team_run(g->team, g->width, run_go, g);
    *flops = 0;
    for (int i = 0; i < g->width; i++) {
        *flops += g->member[i].flops;
        start_ns = g->member[i].start_ns < start_ns ? g->member[i].start_ns : start_ns;
        end_ns = g->member[i].end_ns > end_ns ? g->member[i].end_ns : end_ns;
    }
    return (double)(end_ns - start_ns) + 1;
}

/* The most that a member had of a processor in the last go. */
static double longest_own(const struct going *g)
{
    uint64_t most = 0;
    for (int i = 0; i < g->width; i++)
        most = g->member[i].own_ns > most ? g->member[i].own_ns : most;
    return (double)most;
}

/* Rounds for goes of about that length, of the time that passes or of the members' own. */
static void find_rounds(struct going *g, double go_ns, bool own)
{
    double ns, flops;
    for (g->rounds = 1000;; g->rounds *= 4) {
        ns = go(g, &flops);
        ns = own ? longest_own(g) : ns;
        if (ns >= go_ns / 4)
            break;
    }
    if (ns < go_ns)
        g->rounds = (size_t)((double)g->rounds * go_ns / ns);
}

double peak_best(struct team *team, int width, peak_kernel *kernel)
{
    enum { GOES = 30 };
    struct going g = {.team = team, .width = width, .kernel = kernel};
    double best = 0, flops;
    find_rounds(&g, 8e6, false);
    for (int i = 0; i < GOES; i++) {
        const double ns = go(&g, &flops);
        best = flops / ns > best ? flops / ns : best;
    }
    return best;
}

peak_kernel *peak_kernel_in_use(bool bf16_units)
{
    const struct kernels_bf16 *kn = kernels_bf16_get();
    return bf16_units ? kn->peak_bf16 : kn->peak_f32;
}

double peak_quick(struct team *team, int width, peak_kernel *kernel)
{
    enum { GOES = 60 };
    static const uint64_t most_ns = 20000000;
    struct going g = {.team = team, .width = width, .kernel = kernel};
    const uint64_t begin_ns = clock_now_ns();
    double flops, sum = 0;
    find_rounds(&g, 150e3, true);
    for (int k = 0; k < GOES && (k == 0 || clock_now_ns() - begin_ns < most_ns); k++) {
        go(&g, &flops);
        for (int i = 0; i < width; i++) {
            const double rate = g.member[i].flops / (double)g.member[i].own_ns;
            g.member[i].best = rate > g.member[i].best ? rate : g.member[i].best;
        }
    }
    for (int i = 0; i < width; i++)
        sum += g.member[i].best;
    return sum;
}
