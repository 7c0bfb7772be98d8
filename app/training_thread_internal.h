/* SPDX-License-Identifier: MIT
 * app/training_thread_internal.h - what the training thread does when it is due, for training_control.c to have done when
 * it is asked for.  All by that thread itself, between two steps.
 */
#ifndef APP_TRAINING_THREAD_INTERNAL_H
#define APP_TRAINING_THREAD_INTERNAL_H

#include "app/run_saver.h"
#include "app/training_thread.h"

void training_thread__say(struct training_thread *thread, const char *line);
void training_thread__set_busy(struct training_thread *thread, const char *what);

struct run_saver *training_thread__saver(struct training_thread *thread);

/* Writes a sample as a line and an event; *text is what followed `prompt` (NULL: the usual one). */
enum status training_thread__sample(struct training_thread *thread, const char *prompt, struct buffer *text,
                                    struct error *err);

/* The spheres count anew. */
void training_thread__counts_anew(struct training_thread *thread);

/* The time up to now is nobody's step. */
void training_thread__mark(struct training_thread *thread);

#endif
