/* SPDX-License-Identifier: MIT
 *
 * The OpenMP back end: one parallel region a run, in which the caller is sphere 0.  The threads are those of the
 * OpenMP runtime, which keeps them from region to region, so an application that lives in OpenMP has one team and
 * not two.  Barriers inside are ours; stacks are OpenMP's (OMP_STACKSIZE).  gcc's runtime ends the whole program
 * when it is refused a thread, so a new team first starts as many threads of its own and lets them go again.
 */
#include "runtime/team_internal.h"

#ifdef _OPENMP

#include <ctype.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static size_t default_stack_bytes(void)
{
    pthread_attr_t attr;
    size_t bytes = 0;
    if (pthread_attr_init(&attr) == 0) {
        pthread_attr_getstacksize(&attr, &bytes);
        pthread_attr_destroy(&attr);
    }
    return bytes;
}

/* What OMP_STACKSIZE asks for ("8M"; without a letter it counts KiB), else the system's default. */
static size_t stack_bytes(void)
{
    const char *text = getenv("OMP_STACKSIZE");
    text = text ? text + strspn(text, " \t") : "";
    if (!isdigit((unsigned char)*text))
        return default_stack_bytes();
    char *end;
    const size_t count = strtoull(text, &end, 10);
    end += strspn(end, " \t");
    const int unit = toupper((unsigned char)*end);
    const unsigned shift = unit == 'B' ? 0 : unit == 'M' ? 20 : unit == 'G' ? 30 : 10;
    return count > SIZE_MAX >> shift ? default_stack_bytes() : count << shift;
}

/* Calls fn in a region of `width` threads, or not at all: how many there were comes back. */
static int in_region(struct team *team, int width, bool (*fn)(struct team *team, int id))
{
    int got = 0;
    const int dynamic = omp_get_dynamic();
    omp_set_dynamic(0);
#pragma omp parallel num_threads(width) default(none) shared(team, width, fn, got)
    {
        if (omp_get_thread_num() == 0)
            got = omp_get_num_threads();
        if (omp_get_num_threads() == width)
            fn(team, omp_get_thread_num());
    }
    omp_set_dynamic(dynamic);
    return got;
}

static bool nothing(struct team *team, int id)
{
    (void)team;
    (void)id;
    return false;
}

static enum status start(struct team *team, struct error *err)
{
    if (team->num_spheres == 1)
        return STATUS_OK;
    struct team rehearsal = {.num_spheres = team->num_spheres, .stack_bytes = stack_bytes()};
    const enum status status = team__pthread.start(&rehearsal, err);
    if (status != STATUS_OK)
        return status;
    team__pthread.stop(&rehearsal);
    int got = in_region(team, team->num_spheres, nothing);
    if (got != team->num_spheres)
        return error_set(err, STATUS_SYSTEM,
                         "OpenMP gives a team of %d threads where %d spheres were asked for; OMP_THREAD_LIMIT is %d, "
                         "and inside a parallel region OMP_MAX_ACTIVE_LEVELS must allow another",
                         got, team->num_spheres, omp_get_thread_limit());
    return STATUS_OK;
}

static enum status run(struct team *team)
{
    return in_region(team, team->width, team__member) == team->width ? STATUS_OK : STATUS_SYSTEM;
}

#else

static enum status start(struct team *team, struct error *err)
{
    (void)team;
    return error_set(err, STATUS_CONFIG, "this program was built without OpenMP; the pthread back end would be right");
}

static enum status run(struct team *team)
{
    (void)team;
    return STATUS_CONFIG;
}

#endif

static void stop(struct team *team)
{
    (void)team;
}

const struct team_ops team__openmp = {start, run, stop};
