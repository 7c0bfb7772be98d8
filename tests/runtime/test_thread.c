/* SPDX-License-Identifier: MIT */
#include "runtime/thread.h"

#include "base/clock.h"
#include "base/memory.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

struct exchange { /* all guarded by mu */
    struct mutex *mu;
    struct cond *changed;
    int sent, received, sum;
};

static void receive(void *arg)
{
    struct exchange *x = arg;
    mutex_lock(x->mu);
    for (int i = 1; i <= 1000; i++) {
        while (x->sent < i)
            cond_wait(x->changed, x->mu);
        x->received = i;
        x->sum += i;
        cond_signal(x->changed);
    }
    mutex_unlock(x->mu);
}

START_TEST(two_threads_take_turns)
{
    struct error err = {0};
    struct exchange x = {.mu = mutex_new(), .changed = cond_new()};
    struct thread *thread = thread_start("receiver", receive, &x, &err);
    ck_assert_msg(thread != NULL, "%s", err.text);
    for (int i = 1; i <= 1000; i++) {
        mutex_lock(x.mu);
        x.sent = i;
        cond_broadcast(x.changed);
        while (x.received < i)
            cond_wait(x.changed, x.mu);
        mutex_unlock(x.mu);
    }
    thread_join(thread);
    ck_assert_int_eq(x.sum, 500500);
    cond_free(x.changed);
    mutex_free(x.mu);
}
END_TEST

START_TEST(a_wait_ends_when_its_time_is_over)
{
    struct mutex *mu = mutex_new();
    struct cond *never = cond_new();
    mutex_lock(mu);
    uint64_t begin = clock_now_ns();
    while (cond_wait_for(never, mu, 20000000))
        ; /* woken for nothing */
    ck_assert_uint_ge(clock_now_ns() - begin, 20000000);
    mutex_unlock(mu);
    cond_free(never);
    mutex_free(mu);
}
END_TEST

static void signal_soon(void *arg)
{
    struct exchange *x = arg;
    mutex_lock(x->mu);
    x->sent = 1;
    cond_signal(x->changed);
    mutex_unlock(x->mu);
}

START_TEST(a_very_long_wait_ends_at_the_signal)
{
    struct error err = {0};
    struct exchange x = {.mu = mutex_new(), .changed = cond_new()};
    mutex_lock(x.mu);
    struct thread *thread = thread_start("signaller", signal_soon, &x, &err);
    ck_assert_msg(thread != NULL, "%s", err.text);
    while (!x.sent)
        ck_assert(cond_wait_for(x.changed, x.mu, UINT64_MAX));
    mutex_unlock(x.mu);
    thread_join(thread);
    cond_free(x.changed);
    mutex_free(x.mu);
}
END_TEST

struct self {
    char name[16];
    bool term_blocked;
};

static void look_at_self(void *arg)
{
    struct self *self = arg;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    self->term_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGINT);
    for (int i = 0; i < 1000 && strcmp(self->name, "prefetch") != 0; i++) {
        prctl(PR_GET_NAME, self->name); /* set by who started us, perhaps a moment after */
        for (uint64_t until = clock_now_ns() + 1000000; clock_now_ns() < until;)
            ;
    }
}

START_TEST(a_thread_has_its_name_and_blocks_signals)
{
    struct error err = {0};
    struct self self = {0};
    thread_join(thread_start("prefetch", look_at_self, &self, &err));
    ck_assert_str_eq(self.name, "prefetch");
    ck_assert(self.term_blocked);
    thread_join(NULL);
    mutex_free(NULL);
    cond_free(NULL);
}
END_TEST

START_TEST(without_memory_there_is_an_error)
{
    struct error err = {0};
    mem_fail_at(0);
    ck_assert_ptr_null(thread_start("none", look_at_self, NULL, &err));
    ck_assert_int_eq(err.status, STATUS_NOMEM);
    mem_fail_at(0);
    ck_assert_ptr_null(mutex_new());
    mem_fail_at(0);
    ck_assert_ptr_null(cond_new());
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("thread");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, two_threads_take_turns);
    tcase_add_test(tc, a_wait_ends_when_its_time_is_over);
    tcase_add_test(tc, a_very_long_wait_ends_at_the_signal);
    tcase_add_test(tc, a_thread_has_its_name_and_blocks_signals);
    tcase_add_test(tc, without_memory_there_is_an_error);
    Suite *suite = suite_create("thread");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
