/* SPDX-License-Identifier: MIT
 * The table of optimizers, the memory they take, and those that know each element by itself.
 */
#include "train/optimizer.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "train/optimizer_internal.h"
#include "train/training_internal.h"

#include <string.h>

const char *const optimizer_names[] = {"adamw", "lion", "muon", "adamw8bit", NULL};
_Static_assert(sizeof optimizer_names / sizeof *optimizer_names == OPTIMIZERS + 1, "a name for each");

const char *optimizer_name(enum optimizer_kind kind)
{
    return (unsigned)kind < OPTIMIZERS ? optimizer_names[kind] : "?";
}

enum status optimizer_parse(const char *name, enum optimizer_kind *out, struct error *err)
{
    for (int kind = 0; kind < OPTIMIZERS; kind++)
        if (strcmp(name, optimizer_names[kind]) == 0) {
            *out = (enum optimizer_kind)kind;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "there is no optimizer \"%s\"; there are adamw, lion, muon and adamw8bit",
                     name);
}

void optimizer_adapt(struct train_settings *settings, enum optimizer_kind kind)
{
    settings->optimizer = kind;
    if (kind == OPTIMIZER_LION) {
        settings->schedule.lr /= 5;
        settings->schedule.min_lr /= 5;
        settings->weight_decay *= 5;
    }
}

/* ---- each element by itself ---- */

void optimizer__parts(struct sphere *me, struct training *t, const float *grads, const struct optimizer_step *step,
                      bool (*wanted)(const struct param *param), optimizer_part_fn *fn)
{
    const size_t unit = t->room.optimizer->unit;
    const struct share own = training__own_elements(me, t);
    float *w = model_data(t->model);
    struct optimizer_walk walk = {0};
    while (optimizer__next(t, &walk)) {
        const struct param *p = walk.param;
        if ((wanted && !wanted(p)) || p->offset >= own.end || p->offset + p->count <= own.begin)
            continue;
        /* A unit is owned by the owner of its first element. */
        size_t begin = own.begin > p->offset ? (own.begin - p->offset + unit - 1) / unit * unit : 0;
        size_t end = (own.end - p->offset + unit - 1) / unit * unit;
        end = end < p->count ? end : p->count;
        if (begin >= end)
            continue;
        const struct optimizer_part part = {
            &walk, begin, end - begin, w + p->offset + begin, grads + p->offset + begin, p->decay};
        fn(t, &part, step);
    }
}

static float *f32_state(const struct optimizer_part *part, size_t state)
{
    return (float *)(void *)part->walk->state[state] + part->begin;
}

void optimizer__adamw_part(const struct optimizer_part *part, const struct adamw *adamw, size_t first)
{
    struct adamw a = *adamw;
    if (!part->decay)
        a.weight_decay = 0;
    adamw_update(part->w, f32_state(part, first), f32_state(part, first + 1), part->g, part->n, &a);
}

static void adamw_part(const struct training *t, const struct optimizer_part *part, const struct optimizer_step *step)
{
    (void)t;
    optimizer__adamw_part(part, &step->adamw, 0);
}

static void adamw_step(struct sphere *me, struct training *t, const float *grads, const struct optimizer_step *step)
{
    optimizer__parts(me, t, grads, step, NULL, adamw_part);
}

static void lion_part(const struct training *t, const struct optimizer_part *part, const struct optimizer_step *step)
{
    (void)t;
    struct lion l = step->lion;
    if (!part->decay)
        l.weight_decay = 0;
    lion_update(part->w, f32_state(part, 0), part->g, part->n, &l);
}

static void lion_step(struct sphere *me, struct training *t, const float *grads, const struct optimizer_step *step)
{
    optimizer__parts(me, t, grads, step, NULL, lion_part);
}

