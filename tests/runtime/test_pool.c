/* SPDX-License-Identifier: MIT
 *
 * The pool: order, priorities, futures, nesting, resizing, stopping, refusals.
 */
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

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static struct pool *make(int num_threads, size_t capacity, bool stealing)
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

static struct pool *start(int num_threads)
{
    struct pool *pool = make(num_threads, 16384, true);
    struct error err = {0};
    ck_assert_msg(pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    return pool;
}

static void stop(struct pool *pool)
{
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int worker_threads(void)
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
static void check_threads(int expected)
{
    for (int i = 0; i < 3000 && worker_threads() != expected; i++)
        sleep_ms(1);
    ck_assert_int_eq(worker_threads(), expected);
}

/* --- order and completeness --------------------------------------------------------------------------------------- */

struct log {
    _Atomic int next;
    int order[256];
};

struct entry {
    struct log *log;
    int number;
};

static enum status write_down(struct future *me, void *arg)
{
    struct entry *entry = arg;
    entry->log->order[atomic_fetch_add(&entry->log->next, 1)] = entry->number;
    future_set_result(me, entry);
    return STATUS_OK;
}

START_TEST(submissions_from_outside_run_in_order)
{
    struct pool *pool = make(1, 256, _i);
    struct log log = {0};
    struct entry entries[100];
    for (int i = 0; i < 100; i++) {
        entries[i] = (struct entry){&log, i};
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entries[i], NULL), STATUS_OK);
    }
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    stop(pool);
    ck_assert_int_eq(log.next, 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(log.order[i], i);
}
END_TEST

START_TEST(interactive_goes_first_and_batch_does_not_starve)
{
    struct pool *pool = make(1, 256, true);
    struct log log = {0};
    struct entry entries[120];
    for (int i = 0; i < 120; i++) { /* 0 … 19 are batch, submitted first */
        entries[i] = (struct entry){&log, i};
        ck_assert_int_eq(pool_submit(pool, i < 20 ? POOL_BATCH : POOL_INTERACTIVE, write_down, &entries[i], NULL),
                         STATUS_OK);
    }
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    stop(pool);
    int batch = 0, interactive = 20, in_a_row = 0;
    for (int i = 0; i < 120; i++) {
        if (log.order[i] < 20) {
            ck_assert_int_eq(log.order[i], batch++);
            ck_assert(interactive == 120 || in_a_row == POOL_INTERACTIVE_RUN);
            in_a_row = 0;
        } else {
            ck_assert_int_eq(log.order[i], interactive++);
            ck_assert_int_le(++in_a_row, POOL_INTERACTIVE_RUN);
        }
    }
}
END_TEST

enum { SUBMITTERS = 8, EACH = 1250 };

struct many {
    struct pool *pool;
    _Atomic int runs[SUBMITTERS * EACH];
    _Atomic int total;
};

struct one {
    struct many *many;
    int index;
};

static enum status run_one(struct future *me, void *arg)
{
    (void)me;
    struct one *one = arg;
    atomic_fetch_add(&one->many->runs[one->index], 1);
    atomic_fetch_add(&one->many->total, 1);
    return STATUS_OK;
}

struct submitter {
    struct one *ones; /* EACH of them */
    int index;
};

static void submit_all(void *arg)
{
    struct submitter *s = arg;
    for (int i = 0; i < EACH; i++) {
        const enum pool_priority priority = i % 5 == 0 ? POOL_INTERACTIVE : POOL_BATCH;
        if (i % 3 == 0) {
            struct future *future;
            ck_assert_int_eq(pool_submit(s->ones[i].many->pool, priority, run_one, &s->ones[i], &future), STATUS_OK);
            if (i % 2)
                ck_assert_int_eq(future_wait(future), STATUS_OK);
            future_release(future);
        } else {
            ck_assert_int_eq(pool_submit(s->ones[i].many->pool, priority, run_one, &s->ones[i], NULL), STATUS_OK);
        }
    }
}

/* Ten thousand tasks from eight threads, while the pool has _i workers or, for 0, is resized all the time. */
START_TEST(every_task_runs_once)
{
    static const int SIZES[] = {1, 8, 2, 3, 1, 5};
    struct many *many = calloc(1, sizeof *many);
    struct one *ones = calloc(SUBMITTERS * EACH, sizeof *ones);
    many->pool = start(_i ? _i : 1);
    struct submitter submitters[SUBMITTERS];
    struct thread *threads[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS * EACH; i++)
        ones[i] = (struct one){many, i};
    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){ones + i * EACH, i};
        threads[i] = thread_start("submitter", submit_all, &submitters[i], NULL);
        ck_assert_ptr_nonnull(threads[i]);
    }
    for (int i = 0; _i == 0 && (i < 12 || atomic_load(&many->total) < SUBMITTERS * EACH / 2); i++) {
        ck_assert_int_eq(pool_resize(many->pool, SIZES[i % 6], NULL), STATUS_OK);
        ck_assert_int_eq(pool_size(many->pool), SIZES[i % 6]);
        sleep_ms(1);
    }
    for (int i = 0; i < SUBMITTERS; i++)
        thread_join(threads[i]);
    struct pool_stats stats;
    ck_assert_int_eq(pool_stop(many->pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_stats(many->pool, -1, &stats), STATUS_OK);
    ck_assert_uint_eq(stats.created, SUBMITTERS * EACH);
    ck_assert_uint_eq(stats.run, SUBMITTERS * EACH);
    ck_assert_int_eq(pool_free(many->pool), STATUS_OK);
    for (int i = 0; i < SUBMITTERS * EACH; i++)
        ck_assert_int_eq(many->runs[i], 1);
    check_threads(0);
    free(ones);
    free(many);
}
END_TEST

