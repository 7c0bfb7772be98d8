/* SPDX-License-Identifier: MIT
 * runtime/pool_internal.h - the workers of a pool: how they find work, go to sleep and are woken.
 *
 * Sleeping (sleep.pml beside this file is the model that is checked).  A worker that finds nothing searches: it is
 * counted in `searching`.  It then sets its bit in `idle`, takes itself out of `searching`, looks once more at
 * everything, and sleeps on its own word.  Who puts a task in looks afterwards at `searching`; where nobody searches
 * it clears a bit of `idle`, counts that worker as searching on its behalf, and raises its word.  A searcher that
 * finds a task and was the last one searching looks whether there is more, and if so wakes another.  All of these are
 * sequentially consistent, so of a task put in and a worker falling asleep at least one sees the other: either the
 * submitter sees the bit, or it sees a searcher that has its last look still before it, or that look sees the task.
 *
 * Ending.  `active` counts workers that are not asleep for want of work; who wakes one counts it before it sleeps
 * itself.  With the FIFOs closed to outsiders, active = 0 means that all is done, and stays so.
 *
 * Spare workers.  Workers with an id below `limit` take tasks.  A task asleep in future_wait raises the limit by one
 * meanwhile; who is above it parks, and ends after a while unless gangs want it.
 *
 * Gangs (gang.c).  A member's `gang` is set before it is roused; it looks there whenever it takes nothing else up, after
 * it has announced its sleep too, and when it wakes, so the call cannot be missed.  Parked members join without leaving
 * their parking: they are not counted active, and pool_stop cannot come meanwhile, for gang_mu is held.
 */
#ifndef RUNTIME_POOL_INTERNAL_H
#define RUNTIME_POOL_INTERNAL_H

#include "runtime/deque_internal.h"
#include "runtime/fifo_internal.h"
#include "runtime/place_internal.h"
#include "runtime/pool.h"
#include "runtime/records_internal.h"
#include "topology/cpu_map.h"
#include "topology/numa.h"

#include <pthread.h>

/* A task in the hand of a worker, on its stack; below it those that wait for it. */
struct frame {
    struct future *task;
    struct frame *below;
};

enum presence { WORKER_ABSENT, WORKER_ALIVE, WORKER_ENDED /* to be joined */ };

struct worker {
    alignas(CACHE_LINE) struct pool *pool;
    int id;
    struct deque deque;
    struct record_cache cache;
    struct frame *frame;
    int interactive_run; /* interactive tasks in a row */
    uint32_t turns;      /* tasks looked for */
    uint64_t since_ns;   /* when it became busy, idle or asleep */
    bool stole;          /* the task found last was another worker's */
    uint64_t restraint_ns, not_before_ns; /* of stealing, while what is stolen is very light */
    pthread_t thread;
    enum presence presence; /* guarded by pool->mu */
    int kept_off;           /* the CPU it may not run on, -1 none; written by who has cleared its idle bit, or by itself */
    uint16_t *victims;      /* the others, near ones first; NULL: around from behind us */
    int num_victims;        /* `reach` when that was made */
    bool crowded;           /* comes from a gang that has not a core for each */
    int slot;               /* where gang.c has put it, PLACE_ANYWHERE when nowhere */

    alignas(CACHE_LINE) _Atomic uint32_t word; /* raised with release to end its sleep, taken with acquire */
    _Atomic(struct gang *) gang;               /* one that it shall join */
    _Atomic uint32_t called;                   /* number of the last gang to which its children were called */

    /* Written by the worker alone, read by pool_stats: relaxed. */
    struct {
        alignas(CACHE_LINE) _Atomic uint64_t created;
        _Atomic uint64_t run, stolen, cancelled, busy_ns, idle_ns, asleep_ns, sleeps, gangs;
    } shown;
};

enum pool_state { POOL_MADE, POOL_STARTING, POOL_RUNNING, POOL_DRAINING, POOL_CANCELLING, POOL_ENDING, POOL_OVER };

enum { IDLE_WORDS = (2 * POOL_THREADS_MAX + 63) / 64 };

struct pool {
    struct pool_options options; /* as taken: nothing is 0 that means "default" */
    _Atomic int gang_threads;    /* written under gang_mu and mu */
    struct records *store;
    struct places places;      /* to pin to */
    struct cpu_map map;        /* of a pinned pool, else empty */
    struct numa *numa;         /* NULL unless memory is to be near */
    struct places gang_places; /* where gangs sit that are many to a CPU; none where that is not ours to say */
    uint32_t gang_number;      /* of the last gang; guarded by gang_mu */
    char note[512];
    _Atomic bool spin; /* every worker has a core */
    int cores, nodes;
    bool quota; /* a cgroup gives us less than the affinity mask */

