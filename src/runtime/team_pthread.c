/* SPDX-License-Identifier: MIT
 *
 * The pthread back end: a run is a gang on a pool, sphere i on the pool's thread i; the caller of team_run sleeps
 * meanwhile.  The pool is the caller's, or one that the team makes for itself, which then gets no tasks.
 * How a run is started and where each thread sits: gang.c.
 */
#include "runtime/pool.h"
#include "runtime/team_internal.h"

#include <limits.h>

static void stop(struct team *team)
{
    if (team->pool != team->lent_pool)
        pool_free(team->pool);
    team->pool = NULL;
}

static enum status start(struct team *team, struct error *err)
{
    team->pool = team->lent_pool;
    if (team->pool && pool_gang_size(team->pool) < team->num_spheres)
        return error_set(err, STATUS_CONFIG, "%d spheres do not fit a pool of %d threads", team->num_spheres,
                         pool_gang_size(team->pool));
    if (team->pool)
        return STATUS_OK;
    const size_t least_stack = (size_t)PTHREAD_STACK_MIN;
    struct pool_options options = pool_options_default();
    options.num_threads = 1;
    options.gang_threads = team->num_spheres;
    options.stack_size_bytes = team->stack_bytes < least_stack ? least_stack : team->stack_bytes;
    options.queue_capacity = 2;
    options.work_stealing = false;
    options.thread_name = "sphere";
    team->pool = pool_init(&options, err);
    if (!team->pool)
        return err->status;
    const enum status status = pool_start(team->pool, err);
    if (status != STATUS_OK)
        stop(team);
    return status;
}

static void member(int id, void *team)
{
    team__member(team, id);
}

static enum status run(struct team *team)
{
    return pool_gang_run(team->pool, team->width, member, team);
}

const struct team_ops team__pthread = {start, run, stop};
