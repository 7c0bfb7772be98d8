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
#include "ops/embedding.h"

#include <string.h>

struct taker {
    struct arena *arena; /* takes from it, or */
    struct sphere *me;   /* touches the member's share of what was taken from `from` on, or only counts */
    unsigned char *from;
    size_t bytes;
};

static void *take(struct taker *t, size_t bytes)
{
    if (t->me)
        mem_touch(t->from + t->bytes, bytes, (size_t)t->me->id, (size_t)t->me->width);
    t->bytes += arena_piece_bytes(bytes);
    return t->arena ? arena_alloc(t->arena, bytes) : NULL;
}

static float *take_floats(struct taker *t, size_t n)
{
    return take(t, n * sizeof(float));
}

static struct packed take_packed(const struct decoder *d, struct taker *t, size_t k, size_t n)
{
    return (struct packed){.dtype = d->dtype, .k = k, .n = n, .data = take(t, packed_bytes(d->dtype, k, n))};
}

static size_t chunk_rows(size_t rows, size_t vocab_size)
{
    const size_t budget = (size_t)64 << 20; /* bytes of logits at a time; the result does not depend on it */
    size_t n = budget / (vocab_size * sizeof(float)) / CHUNK_GRAIN * CHUNK_GRAIN;
    if (n < CHUNK_GRAIN)
        n = CHUNK_GRAIN;
    return n < rows ? n : rows;
}

static struct fused take_fused(const struct decoder *d, struct taker *t, size_t in, size_t out, bool bias)
{
    struct fused f = {.forward = take_packed(d, t, in, out)};
    if (d->use == DECODER_TRAIN)
        f.backward = take_packed(d, t, out, in);
    if (bias)
        f.bias = take_floats(t, out);
    return f;
}

static void lay_out_packed(struct decoder *d, struct taker *t)
{
    const struct model_config *c = &d->model->config;
    for (size_t l = 0; l < d->L; l++) {
        const struct layer_packed p = {.qkv = take_fused(d, t, d->C, d->E, c->qkv_bias),
                                       .proj = take_fused(d, t, d->A, d->C, c->out_bias),
                                       .up = take_fused(d, t, d->C, d->U, c->mlp_bias),
                                       .down = take_fused(d, t, d->F, d->C, c->mlp_bias)};
        if (d->packed)
            d->packed[l] = p;
    }
    d->head = take_packed(d, t, d->C, d->V);
    if (d->use == DECODER_TRAIN)
        d->head_t = take_packed(d, t, d->V, d->C);
}

/* All of a layer's activations but its input and that input's statistics. */
static struct layer_acts take_inner_acts(const struct decoder *d, struct taker *t)
{
    const size_t n = d->rows;
    const bool train = d->use == DECODER_TRAIN;
    struct layer_acts a = {.qkv = take_floats(t, n * d->E),
                           .att = take_floats(t, n * d->A),
                           .mid = take_floats(t, n * d->C),
                           .mean2 = take_floats(t, n),
                           .rstd2 = take_floats(t, n)};
    if (train && d->model->config.qk_norm) {
        a.qk_raw = take_floats(t, n * (d->H + d->kv_heads) * d->D);
        a.qk_rstd = take_floats(t, n * (d->H + d->kv_heads));
    }
    if (d->use != DECODER_GENERATE) {
        a.att_max = take_floats(t, n * d->H);
        a.att_inv = take_floats(t, n * d->H);
    }
    if (train || d->use == DECODER_GENERATE)
        a.fch = take_floats(t, n * d->U);
    return a;
}

