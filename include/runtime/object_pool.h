/* SPDX-License-Identifier: MIT
 * runtime/object_pool.h - a bounded pool of objects that are dear to make: get one, use it, put it back.
 *
 * An object is made when one is wanted, none is idle and fewer than `capacity` exist; with all of them out a thread
 * waits its turn.  The one put back last is given out first, for it is warm.  Any thread may call anything but
 * object_pool_free; an object belongs to one thread at a time, from get to put, and the thread that puts need not be the
 * one that got.  `make`, `reset` and `destroy` are called without a lock held, by several threads at once.
 */
#ifndef RUNTIME_OBJECT_POOL_H
#define RUNTIME_OBJECT_POOL_H

#include "base/status.h"
#include "runtime/cancel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBJECT_POOL_CAPACITY_MAX = 4096 }; /* put looks through them all */

struct object_pool;

struct object_pool_options {
    int capacity;                                    /* 1 … OBJECT_POOL_CAPACITY_MAX objects at once */
    void *(*make)(void *context, struct error *err); /* NULL with *err filled when it cannot */
    bool (*reset)(void *object, void *context);      /* at put; false: not fit for use again.  May be NULL */
    void (*destroy)(void *object, void *context);    /* may be NULL */
    void *context;
};

struct object_pool_stats {
    int capacity, idle, out;
    uint64_t made, reused, destroyed;
};

/* NULL with *err filled: STATUS_CONFIG for a capacity out of range or no `make`, STATUS_NOMEM. */
struct object_pool *object_pool_new(const struct object_pool_options *options, struct error *err);

/* Destroys what is idle and gives up the pool.  STATUS_MISUSE, and the pool is as before, while objects are out or
 * threads wait.  NULL is fine. */
enum status object_pool_free(struct object_pool *pool, struct error *err);

/* Writes an object to *out, the caller's until object_pool_put.  STATUS_TIMEOUT and STATUS_CANCELLED as gate_enter;
 * what `make` says when it cannot; STATUS_MISUSE after object_pool_drain.  Then *out is NULL. */
enum status object_pool_get(struct object_pool *pool, struct cancel *cancel, uint64_t timeout_ns, void **out,
                            struct error *err);

/* STATUS_MISUSE, and nothing is changed, for an object that is not one of this pool's or is not out (put twice). */
enum status object_pool_put(struct object_pool *pool, void *object, struct error *err);

/* The end: nothing is given out any more, who waits is sent away, idle objects are destroyed now and those out when
 * they are put.  Draining twice is fine. */
void object_pool_drain(struct object_pool *pool);

void object_pool_get_stats(const struct object_pool *pool, struct object_pool_stats *out);

#endif
