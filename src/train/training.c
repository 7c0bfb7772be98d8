/* SPDX-License-Identifier: MIT
 * The plan of a training's memory, and the training made after it.
 *
 * training_plan knows every part before anything is allocated; training_create compares the sum with what the
 * machine can give, so that a run that does not fit ends here with the figures and not in the middle of a step.
 */
#include "train/training.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/human.h"
#include "base/memory.h"
#include "runtime/sphere.h"
#include "topology/topology.h"
#include "train/run_events.h"
#include "train/snapshot_internal.h"
#include "train/training_fit.h"
#include "train/training_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a sphere costs before it has scratch, stack and context: 3.3 KiB measured as the growth of the resident set from 2
 * spheres to 1741. */
enum { SPHERE_BYTES = 4 * 1024 };

/* Small files of a checkpoint and the headers of the large ones. */
enum { CHECKPOINT_SMALL_BYTES = 1 << 20 };

/* Resident bytes of this process without mapped data files: anonymous memory, the program and its libraries. */
static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    if (!file)
        return 0;
    char line[1024], exe[1024];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = 0;
    size_t total = 0, kib;
    bool counted = false;
    while (fgets(line, sizeof line, file)) {
        unsigned long begin, end;
        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2) {
            char *path = strchr(line, '/');
            if (path)
                path[strcspn(path, "\n")] = 0;
            counted = !path || strstr(path, ".so") || strcmp(path, exe) == 0;
        } else if (counted && sscanf(line, "Rss: %zu kB", &kib) == 1) {
            total += kib * 1024;
        }
    }
    fclose(file);
    return total;
}

static struct batch_options batch_options(const struct train_settings *s)
{
    return (struct batch_options){.seq_len = s->seq_len,
                                  .batch_size = s->batch_size,
                                  .val_fraction = s->val_fraction,
                                  .seed = s->seed,
                                  .packing = s->packing};
}

/* Pieces of the arena, in the order in which training_create takes them. */
struct pieces {
    size_t gradients, head_leaf, moments, optimizer, sums, windows;
};

static struct pieces pieces(const struct train_settings *s)
{
    size_t size = model_config_size(&s->model), leaves = s->batch_size / s->micro_batch;
    size_t blocks = (size + TRAINING_BLOCK - 1) / TRAINING_BLOCK;
    struct pieces p = {0};
    p.gradients = (size_t)gradient_fold_height(leaves) * arena_piece_bytes(size * sizeof(float));
    if (leaves > 1)
        p.head_leaf = arena_piece_bytes(s->model.vocab_size * s->model.n_embd * sizeof(float));
    const struct optimizer_memory optimizer = optimizer__plan(s);
    p.moments = optimizer.state_bytes;
    p.optimizer = optimizer.shared_bytes;
    p.sums = arena_piece_bytes(blocks * sizeof(double)) + arena_piece_bytes(leaves * sizeof(double));
    p.windows = 2 * arena_piece_bytes(s->micro_batch * s->seq_len * sizeof(int32_t));
    if (s->packing != PACKING_NONE)
        p.windows += arena_piece_bytes(s->micro_batch * s->seq_len * sizeof(int32_t)) +
                     arena_piece_bytes(s->micro_batch * s->seq_len * sizeof(bool));
    return p;
}

static struct decoder_memory plan_decoder(const struct train_settings *s)
{
    return decoder_plan_training(&s->model, s->dtype, s->micro_batch, s->seq_len, s->recompute);
}

/* A sphere's scratch serves the decoder, and the optimizer after it. */
static size_t sphere_scratch(const struct train_settings *s, const struct decoder_memory *decoder)
{
    const size_t optimizer = optimizer__plan(s).scratch_bytes;
    return decoder->sphere_scratch_bytes > optimizer ? decoder->sphere_scratch_bytes : optimizer;
}

/* A sample between steps: a decoder of its own, with a cache, and no more spheres than cores. */
static size_t sampling_bytes(const struct train_settings *s, int num_spheres)
{
    if (s->sample_every == 0)
        return 0;
    struct topology topology;
    topology_read(&topology);
    const struct decoder_memory m = decoder_plan(&s->model, DECODER_GENERATE, DTYPE_F32, 1, s->model.n_positions);
    const int few = topology_few_spheres(&topology, num_spheres), width = few < m.max_width ? few : m.max_width;
    return m.packed_bytes + m.activation_bytes + m.shared_bytes + (size_t)width * m.sphere_scratch_bytes;
}

