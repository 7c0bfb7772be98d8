/* SPDX-License-Identifier: MIT
 * runtime/gate.h - a counting gate: at most `limit` threads are inside at once, the others wait in order of arrival.
 *
 * A thread that leaves hands its place to the one that has waited longest, so nobody overtakes: not even a thread that
 * comes just then.  Any thread may call anything but gate_free.  The thread that leaves need not be the one that
 * entered.  Everything written before gate_leave is seen by the thread that gets the place.
 */
#ifndef RUNTIME_GATE_H
#define RUNTIME_GATE_H

#include "base/status.h"
#include "runtime/cancel.h"

#include <stdint.h>

enum { GATE_LIMIT_MAX = 1 << 20 };

struct gate;

struct gate_stats {
    int limit, inside, waiting;
    int most_inside;
    uint64_t entered, waited; /* waited: of those that entered, how many not at once */
    uint64_t timed_out, cancelled;
};

/* NULL with *err filled: STATUS_CONFIG for a limit that is not 1 … GATE_LIMIT_MAX, STATUS_NOMEM. */
struct gate *gate_new(int limit, struct error *err);

/* STATUS_MISUSE, and the gate is as before, while a thread is inside or waits.  NULL is fine. */
enum status gate_free(struct gate *gate, struct error *err);

/* Goes in, or waits until it may.  timeout_ns 0 does not wait, WAIT_FOREVER waits as long as it takes.
 * STATUS_OK: inside; gate_leave is then owed.  Else outside: STATUS_TIMEOUT, STATUS_CANCELLED (`cancel` may be NULL),
 * STATUS_MISUSE when the gate is closed, or was while this thread waited. */
enum status gate_enter(struct gate *gate, struct cancel *cancel, uint64_t timeout_ns, struct error *err);

/* STATUS_MISUSE when nobody is inside. */
enum status gate_leave(struct gate *gate);

/* Nobody enters any more, and who waits is sent away.  Those inside leave as before.  Closing twice is fine. */
void gate_close(struct gate *gate);

void gate_get_stats(const struct gate *gate, struct gate_stats *out);

#endif
