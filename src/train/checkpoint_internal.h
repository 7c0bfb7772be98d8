/* SPDX-License-Identifier: MIT
 * What the files of a checkpoint's code share: checkpoint.c saves, checkpoint_load.c loads, checkpoint_manifest.c knows
 * which files belong to one, checkpoint_trainer.c what is in trainer_state.json, checkpoint_generations.c what lies in
 * RUN/checkpoints.
 */
#ifndef TRAIN_CHECKPOINT_INTERNAL_H
#define TRAIN_CHECKPOINT_INTERNAL_H

#include "base/buffer.h"
#include "base/status.h"
#include "formats/json.h"
#include "train/training_internal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHECKPOINT_FORMAT = 1,
    CHECKPOINT_JSON_BYTES_MAX = 1 << 20,
    MANIFEST_FILES_MAX = 64,
    MANIFEST_NAME_BYTES = 96
};

extern const char checkpoint__state_file[], checkpoint__trainer_file[], checkpoint__manifest_file[];

/* A path; "" when memory ran out while it was made, which no file has. */
const char *checkpoint__text(const struct buffer *buffer);

/* ---- checkpoint_manifest.c ---- */

struct manifest_entry {
    char name[MANIFEST_NAME_BYTES];
    uint64_t size_bytes;
    uint32_t crc32;
};

struct manifest {
    struct manifest_entry files[MANIFEST_FILES_MAX];
    size_t num_files;
    bool overflow; /* more files, or a longer name, than there is room for */
};

/* Adds a file to the manifest `ctx`; a model_file_fn. */
void checkpoint__note_file(void *ctx, const char *name, uint64_t size_bytes, uint32_t crc);

/* A plain file name: it cannot lead out of its directory, nor be ours by accident. */
bool checkpoint__name_is_plain(const char *name);

/* Writes and syncs directory/name, and notes it in the manifest (may be NULL).  Takes the reference; NULL is
 * STATUS_NOMEM. */
enum status checkpoint__write_json(json_t *object, const char *directory, const char *name, struct manifest *m,
                                   struct error *err);
json_t *checkpoint__manifest_json(const struct manifest *m, uint64_t step);

/* Every file of the directory is what the manifest says, and those we need are among them. */
enum status checkpoint__verify(const char *directory, uint64_t step, struct error *err);

/* Eight hexadecimal digits. */
enum status checkpoint__read_crc(const json_t *object, const char *key, uint32_t *out, const char *where,
                                 struct error *err);

/* ---- checkpoint_trainer.c ---- */

struct trainer_state {
    uint64_t step, tokens, epoch, sample;
    enum optimizer_kind optimizer;
    uint32_t settings_hash;
    double loss, grad_norm, lr, lr_factor;
    struct spike_state spikes;
    double val_loss; /* NaN: the step was not evaluated when it was saved */
};

json_t *checkpoint__trainer_json(const struct training *t, uint32_t settings_hash); /* NULL: no memory */
enum status checkpoint__read_trainer(const char *directory, struct trainer_state *out, struct error *err);
void checkpoint__apply_trainer(struct training *t, const struct trainer_state *state);

/* ---- checkpoint_generations.c; `checkpoints` is RUN/checkpoints ---- */

/* Steps of the checkpoints there are, newest first; free *steps with mem_free. */
enum status checkpoint__list(const char *checkpoints, uint64_t **steps, size_t *n, struct error *err);

/* checkpoints/step-N, after clearing `out`. */
void checkpoint__path(struct buffer *out, const char *checkpoints, uint64_t step);

/* Removes temporaries of processes that are gone, and of our own earlier failures; `all`: whoever has the name of the process
 * now, it is not saving here. */
void checkpoint__remove_stale(const char *checkpoints, bool all);

/* Makes `latest` name this step's. */
enum status checkpoint__point_latest(const char *checkpoints, uint64_t step, struct error *err);

/* Makes `best` name the one with the least validation loss of those up to `step`, the earliest of several; without one
 * there is no `best`.  Its step, or UINT64_MAX. */
enum status checkpoint__point_best(const char *checkpoints, uint64_t step, uint64_t *best, struct error *err);

/* Which generations a prune after the save of `step` leaves. */
struct checkpoint_kept {
    uint64_t step, keep; /* the newest `keep` up to `step` */
    uint64_t keep_every; /* and those at its multiples; 0: none */
    uint64_t best;       /* and this one; UINT64_MAX: none */
    uint64_t back_to;    /* and the newest up to this step, where a rollback may lead; UINT64_MAX: none may */
};
struct checkpoint_kept checkpoint__kept(const struct training *t);
enum status checkpoint__prune(const char *checkpoints, const struct checkpoint_kept *kept, struct error *err);

/* A rollback: `latest` names `loaded`, and those behind `after` up to `last` go, the newest first. */
enum status checkpoint__forget(const char *checkpoints, uint64_t loaded, uint64_t after, uint64_t last,
                               struct error *err);

/* ---- checkpoint_load.c ---- */

/* As checkpoint_load_latest, from the checkpoints up to step `most`. */
enum status checkpoint__load_up_to(struct training *t, const char *run_directory, uint32_t settings_hash, uint64_t most,
                                   struct buffer *warning, struct error *err);

#endif
