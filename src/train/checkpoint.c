/* SPDX-License-Identifier: MIT
 * The order of operations is the whole idea.  A directory named step-N exists only after everything in it, manifest
 * included, was written and synced; `latest` moves only after that; old ones go only after `latest` has moved, and
 * under a temporary name, so that a half-removed one is never taken for a checkpoint.  What a dead process left
 * under a temporary name is removed by the next save.  Orders that fail: "All file systems are not created equal"
 * (Pillai et al., OSDI 2014).
 */
#include "train/checkpoint.h"

#include "base/file.h"
#include "base/human.h"
#include "base/memory.h"
#include "formats/json.h"
#include "train/training_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { FORMAT = 1, MAX_FILES = 64, MAX_NAME = 96, MAX_JSON_BYTES = 1 << 20 };

static const char state_file[] = "training_state.safetensors";
static const char trainer_file[] = "trainer_state.json";
static const char manifest_file[] = "manifest.json";
static const char *const wanted_files[] = {"config.json", "model.safetensors", state_file, trainer_file};

/* A path; "" when memory ran out while it was made, which no file has. */
static const char *text_of(const struct buffer *buffer)
{
    return buffer->data && !buffer->failed ? buffer->data : "";
}

/* ---- the manifest ---- */

struct file_entry {
    char name[MAX_NAME];
    uint64_t size_bytes;
    uint32_t crc32;
};

struct manifest {
    struct file_entry files[MAX_FILES];
    size_t num_files;
    bool overflow; /* more files, or a longer name, than there is room for */
};

static void note_file(void *ctx, const char *name, uint64_t size_bytes, uint32_t crc)
{
    struct manifest *m = ctx;
    if (m->num_files == MAX_FILES || strlen(name) >= MAX_NAME) {
        m->overflow = true;
        return;
    }
    struct file_entry *f = &m->files[m->num_files++];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->size_bytes = size_bytes;
    f->crc32 = crc;
}

/* A plain file name: it cannot lead out of its directory, nor be ours by accident. */
static bool name_is_plain(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= MAX_NAME || name[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

static enum status write_json(json_t *object, const char *directory, const char *name, struct manifest *m,
                              struct error *err)
{
    struct buffer text = {0}, path = {0};
    enum status st =
        object ? json_write(object, true, &text, err) : error_set(err, STATUS_NOMEM, "out of memory for %s", name);
    if (st == STATUS_OK) {
        path_join(&path, directory, name);
        struct file_writer *writer = file_writer_open(text_of(&path), err);
        if (writer) {
            uint64_t size;
            uint32_t crc;
            file_writer_write(writer, text.data, text.len);
            st = file_writer_close(writer, true, &size, &crc, err);
            if (st == STATUS_OK && m)
                note_file(m, name, size, crc);
        } else {
            st = STATUS_IO;
        }
    }
    buffer_release(&text);
    buffer_release(&path);
    json_decref(object);
    return st;
}

static json_t *manifest_json(const struct manifest *m, uint64_t step)
{
    json_t *files = json_array();
    for (size_t i = 0; i < m->num_files; i++) {
        char crc[16];
        snprintf(crc, sizeof crc, "%08" PRIx32, m->files[i].crc32);
        json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", m->files[i].name, "size_bytes",
                                               (json_int_t)m->files[i].size_bytes, "crc32", crc));
    }
    return json_pack("{s:i, s:I, s:o}", "format", (int)FORMAT, "step", (json_int_t)step, "files", files);
}

static enum status read_crc(const json_t *object, const char *key, uint32_t *out, const char *where, struct error *err)
{
    const char *text = "";
    enum status st = json_get_text(object, key, true, &text, where, err);
    if (st != STATUS_OK)
        return st;
    if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" must be eight hexadecimal digits", where, key);
    *out = (uint32_t)strtoul(text, NULL, 16);
    return STATUS_OK;
}

