/* SPDX-License-Identifier: MIT
 * runtime/thread_internal.h - how every thread of ours is made.
 */
#ifndef RUNTIME_THREAD_INTERNAL_H
#define RUNTIME_THREAD_INTERNAL_H

#include <pthread.h>
#include <stddef.h>

/* Starts fn(arg) in a thread whose signals are blocked, but for those that its own faults raise.  stack_bytes 0 is the
 * system's default.  0, or the errno of the refusal. */
int thread__create(pthread_t *out, const char *name, size_t stack_bytes, void *(*fn)(void *arg), void *arg);

#endif
