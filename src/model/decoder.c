/* SPDX-License-Identifier: MIT
 * decoder.c - what memory a decoder needs, and the packing of weights.
 *
 * One function lays out every buffer (lay_out).  With no arenas it only adds up, with them it takes the pieces: so
 * the plan is what is used, by construction.
 */
#include "model/decoder.h"

#include "base/check.h"
#include "base/memory.h"
#include "decoder_internal.h"

#include <string.h>

struct taker {
    struct arena *arena; /* NULL: only count */
    size_t bytes;
};

static void *take(struct taker *t, size_t bytes)
{
    t->bytes += arena_piece_bytes(bytes);
    return t->arena ? arena_alloc(t->arena, bytes) : NULL;
}

static float *take_floats(struct taker *t, size_t n)
{
    return take(t, n * sizeof(float));
}

static struct packed take_packed(struct taker *t, size_t k, size_t n)
{
    return (struct packed){.data = take(t, packed_bytes(k, n)), .k = k, .n = n};
}

static size_t chunk_rows(size_t rows, size_t vocab_size)
{
    const size_t budget = (size_t)64 << 20; /* bytes of logits at a time; the result does not depend on it */
    size_t n = budget / (vocab_size * sizeof(float)) / ROW_BLOCK * ROW_BLOCK;
    if (n < ROW_BLOCK)
        n = ROW_BLOCK;
    return n < rows ? n : rows;
}

static void lay_out_packed(struct decoder *d, struct taker *t)
{
    const bool train = d->use == DECODER_TRAIN;
    const size_t C = d->C, F = d->F;
    for (size_t l = 0; l < d->L; l++) {
        struct layer_packed p = {.qkv = take_packed(t, C, 3 * C),
                                 .proj = take_packed(t, C, C),
                                 .fc = take_packed(t, C, F),
                                 .fcproj = take_packed(t, F, C)};
        if (train) {
            p.qkv_t = take_packed(t, 3 * C, C);
            p.proj_t = take_packed(t, C, C);
            p.fc_t = take_packed(t, F, C);
            p.fcproj_t = take_packed(t, C, F);
        }
        if (d->packed)
            d->packed[l] = p;
    }
    d->head = take_packed(t, C, d->V);
    if (train)
        d->head_t = take_packed(t, d->V, C);
}

static void lay_out_acts(struct decoder *d, struct taker *t)
{
    const size_t n = d->rows, C = d->C;
    const bool train = d->use == DECODER_TRAIN;
    for (size_t l = 0; l < (train ? d->L : 1); l++) {
        struct layer_acts a = {.x = take_floats(t, n * C),
                               .mean1 = take_floats(t, n),
                               .rstd1 = take_floats(t, n),
                               .qkv = take_floats(t, 3 * n * C),
                               .att = take_floats(t, n * C),
                               .mid = take_floats(t, n * C),
                               .mean2 = take_floats(t, n),
                               .rstd2 = take_floats(t, n)};
        if (d->use != DECODER_GENERATE) {
            a.att_max = take_floats(t, n * d->H);
            a.att_inv = take_floats(t, n * d->H);
        }
        if (train || d->use == DECODER_GENERATE)
            a.fch = take_floats(t, n * d->F);
        if (d->acts)
            d->acts[l] = a;
    }
    d->x_last = take_floats(t, n * C);
    d->meanf = take_floats(t, n);
    d->rstdf = take_floats(t, n);
    d->xf = take_floats(t, n * C);
}

static void lay_out_shared(struct decoder *d, struct taker *t)
{
    const size_t n = d->rows, C = d->C, F = d->F;
    if (d->use == DECODER_GENERATE) {
        for (size_t l = 0; l < d->L; l++) {
            float *cache = take(t, attention_cache_bytes(d->T, d->H, C / d->H));
            if (d->cache)
                d->cache[l] = cache;
        }
        return;
    }
    d->logits = take_floats(t, d->chunk * d->logits_stride);
    d->losses = take(t, n * sizeof *d->losses);
    if (d->use != DECODER_TRAIN)
        return;
    d->dxf = take_floats(t, n * C);
    d->g0 = take_floats(t, n * C);
    d->g1 = take_floats(t, n * C);
    const bool dropout = d->model ? d->model->config.resid_pdrop > 0 : true;
    d->dmlp = dropout ? take_floats(t, n * C) : d->g0;
    d->dproj = dropout ? take_floats(t, n * C) : d->g1;
    d->dh = take_floats(t, n * F);
    d->act = take_floats(t, n * F);
    d->dln2 = take_floats(t, n * C);
    d->ln2 = take_floats(t, n * C);
    d->datt = take_floats(t, n * C);
    d->dqkv = take_floats(t, 3 * n * C);
    d->ln1[0] = take_floats(t, n * C);
    d->ln1[1] = take_floats(t, n * C);
    d->dln1 = take_floats(t, n * C);
}

