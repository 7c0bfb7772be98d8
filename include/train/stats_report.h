/* SPDX-License-Identifier: MIT
 * train/stats_report.h - per-sphere statistics for people and programs: a table, and stats.json.
 */
#ifndef TRAIN_STATS_REPORT_H
#define TRAIN_STATS_REPORT_H

#include "base/buffer.h"
#include "base/status.h"
#include "formats/json.h"
#include "runtime/pool.h"
#include "runtime/sphere.h"

#include <stdbool.h>
#include <stddef.h>

/* Checkpoints of a session: sums, and of the last one that was saved. */
struct stats_saving {
    uint64_t saved, failed, bytes, last_bytes;
    double lost_s;  /* of training: copies, waiting, and writing that training waited for */
    double write_s, last_write_s, longest_write_s; /* of writing, beside the training or not */
    double session_s; /* so long the session has trained; 0: nobody told of saving */
};

/* A snapshot: all spheres and what they are part of. */
struct stats_report {
    char backend[16];
    int num_spheres, width;
    uint64_t step, tokens;
    double seconds;               /* since the team was made */
    uint64_t planned_bytes, peak_bytes; /* memory as planned; the most the process has had (mem_peak_bytes).  0: not known */
    double peak_gflops;           /* what the spheres could do at the best (ops/peak.h); 0: not known */
    struct stats_saving saving;
    struct sphere_stats *spheres; /* [num_spheres], owned */
    int num_workers;              /* threads of the pool that ran tasks; 0 where there is no pool */
    struct pool_stats pool;       /* all of them together, and what was created outside */
    struct pool_stats *workers;   /* [num_workers], owned */
};
void stats_report_release(struct stats_report *report);

/* Fills the last three from a pool; NULL is fine.  Threads that only took part in gangs are in the sum alone.
 * STATUS_NOMEM. */
enum status stats_report_add_pool(struct stats_report *report, const struct pool *pool, struct error *err);

/* Appends "3 checkpoints saved: 0.1 s of training lost (0.2 %), …". */
void stats_saving_text(const struct stats_saving *saving, struct buffer *out);

/* The table: whole, levels, groups; then every sphere when `all` or when there are at most 24; the pool. */
void stats_report_table(const struct stats_report *report, bool all, struct buffer *out);
json_t *stats_report_json(const struct stats_report *report); /* new reference */
enum status stats_report_read(const char *path, struct stats_report *out, struct error *err);

#endif