static size_t sum_of(const struct training_memory *m)
{
    return m->weights_bytes + m->gradients_bytes + m->moments_bytes + m->packed_bytes + m->activation_bytes +
           m->shared_bytes + m->scratch_bytes + m->sphere_bytes + m->data_bytes + m->snapshot_bytes +
           m->sampling_bytes + m->program_bytes;
}

enum status training__plan(const struct train_settings *s, int num_spheres, size_t program_bytes,
                           struct training_memory *out, struct error *err)
{
    enum status st = train_settings_check(s, err);
    if (st != STATUS_OK)
        return st;
    if (num_spheres < 1 || num_spheres > SPHERES_MAX)
        return error_set(err, STATUS_CONFIG, "%d spheres were asked for, there may be 1 to %d", num_spheres,
                         (int)SPHERES_MAX);
    struct decoder_memory decoder = plan_decoder(s);
    struct pieces p = pieces(s);
    struct batch_options options = batch_options(s);
    size_t width = (size_t)(num_spheres < decoder.max_width ? num_spheres : decoder.max_width);
    *out = (struct training_memory){
        .weights_bytes = model_config_size(&s->model) * sizeof(float),
        .gradients_bytes = p.gradients + p.head_leaf,
        .moments_bytes = p.moments,
        .snapshot_bytes = snapshot__bytes(s),
        .packed_bytes = decoder.packed_bytes,
        .activation_bytes = decoder.activation_bytes,
        .shared_bytes = decoder.shared_bytes + p.optimizer + p.sums,
        .scratch_bytes = width * sphere_scratch(s, &decoder),
        .sphere_bytes = (size_t)num_spheres * SPHERE_BYTES,
        .data_bytes = batch_iterator_bytes(&options) + p.windows,
        .sampling_bytes = sampling_bytes(s, num_spheres),
        .program_bytes = program_bytes,
        .checkpoint_bytes = sizeof(float) * model_config_num_parameters(&s->model) + optimizer__plan(s).file_bytes +
                            CHECKPOINT_SMALL_BYTES,
    };
    out->total_bytes = sum_of(out);
    return STATUS_OK;
}

void training__planned_for(struct training *t, int num_spheres, int width)
{
    t->memory.scratch_bytes = (size_t)width * t->sphere_scratch_bytes;
    t->memory.sphere_bytes = (size_t)num_spheres * SPHERE_BYTES;
    t->memory.sampling_bytes = sampling_bytes(&t->settings, num_spheres);
    t->memory.total_bytes = sum_of(&t->memory);
}

static int auto_spheres(const struct topology *topology)
{
    int n = topology_auto_spheres(topology);
    return n < SPHERES_MAX ? n : SPHERES_MAX;
}

enum status training_plan(const struct train_settings *settings, int num_spheres, struct training_memory *out,
                          struct error *err)
{
    if (num_spheres == 0) {
        struct topology topology;
        topology_read(&topology);
        num_spheres = auto_spheres(&topology);
    }
    return training__plan(settings, num_spheres, resident_bytes(), out, err);
}

/* STATUS_NOMEM: what is needed, what there is, and what would do. */
static enum status refuse(const struct train_settings *settings, const struct training_memory *m, size_t available,
                          int num_spheres, struct error *err)
{
    struct human need, weights, state, work, other, have, fits;
    size_t working = m->packed_bytes + m->activation_bytes + m->shared_bytes + m->scratch_bytes;
    size_t wanted = m->total_bytes - m->program_bytes;
    size_t learned = m->gradients_bytes + m->moments_bytes;
    char advice[200];
    struct train_settings smaller = *settings;
    struct training_memory plan;
    const struct training_fit free_to_choose = {true, true, true};
    if (training_fit(&smaller, num_spheres, available, &free_to_choose, &plan, NULL) != STATUS_OK)
        snprintf(advice, sizeof advice,
                 "not even a micro-batch of 1 with --recompute all would fit: it takes a shorter sequence or "
                 "a smaller model");
    else if (smaller.micro_batch == settings->micro_batch)
        snprintf(advice, sizeof advice, "--recompute %zu would fit, with %s; --fit auto finds it", smaller.recompute,
                 human_bytes(&fits, plan.total_bytes));
    else
        snprintf(advice, sizeof advice,
                 "a micro-batch of %zu with --recompute %zu would fit, with %s; --fit auto finds it",
                 smaller.micro_batch, smaller.recompute, human_bytes(&fits, plan.total_bytes));
    return error_set(err, STATUS_NOMEM,
                     "the training needs %s of memory (weights %s, gradients and moments %s, activations and work "
                     "space of a micro-batch of %zu %s, data and spheres %s) and %s are available; %s",
                     human_bytes(&need, wanted), human_bytes(&weights, m->weights_bytes), human_bytes(&state, learned),
                     settings->micro_batch, human_bytes(&work, working),
                     human_bytes(&other, wanted - m->weights_bytes - learned - working), human_bytes(&have, available),
                     advice);
}

