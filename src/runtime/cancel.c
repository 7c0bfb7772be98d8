/* SPDX-License-Identifier: MIT
 *
 * The tokens of a tree share one lock, which guards the tree's shape, the lists of waiters and the writing of state; a
 * request or a nearer deadline walks down and marks every token below, so that a check looks at its own token alone.
 * Deadlines only come nearer and the clock only goes forward, so a token past its deadline needs no mark to stay
 * cancelled.
 */
#include "runtime/cancel.h"

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/sphere.h"
#include "runtime/thread.h"
#include "runtime/waiter_internal.h"

#include <stdatomic.h>
#include <stdio.h>

struct tree {
    struct mutex *mu;
    size_t tokens; /* guarded by mu */
};

struct cancel {
    _Atomic bool requested;       /* set with release under mu, after `reason`; seen with acquire */
    _Atomic uint64_t deadline_ns; /* the least of this token's and its ancestors'; relaxed: it guards no data */
    char reason[CANCEL_REASON_BYTES];
    struct tree *tree;
    struct cancel *parent;
    /* guarded by tree->mu */
    struct cancel *first_child, *next, *previous;
    struct waiter *waiters;
    bool given_up; /* freed by its owner, kept for its children */
};

static bool was_requested(const struct cancel *c)
{
    return atomic_load_explicit(&c->requested, memory_order_acquire);
}

uint64_t cancel__deadline_ns(const struct cancel *c)
{
    return c ? atomic_load_explicit(&c->deadline_ns, memory_order_relaxed) : WAIT_FOREVER;
}

static bool is_past(const struct cancel *c)
{
    const uint64_t deadline_ns = cancel__deadline_ns(c);
    return deadline_ns != WAIT_FOREVER && clock_now_ns() >= deadline_ns;
}

enum status cancel_check(const struct cancel *c)
{
    return c && (was_requested(c) || is_past(c)) ? STATUS_CANCELLED : STATUS_OK;
}

const char *cancel_reason(const struct cancel *c)
{
    if (!c)
        return "";
    return was_requested(c) ? c->reason : is_past(c) ? "the deadline has passed" : "";
}

bool cancel_wanted(const void *cancel)
{
    return cancel_check(cancel) != STATUS_OK;
}

enum status cancel_error(const struct cancel *c, struct error *err)
{
    return cancel_check(c) == STATUS_OK ? STATUS_OK
                                        : error_set(err, STATUS_CANCELLED, "cancelled: %s", cancel_reason(c));
}

/* Makes `c` a token of `tree`, below `parent`, as the parent is now. */
static void attach(struct cancel *c, struct tree *tree, struct cancel *parent)
{
    c->tree = tree;
    c->parent = parent;
    atomic_init(&c->deadline_ns, cancel__deadline_ns(parent));
    tree->tokens++;
    if (!parent)
        return;
    if (was_requested(parent)) {
        snprintf(c->reason, sizeof c->reason, "%s", parent->reason);
        atomic_init(&c->requested, true);
    }
    c->next = parent->first_child;
    if (c->next)
        c->next->previous = c;
    parent->first_child = c;
}

static void detach(struct cancel *c)
{
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else if (c->parent)
        c->parent->first_child = c->next;
    c->tree->tokens--;
}

static void tree_free(struct tree *tree)
{
    mutex_free(tree->mu);
    mem_free(tree);
}

struct cancel *cancel_new(struct cancel *parent, struct error *err)
{
    struct cancel *c = mem_calloc(1, sizeof *c);
    struct tree *tree = parent ? parent->tree : mem_calloc(1, sizeof *tree);
    if (tree && !parent)
        tree->mu = mutex_new();
    if (!c || !tree || !tree->mu) {
        if (tree && !parent)
            tree_free(tree);
        mem_free(c);
        error_set(err, STATUS_NOMEM, "no memory for a cancellation token");
        return NULL;
    }
    mutex_lock(tree->mu);
    attach(c, tree, parent);
    mutex_unlock(tree->mu);
    return c;
}

enum status cancel_free(struct cancel *c)
{
    if (!c)
        return STATUS_OK;
    struct tree *tree = c->tree;
    mutex_lock(tree->mu);
    const bool misuse = c->waiters || c->given_up;
    if (!misuse)
        c->given_up = true;
    while (!misuse && c && c->given_up && !c->first_child) {
        struct cancel *parent = c->parent;
        detach(c);
        mem_free(c);
        c = parent;
    }
    const bool last = tree->tokens == 0;
    mutex_unlock(tree->mu);
    if (last)
        tree_free(tree);
    return misuse ? STATUS_MISUSE : STATUS_OK;
}

/* The next token of the subtree under `top`, parents before children; NULL after the last. */
static struct cancel *next_below(struct cancel *c, const struct cancel *top)
{
    if (c->first_child)
        return c->first_child;
    while (c != top && !c->next)
        c = c->parent;
    return c == top ? NULL : c->next;
}

bool cancel_request(struct cancel *cancel, const char *reason)
{
    mutex_lock(cancel->tree->mu);
    const bool first = cancel_check(cancel) == STATUS_OK;
    for (struct cancel *c = first ? cancel : NULL; c; c = next_below(c, cancel)) {
        if (cancel_check(c) != STATUS_OK)
            continue;
        snprintf(c->reason, sizeof c->reason, "%s", reason ? reason : "");
        atomic_store_explicit(&c->requested, true, memory_order_release);
        for (struct waiter *w = c->waiters; w; w = w->next)
            waiter__cancelled(w);
    }
    mutex_unlock(cancel->tree->mu);
    return first;
}

void cancel_set_timeout(struct cancel *cancel, uint64_t timeout_ns)
{
    const uint64_t until_ns = waiter__until(timeout_ns);
    mutex_lock(cancel->tree->mu);
    for (struct cancel *c = cancel; c; c = next_below(c, cancel)) {
        if (cancel__deadline_ns(c) <= until_ns)
            continue;
        atomic_store_explicit(&c->deadline_ns, until_ns, memory_order_relaxed);
        for (struct waiter *w = c->waiters; w; w = w->next)
            waiter__nudge(w);
    }
    mutex_unlock(cancel->tree->mu);
}

void cancel__listen(struct cancel *c, struct waiter *waiter)
{
    if (!c)
        return;
    mutex_lock(c->tree->mu);
    waiter->previous = NULL;
    waiter->next = c->waiters;
    if (waiter->next)
        waiter->next->previous = waiter;
    c->waiters = waiter;
    if (was_requested(c))
        waiter__cancelled(waiter);
    mutex_unlock(c->tree->mu);
}

void cancel__unlisten(struct cancel *c, struct waiter *waiter)
{
    if (!c)
        return;
    mutex_lock(c->tree->mu);
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        c->waiters = waiter->next;
    mutex_unlock(c->tree->mu);
}

enum status cancel_wait(struct cancel *cancel, uint64_t timeout_ns)
{
    struct waiter waiter = {0};
    const uint64_t until_ns = waiter__until(timeout_ns);
    cancel__listen(cancel, &waiter);
    const enum status status = waiter__wait(&waiter, cancel, until_ns);
    cancel__unlisten(cancel, &waiter);
    return status;
}

enum status cancel_check_team(struct sphere *me, const struct cancel *cancel)
{
    sphere_fail(me, cancel_check(cancel)); /* STATUS_OK is no failure */
    return sphere_barrier(me);
}
