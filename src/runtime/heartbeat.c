/* SPDX-License-Identifier: MIT */
#include "runtime/heartbeat.h"

#include "runtime/heartbeat_internal.h"
#include "runtime/team_internal.h"
#include "runtime/thread.h"
#include "runtime/thread_state.h"

#include <stdatomic.h>

#define LOAD(x) atomic_load_explicit(&(x), memory_order_relaxed)

void heartbeat__begins(struct sphere *me, uint64_t run)
{
    struct sphere_pulse *p = &me->pulse;
    atomic_store_explicit(&p->tid, thread_tid(), memory_order_relaxed);
    atomic_store_explicit(&p->phase, "start", memory_order_relaxed);
    atomic_store_explicit(&p->arrivals, 0, memory_order_relaxed);
    atomic_store_explicit(&p->state, MEMBER_WORKING, memory_order_relaxed);
    atomic_store_explicit(&p->run, run, memory_order_relaxed);
    sphere_beat(me);
}

void heartbeat__waits(struct sphere *me)
{
    struct sphere_pulse *p = &me->pulse;
    atomic_store_explicit(&p->arrivals, LOAD(p->arrivals) + 1, memory_order_relaxed);
    atomic_store_explicit(&p->state, MEMBER_WAITING, memory_order_relaxed);
    sphere_beat(me);
}

void heartbeat__goes_on(struct sphere *me)
{
    atomic_store_explicit(&me->pulse.state, MEMBER_WORKING, memory_order_relaxed);
    sphere_beat(me);
}

void heartbeat__is_done(struct sphere *me)
{
    atomic_store_explicit(&me->pulse.state, MEMBER_DONE, memory_order_relaxed);
    sphere_beat(me);
}

void team_pulse(struct team *team, struct team_pulse *out)
{
    mutex_lock(team->mu);
    *out = (struct team_pulse){.running = team->running, .run = team->runs, .width = team->width};
    mutex_unlock(team->mu);
    for (int id = 0; id < out->width; id++)
        out->beats += LOAD(team->members[id].sphere.pulse.beats);
}

static struct heartbeat look(const struct team *team, int id, uint64_t run)
{
    const struct sphere_pulse *p = &team->members[id].sphere.pulse;
    struct heartbeat h = {.id = id, .tid = LOAD(p->tid), .state = MEMBER_NOT_BEGUN, .phase = "start"};
    if (LOAD(p->run) == run) {
        h.state = (enum member_state)LOAD(p->state);
        h.phase = LOAD(p->phase);
        h.arrivals = LOAD(p->arrivals);
    }
    return h;
}

bool team_heartbeat(struct team *team, int id, struct heartbeat *out)
{
    struct team_pulse pulse;
    team_pulse(team, &pulse);
    if (!pulse.running || id >= pulse.width)
        return false;
    *out = look(team, id, pulse.run);
    return true;
}

/* Whether the others wait for `a` rather than for `b`, of a higher id. */
static bool is_behind(const struct heartbeat *a, const struct heartbeat *b)
{
    if ((a->state == MEMBER_DONE) != (b->state == MEMBER_DONE))
        return b->state == MEMBER_DONE;
    if ((a->state == MEMBER_NOT_BEGUN) != (b->state == MEMBER_NOT_BEGUN))
        return a->state == MEMBER_NOT_BEGUN;
    /* Who waits has come to the barrier that who works has yet to come to. */
    const uint64_t of_a = a->arrivals + (a->state == MEMBER_WORKING), of_b = b->arrivals + (b->state == MEMBER_WORKING);
    if (of_a != of_b)
        return of_a < of_b;
    return a->state == MEMBER_WORKING || b->state != MEMBER_WORKING;
}

uint64_t team_robbed_ns(const struct team *team, int id)
{
    struct thread_state thread;
    const int tid = LOAD(team->members[id].sphere.pulse.tid);
    return tid && thread_state_read(tid, &thread) ? thread.robbed_ns : 0;
}

bool team_laggard(struct team *team, struct heartbeat *out)
{
    struct team_pulse pulse;
    team_pulse(team, &pulse);
    if (!pulse.running)
        return false;
    *out = look(team, 0, pulse.run);
    for (int id = 1; id < pulse.width; id++) {
        const struct heartbeat h = look(team, id, pulse.run);
        if (!is_behind(out, &h))
            *out = h;
    }
    return true;
}
