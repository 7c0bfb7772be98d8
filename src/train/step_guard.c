/* SPDX-License-Identifier: MIT */
#include "train/step_guard_internal.h"

#include "runtime/thread.h"

static bool change(struct step_guard *g, int from, int to)
{
    return atomic_compare_exchange_strong_explicit(&g->weights, &from, to, memory_order_acq_rel, memory_order_acquire);
}

bool step_guard__may_update(struct step_guard *g)
{
    return change(g, WEIGHTS_REST, WEIGHTS_UPDATING);
}

void step_guard__run_begins(struct step_guard *g, uint64_t step)
{
    atomic_store_explicit(&g->step, step, memory_order_relaxed);
}

void step_guard__run_ended(struct step_guard *g, struct mutex *mu, struct cond *changed)
{
    change(g, WEIGHTS_UPDATING, WEIGHTS_REST);
    mutex_lock(mu);
    while (g->held)
        cond_wait(changed, mu);
    mutex_unlock(mu);
}

bool step_guard__seize(struct step_guard *g, struct mutex *mu)
{
    mutex_lock(mu);
    g->held = true;
    mutex_unlock(mu);
    return change(g, WEIGHTS_REST, WEIGHTS_SEIZED);
}

void step_guard__release(struct step_guard *g, struct mutex *mu, struct cond *changed)
{
    change(g, WEIGHTS_SEIZED, WEIGHTS_REST);
    mutex_lock(mu);
    g->held = false;
    cond_broadcast(changed);
    mutex_unlock(mu);
}
