/* SPDX-License-Identifier: MIT
 * runtime/team.h - a team of spheres that lives as long as a training run.
 *
 * team_run(team, width, fn, arg) calls fn(me, arg) once in each of the first `width` spheres and returns when all
 * are back.  One thread at a time may call team_run on a team.  Threads are persistent and sleep between runs.
 * Three back ends stand behind it, one file each: pthreads (default), OpenMP, serial (one sphere, the caller).
 *
 * With pthreads a run is a gang on a pool (runtime/pool.h), sphere i on the pool's thread i.  A team that is given a
 * pool has no threads of its own, so several teams and all tasks of a process share one set of threads: runs of
 * different teams follow one another, and a sphere whose thread has a task in hand joins after it.
 *
 * The 12-ary barrier (src/runtime/barrier_internal.h) spins only while every member has a core to itself, else it
 * sleeps.  Each run begins in the default floating-point environment; the caller's own is as it was afterwards.
 */
#ifndef RUNTIME_TEAM_H
#define RUNTIME_TEAM_H

#include "base/status.h"
#include "runtime/sphere.h"

#include <stddef.h>

enum team_backend { TEAM_PTHREAD, TEAM_OPENMP, TEAM_SERIAL };
enum { TEAM_STACK_BYTES = 256 * 1024 }; /* enough for team functions */

struct team_options {
    int num_spheres;           /* 0 = auto-detect (topology_auto_spheres), at most what the pool has; 1 … SPHERES_MAX */
    enum team_backend backend; /* TEAM_SERIAL wants num_spheres 0 or 1 */
    struct pool *pool;         /* started, outlives the team, pool_gang_size at least num_spheres; NULL = one of the
                                * team's own.  Other back ends than TEAM_PTHREAD leave it alone */
    size_t scratch_bytes;      /* reserved for each sphere, given on first touch */
    size_t stack_bytes;        /* of a sphere's thread, 0 = TEAM_STACK_BYTES; a given pool's threads have what its options say,
                                * OpenMP's what OMP_STACKSIZE says */
};

/* NULL with *err filled: a count out of range or more than the pool's (what was given, what is allowed), memory, or
 * threads the system refused (every thread already started is joined). */
struct team *team_new(const struct team_options *options, struct error *err);
void team_free(struct team *team); /* NULL is fine; not while running */

int team_size(const struct team *team);
enum team_backend team_backend(const struct team *team);
const char *team_backend_name(enum team_backend backend);                   /* "pthread", "openmp", "serial" */
enum status team_backend_parse(const char *name, enum team_backend *out, struct error *err);

/* 1 <= width <= team_size.  Returns the common verdict: the first failure that a member reported before a barrier or
 * before its return, which later barriers of the run then repeat (see sphere_fail).  Or, with fn called nowhere:
 * STATUS_SYSTEM when OpenMP has fewer than `width` threads for this caller, STATUS_MISUSE when the pool was stopped or the
 * caller is one of its threads. */
enum status team_run(struct team *team, int width, void (*fn)(struct sphere *me, void *arg), void *arg);

/* A copy of sphere `id`'s statistics; any thread, also during a run (then each field by itself is a recent value).
 * Waiting counts the time a sphere slept while a run it had no part in went on.  STATUS_MISUSE for a bad id. */
enum status team_stats(const struct team *team, int id, struct sphere_stats *out);

#endif
