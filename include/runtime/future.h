/* SPDX-License-Identifier: MIT
 * runtime/future.h - the handle on a task of a pool: has it run, what came of it, make it not run.
 *
 * A future is the caller's until future_release; the task runs to its end whether or not anybody holds its future.
 * Any thread may call anything here, but nobody may use a future after its release: of several threads that share
 * one, the last releases it.  What a task wrote is seen by whoever found its future over, by waiting or by polling.
 *
 * Waiting inside a task.  A future that has not begun is run there and then by the task that waits for it, so nesting
 * of any depth ends on one worker too.  Of one that runs elsewhere the worker runs the descendants meanwhile, those
 * of the waiting task as well, and when there are none it sleeps and lends its core to a spare worker.  Nothing else
 * is stacked on a task that waits, because the task below could then be what the one above waits for.  Therefore:
 * count each task as waiting for all it submits; if in that reading none waits for itself, no wait ever deadlocks.
 */
#ifndef RUNTIME_FUTURE_H
#define RUNTIME_FUTURE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct future;

enum future_state { FUTURE_QUEUED, FUTURE_RUNNING, FUTURE_DONE, FUTURE_CANCELLED };

/* Where it stands now.  DONE: it returned, well or not; CANCELLED: it never ran, or returned STATUS_CANCELLED. */
enum future_state future_poll(const struct future *future);

/* Waits until it is over and gives the status that the task returned; STATUS_CANCELLED when it never ran.
 * STATUS_MISUSE at once, without waiting: NULL, a pool that was not started, or a task that waits for itself or for
 * one that waits for it on the same worker. */
enum status future_wait(struct future *future);

/* The same for at most timeout_ns, then STATUS_TIMEOUT.  0 only looks.  Runs no other tasks. */
enum status future_wait_for(struct future *future, uint64_t timeout_ns);

/* What the task gave with future_set_result; NULL when it gave nothing or is not over.  Owned as the two agreed. */
void *future_result(const struct future *future);

/* As future_wait without waiting (STATUS_MISUSE while it is not over), with the task's sentence in *err. */
enum status future_error(const struct future *future, struct error *err);

/* True: it had not begun and never will.  False: it runs, and from now on future_is_cancelled tells it so, or it is
 * over. */
bool future_cancel(struct future *future);

void future_release(struct future *future); /* NULL is fine */

/* For the task itself, on the future that it was called with. */
bool future_is_cancelled(const struct future *me);         /* by future_cancel, or the pool is being stopped */
void future_set_result(struct future *me, void *result);   /* for future_result */
struct error *future_own_error(struct future *me);         /* where to put a sentence; NULL when there is no memory */

#endif
