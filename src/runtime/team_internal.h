/* SPDX-License-Identifier: MIT
 * runtime/team_internal.h - what the back ends of a team share.
 *
 * A back end brings threads and nothing else: it lets each of the first `width` members call team__member once per
 * run and returns when all are back.  Barriers, verdicts, statistics and the floating-point environment are in
 * team.c and barrier.c, the same for all.
 */
#ifndef RUNTIME_TEAM_INTERNAL_H
#define RUNTIME_TEAM_INTERNAL_H

#include "runtime/barrier_internal.h"
#include "runtime/profile.h"
#include "runtime/sphere.h"
#include "runtime/team.h"

#include <stdalign.h>
#include <stdbool.h>

struct mutex;
struct pool;

struct member {
    alignas(CACHE_LINE) struct sphere sphere; /* first, so that a sphere is its member; the sphere's own thread */
    uint64_t resumed_ns;                      /* when the present stretch of computing began */
    uint32_t crossing, failure;               /* see barrier_cross */

    /* A copy of sphere.stats for readers during a run: each field relaxed, written by the sphere at its barriers. */
    struct {
        alignas(CACHE_LINE) _Atomic uint64_t sequences;
        _Atomic uint64_t tokens, flops, compute_ns, wait_ns, barriers, scratch_peak_bytes;
        _Atomic int cpu;
    } shown;
};

struct team_ops {
    enum status (*start)(struct team *team, struct error *err);
    enum status (*run)(struct team *team);                      /* STATUS_OK, or why no member was called */
    void (*stop)(struct team *team);                            /* fine when start failed */
};

struct team {
    int num_spheres, cores; /* cores: physical ones we may use, from affinity and quota */
    enum team_backend backend;
    const struct team_ops *ops;
    struct pool *lent_pool; /* the caller's, or NULL */
    struct pool *pool;      /* the one we run on; of the pthread back end */
    size_t stack_bytes;
    struct member *members;
    size_t members_bytes;
    struct barrier barrier;

    /* The run: written at rest by the caller of team_run and handed to the members by the back end. */
    void (*fn)(struct sphere *me, void *arg);
    void *arg;
    int width;
    uint64_t run_start_ns;

    /* Each sphere's is written by itself in a run, by the caller of team_run between two. */
    struct sphere_profile *profiles; /* [num_spheres], their events behind; NULL = no room was asked for */
    size_t profiles_bytes;
    enum profile_mode profile_mode;

    struct mutex *mu; /* also guards the writing of width and run_start_ns, which team_stats reads */
    bool running;     /* guarded by mu */
    uint64_t runs;    /* begun; guarded by mu, and constant during a run */
    uint64_t past_ns; /* duration of all runs that are over; guarded by mu, and constant during a run */
};

extern const struct team_ops team__pthread, team__openmp, team__serial;

/* One member's part in a run, by its thread.  True for the last member back: all the others are then done. */
bool team__member(struct team *team, int id);

#endif