/* Shapes; everything else zero. */
static struct decoder shape_of(const struct model_config *c, enum decoder_use use, size_t batch, size_t seq_len)
{
    struct decoder d = {.use = use,
                        .B = use == DECODER_GENERATE ? 1 : batch,
                        .T = use == DECODER_GENERATE ? c->n_positions : seq_len,
                        .C = c->n_embd,
                        .F = c->n_inner,
                        .H = c->n_head,
                        .L = c->n_layer,
                        .V = c->vocab_size};
    d.rows = use == DECODER_GENERATE ? ROW_BLOCK : d.B * d.T; /* generation feeds at most a block at a time */
    d.chunk = chunk_rows(d.rows, d.V);
    d.logits_stride = (d.V + 15) / 16 * 16;
    return d;
}

static size_t scratch_of(const struct decoder *d)
{
    const size_t block =
        arena_piece_bytes(ROW_BLOCK * d->C * sizeof(float)) + arena_piece_bytes(ROW_BLOCK * d->F * sizeof(float));
    size_t most = block, attention = attention_scratch_bytes(d->T, d->C / d->H),
           grad = weight_grad_scratch_bytes(d->rows);
    most = attention > most ? attention : most;
    return d->use == DECODER_TRAIN && grad > most ? grad : most;
}

static int width_of(const struct decoder *d)
{
    size_t width = (d->rows + ROW_GRAIN - 1) / ROW_GRAIN, attention = attention_units(d->B, d->H);
    if (d->use == DECODER_GENERATE)
        width = matmul_pack_units(d->V > d->F ? d->V : d->F);
    width = attention > width ? attention : width;
    if (d->use == DECODER_TRAIN) { /* phase A: attention and three weight gradients at once; the head's */
        size_t phase =
            attention + weight_grad_units(d->F, d->C) + weight_grad_units(d->C, d->F) + weight_grad_units(d->C, d->C);
        size_t head = weight_grad_units(d->V, d->C);
        width = phase > width ? phase : width;
        width = head > width ? head : width;
    }
    return width < SPHERES_MAX ? (int)width : SPHERES_MAX;
}

struct decoder_memory decoder_plan(const struct model_config *config, enum decoder_use use, size_t batch,
                                   size_t seq_len)
{
    struct decoder d = shape_of(config, use, batch, seq_len);
    struct model shape = {.config = *config};
    struct taker packed = {0}, acts = {0}, shared = {0};
    d.model = &shape;
    lay_out_packed(&d, &packed);
    lay_out_acts(&d, &acts);
    lay_out_shared(&d, &shared);
    return (struct decoder_memory){.packed_bytes = packed.bytes,
                                   .activation_bytes = acts.bytes,
                                   .shared_bytes = shared.bytes,
                                   .sphere_scratch_bytes = scratch_of(&d),
                                   .max_width = width_of(&d)};
}

static size_t offset_of(const struct model *m, size_t index)
{
    return m->params[index].offset;
}

static void find_params(struct decoder *d)
{
    const struct model *m = d->model;
    d->wte = offset_of(m, 0);
    d->wpe = offset_of(m, 1);
    for (size_t l = 0; l < d->L; l++) {
        const size_t i = 2 + 12 * l;
        d->params[l] =
            (struct layer_params){offset_of(m, i),     offset_of(m, i + 1), offset_of(m, i + 2),  offset_of(m, i + 3),
                                  offset_of(m, i + 4), offset_of(m, i + 5), offset_of(m, i + 6),  offset_of(m, i + 7),
                                  offset_of(m, i + 8), offset_of(m, i + 9), offset_of(m, i + 10), offset_of(m, i + 11)};
    }
    d->lnf_w = offset_of(m, 2 + 12 * d->L);
    d->lnf_b = offset_of(m, 3 + 12 * d->L);
}

