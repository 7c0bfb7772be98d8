/* SPDX-License-Identifier: MIT */
#include "runtime/thread.h"

#include "base/check.h"
#include "base/memory.h"
#include "runtime/thread_internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int thread__create(pthread_t *out, const char *name, size_t stack_bytes, void *(*fn)(void *arg), void *arg)
{
    static const int FAULTS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    pthread_attr_t attr;
    int why = pthread_attr_init(&attr);
    if (why)
        return why;
    if (stack_bytes) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), least = (size_t)PTHREAD_STACK_MIN;
        stack_bytes = stack_bytes < least ? least : stack_bytes;
        why = stack_bytes > SIZE_MAX - page ? EINVAL
                                            : pthread_attr_setstacksize(&attr, (stack_bytes + page - 1) / page * page);
    }
    if (why == 0) {
        sigset_t blocked, before;
        sigfillset(&blocked);
        for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++)
            sigdelset(&blocked, FAULTS[i]);
        pthread_sigmask(SIG_SETMASK, &blocked, &before);
        why = pthread_create(out, &attr, fn, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (why == 0)
            pthread_setname_np(*out, name);
    }
    pthread_attr_destroy(&attr);
    return why;
}

struct thread {
    pthread_t handle;
    void (*fn)(void *arg);
    void *arg;
};

struct mutex {
    pthread_mutex_t handle;
};

struct cond {
    pthread_cond_t handle;
};

static void *thread_main(void *p)
{
    struct thread *thread = p;
    thread->fn(thread->arg);
    return NULL;
}

struct thread *thread_start(const char *name, void (*fn)(void *arg), void *arg, struct error *err)
{
    struct thread *thread = mem_calloc(1, sizeof *thread);
    if (!thread) {
        error_set(err, STATUS_NOMEM, "no memory for the thread \"%s\"", name);
        return NULL;
    }
    thread->fn = fn;
    thread->arg = arg;
    int why = thread__create(&thread->handle, name, 0, thread_main, thread);
    if (why) {
        error_set(err, STATUS_SYSTEM, "the system refused to start the thread \"%s\": %s", name, strerror(why));
        mem_free(thread);
        return NULL;
    }
    return thread;
}

void thread_join(struct thread *thread)
{
    if (!thread)
        return;
    CHECK(pthread_join(thread->handle, NULL) == 0);
    mem_free(thread);
}

struct mutex *mutex_new(void)
{
    struct mutex *mutex = mem_calloc(1, sizeof *mutex);
    if (mutex && pthread_mutex_init(&mutex->handle, NULL) != 0) {
        mem_free(mutex);
        return NULL;
    }
    return mutex;
}

void mutex_free(struct mutex *mutex)
{
    if (!mutex)
        return;
    CHECK(pthread_mutex_destroy(&mutex->handle) == 0);
    mem_free(mutex);
}

void mutex_lock(struct mutex *mutex)
{
    CHECK(pthread_mutex_lock(&mutex->handle) == 0);
}

void mutex_unlock(struct mutex *mutex)
{
    CHECK(pthread_mutex_unlock(&mutex->handle) == 0);
}

struct cond *cond_new(void)
{
    struct cond *cond = mem_calloc(1, sizeof *cond);
    if (!cond)
        return NULL;
    pthread_condattr_t attr;
    bool made = pthread_condattr_init(&attr) == 0;
    if (made) {
        made = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&cond->handle, &attr) == 0;
        pthread_condattr_destroy(&attr);
    }
    if (made)
        return cond;
    mem_free(cond);
    return NULL;
}

void cond_free(struct cond *cond)
{
    if (!cond)
        return;
    CHECK(pthread_cond_destroy(&cond->handle) == 0);
    mem_free(cond);
}

void cond_wait(struct cond *cond, struct mutex *mutex)
{
    CHECK(pthread_cond_wait(&cond->handle, &mutex->handle) == 0);
}

bool cond_wait_for(struct cond *cond, struct mutex *mutex, uint64_t timeout_ns)
{
    enum { NS_PER_S = 1000000000 };
    const uint64_t longest_s = 1000000000; /* about 30 years, so that the sum fits any time_t */
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t s = timeout_ns / NS_PER_S;
    until.tv_sec += (time_t)(s < longest_s ? s : longest_s);
    until.tv_nsec += (long)(timeout_ns % NS_PER_S);
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_nsec -= NS_PER_S;
        until.tv_sec++;
    }
    int why = pthread_cond_timedwait(&cond->handle, &mutex->handle, &until);
    CHECK(why == 0 || why == ETIMEDOUT);
    return why == 0;
}

void cond_signal(struct cond *cond)
{
    CHECK(pthread_cond_signal(&cond->handle) == 0);
}

void cond_broadcast(struct cond *cond)
{
    CHECK(pthread_cond_broadcast(&cond->handle) == 0);
}
