/* SPDX-License-Identifier: MIT
 * runtime/sphere.h - a sphere: one worker of a team, its place in the 12-fold hierarchy, its scratch, its statistics.
 *
 * Sphere i of N stands in a 12-ary heap: parent (i-1)/12, children 12i+1 … 12i+12.  A team runs a function on its
 * first `width` spheres; the others sleep.  A function that takes `struct sphere *me` first is a team function:
 * every one of the `width` members calls it, with the same arguments, and between two barriers each member writes
 * only what it owns.  What a member owns is a share of the *outputs* (sphere_share); sums are never split.
 */
#ifndef RUNTIME_SPHERE_H
#define RUNTIME_SPHERE_H

#include "base/arena.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { SPHERES_MAX = 1885, SPHERE_FANOUT = 12 };

/* One sphere's figures since the team was made.  Written by the sphere alone; others read them while the team
 * is at rest (between two team_run), or take a slightly old copy with team_stats. */
struct sphere_stats {
    int id, level, parent, first_child, num_children, group; /* parent is -1 for the root */
    int cpu;                 /* logical CPU it was last seen on, -1 before the first run */
    uint64_t sequences;      /* sequences whose last token row it owned in the loss */
    uint64_t tokens;         /* token rows it owned in the loss */
    uint64_t flops;          /* multiplications and additions done, counted by the ops */
    uint64_t compute_ns;     /* inside team functions, not waiting */
    uint64_t wait_ns;        /* at barriers, and asleep while others of the team worked */
    uint64_t barriers;       /* barriers crossed */
    uint64_t scratch_peak_bytes;
    uint64_t robbed_ns;      /* its thread was ready to run and others had the core (team_robbed_ns); 0 from team_stats */
};

/* Signs of life (runtime/heartbeat.h): written by the sphere alone, all of it relaxed. */
struct sphere_pulse {
    _Atomic uint64_t beats, run, arrivals;
    _Atomic(const char *) phase;
    _Atomic int state, tid;
};

struct team;
struct sphere_profile;

struct sphere {
    int id;
    int width;               /* members of the present run: ids 0 … width-1 */
    struct team *team;
    struct arena scratch;    /* this sphere's own; pages are given on first touch */
    struct sphere_stats stats;
    struct sphere_pulse pulse;
    struct sphere_profile *profile; /* NULL: this run is not profiled (runtime/profile.h) */
};

/* Geometry; pure functions of the id and of N. */
int sphere_levels(int num_spheres);  /* 1, 2, 3 or 4 */
int sphere_level(int id);            /* 0 for the root, 1 for 1 … 12, 2 for 13 … 156, 3 beyond */
int sphere_parent(int id);           /* -1 for the root */
int sphere_first_child(int id);
int sphere_num_children(int id, int num_spheres);
int sphere_group(int id);            /* symmetry group, id mod 12 */

/* A contiguous share of n units; all shares together are 0 … n-1, sizes differ by at most one, earlier ids get
 * the larger ones.  Depends on (id, width, n) alone. */
struct share {
    size_t begin, end;
};
struct share sphere_share(const struct sphere *me, size_t n);

/* The same where unit i costs cost(i, ctx): cut where the running cost crosses id/width of the whole.
 * Every member must be able to compute every cost.  O(n). */
struct share sphere_share_weighted(const struct sphere *me, size_t n, uint64_t (*cost)(size_t i, const void *ctx),
                                   const void *ctx);

/* Waits until all `width` members have arrived; what was written before is then seen by all.  The time is booked
 * as waiting.  Returns the common verdict: STATUS_OK, or the failure a member reported before this barrier. */
enum status sphere_barrier(struct sphere *me);

/* Reports a failure of this member.  The member goes on to the next barrier, where all get the verdict; the first
 * failure in order of ids wins when several report between the same barriers. */
void sphere_fail(struct sphere *me, enum status status);

static inline void sphere_beat(struct sphere *me)
{
    const uint64_t beats = atomic_load_explicit(&me->pulse.beats, memory_order_relaxed);
    atomic_store_explicit(&me->pulse.beats, beats + 1, memory_order_relaxed);
}

static inline void sphere_count_flops(struct sphere *me, uint64_t flops)
{
    me->stats.flops += flops;
}

#endif
