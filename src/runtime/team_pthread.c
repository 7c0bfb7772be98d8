/* SPDX-License-Identifier: MIT
 *
 * The pthread back end: one persistent thread for each sphere; the caller of team_run sleeps meanwhile.
 *
 * Between runs each thread sleeps on its own `start` word.  A run is started down the 12-ary tree: the caller wakes
 * sphere 0, each sphere wakes its children below the width and then works.  A sphere outside the width sleeps on,
 * untouched.  The member that comes back last wakes the caller.  Where each thread runs: place_internal.h.
 */
#include "runtime/team_internal.h"

#include "base/memory.h"
#include "runtime/futex_internal.h"
#include "runtime/place_internal.h"
#include "runtime/thread_internal.h"
#include "topology/cpu_map.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* A word that one thread waits at and another raises. */
enum { DOWN, SLEEPING, UP };

struct seat {
    alignas(CACHE_LINE) _Atomic uint32_t start; /* raised with release by the parent, taken with acquire */
    struct team *team;
    int id;
    int slot; /* where it is placed; its own */
    pthread_t thread;
};

struct crew {
    alignas(CACHE_LINE) _Atomic uint32_t done; /* raised by the last member back, taken by the caller of team_run */
    size_t bytes;
    struct places places; /* empty under a CPU quota, which does not say on which CPUs it will be had */
    int started;
    bool quit; /* read after a start: the thread shall end */
    struct seat seats[];
};

static void raise_word(_Atomic uint32_t *word)
{
    if (atomic_exchange_explicit(word, UP, memory_order_acq_rel) == SLEEPING)
        futex_wake(word, 1);
}

/* Sleeps until the word is up, and puts it down. */
static void take_word(_Atomic uint32_t *word)
{
    uint32_t seen = DOWN;
    if (atomic_compare_exchange_strong_explicit(word, &seen, SLEEPING, memory_order_acquire, memory_order_acquire))
        do {
            futex_wait(word, SLEEPING);
        } while (atomic_load_explicit(word, memory_order_acquire) != UP);
    atomic_store_explicit(word, DOWN, memory_order_relaxed);
}

static void *seat_main(void *arg)
{
    struct seat *seat = arg;
    struct team *team = seat->team;
    struct crew *crew = team->crew;
    for (;;) {
        take_word(&seat->start);
        const int first = sphere_first_child(seat->id), count = sphere_num_children(seat->id, team->width);
        for (int child = first; child < first + count; child++)
            raise_word(&crew->seats[child].start);
        if (crew->quit)
            return NULL;
        const int slot = place_slot(seat->id, team->width, crew->places.count);
        if (slot != seat->slot)
            place_here(&crew->places, slot);
        seat->slot = slot;
        if (team__member(team, seat->id))
            raise_word(&crew->done);
    }
}

static void refused(const struct team *team, int started, int why, struct error *err)
{
    struct rlimit processes = {0}, address_space = {0};
    getrlimit(RLIMIT_NPROC, &processes);
    getrlimit(RLIMIT_AS, &address_space);
    char limit[160];
    if (address_space.rlim_cur != RLIM_INFINITY)
        snprintf(limit, sizeof limit, "the address space that the threads' stacks take (ulimit -v: %llu KiB)",
                 (unsigned long long)address_space.rlim_cur / 1024);
    else if (processes.rlim_cur != RLIM_INFINITY)
        snprintf(limit, sizeof limit, "the number of processes (ulimit -u: %llu, or pids.max of the cgroup)",
                 (unsigned long long)processes.rlim_cur);
    else
        snprintf(limit, sizeof limit, "pids.max of the cgroup or /proc/sys/kernel/threads-max");
    error_set(err, STATUS_SYSTEM,
              "%d sphere threads wanted, %d started, then the system refused (%s); the limit is likely %s",
              team->num_spheres, started, strerror(why), limit);
}

static void stop(struct team *team)
{
    struct crew *crew = team->crew;
    if (!crew)
        return;
    crew->quit = true;
    team->width = crew->started;
    if (crew->started > 0)
        raise_word(&crew->seats[0].start);
    for (int id = 0; id < crew->started; id++)
        pthread_join(crew->seats[id].thread, NULL);
    places_release(&crew->places);
    mem_unmap(crew, crew->bytes);
    team->crew = NULL;
}

/* Reads the machine only for a team so wide that its spheres will each keep to one of several CPUs. */
static enum status find_places(struct places *places, int num_spheres, struct error *err)
{
    const enum status status = places_init(places, err);
    if (status != STATUS_OK || places->count <= 2 || place_slot(0, num_spheres, places->count) == PLACE_ANYWHERE)
        return status;
    struct cpu_map map;
    if (cpu_map_read(&map, err) != STATUS_OK)
        return STATUS_NOMEM;
    places_order(places, &map);
    cpu_map_release(&map);
    return STATUS_OK;
}

static enum status start(struct team *team, struct error *err)
{
    const size_t bytes = sizeof(struct crew) + (size_t)team->num_spheres * sizeof(struct seat);
    struct crew *crew = mem_map(bytes);
    if (!crew)
        return error_set(err, STATUS_NOMEM, "no memory for the threads of %d spheres", team->num_spheres);
    crew->bytes = bytes;
    team->crew = crew;
    if (!team->quota && find_places(&crew->places, team->num_spheres, err) != STATUS_OK) {
        stop(team);
        return STATUS_NOMEM;
    }
    int why = 0;
    for (; crew->started < team->num_spheres && why == 0; crew->started += why == 0) {
        struct seat *seat = &crew->seats[crew->started];
        char name[24];
        snprintf(name, sizeof name, "sphere %d", crew->started);
        seat->team = team;
        seat->id = crew->started;
        seat->slot = PLACE_ANYWHERE;
        why = thread__create(&seat->thread, name, team->stack_bytes, seat_main, seat);
    }
    if (why == 0)
        return STATUS_OK;
    refused(team, crew->started, why, err);
    stop(team);
    return STATUS_SYSTEM;
}

static enum status run(struct team *team)
{
    struct crew *crew = team->crew;
    raise_word(&crew->seats[0].start);
    take_word(&crew->done);
    return STATUS_OK;
}

const struct team_ops team__pthread = {start, run, stop};