/* Plans, compares with what the machine can give now, and makes all of it but the weights' values. */
static struct training *create(const struct train_settings *settings, struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    int num_spheres = auto_spheres(&topology);
    struct training_memory memory;
    if (training__plan(settings, num_spheres, resident_bytes(), &memory, err) != STATUS_OK)
        return NULL;
    size_t available = topology.memory_available_bytes; /* 0: not known */
    struct train_settings frugal;
    bool short_of_snapshot = false;
    if (available && memory.snapshot_bytes && memory.total_bytes - memory.program_bytes > available &&
        memory.total_bytes - memory.program_bytes - memory.snapshot_bytes <= available) {
        frugal = *settings;
        frugal.save_mode = SAVE_BLOCKING;
        settings = &frugal;
        short_of_snapshot = true;
        memory.total_bytes -= memory.snapshot_bytes;
        memory.snapshot_bytes = 0;
    }
    if (available && memory.total_bytes - memory.program_bytes > available) {
        refuse(settings, &memory, available, num_spheres, err);
        return NULL;
    }

    struct training *t = mem_calloc(1, sizeof *t);
    if (!t) {
        error_set(err, STATUS_NOMEM, "the system refused %zu bytes of memory", sizeof *t);
        return NULL;
    }
    t->settings = *settings;
    t->memory = memory;
    t->short_of_snapshot = short_of_snapshot;
    t->last_loss = t->last_grad_norm = t->last_lr = NAN;
    t->lr_factor = 1;
    t->model = model_new(&settings->model, err);
    if (!t->model)
        goto fail;
    const struct decoder_memory plan = plan_decoder(settings);
    t->sphere_scratch_bytes = sphere_scratch(settings, &plan);
    t->max_width = plan.max_width;
    t->decoder = decoder_new_training(t->model, settings->dtype, settings->micro_batch, settings->seq_len,
                                      settings->recompute, err);
    if (!t->decoder)
        goto fail;

    struct pieces p = pieces(settings);
    if (arena_init(&t->arena, p.gradients + p.head_leaf + p.moments + p.optimizer + p.sums + p.windows, err) !=
        STATUS_OK)
        goto fail;
    arena_expect(&t->arena);
    size_t size = model_size(t->model);
    t->leaves = settings->batch_size / settings->micro_batch;
    t->blocks = (size + TRAINING_BLOCK - 1) / TRAINING_BLOCK;
    t->fold.leaves = t->leaves;
    t->fold.height = gradient_fold_height(t->leaves);
    for (int k = 0; k < t->fold.height; k++)
        t->fold.buffer[k] = arena_alloc(&t->arena, size * sizeof(float));
    if (t->leaves > 1)
        t->head_leaf = arena_alloc(&t->arena, settings->model.vocab_size * settings->model.n_embd * sizeof(float));
    optimizer__take(&t->room, settings, &t->arena);
    t->block_sumsq = arena_alloc(&t->arena, t->blocks * sizeof(double));
    t->leaf_loss = arena_alloc(&t->arena, t->leaves * sizeof(double));
    const size_t leaf_tokens = settings->micro_batch * settings->seq_len;
    t->val.inputs = arena_alloc(&t->arena, leaf_tokens * sizeof *t->val.inputs);
    t->val.targets = arena_alloc(&t->arena, leaf_tokens * sizeof *t->val.targets);
    if (settings->packing != PACKING_NONE) {
        t->val.first = arena_alloc(&t->arena, leaf_tokens * sizeof *t->val.first);
        t->val.supervised = arena_alloc(&t->arena, leaf_tokens * sizeof *t->val.supervised);
    }
    return t;
fail:
    training_free(t);
    return NULL;
}

void training__touch(struct sphere *me, struct training *t)
{
    const size_t id = (size_t)me->id, width = (size_t)me->width;
    decoder_touch(me, t->decoder);
    for (int k = 0; k < t->fold.height; k++)
        mem_touch(t->fold.buffer[k], model_size(t->model) * sizeof(float), id, width);
    optimizer__touch(me, &t->room, &t->settings);
    sphere_barrier(me);
    mem_touch(t->arena.base, t->arena.size_bytes, id, width); /* what is left */
}

