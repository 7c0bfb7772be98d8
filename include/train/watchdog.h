/* SPDX-License-Identifier: MIT
 * train/watchdog.h - a thread that sees when a sphere hangs or dies, and says which and where (docs/watching.md).
 *
 * It looks at the team's heartbeat a few times a second.  A team is silent while a run is on and no member gives a sign of
 * life; the time counts only where the member that the others wait for was stopped, asleep, gone or at work: while it is
 * ready to run and other programs have its core it is robbed, not hung, and while it waits for pages from a disk it
 * gets on.  Of a time in which the watchdog itself was not run (a stopped process, a laptop that slept) two of its periods
 * are counted at most.
 *
 * The limit is the greater of `seconds` and ten times the longest silence seen so far; thirty times `seconds` until a
 * step is done, for nothing is known before.
 */
#ifndef TRAIN_WATCHDOG_H
#define TRAIN_WATCHDOG_H

#include "base/status.h"
#include "runtime/heartbeat.h"
#include "runtime/thread_state.h"

#include <stdbool.h>
#include <stdint.h>

struct saver;
struct threaded_training;

/* What was found. */
struct hang {
    uint64_t step;            /* whole steps done */
    bool whole;               /* the weights are those of that step, and stay so: they may be saved */
    bool sampling;            /* the sphere makes a sample (threaded_training_watch_also) */
    struct heartbeat sphere;
    bool has_thread;          /* `thread` is known: the thread is there */
    struct thread_state thread;
    double seconds;           /* of silence */
};

/* "sphere 3 hangs in \"attention\" on CPU 5: no sign of life for 21 s, its thread is stopped"; at most `size` bytes. */
void hang_text(const struct hang *hang, char *out, size_t size);

/* A checkpoint that does not get written. */
struct save_stall {
    uint64_t step;  /* whose state it is */
    bool has_thread;
    struct thread_state thread;
    double seconds; /* without a sign of life */
};

/* "the checkpoint of step 500 is not getting written: no sign of life for 20.3 s, its thread waits for a device". */
void save_stall_text(const struct save_stall *stall, char *out, size_t size);

/* ---- the rule, without a clock or threads ---- */

struct watchdog_rule {
    double seconds;
    uint64_t last_ns; /* of the last look; 0: none yet */
    bool running;
    uint64_t run, beats, step, first_step;
    uint64_t silent_ns, longest_ns;
    int tid;
    struct thread_state thread;
};

/* What one look saw. */
struct watchdog_look {
    uint64_t now_ns, step;
    struct team_pulse pulse;
    int tid;         /* of the laggard, 0: it has none */
    bool has_thread;
    struct thread_state thread;
};

struct watchdog_rule watchdog_rule_new(double seconds, uint64_t step);
uint64_t watchdog_rule_period_ns(const struct watchdog_rule *rule); /* between two looks */
bool watchdog_rule_look(struct watchdog_rule *rule, const struct watchdog_look *look); /* true: it hangs */

/* ---- the thread ---- */

struct watchdog;

/* Watches `system` until watchdog_stop.  On a hang `bite` is called, once, in the watchdog's thread; meanwhile the driving
 * thread is either held by the silent team or, where that goes on after all, by us: what it owns is `bite`'s to read, and
 * with hang->whole to save.  The usual end of `bite` is that of the process.  If it returns, the step is given up as if
 * cancelled, when and if the team comes back.  NULL with *err: no memory, no thread. */
struct watchdog *watchdog_start(struct threaded_training *system, double seconds,
                                void (*bite)(void *ctx, const struct hang *hang), void *ctx, struct error *err);

/* Looks at the saver's writing too, until watchdog_stop: where it stands still for the limit `warn` is called in the watchdog's
 * thread, once a save.  Nothing ends by that: a disk may come back. */
void watchdog_watch_saver(struct watchdog *watchdog, struct saver *saver,
                          void (*warn)(void *ctx, const struct save_stall *stall));
void watchdog_stop(struct watchdog *watchdog); /* NULL is fine; not while `system` hangs and bite has returned */

#endif