/* States: codes and scales of the first moment, codes and scales of the second. */
static void adamw8bit_part(const struct training *t, const struct optimizer_part *part,
                           const struct optimizer_step *step)
{
    struct adamw a = step->adamw;
    if (!part->decay)
        a.weight_decay = 0;
    unsigned char *const *state = part->walk->state;
    const size_t block = part->begin / ADAMW8BIT_BLOCK;
    const struct moment8 first = {state[0] + part->begin, (float *)(void *)state[1] + block};
    const struct moment8 second = {state[2] + part->begin, (float *)(void *)state[3] + block};
    adamw8bit_update(part->w, first, second, part->g, part->n, &a, t->room.codes);
}

static void adamw8bit_step(struct sphere *me, struct training *t, const float *grads,
                           const struct optimizer_step *step)
{
    optimizer__parts(me, t, grads, step, NULL, adamw8bit_part);
}

/* ---- the table ---- */

static const struct optimizer optimizers[OPTIMIZERS] = {
    [OPTIMIZER_ADAMW] = {.name = "adamw",
                         .num_states = 2,
                         .states = {{"exp_avg.", "F32", 1, NULL, false}, {"exp_avg_sq.", "F32", 1, NULL, true}},
                         .unit = 1,
                         .step = adamw_step},
    [OPTIMIZER_LION] = {.name = "lion",
                        .num_states = 1,
                        .states = {{"exp_avg.", "F32", 1, NULL, false}},
                        .unit = 1,
                        .step = lion_step},
    [OPTIMIZER_MUON] = {.name = "muon",
                        .num_states = 3,
                        .states = {{"momentum.", "F32", 1, optimizer__is_muons, false},
                                   {"exp_avg.", "F32", 1, optimizer__is_not_muons, false},
                                   {"exp_avg_sq.", "F32", 1, optimizer__is_not_muons, true}},
                        .unit = 1,
                        .has_matrices = true,
                        .step = optimizer__muon_step},
    [OPTIMIZER_ADAMW8BIT] = {.name = "adamw8bit",
                             .num_states = 4,
                             .states = {{"exp_avg_codes.", "U8", 1, NULL, false},
                                        {"exp_avg_scales.", "F32", ADAMW8BIT_BLOCK, NULL, true},
                                        {"exp_avg_sq_codes.", "U8", 1, NULL, false},
                                        {"exp_avg_sq_scales.", "F32", ADAMW8BIT_BLOCK, NULL, true}},
                             .unit = ADAMW8BIT_BLOCK,
                             .has_codes = true,
                             .step = adamw8bit_step},
};

const struct optimizer *optimizer__of(enum optimizer_kind kind)
{
    return &optimizers[kind];
}

struct optimizer_step optimizer__at_step(const struct train_settings *s, uint64_t step, uint64_t updates, double factor,
                                         double grad_scale)
{
    const double lr = schedule_lr(&s->schedule, step, s->steps) * factor;
    struct optimizer_step out = {
        .adamw = adamw_at_step(lr, s->beta1, s->beta2, s->eps, s->weight_decay, grad_scale, updates + 1),
        .lion = {(float)lr, (float)s->beta1, (float)s->beta2, (float)s->weight_decay, (float)grad_scale},
        .muon = {(float)lr, (float)s->muon_momentum, (float)s->weight_decay, (float)grad_scale},
    };
    if (s->muon_lr > 0) {
        struct schedule schedule = s->schedule; /* to the same part of its highest rate */
        schedule.lr = s->muon_lr;
        schedule.min_lr = s->schedule.lr > 0 ? s->muon_lr * (s->schedule.min_lr / s->schedule.lr) : 0;
        out.muon.lr = (float)(schedule_lr(&schedule, step, s->steps) * factor);
    }
    return out;
}

/* ---- memory ---- */

enum { LINE = 64 };

size_t optimizer__elements(const struct optimizer_state *state, const struct param *param)
{
    return state->applies && !state->applies(param) ? 0 : (param->count + state->block - 1) / state->block;
}

