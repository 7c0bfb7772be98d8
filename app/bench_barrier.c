/* SPDX-License-Identifier: MIT
 * app/bench_barrier.c - `cllm bench barrier`: a crossing of the barrier, and the waking of a team.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "app/peers/peers.h"
#include "base/clock.h"
#include "runtime/team.h"

#include <stdatomic.h>
#include <stdio.h>

static const struct option_usage barrier_usage = {
    .command = "bench barrier",
    .synopsis = "cllm bench barrier [options]",
    .summary =
        "One crossing of the 12-ary barrier, and an empty run of a whole team (waking it and waiting for it), for the "
        "pthread and the OpenMP back end; OpenMP's run is a parallel region of its own, with its own barrier at the end, "
        "whose spheres then cross ours. Beside them, up to 64 threads, libgomp's own barrier, and a plain one that "
        "counts and spins. Median of five.",
    .examples = "  cllm bench barrier\n"
                "  cllm bench barrier --spheres 2,12,144 --csv\n",
};

enum { REPEAT = 5, PEERS_MAX = 64 };

struct crossings {
    size_t n;
    double seconds;
    _Atomic uint32_t arrived, phase; /* of the spinning one */
};

static void cross(struct sphere *me, void *arg)
{
    struct crossings *c = arg;
    sphere_barrier(me); /* all are awake */
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < c->n; i++)
        sphere_barrier(me);
    if (me->id == 0)
        c->seconds = 1e-9 * (double)(clock_now_ns() - start);
}

/* Counts and spins, as a barrier that never sleeps does. */
static void spin(struct crossings *c, int width)
{
    const uint32_t phase = atomic_load_explicit(&c->phase, memory_order_acquire);
    if (atomic_fetch_add_explicit(&c->arrived, 1, memory_order_acq_rel) + 1 == (uint32_t)width) {
        atomic_store_explicit(&c->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&c->phase, phase + 1, memory_order_release);
        return;
    }
    while (atomic_load_explicit(&c->phase, memory_order_acquire) == phase)
        ;
}

static void cross_spinning(struct sphere *me, void *arg)
{
    struct crossings *c = arg;
    sphere_barrier(me);
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < c->n; i++)
        spin(c, me->width);
    if (me->id == 0)
        c->seconds = 1e-9 * (double)(clock_now_ns() - start);
}

static void nothing(struct sphere *me, void *arg)
{
    (void)me;
    (void)arg;
}

/* So many that they take about a tenth of a second, from the time of three. */
static size_t enough(double seconds_of_three)
{
    double n = 0.3 / (seconds_of_three > 1e-9 ? seconds_of_three : 1e-9);
    return n < 3 ? 3 : n > 200000 ? 200000 : (size_t)n;
}

struct figures {
    double crossing_ns, run_ns;
};

static enum status time_once(struct team *team, void (*crossing)(struct sphere *me, void *arg), struct figures *out)
{
    const int n = team_size(team);
    struct crossings c = {.n = 3};
    enum status status = team_run(team, n, crossing, &c);
    c.n = enough(c.seconds);
    if (status == STATUS_OK)
        status = team_run(team, n, crossing, &c);
    out->crossing_ns = 1e9 * c.seconds / (double)c.n;
    uint64_t start = clock_now_ns();
    for (int i = 0; status == STATUS_OK && i < 3; i++)
        status = team_run(team, n, nothing, NULL);
    size_t runs = enough(1e-9 * (double)(clock_now_ns() - start));
    start = clock_now_ns();
    for (size_t i = 0; status == STATUS_OK && i < runs; i++)
        status = team_run(team, n, nothing, NULL);
    out->run_ns = (double)(clock_now_ns() - start) / (double)runs;
    return status;
}

static enum status time_barrier(enum team_backend backend, int n, void (*crossing)(struct sphere *me, void *arg),
                                struct figures *out, struct error *err)
{
    struct team_options options = {.num_spheres = n, .backend = backend};
    struct team *team = team_new(&options, err);
    if (!team)
        return err->status;
    struct figures each[REPEAT];
    double crossing_ns[REPEAT], run_ns[REPEAT];
    enum status status = STATUS_OK;
    for (int r = 0; status == STATUS_OK && r < REPEAT; r++) {
        status = time_once(team, crossing, &each[r]);
        crossing_ns[r] = each[r].crossing_ns;
        run_ns[r] = each[r].run_ns;
    }
    team_free(team);
    if (status != STATUS_OK)
        return error_set(err, status, "a team of %d: %s", n, status_text(status));
    *out = (struct figures){bench_median(crossing_ns, REPEAT), bench_median(run_ns, REPEAT)};
    return STATUS_OK;
}

static double time_libgomp(int n)
{
    double ns[REPEAT];
    for (int r = 0; r < REPEAT; r++)
        ns[r] = peer_gomp_barrier_ns(n, enough(3e-9 * peer_gomp_barrier_ns(n, 3)));
    return bench_median(ns, REPEAT);
}

static void print_line(bool csv, int n, const char *name, struct figures f, double ours_ns)
{
    if (csv)
        printf("%s,%d,%s,%.0f,%.0f,%.2f\n", CLLM_VERSION, n, name, f.crossing_ns, f.run_ns, f.crossing_ns / ours_ns);
    else if (f.run_ns > 0)
        printf("%7d  %-16s  %9.2f us  %11.2f us  %8.2f\n", n, name, 1e-3 * f.crossing_ns, 1e-3 * f.run_ns,
               f.crossing_ns / ours_ns);
    else
        printf("%7d  %-16s  %9.2f us  %14s  %8.2f\n", n, name, 1e-3 * f.crossing_ns, "", f.crossing_ns / ours_ns);
    fflush(stdout);
}

static enum status bench_size(int n, bool csv, struct error *err)
{
    double ours_ns = 1;
    for (int backend = TEAM_PTHREAD; backend <= TEAM_OPENMP; backend++) {
        struct figures f;
        if (time_barrier((enum team_backend)backend, n, cross, &f, err) != STATUS_OK)
            return err->status;
        if (backend == TEAM_PTHREAD)
            ours_ns = f.crossing_ns;
        print_line(csv, n, team_backend_name((enum team_backend)backend), f, ours_ns);
    }
    if (n > PEERS_MAX)
        return STATUS_OK;
    struct figures f;
    if (time_barrier(TEAM_PTHREAD, n, cross_spinning, &f, err) != STATUS_OK)
        return err->status;
    f.run_ns = 0;
    print_line(csv, n, "spinning", f, ours_ns);
    print_line(csv, n, "libgomp's own", (struct figures){time_libgomp(n), 0}, ours_ns);
    return STATUS_OK;
}

int bench_barrier(int argc, char **argv)
{
    const char *spheres = "2,16,157,1741";
    bool csv = false;
    struct option_def options[] = {
        OPT_TEXT("spheres", "LIST", &spheres, "sizes of teams (2,16,157,1741)"),
        OPT_FLAG("csv", &csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    struct bench_list sizes;
    size_t found = 0;
    int code = options_parse(argc, argv, options, &barrier_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (bench_parse_list("spheres", spheres, 1, SPHERES_MAX, &sizes, &err) != STATUS_OK) {
        command_say("bench barrier", "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    printf(csv ? "version,spheres,barrier,crossing_ns,run_ns,ratio\n"
               : "spheres  barrier             crossing       empty run   to ours\n");
    for (size_t i = 0; i < sizes.n; i++)
        if (bench_size((int)sizes.value[i], csv, &err) != STATUS_OK)
            return command_failed("bench barrier", &err);
    return EXIT_CODE_OK;
}