/* --- tasks that submit and wait ----------------------------------------------------------------------------------- */

struct fib {
    struct pool *pool;
    int n;
    long value;
};

static enum status fib(struct future *me, void *arg)
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

START_TEST(tasks_fork_and_join)
{
    struct pool *pool = start(_i);
    struct fib f = {pool, 17, 0};
    struct future *future;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, fib, &f, &future), STATUS_OK);
    ck_assert_int_eq(future_wait(future), STATUS_OK);
    future_release(future);
    ck_assert_int_eq(f.value, 1597);
    stop(pool);
}
END_TEST

struct nest {
    struct pool *pool;
    int depth;
    enum pool_priority priority;
    _Atomic int *deepest;
};

static enum status nest(struct future *me, void *arg)
{
    (void)me;
    struct nest *n = arg;
    atomic_fetch_add(n->deepest, 1);
    if (n->depth == 0)
        return STATUS_IO;
    struct nest below = {n->pool, n->depth - 1, n->priority, n->deepest};
    struct future *future;
    enum status status = pool_submit(n->pool, n->priority, nest, &below, &future);
    if (status != STATUS_OK)
        return status;
    status = future_wait(future);
    future_release(future);
    return status;
}

START_TEST(waits_nest_fifty_deep)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct pool *pool = make(workers, 256, _i & 1);
        ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
        _Atomic int deepest = 0;
        struct nest n = {pool, 50, _i & 2 ? POOL_INTERACTIVE : POOL_BATCH, &deepest};
        struct future *future;
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, nest, &n, &future), STATUS_OK);
        ck_assert_int_eq(future_wait(future), STATUS_IO);
        ck_assert_int_eq(deepest, 51);
        future_release(future);
        stop(pool);
    }
}
END_TEST

/* P waits for Q; X waits for Y, and Y for P.  Would a worker put X on top of P while P waits, P could not go on before
 * Y, which waits for P. */
struct knot {
    struct pool *pool;
    struct future *p, *y;
    _Atomic int q_runs, y_runs;
    bool q_long;
};

static enum status knot_q(struct future *me, void *arg)
{
    (void)me;
    struct knot *k = arg;
    atomic_store(&k->q_runs, 1);
    sleep_ms(10);
    return STATUS_OK;
}

static enum status knot_p(struct future *me, void *arg)
{
    (void)me;
    struct knot *k = arg;
    struct future *q;
    enum status status = pool_submit(k->pool, POOL_INTERACTIVE, knot_q, k, &q);
    if (status != STATUS_OK)
        return status;
    const uint64_t until = clock_now_ns() + 20000000;
    while (!atomic_load(&k->q_runs) && clock_now_ns() < until)
        sched_yield();
    status = future_wait(q);
    future_release(q);
    return status;
}

static enum status knot_y(struct future *me, void *arg)
{
    (void)me;
    struct knot *k = arg;
    return future_wait(k->p);
}

static enum status knot_x(struct future *me, void *arg)
{
    (void)me;
    struct knot *k = arg;
    return future_wait(k->y);
}

