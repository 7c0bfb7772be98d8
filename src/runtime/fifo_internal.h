/* SPDX-License-Identifier: MIT
 * runtime/fifo_internal.h - a bounded first-in-first-out queue for any number of threads at both ends.
 *
 * Vyukov's array queue: each slot has a turn.  Who moves tail owns the slot until it sets the turn to "full", who moves
 * head owns it until it sets the turn to "empty, one round later".  A turn is stored less its slot's index, so that
 * zeroed memory is an empty queue and only used slots are touched.  The lowest bit of tail closes the queue: an
 * outsider's push either came before the closing, and is then drained, or is refused.
 */
#ifndef RUNTIME_FIFO_INTERNAL_H
#define RUNTIME_FIFO_INTERNAL_H

#include "base/status.h"
#include "runtime/barrier_internal.h" /* CACHE_LINE */

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fifo_slot {
    _Atomic uint64_t turn;
    void *item; /* the slot's owner's */
};

struct fifo {
    alignas(CACHE_LINE) _Atomic uint64_t head;
    alignas(CACHE_LINE) _Atomic uint64_t tail; /* position << 1 | closed */
    alignas(CACHE_LINE) struct fifo_slot *slots;
    uint64_t mask;
};

enum status fifo_init(struct fifo *fifo, size_t capacity /* a power of two */);
void fifo_release(struct fifo *fifo); /* fine on a zeroed struct */

/* STATUS_QUEUE_FULL; STATUS_MISUSE when closed, unless `insider`. */
enum status fifo_push(struct fifo *fifo, void *item, bool insider);
void *fifo_pop(struct fifo *fifo); /* NULL: empty, or the oldest is still being put in */
bool fifo_some(const struct fifo *fifo);
void fifo_close(struct fifo *fifo);
bool fifo_empty(const struct fifo *fifo);   /* nothing in it and nothing being put in */
bool fifo_crowded(const struct fifo *fifo); /* about half full or more */

#endif
