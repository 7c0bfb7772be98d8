/* SPDX-License-Identifier: MIT */
#include "train/run_view.h"

#include "base/file.h"
#include "base/memory.h"
#include "train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_JSON_BYTES = 1 << 20 };

bool run_is_training(const char *path)
{
    struct buffer lock = {0};
    struct stat st;
    const bool there = path_join(&lock, path, "lock")[0] && stat(lock.data, &st) == 0;
    buffer_release(&lock);
    FILE *locks = there ? fopen("/proc/locks", "re") : NULL;
    if (!locks)
        return false;
    char line[256];
    bool held = false;
    while (!held && fgets(line, sizeof line, locks)) {
        unsigned long long inode = 0;
        held = strstr(line, " FLOCK ") && sscanf(line, "%*s %*s %*s WRITE %*s %*[^:]:%*[^:]:%llu", &inode) == 1 &&
               inode == (unsigned long long)st.st_ino;
    }
    fclose(locks);
    return held;
}

static int by_step(const void *a, const void *b)
{
    const uint64_t x = ((const struct run_checkpoint *)a)->step, y = ((const struct run_checkpoint *)b)->step;
    return (x > y) - (x < y);
}

/* False when memory ran out. */
static bool read_checkpoints(struct run_view *view)
{
    struct buffer all = {0}, path = {0};
    DIR *dir = opendir(path_join(&all, view->path, "checkpoints"));
    bool ok = !all.failed;
    size_t room = 0;
    for (const struct dirent *e; dir && ok && (e = readdir(dir));) {
        const char *digits = e->d_name + 5;
        const size_t n = strncmp(e->d_name, "step-", 5) == 0 ? strspn(digits, "0123456789") : 0;
        if (n == 0 || n > 18 || digits[n])
            continue; /* a temporary directory, `latest` */
        if (view->num_checkpoints == room) {
            room = room ? room * 2 : 16;
            struct run_checkpoint *grown = mem_realloc(view->checkpoints, room * sizeof *grown);
            if (!grown) {
                ok = false;
                break;
            }
            view->checkpoints = grown;
        }
        view->checkpoints[view->num_checkpoints++] = (struct run_checkpoint){
            .step = strtoull(digits, NULL, 10), .size_bytes = checkpoint_size_bytes(path_join(&path, all.data, e->d_name))};
    }
    if (dir)
        closedir(dir);
    if (view->num_checkpoints)
        qsort(view->checkpoints, view->num_checkpoints, sizeof *view->checkpoints, by_step);
    buffer_release(&all);
    buffer_release(&path);
    return ok;
}

static enum status read_parts(struct run_view *view, struct error *err)
{
    struct buffer path = {0};
    struct error why = {0};
    view->info = json_read_file(path_join(&path, view->path, "run.json"), MAX_JSON_BYTES, &why);
    if (!view->info)
        buffer_printf(&view->notices, "The settings are not shown: %s\n", why.text);
    if (!file_exists(path_join(&path, view->path, "stats.json")))
        buffer_append_text(&view->notices, "There is no stats.json yet: it comes with the first seconds of training.\n");
    else if (stats_report_read(path.data, &view->stats, &why) == STATUS_OK)
        view->has_stats = true;
    else
        buffer_printf(&view->notices, "The spheres are not shown: %s\n", why.text);
    enum status st = metrics_log_read(path_join(&path, view->path, "metrics.jsonl"), &view->log, &why);
    if (st == STATUS_NOMEM)
        error_set(err, st, "%s", why.text);
    else if (st != STATUS_OK)
        buffer_printf(&view->notices, "The metrics are not shown: %s\n", why.text);
    buffer_release(&path);
    const struct metrics_log *log = &view->log;
    if (log->damage.len)
        buffer_append(&view->notices, log->damage.data, log->damage.len);
    if (log->num_damaged > 1)
        buffer_printf(&view->notices, "%zu lines of the metrics are damaged and left out.\n", log->num_damaged);
    if (log->torn)
        buffer_append_text(&view->notices, "The last line of the metrics has no end yet and is left out.\n");
    return st == STATUS_NOMEM ? st : STATUS_OK;
}

enum status run_view_read(const char *path, struct run_view *out, struct error *err)
{
    struct buffer info = {0};
    *out = (struct run_view){0};
    const bool is_run = file_is_directory(path) && file_exists(path_join(&info, path, "run.json"));
    buffer_release(&info);
    if (!is_run)
        return error_set(err, STATUS_IO, "%s is no run directory: there is no run.json in it", path);
    out->path = mem_strdup(path);
    enum status st = out->path ? read_parts(out, err) : STATUS_NOMEM;
    if (st == STATUS_OK) {
        out->running = run_is_training(path);
        if (!read_checkpoints(out) || out->notices.failed)
            st = STATUS_NOMEM;
    }
    if (st != STATUS_OK)
        run_view_release(out);
    return st == STATUS_NOMEM ? error_set(err, st, "no memory for what %s holds", path) : st;
}

void run_view_release(struct run_view *view)
{
    json_decref(view->info);
    metrics_log_release(&view->log);
    if (view->has_stats)
        stats_report_release(&view->stats);
    mem_free(view->path);
    mem_free(view->checkpoints);
    buffer_release(&view->notices);
    *view = (struct run_view){0};
}
