/* SPDX-License-Identifier: MIT
 *
 * The pool: order, priorities, completeness, full queues, figures.
 */
#include "pool_fixture.h"

START_TEST(submissions_from_outside_run_in_order)
{
    struct pool *pool = make_pool(1, 256, _i);
    struct log log = {0};
    struct entry entries[100];
    for (int i = 0; i < 100; i++) {
        entries[i] = (struct entry){&log, i};
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entries[i], NULL), STATUS_OK);
    }
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    end_pool(pool);
    ck_assert_int_eq(log.next, 100);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(log.order[i], i);
}
END_TEST

START_TEST(interactive_goes_first_and_batch_does_not_starve)
{
    struct pool *pool = make_pool(1, 256, true);
    struct log log = {0};
    struct entry entries[120];
    for (int i = 0; i < 120; i++) { /* 0 … 19 are batch, submitted first */
        entries[i] = (struct entry){&log, i};
        ck_assert_int_eq(pool_submit(pool, i < 20 ? POOL_BATCH : POOL_INTERACTIVE, write_down, &entries[i], NULL),
                         STATUS_OK);
    }
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    end_pool(pool);
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
    many->pool = start_pool(_i ? _i : 1);
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

struct pair {
    _Atomic int here;
    _Atomic int alone;
};

static enum status meet_the_other(struct future *me, void *arg)
{
    (void)me;
    struct pair *pair = arg;
    const uint64_t until = clock_now_ns() + 2000000000u;
    atomic_fetch_add(&pair->here, 1);
    while (atomic_load(&pair->here) < 2 && clock_now_ns() < until)
        sched_yield();
    if (atomic_load(&pair->here) < 2)
        atomic_store(&pair->alone, 1);
    return STATUS_OK;
}

/* The second task comes while the worker woken for the first still searches, so nobody is woken for it: who finds the
 * first must pass it on.  The pauses let both fall asleep, or not quite. */
START_TEST(a_second_task_finds_a_second_worker)
{
    struct pool *pool = start_pool(2);
    for (int round = 0; round < 300; round++) {
        struct pair pair = {0};
        struct future *futures[2];
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(pool_submit(pool, POOL_BATCH, meet_the_other, &pair, &futures[i]), STATUS_OK);
        for (int i = 0; i < 2; i++) {
            ck_assert_int_eq(future_wait(futures[i]), STATUS_OK);
            future_release(futures[i]);
        }
        ck_assert_int_eq(pair.alone, 0);
        nanosleep(&(struct timespec){0, round % 4 * 50000}, NULL);
    }
    end_pool(pool);
}
END_TEST

START_TEST(a_full_queue_is_said)
{
    struct pool *pool = make_pool(1, 3, true);
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
    end_pool(pool);
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
    struct pool *pool = make_pool(1, 64, true);
    struct flood f = {.pool = pool};
    ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, flood, &f, NULL), STATUS_OK);
    end_pool(pool);
    ck_assert_int_eq(f.last, STATUS_QUEUE_FULL);
    ck_assert_int_gt(f.accepted, 64);
    ck_assert_int_eq(f.ran, f.accepted);
}
END_TEST

START_TEST(figures_add_up)
{
    struct pool *pool = start_pool(2);
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
    TCase *tc = tcase_create("pool");
    tcase_add_loop_test(tc, submissions_from_outside_run_in_order, 0, 2);
    tcase_add_test(tc, interactive_goes_first_and_batch_does_not_starve);
    tcase_add_loop_test(tc, every_task_runs_once, 0, 4);
    tcase_add_test(tc, a_second_task_finds_a_second_worker);
    tcase_add_test(tc, a_full_queue_is_said);
    tcase_add_test(tc, a_task_fills_the_deque_then_the_queue);
    tcase_add_test(tc, figures_add_up);
    return run_cases("pool", tc);
}
