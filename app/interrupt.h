/* SPDX-License-Identifier: MIT
 * app/interrupt.h - Ctrl-C and its kin as a cancellation token.
 *
 * SIGINT, SIGTERM and, unless it is ignored (nohup), SIGHUP are blocked and fetched by a thread that does nothing else,
 * so no handler runs anywhere and the request may take locks.  The first one cancels the token; what is at work sees it
 * and gives up cleanly.  The second ends the process at once, where that may be.
 */
#ifndef APP_INTERRUPT_H
#define APP_INTERRUPT_H

#include "base/status.h"
#include "runtime/cancel.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

struct interrupt {
    struct cancel *token; /* cancelled by the first signal, or by whoever likes */
    bool second_ends;
    _Atomic int signal;   /* the first one; 0 for none */
    struct thread *thread;
    sigset_t before;
};

/* The signals that stop a command: added to *set. */
void interrupt_signals(sigset_t *set);

/* Begins to watch.  The main thread calls, before others than crews and thread_start make threads.  STATUS_NOMEM,
 * STATUS_SYSTEM. */
enum status interrupt_begin(struct interrupt *interrupt, bool second_ends, struct error *err);

/* Ends the watch; the token stays.  Signals are as before.  Fine twice, and on a zeroed struct. */
void interrupt_end(struct interrupt *interrupt);
void interrupt_release(struct interrupt *interrupt); /* ends it, frees the token */

/* Of a command that came to `code`: 128 and the signal's number where a signal stopped it. */
int interrupt_exit_code(const struct interrupt *interrupt, int code);

#endif
