/* SPDX-License-Identifier: MIT
 * crowd.h - for tests of what threads share: some threads that all run one function, with small random delays.
 */
#ifndef CROWD_H
#define CROWD_H

#include "base/clock.h"
#include "runtime/thread.h"

#include <check.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { CROWD_MAX = 64 };

struct crowd_member {
    int id;
    uint64_t random; /* the state of its delays */
    void (*fn)(struct crowd_member *me, void *arg);
    void *arg;
    struct thread *thread;
};

static inline uint64_t crowd_random(struct crowd_member *me)
{
    me->random = me->random * 6364136223846793005u + 1442695040888963407u;
    return me->random >> 33;
}

/* Nothing, a yield, or a sleep of some microseconds. */
static inline void crowd_dawdle(struct crowd_member *me)
{
    const uint64_t r = crowd_random(me);
    if (r % 8 < 3)
        sched_yield();
    else if (r % 8 == 3)
        nanosleep(&(struct timespec){.tv_nsec = (long)(r / 8 % 50000)}, NULL);
}

static inline void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static inline void crowd_main(void *p)
{
    struct crowd_member *me = p;
    me->fn(me, me->arg);
}

static inline void crowd_start(struct crowd_member *members, int count, void (*fn)(struct crowd_member *, void *), void *arg)
{
    struct error err = {0};
    for (int i = 0; i < count; i++) {
        members[i] = (struct crowd_member){.id = i, .random = 17 + (uint64_t)i, .fn = fn, .arg = arg};
        members[i].thread = thread_start("crowd", crowd_main, &members[i], &err);
        ck_assert_msg(members[i].thread != NULL, "%s", err.text);
    }
}

static inline void crowd_join(struct crowd_member *members, int count)
{
    for (int i = 0; i < count; i++)
        thread_join(members[i].thread);
}

/* Fewer rounds where every access is checked. */
static inline int crowd_rounds(int rounds)
{
    return getenv("CLLM_TEST_SANITIZED") ? rounds / 5 + 1 : rounds;
}

static inline int crowd_suite(const char *name, TCase *tc)
{
    tcase_set_timeout(tc, 30);
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
