/* SPDX-License-Identifier: MIT
 * app/training_control.h - what is asked of a training through RUN/control.sock (train/control_server.h), done between two
 * of its steps by the thread that drives it; and the events of an earlier stretch of the run, or of the run that is
 * replayed, applied again when their step comes.
 */
#ifndef APP_TRAINING_CONTROL_H
#define APP_TRAINING_CONTROL_H

#include "app/training_thread.h"

struct training_control;

/* By the driving thread, before it drives.  A socket that cannot be made is said in a line, and the run goes on without.
 * NULL: STATUS_NOMEM. */
struct training_control *training_control_start(struct training_thread *thread, const struct training_job *job,
                                                struct error *err);

/* Around a rollback, by the driving thread: no event is lost with the lines that are cut, and each comes again at its step;
 * the steps up to `after_step` are made again as they were. */
enum status training_control_before_rollback(struct training_control *control, struct error *err);
enum status training_control_rolled_back(struct training_control *control, uint64_t after_step, struct error *err);

/* A run that is over, its last checkpoint too: answers who asked for it, refuses the rest.  `err` is what ended it, NULL where all is well. */
void training_control_finish(struct training_control *control, const struct error *err);

#endif
