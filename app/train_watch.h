/* SPDX-License-Identifier: MIT
 * app/train_watch.h - what `cllm train` does when its spheres hang: says so, saves, ends.
 */
#ifndef APP_TRAIN_WATCH_H
#define APP_TRAIN_WATCH_H

#include "app/train_run.h"
#include "train/watchdog.h"

/* Watches r's training until watchdog_stop; *out is NULL where --watchdog 0 says so.  A hang ends the process with exit
 * code 1, after a sentence that names the sphere, an event in metrics.jsonl and, where the weights are whole, a
 * checkpoint of the last step; in no case later than two minutes after the sentence (then by SIGALRM). */
enum status train_watch_start(struct train_run *r, struct watchdog **out, struct error *err);

#endif
