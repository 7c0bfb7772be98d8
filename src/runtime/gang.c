/* SPDX-License-Identifier: MIT
 *
 * Gangs: one call on many threads of a pool at the same time.
 *
 * The caller calls member 0, each member calls its children in the 12-ary heap and then works, so a wide gang is under
 * way after a few wakings and not after as many as it has members.  Where a member does not come at once, because it
 * has a task in hand, whoever called it calls its children in its place; `called` sees to it that only one of the two
 * does.  A caller is a member that has not begun, or the thread that waits for all, so the gang is there while it calls.
 */
#include "runtime/futex_internal.h"
#include "runtime/pool_internal.h"

#include "base/check.h"
#include "runtime/sphere.h"
#include "topology/cpu_map.h"

struct gang {
    void (*fn)(int id, void *arg);
    void *arg;
    int width;
    uint32_t number;
    alignas(CACHE_LINE) _Atomic int left; /* not back yet; acq_rel: who takes the last sees what all have done */
    _Atomic uint32_t done;                /* raised by the last one back, taken by the caller */
};

static void call(struct gang *gang, struct worker *member);

static void call_children(struct gang *gang, struct worker *member)
{
    const int first = sphere_first_child(member->id), count = sphere_num_children(member->id, gang->width);
    if (count == 0 || atomic_exchange(&member->called, gang->number) == gang->number)
        return;
    for (int child = first; child < first + count; child++)
        call(gang, atomic_load_explicit(&member->pool->workers[child], memory_order_relaxed));
}

static void call(struct gang *gang, struct worker *member)
{
    atomic_store(&member->gang, gang);
    if (!pool__rouse(member))
        call_children(gang, member);
}

static void take_place(struct worker *worker, int slot)
{
    if (slot != worker->slot)
        place_here(&worker->pool->gang_places, slot);
    worker->slot = slot;
}

void pool__leave_place(struct worker *worker)
{
    take_place(worker, PLACE_ANYWHERE);
}

void pool__join_gang(struct worker *worker)
{
    struct gang *gang = atomic_load(&worker->gang);
    atomic_store_explicit(&worker->gang, NULL, memory_order_relaxed);
    call_children(gang, worker);
    pool__end_keeping_apart(worker);
    take_place(worker, place_slot(worker->id, gang->width, worker->pool->gang_places.count));
    gang->fn(worker->id, gang->arg);
    worker->crowded = gang->width > worker->pool->cores;
    atomic_store_explicit(&worker->shown.gangs, atomic_load_explicit(&worker->shown.gangs, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (atomic_fetch_sub_explicit(&gang->left, 1, memory_order_acq_rel) == 1)
        pool__raise_word(&gang->done, WORD_WOKEN);
}

enum status pool_gang_run(struct pool *pool, int width, void (*fn)(int id, void *arg), void *arg)
{
    if (!pool || !fn || width < 1 || pool__self(pool))
        return STATUS_MISUSE;
    CHECK(pthread_mutex_lock(&pool->gang_mu) == 0);
    struct gang gang = {.fn = fn, .arg = arg, .width = width, .number = ++pool->gang_number, .left = width};
    const bool may = atomic_load(&pool->state) == POOL_RUNNING && width <= pool_gang_size(pool);
    if (may) {
        call(&gang, atomic_load(&pool->workers[0]));
        pool__take_word(&gang.done, WORD_WOKEN, 0);
    }
    CHECK(pthread_mutex_unlock(&pool->gang_mu) == 0);
    return may ? STATUS_OK : STATUS_MISUSE;
}

/* Reads the machine only for gangs so wide that their members will each keep to one of several CPUs. */
enum status pool__gang_places(struct pool *pool, struct error *err)
{
    const int widest = pool_gang_size(pool);
    struct places *places = &pool->gang_places;
    if (pool->quota)
        return STATUS_OK;
    const enum status status = places_init(places, err);
    if (status != STATUS_OK || places->count <= 2 || place_slot(0, widest, places->count) == PLACE_ANYWHERE)
        return status;
    struct cpu_map map;
    if (cpu_map_read(&map, err) != STATUS_OK)
        return STATUS_NOMEM;
    places_order(places, &map);
    cpu_map_release(&map);
    return STATUS_OK;
}
