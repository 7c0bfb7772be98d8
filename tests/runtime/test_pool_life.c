/* SPDX-License-Identifier: MIT
 *
 * The life of a pool: starting, stopping, resizing, and what is refused.
 */
#include "pool_fixture.h"

#include <sys/wait.h>

START_TEST(stopping_with_work_in_flight)
{
    struct pool *pool = start_pool(2);
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

struct late {
    struct pool *pool;
    _Atomic int begun, ran;
};

static enum status count_late(struct future *me, void *arg)
{
    (void)me;
    atomic_fetch_add(&((struct late *)arg)->ran, 1);
    return STATUS_OK;
}

static enum status submit_late(struct future *me, void *arg)
{
    (void)me;
    struct late *late = arg;
    atomic_store(&late->begun, 1);
    sleep_ms(20);
    for (int i = 0; i < 300; i++)
        if (pool_submit(late->pool, POOL_BATCH, count_late, late, NULL) != STATUS_OK)
            return STATUS_QUEUE_FULL;
    return STATUS_OK;
}

/* What the task in hand submits while a stop already waits is run too, whether it goes to a deque or not. */
START_TEST(draining_runs_what_the_last_task_submits)
{
    for (int stealing = 0; stealing < 2; stealing++) {
        struct late late = {.pool = make_pool(2, 1024, stealing)};
        struct future *future;
        ck_assert_int_eq(pool_start(late.pool, NULL), STATUS_OK);
        ck_assert_int_eq(pool_submit(late.pool, POOL_BATCH, submit_late, &late, &future), STATUS_OK);
        while (!atomic_load(&late.begun))
            sched_yield();
        ck_assert_int_eq(pool_stop(late.pool, POOL_DRAIN), STATUS_OK);
        ck_assert_int_eq(future_wait(future), STATUS_OK);
        ck_assert_int_eq(late.ran, 300);
        future_release(future);
        ck_assert_int_eq(pool_free(late.pool), STATUS_OK);
    }
}
END_TEST

START_TEST(draining_while_others_submit_loses_nothing)
{
    for (int round = 0; round < 20; round++) {
        struct busybody b = {.pool = start_pool(2)};
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
    const char *asked = getenv("CLLM_TEST_CYCLES"); /* check-all asks for ten thousand */
    const int cycles = asked ? atoi(asked) : SANITIZED || getenv("CLLM_TEST_VALGRIND") ? 200 : 1000;
    struct log log = {0};
    struct entry entry = {&log, 1};
    for (int i = 0; i < cycles; i++) {
        atomic_store(&log.next, 0);
        struct pool *pool = make_pool(1 + i % 3, 16, true);
        ck_assert_int_eq(pool_start(pool, NULL), STATUS_OK);
        if (i % 2)
            ck_assert_int_eq(pool_submit(pool, POOL_BATCH, write_down, &entry, NULL), STATUS_OK);
        end_pool(pool);
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
    struct pool *pool = make_pool(1, 16, true);
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

    pool = make_pool(1, 16, true); /* never started */
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
    ck_assert_msg(strstr(err.text, "200 worker threads wanted, ") != NULL, "%s", err.text);
    check_threads(0);
    ck_assert_int_eq(log.next, 0); /* no task began */
    ck_assert_int_eq(pool_start(pool, &err), STATUS_OK); /* it may be tried again */
    end_pool(pool);
    ck_assert_int_eq(log.next, 1);
}
END_TEST

/* In a process of a user who may start no more threads.  Only root can become such a one, and its own limit counts for
 * nothing: so a child gives the rights up. */
START_TEST(a_users_limit_is_told)
{
    if (geteuid() != 0) {
        printf("a_users_limit_is_told: left out, it takes root to become another user\n");
        return;
    }
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct error err = {0};
        const uid_t user = 64321; /* nobody's, so that no other process counts */
        if (setrlimit(RLIMIT_NPROC, &(struct rlimit){20, 20}) != 0 || setgid(user) != 0 || setuid(user) != 0)
            _exit(2);
        struct pool_options options = pool_options_default();
        options.num_threads = 40;
        struct pool *pool = pool_init(&options, &err);
        if (!pool || pool_start(pool, &err) != STATUS_SYSTEM)
            _exit(3);
        if (!strstr(err.text, "40 worker threads wanted, 19 started") || !strstr(err.text, "ulimit -u: 20"))
            _exit(4);
        for (int i = 0; i < 3000 && worker_threads() > 0; i++)
            sleep_ms(1);
        if (worker_threads() != 0 || pool_free(pool) != STATUS_OK)
            _exit(5);
        options.num_threads = 10; /* as many as there may be */
        pool = pool_init(&options, &err);
        if (!pool || pool_start(pool, &err) != STATUS_OK || pool_stop(pool, POOL_DRAIN) != STATUS_OK)
            _exit(6);
        pool_free(pool);
        _exit(0);
    }
    int how;
    ck_assert_int_eq(waitpid(child, &how, 0), child);
    ck_assert_msg(WIFEXITED(how) && WEXITSTATUS(how) == 0, "the child ended with %d", how);
}
END_TEST

START_TEST(memory_of_an_idle_worker)
{
    struct pool *pool = start_pool(64);
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
    end_pool(pool);
}
END_TEST

START_TEST(threads_go_when_the_pool_shrinks)
{
    struct pool *pool = start_pool(1);
    check_threads(1);
    ck_assert_int_eq(pool_resize(pool, 8, NULL), STATUS_OK);
    check_threads(8);
    ck_assert_int_eq(pool_resize(pool, 2, NULL), STATUS_OK);
    check_threads(2);
    ck_assert_int_eq(pool_resize(pool, 4, NULL), STATUS_OK);
    check_threads(4);
    end_pool(pool);
    check_threads(0);
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
    end_pool(pool);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("pool life");
    tcase_set_timeout(tc, getenv("CLLM_TEST_CYCLES") ? 300 : 30);
    tcase_add_test(tc, stopping_with_work_in_flight);
    tcase_add_test(tc, draining_runs_what_the_last_task_submits);
    tcase_add_test(tc, draining_while_others_submit_loses_nothing);
    tcase_add_test(tc, made_started_and_stopped_again_and_again);
    tcase_add_test(tc, misuse_is_answered);
    tcase_add_test(tc, bad_options_are_refused);
    tcase_add_test(tc, auto_detection_is_explained);
    if (!SANITIZED && !getenv("CLLM_TEST_VALGRIND")) {
        tcase_add_test(tc, a_users_limit_is_told);
        tcase_add_test(tc, a_refused_thread_leaves_none);
        tcase_add_test(tc, memory_of_an_idle_worker);
    }
    tcase_add_test(tc, threads_go_when_the_pool_shrinks);
    tcase_add_test(tc, pinned_threads_work_too);
    return run_cases("pool life", tc);
}
