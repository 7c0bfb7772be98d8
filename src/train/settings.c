/* SPDX-License-Identifier: MIT
 * One table of settings serves their record, its reading, the hash and the comparison.
 */
#include "train/settings.h"

#include "base/check.h"
#include "base/crc32.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    SIZE,
    U64,
    DOUBLE,
    FLOAT,
    SCHEDULE,
    DTYPE,
    OPTIMIZER,
    MUON,
    RECOMPUTE,
    ON_SPIKE,
    SPIKE_REAL,
    SPIKE_COUNT,
    PACKING,
    DOCUMENTS,
    CHOICE,
    FLAG,
    LAYERS,
    COUNT, /* a U64 that a run of before does not have, and means 0 there */
    SAVE_MODE
};

static const struct field {
    const char *key;
    enum kind kind;
    bool hashed;
    bool in_model; /* recorded by model_config_object */
    bool not_gpt2; /* follows from the others in a GPT-2, and is not hashed there */
    size_t offset;
} fields[] = {
#define IN(member) offsetof(struct train_settings, member)
    {"vocab_size", SIZE, true, true, false, IN(model.vocab_size)},
    {"n_positions", SIZE, true, true, false, IN(model.n_positions)},
    {"n_embd", SIZE, true, true, false, IN(model.n_embd)},
    {"n_layer", SIZE, true, true, false, IN(model.n_layer)},
    {"n_head", SIZE, true, true, false, IN(model.n_head)},
    {"n_inner", SIZE, true, true, false, IN(model.n_inner)},
    {"layer_norm_epsilon", FLOAT, true, true, false, IN(model.norm_epsilon)},
    {"initializer_range", FLOAT, true, true, false, IN(model.initializer_range)},
    {"embd_pdrop", FLOAT, true, true, false, IN(model.embd_pdrop)},
    {"attn_pdrop", FLOAT, true, true, false, IN(model.attn_pdrop)},
    {"resid_pdrop", FLOAT, true, true, false, IN(model.resid_pdrop)},
    {"model_type", CHOICE, true, true, true, IN(model.family)},
    {"n_kv_head", SIZE, true, true, true, IN(model.n_kv_head)},
    {"head_dim", SIZE, true, true, true, IN(model.head_dim)},
    {"norm", CHOICE, true, true, true, IN(model.norm)},
    {"mlp", CHOICE, true, true, true, IN(model.mlp)},
    {"qkv_bias", FLAG, true, true, true, IN(model.qkv_bias)},
    {"out_bias", FLAG, true, true, true, IN(model.out_bias)},
    {"mlp_bias", FLAG, true, true, true, IN(model.mlp_bias)},
    {"qk_norm", FLAG, true, true, true, IN(model.qk_norm)},
    {"tie_word_embeddings", FLAG, true, true, true, IN(model.tied)},
    {"rope_type", CHOICE, true, true, true, IN(model.rope)},
    {"rope_theta", FLOAT, true, true, true, IN(model.rope_theta)},
    {"rope_factor", FLOAT, true, true, true, IN(model.rope_factor)},
    {"rope_low_freq_factor", FLOAT, true, true, true, IN(model.rope_low_freq_factor)},
    {"rope_high_freq_factor", FLOAT, true, true, true, IN(model.rope_high_freq_factor)},
    {"rope_original_positions", SIZE, true, true, true, IN(model.rope_original_positions)},
    {"sliding_window", SIZE, true, true, true, IN(model.window)},
    {"layer_types", LAYERS, true, true, true, IN(model.layer_kind)},
    {"seq_len", SIZE, true, false, false, IN(seq_len)},
    {"batch_size", SIZE, true, false, false, IN(batch_size)},
    {"micro_batch", SIZE, true, false, false, IN(micro_batch)},
    {"val_fraction", DOUBLE, true, false, false, IN(val_fraction)},
    {"packing", PACKING, true, false, false, IN(packing)}, /* none is not hashed: it was all there was before */
    {"documents_crc32", DOCUMENTS, true, false, false, IN(documents_crc32)}, /* nor has it a record there */
    {"seed", U64, true, false, false, IN(seed)},
    {"dtype", DTYPE, true, false, false, IN(dtype)}, /* f32 is not hashed: it was all there was before */
    {"steps", U64, true, false, false, IN(steps)},
    {"epochs", DOUBLE, false, false, false, IN(epochs)}, /* steps is computed from it and is hashed */
    {"schedule", SCHEDULE, true, false, false, IN(schedule.kind)},
    {"lr", DOUBLE, true, false, false, IN(schedule.lr)},
    {"min_lr", DOUBLE, true, false, false, IN(schedule.min_lr)},
    {"warmup_steps", U64, true, false, false, IN(schedule.warmup_steps)},
    {"decay_fraction", DOUBLE, true, false, false, IN(schedule.decay_fraction)},
    {"beta1", DOUBLE, true, false, false, IN(beta1)},
    {"beta2", DOUBLE, true, false, false, IN(beta2)},
    {"eps", DOUBLE, true, false, false, IN(eps)},
    {"weight_decay", DOUBLE, true, false, false, IN(weight_decay)},
    {"grad_clip", DOUBLE, true, false, false, IN(grad_clip)},
    {"optimizer", OPTIMIZER, true, false, false, IN(optimizer)}, /* adamw is not hashed: it was all there was before */
    {"muon_lr", MUON, true, false, false, IN(muon_lr)},          /* of those that follow, only Muon has a record */
    {"muon_momentum", MUON, true, false, false, IN(muon_momentum)},
    {"recompute", RECOMPUTE, false, false, false, IN(recompute)},  /* 0 where a run of before does not say */
    {"on_spike", ON_SPIKE, true, false, false, IN(spikes.policy)}, /* under ignore the others have no record */
    {"spike_factor", SPIKE_REAL, true, false, false, IN(spikes.factor)},
    {"spike_window", SPIKE_COUNT, true, false, false, IN(spikes.window)},
    {"spike_margin", SPIKE_COUNT, true, false, false, IN(spikes.margin)},
    {"spike_limit", SPIKE_COUNT, false, false, false, IN(spikes.limit)},
    {"eval_every", U64, false, false, false, IN(eval_every)},
    {"eval_batches", U64, false, false, false, IN(eval_batches)},
    {"save_every", U64, false, false, false, IN(save_every)},
    {"save_seconds", COUNT, false, false, false, IN(save_seconds)},
    {"keep", U64, false, false, false, IN(keep)},
    {"keep_every", COUNT, false, false, false, IN(keep_every)},
    {"save_mode", SAVE_MODE, false, false, false, IN(save_mode)},
    {"sample_every", U64, false, false, false, IN(sample_every)},
    {"early_stop", COUNT, false, false, false, IN(early_stop)},
    {"save_best", COUNT, false, false, false, IN(save_best)},
#undef IN
};
enum { SAVE_SECONDS_MAX = 366 * 24 * 3600 };
enum { NUM_FIELDS = sizeof fields / sizeof *fields };

