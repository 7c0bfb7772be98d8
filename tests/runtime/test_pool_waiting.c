/* SPDX-License-Identifier: MIT
 * Waiting inside tasks: what is run out of turn leaves nothing behind that fills a queue.
 */
#include "runtime/pool.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { DEPTH = 15, WAITERS = 100000 };

static struct pool *pool;
static _Atomic int leaves;

static enum status branch(struct future *me, void *arg)
{
    (void)me;
    const intptr_t depth = (intptr_t)arg;
    if (depth == 0) {
        atomic_fetch_add(&leaves, 1);
        return STATUS_OK;
    }
    struct future *half[2];
    for (int i = 0; i < 2; i++) {
        const enum status status = pool_submit(pool, POOL_BATCH, branch, (void *)(depth - 1), &half[i]);
        if (status != STATUS_OK)
            return status;
    }
    enum status verdict = STATUS_OK;
    for (int i = 0; i < 2; i++) { /* the older first: not the order of the deque */
        const enum status status = future_wait(half[i]);
        verdict = status != STATUS_OK ? status : verdict;
        future_release(half[i]);
    }
    return verdict;
}

static enum status leaf(struct future *me, void *arg)
{
    (void)me;
    (void)arg;
    atomic_fetch_add(&leaves, 1);
    return STATUS_OK;
}

/* One task after the other, each waited for at once. */
static enum status one_by_one(struct future *me, void *arg)
{
    (void)me;
    (void)arg;
    for (int i = 0; i < WAITERS; i++) {
        struct future *future;
        enum status status = pool_submit(pool, POOL_BATCH, leaf, NULL, &future);
        if (status == STATUS_OK) {
            status = future_wait(future);
            future_release(future);
        }
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status run(int threads, pool_task fn, void *arg)
{
    struct pool_options options = pool_options_default();
    options.num_threads = threads;
    options.queue_capacity = 2; /* so that an entry left behind is soon one too many */
    struct error err;
    pool = pool_init(&options, &err);
    ck_assert_ptr_nonnull(pool);
    ck_assert_int_eq(pool_start(pool, &err), STATUS_OK);
    atomic_store(&leaves, 0);
    struct future *future;
    ck_assert_int_eq(pool_submit(pool, POOL_BATCH, fn, arg, &future), STATUS_OK);
    const enum status status = future_wait(future);
    future_release(future);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
    return status;
}

static const int THREADS[] = {1, 2, 5};

START_TEST(a_tree_of_waiting_tasks_fills_no_queue)
{
    ck_assert_int_eq(run(THREADS[_i], branch, (void *)(intptr_t)DEPTH), STATUS_OK);
    ck_assert_int_eq(atomic_load(&leaves), 1 << DEPTH);
}
END_TEST

START_TEST(waiting_for_one_after_the_other_fills_no_queue)
{
    ck_assert_int_eq(run(THREADS[_i], one_by_one, NULL), STATUS_OK);
    ck_assert_int_eq(atomic_load(&leaves), WAITERS);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("waiting");
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, a_tree_of_waiting_tasks_fills_no_queue, 0, 3);
    tcase_add_loop_test(tc, waiting_for_one_after_the_other_fills_no_queue, 0, 3);
    Suite *s = suite_create("pool waiting");
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
