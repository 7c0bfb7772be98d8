/* SPDX-License-Identifier: MIT */
#include "runtime/waiter_internal.h"

#include "base/clock.h"
#include "runtime/futex_internal.h"

#include <stdatomic.h>
#include <time.h>

enum { NS_PER_S = 1000000000 };

static void sleep_until(_Atomic uint32_t *word, uint32_t expected, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S), .tv_nsec = (long)(until_ns % NS_PER_S)};
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected, until_ns == WAIT_FOREVER ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY); /* an absolute time of CLOCK_MONOTONIC */
}

void waiter__grant(struct waiter *waiter)
{
    atomic_fetch_or_explicit(&waiter->word, WAITER_GRANTED, memory_order_release);
    futex_wake(&waiter->word, 1);
}

void waiter__cancelled(struct waiter *waiter)
{
    atomic_fetch_or_explicit(&waiter->word, WAITER_CANCELLED, memory_order_release);
    futex_wake(&waiter->word, 1);
}

void waiter__nudge(struct waiter *waiter)
{
    atomic_fetch_add_explicit(&waiter->word, WAITER_NUDGE, memory_order_release);
    futex_wake(&waiter->word, 1);
}

uint64_t waiter__until(uint64_t timeout_ns)
{
    const uint64_t now_ns = clock_now_ns();
    return timeout_ns < WAIT_FOREVER - now_ns ? now_ns + timeout_ns : WAIT_FOREVER;
}

enum status waiter__wait(struct waiter *waiter, const struct cancel *cancel, uint64_t until_ns)
{
    for (;;) {
        const uint32_t seen = atomic_load_explicit(&waiter->word, memory_order_acquire);
        if (seen & WAITER_GRANTED)
            return STATUS_OK;
        if (seen & WAITER_CANCELLED || cancel_check(cancel) != STATUS_OK)
            return STATUS_CANCELLED;
        if (until_ns != WAIT_FOREVER && clock_now_ns() >= until_ns)
            return STATUS_TIMEOUT;
        const uint64_t deadline_ns = cancel__deadline_ns(cancel);
        sleep_until(&waiter->word, seen, deadline_ns < until_ns ? deadline_ns : until_ns);
    }
}