START_TEST(waits_that_cross_do_not_deadlock)
{
    for (int round = 0; round < 10; round++) {
        struct pool *pool = make(_i, 64, true);
        struct knot k = {.pool = pool};
        struct future *x[3];
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, knot_p, &k, &k.p), STATUS_OK);
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, knot_y, &k, &k.y), STATUS_OK);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(pool_submit(pool, POOL_BATCH, knot_x, &k, &x[i]), STATUS_OK);
        ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
        for (int i = 0; i < 3; i++) {
            ck_assert_int_eq(future_wait(x[i]), STATUS_OK);
            future_release(x[i]);
        }
        future_release(k.p);
        future_release(k.y);
        stop(pool);
    }
}
END_TEST

struct hold {
    struct pool *pool;
    _Atomic int begun, go;
    struct future *other;
};

static enum status hold(struct future *me, void *arg)
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

static enum status wait_for_other(struct future *me, void *arg)
{
    (void)me;
    struct hold *h = arg;
    atomic_fetch_add(&h->begun, 1);
    return future_wait(h->other);
}

static enum status let_go(struct future *me, void *arg)
{
    (void)me;
    atomic_store(&((struct hold *)arg)->go, 1);
    return STATUS_OK;
}

static void await_begun(struct hold *h, int count)
{
    while (atomic_load(&h->begun) < count)
        sched_yield();
}

START_TEST(a_sleeping_wait_lends_its_core)
{
    /* Both workers are taken: one holds, one waits for it.  Only a third can run what ends it. */
    struct pool *pool = start(2);
    struct hold h = {.pool = pool};
    struct future *waiting;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, &h.other), STATUS_OK);
    await_begun(&h, 1);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, wait_for_other, &h, &waiting), STATUS_OK);
    await_begun(&h, 2);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, let_go, &h, NULL), STATUS_OK);
    ck_assert_int_eq(future_wait(waiting), STATUS_OK);
    future_release(waiting);
    future_release(h.other);
    ck_assert_int_eq(pool_stats_count(pool), 3);
    check_threads(2); /* the spare one goes when it is not wanted for a while */
    stop(pool);
}
END_TEST

/* --- futures ------------------------------------------------------------------------------------------------------ */

static enum status fail_with_text(struct future *me, void *arg)
{
    (void)arg;
    return error_set(future_own_error(me), STATUS_FORMAT, "line %d of the file is empty", 7);
}

START_TEST(futures_tell)
{
    struct pool *pool = start(1);
    struct hold h = {0};
    struct future *first, *second, *third;
    struct error err = {0};
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, &first), STATUS_OK);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, fail_with_text, NULL, &second), STATUS_OK);
    await_begun(&h, 1);
    ck_assert_int_eq(future_poll(first), FUTURE_RUNNING);
    ck_assert_int_eq(future_poll(second), FUTURE_QUEUED);
    ck_assert_int_eq(future_error(second, &err), STATUS_MISUSE);
    ck_assert_int_eq(future_wait_for(second, 0), STATUS_TIMEOUT);
    const uint64_t begin = clock_now_ns();
    ck_assert_int_eq(future_wait_for(second, 5000000), STATUS_TIMEOUT);
    ck_assert_uint_ge(clock_now_ns() - begin, 5000000);
    ck_assert_ptr_null(future_result(first));
    atomic_store(&h.go, 1);
    ck_assert_int_eq(future_wait_for(second, 10000000000u), STATUS_FORMAT);
    ck_assert_int_eq(future_wait(first), STATUS_OK);
    ck_assert_int_eq(future_wait(first), STATUS_OK); /* as often as one likes */
    ck_assert_int_eq(future_poll(second), FUTURE_DONE);
    ck_assert_int_eq(future_error(second, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "line 7 of the file is empty");
    struct log log = {0};
    struct entry entry = {&log, 1};
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entry, &third), STATUS_OK);
    ck_assert_int_eq(future_wait(third), STATUS_OK);
    ck_assert_ptr_eq(future_result(third), &entry);
    stop(pool);
    ck_assert_ptr_eq(future_result(third), &entry); /* futures outlive the pool */
    future_release(first);
    future_release(second);
    future_release(third);
    future_release(NULL);
}
END_TEST

