/* SPDX-License-Identifier: MIT
 * The order of operations is the whole idea.  A directory named step-N exists only after everything in it, manifest
 * included, was written and synced; `latest` moves only after that; old ones go only after `latest` has moved, and
 * under a temporary name, so that a half-removed one is never taken for a checkpoint.  What a dead process left
 * under a temporary name is removed by the next save.  Orders that fail: "All file systems are not created equal"
 * (Pillai et al., OSDI 2014).
 */
#include "train/checkpoint.h"

#include "base/file.h"
#include "base/file_writer.h"
#include "base/human.h"
#include "base/memory.h"
#include "train/checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    struct file_writer *writer = file_writer_open(checkpoint__text(&path), err);
    enum status st = STATUS_IO;
    if (writer) {
        uint64_t size;
        uint32_t crc;
        file_writer_write(writer, extra->data, extra->size_bytes);
        st = file_writer_close(writer, true, &size, &crc, err);
        if (st == STATUS_OK)
            checkpoint__note_file(m, extra->name, size, crc);
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
        return error_set(err, STATUS_NOMEM, "out of memory for %s", checkpoint__manifest_file);
    enum status st = model_save(t->model, directory, checkpoint__note_file, m, err);
    for (size_t i = 0; i < num_extras && st == STATUS_OK; i++)
        st = write_extra(directory, &extras[i], m, err);
    if (st == STATUS_OK) {
        struct buffer path = {0};
        uint64_t size;
        uint32_t crc;
        path_join(&path, directory, checkpoint__state_file);
        st = optimizer__save(t, checkpoint__text(&path), &size, &crc, err);
        if (st == STATUS_OK)
            checkpoint__note_file(m, checkpoint__state_file, size, crc);
        buffer_release(&path);
    }
    if (st == STATUS_OK)
        st = checkpoint__write_json(checkpoint__trainer_json(t, settings_hash), directory, checkpoint__trainer_file, m,
                                    err);
    if (st == STATUS_OK && m->overflow)
        st = error_set(err, STATUS_MISUSE, "%s: more than %d files, or a name over %d bytes", directory,
                       (int)MANIFEST_FILES_MAX, (int)MANIFEST_NAME_BYTES - 1);
    if (st == STATUS_OK)
        st = checkpoint__write_json(checkpoint__manifest_json(m, t->step), directory, checkpoint__manifest_file, NULL,
                                    err);
    mem_free(m);
    return st;
}

/* The directory is there already, whole, and of this very run: then it holds what would be written again. */
static bool saved_already(const char *directory, uint64_t step, uint32_t settings_hash)
{
    struct trainer_state state;
    struct error ignored;
    return file_is_directory(directory) && checkpoint__verify(directory, step, &ignored) == STATUS_OK &&
           checkpoint__read_trainer(directory, &state, &ignored) == STATUS_OK && state.settings_hash == settings_hash;
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
    st = file_make_directory(checkpoint__text(&tmp), err);
    if (st == STATUS_OK) {
        st = write_files(t, checkpoint__text(&tmp), settings_hash, extras, num_extras, err);
        if (st == STATUS_OK)
            st = file_sync_directory(checkpoint__text(&tmp), err);
        if (st == STATUS_OK)
            st = file_remove_tree(final, err); /* a damaged one of this step, or nothing */
        if (st == STATUS_OK)
            st = file_rename(checkpoint__text(&tmp), final, err);
        if (st != STATUS_OK)
            file_remove_tree(checkpoint__text(&tmp), NULL);
    }
    buffer_release(&tmp);
    return st;
}

static enum status tidy(const struct training *t, const char *checkpoints, struct error *err)
{
    struct checkpoint_kept kept = checkpoint__kept(t);
    enum status st = checkpoint__point_latest(checkpoints, t->step, err);
    if (st == STATUS_OK)
        st = checkpoint__point_best(checkpoints, t->step, &kept.best, err);
    return st == STATUS_OK ? checkpoint__prune(checkpoints, &kept, err) : st;
}

enum status checkpoint_tidy(const struct training *t, const char *run_directory, struct error *err)
{
    struct buffer checkpoints = {0};
    path_join(&checkpoints, run_directory, "checkpoints");
    checkpoint__remove_stale(checkpoint__text(&checkpoints), true);
    const enum status st = tidy(t, checkpoint__text(&checkpoints), err);
    buffer_release(&checkpoints);
    return st;
}

enum status checkpoint_save(struct training *t, const char *run_directory, uint32_t settings_hash,
                            const struct checkpoint_extra *extras, size_t num_extras, struct buffer *path,
                            struct error *err)
{
    for (size_t i = 0; i < num_extras; i++)
        if (!checkpoint__name_is_plain(extras[i].name))
            return error_set(err, STATUS_MISUSE, "\"%s\" is not a plain file name", extras[i].name);
    struct buffer checkpoints = {0}, final = {0};
    path_join(&checkpoints, run_directory, "checkpoints");
    checkpoint__path(&final, checkpoint__text(&checkpoints), t->step);
    enum status st = STATUS_OK;
    if (!file_is_directory(checkpoint__text(&checkpoints)))
        st = file_make_directory(checkpoint__text(&checkpoints), err);
    if (st == STATUS_OK) {
        checkpoint__remove_stale(checkpoint__text(&checkpoints), false);
        if (!saved_already(checkpoint__text(&final), t->step, settings_hash))
            st = write_checkpoint(t, checkpoint__text(&checkpoints), checkpoint__text(&final), settings_hash, extras,
                                  num_extras, err);
    }
    if (st == STATUS_OK)
        st = tidy(t, checkpoint__text(&checkpoints), err);
    if (st == STATUS_OK && path)
        buffer_append_text(path, checkpoint__text(&final));
    buffer_release(&checkpoints);
    buffer_release(&final);
    return st;
}