static void lay_out_acts(struct decoder *d, struct taker *t)
{
    const size_t n = d->rows, C = d->C;
    struct layer_acts a = {0};
    for (size_t l = 0; l < (d->use == DECODER_TRAIN ? d->L : 1); l++) {
        if (l == 0 || l > d->recompute) /* else that of the layer before */
            a = take_inner_acts(d, t);
        a.x = take_floats(t, n * C);
        a.mean1 = take_floats(t, n);
        a.rstd1 = take_floats(t, n);
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
    const size_t n = d->rows, C = d->C;
    const struct model_config *c = &d->model->config;
    if (c->rope != ROPE_NONE) {
        const size_t angles = (d->use == DECODER_GENERATE ? ROW_BLOCK : d->T) * (d->D / 2);
        d->frequency = take(t, d->D / 2 * sizeof *d->frequency);
        d->cos = take_floats(t, angles);
        d->sin = take_floats(t, angles);
    }
    if (d->use == DECODER_GENERATE) {
        for (size_t l = 0; l < d->L; l++) {
            float *cache = take(t, attention_cache_bytes(d->T, d->kv_heads, d->D));
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
    const bool dropout = c->resid_pdrop > 0;
    d->dmlp = dropout ? take_floats(t, n * C) : d->g0;
    d->dproj = dropout ? take_floats(t, n * C) : d->g1;
    d->dh = take_floats(t, n * d->U);
    d->act = take_floats(t, n * d->F);
    d->dln2 = take_floats(t, n * C);
    d->ln2 = take_floats(t, n * C);
    d->datt = take_floats(t, n * d->A);
    d->dqkv = take_floats(t, n * d->E);
    if (c->qk_norm) {
        d->dq_norm = take_floats(t, d->B * d->H * d->D);
        d->dk_norm = take_floats(t, d->B * d->kv_heads * d->D);
    }
    d->ln1[0] = take_floats(t, n * C);
    d->ln1[1] = take_floats(t, n * C);
    d->dln1 = take_floats(t, n * C);
}

/* Shapes; everything else zero. */
static struct decoder shape_of(const struct model_config *c, enum decoder_use use, enum dtype dtype, size_t batch,
                               size_t seq_len)
{
    struct decoder d = {.use = use,
                        .dtype = dtype,
                        .B = use == DECODER_GENERATE ? 1 : batch,
                        .T = use == DECODER_GENERATE && seq_len == 0 ? c->n_positions : seq_len,
                        .C = c->n_embd,
                        .F = c->n_inner,
                        .H = c->n_head,
                        .L = c->n_layer,
                        .V = c->vocab_size,
                        .kv_heads = c->n_kv_head,
                        .D = c->head_dim,
                        .swiglu = c->mlp == MLP_SWIGLU,
                        .out_in = model_matrices_out_in(c)};
    d.A = d.H * d.D;
    d.E = d.A + 2 * d.kv_heads * d.D;
    d.U = d.swiglu ? 2 * d.F : d.F;
    d.num_qkv = c->family == MODEL_GPT2 ? 1 : 3;
    d.num_up = d.swiglu ? 2 : 1;
    d.rows = use == DECODER_GENERATE ? ROW_BLOCK : d.B * d.T; /* generation feeds at most a block at a time */
    d.chunk = chunk_rows(d.rows, d.V);
    d.logits_stride = (d.V + 15) / 16 * 16;
    return d;
}

/* Layers differ in their windows; the scratch must do for the widest view. */
static size_t attention_scratch_of(const struct decoder *d)
{
    const struct model_config *c = &d->model->config;
    size_t window = c->window;
    for (size_t l = 0; l < d->L; l++)
        if (!(c->layer_kind[l] & LAYER_WINDOW))
            window = 0;
    if (d->use == DECODER_GENERATE)
        return attention_cached_scratch_bytes(d->T, window);
    return attention_scratch_bytes(d->dtype, d->T, d->D, d->H / d->kv_heads, window);
}

static size_t scratch_of(const struct decoder *d)
{
    const size_t block =
        arena_piece_bytes(ROW_BLOCK * d->C * sizeof(float)) + arena_piece_bytes(ROW_BLOCK * d->U * sizeof(float));
    size_t most = block + matmul_scratch_bytes(d->dtype), attention = attention_scratch_of(d);
    size_t grad = weight_grad_scratch_bytes(d->dtype, d->rows);
    const size_t positions = embedding_grad_scratch_bytes(d->T);
    most = attention > most ? attention : most;
    if (d->use == DECODER_TRAIN && positions > most)
        most = positions;
    return d->use == DECODER_TRAIN && grad > most ? grad : most;
}

static int width_of(const struct decoder *d)
{
    const struct attention attention = {.batch = d->B, .heads = d->H, .kv_heads = d->kv_heads};
    const size_t heads = attention_forward_units(&attention);
    size_t width = (d->rows + ROW_GRAIN - 1) / ROW_GRAIN;
    if (d->use == DECODER_GENERATE)
        width = matmul_pack_units(d->dtype, d->V > d->U ? d->V : d->U);
    width = heads > width ? heads : width;
    if (d->use == DECODER_TRAIN) { /* phase A: attention and the weight gradients of MLP and projection; the head's */
        size_t phase = attention_backward_units(&attention) + weight_grad_units(d->dtype, d->F, d->C) +
                       weight_grad_units(d->dtype, d->C, d->U) + weight_grad_units(d->dtype, d->A, d->C);
        size_t head = weight_grad_units(d->dtype, d->V, d->C);
        width = phase > width ? phase : width;
        width = head > width ? head : width;
    }
    return width < SPHERES_MAX ? (int)width : SPHERES_MAX;
}

static size_t recomputed(const struct model_config *c, size_t wanted)
{
    return wanted < c->n_layer ? wanted : c->n_layer - 1;
}

static struct decoder_memory plan(const struct model_config *config, enum decoder_use use, enum dtype dtype,
                                  size_t batch, size_t seq_len, size_t recompute)
{
    struct decoder d = shape_of(config, use, dtype, batch, seq_len);
    d.recompute = recompute;
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

struct decoder_memory decoder_plan(const struct model_config *config, enum decoder_use use, enum dtype dtype,
                                   size_t batch, size_t seq_len)
{
    return plan(config, use, dtype, batch, seq_len, 0);
}

struct decoder_memory decoder_plan_training(const struct model_config *config, enum dtype dtype, size_t batch,
                                            size_t seq_len, size_t recompute)
{
    return plan(config, DECODER_TRAIN, dtype, batch, seq_len, recomputed(config, recompute));
}

/* Where a parameter goes in the tables of the decoder. */
static size_t *place_of(struct decoder *d, struct layer_params *l, enum param_role role)
{
    switch (role) {
    case PARAM_EMBEDDING:
        return &d->wte;
    case PARAM_POSITIONS:
        return &d->wpe;
    case PARAM_NORM1_W:
        return &l->norm1.weight;
    case PARAM_NORM1_B:
        return &l->norm1.bias;
    case PARAM_QKV_W:
    case PARAM_Q_W:
        return &l->qkv[0].weight;
    case PARAM_QKV_B:
    case PARAM_Q_B:
        return &l->qkv[0].bias;
    case PARAM_K_W:
        return &l->qkv[1].weight;
    case PARAM_K_B:
        return &l->qkv[1].bias;
    case PARAM_V_W:
        return &l->qkv[2].weight;
    case PARAM_V_B:
        return &l->qkv[2].bias;
    case PARAM_Q_NORM:
        return &l->q_norm;
    case PARAM_K_NORM:
        return &l->k_norm;
    case PARAM_PROJ_W:
        return &l->proj.weight;
    case PARAM_PROJ_B:
        return &l->proj.bias;
    case PARAM_NORM2_W:
        return &l->norm2.weight;
    case PARAM_NORM2_B:
        return &l->norm2.bias;
    case PARAM_GATE_W:
        return &l->up[0].weight;
    case PARAM_GATE_B:
        return &l->up[0].bias;
    case PARAM_UP_W:
        return &l->up[d->num_up - 1].weight;
    case PARAM_UP_B:
        return &l->up[d->num_up - 1].bias;
    case PARAM_DOWN_W:
        return &l->down.weight;
    case PARAM_DOWN_B:
        return &l->down.bias;
    case PARAM_NORMF_W:
        return &d->normf.weight;
    case PARAM_NORMF_B:
        return &d->normf.bias;
    case PARAM_HEAD:
        return &d->head_w;
    case PARAM_ROLES:
        break;
    }
    CHECK(false); /* a parameter without a place */
    return NULL;
}

static void find_params(struct decoder *d)
{
    const struct model *m = d->model;
    const struct norm_params no_norm = {NONE, NONE};
    const size_t kv = d->kv_heads * d->D;
    const struct matrix none = {NONE, NONE, 0, 0};
    d->wpe = d->head_w = NONE;
    d->normf = no_norm;
    for (size_t l = 0; l < d->L; l++) {
        struct layer_params *p = &d->params[l];
        *p = (struct layer_params){no_norm, no_norm, {none, none, none}, none, {none, none}, none, NONE, NONE};
        for (size_t i = 0; i < d->num_qkv; i++) {
            p->qkv[i].in = d->C;
            p->qkv[i].out = d->num_qkv == 1 ? d->E : i == 0 ? d->A : kv;
        }
        for (size_t i = 0; i < d->num_up; i++) {
            p->up[i].in = d->C;
            p->up[i].out = d->F;
        }
        p->proj.in = d->A;
        p->down.in = d->F;
        p->proj.out = p->down.out = d->C;
    }
    for (size_t i = 0; i < m->num_params; i++)
        *place_of(d, &d->params[m->params[i].layer], m->params[i].role) = m->params[i].offset;
    if (d->head_w == NONE)
        d->head_w = d->wte;
}

static void find_rotation(struct decoder *d)
{
    const struct model_config *c = &d->model->config;
    const size_t half = d->D / 2;
    if (c->rope == ROPE_NONE)
        return;
    rope_frequencies(d->frequency, half, (double)c->rope_theta);
    if (c->rope == ROPE_LINEAR)
        rope_scale_linear(d->frequency, half, (double)c->rope_factor);
    if (c->rope == ROPE_LLAMA3)
        rope_scale_llama3(d->frequency, half, (double)c->rope_factor, (double)c->rope_low_freq_factor,
                          (double)c->rope_high_freq_factor, (double)c->rope_original_positions);
    if (d->use != DECODER_GENERATE)
        rope_angles(d->cos, d->sin, d->frequency, half, 0, d->T);
}

static struct decoder *make(struct model *model, enum decoder_use use, enum dtype dtype, size_t batch, size_t seq_len,
                            size_t recompute, struct error *err)
{
    const struct model_config *c = &model->config;
    if (batch < 1 || (seq_len < 1 && use != DECODER_GENERATE) || seq_len > c->n_positions) {
        error_set(err, STATUS_CONFIG, "a leaf of %zu sequences of %zu tokens; the model takes 1 to %zu tokens", batch,
                  seq_len, c->n_positions);
        return NULL;
    }
    const struct decoder_memory planned = plan(c, use, dtype, batch, seq_len, recompute);
    struct decoder *d = mem_calloc(1, sizeof *d);
    if (!d) {
        error_set(err, STATUS_NOMEM, "out of memory for a decoder");
        return NULL;
    }
    *d = shape_of(c, use, dtype, batch, seq_len);
    d->model = model;
    d->recompute = recompute;
    d->params = mem_calloc(d->L, sizeof *d->params);
    d->packed = mem_calloc(d->L, sizeof *d->packed);
    d->acts = mem_calloc(d->L, sizeof *d->acts);
    d->cache = mem_calloc(d->L, sizeof *d->cache);
    if (!d->params || !d->packed || !d->acts || !d->cache) {
        error_set(err, STATUS_NOMEM, "out of memory for a decoder");
    } else if (arena_init(&d->packed_memory, planned.packed_bytes, err) == STATUS_OK &&
               arena_init(&d->activation_memory, planned.activation_bytes, err) == STATUS_OK &&
               arena_init(&d->shared_memory, planned.shared_bytes, err) == STATUS_OK) {
        if (use == DECODER_TRAIN) {
            arena_expect(&d->packed_memory);
            arena_expect(&d->activation_memory);
            arena_expect(&d->shared_memory);
        }
        struct taker packed = {.arena = &d->packed_memory}, acts = {.arena = &d->activation_memory},
                     shared = {.arena = &d->shared_memory};
        lay_out_packed(d, &packed);
        lay_out_acts(d, &acts);
        lay_out_shared(d, &shared);
        CHECK(packed.bytes == planned.packed_bytes && acts.bytes == planned.activation_bytes &&
              shared.bytes == planned.shared_bytes);
        find_params(d);
        find_rotation(d);
        return d;
    }
    decoder_free(d);
    return NULL;
}

void decoder_touch(struct sphere *me, const struct decoder *decoder)
{
    struct decoder walk = *decoder;
    struct taker packed = {.me = me, .from = decoder->packed_memory.base},
                 acts = {.me = me, .from = decoder->activation_memory.base},
                 shared = {.me = me, .from = decoder->shared_memory.base};
    walk.packed = NULL;
    walk.acts = NULL;
    walk.cache = NULL;
    lay_out_packed(&walk, &packed);
    lay_out_acts(&walk, &acts);
    lay_out_shared(&walk, &shared);
}

struct decoder *decoder_new(struct model *model, enum decoder_use use, enum dtype dtype, size_t batch, size_t seq_len,
                            struct error *err)
{
    return make(model, use, dtype, batch, seq_len, 0, err);
}

struct decoder *decoder_new_training(struct model *model, enum dtype dtype, size_t batch, size_t seq_len,
                                     size_t recompute, struct error *err)
{
    return make(model, DECODER_TRAIN, dtype, batch, seq_len, recomputed(&model->config, recompute), err);
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

/* Matrices over one input into one product, and their biases side by side. */
static void pack_fused(struct sphere *me, const struct decoder *d, struct fused *f, const struct matrix *m, size_t n)
{
    struct part forward[3], backward[3];
    size_t column = 0;
    CHECK(n <= 3);
    for (size_t i = 0; i < n; i++) {
        const float *w = param_at(d, m[i].weight);
        const size_t in = d->out_in ? 1 : m[i].out, out = d->out_in ? m[i].in : 1; /* strides */
        forward[i] = (struct part){w, in, out, m[i].in, m[i].out};
        backward[i] = (struct part){w, out, in, m[i].out, m[i].in};
        if (f->bias && me->id == 0)
            memcpy(f->bias + column, param_at(d, m[i].bias), m[i].out * sizeof(float));
        column += m[i].out;
    }
    matmul_pack_beside(me, &f->forward, forward, n);
    if (d->use == DECODER_TRAIN)
        matmul_pack_below(me, &f->backward, backward, n);
}

void decoder_pack(struct sphere *me, struct decoder *d)
{
    const size_t C = d->C;
    for (size_t l = 0; l < d->L; l++) {
        const struct layer_params *at = &d->params[l];
        struct layer_packed *p = &d->packed[l];
        pack_fused(me, d, &p->qkv, at->qkv, d->num_qkv);
        pack_fused(me, d, &p->proj, &at->proj, 1);
        pack_fused(me, d, &p->up, at->up, d->num_up);
        pack_fused(me, d, &p->down, &at->down, 1);
    }
    const float *head = param_at(d, d->head_w); /* [V,C], whichever family */
    matmul_pack(me, &d->head, head, 1, C);
    if (d->use == DECODER_TRAIN)
        matmul_pack(me, &d->head_t, head, C, 1);
    sphere_barrier(me);
}

/* Multiplications of a layer's products per token, without attention's; the last product's alone. */
static double down_products(const struct model_config *c)
{
    return (double)c->n_embd * (double)c->n_inner;
}

static double layer_products(const struct model_config *c)
{
    const double C = (double)c->n_embd, A = (double)(c->n_head * c->head_dim);
    const double kv = (double)(c->n_kv_head * c->head_dim);
    return C * (A + 2 * kv) + A * C + (c->mlp == MLP_SWIGLU ? 3 : 2) * down_products(c);
}

/* Pairs of queries and keys in the first `layers` layers. */
static double pairs_of(const struct model_config *c, size_t seq_len, size_t layers)
{
    double pairs = 0;
    for (size_t l = 0; l < layers; l++)
        pairs += (double)attention_pairs(seq_len, c->layer_kind[l] & LAYER_WINDOW ? c->window : 0);
    return pairs;
}

double decoder_train_flops_per_token(const struct model_config *c, size_t seq_len)
{
    const double A = (double)(c->n_head * c->head_dim), head = (double)c->vocab_size * (double)c->n_embd;
    return 6 * ((double)c->n_layer * layer_products(c) + head) +
           12 * A * pairs_of(c, seq_len, c->n_layer) / (double)seq_len;
}

/* The last product is not run again: nothing wants its result. */
double decoder_recompute_flops_per_token(const struct model_config *c, size_t seq_len, size_t recompute)
{
    const size_t layers = recomputed(c, recompute);
    const double A = (double)(c->n_head * c->head_dim);
    return 2 * (double)layers * (layer_products(c) - down_products(c)) +
           4 * A * pairs_of(c, seq_len, layers) / (double)seq_len;
}
