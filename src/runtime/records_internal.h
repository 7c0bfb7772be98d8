/* SPDX-License-Identifier: MIT
 * runtime/records_internal.h - a task and its future are one record, a cache line, and records are used again.
 *
 * A record is free again when its task is over, its future released and its queue entry taken out, whichever comes
 * last; all three are bits of `state`, so that each of those who change it sees whether it was the last.  Memory of
 * records goes back to the system only with the store, so that a stale pointer to one may always be looked at; `serial`
 * tells whether it is still the task it was.  A worker keeps some free records to itself; threads outside share a few
 * caches, each under a lock of its own.
 */
#ifndef RUNTIME_RECORDS_INTERNAL_H
#define RUNTIME_RECORDS_INTERNAL_H

#include "runtime/barrier_internal.h" /* CACHE_LINE */
#include "runtime/pool.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

enum {
    TASK_QUEUED = 0,
    TASK_RUNNING = 1,
    TASK_DONE = 2,
    TASK_CANCELLED = 3,
    TASK_PHASE = 3,
    TASK_WAITED = 4,  /* somebody sleeps on the word */
    TASK_ASKED = 8,   /* future_cancel came while it ran */
    TASK_HELD = 16,   /* a caller has the future */
    TASK_ENTERED = 32 /* a queue has it */
};

struct records;

struct future {
    alignas(CACHE_LINE) _Atomic uint32_t state; /* what ends a task is acq_rel; who finds it over loads with acquire */
    _Atomic uint32_t serial;                    /* goes up with each use */
    pool_task fn;
    void *arg;
    union {
        void *result;
        struct future *next; /* free */
    };
    struct error *error;            /* NULL until the task asks for it */
    enum status status;             /* what the task returned */
    _Atomic uint32_t parent_serial; /* the task that submitted it; see is_descendant */
    _Atomic(struct future *) parent;
    struct records *store;
};

struct record_cache {
    struct future *head;
    int count;
};

struct pool;

enum { OUTSIDE_CACHES = 8 };

struct records {
    struct pool *pool; /* NULL once it was freed */
    struct {
        alignas(CACHE_LINE) pthread_mutex_t mu;
        struct record_cache cache; /* guarded by mu */
    } outside[OUTSIDE_CACHES];
    alignas(CACHE_LINE) pthread_mutex_t mu; /* guards what follows */
    struct record_cache free;
    struct record_chunk *chunks;
    int made;    /* records ever carved from the chunks */
    int orphans; /* after the pool: records still held */
};

struct records *records_new(struct pool *pool);

/* A record for a new task, NULL when there is no memory.  cache: the calling worker's own, NULL outside. */
struct future *records_get(struct records *store, struct record_cache *cache);
void records_put(struct future *record, struct record_cache *cache);

/* The pool is over; all its workers' records were given back with records_flush.  The store goes with the last record
 * that somebody still holds. */
void records_flush(struct records *store, struct record_cache *cache);
void records_abandon(struct records *store); /* NULL is fine */

#endif
