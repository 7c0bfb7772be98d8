/* SPDX-License-Identifier: MIT
 *
 * A count and a queue under one lock.  A thread that waits stands in the queue with a word of its own; who leaves gives
 * its place to the first in the queue and wakes that one thread, the count unchanged.  A thread goes back under the
 * lock before it returns, so what stands on its stack outlives everyone who may touch it.
 */
#include "runtime/gate.h"

#include "base/memory.h"
#include "runtime/thread.h"
#include "runtime/waiter_internal.h"

#include <stdbool.h>

enum answer { WAITING, ADMITTED, SENT_AWAY };

struct entrant {
    struct waiter waiter;
    struct entrant *next, *previous; /* guarded by the gate's mu, as is answer */
    enum answer answer;
};

struct gate {
    struct mutex *mu;
    /* guarded by mu */
    struct entrant *first, *last;
    struct gate_stats stats; /* waiting: threads that will come back under the lock, in the queue or answered */
    bool closed;
};

struct gate *gate_new(int limit, struct error *err)
{
    if (limit < 1 || limit > GATE_LIMIT_MAX) {
        error_set(err, STATUS_CONFIG, "a gate's limit must be 1 to %d, not %d", GATE_LIMIT_MAX, limit);
        return NULL;
    }
    struct gate *gate = mem_calloc(1, sizeof *gate);
    struct mutex *mu = mutex_new();
    if (!gate || !mu) {
        mem_free(gate);
        mutex_free(mu);
        error_set(err, STATUS_NOMEM, "no memory for a gate");
        return NULL;
    }
    gate->mu = mu;
    gate->stats.limit = limit;
    return gate;
}

enum status gate_free(struct gate *gate, struct error *err)
{
    if (!gate)
        return STATUS_OK;
    struct gate_stats now;
    gate_get_stats(gate, &now);
    if (now.inside > 0 || now.waiting > 0)
        return error_set(err, STATUS_MISUSE, "a gate was to be freed with %d inside and %d waiting", now.inside,
                         now.waiting);
    mutex_free(gate->mu);
    mem_free(gate);
    return STATUS_OK;
}

static void append(struct gate *gate, struct entrant *e)
{
    e->previous = gate->last;
    *(gate->last ? &gate->last->next : &gate->first) = e;
    gate->last = e;
}

static void leave_queue(struct gate *gate, struct entrant *e)
{
    *(e->previous ? &e->previous->next : &gate->first) = e->next;
    *(e->next ? &e->next->previous : &gate->last) = e->previous;
}

static void answer_first(struct gate *gate, enum answer answer)
{
    struct entrant *e = gate->first;
    leave_queue(gate, e);
    e->answer = answer;
    waiter__grant(&e->waiter);
}

static void count_entry(struct gate_stats *stats)
{
    stats->entered++;
    if (stats->inside > stats->most_inside)
        stats->most_inside = stats->inside;
}

static enum status closed_error(struct error *err)
{
    return error_set(err, STATUS_MISUSE, "the gate is closed: nobody enters any more");
}

static enum status timeout_error(const struct gate_stats *stats, struct error *err)
{
    return error_set(err, STATUS_TIMEOUT, "no place became free in time: %d of %d are taken", stats->inside,
                     stats->limit);
}

enum status gate_enter(struct gate *gate, struct cancel *cancel, uint64_t timeout_ns, struct error *err)
{
    struct gate_stats *stats = &gate->stats;
    struct entrant me = {.answer = WAITING};
    const uint64_t until_ns = waiter__until(timeout_ns);
    const enum status before = cancel_error(cancel, err);

    mutex_lock(gate->mu);
    enum status status = gate->closed ? closed_error(err) : before;
    stats->cancelled += status == STATUS_CANCELLED;
    bool wait = false;
    if (status == STATUS_OK && !gate->first && stats->inside < stats->limit) {
        stats->inside++;
        count_entry(stats);
    } else if (status == STATUS_OK && timeout_ns == 0) {
        stats->timed_out++;
        status = timeout_error(stats, err);
    } else if (status == STATUS_OK) {
        append(gate, &me);
        stats->waiting++;
        wait = true;
    }
    mutex_unlock(gate->mu);
    if (!wait)
        return status;

    cancel__listen(cancel, &me.waiter);
    status = waiter__wait(&me.waiter, cancel, until_ns);
    cancel__unlisten(cancel, &me.waiter);

    mutex_lock(gate->mu);
    stats->waiting--;
    if (me.answer == ADMITTED) { /* also where the time was over just then: the place is ours */
        stats->waited++;
        count_entry(stats);
        status = STATUS_OK;
    } else if (me.answer == SENT_AWAY) {
        status = closed_error(err);
    } else {
        leave_queue(gate, &me);
        stats->timed_out += status == STATUS_TIMEOUT;
        stats->cancelled += status == STATUS_CANCELLED;
        status = status == STATUS_TIMEOUT ? timeout_error(stats, err) : cancel_error(cancel, err);
    }
    mutex_unlock(gate->mu);
    return status;
}

enum status gate_leave(struct gate *gate)
{
    mutex_lock(gate->mu);
    const bool misuse = gate->stats.inside == 0;
    if (!misuse && gate->first)
        answer_first(gate, ADMITTED);
    else if (!misuse)
        gate->stats.inside--;
    mutex_unlock(gate->mu);
    return misuse ? STATUS_MISUSE : STATUS_OK;
}

void gate_close(struct gate *gate)
{
    mutex_lock(gate->mu);
    gate->closed = true;
    while (gate->first)
        answer_first(gate, SENT_AWAY);
    mutex_unlock(gate->mu);
}

void gate_get_stats(const struct gate *gate, struct gate_stats *out)
{
    mutex_lock(gate->mu);
    *out = gate->stats;
    mutex_unlock(gate->mu);
}