START_TEST(cancel_before_during_and_after)
{
    struct pool *pool = start(1);
    struct hold h = {0};
    struct log log = {0};
    struct entry entry = {&log, 1};
    struct future *running, *queued, *after;
    struct error err = {0};
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, &running), STATUS_OK);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entry, &queued), STATUS_OK);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entry, &after), STATUS_OK);
    await_begun(&h, 1);
    ck_assert(future_cancel(queued));
    ck_assert(!future_cancel(queued));
    ck_assert_int_eq(future_poll(queued), FUTURE_CANCELLED);
    ck_assert_int_eq(future_wait(queued), STATUS_CANCELLED);
    future_release(queued);
    ck_assert(!future_cancel(running));
    ck_assert_int_eq(future_wait(running), STATUS_CANCELLED);
    ck_assert_int_eq(future_error(running, &err), STATUS_CANCELLED);
    ck_assert_str_eq(err.text, "stopped half-way");
    ck_assert_int_eq(future_wait(after), STATUS_OK);
    ck_assert(!future_cancel(after));
    ck_assert_int_eq(future_poll(after), FUTURE_DONE);
    future_release(running);
    future_release(after);
    stop(pool);
    ck_assert_int_eq(log.next, 1);
}
END_TEST

START_TEST(a_full_queue_is_said)
{
    struct pool *pool = make(1, 3, true);
    ck_assert_ptr_nonnull(strstr(pool_note(pool), "rounded up to 4"));
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    struct hold h = {0};
    struct log log = {0};
    struct entry entry = {&log, 1};
    struct future *future = (struct future *)&h;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, NULL), STATUS_OK);
    await_begun(&h, 1);
    for (int priority = POOL_BATCH; priority <= POOL_INTERACTIVE; priority++) {
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(pool_submit(pool, (enum pool_priority)priority, write_down, &entry, NULL), STATUS_OK);
        ck_assert_int_eq(pool_submit(pool, (enum pool_priority)priority, write_down, &entry, &future),
                         STATUS_QUEUE_FULL);
        ck_assert_ptr_null(future);
    }
    atomic_store(&h.go, 1);
    stop(pool);
    ck_assert_int_eq(log.next, 8);
}
END_TEST

struct flood {
    struct pool *pool;
    int accepted;
    enum status last;
    _Atomic int ran;
};

static enum status drop(struct future *me, void *arg)
{
    (void)me;
    atomic_fetch_add(&((struct flood *)arg)->ran, 1);
    return STATUS_OK;
}

static enum status flood(struct future *me, void *arg)
{
    (void)me;
    struct flood *f = arg;
    while ((f->last = pool_submit(f->pool, POOL_BATCH, drop, f, NULL)) == STATUS_OK)
        f->accepted++;
    return STATUS_OK;
}

START_TEST(a_task_fills_the_deque_then_the_queue)
{
    struct pool *pool = make(1, 64, true);
    struct flood f = {.pool = pool};
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, flood, &f, NULL), STATUS_OK);
    stop(pool);
    ck_assert_int_eq(f.last, STATUS_QUEUE_FULL);
    ck_assert_int_gt(f.accepted, 64);
    ck_assert_int_eq(f.ran, f.accepted);
}
END_TEST

/* --- life --------------------------------------------------------------------------------------------------------- */

START_TEST(stopping_with_work_in_flight)
{
    struct pool *pool = start(2);
    struct hold h = {0};
    struct log log = {0};
    struct entry entry = {&log, 1};
    struct future *held, *queued[20];
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, &held), STATUS_OK);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, NULL), STATUS_OK);
    await_begun(&h, 2);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(pool_submit(pool, i % 2 ? POOL_BATCH : POOL_INTERACTIVE, write_down, &entry, &queued[i]),
                         STATUS_OK);
    ck_assert_int_eq(pool_stop(pool, POOL_CANCEL), STATUS_OK); /* the two in hand see it and return */
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(future_wait(queued[i]), STATUS_CANCELLED);
        future_release(queued[i]);
    }
    ck_assert_int_eq(future_wait(held), STATUS_CANCELLED);
    future_release(held);
    ck_assert_int_eq(log.next, 0);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
    check_threads(0);
}
END_TEST

struct busybody {
    struct pool *pool;
    _Atomic int accepted, ran, stop;
    _Atomic int refused;
};

static enum status spread(struct future *me, void *arg)
{
    (void)me;
    struct busybody *b = arg;
    if (atomic_fetch_add(&b->ran, 1) % 4 == 0 && pool_submit(b->pool, POOL_BATCH, spread, b, NULL) == STATUS_OK)
        atomic_fetch_add(&b->accepted, 1);
    return STATUS_OK;
}