static const void *at(const struct train_settings *settings, const struct field *field)
{
    return (const char *)settings + field->offset;
}

static double get_double(const struct train_settings *s, const struct field *f)
{
    return f->kind == FLOAT ? (double)*(const float *)at(s, f) : *(const double *)at(s, f);
}

static uint64_t get_u64(const struct train_settings *s, const struct field *f)
{
    switch (f->kind) {
    case SIZE:
    case RECOMPUTE:
        return *(const size_t *)at(s, f);
    case SCHEDULE:
        return (uint64_t) * (const enum schedule_kind *)at(s, f);
    case DTYPE:
        return (uint64_t) * (const enum dtype *)at(s, f);
    case OPTIMIZER:
        return (uint64_t) * (const enum optimizer_kind *)at(s, f);
    case PACKING:
        return (uint64_t) * (const enum packing *)at(s, f);
    case SAVE_MODE:
        return (uint64_t) * (const enum save_mode *)at(s, f);
    case ON_SPIKE:
        return (uint64_t) * (const enum spike_policy *)at(s, f);
    case CHOICE: { /* an enumeration without negative values, as wide as an int */
        unsigned choice;
        memcpy(&choice, at(s, f), sizeof choice);
        return choice;
    }
    case FLAG:
        return *(const bool *)at(s, f);
    case LAYERS:
        return crc32_ieee(0, at(s, f),
                          (size_t)(s->model.n_layer < MODEL_LAYERS_MAX ? s->model.n_layer : MODEL_LAYERS_MAX));
    default:
        return *(const uint64_t *)at(s, f);
    }
}

static bool is_real(const struct field *f)
{
    return f->kind == DOUBLE || f->kind == FLOAT || f->kind == MUON || f->kind == SPIKE_REAL;
}

static bool is_spikes(const struct field *f)
{
    return f->kind == ON_SPIKE || f->kind == SPIKE_REAL || f->kind == SPIKE_COUNT;
}

