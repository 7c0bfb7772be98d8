/* SPDX-License-Identifier: MIT
 * app/bench_barrier.c - `cllm bench barrier`: a crossing of the barrier, and the waking of a team.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "base/clock.h"
#include "runtime/team.h"

#include <stdio.h>

static const struct option_usage barrier_usage = {
    .command = "bench barrier",
    .synopsis = "cllm bench barrier [options]",
    .summary =
        "Nanoseconds of one crossing of the 12-ary barrier, and of an empty run of a whole team (waking it and waiting "
        "for "
        "it), for the pthread and the OpenMP back end. OpenMP's run is a parallel region of its own, with its own "
        "barrier at the end; its spheres then cross ours.",
    .examples = "  cllm bench barrier\n"
                "  cllm bench barrier --spheres 2,12,144 --csv\n",
};

struct crossings {
    size_t n;
    double seconds;
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

static void nothing(struct sphere *me, void *arg)
{
    (void)me;
    (void)arg;
}

/* So many that they take about a fifth of a second, from the time of three. */
static size_t enough(double seconds_of_three)
{
    double n = 0.6 / (seconds_of_three > 1e-9 ? seconds_of_three : 1e-9);
    return n < 3 ? 3 : n > 200000 ? 200000 : (size_t)n;
}

static enum status time_barrier(enum team_backend backend, int n, double *crossing_ns, double *run_ns,
                                struct error *err)
{
    struct team_options options = {.num_spheres = n, .backend = backend};
    struct team *team = team_new(&options, err);
    if (!team)
        return err->status;
    struct crossings c = {.n = 3};
    enum status status = team_run(team, n, cross, &c);
    c.n = enough(c.seconds);
    if (status == STATUS_OK)
        status = team_run(team, n, cross, &c);
    *crossing_ns = 1e9 * c.seconds / (double)c.n;
    uint64_t start = clock_now_ns();
    for (int i = 0; status == STATUS_OK && i < 3; i++)
        status = team_run(team, n, nothing, NULL);
    size_t runs = enough(1e-9 * (double)(clock_now_ns() - start));
    start = clock_now_ns();
    for (size_t i = 0; status == STATUS_OK && i < runs; i++)
        status = team_run(team, n, nothing, NULL);
    *run_ns = (double)(clock_now_ns() - start) / (double)runs;
    team_free(team);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "a team of %d: %s", n, status_text(status));
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
    printf(csv ? "version,spheres,backend,crossing_ns,run_ns\n" : "spheres  back end   crossing       empty run\n");
    for (size_t i = 0; i < sizes.n; i++)
        for (int backend = TEAM_PTHREAD; backend <= TEAM_OPENMP; backend++) {
            double crossing = 0, run = 0;
            int n = (int)sizes.value[i];
            const char *name = team_backend_name((enum team_backend)backend);
            if (time_barrier((enum team_backend)backend, n, &crossing, &run, &err) != STATUS_OK)
                return command_failed("bench barrier", &err);
            if (csv)
                printf("%s,%d,%s,%.0f,%.0f\n", CLLM_VERSION, n, name, crossing, run);
            else
                printf("%7d  %-8s  %9.2f us  %11.2f us\n", n, name, 1e-3 * crossing, 1e-3 * run);
            fflush(stdout);
        }
    return EXIT_CODE_OK;
}
