/* SPDX-License-Identifier: MIT
 *
 * A sphere always has one stretch open: of a phase, working or waiting.  Each call here but the first of a run closes
 * it and opens the next with the same reading of the clock, so nothing falls between two.
 */
#include "runtime/profile.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "runtime/profile_internal.h"
#include "runtime/team_internal.h"

#include <string.h>

static int phase_of(struct sphere_profile *p, const char *name)
{
    for (int i = 0; i < p->num_phases; i++)
        if (p->phases[i].name == name || strcmp(p->phases[i].name, name) == 0)
            return i;
    CHECK(p->num_phases < PROFILE_MAX_PHASES);
    p->phases[p->num_phases].name = name;
    return p->num_phases++;
}

static void close_stretch(struct sphere *me, uint64_t now_ns, bool waiting)
{
    struct sphere_profile *p = me->profile;
    struct phase_total *total = &p->phases[p->phase];
    const uint64_t begin_ns = p->since_ns, flops = me->stats.flops;
    *(waiting ? &total->wait_ns : &total->busy_ns) += now_ns - begin_ns;
    total->flops += flops - p->since_flops;
    p->since_ns = now_ns;
    p->since_flops = flops;
    if (!p->keep_events || now_ns == begin_ns)
        return;
    if (p->num_events < p->max_events)
        p->events[p->num_events++] = (struct phase_event){total->name, begin_ns, now_ns, waiting};
    else
        p->events_left_out++;
}

void sphere__begin_phase(struct sphere *me, const char *name)
{
    const int phase = phase_of(me->profile, name);
    if (phase == me->profile->phase) /* goes on */
        return;
    close_stretch(me, clock_now_ns(), false);
    me->profile->phase = phase;
}

void profile__run_begins(struct sphere *me, uint64_t run_start_ns, uint64_t now_ns)
{
    struct team *team = me->team;
    me->profile = team->profile_mode == PROFILE_OFF ? NULL : &team->profiles[me->id];
    if (!me->profile)
        return;
    me->profile->keep_events = team->profile_mode == PROFILE_EVENTS;
    me->profile->phase = phase_of(me->profile, "start");
    me->profile->since_ns = run_start_ns;
    me->profile->since_flops = me->stats.flops;
    close_stretch(me, now_ns, true);
}

void profile__waits(struct sphere *me, uint64_t now_ns)
{
    close_stretch(me, now_ns, false);
}

void profile__goes_on(struct sphere *me, uint64_t now_ns)
{
    me->profile->phases[me->profile->phase].barriers++;
    close_stretch(me, now_ns, true);
}

void profile__run_ended(struct team *team, uint64_t now_ns)
{
    for (int id = 0; id < team->width; id++) {
        struct sphere *me = &team->members[id].sphere;
        close_stretch(me, now_ns, true);
        me->profile = NULL;
    }
}

enum status team_profile_reserve(struct team *team, size_t max_events, struct error *err)
{
    const size_t n = (size_t)team->num_spheres;
    size_t each, events_bytes, all;
    CHECK(!team->profiles);
    if (!size_mul(max_events, sizeof(struct phase_event), &events_bytes) ||
        !size_add(events_bytes, sizeof *team->profiles, &each) || !size_mul(each, n, &all))
        return error_set(err, STATUS_NOMEM, "%zu events of %zu spheres are more than memory can be asked for", max_events, n);
    team->profiles = mem_map(all);
    if (!team->profiles)
        return error_set(err, STATUS_NOMEM, "no memory for the profile of %zu spheres (%zu bytes)", n, all);
    team->profiles_bytes = all;
    struct phase_event *events = (struct phase_event *)(void *)(team->profiles + n);
    for (size_t id = 0; id < n; id++) {
        team->profiles[id].events = events + id * max_events;
        team->profiles[id].max_events = max_events;
    }
    return STATUS_OK;
}

void team_profile_set(struct team *team, enum profile_mode mode)
{
    CHECK(mode == PROFILE_OFF || team->profiles);
    team->profile_mode = mode;
}

void team_profile_clear(struct team *team)
{
    for (int id = 0; team->profiles && id < team->num_spheres; id++) {
        struct sphere_profile *p = &team->profiles[id];
        memset(p->phases, 0, sizeof p->phases);
        p->num_phases = 0;
        p->num_events = 0;
        p->events_left_out = 0;
    }
}

const struct sphere_profile *team_profile(const struct team *team, int id)
{
    CHECK(id >= 0 && id < team->num_spheres);
    return team->profiles ? &team->profiles[id] : NULL;
}
