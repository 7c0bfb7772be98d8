/* SPDX-License-Identifier: MIT
 *
 * Gangs: calls that meet, on the threads that also run tasks.
 */
#include "pool_fixture.h"

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
    struct meeting m = {.pool = start_pool(5)};
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

static struct pool *gang_pool(int num_threads, int gang_threads)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.num_threads = num_threads;
    options.gang_threads = gang_threads;
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool != NULL, "%s", err.text);
    ck_assert_msg(pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    return pool;
}

struct roll {
    int width;
    _Atomic int here;
    pid_t thread[400];
};

static void answer(int id, void *arg)
{
    struct roll *r = arg;
    r->thread[id] = gettid();
    atomic_fetch_add(&r->here, 1);
    while (atomic_load(&r->here) < r->width)
        sched_yield();
}

static enum status note_thread(struct future *me, void *arg)
{
    (void)me;
    *(pid_t *)arg = gettid();
    return STATUS_OK;
}

/* The threads that are too many for tasks take part in gangs, each under its own number, and in nothing else. */
START_TEST(a_gang_is_wider_than_the_workers)
{
    struct pool *pool = gang_pool(2, 400);
    ck_assert_int_eq(pool_size(pool), 2);
    ck_assert_int_eq(pool_gang_size(pool), 400);
    struct roll first = {.width = 400}, second = {.width = 31};
    ck_assert_int_eq(pool_gang_run(pool, 400, answer, &first), STATUS_OK);
    ck_assert_int_eq(pool_gang_run(pool, 31, answer, &second), STATUS_OK);
    for (int id = 0; id < 400; id++)
        ck_assert(first.thread[id] > 0 && (id >= 31 || first.thread[id] == second.thread[id]));
    struct pool_stats stats;
    for (int id = 0; id < 400; id++) {
        ck_assert_int_eq(pool_stats(pool, id, &stats), STATUS_OK);
        ck_assert_uint_eq(stats.gangs, id < 31 ? 2 : 1);
    }
    pid_t ran[200] = {0};
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, note_thread, &ran[i], NULL), STATUS_OK);
    check_threads(400);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    for (int i = 0; i < 200; i++)
        ck_assert(ran[i] == first.thread[0] || ran[i] == first.thread[1]);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
    check_threads(0);
}
END_TEST

struct waiting_gang {
    struct pool *pool;
    struct roll roll;
    enum status status;
};

static void run_gang(void *arg)
{
    struct waiting_gang *g = arg;
    g->status = pool_gang_run(g->pool, g->roll.width, answer, &g->roll);
}

/* Workers 0 and 1 have tasks in hand, and all others hang on them in the tree: they are called all the same. */
START_TEST(who_has_a_task_in_hand_keeps_nobody_waiting)
{
    struct waiting_gang g = {.pool = gang_pool(2, 60), .roll = {.width = 60}};
    struct hold h = {0};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pool_submit(g.pool, POOL_BATCH, hold, &h, NULL), STATUS_OK);
    await_begun(&h, 2);
    struct thread *thread = thread_start("gang", run_gang, &g, NULL);
    while (atomic_load(&g.roll.here) < 58)
        sched_yield();
    sleep_ms(5);
    ck_assert_int_eq(g.roll.here, 58);
    atomic_store(&h.go, 1);
    thread_join(thread);
    ck_assert_int_eq(g.status, STATUS_OK);
    ck_assert_int_eq(g.roll.here, 60);
    end_pool(g.pool);
}
END_TEST

static enum status wait_for_held(struct future *me, void *arg)
{
    (void)me;
    struct hold *h = arg;
    atomic_fetch_add(&h->begun, 1);
    return future_wait(h->other);
}

static enum status release_held(struct future *me, void *arg)
{
    (void)me;
    atomic_store(&((struct hold *)arg)->go, 1);
    return STATUS_OK;
}

/* A thread for gangs stands in for a worker that waits, and goes back to its rest. */
START_TEST(gang_threads_are_the_spare_ones)
{
    struct pool *pool = gang_pool(2, 6);
    for (int round = 0; round < 20; round++) {
        struct hold h = {.pool = pool};
        struct future *waiting;
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, hold, &h, &h.other), STATUS_OK);
        await_begun(&h, 1);
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, wait_for_held, &h, &waiting), STATUS_OK);
        await_begun(&h, 2);
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, release_held, &h, NULL), STATUS_OK);
        ck_assert_int_eq(future_wait(waiting), STATUS_OK);
        future_release(waiting);
        future_release(h.other);
        struct roll roll = {.width = 1 + round % 6};
        ck_assert_int_eq(pool_gang_run(pool, roll.width, answer, &roll), STATUS_OK);
    }
    ck_assert_int_eq(pool_stats_count(pool), 6);
    check_threads(6);
    end_pool(pool);
}
END_TEST

