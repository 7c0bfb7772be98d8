/* SPDX-License-Identifier: MIT
 * The watchdog's thread does all of it: who knows what the others still can do.  The sentence goes out first, by write
 * alone, since a thread that hangs may hold a lock of stdio's.
 */
#include "app/train_watch.h"

#include "app/command.h"
#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LAST_SECONDS = 120 };

static void say(const struct train_run *r, const char *text)
{
    char line[2048];
    const int n = snprintf(line, sizeof line, "%scllm train: %s\n", r->line.live ? "\r\033[K" : "", text);
    size_t left = n < (int)sizeof line ? (size_t)n : sizeof line - 1;
    for (const char *p = line; left > 0;) {
        const ssize_t wrote = write(STDERR_FILENO, p, left);
        if (wrote <= 0)
            break;
        p += wrote;
        left -= (size_t)wrote;
    }
}

static enum status record(struct train_run *r, const struct hang *hang, const char *text, struct error *err)
{
    json_t *more = json_pack("{s:s, s:i, s:s, s:i, s:f, s:b}", "text", text, "sphere", hang->sphere.id, "phase",
                             hang->sphere.phase, "cpu", hang->has_thread ? hang->thread.cpu : -1, "seconds",
                             hang->seconds, "saved", (int)hang->whole);
    enum status st = more ? metrics_write_event(r->metrics, hang->step, "hang", more, err)
                          : error_set(err, STATUS_NOMEM, "no memory to record it");
    json_decref(more);
    return st == STATUS_OK ? metrics_sync(r->metrics, err) : st;
}

static void bite(void *ctx, const struct hang *hang)
{
    struct train_run *r = ctx;
    struct error err = {0};
    struct buffer path = {0};
    char text[512], outcome[1400];
    alarm(LAST_SECONDS);
    hang_text(hang, text, sizeof text);
    say(r, text);
    enum status st = record(r, hang, text, &err);
    if (st == STATUS_OK && hang->whole) {
        saver_wait(r->saver);
        st = checkpoint_save(r->training, run_directory_path(r->run), r->settings_hash, r->extras, r->num_extras, &path,
                             &err);
    }
    if (st != STATUS_OK)
        snprintf(outcome, sizeof outcome, "step %" PRIu64 " could not be saved: %.900s", hang->step, err.text);
    else if (!hang->whole)
        snprintf(outcome, sizeof outcome,
                 "the weights are in the middle of an update and are not saved; --resume %.900s goes on from the newest "
                 "checkpoint there", run_directory_path(r->run));
    else
        snprintf(outcome, sizeof outcome, "the state of step %" PRIu64 " is saved as %.900s; --resume goes on from it",
                 hang->step, path.data ? path.data : "?");
    say(r, outcome);
    status_line_keys_off(&r->line);
    _exit(EXIT_CODE_FAILURE);
}

static void warn(void *ctx, const struct save_stall *stall)
{
    char text[300];
    save_stall_text(stall, text, sizeof text);
    say(ctx, text);
}

enum status train_watch_start(struct train_run *r, struct watchdog **out, struct error *err)
{
    *out = NULL;
    if (!(r->flags->watchdog_seconds > 0))
        return STATUS_OK;
    *out = watchdog_start(r->system, r->flags->watchdog_seconds, bite, r, err);
    if (*out)
        watchdog_watch_saver(*out, r->saver, warn);
    return *out ? STATUS_OK : err->status;
}
