/* SPDX-License-Identifier: MIT
 * pool_fixture.h - what the tests of pools share: pools, their threads, and tasks to give them.
 */
#ifndef POOL_FIXTURE_H
#define POOL_FIXTURE_H

#include "runtime/pool.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "runtime/thread.h"

#include <check.h>
#include <dirent.h>
#include <fenv.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sanitized.h"

#define SANITIZED (ASAN || TSAN)

static inline struct pool *make_pool(int num_threads, size_t capacity, bool stealing)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.num_threads = num_threads;
    options.queue_capacity = capacity;
    options.work_stealing = stealing;
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool != NULL, "%s", err.text);
    return pool;
}

static inline struct pool *start_pool(int num_threads)
{
    struct pool *pool = make_pool(num_threads, 16384, true);
    struct error err = {0};
    ck_assert_msg(pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    return pool;
}

static inline void end_pool(struct pool *pool)
{
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}

static inline void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static inline int worker_threads(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[300], name[16] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        if (fgets(name, sizeof name, f))
            count += strncmp(name, "worker ", 7) == 0;
        fclose(f);
    }
    closedir(dir);
    return count;
}

/* One that was joined may take a moment to vanish from /proc. */
static inline void check_threads(int expected)
{
    for (int i = 0; i < 3000 && worker_threads() != expected; i++)
        sleep_ms(1);
    ck_assert_int_eq(worker_threads(), expected);
}

struct log {
    _Atomic int next;
    int order[256];
};

struct entry {
    struct log *log;
    int number;
};

static inline enum status write_down(struct future *me, void *arg)
{
    struct entry *entry = arg;
    entry->log->order[atomic_fetch_add(&entry->log->next, 1)] = entry->number;
    future_set_result(me, entry);
    return STATUS_OK;
}

struct fib {
    struct pool *pool;
    int n;
    long value;
};

static inline enum status fib(struct future *me, void *arg)
{
    (void)me;
    struct fib *f = arg;
    if (f->n < 2) {
        f->value = f->n;
        return STATUS_OK;
    }
    struct fib a = {f->pool, f->n - 1, 0}, b = {f->pool, f->n - 2, 0};
    struct future *other = NULL;
    enum status status = pool_submit(f->pool, POOL_BATCH, fib, &a, &other);
    if (status != STATUS_OK)
        return status;
    status = fib(me, &b);
    const enum status second = future_wait(other);
    future_release(other);
    f->value = a.value + b.value;
    return status ? status : second;
}

struct hold {
    struct pool *pool;
    _Atomic int begun, go;
    struct future *other;
};

static inline enum status hold(struct future *me, void *arg)
{
    struct hold *h = arg;
    atomic_fetch_add(&h->begun, 1);
    while (!atomic_load(&h->go)) {
        if (future_is_cancelled(me))
            return error_set(future_own_error(me), STATUS_CANCELLED, "stopped half-way");
        sched_yield();
    }
    return STATUS_OK;
}

static inline void await_begun(struct hold *h, int count)
{
    while (atomic_load(&h->begun) < count)
        sched_yield();
}

struct busybody {
    struct pool *pool;
    _Atomic int accepted, ran, stop;
    _Atomic int refused;
};

static inline enum status spread(struct future *me, void *arg)
{
    (void)me;
    struct busybody *b = arg;
    if (atomic_fetch_add(&b->ran, 1) % 4 == 0 && pool_submit(b->pool, POOL_BATCH, spread, b, NULL) == STATUS_OK)
        atomic_fetch_add(&b->accepted, 1);
    return STATUS_OK;
}

static inline void submit_until_refused(void *arg)
{
    struct busybody *b = arg;
    for (;;) {
        const enum status status = pool_submit(b->pool, POOL_BATCH, spread, b, NULL);
        if (status == STATUS_OK)
            atomic_fetch_add(&b->accepted, 1);
        else if (status != STATUS_QUEUE_FULL)
            break;
        else
            sched_yield();
    }
    atomic_fetch_add(&b->refused, 1);
}

static inline int run_cases(const char *name, TCase *tc)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
