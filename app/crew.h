/* SPDX-License-Identifier: MIT
 * app/crew.h - what a command works with: one set of threads, and the word that tells it to stop.
 *
 * A command makes one crew.  With the pthread back end its pool runs everything: tokenizing as tasks, training,
 * evaluating and sampling as gangs.  The pool has as many workers for tasks as spheres were asked for, but not more than
 * there are cores, and threads for gangs up to the number of spheres.  OpenMP brings its own threads and serial none:
 * then there is no pool, and what would be tasks is done by the caller.
 */
#ifndef APP_CREW_H
#define APP_CREW_H

#include "base/status.h"
#include "runtime/cancel.h"
#include "runtime/pool.h"
#include "runtime/team.h"

struct crew {
    int threads; /* spheres, 0 = auto */
    enum team_backend backend;
    struct pool *pool;           /* NULL unless TEAM_PTHREAD */
    const struct cancel *cancel; /* NULL = nobody stops it; the command's to set */
};

/* Fills *crew, but for `cancel`, and starts its threads.  STATUS_CONFIG for a number of threads that cannot be,
 * STATUS_NOMEM, STATUS_SYSTEM when the system refuses threads; *crew can be released then too. */
enum status crew_start(struct crew *crew, int threads, enum team_backend backend, struct error *err);
void crew_release(struct crew *crew); /* joins them; fine on a zeroed struct */

#endif
