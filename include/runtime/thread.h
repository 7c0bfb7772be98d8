/* SPDX-License-Identifier: MIT
 * runtime/thread.h - plain threads, locks and conditions for the few places that are not a team: the prefetch
 * thread of the batch iterator and the application thread of the command.  The only door to pthreads above runtime.
 */
#ifndef RUNTIME_THREAD_H
#define RUNTIME_THREAD_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct thread;
struct mutex;
struct cond;

/* Starts fn(arg) in a new thread, all signals blocked but those its own faults raise; `name` (at most 15 bytes) shows
 * in ps and gdb. */
struct thread *thread_start(const char *name, void (*fn)(void *arg), void *arg, struct error *err);
void thread_join(struct thread *thread); /* waits and frees; NULL is fine */

struct mutex *mutex_new(void); /* NULL: out of memory */
void mutex_free(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

struct cond *cond_new(void);
void cond_free(struct cond *cond);
void cond_wait(struct cond *cond, struct mutex *mutex);
bool cond_wait_for(struct cond *cond, struct mutex *mutex, uint64_t timeout_ns); /* false: timed out */
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

#endif
