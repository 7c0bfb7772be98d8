/* SPDX-License-Identifier: MIT
 *
 * Futures: what they tell, cancelling, and waiting inside tasks.
 */
#include "pool_fixture.h"

START_TEST(tasks_fork_and_join)
{
    struct pool *pool = start_pool(_i);
    struct fib f = {pool, 17, 0};
    struct future *future;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, fib, &f, &future), STATUS_OK);
    ck_assert_int_eq(future_wait(future), STATUS_OK);
    future_release(future);
    ck_assert_int_eq(f.value, 1597);
    end_pool(pool);
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
        struct pool *pool = make_pool(workers, 256, _i & 1);
        ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
        _Atomic int deepest = 0;
        struct nest n = {pool, 50, _i & 2 ? POOL_INTERACTIVE : POOL_BATCH, &deepest};
        struct future *future;
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, nest, &n, &future), STATUS_OK);
        ck_assert_int_eq(future_wait(future), STATUS_IO);
        ck_assert_int_eq(deepest, 51);
        future_release(future);
        end_pool(pool);
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
        struct pool *pool = make_pool(_i, 64, true);
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
        end_pool(pool);
    }
}
END_TEST

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

START_TEST(a_sleeping_wait_lends_its_core)
{
    /* Both workers are taken: one holds, one waits for it.  Only a third can run what ends it. */
    struct pool *pool = start_pool(2);
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
    end_pool(pool);
}
END_TEST

static enum status fail_with_text(struct future *me, void *arg)
{
    (void)arg;
    return error_set(future_own_error(me), STATUS_FORMAT, "line %d of the file is empty", 7);
}

START_TEST(futures_tell)
{
    struct pool *pool = start_pool(1);
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
    end_pool(pool);
    ck_assert_ptr_eq(future_result(third), &entry); /* futures outlive the pool */
    future_release(first);
    future_release(second);
    future_release(third);
    future_release(NULL);
}
END_TEST

START_TEST(cancel_before_during_and_after)
{
    struct pool *pool = start_pool(1);
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
    end_pool(pool);
    ck_assert_int_eq(log.next, 1);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("future");
    tcase_add_loop_test(tc, tasks_fork_and_join, 1, 5);
    tcase_add_loop_test(tc, waits_nest_fifty_deep, 0, 4);
    tcase_add_loop_test(tc, waits_that_cross_do_not_deadlock, 1, 4);
    tcase_add_test(tc, a_sleeping_wait_lends_its_core);
    tcase_add_test(tc, futures_tell);
    tcase_add_test(tc, cancel_before_during_and_after);
    return run_cases("future", tc);
}