/* Fields that are of use under one choice alone, and have no record and no hash under the others. */
static bool is_left_out(const struct train_settings *s, const struct field *f)
{
    return (f->kind == MUON && s->optimizer != OPTIMIZER_MUON) ||
           (f->kind == DOCUMENTS && s->packing != PACKING_DOCUMENTS) ||
           (is_spikes(f) && f->kind != ON_SPIKE && s->spikes.policy == SPIKE_IGNORE);
}

/* A field that some runs' weights depend on, and not those of these settings: f32, adamw and no packing were all there was
 * before, and whether a run stops at a spike is no matter of weights. */
static bool reaches_nothing(const struct train_settings *s, const struct field *f)
{
    if (is_spikes(f) && s->spikes.policy != SPIKE_SKIP && s->spikes.policy != SPIKE_ROLLBACK)
        return true;
    if (f->offset == offsetof(struct train_settings, spikes.margin))
        return s->spikes.policy != SPIKE_ROLLBACK;
    return (f->kind == DTYPE && s->dtype == DTYPE_F32) || (f->kind == OPTIMIZER && s->optimizer == OPTIMIZER_ADAMW) ||
           (f->kind == PACKING && s->packing == PACKING_NONE) || is_left_out(s, f);
}

/* What limits sums of sizes before anything is multiplied in integers: far above any machine, far below 2^63. */
static bool absurd(const struct train_settings *s)
{
    const struct model_config *m = &s->model;
    const double width = (double)m->n_embd, inner = (double)m->n_inner, heads = (double)(m->n_head + 2 * m->n_kv_head);
    const double attention = heads * (double)m->head_dim;
    double parameters = (2 * (double)m->vocab_size + (double)m->n_positions) * width;
    parameters += (double)m->n_layer * width * (2 * attention + 3 * inner);
    double tokens = (double)s->batch_size * (double)s->seq_len;
    double activations =
        tokens * ((double)m->n_layer * (16 * width + 4 * attention + 4 * inner) + (double)m->vocab_size);
    return !(parameters < 0x1p50 && activations < 0x1p54);
}

static const char *const save_modes[] = {"overlapped", "blocking"};

const char *save_mode_name(enum save_mode mode)
{
    return save_modes[mode];
}

enum status save_mode_parse(const char *name, enum save_mode *out, struct error *err)
{
    for (unsigned i = 0; i < sizeof save_modes / sizeof *save_modes; i++)
        if (strcmp(name, save_modes[i]) == 0) {
            *out = (enum save_mode)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "unknown save mode '%s'; there are overlapped and blocking", name);
}

bool train_settings_save_on_the_way(const struct train_settings *s)
{
    return (s->save_every > 0 && s->save_every < s->steps) || (s->keep_every > 0 && s->keep_every < s->steps) ||
           s->save_seconds > 0;
}

bool train_settings_save_at(const struct train_settings *s, uint64_t step)
{
    return (s->save_every > 0 && step % s->save_every == 0) || (s->keep_every > 0 && step % s->keep_every == 0);
}