/* Gangs grow and shrink: a thread that stays keeps its number, those too many end, and workers are as they were. */
START_TEST(gangs_change_their_size)
{
    static const int sizes[] = {5, 64, 3, 1, 40, 40, 0, 7};
    struct pool *pool = gang_pool(2, 1);
    struct error err = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int widest = sizes[i] > 2 ? sizes[i] : 2;
        struct roll first = {.width = widest}, second = {.width = widest};
        ck_assert_msg(pool_resize_gangs(pool, sizes[i], &err) == STATUS_OK, "%s", err.text);
        ck_assert_int_eq(pool_gang_size(pool), widest);
        ck_assert_int_eq(pool_size(pool), 2);
        ck_assert_int_eq(pool_gang_run(pool, widest, answer, &first), STATUS_OK);
        ck_assert_int_eq(pool_gang_run(pool, widest, answer, &second), STATUS_OK);
        ck_assert(memcmp(first.thread, second.thread, sizeof first.thread) == 0);
        ck_assert_int_eq(pool_gang_run(pool, widest + 1, answer, &first), STATUS_MISUSE);
    }
    check_threads(7);
    ck_assert_int_eq(pool_resize_gangs(pool, -1, &err), STATUS_CONFIG);
    ck_assert_int_eq(pool_resize_gangs(pool, POOL_THREADS_MAX + 1, &err), STATUS_CONFIG);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_resize_gangs(pool, 3, &err), STATUS_MISUSE);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}
END_TEST

/* Gangs of all widths, tasks that wait for tasks, and a pool that changes its size, all at once. */
START_TEST(gangs_between_tasks_and_resizing)
{
    struct meeting m = {.pool = gang_pool(3, 20)};
    struct busybody b = {.pool = m.pool};
    struct thread *thread = thread_start("submitter", submit_until_refused, &b, NULL);
    for (int round = 0; round < 150; round++) {
        struct fib f = {m.pool, 9, 0};
        struct future *future;
        if (round % 3 == 0)
            ck_assert_int_eq(pool_resize(m.pool, 1 + round % 5, NULL), STATUS_OK);
        if (round % 4 == 0)
            ck_assert_int_eq(pool_resize_gangs(m.pool, 20 + round % 9, NULL), STATUS_OK);
        enum status status;
        while ((status = pool_submit(m.pool, POOL_INTERACTIVE, fib, &f, &future)) == STATUS_QUEUE_FULL)
            sched_yield();
        ck_assert_int_eq(status, STATUS_OK);
        m.width = 1 + round % 20;
        m.rounds = 2;
        m.here = m.out = 0;
        ck_assert_int_eq(pool_gang_run(m.pool, m.width, meet, &m), STATUS_OK);
        ck_assert_int_eq(m.out, (1 << m.width) - 1);
        ck_assert_int_eq(future_wait(future), STATUS_OK);
        ck_assert_int_eq(f.value, 34);
        future_release(future);
    }
    ck_assert_int_eq(pool_stop(m.pool, POOL_DRAIN), STATUS_OK);
    thread_join(thread);
    ck_assert_int_eq(b.ran, b.accepted);
    ck_assert_int_eq(pool_free(m.pool), STATUS_OK);
    check_threads(0);
}
END_TEST

struct inside {
    struct pool *pool;
    enum status status;
};

static void nothing(int id, void *arg)
{
    (void)id;
    (void)arg;
}

static void gang_in_gang(int id, void *arg)
{
    struct inside *in = arg;
    if (id == 0)
        in->status = pool_gang_run(in->pool, 1, nothing, NULL);
}

START_TEST(misuse_of_gangs_is_answered)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.gang_threads = POOL_THREADS_MAX + 1;
    ck_assert_ptr_null(pool_init(&options, &err));
    ck_assert_msg(strstr(err.text, "gang_threads must be 0 to 1885, not 1886") != NULL, "%s", err.text);
    struct inside in = {.pool = gang_pool(1, 2)};
    ck_assert_int_eq(pool_gang_run(in.pool, 2, gang_in_gang, &in), STATUS_OK);
    ck_assert_int_eq(in.status, STATUS_MISUSE);
    ck_assert_int_eq(pool_gang_run(in.pool, 3, nothing, NULL), STATUS_MISUSE);
    ck_assert_int_eq(pool_gang_run(in.pool, 0, nothing, NULL), STATUS_MISUSE);
    ck_assert_int_eq(pool_gang_run(NULL, 1, nothing, NULL), STATUS_MISUSE);
    ck_assert_int_eq(pool_gang_run(in.pool, 1, NULL, NULL), STATUS_MISUSE);
    end_pool(in.pool);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("gang");
    tcase_add_test(tc, a_gang_meets);
    tcase_add_test(tc, a_gang_is_wider_than_the_workers);
    tcase_add_test(tc, who_has_a_task_in_hand_keeps_nobody_waiting);
    tcase_add_test(tc, gang_threads_are_the_spare_ones);
    tcase_add_test(tc, gangs_change_their_size);
    tcase_add_test(tc, gangs_between_tasks_and_resizing);
    tcase_add_test(tc, misuse_of_gangs_is_answered);
    return run_cases("gang", tc);
}
