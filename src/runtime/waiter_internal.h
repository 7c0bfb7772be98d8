/* SPDX-License-Identifier: MIT
 * runtime/waiter_internal.h - a thread that sleeps until it is granted something, cancelled, or its time is over.
 *
 * The word only gains bits, so a wake-up between a look and the sleep is not lost: the kernel sleeps only while the
 * word is as it was seen.  Who sets a bit must know that the waiter still exists: a grant and a cancellation are each
 * given under a lock that the waiter takes before it goes.
 */
#ifndef RUNTIME_WAITER_INTERNAL_H
#define RUNTIME_WAITER_INTERNAL_H

#include "base/status.h"
#include "runtime/cancel.h"

#include <stdint.h>

enum { WAITER_GRANTED = 1, WAITER_CANCELLED = 2, WAITER_NUDGE = 4 }; /* from NUDGE on: a count of "look again" */

struct waiter {
    _Atomic uint32_t word; /* set with release, seen with acquire */
    struct waiter *next, *previous; /* in the token's list; guarded by its tree's lock */
};

void waiter__grant(struct waiter *waiter);
void waiter__cancelled(struct waiter *waiter);
void waiter__nudge(struct waiter *waiter);

/* now + timeout; WAIT_FOREVER when it does not fit. */
uint64_t waiter__until(uint64_t timeout_ns);

/* Sleeps; the token must list the waiter (cancel__listen).  STATUS_OK when granted, which wins over STATUS_CANCELLED,
 * which wins over STATUS_TIMEOUT. */
enum status waiter__wait(struct waiter *waiter, const struct cancel *cancel, uint64_t until_ns);

/* From here on, and at once if it is cancelled already, the waiter hears of the token.  NULL is fine. */
void cancel__listen(struct cancel *cancel, struct waiter *waiter);
void cancel__unlisten(struct cancel *cancel, struct waiter *waiter);

/* When the token's deadline is, WAIT_FOREVER when it has none. */
uint64_t cancel__deadline_ns(const struct cancel *cancel);

#endif