size_t optimizer__element_bytes(const struct optimizer_state *state)
{
    return strcmp(state->dtype, "U8") == 0 ? 1 : sizeof(float);
}

static size_t state_bytes(const struct optimizer_state *state, const struct param *param)
{
    const size_t bytes = optimizer__elements(state, param) * optimizer__element_bytes(state);
    return (bytes + LINE - 1) / LINE * LINE;
}

bool optimizer__next(const struct training *t, struct optimizer_walk *walk)
{
    const struct optimizer *o = t->room.optimizer;
    size_t num_params;
    const struct param *params = model_params(t->model, &num_params);
    if (walk->i == num_params)
        return false;
    walk->param = &params[walk->i++];
    for (size_t k = 0; k < o->num_states; k++) {
        const size_t bytes = state_bytes(&o->states[k], walk->param);
        walk->state[k] = bytes ? t->room.state[k] + walk->at[k] : NULL;
        walk->at[k] += bytes;
    }
    return true;
}

/* Sums over the parameters of a model that need not be there. */
struct sums {
    const struct optimizer *optimizer;
    size_t state_bytes[OPTIMIZER_STATES_MAX], elements, rows, cols; /* of the largest matrix of Muon's */
    uint64_t file_bytes;
};

static void add_param(void *ctx, const struct param *param)
{
    struct sums *s = ctx;
    for (size_t k = 0; k < s->optimizer->num_states; k++) {
        const struct optimizer_state *state = &s->optimizer->states[k];
        s->state_bytes[k] += state_bytes(state, param);
        s->file_bytes += optimizer__elements(state, param) * optimizer__element_bytes(state);
    }
    if (s->optimizer->has_matrices && optimizer__is_muons(param)) {
        size_t elements, rows, cols;
        optimizer__muon_matrix(param, &elements, &rows, &cols);
        s->elements = elements > s->elements ? elements : s->elements;
        s->rows = rows > s->rows ? rows : s->rows;
        s->cols = cols > s->cols ? cols : s->cols;
    }
}

static struct sums sum_up(const struct train_settings *settings)
{
    struct sums s = {.optimizer = optimizer__of(settings->optimizer)};
    model_config_each_param(&settings->model, add_param, &s);
    return s;
}

struct optimizer_memory optimizer__plan(const struct train_settings *settings)
{
    const struct sums s = sum_up(settings);
    struct optimizer_memory out = {.file_bytes = s.file_bytes};
    for (size_t k = 0; k < s.optimizer->num_states; k++)
        out.state_bytes += arena_piece_bytes(s.state_bytes[k]);
    if (s.optimizer->has_codes)
        out.shared_bytes += arena_piece_bytes(sizeof(struct adamw8bit_codes));
    if (s.optimizer->has_matrices) {
        out.shared_bytes += orthogonal_space_bytes(s.elements, s.cols);
        out.scratch_bytes = orthogonal_scratch_bytes(s.rows);
    }
    return out;
}

void optimizer__touch(struct sphere *me, const struct optimizer_room *room, const struct train_settings *settings)
{
    const struct sums s = sum_up(settings);
    for (size_t k = 0; k < s.optimizer->num_states; k++)
        mem_touch(room->state[k], s.state_bytes[k], (size_t)me->id, (size_t)me->width);
}

void optimizer__take(struct optimizer_room *room, const struct train_settings *settings, struct arena *arena)
{
    const struct sums s = sum_up(settings);
    room->optimizer = s.optimizer;
    for (size_t k = 0; k < s.optimizer->num_states; k++)
        room->state[k] = arena_alloc(arena, s.state_bytes[k]);
    if (s.optimizer->has_codes) {
        room->codes = arena_alloc(arena, sizeof *room->codes);
        adamw8bit_codes_make(room->codes);
    }
    if (s.optimizer->has_matrices)
        orthogonal_space_take(&room->space, arena, s.elements, s.cols);
}
