/* SPDX-License-Identifier: MIT
 * train/run_events.h - the events of a run that reach its weights, so that resuming and replaying give the same bits.
 *
 * Such an event is a line of metrics.jsonl, synced before it takes effect:
 *
 *     {"step": N, "event": "lr", "factor": F}        from step N+1 on the schedule's rate times F
 *
 * with a key "rollbacks" where the run had been rolled back so often before: what came after a rollback is not in force before it.
 *
 * Steps that a run skips or takes back because they spike are none: what is done about them is a function of the run's
 * history (train/spike.h), so a resumed or replayed run decides by itself.
 *
 * Resuming cuts the lines behind the checkpoint's step out of metrics.jsonl.  The events among them go to
 * RUN/replay.jsonl first, and are applied again when their step comes; so are those of another run in a replay.  An event
 * that was applied again stands in metrics.jsonl as it did; replay.jsonl goes when all have been.  Whatever is lost in
 * between, the two files together have them all (run_events_merge).
 *
 * Another kind of event is a row of the table in run_events.c and a case where events are applied.  Any thread, on
 * distinct lists.
 */
#ifndef TRAIN_RUN_EVENTS_H
#define TRAIN_RUN_EVENTS_H

#include "base/buffer.h"
#include "base/status.h"
#include "train/metrics.h"

#include <stddef.h>
#include <stdint.h>

enum run_event_kind { RUN_EVENT_LR };

/* The greatest factor of the rate; the least is 0. */
#define RUN_EVENT_MAX_FACTOR 1e6

struct run_event {
    uint64_t step; /* done when it came: it is in force from the next one on */
    enum run_event_kind kind;
    double factor; /* lr: 0 … RUN_EVENT_MAX_FACTOR */
    uint64_t rollbacks; /* that the run had had: it is in force from that many on (train/rollback.h) */
};

/* In the order of their steps; those of one step in the order in which they came. */
struct run_events {
    struct run_event *items;
    size_t n, room;
    size_t num_damaged; /* lines of the file that are none of ours, and could have been an event */
    char damage[256];   /* the first of them, a sentence */
};

/* "lr 0.5 from step 101" for people; appends. */
void run_event_text(const struct run_event *event, struct buffer *out);

/* STATUS_NOMEM. */
enum status run_events_add(struct run_events *events, const struct run_event *event, struct error *err);
void run_events_release(struct run_events *events); /* fine on a zeroed one */

/* The events in the bytes of a metrics.jsonl or replay.jsonl; `where` stands for the file.  A torn last line is no event
 * (it was not in force).  STATUS_FORMAT for an event without what it needs, STATUS_NOMEM. */
enum status run_events_parse(const char *bytes, size_t n, const char *where, struct run_events *out, struct error *err);
enum status run_events_read(const char *path, struct run_events *out, struct error *err); /* absent: empty */

/* Those in metrics.jsonl and those that waited in replay.jsonl, each once.  Of one step the metrics may have those that
 * were applied again so far, the first ones that waited, or all of them and others that came after.  STATUS_NOMEM. */
enum status run_events_merge(const struct run_events *metrics, const struct run_events *waiting, struct run_events *out,
                             struct error *err);

/* Writes the line of the event and syncs it: from now on it takes effect.  Where the disk has no room for it just then it
 * waits in its place before all later lines, and no checkpoint is saved without it (metrics.h).  STATUS_IO, STATUS_NOMEM:
 * nothing was recorded, and nothing may take effect; STATUS_SYSTEM: the record may be damaged, the run must end. */
enum status run_event_record(struct metrics *metrics, const struct run_event *event, struct error *err);

/* What a training of RUN that stands at `step`, after so many rollbacks, has to do: at once, without a new line (*now), and when the step comes,
 * with one (*waiting).  Before metrics_open cuts RUN/metrics.jsonl: leaves *waiting in RUN/replay.jsonl.  `warning` gets a
 * sentence and a newline where lines are damaged.  The lists are the caller's, to be released also after a failure. */
enum status run_events_resume(const char *run, uint64_t step, uint64_t rollbacks, struct run_events *now, struct run_events *waiting,
                              struct buffer *warning, struct error *err);

/* Before a rollback cuts RUN/metrics.jsonl: all of its events and those that wait are in RUN/replay.jsonl.  Afterwards
 * run_events_resume tells what to do.  STATUS_IO, STATUS_FORMAT, STATUS_NOMEM. */
enum status run_events_keep(const char *run, struct error *err);

/* All events of the run `of` as those that wait in the new run directory `run`.  STATUS_FORMAT where lines are damaged:
 * then it is not known what they held. */
enum status run_events_replay(const char *of, const char *run, struct run_events *waiting, struct error *err);

/* All that waited have been recorded again: RUN/replay.jsonl goes. */
enum status run_events_done(const char *run, struct error *err);

#endif