static void submit_until_refused(void *arg)
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

START_TEST(draining_while_others_submit_loses_nothing)
{
    for (int round = 0; round < 20; round++) {
        struct busybody b = {.pool = start(2)};
        struct thread *threads[2];
        for (int i = 0; i < 2; i++)
            threads[i] = thread_start("submitter", submit_until_refused, &b, NULL);
        sleep_ms(2);
        ck_assert_int_eq(pool_stop(b.pool, POOL_DRAIN), STATUS_OK);
        for (int i = 0; i < 2; i++)
            thread_join(threads[i]);
        ck_assert_int_eq(b.refused, 2);
        ck_assert_int_eq(b.ran, b.accepted);
        ck_assert_int_eq(pool_free(b.pool), STATUS_OK);
    }
}
END_TEST

START_TEST(made_started_and_stopped_again_and_again)
{
    const int cycles = SANITIZED ? 300 : 3000;
    struct log log = {0};
    struct entry entry = {&log, 1};
    for (int i = 0; i < cycles; i++) {
        atomic_store(&log.next, 0);
        struct pool *pool = make(1 + i % 3, 16, true);
        ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
        if (i % 2)
            ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entry, NULL), STATUS_OK);
        stop(pool);
        ck_assert_int_eq(log.next, i % 2);
    }
    check_threads(0);
}
END_TEST

struct insider {
    struct pool *pool;
    enum status stop, free, wait_self;
};

static enum status misbehave(struct future *me, void *arg)
{
    struct insider *in = arg;
    in->stop = pool_stop(in->pool, POOL_DRAIN);
    in->free = pool_free(in->pool);
    in->wait_self = future_wait(me);
    return STATUS_OK;
}

START_TEST(misuse_is_answered)
{
    struct error err = {0};
    struct pool *pool = make(1, 16, true);
    struct insider in = {.pool = pool};
    struct future *future;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, misbehave, &in, &future), STATUS_OK);
    ck_assert_int_eq(future_wait(future), STATUS_MISUSE); /* not started */
    ck_assert_int_eq(pool_resize(pool, 2, &err), STATUS_MISUSE);
    ck_assert_int_eq(pool_start(pool, &err), STATUS_OK);
    ck_assert_int_eq(pool_start(pool, &err), STATUS_MISUSE);
    ck_assert_int_eq(future_wait(future), STATUS_OK);
    ck_assert_int_eq(in.stop, STATUS_MISUSE);
    ck_assert_int_eq(in.free, STATUS_MISUSE);
    ck_assert_int_eq(in.wait_self, STATUS_MISUSE);
    ck_assert_int_eq(pool_resize(pool, 0, &err), STATUS_CONFIG);
    ck_assert_int_eq(pool_resize(pool, POOL_THREADS_MAX + 1, &err), STATUS_CONFIG);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_MISUSE);
    ck_assert_int_eq(pool_start(pool, &err), STATUS_MISUSE);
    ck_assert_int_eq(pool_resize(pool, 2, &err), STATUS_MISUSE);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, misbehave, &in, NULL), STATUS_MISUSE);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
    ck_assert_int_eq(pool_free(NULL), STATUS_OK);
    ck_assert_int_eq(future_wait(NULL), STATUS_MISUSE);
    future_release(future);

    pool = make(1, 16, true); /* never started */
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, misbehave, &in, &future), STATUS_OK);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
    ck_assert_int_eq(future_wait(future), STATUS_CANCELLED);
    future_release(future);
}
END_TEST

static void refuse(struct pool_options options, enum status expected, const char *says)
{
    struct error err = {0};
    ck_assert_ptr_null(pool_init(&options, &err));
    ck_assert_int_eq(err.status, expected);
    ck_assert_msg(strstr(err.text, says) != NULL, "\"%s\" does not say \"%s\"", err.text, says);
}