struct training *training_create_on(const struct train_settings *settings, struct pool *pool, struct error *err)
{
    struct training *t = create(settings, err);
    enum status status = STATUS_OK;
    if (t && (status = model_init_weights(t->model, settings->seed, pool)) != STATUS_OK) {
        error_set(err, status, "the first weights: %s", status_text(status));
        training_free(t);
        return NULL;
    }
    return t;
}

struct training *training_create(const struct train_settings *settings, struct error *err)
{
    return training_create_on(settings, NULL, err);
}

/* First size in which the two differ, for people; dropout may differ. */
static enum status compare_models(const struct model_config *have, const struct model_config *want,
                                  const char *directory, struct error *err)
{
    const struct {
        const char *name;
        size_t have, want;
    } sizes[] = {
        {"vocab_size", have->vocab_size, want->vocab_size},
        {"n_positions", have->n_positions, want->n_positions},
        {"n_embd", have->n_embd, want->n_embd},
        {"n_layer", have->n_layer, want->n_layer},
        {"n_head", have->n_head, want->n_head},
        {"n_kv_head", have->n_kv_head, want->n_kv_head},
        {"head_dim", have->head_dim, want->head_dim},
        {"n_inner", have->n_inner, want->n_inner},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].have != sizes[i].want)
            return error_set(err, STATUS_CONFIG, "%s: the model has %s %zu, the settings want %zu", directory,
                             sizes[i].name, sizes[i].have, sizes[i].want);
    if (have->family != want->family)
        return error_set(err, STATUS_CONFIG, "%s: the model is a %s, the settings want a %s", directory,
                         model_family_name(have->family), model_family_name(want->family));
    if (have->norm != want->norm || have->mlp != want->mlp || have->qkv_bias != want->qkv_bias ||
        have->out_bias != want->out_bias || have->mlp_bias != want->mlp_bias || have->qk_norm != want->qk_norm ||
        have->tied != want->tied || have->rope != want->rope || !(have->rope_theta == want->rope_theta) ||
        have->window != want->window || memcmp(have->layer_kind, want->layer_kind, have->n_layer) != 0)
        return error_set(err, STATUS_CONFIG,
                         "%s: the settings want other layers or positions than the model's config.json says",
                         directory);
    if (!(have->norm_epsilon == want->norm_epsilon))
        return error_set(err, STATUS_CONFIG, "%s: the model has an epsilon of %g in its norms, the settings want %g",
                         directory, (double)have->norm_epsilon, (double)want->norm_epsilon);
    return STATUS_OK;
}

struct training *training_create_from(const struct train_settings *settings, const char *model_directory,
                                      struct error *err)
{
    struct buffer path = {0};
    struct model_config from;
    struct training *t = NULL;
    if (model_config_read(path_join(&path, model_directory, "config.json"), &from, err) == STATUS_OK &&
        compare_models(&from, &settings->model, model_directory, err) == STATUS_OK && (t = create(settings, err)) &&
        model_load_into(t->model, model_directory, err) != STATUS_OK) {
        training_free(t);
        t = NULL;
    }
    buffer_release(&path);
    return t;
}

void training_free(struct training *t)
{
    if (!t)
        return;
    decoder_free(t->decoder);
    model_free(t->model);
    arena_release(&t->arena);
    mem_free(t);
}

const struct train_settings *training_settings(const struct training *t)
{
    return &t->settings;
}

struct model *training_model(struct training *t)
{
    return t->model;
}

uint64_t training_step(const struct training *t)
{
    return t->step;
}

uint64_t training_tokens(const struct training *t)
{
    return t->tokens;
}

double training_last_loss(const struct training *t)
{
    return t->last_loss;
}

double training_last_grad_norm(const struct training *t)
{
    return t->last_grad_norm;
}

double training_last_lr(const struct training *t)
{
    return t->last_lr;
}

double training_lr_factor(const struct training *t)
{
    return t->lr_factor;
}

uint64_t training_rollbacks(const struct training *t)
{
    return t->spikes.rollbacks;
}

void training_set_lr_factor(struct training *t, double factor)
{
    CHECK(factor >= 0 && factor <= RUN_EVENT_MAX_FACTOR);
    t->lr_factor = factor;
}

bool training_short_of_snapshot(const struct training *t)
{
    return t->short_of_snapshot;
}

void training_note_validation(struct training *t, double loss)
{
    t->validated = true;
    t->val_step = t->step;
    t->val_loss = loss;
}

const struct training_memory *training_planned(const struct training *t)
{
    return &t->memory;
}
