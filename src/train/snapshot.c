/* SPDX-License-Identifier: MIT */
#include "train/snapshot_internal.h"
#include "train/threaded_training_internal.h"

#include <string.h>

/* Bytes that a sphere takes at a time; shares of them keep the spheres on pages of their own. */
enum { BLOCK_BYTES = 64 * 1024 };

size_t snapshot__bytes(const struct train_settings *s)
{
    if (s->save_mode != SAVE_OVERLAPPED || !train_settings_save_on_the_way(s))
        return 0;
    return model_config_size(&s->model) * sizeof(float) + optimizer__plan(s).state_bytes;
}

enum status snapshot__init(struct snapshot *snapshot, const struct training *t, struct error *err)
{
    *snapshot = (struct snapshot){0};
    struct optimizer_walk walk = {0};
    while (optimizer__next(t, &walk))
        ;
    size_t bytes = 0;
    for (size_t k = 0; k < t->room.optimizer->num_states; k++) {
        snapshot->state_bytes[k] = walk.at[k];
        bytes += arena_piece_bytes(walk.at[k]);
    }
    snapshot->frozen.model = model_new(&t->settings.model, err);
    if (!snapshot->frozen.model)
        return STATUS_NOMEM;
    const enum status st = arena_init(&snapshot->arena, bytes, err);
    if (st != STATUS_OK) {
        snapshot__release(snapshot);
        return st;
    }
    for (size_t k = 0; k < t->room.optimizer->num_states; k++)
        snapshot->frozen.room.state[k] = arena_alloc(&snapshot->arena, walk.at[k]);
    return STATUS_OK;
}

void snapshot__release(struct snapshot *snapshot)
{
    model_free(snapshot->frozen.model);
    arena_release(&snapshot->arena);
    *snapshot = (struct snapshot){0};
}

struct copy {
    struct snapshot *to;
    const struct training *from;
};

static void copy_share(struct sphere *me, void *to, const void *from, size_t bytes)
{
    const struct share own = sphere_share(me, (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
    const size_t begin = own.begin * BLOCK_BYTES, end = own.end * BLOCK_BYTES < bytes ? own.end * BLOCK_BYTES : bytes;
    if (begin < end)
        memcpy((char *)to + begin, (const char *)from + begin, end - begin);
}

static void copy_team(struct sphere *me, void *arg)
{
    const struct copy *copy = arg;
    const struct training *from = copy->from;
    struct training *to = &copy->to->frozen;
    copy_share(me, model_data(to->model), model_data_const(from->model), model_size(from->model) * sizeof(float));
    for (size_t k = 0; k < from->room.optimizer->num_states; k++)
        copy_share(me, to->room.state[k], from->room.state[k], copy->to->state_bytes[k]);
}

enum status snapshot__take(struct snapshot *snapshot, struct threaded_training *system, const struct training *t)
{
    struct copy copy = {snapshot, t};
    const enum status st = training__run_team(system, copy_team, &copy);
    if (st != STATUS_OK)
        return st;
    /* The plain data, with the copies in place of the runs, and without what a checkpoint has no use for. */
    struct training frozen = *t;
    frozen.model = snapshot->frozen.model;
    frozen.decoder = NULL;
    frozen.arena = (struct arena){0};
    frozen.fold = (struct gradient_fold){0};
    frozen.head_leaf = NULL;
    frozen.room = (struct optimizer_room){.optimizer = t->room.optimizer};
    memcpy(frozen.room.state, snapshot->frozen.room.state, sizeof frozen.room.state);
    snapshot->frozen = frozen;
    return STATUS_OK;
}
