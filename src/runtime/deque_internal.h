/* SPDX-License-Identifier: MIT
 * runtime/deque_internal.h - a worker's own tasks: it pushes and pops at the bottom, others steal at the top.
 *
 * The deque of Chase and Lev ("Dynamic circular work-stealing deque", SPAA'05) with a fixed capacity, so nothing is
 * ever resized.  `bottom` is the owner's, `top` only grows.  Top and bottom are sequentially consistent operations
 * throughout and there is no fence: the owner's store of bottom before its load of top, and the thief's load of top
 * before its load of bottom, are what keeps the last task from being taken twice.  A slot is atomic because a slow
 * thief may read it while the owner writes it anew; that thief's exchange on top then fails.  deque.pml beside this
 * file is the model that is checked.
 */
#ifndef RUNTIME_DEQUE_INTERNAL_H
#define RUNTIME_DEQUE_INTERNAL_H

#include "base/status.h"
#include "runtime/barrier_internal.h" /* CACHE_LINE */

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deque {
    alignas(CACHE_LINE) _Atomic int64_t top;
    alignas(CACHE_LINE) _Atomic int64_t bottom;
    int64_t top_seen; /* the owner's: a value that top had; thieves write to top's line, so push looks there seldom */
    int64_t mask;
    _Atomic(void *) *slots;
};

enum deque_steal { DEQUE_STOLEN, DEQUE_EMPTY, DEQUE_LOST /* to another thread: try again */, DEQUE_UNFIT };

enum status deque_init(struct deque *deque, size_t capacity /* a power of two */);
void deque_release(struct deque *deque); /* fine on a zeroed struct */

/* The owner's.  push: false when full.  pop: the newest, NULL when empty. */
bool deque_push(struct deque *deque, void *item);
void *deque_pop(struct deque *deque);

/* Anybody's: the oldest, if fit(item, ctx) or `fit` is NULL.  An item is looked at while it still belongs to the
 * deque's owner, so `fit` reads only what may be read of any item at any time. */
enum deque_steal deque_steal(struct deque *deque, bool (*fit)(const void *item, const void *ctx), const void *ctx,
                             void **out);

/* Anybody's: whether there was something, as of some moment during the call. */
bool deque_some(const struct deque *deque);

#endif
