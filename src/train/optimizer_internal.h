/* SPDX-License-Identifier: MIT
 * What an optimizer is to a training: a line of one table.
 *
 * A state is a tensor beside every parameter that it applies to: one element for each of the parameter's, or one for
 * each block of them.  A state's tensors lie one behind the other in the order of the parameters, each on a cache
 * line, so that walking the parameters is all it takes to find them (optimizer__next).  Everything is planned from the configuration,
 * before there is a model.
 */
#ifndef TRAIN_OPTIMIZER_INTERNAL_H
#define TRAIN_OPTIMIZER_INTERNAL_H

#include "base/arena.h"
#include "model/model.h"
#include "ops/adamw.h"
#include "ops/adamw8bit.h"
#include "ops/lion.h"
#include "ops/muon.h"
#include "runtime/sphere.h"
#include "train/settings.h"

#include <stdbool.h>

enum { OPTIMIZER_STATES_MAX = 4 };

struct optimizer_state {
    const char *prefix; /* of its names in a checkpoint: "exp_avg." */
    const char *dtype;  /* "F32" or "U8" */
    size_t block;       /* elements of the parameter for one of the state's */
    bool (*applies)(const struct param *param); /* NULL: to all */
    bool not_negative;
};

/* The coefficients of one step, made by one member for all. */
struct optimizer_step {
    struct adamw adamw;
    struct lion lion;
    struct muon muon;
};

struct training;
struct optimizer {
    const char *name;
    size_t num_states;
    struct optimizer_state states[OPTIMIZER_STATES_MAX];
    size_t unit; /* elements of a parameter that one member must own together */
    bool has_codes, has_matrices; /* what of struct optimizer_room it wants */

    /* Team function: updates weights and states from the gradients; all members have agreed that the step is good.  No
     * barrier at the end. */
    void (*step)(struct sphere *me, struct training *t, const float *grads, const struct optimizer_step *step);
};
const struct optimizer *optimizer__of(enum optimizer_kind kind);

/* What a training keeps for its optimizer, from its arena. */
struct optimizer_room {
    const struct optimizer *optimizer;
    unsigned char *state[OPTIMIZER_STATES_MAX];
    struct adamw8bit_codes *codes;  /* has_codes */
    struct orthogonal_space space;  /* has_matrices */
};
struct optimizer_memory {
    size_t state_bytes;   /* in the arena */
    size_t shared_bytes;  /* likewise */
    size_t scratch_bytes; /* of a member */
    uint64_t file_bytes;  /* of the states in a checkpoint */
};
struct optimizer_memory optimizer__plan(const struct train_settings *settings);
void optimizer__take(struct optimizer_room *room, const struct train_settings *settings, struct arena *arena);
/* The member's share of each state (mem_touch). */
void optimizer__touch(struct sphere *me, const struct optimizer_room *room, const struct train_settings *settings);

/* Of the step after `step`, when `updates` of them were not left out (train/spike.h): the schedules' rates times
 * `factor` follow the steps, AdamW's bias correction the updates. */
struct optimizer_step optimizer__at_step(const struct train_settings *settings, uint64_t step, uint64_t updates,
                                         double factor, double grad_scale);

/* A walk over the parameters with their states. */
struct optimizer_walk {
    size_t i;
    const struct param *param;
    size_t at[OPTIMIZER_STATES_MAX];          /* where the next parameter's begin, in bytes */
    unsigned char *state[OPTIMIZER_STATES_MAX]; /* of this parameter; NULL where the state does not apply */
};
bool optimizer__next(const struct training *t, struct optimizer_walk *walk);

size_t optimizer__elements(const struct optimizer_state *state, const struct param *param); /* 0: does not apply */
size_t optimizer__element_bytes(const struct optimizer_state *state);

/* A part of a parameter, from its element `begin`, which one member owns. */
struct optimizer_part {
    const struct optimizer_walk *walk;
    size_t begin, n;
    float *w;
    const float *g;
    bool decay;
};
typedef void optimizer_part_fn(const struct training *t, const struct optimizer_part *part,
                               const struct optimizer_step *step);

/* Team function: calls fn with this member's part of every parameter for which `wanted` (NULL: all) is true. */
void optimizer__parts(struct sphere *me, struct training *t, const float *grads, const struct optimizer_step *step,
                      bool (*wanted)(const struct param *param), optimizer_part_fn *fn);

/* AdamW with the states `first` and first + 1. */
void optimizer__adamw_part(const struct optimizer_part *part, const struct adamw *adamw, size_t first);

/* optimizer_muon.c */
bool optimizer__is_muons(const struct param *param);
bool optimizer__is_not_muons(const struct param *param);
void optimizer__muon_matrix(const struct param *param, size_t *elements, size_t *rows, size_t *cols);
void optimizer__muon_step(struct sphere *me, struct training *t, const float *grads,
                          const struct optimizer_step *step);

/* optimizer_state.c: the states as a file of a checkpoint, and their hash. */
enum status optimizer__save(const struct training *t, const char *path, uint64_t *size_bytes, uint32_t *crc32,
                            struct error *err);
enum status optimizer__load(struct training *t, const char *path, struct error *err);
uint32_t optimizer__hash(const struct training *t);

#endif
