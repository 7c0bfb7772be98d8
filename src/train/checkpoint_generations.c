/* SPDX-License-Identifier: MIT
 * What lies in RUN/checkpoints: which generations there are, which one `latest` names, which of them go.
 */
#include "base/file.h"
#include "base/memory.h"
#include "train/checkpoint_internal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "step-00000100" gives 100. */
static bool parse_name(const char *name, uint64_t *step)
{
    if (strncmp(name, "step-", 5) != 0)
        return false;
    size_t digits = strspn(name + 5, "0123456789");
    if (digits < 8 || digits > 18 || name[5 + digits] != 0)
        return false;
    *step = strtoull(name + 5, NULL, 10);
    return true;
}

/* "step-00000100.tmp-1234" or "latest.tmp-1234" gives 1234. */
static bool parse_temporary(const char *name, long *pid)
{
    const char *tmp = strstr(name, ".tmp-");
    if (!tmp || (strncmp(name, "step-", 5) != 0 && strncmp(name, "latest", 6) != 0 && strncmp(name, "best", 4) != 0))
        return false;
    char *end;
    *pid = strtol(tmp + 5, &end, 10);
    return *pid > 0 && *end == 0 && end != tmp + 5;
}

static DIR *open_directory(const char *path)
{
    DIR *dir;
    do
        dir = opendir(path);
    while (!dir && errno == EINTR);
    return dir;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps of the checkpoints there are, newest first; free *steps with mem_free. */
enum status checkpoint__list(const char *checkpoints, uint64_t **steps, size_t *n, struct error *err)
{
    *steps = NULL;
    *n = 0;
    DIR *dir = open_directory(checkpoints);
    if (!dir)
        return error_set(err, STATUS_IO, "cannot open directory %s: %s", checkpoints, strerror(errno));
    struct buffer found = {0};
    const struct dirent *entry;
    uint64_t step;
    while ((entry = readdir(dir)))
        if (parse_name(entry->d_name, &step))
            buffer_append(&found, &step, sizeof step);
    closedir(dir);
    if (found.len && !found.failed) {
        *steps = mem_alloc(found.len);
        if (*steps) {
            memcpy(*steps, found.data, found.len);
            *n = found.len / sizeof step;
            qsort(*steps, *n, sizeof step, newest_first);
        }
    }
    enum status st = found.failed || (found.len && !*steps)
                         ? error_set(err, STATUS_NOMEM, "out of memory for the list of %s", checkpoints)
                         : STATUS_OK;
    buffer_release(&found);
    return st;
}

void checkpoint__path(struct buffer *out, const char *checkpoints, uint64_t step)
{
    buffer_clear(out);
    buffer_printf(out, "%s/step-%08" PRIu64, checkpoints, step);
}

/* Temporaries of processes that are gone, and of our own earlier failures. */
void checkpoint__remove_stale(const char *checkpoints, bool all)
{
    DIR *dir = open_directory(checkpoints);
    if (!dir)
        return;
    struct buffer path = {0};
    const struct dirent *entry;
    long pid;
    while ((entry = readdir(dir)))
        if (parse_temporary(entry->d_name, &pid) &&
            (all || pid == getpid() || (kill((pid_t)pid, 0) != 0 && errno == ESRCH))) {
            path_join(&path, checkpoints, entry->d_name);
            file_remove_tree(checkpoint__text(&path), NULL); /* what stays is tried again by the next save */
        }
    closedir(dir);
    buffer_release(&path);
}

/* A copy of a run that followed links has a directory there, which nothing can be renamed over. */
static enum status take_away_directory(const char *latest, struct error *err)
{
    struct stat st;
    return lstat(latest, &st) == 0 && S_ISDIR(st.st_mode) ? file_remove_tree(latest, err) : STATUS_OK;
}

/* Makes the link `name` name this step's. */
static enum status point(const char *checkpoints, const char *name, uint64_t step, struct error *err)
{
    struct buffer tmp = {0}, latest = {0};
    char target[40];
    snprintf(target, sizeof target, "step-%08" PRIu64, step);
    buffer_printf(&tmp, "%s/%s.tmp-%ld", checkpoints, name, (long)getpid());
    path_join(&latest, checkpoints, name);
    enum status st;
    unlink(checkpoint__text(&tmp));
    if (symlink(target, checkpoint__text(&tmp)) != 0)
        st = error_set(err, STATUS_IO, "cannot make the link %s: %s", checkpoint__text(&tmp), strerror(errno));
    else if ((st = take_away_directory(checkpoint__text(&latest), err)) != STATUS_OK ||
             (st = file_rename(checkpoint__text(&tmp), checkpoint__text(&latest), err)) != STATUS_OK)
        unlink(checkpoint__text(&tmp));
    buffer_release(&tmp);
    buffer_release(&latest);
    return st;
}

enum status checkpoint__point_latest(const char *checkpoints, uint64_t step, struct error *err)
{
    return point(checkpoints, "latest", step, err);
}

/* One that cannot be read has no part in it: loading it would tell. */
static double val_loss_of(const char *checkpoints, uint64_t step)
{
    struct trainer_state *state = mem_alloc(sizeof *state);
    struct buffer directory = {0};
    struct error ignored;
    checkpoint__path(&directory, checkpoints, step);
    const bool good =
        state && checkpoint__read_trainer(checkpoint__text(&directory), state, &ignored) == STATUS_OK && state->step == step;
    const double loss = good ? state->val_loss : NAN;
    buffer_release(&directory);
    mem_free(state);
    return loss;
}

enum status checkpoint__point_best(const char *checkpoints, uint64_t step, uint64_t *best, struct error *err)
{
    uint64_t *steps;
    size_t n;
    double least = NAN;
    enum status st = checkpoint__list(checkpoints, &steps, &n, err);
    *best = UINT64_MAX;
    for (size_t i = n; i-- > 0 && steps[i] <= step;) { /* from the oldest on */
        const double loss = val_loss_of(checkpoints, steps[i]);
        if (isnan(loss) || loss >= least)
            continue;
        least = loss;
        *best = steps[i];
    }
    mem_free(steps);
    if (st == STATUS_OK && *best != UINT64_MAX)
        return point(checkpoints, "best", *best, err);
    struct buffer link = {0};
    path_join(&link, checkpoints, "best");
    if (st == STATUS_OK)
        st = take_away_directory(checkpoint__text(&link), err);
    if (st == STATUS_OK && unlink(checkpoint__text(&link)) != 0 && errno != ENOENT)
        st = error_set(err, STATUS_IO, "cannot remove the link %s: %s", checkpoint__text(&link), strerror(errno));
    buffer_release(&link);
    return st;
}

/* Under a temporary name, so that a half-removed one is never taken for a checkpoint. */
static enum status remove_generation(const char *checkpoints, uint64_t step, struct error *err)
{
    struct buffer from = {0}, to = {0};
    checkpoint__path(&from, checkpoints, step);
    buffer_printf(&to, "%s.tmp-%ld", checkpoint__text(&from), (long)getpid());
    enum status st = file_rename(checkpoint__text(&from), checkpoint__text(&to), err);
    if (st == STATUS_OK)
        st = file_remove_tree(checkpoint__text(&to), err);
    buffer_release(&from);
    buffer_release(&to);
    return st;
}

/* The next step's spike leads back to `margin` steps before it. */
struct checkpoint_kept checkpoint__kept(const struct training *t)
{
    const struct spike_settings *spikes = &t->settings.spikes;
    struct checkpoint_kept kept = {.step = t->step, .keep = t->settings.keep, .keep_every = t->settings.keep_every, .best = UINT64_MAX, .back_to = UINT64_MAX};
    if (spikes->policy == SPIKE_ROLLBACK)
        kept.back_to = t->step > spikes->margin ? t->step - spikes->margin : 0;
    return kept;
}

/* A checkpoint at a multiple of keep_every also counts as one of the newest while it is that.  Those of later steps are
 * damaged ones that a resume passed over: they say something about the disk and are replaced when the run gets there. */
enum status checkpoint__prune(const char *checkpoints, const struct checkpoint_kept *kept, struct error *err)
{
    uint64_t *steps;
    size_t n, later = 0, way_back = 0;
    enum status st = checkpoint__list(checkpoints, &steps, &n, err);
    while (later < n && steps[later] > kept->step)
        later++;
    while (way_back < n && steps[way_back] > kept->back_to)
        way_back++;
    for (size_t i = n; i-- > later && st == STATUS_OK;) {
        const bool for_good = kept->keep_every && steps[i] && steps[i] % kept->keep_every == 0;
        if (i - later < kept->keep || for_good || steps[i] == kept->best || (i == way_back && kept->back_to != UINT64_MAX))
            continue;
        st = remove_generation(checkpoints, steps[i], err);
    }
    mem_free(steps);
    return st;
}

enum status checkpoint__forget(const char *checkpoints, uint64_t loaded, uint64_t after, uint64_t last,
                               struct error *err)
{
    uint64_t *steps;
    size_t n;
    enum status st = checkpoint__list(checkpoints, &steps, &n, err);
    if (st == STATUS_OK)
        st = checkpoint__point_latest(checkpoints, loaded, err);
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        if (steps[i] > after && steps[i] <= last)
            st = remove_generation(checkpoints, steps[i], err);
    mem_free(steps);
    uint64_t best;
    return st == STATUS_OK ? checkpoint__point_best(checkpoints, loaded, &best, err) : st;
}