struct decoder *decoder_new(struct model *model, enum decoder_use use, size_t batch, size_t seq_len, struct error *err)
{
    const struct model_config *c = &model->config;
    if (use != DECODER_GENERATE && (batch < 1 || seq_len < 1 || seq_len > c->n_positions)) {
        error_set(err, STATUS_CONFIG, "a leaf of %zu sequences of %zu tokens; the model takes 1 to %zu tokens", batch,
                  seq_len, c->n_positions);
        return NULL;
    }
    const struct decoder_memory plan = decoder_plan(c, use, batch, seq_len);
    struct decoder *d = mem_calloc(1, sizeof *d);
    if (!d) {
        error_set(err, STATUS_NOMEM, "out of memory for a decoder");
        return NULL;
    }
    *d = shape_of(c, use, batch, seq_len);
    d->model = model;
    d->params = mem_calloc(d->L, sizeof *d->params);
    d->packed = mem_calloc(d->L, sizeof *d->packed);
    d->acts = mem_calloc(d->L, sizeof *d->acts);
    d->cache = mem_calloc(d->L, sizeof *d->cache);
    if (!d->params || !d->packed || !d->acts || !d->cache) {
        error_set(err, STATUS_NOMEM, "out of memory for a decoder");
    } else if (arena_init(&d->packed_memory, plan.packed_bytes, err) == STATUS_OK &&
               arena_init(&d->activation_memory, plan.activation_bytes, err) == STATUS_OK &&
               arena_init(&d->shared_memory, plan.shared_bytes, err) == STATUS_OK) {
        if (use == DECODER_TRAIN) { /* the memory comes now or not at all, not in the middle of a run */
            arena_touch(&d->packed_memory);
            arena_touch(&d->activation_memory);
            arena_touch(&d->shared_memory);
        }
        struct taker packed = {&d->packed_memory, 0}, acts = {&d->activation_memory, 0},
                     shared = {&d->shared_memory, 0};
        lay_out_packed(d, &packed);
        lay_out_acts(d, &acts);
        lay_out_shared(d, &shared);
        CHECK(packed.bytes == plan.packed_bytes && acts.bytes == plan.activation_bytes &&
              shared.bytes == plan.shared_bytes);
        find_params(d);
        return d;
    }
    decoder_free(d);
    return NULL;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    arena_release(&d->packed_memory);
    arena_release(&d->activation_memory);
    arena_release(&d->shared_memory);
    mem_free(d->params);
    mem_free(d->packed);
    mem_free(d->acts);
    mem_free(d->cache);
    mem_free(d);
}

void decoder_pack(struct sphere *me, struct decoder *d)
{
    const float *w = d->model->data;
    const size_t C = d->C, F = d->F;
    for (size_t l = 0; l < d->L; l++) {
        const struct layer_params *at = &d->params[l];
        struct layer_packed *p = &d->packed[l];
        matmul_pack(me, &p->qkv, w + at->qkv_w, 3 * C, 1);
        matmul_pack(me, &p->proj, w + at->proj_w, C, 1);
        matmul_pack(me, &p->fc, w + at->fc_w, F, 1);
        matmul_pack(me, &p->fcproj, w + at->fcproj_w, C, 1);
        if (d->use == DECODER_TRAIN) {
            matmul_pack(me, &p->qkv_t, w + at->qkv_w, 1, 3 * C);
            matmul_pack(me, &p->proj_t, w + at->proj_w, 1, C);
            matmul_pack(me, &p->fc_t, w + at->fc_w, 1, F);
            matmul_pack(me, &p->fcproj_t, w + at->fcproj_w, 1, C);
        }
    }
    matmul_pack(me, &d->head, w + d->wte, 1, C);
    if (d->use == DECODER_TRAIN)
        matmul_pack(me, &d->head_t, w + d->wte, C, 1);
    sphere_barrier(me);
}

double decoder_train_flops_per_token(const struct model_config *c, size_t seq_len)
{
    const double C = (double)c->n_embd, L = (double)c->n_layer;
    const double matrices = L * (4 * C * C + 2 * C * (double)c->n_inner) + (double)c->vocab_size * C;
    return 6 * matrices + 6 * L * C * (double)seq_len; /* the causal half of attention's 12 L C T */
}
