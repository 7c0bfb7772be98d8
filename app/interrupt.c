/* SPDX-License-Identifier: MIT */
#include "app/interrupt.h"

#include "runtime/thread.h"

#include <stdio.h>
#include <unistd.h>

/* From interrupt_end to the thread. */
#define SIGNAL_END (SIGRTMIN + 1)

void interrupt_signals(sigset_t *set)
{
    struct sigaction hangup;
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaddset(set, SIGHUP);
}

static void watched(sigset_t *set)
{
    sigemptyset(set);
    interrupt_signals(set);
    sigaddset(set, SIGNAL_END);
}

static void watch(void *arg)
{
    struct interrupt *interrupt = arg;
    sigset_t set;
    watched(&set);
    for (;;) {
        const int signal = sigwaitinfo(&set, NULL);
        if (signal < 0)
            continue; /* a stop and a continue, or a debugger */
        if (signal == SIGNAL_END)
            return;
        if (atomic_load(&interrupt->signal) == 0) {
            atomic_store(&interrupt->signal, signal);
            char reason[64];
            snprintf(reason, sizeof reason, "stopped by %s",
                     signal == SIGINT ? "SIGINT" : signal == SIGTERM ? "SIGTERM" : "SIGHUP");
            cancel_request(interrupt->token, reason);
        } else if (interrupt->second_ends) {
            _exit(128 + signal);
        }
    }
}

enum status interrupt_begin(struct interrupt *interrupt, bool second_ends, struct error *err)
{
    *interrupt = (struct interrupt){.second_ends = second_ends, .token = cancel_new(NULL, err)};
    if (!interrupt->token)
        return STATUS_NOMEM;
    sigset_t set;
    watched(&set);
    sigprocmask(SIG_BLOCK, &set, &interrupt->before);
    interrupt->thread = thread_start("signals", watch, interrupt, err);
    if (interrupt->thread)
        return STATUS_OK;
    sigprocmask(SIG_SETMASK, &interrupt->before, NULL);
    interrupt_release(interrupt);
    return STATUS_SYSTEM;
}

void interrupt_end(struct interrupt *interrupt)
{
    if (!interrupt->thread)
        return;
    kill(getpid(), SIGNAL_END);
    thread_join(interrupt->thread);
    interrupt->thread = NULL;
    sigprocmask(SIG_SETMASK, &interrupt->before, NULL);
}

void interrupt_release(struct interrupt *interrupt)
{
    interrupt_end(interrupt);
    cancel_free(interrupt->token);
    interrupt->token = NULL;
}

int interrupt_exit_code(const struct interrupt *interrupt, int code)
{
    const int signal = atomic_load(&((struct interrupt *)interrupt)->signal);
    return signal && code != 0 ? 128 + signal : code;
}
