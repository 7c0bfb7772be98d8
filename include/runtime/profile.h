/* SPDX-License-Identifier: MIT
 * runtime/profile.h - where the time of a team's runs goes: by phase, and on a time line.
 *
 * A team function says what it begins with sphere_phase(me, "name"); the phase lasts to the next such call or to the
 * end of the run.  While a team is profiled each sphere books, for itself, the time it works in a phase, the time it
 * waits at the barriers in it, their number, and the operations counted.  A run's time is booked without a gap: from
 * team_run's call to the first phase as waiting in "start", and from a member's return to the last one's as waiting in
 * its last phase.  So for each member of a run busy_ns + wait_ns over all phases is what the runs lasted.
 *
 * All is reserved by team_profile_reserve; a run allocates nothing.  A team that is not profiled pays a test of one
 * pointer a mark, and three relaxed accesses for those who watch (runtime/heartbeat.h).  Everything here but sphere_phase is called by the thread that calls team_run, between two runs.
 */
#ifndef RUNTIME_PROFILE_H
#define RUNTIME_PROFILE_H

#include "base/status.h"
#include "runtime/sphere.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct team;

enum { PROFILE_MAX_PHASES = 32 }; /* different names; more are a bug of the caller's and end the program */

struct phase_total {
    const char *name;
    uint64_t busy_ns, wait_ns;
    uint64_t flops, barriers;
};

/* A stretch of one phase on one sphere; a barrier inside a phase makes three of it. */
struct phase_event {
    const char *name;
    uint64_t begin_ns, end_ns; /* as clock_now_ns */
    bool waiting;
};

/* Of one sphere; for reading. */
struct sphere_profile {
    struct phase_total phases[PROFILE_MAX_PHASES]; /* in order of first use */
    int num_phases;
    struct phase_event *events; /* in order of time */
    size_t num_events, max_events;
    uint64_t events_left_out; /* that found no room */
    /* the stretch that is open */
    int phase;
    bool keep_events;
    uint64_t since_ns, since_flops;
};

/* Makes room for totals and for max_events events (0 is fine) of each sphere; once per team.  STATUS_NOMEM with *err
 * filled, and the team is as it was. */
enum status team_profile_reserve(struct team *team, size_t max_events, struct error *err);

/* What the runs from now on book; PROFILE_OFF before the first call.  The team must have room for it. */
enum profile_mode { PROFILE_OFF, PROFILE_TOTALS, PROFILE_EVENTS /* and totals */ };
void team_profile_set(struct team *team, enum profile_mode mode);

void team_profile_clear(struct team *team); /* forgets what was booked; fine on a team without room */

/* Borrowed until team_free; NULL for a team without room. */
const struct sphere_profile *team_profile(const struct team *team, int id);

void sphere__begin_phase(struct sphere *me, const char *name); /* sphere_phase's, while profiled */

/* Called by sphere `me`: it begins phase `name`, a string that outlives the team; equal texts are one phase. */
static inline void sphere_phase(struct sphere *me, const char *name)
{
    atomic_store_explicit(&me->pulse.phase, name, memory_order_relaxed);
    sphere_beat(me);
    if (me->profile)
        sphere__begin_phase(me, name);
}

#endif