    pthread_mutex_t mu;      /* starting, resizing, stopping */
    pthread_mutex_t gang_mu; /* held while a gang runs; taken before mu */
    _Atomic int wanted;      /* written under mu */
    _Atomic int slots;       /* workers[0 … slots-1] are there; grows under mu */
    _Atomic int reach;       /* those of them that take tasks or did, and have deques; grows under mu */
    _Atomic uint64_t created_outside;

    struct fifo interactive, batch;

    alignas(CACHE_LINE) _Atomic uint32_t state; /* enum pool_state, also the gate that new threads wait at */
    _Atomic int limit;                          /* wanted + lent */
    _Atomic int lent;
    alignas(CACHE_LINE) _Atomic int searching;
    _Atomic uint64_t idle[IDLE_WORDS];
    alignas(CACHE_LINE) _Atomic uint32_t active;
    _Atomic(struct worker *) workers[2 * POOL_THREADS_MAX];
};


/* The worker that the calling thread is, if it is one of this pool's. */
struct worker *pool__self(const struct pool *pool);

/* A word that one thread sleeps at.  WOKEN is raised once for each time its worker was counted as searching and active
 * on its behalf, and must be waited for then; NUDGED says "look again" and may come at any time. */
enum { WORD_SLEEPING = 1, WORD_NUDGED = 2, WORD_WOKEN = 4 };
bool pool__raise_word(_Atomic uint32_t *word, uint32_t bit); /* whether somebody slept there */

/* Sleeps until the bit is up, about timeout_ns at most (0: as long as it takes), and puts the whole word down. */
void pool__take_word(_Atomic uint32_t *word, uint32_t bit, uint64_t timeout_ns);

/* A task was put in. */
void pool__notify(struct pool *pool);

/* Somebody is awake and looks for work. */
static inline bool pool__is_searching(const struct pool *pool)
{
    return atomic_load_explicit((_Atomic int *)&pool->searching, memory_order_relaxed) > 0;
}

/* Wakes a worker whatever it sleeps for.  False: it was awake, and may have something in hand. */
bool pool__rouse(struct worker *worker);

/* Runs a task that was taken (phase RUNNING).  worker: the calling thread. */
void pool__run(struct worker *worker, struct future *task);

/* QUEUED to RUNNING, for the caller to run; false when somebody else was first.  The queue's entry stays. */
bool pool__claim(struct future *task);

/* What a queue gave: true, then it is the caller's to run; false, it is over or another's and was dropped. */
bool pool__take(struct worker *worker, struct future *task);

/* Ends a task that was RUNNING or, by the pool's sweep, is; wakes who waits; gives the record back if it was the last. */
void pool__finish(struct future *task, enum status status, struct record_cache *cache);

/* What a worker can do meanwhile: the awaited task, one of its descendants, or one of the task in hand; from its own
 * deque, or from another's.  NULL: nothing. */
struct future *pool__help_self(struct worker *worker, const struct future *awaited);
struct future *pool__help_others(struct worker *worker, const struct future *awaited);

/* A task is going to sleep in a wait; another worker may take its core. */
bool pool__lend(struct pool *pool);
void pool__unlend(struct pool *pool);

/* Starts or restarts worker `id`, which from now on takes tasks if `tasks`; pool->mu is held. */
enum status pool__start_worker(struct pool *pool, int id, bool tasks, struct error *err);

/* Joins the gang that worker->gang calls it to. */
void pool__join_gang(struct worker *worker);

/* By the worker itself: from now on it may run anywhere again. */
void pool__end_keeping_apart(struct worker *worker);

/* Undoes what place a gang gave it, before it takes tasks again. */
void pool__leave_place(struct worker *worker);

/* Where gangs of this pool sit: read once, when the pool is made. */
enum status pool__gang_places(struct pool *pool, struct error *err);

void *pool__worker_main(void *worker);

/* The k-th victim of a worker, k = 1 … reach-1, near ones first.  By the worker itself. */
int pool__victim(struct worker *worker, int k, int reach);

/* Reads pool->map where threads are pinned. */
enum status pool__read_map(struct pool *pool, struct error *err);

/* Asks for untouched memory from the node that thread `id` is pinned to; false when the system does not do it. */
bool pool__near_memory(struct pool *pool, int id, void *memory, size_t bytes, struct error *err);

#endif
