/* SPDX-License-Identifier: MIT
 * runtime/heartbeat.h - signs of life of a team's members, for one who watches from outside.
 *
 * Each member counts a beat where it begins a run, begins a phase, comes to a barrier, leaves it, and is done: a few
 * relaxed stores of its own.  Any thread may look, during a run as well; what it sees is a moment old.
 */
#ifndef RUNTIME_HEARTBEAT_H
#define RUNTIME_HEARTBEAT_H

#include "runtime/sphere.h"
#include "runtime/team.h"

#include <stdbool.h>
#include <stdint.h>

/* The team as a whole: while `run` is the same and `beats` does not rise, nobody in it gets anywhere. */
struct team_pulse {
    bool running;
    uint64_t run;   /* runs begun */
    uint64_t beats; /* of all members */
    int width;
};
void team_pulse(struct team *team, struct team_pulse *out);

enum member_state {
    MEMBER_NOT_BEGUN, /* has no part in the run, or not yet */
    MEMBER_WORKING,
    MEMBER_WAITING,   /* at a barrier */
    MEMBER_DONE
};

struct heartbeat {
    int id, tid;       /* of the thread, 0: none yet */
    enum member_state state;
    const char *phase; /* the last that it began; "start" before one */
    uint64_t arrivals; /* barriers it came to in this run */
};

/* Of member `id` of the run that is on; false: there is none, or no run. */
bool team_heartbeat(struct team *team, int id, struct heartbeat *out);

/* In a run in which nobody gets anywhere: the member that the others wait for.  It came to the fewest barriers; of several,
 * one that is not waiting; of those, that with the lowest id, for parents wake their children.  False when no run is on. */
bool team_laggard(struct team *team, struct heartbeat *out);

/* How long the thread of member `id` was ready to run while others had its core, since the thread was made: other programs, or
 * where there are more threads than cores, ours.  0 before its first run, and where the system does not count it.  Reads a
 * file of /proc.  Any thread, not while the team goes. */
uint64_t team_robbed_ns(const struct team *team, int id);

#endif