enum status train_settings_check(const struct train_settings *s, struct error *err)
{
    enum status st = model_config_check(&s->model, err);
    if (st != STATUS_OK)
        return st;
#define REFUSE(...) return error_set(err, STATUS_CONFIG, __VA_ARGS__)
    if (s->seq_len < 1 || s->seq_len > s->model.n_positions)
        REFUSE("seq_len is %zu, it must be from 1 to the model's n_positions, %zu", s->seq_len, s->model.n_positions);
    if (s->batch_size < 1 || s->batch_size > INT32_MAX)
        REFUSE("batch_size is %zu, it must be from 1 to %d", s->batch_size, INT32_MAX);
    if (s->micro_batch < 1 || s->micro_batch > s->batch_size || s->batch_size % s->micro_batch != 0)
        REFUSE("micro_batch is %zu, it must divide batch_size, %zu", s->micro_batch, s->batch_size);
    if (absurd(s))
        REFUSE("a model of %zu layers, %zu wide, with %zu sequences of %zu tokens is beyond what sizes can count",
               s->model.n_layer, s->model.n_embd, s->batch_size, s->seq_len);
    if (!(s->val_fraction >= 0 && s->val_fraction <= 0.5))
        REFUSE("val_fraction is %g, it must be from 0 to 0.5", s->val_fraction);
    if ((unsigned)s->packing > PACKING_DOCUMENTS)
        REFUSE("the packing is number %d, which is not one", (int)s->packing);
    if (s->documents_crc32 > UINT32_MAX)
        REFUSE("documents_crc32 is %" PRIu64 ", it must be at most %" PRIu32, s->documents_crc32, UINT32_MAX);
    if (s->seed > INT64_MAX)
        REFUSE("seed is %" PRIu64 ", it must be at most %" PRId64, s->seed, INT64_MAX);
    if (s->steps < 1 || s->steps > INT64_MAX / s->batch_size / s->seq_len)
        REFUSE("steps is %" PRIu64 ", it must be at least 1 and its tokens countable", s->steps);
    if (!(s->epochs >= 0 && s->epochs < 1e9))
        REFUSE("epochs is %g, it must be at least 0 and below 1e9", s->epochs);
    if (s->dtype != DTYPE_F32 && s->dtype != DTYPE_BF16)
        REFUSE("the dtype is number %d, it must be f32 or bf16", (int)s->dtype);
    if ((unsigned)s->schedule.kind > SCHEDULE_WSD)
        REFUSE("the schedule is number %d, which is not one", (int)s->schedule.kind);
    if (!(s->schedule.lr >= 0 && s->schedule.lr <= 1e3))
        REFUSE("lr is %g, it must be from 0 to 1000", s->schedule.lr);
    if (!(s->schedule.min_lr >= 0 && s->schedule.min_lr <= s->schedule.lr))
        REFUSE("min_lr is %g, it must be from 0 to lr, %g", s->schedule.min_lr, s->schedule.lr);
    if (s->schedule.warmup_steps > INT64_MAX)
        REFUSE("warmup_steps is %" PRIu64 ", it must be at most %" PRId64, s->schedule.warmup_steps, INT64_MAX);
    if (!(s->schedule.decay_fraction >= 0 && s->schedule.decay_fraction <= 1))
        REFUSE("decay_fraction is %g, it must be from 0 to 1", s->schedule.decay_fraction);
    if (!(s->beta1 >= 0 && s->beta1 < 1))
        REFUSE("beta1 is %g, it must be at least 0 and below 1", s->beta1);
    if (!(s->beta2 >= 0 && s->beta2 < 1))
        REFUSE("beta2 is %g, it must be at least 0 and below 1", s->beta2);
    if (!((float)s->eps > 0 && s->eps < 1))
        REFUSE("eps is %g, it must be above 0 and below 1", s->eps);
    if (!(s->weight_decay >= 0 && s->weight_decay <= 1e3))
        REFUSE("weight_decay is %g, it must be from 0 to 1000", s->weight_decay);
    if (!(s->grad_clip >= 0 && s->grad_clip <= 1e30))
        REFUSE("grad_clip is %g, it must be above 0, or 0 for none", s->grad_clip);
    if ((unsigned)s->optimizer >= OPTIMIZERS)
        REFUSE("the optimizer is number %d, which is not one", (int)s->optimizer);
    if (!(s->muon_lr >= 0 && s->muon_lr <= 1e3))
        REFUSE("muon_lr is %g, it must be from 0 (the same as lr) to 1000", s->muon_lr);
    if (!(s->muon_momentum >= 0 && s->muon_momentum < 1))
        REFUSE("muon_momentum is %g, it must be at least 0 and below 1", s->muon_momentum);
    if (s->recompute > s->model.n_layer)
        REFUSE("recompute is %zu, the model has %zu layers", s->recompute, s->model.n_layer);
    if (s->early_stop > 0 && (s->eval_every == 0 || !(s->val_fraction > 0)))
        REFUSE("early_stop is %" PRIu64 ", which takes evaluations: eval_every and val_fraction must be above 0",
               s->early_stop);
    if (s->save_best > 1)
        REFUSE("save_best is %" PRIu64 ", it must be 0 or 1", s->save_best);
    if ((st = spike_settings_check(&s->spikes, err)) != STATUS_OK)
        return st;
    if (s->keep < 2)
        REFUSE("keep is %" PRIu64 ", at least 2 checkpoints must be kept", s->keep);
    if (s->save_every > 0 && s->save_seconds > 0)
        REFUSE("save_every is %" PRIu64 " steps and save_seconds %" PRIu64 ", one of them must be 0", s->save_every,
               s->save_seconds);
    if (s->save_seconds > SAVE_SECONDS_MAX)
        REFUSE("save_seconds is %" PRIu64 ", it must be at most %d", s->save_seconds, (int)SAVE_SECONDS_MAX);
    if ((unsigned)s->save_mode > SAVE_BLOCKING)
        REFUSE("the save_mode is number %d, which is not one", (int)s->save_mode);
#undef REFUSE
    return STATUS_OK;
}

