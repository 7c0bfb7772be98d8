/* SPDX-License-Identifier: MIT
 * app/stats_watch.h - the statistics of a run on the terminal, drawn anew each second.
 */
#ifndef APP_STATS_WATCH_H
#define APP_STATS_WATCH_H

#include <stdbool.h>

/* Until the run ends or a signal comes; stdout is a terminal.  Only reads the run.  Gives the exit code of the process, having
 * said what went wrong. */
int stats_watch(const char *run, bool all);

#endif
