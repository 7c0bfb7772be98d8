/* SPDX-License-Identifier: MIT */
#include "runtime/future.h"

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/futex_internal.h"
#include "runtime/pool_internal.h"

enum { SPINS = 1000 };

static bool is_over(uint32_t state)
{
    return (state & TASK_PHASE) >= TASK_DONE;
}

static uint32_t state_of(const struct future *future)
{
    return atomic_load_explicit(&future->state, memory_order_acquire);
}

static enum status verdict(const struct future *future, uint32_t state)
{
    return (state & TASK_PHASE) == TASK_CANCELLED ? STATUS_CANCELLED : future->status;
}

enum future_state future_poll(const struct future *future)
{
    return future ? (enum future_state)(state_of(future) & TASK_PHASE) : FUTURE_CANCELLED;
}

/* Somebody would wait for himself, or for what waits for him here. */
static bool is_below(const struct worker *worker, const struct future *future)
{
    for (const struct frame *frame = worker->frame; frame; frame = frame->below)
        if (frame->task == future)
            return true;
    return false;
}

/* Sleeps until the future is over or the time has come; UINT64_MAX is never. */
static uint32_t sleep_on(struct future *future, uint64_t until_ns)
{
    uint32_t state = state_of(future);
    while (!is_over(state)) {
        if (!(state & TASK_WAITED) &&
            !atomic_compare_exchange_weak_explicit(&future->state, &state, state | TASK_WAITED, memory_order_acquire,
                                                   memory_order_acquire))
            continue;
        if (until_ns == UINT64_MAX) {
            futex_wait(&future->state, state | TASK_WAITED);
        } else {
            const uint64_t now_ns = clock_now_ns();
            if (now_ns >= until_ns)
                break;
            futex_wait_for(&future->state, state | TASK_WAITED, until_ns - now_ns);
        }
        state = state_of(future);
    }
    return state;
}

/* Descendants in the worker's own deque come before the awaited task itself: it is most likely one of them, and
 * one that is run where it is queued leaves its entry behind.  Only then is it taken out of turn. */
static uint32_t wait_in_worker(struct worker *worker, struct future *future)
{
    uint32_t state;
    for (int spins = worker->pool->spin ? SPINS : 0; !is_over(state = state_of(future));) {
        struct future *task = pool__help_self(worker, future);
        if (!task && (state & TASK_PHASE) == TASK_QUEUED && pool__claim(future))
            task = future;
        if (!task)
            task = pool__help_others(worker, future);
        if (task) {
            pool__run(worker, task);
        } else if (spins-- > 0) {
            cpu_pause();
        } else {
            const bool lent = pool__lend(worker->pool);
            state = sleep_on(future, UINT64_MAX);
            if (lent)
                pool__unlend(worker->pool);
            return state;
        }
    }
    return state;
}

enum status future_wait(struct future *future)
{
    if (!future)
        return STATUS_MISUSE;
    uint32_t state = state_of(future);
    if (is_over(state))
        return verdict(future, state);
    struct pool *pool = future->store->pool;
    if (atomic_load(&pool->state) < POOL_RUNNING)
        return STATUS_MISUSE;
    struct worker *worker = pool__self(pool);
    if (worker && is_below(worker, future))
        return STATUS_MISUSE;
    state = worker ? wait_in_worker(worker, future) : sleep_on(future, UINT64_MAX);
    return verdict(future, state);
}

enum status future_wait_for(struct future *future, uint64_t timeout_ns)
{
    if (!future)
        return STATUS_MISUSE;
    uint32_t state = state_of(future);
    if (!is_over(state) && timeout_ns > 0) {
        struct pool *pool = future->store->pool;
        if (atomic_load(&pool->state) < POOL_RUNNING)
            return STATUS_MISUSE;
        struct worker *worker = pool__self(pool);
        if (worker && is_below(worker, future))
            return STATUS_MISUSE;
        const uint64_t now_ns = clock_now_ns();
        const bool lent = worker && pool__lend(pool);
        state = sleep_on(future, timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX);
        if (lent)
            pool__unlend(pool);
    }
    return is_over(state) ? verdict(future, state) : STATUS_TIMEOUT;
}

void *future_result(const struct future *future)
{
    return future && (state_of(future) & TASK_PHASE) == TASK_DONE ? future->result : NULL;
}

enum status future_error(const struct future *future, struct error *err)
{
    const uint32_t state = future ? state_of(future) : 0;
    if (!is_over(state))
        return error_set(err, STATUS_MISUSE, "the task is not over, so there is no saying yet how it ends");
    const enum status status = verdict(future, state);
    if (status != STATUS_OK && future->error && future->error->text[0])
        return error_set(err, status, "%s", future->error->text);
    return error_set(err, status, "%s", status_text(status));
}

bool future_cancel(struct future *future)
{
    if (!future)
        return false;
    uint32_t state = state_of(future);
    while (!is_over(state)) {
        const bool queued = (state & TASK_PHASE) == TASK_QUEUED;
        const uint32_t next = queued ? state | TASK_CANCELLED : state | TASK_ASKED;
        if (!atomic_compare_exchange_weak_explicit(&future->state, &state, next, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        if (queued && state & TASK_WAITED)
            futex_wake(&future->state, INT32_MAX);
        return queued;
    }
    return false;
}

void future_release(struct future *future)
{
    if (!future)
        return;
    uint32_t before = state_of(future);
    if (!is_over(before) || before & TASK_ENTERED) /* else nobody but the caller has it any more */
        before = atomic_fetch_and_explicit(&future->state, ~(uint32_t)TASK_HELD, memory_order_acq_rel);
    if (is_over(before) && !(before & TASK_ENTERED)) {
        /* Its pool may be freed by now, but then this thread is not one of its workers. */
        struct worker *worker = pool__self(NULL);
        records_put(future, worker && worker->pool->store == future->store ? &worker->cache : NULL);
    }
}

bool future_is_cancelled(const struct future *me)
{
    return atomic_load_explicit(&me->state, memory_order_relaxed) & TASK_ASKED ||
           atomic_load_explicit(&me->store->pool->state, memory_order_relaxed) == POOL_CANCELLING;
}

void future_set_result(struct future *me, void *result)
{
    me->result = result;
}

struct error *future_own_error(struct future *me)
{
    if (!me->error)
        me->error = mem_calloc(1, sizeof *me->error);
    return me->error;
}