START_TEST(bad_options_are_refused)
{
    struct pool_options options = pool_options_default();
    options.num_threads = -1;
    refuse(options, STATUS_CONFIG, "not -1");
    options.num_threads = POOL_THREADS_MAX + 1;
    refuse(options, STATUS_CONFIG, "num_threads");
    options = pool_options_default();
    options.stack_size_bytes = 0;
    refuse(options, STATUS_CONFIG, "stack_size_bytes");
    options = pool_options_default();
    options.queue_capacity = 0;
    refuse(options, STATUS_CONFIG, "queue_capacity");
    options.queue_capacity = SIZE_MAX;
    refuse(options, STATUS_CONFIG, "queue_capacity");
    options = pool_options_default();
    options.pin_threads = true;
    const int nowhere[] = {8191};
    options.cpus = nowhere;
    options.num_cpus = 1;
    refuse(options, STATUS_CONFIG, "CPU 8191");
    for (int64_t i = 0; i < 4; i++) {
        mem_fail_at(i);
        struct error err = {0};
        options = pool_options_default();
        options.num_threads = 1;
        struct pool *pool = pool_init(&options, &err);
        mem_fail_at(-1);
        ck_assert(pool != NULL || err.status == STATUS_NOMEM);
        pool_free(pool);
    }
}
END_TEST

START_TEST(auto_detection_is_explained)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    setenv("OMP_NUM_THREADS", "1", 1);
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool != NULL, "%s", err.text);
    ck_assert_int_eq(pool_size(pool), 1);
    ck_assert_ptr_nonnull(strstr(pool_note(pool), "OMP_NUM_THREADS"));
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}
END_TEST

START_TEST(a_refused_thread_leaves_none)
{
    /* 200 stacks of 64 MiB do not fit: the system refuses one of them half-way. */
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    struct pool_options options = pool_options_default();
    options.num_threads = 200;
    options.stack_size_bytes = 64 << 20;
    struct pool *pool = pool_init(&options, NULL);
    ck_assert_ptr_nonnull(pool);
    struct log log = {0};
    struct entry entry = {&log, 1};
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entry, NULL), STATUS_OK);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){(rlim_t)2 << 30, before.rlim_max}), 0);
    struct error err = {0};
    const enum status status = pool_start(pool, &err);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_int_eq(status, STATUS_SYSTEM);
    ck_assert_msg(strstr(err.text, "200 workers") != NULL, "%s", err.text);
    check_threads(0);
    ck_assert_int_eq(log.next, 0); /* no task began */
    ck_assert_int_eq(pool_start(pool, &err), STATUS_OK); /* it may be tried again */
    stop(pool);
    ck_assert_int_eq(log.next, 1);
}
END_TEST

START_TEST(memory_of_an_idle_worker)
{
    struct pool *pool = start(64);
    sleep_ms(20);
    char line[256];
    long rss_kib[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        if (i)
            ck_assert_int_eq(pool_resize(pool, 128, NULL), STATUS_OK);
        sleep_ms(50);
        FILE *f = fopen("/proc/self/status", "r");
        ck_assert_ptr_nonnull(f);
        while (fgets(line, sizeof line, f))
            sscanf(line, "VmRSS: %ld", &rss_kib[i]);
        fclose(f);
    }
    ck_assert_int_lt((rss_kib[1] - rss_kib[0]) / 64, 64); /* touched stack included */
    stop(pool);
}
END_TEST

START_TEST(threads_go_when_the_pool_shrinks)
{
    struct pool *pool = start(1);
    check_threads(1);
    ck_assert_int_eq(pool_resize(pool, 8, NULL), STATUS_OK);
    check_threads(8);
    ck_assert_int_eq(pool_resize(pool, 2, NULL), STATUS_OK);
    check_threads(2);
    ck_assert_int_eq(pool_resize(pool, 4, NULL), STATUS_OK);
    check_threads(4);
    stop(pool);
    check_threads(0);
}
END_TEST

struct meeting {
    struct pool *pool;
    int width, rounds;
    _Atomic int here, out;
    _Atomic int ran;
};

static void meet(int id, void *arg)
{
    struct meeting *m = arg;
    for (int round = 1; round <= m->rounds; round++) { /* all are here at the same time */
        atomic_fetch_add(&m->here, 1);
        while (atomic_load(&m->here) < round * m->width)
            sched_yield();
    }
    atomic_fetch_or(&m->out, 1 << id);
}