json_t *train_settings_json(const struct train_settings *s)
{
    json_t *object = json_object(), *model = model_config_object(&s->model);
    int failed = !object || !model;
    for (size_t i = 0; i < NUM_FIELDS && !failed; i++) {
        const struct field *f = &fields[i];
        json_t *value;
        if (f->in_model || is_left_out(s, f))
            continue;
        if (is_real(f))
            value = json_real(get_double(s, f));
        else if (f->kind == SCHEDULE)
            value = json_string(schedule_name(s->schedule.kind));
        else if (f->kind == DTYPE)
            value = json_string(dtype_name(s->dtype));
        else if (f->kind == OPTIMIZER)
            value = json_string(optimizer_name(s->optimizer));
        else if (f->kind == PACKING)
            value = json_string(packing_name(s->packing));
        else if (f->kind == SAVE_MODE)
            value = json_string(save_mode_name(s->save_mode));
        else if (f->kind == ON_SPIKE)
            value = json_string(spike_policy_names[s->spikes.policy]);
        else
            value = json_integer((json_int_t)get_u64(s, f));
        failed |= json_object_set_new(object, f->key, value);
    }
    if (!failed)
        failed |= json_object_set_new(object, "preset", json_string(s->preset));
    if (!failed)
        failed |= json_object_set(object, "model", model);
    json_decref(model);
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static enum status read_field(struct train_settings *out, const struct field *f, const json_t *object,
                              const char *where, struct error *err)
{
    void *to = (char *)out + f->offset;
    enum status st;
    if (is_left_out(out, f))
        return STATUS_OK;
    switch (f->kind) {
    case SIZE:
    case U64:
    case DOCUMENTS:
    case COUNT: {
        uint64_t value = 0;
        st = json_get_u64(object, f->key, f->kind != COUNT, INT64_MAX, &value, where, err);
        if (f->kind == SIZE)
            *(size_t *)to = (size_t)value;
        else
            *(uint64_t *)to = value;
        return st;
    }
    case DOUBLE:
        return json_get_double(object, f->key, true, to, where, err);
    case SCHEDULE: {
        const char *name = "";
        st = json_get_text(object, f->key, true, &name, where, err);
        if (st == STATUS_OK && (st = schedule_parse(name, to, err)) != STATUS_OK)
            error_prefix(err, "%s", where);
        return st;
    }
    case DTYPE: {
        const char *name = "f32"; /* where a run of before does not say */
        st = json_get_text(object, f->key, false, &name, where, err);
        if (st == STATUS_OK && (st = dtype_parse(name, to, err)) != STATUS_OK)
            error_prefix(err, "%s", where);
        return st;
    }
    case OPTIMIZER: {
        const char *name = "adamw"; /* where a run of before does not say */
        st = json_get_text(object, f->key, false, &name, where, err);
        if (st == STATUS_OK && (st = optimizer_parse(name, to, err)) != STATUS_OK)
            error_prefix(err, "%s", where);
        return st;
    }
    case RECOMPUTE: {
        uint64_t value = 0;
        st = json_get_u64(object, f->key, false, INT64_MAX, &value, where, err);
        *(size_t *)to = (size_t)value;
        return st;
    }
    case PACKING: {
        const char *name = "none"; /* where a run of before does not say */
        st = json_get_text(object, f->key, false, &name, where, err);
        if (st == STATUS_OK && (st = packing_parse(name, to, err)) != STATUS_OK)
            error_prefix(err, "%s", where);
        return st;
    }
    case SAVE_MODE: {
        const char *name = "overlapped";
        st = json_get_text(object, f->key, false, &name, where, err);
        if (st == STATUS_OK && (st = save_mode_parse(name, to, err)) != STATUS_OK)
            error_prefix(err, "%s", where);
        return st;
    }
    case ON_SPIKE: {
        const char *name = "ignore"; /* where a run of before does not say */
        st = json_get_text(object, f->key, false, &name, where, err);
        if (st == STATUS_OK && (st = spike_policy_parse(name, to, err)) != STATUS_OK)
            error_prefix(err, "%s", where);
        return st;
    }
    case SPIKE_COUNT:
        return json_get_u64(object, f->key, true, INT64_MAX, to, where, err);
    case MUON:
    case SPIKE_REAL:
        return json_get_double(object, f->key, true, to, where, err);
    default: /* the others are in the model only */
        break;
    }
    CHECK(false);
    return STATUS_MISUSE;
}

enum status train_settings_from_json(struct train_settings *out, const json_t *object, const char *where,
                                     struct error *err)
{
    *out = (struct train_settings){.muon_momentum = OPTIMIZER_MUON_MOMENTUM, .spikes = spike_settings_default()};
    if (!json_is_object(object))
        return error_set(err, STATUS_FORMAT, "%s: the settings must be an object", where);
    const json_t *model = json_object_get(object, "model");
    if (!json_is_object(model))
        return error_set(err, STATUS_FORMAT, "%s: \"model\" must be an object", where);
    const char *preset = "";
    enum status st = json_get_text(object, "preset", false, &preset, where, err);
    if (st != STATUS_OK)
        return st;
    if (strlen(preset) >= sizeof out->preset)
        return error_set(err, STATUS_FORMAT, "%s: \"preset\" is longer than %zu bytes", where, sizeof out->preset - 1);
    snprintf(out->preset, sizeof out->preset, "%s", preset);
    st = model_config_from_json(model, where, &out->model, err);
    for (size_t i = 0; i < NUM_FIELDS && st == STATUS_OK; i++)
        if (!fields[i].in_model)
            st = read_field(out, &fields[i], object, where, err);
    if (st == STATUS_OK && (st = train_settings_check(out, err)) != STATUS_OK)
        error_prefix(err, "%s", where);
    return st;
}

/* The value's bits, so that the text depends neither on rounding in print nor on the locale. */
static uint64_t bits(const struct train_settings *s, const struct field *f)
{
    if (!is_real(f))
        return get_u64(s, f);
    double value = get_double(s, f);
    uint64_t out;
    memcpy(&out, &value, sizeof out);
    return out;
}

uint32_t train_settings_hash(const struct train_settings *s, uint32_t data_crc32, uint32_t tokenizer_crc32)
{
    uint32_t crc = 0;
    char text[96];
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        if (!fields[i].hashed || (fields[i].not_gpt2 && s->model.family == MODEL_GPT2) ||
            reaches_nothing(s, &fields[i]))
            continue;
        int n = snprintf(text, sizeof text, "%s=%016" PRIx64 "\n", fields[i].key, bits(s, &fields[i]));
        crc = crc32_ieee(crc, text, (size_t)n);
    }
    int n = snprintf(text, sizeof text, "data=%08" PRIx32 "\ntokenizer=%08" PRIx32 "\n", data_crc32, tokenizer_crc32);
    return crc32_ieee(crc, text, (size_t)n);
}

