/* SPDX-License-Identifier: MIT
 * runtime/cancel.h - one word that tells a long operation to stop.
 *
 * A token is handed to everything that may take long; who wants it stopped requests it, or gives it a deadline.  A
 * child is cancelled with its parent and by itself, never the other way round: a server has a token, each request a
 * child of it with a deadline.  Once cancelled a token stays so, with the first reason.
 *
 * Any thread may call anything here at any time; cancel_check is one load (two, and the clock, with a deadline), takes
 * no lock and never waits.  cancel_request and cancel_set_timeout lock the token's tree, so they are not for signal
 * handlers: a thread that waits for signals calls them.  A NULL token is one that nobody cancels.
 */
#ifndef RUNTIME_CANCEL_H
#define RUNTIME_CANCEL_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct cancel;
struct sphere;

enum { CANCEL_REASON_BYTES = 96 };
#define WAIT_FOREVER UINT64_MAX /* as a timeout_ns */

/* A token below `parent` (NULL: one of its own), cancelled already if the parent is, with the parent's deadline until
 * it gets a nearer one.  NULL with STATUS_NOMEM. */
struct cancel *cancel_new(struct cancel *parent, struct error *err);

/* Gives the token up; its children live on and still hear of the parents above it.  NULL is fine.  STATUS_MISUSE, and
 * the token is as before, while a thread waits on it. */
enum status cancel_free(struct cancel *cancel);

/* Cancels the token and all below it and wakes who waits on them.  `reason` is copied, cut to CANCEL_REASON_BYTES - 1
 * bytes.  False when it was cancelled before, whose reason then stays. */
bool cancel_request(struct cancel *cancel, const char *reason);

/* Cancels the token and all below it `timeout_ns` from now.  A deadline only ever comes nearer; a later one is
 * ignored. */
void cancel_set_timeout(struct cancel *cancel, uint64_t timeout_ns);

/* STATUS_OK, or STATUS_CANCELLED from the request or the deadline on.  What the requester wrote before is then seen. */
enum status cancel_check(const struct cancel *cancel);

/* Whether it is cancelled, for layers that are handed a function: `cancel` is a struct cancel. */
bool cancel_wanted(const void *cancel);

/* The same, and *err says "cancelled: reason". */
enum status cancel_error(const struct cancel *cancel, struct error *err);

/* Why: the reason given, "the deadline has passed", or "" while not cancelled.  Borrowed until cancel_free. */
const char *cancel_reason(const struct cancel *cancel);

/* Sleeps until the token is cancelled: STATUS_CANCELLED; or STATUS_TIMEOUT. */
enum status cancel_wait(struct cancel *cancel, uint64_t timeout_ns);

/* A team function: a barrier at which all members get the same answer, whoever of them saw the cancellation first.
 * STATUS_CANCELLED is then the verdict of the run. */
enum status cancel_check_team(struct sphere *me, const struct cancel *cancel);

#endif