START_TEST(a_gang_meets)
{
    struct meeting m = {.pool = start(5)};
    struct busybody b = {.pool = m.pool};
    struct thread *thread = thread_start("submitter", submit_until_refused, &b, NULL);
    for (int round = 0; round < 40; round++) {
        m.width = 1 + round % 5;
        m.rounds = 5;
        m.here = m.out = 0;
        ck_assert_int_eq(pool_gang_run(m.pool, m.width, meet, &m), STATUS_OK);
        ck_assert_int_eq(m.out, (1 << m.width) - 1);
    }
    ck_assert_int_eq(pool_gang_run(m.pool, 6, meet, &m), STATUS_MISUSE);
    ck_assert_int_eq(pool_stop(m.pool, POOL_DRAIN), STATUS_OK);
    thread_join(thread);
    ck_assert_int_eq(b.ran, b.accepted);
    ck_assert_int_eq(pool_gang_run(m.pool, 1, meet, &m), STATUS_MISUSE);
    ck_assert_int_eq(pool_free(m.pool), STATUS_OK);
}
END_TEST

START_TEST(pinned_threads_work_too)
{
    struct pool_options options = pool_options_default();
    options.num_threads = 3;
    options.pin_threads = options.numa_aware = true;
    struct error err = {0};
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool != NULL, "%s", err.text);
    ck_assert_int_eq(pool_start(pool, &err), STATUS_OK);
    struct fib f = {pool, 12, 0};
    struct future *future;
    ck_assert_int_eq(pool_submit(pool, POOL_INTERACTIVE, fib, &f, &future), STATUS_OK);
    ck_assert_int_eq(future_wait(future), STATUS_OK);
    ck_assert_int_eq(f.value, 144);
    future_release(future);
    stop(pool);
}
END_TEST

START_TEST(figures_add_up)
{
    struct pool *pool = start(2);
    struct fib f = {pool, 15, 0};
    struct future *future;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, fib, &f, &future), STATUS_OK);
    ck_assert_int_eq(future_wait(future), STATUS_OK);
    future_release(future);
    sleep_ms(20);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    struct pool_stats all, one, sum = {0};
    ck_assert_int_eq(pool_stats(pool, -1, &all), STATUS_OK);
    for (int i = 0; i < pool_stats_count(pool); i++) {
        ck_assert_int_eq(pool_stats(pool, i, &one), STATUS_OK);
        sum.run += one.run;
        sum.stolen += one.stolen;
        sum.created += one.created;
        ck_assert(one.stolen <= one.run);
    }
    ck_assert_uint_eq(all.run, sum.run);
    ck_assert_uint_eq(all.created, sum.created + 1);
    ck_assert_uint_eq(all.run, all.created);
    ck_assert_uint_eq(all.run, 987); /* a task for each inner call, and the first */
    ck_assert(all.asleep_ns > 0 && all.idle_ns > 0 && all.busy_ns > 0);
    ck_assert_int_eq(pool_stats(pool, pool_stats_count(pool), &one), STATUS_MISUSE);
    ck_assert_int_eq(pool_stats(pool, -2, &one), STATUS_MISUSE);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tc = tcase_create("pool");
    tcase_add_loop_test(tc, submissions_from_outside_run_in_order, 0, 2);
    tcase_add_test(tc, interactive_goes_first_and_batch_does_not_starve);
    tcase_add_loop_test(tc, every_task_runs_once, 0, 4);
    tcase_add_loop_test(tc, tasks_fork_and_join, 1, 5);
    tcase_add_loop_test(tc, waits_nest_fifty_deep, 0, 4);
    tcase_add_loop_test(tc, waits_that_cross_do_not_deadlock, 1, 4);
    tcase_add_test(tc, a_sleeping_wait_lends_its_core);
    tcase_add_test(tc, futures_tell);
    tcase_add_test(tc, cancel_before_during_and_after);
    tcase_add_test(tc, a_full_queue_is_said);
    tcase_add_test(tc, a_task_fills_the_deque_then_the_queue);
    tcase_add_test(tc, stopping_with_work_in_flight);
    tcase_add_test(tc, draining_while_others_submit_loses_nothing);
    tcase_add_test(tc, made_started_and_stopped_again_and_again);
    tcase_add_test(tc, misuse_is_answered);
    tcase_add_test(tc, bad_options_are_refused);
    tcase_add_test(tc, auto_detection_is_explained);
    if (!SANITIZED) {
        tcase_add_test(tc, a_refused_thread_leaves_none);
        tcase_add_test(tc, memory_of_an_idle_worker);
    }
    tcase_add_test(tc, threads_go_when_the_pool_shrinks);
    tcase_add_test(tc, a_gang_meets);
    tcase_add_test(tc, pinned_threads_work_too);
    tcase_add_test(tc, figures_add_up);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