static enum status verify_file(const char *directory, const json_t *entry, const char *where, struct error *err)
{
    const char *name = "";
    uint64_t want_size = 0, size;
    uint32_t want_crc = 0, crc;
    enum status st = json_get_text(entry, "name", true, &name, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(entry, "size_bytes", true, INT64_MAX, &want_size, where, err);
    if (st == STATUS_OK)
        st = read_crc(entry, "crc32", &want_crc, where, err);
    if (st != STATUS_OK)
        return st;
    if (!name_is_plain(name))
        return error_set(err, STATUS_FORMAT, "%s: a file name is not a plain one", where);
    struct buffer path = {0};
    path_join(&path, directory, name);
    st = file_crc32(text_of(&path), &size, &crc, err);
    if (st == STATUS_OK && size != want_size)
        st = error_set(err, STATUS_FORMAT, "%s is %" PRIu64 " bytes long, the manifest says %" PRIu64, text_of(&path),
                       size, want_size);
    if (st == STATUS_OK && crc != want_crc)
        st = error_set(err, STATUS_FORMAT, "%s has checksum %08" PRIx32 ", the manifest says %08" PRIx32,
                       text_of(&path), crc, want_crc);
    buffer_release(&path);
    return st;
}

static bool listed(const json_t *files, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach(files, i, entry)
    {
        const char *text = json_string_value(json_object_get(entry, "name"));
        if (text && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

/* Every file of the directory is what the manifest says, and those we need are among them. */
static enum status verify(const char *directory, uint64_t step, struct error *err)
{
    struct buffer path = {0};
    path_join(&path, directory, manifest_file);
    struct error mine = {0};
    if (!err)
        err = &mine;
    json_t *manifest = json_read_file(text_of(&path), MAX_JSON_BYTES, err);
    enum status st = manifest ? STATUS_OK : err->status;
    uint64_t format = 0, stored_step = 0;
    if (st == STATUS_OK)
        st = json_get_u64(manifest, "format", true, INT64_MAX, &format, text_of(&path), err);
    if (st == STATUS_OK && format != FORMAT)
        st = error_set(err, STATUS_FORMAT, "%s: \"format\" is %" PRIu64 ", this program reads %d", text_of(&path),
                       format, (int)FORMAT);
    if (st == STATUS_OK)
        st = json_get_u64(manifest, "step", true, INT64_MAX, &stored_step, text_of(&path), err);
    if (st == STATUS_OK && stored_step != step)
        st = error_set(err, STATUS_FORMAT, "%s: \"step\" is %" PRIu64 ", the directory says %" PRIu64, text_of(&path),
                       stored_step, step);
    const json_t *files = json_object_get(manifest, "files");
    if (st == STATUS_OK && (!json_is_array(files) || json_array_size(files) > MAX_FILES))
        st = error_set(err, STATUS_FORMAT, "%s: \"files\" must be an array of at most %d", text_of(&path),
                       (int)MAX_FILES);
    for (size_t i = 0; i < sizeof wanted_files / sizeof *wanted_files && st == STATUS_OK; i++)
        if (!listed(files, wanted_files[i]))
            st = error_set(err, STATUS_FORMAT, "%s: %s is not listed", text_of(&path), wanted_files[i]);
    for (size_t i = 0; st == STATUS_OK && i < json_array_size(files); i++)
        st = verify_file(directory, json_array_get(files, i), text_of(&path), err);
    json_decref(manifest);
    buffer_release(&path);
    return st;
}

/* ---- trainer_state.json ---- */

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *trainer_json(const struct training *t, uint32_t settings_hash)
{
    char hash[16];
    snprintf(hash, sizeof hash, "%08" PRIx32, settings_hash);
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o, s:o}", "format", (int)FORMAT, "step",
                     (json_int_t)t->step, "tokens", (json_int_t)t->tokens, "epoch", (json_int_t)t->epoch, "sample",
                     (json_int_t)t->sample, "seed", (json_int_t)t->settings.seed, "optimizer",
                     t->room.optimizer->name, "settings_hash", hash, "loss", number_or_null(t->last_loss), "grad_norm", number_or_null(t->last_grad_norm), "lr",
                     number_or_null(t->last_lr));
}

struct trainer_state {
    uint64_t step, tokens, epoch, sample;
    enum optimizer_kind optimizer;
    uint32_t settings_hash;
    double loss, grad_norm, lr;
};

static enum status read_number_or_null(const json_t *object, const char *key, double *out, const char *where,
                                       struct error *err)
{
    *out = NAN;
    if (json_is_null(json_object_get(object, key)))
        return STATUS_OK;
    return json_get_double(object, key, true, out, where, err);
}

static enum status read_trainer(const char *directory, struct trainer_state *out, struct error *err)
{
    struct buffer path = {0};
    const char *where = path_join(&path, directory, trainer_file);
    *out = (struct trainer_state){0};
    json_t *object = json_read_file(where, MAX_JSON_BYTES, err);
    enum status st = object ? STATUS_OK : err->status;
    if (st == STATUS_OK)
        st = json_get_u64(object, "step", true, INT64_MAX, &out->step, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "tokens", true, INT64_MAX, &out->tokens, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "epoch", true, INT64_MAX, &out->epoch, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "sample", true, INT64_MAX, &out->sample, where, err);
    const char *optimizer = "adamw"; /* where a checkpoint of before does not say */
    if (st == STATUS_OK)
        st = json_get_text(object, "optimizer", false, &optimizer, where, err);
    if (st == STATUS_OK && (st = optimizer_parse(optimizer, &out->optimizer, err)) != STATUS_OK)
        error_prefix(err, "%s", where);
    if (st == STATUS_OK)
        st = read_crc(object, "settings_hash", &out->settings_hash, where, err);
    if (st == STATUS_OK)
        st = read_number_or_null(object, "loss", &out->loss, where, err);
    if (st == STATUS_OK)
        st = read_number_or_null(object, "grad_norm", &out->grad_norm, where, err);
    if (st == STATUS_OK)
        st = read_number_or_null(object, "lr", &out->lr, where, err);
    json_decref(object);
    buffer_release(&path);
    return st;
}

/* ---- what lies in RUN/checkpoints ---- */

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
    if (!tmp || (strncmp(name, "step-", 5) != 0 && strncmp(name, "latest", 6) != 0))
        return false;
    char *end;
    *pid = strtol(tmp + 5, &end, 10);
    return *pid > 0 && *end == 0 && end != tmp + 5;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Steps of the checkpoints there are, newest first; free *steps with mem_free. */
static enum status list_steps(const char *checkpoints, uint64_t **steps, size_t *n, struct error *err)
{
    *steps = NULL;
    *n = 0;
    DIR *dir = opendir(checkpoints);
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

static void step_path(struct buffer *out, const char *checkpoints, uint64_t step)
{
    buffer_clear(out);
    buffer_printf(out, "%s/step-%08" PRIu64, checkpoints, step);
}

/* Temporaries of processes that are gone, and of our own earlier failures. */
static void remove_stale(const char *checkpoints)
{
    DIR *dir = opendir(checkpoints);
    if (!dir)
        return;
    struct buffer path = {0};
    const struct dirent *entry;
    long pid;
    while ((entry = readdir(dir)))
        if (parse_temporary(entry->d_name, &pid) && (pid == getpid() || (kill((pid_t)pid, 0) != 0 && errno == ESRCH))) {
            path_join(&path, checkpoints, entry->d_name);
            file_remove_tree(text_of(&path), NULL); /* what stays is tried again by the next save */
        }
    closedir(dir);
    buffer_release(&path);
}

/* ---- saving ---- */

static enum status check_space(const struct training *t, const char *checkpoints, const struct checkpoint_extra *extras,
                               size_t num_extras, struct error *err)
{
    uint64_t need = t->memory.checkpoint_bytes, have;
    for (size_t i = 0; i < num_extras; i++)
        need += extras[i].size_bytes;
    enum status st = file_free_space(checkpoints, &have, err);
    if (st == STATUS_OK && have < need) {
        struct human a, b;
        st = error_set(err, STATUS_IO,
                       "the checkpoint of step %" PRIu64 " needs %s on the disk of %s, where %s are free", t->step,
                       human_bytes(&a, need), checkpoints, human_bytes(&b, have));
    }
    return st;
}

static enum status write_extra(const char *directory, const struct checkpoint_extra *extra, struct manifest *m,
                               struct error *err)
{
    struct buffer path = {0};
    path_join(&path, directory, extra->name);
    struct file_writer *writer = file_writer_open(text_of(&path), err);
    enum status st = STATUS_IO;
    if (writer) {
        uint64_t size;
        uint32_t crc;
        file_writer_write(writer, extra->data, extra->size_bytes);
        st = file_writer_close(writer, true, &size, &crc, err);
        if (st == STATUS_OK)
            note_file(m, extra->name, size, crc);
    }
    buffer_release(&path);
    return st;
}

/* All files, the manifest last. */
static enum status write_files(const struct training *t, const char *directory, uint32_t settings_hash,
                               const struct checkpoint_extra *extras, size_t num_extras, struct error *err)
{
    struct manifest *m = mem_calloc(1, sizeof *m);
    if (!m)
        return error_set(err, STATUS_NOMEM, "out of memory for %s", manifest_file);
    enum status st = model_save(t->model, directory, note_file, m, err);
    for (size_t i = 0; i < num_extras && st == STATUS_OK; i++)
        st = write_extra(directory, &extras[i], m, err);
    if (st == STATUS_OK) {
        struct buffer path = {0};
        uint64_t size;
        uint32_t crc;
        path_join(&path, directory, state_file);
        st = optimizer__save(t, text_of(&path), &size, &crc, err);
        if (st == STATUS_OK)
            note_file(m, state_file, size, crc);
        buffer_release(&path);
    }
    if (st == STATUS_OK)
        st = write_json(trainer_json(t, settings_hash), directory, trainer_file, m, err);
    if (st == STATUS_OK && m->overflow)
        st = error_set(err, STATUS_MISUSE, "%s: more than %d files, or a name over %d bytes", directory, (int)MAX_FILES,
                       (int)MAX_NAME - 1);
    if (st == STATUS_OK)
        st = write_json(manifest_json(m, t->step), directory, manifest_file, NULL, err);
    mem_free(m);
    return st;
}

static enum status point_latest(const char *checkpoints, uint64_t step, struct error *err)
{
    struct buffer tmp = {0}, latest = {0};
    char target[40];
    snprintf(target, sizeof target, "step-%08" PRIu64, step);
    buffer_printf(&tmp, "%s/latest.tmp-%ld", checkpoints, (long)getpid());
    path_join(&latest, checkpoints, "latest");
    enum status st;
    unlink(text_of(&tmp));
    if (symlink(target, text_of(&tmp)) != 0)
        st = error_set(err, STATUS_IO, "cannot make the link %s: %s", text_of(&tmp), strerror(errno));
    else if ((st = file_rename(text_of(&tmp), text_of(&latest), err)) != STATUS_OK)
        unlink(text_of(&tmp));
    buffer_release(&tmp);
    buffer_release(&latest);
    return st;
}

/* Of those up to `step`, all but the newest `keep` go.  Later ones are damaged ones that a resume passed over; they
 * say something about the disk and are replaced when the run gets there. */
static enum status prune(const char *checkpoints, uint64_t step, uint64_t keep, struct error *err)
{
    uint64_t *steps, kept = 0;
    size_t n;
    enum status st = list_steps(checkpoints, &steps, &n, err);
    struct buffer from = {0}, to = {0};
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        if (steps[i] > step || kept++ < keep)
            continue;
        step_path(&from, checkpoints, steps[i]);
        buffer_clear(&to);
        buffer_printf(&to, "%s.tmp-%ld", text_of(&from), (long)getpid());
        st = file_rename(text_of(&from), text_of(&to), err);
        if (st == STATUS_OK)
            st = file_remove_tree(text_of(&to), err);
    }
    buffer_release(&from);
    buffer_release(&to);
    mem_free(steps);
    return st;
}

/* The directory is there already, whole, and of this very run: then it holds what would be written again. */
static bool saved_already(const char *directory, uint64_t step, uint32_t settings_hash)
{
    struct trainer_state state;
    struct error ignored;
    return file_is_directory(directory) && verify(directory, step, &ignored) == STATUS_OK &&
           read_trainer(directory, &state, &ignored) == STATUS_OK && state.settings_hash == settings_hash;
}

static enum status write_checkpoint(const struct training *t, const char *checkpoints, const char *final,
                                    uint32_t settings_hash, const struct checkpoint_extra *extras, size_t num_extras,
                                    struct error *err)
{
    enum status st = check_space(t, checkpoints, extras, num_extras, err);
    if (st != STATUS_OK)
        return st;
    struct buffer tmp = {0};
    buffer_printf(&tmp, "%s.tmp-%ld", final, (long)getpid());
    st = file_make_directory(text_of(&tmp), err);
    if (st == STATUS_OK) {
        st = write_files(t, text_of(&tmp), settings_hash, extras, num_extras, err);
        if (st == STATUS_OK)
            st = file_sync_directory(text_of(&tmp), err);
        if (st == STATUS_OK)
            st = file_remove_tree(final, err); /* a damaged one of this step, or nothing */
        if (st == STATUS_OK)
            st = file_rename(text_of(&tmp), final, err);
        if (st != STATUS_OK)
            file_remove_tree(text_of(&tmp), NULL);
    }
    buffer_release(&tmp);
    return st;
}

enum status checkpoint_save(struct training *t, const char *run_directory, uint32_t settings_hash,
                            const struct checkpoint_extra *extras, size_t num_extras, struct buffer *path,
                            struct error *err)
{
    for (size_t i = 0; i < num_extras; i++)
        if (!name_is_plain(extras[i].name))
            return error_set(err, STATUS_MISUSE, "\"%s\" is not a plain file name", extras[i].name);
    struct buffer checkpoints = {0}, final = {0};
    path_join(&checkpoints, run_directory, "checkpoints");
    step_path(&final, text_of(&checkpoints), t->step);
    enum status st = STATUS_OK;
    if (!file_is_directory(text_of(&checkpoints)))
        st = file_make_directory(text_of(&checkpoints), err);
    if (st == STATUS_OK) {
        remove_stale(text_of(&checkpoints));
        if (!saved_already(text_of(&final), t->step, settings_hash))
            st = write_checkpoint(t, text_of(&checkpoints), text_of(&final), settings_hash, extras, num_extras, err);
    }
    if (st == STATUS_OK)
        st = point_latest(text_of(&checkpoints), t->step, err);
    if (st == STATUS_OK)
        st = prune(text_of(&checkpoints), t->step, t->settings.keep, err);
    if (st == STATUS_OK && path)
        buffer_append_text(path, text_of(&final));
    buffer_release(&checkpoints);
    buffer_release(&final);
    return st;
}

/* ---- loading ---- */

static enum status load(struct training *t, const char *directory, uint32_t settings_hash, struct error *err)
{
    struct trainer_state state;
    enum status st = read_trainer(directory, &state, err);
    if (st != STATUS_OK)
        return st;
    if (state.optimizer != t->settings.optimizer)
        return error_set(err, STATUS_CONFIG, "%s was made with the optimizer %s, and %s cannot go on from its state",
                         directory, optimizer_name(state.optimizer), optimizer_name(t->settings.optimizer));
    if (state.settings_hash != settings_hash)
        return error_set(err, STATUS_CONFIG,
                         "%s was made with other settings, data or tokenizer (settings hash %08" PRIx32
                         ", now %08" PRIx32 ")",
                         directory, state.settings_hash, settings_hash);
    struct model_run weights[] = {{"", model_data(t->model)}};
    struct buffer path = {0};
    st = model_load_runs(t->model, path_join(&path, directory, "model.safetensors"), weights, 1, err);
    if (st == STATUS_OK)
        st = optimizer__load(t, path_join(&path, directory, state_file), err);
    buffer_release(&path);
    if (st != STATUS_OK)
        return st;
    t->step = state.step;
    t->tokens = state.tokens;
    t->epoch = state.epoch;
    t->sample = state.sample;
    t->last_loss = state.loss;
    t->last_grad_norm = state.grad_norm;
    t->last_lr = state.lr;
    return STATUS_OK;
}

/* Walks from the newest to the oldest until one verifies (and, given a training, loads). */
static enum status find(struct training *t, const char *run_directory, uint32_t settings_hash, struct buffer *path,
                        struct buffer *warning, struct error *err)
{
    struct error mine;
    if (!err)
        err = &mine;
    struct buffer checkpoints = {0}, directory = {0};
    uint64_t *steps;
    size_t n;
    path_join(&checkpoints, run_directory, "checkpoints");
    enum status st = list_steps(text_of(&checkpoints), &steps, &n, err);
    if (st == STATUS_OK && n == 0)
        st = error_set(err, STATUS_IO, "there is no checkpoint in %s", text_of(&checkpoints));
    for (size_t i = 0; i < n; i++) {
        step_path(&directory, text_of(&checkpoints), steps[i]);
        st = verify(text_of(&directory), steps[i], err);
        if (st == STATUS_OK && t)
            st = load(t, text_of(&directory), settings_hash, err);
        if (st == STATUS_OK && path)
            buffer_append_text(path, text_of(&directory));
        if (st == STATUS_OK || st == STATUS_CONFIG || st == STATUS_NOMEM)
            break;
        if (warning)
            buffer_printf(warning, "%s is damaged: %s; the one before it is used\n", text_of(&directory), err->text);
        if (i + 1 == n) {
            char last[512];
            snprintf(last, sizeof last, "%.500s", err->text);
            st = error_set(err, st, "none of the checkpoints in %s is whole; of the oldest, %s", text_of(&checkpoints),
                           last);
        }
    }
    mem_free(steps);
    buffer_release(&checkpoints);
    buffer_release(&directory);
    return st;
}

enum status checkpoint_load_latest(struct training *t, const char *run_directory, uint32_t settings_hash,
                                   struct buffer *warning, struct error *err)
{
    return find(t, run_directory, settings_hash, NULL, warning, err);
}

enum status checkpoint_find_latest(const char *run_directory, struct buffer *path, struct buffer *warning,
                                   struct error *err)
{
    return find(NULL, run_directory, 0, path, warning, err);
}

/* ---- the hash ---- */

static uint32_t hash_run(uint32_t crc, const struct model *model, const float *run)
{
    size_t num_params;
    const struct param *params = model_params(model, &num_params);
    for (size_t i = 0; i < num_params; i++)
        crc = (uint32_t)crc32_z(crc, (const Bytef *)(run + params[i].offset), params[i].count * sizeof(float));
    return crc;
}

uint64_t training_state_hash(const struct training *t)
{
    uint64_t weights = hash_run(0, t->model, model_data_const(t->model));
    return weights << 32 | optimizer__hash(t);
}