static void value_text(const struct train_settings *s, const struct field *f, char *out, size_t size)
{
    if (f->kind == SCHEDULE)
        snprintf(out, size, "%s", schedule_name(s->schedule.kind));
    else if (f->kind == DTYPE)
        snprintf(out, size, "%s", dtype_name(s->dtype));
    else if (f->kind == OPTIMIZER)
        snprintf(out, size, "%s", optimizer_name(s->optimizer));
    else if (f->kind == PACKING)
        snprintf(out, size, "%s", packing_name(s->packing));
    else if (f->kind == ON_SPIKE)
        snprintf(out, size, "%s", spike_policy_names[s->spikes.policy]);
    else if (f->offset == offsetof(struct train_settings, model.family))
        snprintf(out, size, "%s", model_family_name(s->model.family));
    else if (is_real(f))
        snprintf(out, size, "%.*g", f->kind == FLOAT ? 6 : 12, get_double(s, f));
    else
        snprintf(out, size, "%" PRIu64, get_u64(s, f));
}

bool train_settings_differ(const struct train_settings *a, const struct train_settings *b, char *text, size_t size)
{
    for (size_t i = 0; i < NUM_FIELDS; i++) {
        const struct field *f = &fields[i];
        if (!f->hashed || bits(a, f) == bits(b, f) || (is_spikes(f) && reaches_nothing(a, f) && reaches_nothing(b, f)))
            continue;
        char x[40], y[40];
        value_text(a, f, x, sizeof x);
        value_text(b, f, y, sizeof y);
        snprintf(text, size, "%s: %s, %s", f->key, x, y);
        return true;
    }
    if (size)
        *text = 0;
    return false;
}
