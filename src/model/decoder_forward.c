/* SPDX-License-Identifier: MIT
 * decoder_forward.c - one leaf forward.
 *
 *     own rows: embedding
 *     each layer   own rows: norm 1, q k v and what their heads go through  | barrier | heads: attention | barrier |
 *                  own rows: projection + residual, norm 2, up, activation, down + residual
 *     own rows: last norm | barrier | head in chunks
 *
 * Own rows go in blocks of ROW_BLOCK, whose intermediate results stay in the sphere's scratch (L2).
 */
#include "decoder_internal.h"
#include "ops/activation.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "runtime/profile.h"

#include <string.h>

/* Scratch of the forward on one row block. */
struct row_scratch {
    float *ln; /* [ROW_BLOCK,C] */
    float *h;  /* [ROW_BLOCK,U] */
};

static struct row_scratch row_scratch_take(struct sphere *me, const struct decoder *d)
{
    return (struct row_scratch){.ln = arena_alloc(&me->scratch, ROW_BLOCK * d->C * sizeof(float)),
                                .h = arena_alloc(&me->scratch, ROW_BLOCK * d->U * sizeof(float))};
}

struct attention attention_of(const struct decoder *d, const struct layer_acts *a, size_t l, const struct leaf *leaf)
{
    const struct model_config *c = &d->model->config;
    const double p = leaf_trains(leaf) ? (double)c->attn_pdrop : 0;
    return (struct attention){.dtype = d->dtype,
                              .batch = d->B,
                              .seq_len = d->T,
                              .heads = d->H,
                              .kv_heads = d->kv_heads,
                              .head_dim = d->D,
                              .window = c->layer_kind[l] & LAYER_WINDOW ? c->window : 0,
                              .first = leaf->first,
                              .qkv = a->qkv,
                              .out = a->att,
                              .max = a->att_max,
                              .inverse_sum = a->att_inv,
                              .dropout = dropout_make(leaf->dropout_key, l, SITE_ATTENTION, p),
                              .first_sequence = leaf->first_sequence};
}

struct heads heads_of(const struct decoder *d, const struct layer_acts *a, size_t l, const int32_t *first)
{
    const struct layer_params *at = &d->params[l];
    const struct model_config *c = &d->model->config;
    const bool rotates = c->rope != ROPE_NONE && !(c->layer_kind[l] & LAYER_NO_ROPE);
    return (struct heads){.heads = d->H,
                          .kv_heads = d->kv_heads,
                          .head_dim = d->D,
                          .period = d->use == DECODER_GENERATE ? ROW_BLOCK : d->T,
                          .first = first,
                          .cos = rotates ? d->cos : NULL,
                          .sin = rotates ? d->sin : NULL,
                          .q_weight = param_at(d, at->q_norm),
                          .k_weight = param_at(d, at->k_norm),
                          .eps = c->norm_epsilon,
                          .raw = a->qk_raw,
                          .rstd = a->qk_rstd,
                          .rows = d->rows,
                          .dq_weight = d->dq_norm,
                          .dk_weight = d->dk_norm};
}

static struct dropout residual_dropout(const struct decoder *d, const struct leaf *leaf, size_t layer, uint64_t site)
{
    return dropout_make(leaf->dropout_key, layer, site, leaf_trains(leaf) ? (double)d->model->config.resid_pdrop : 0);
}

/* y = base + dropout(x · b + bias) on a block of rows; y is written in full before base is needed elsewhere. */
static void residual_product(struct sphere *me, float *y, const float *x, size_t x_stride, size_t rows,
                             const struct fused *b, const float *base, const struct dropout *drop, uint64_t mask_row)
{
    const size_t C = b->forward.n;
    if (!drop->threshold) {
        matmul_rows(me, y, C, x, x_stride, rows, &b->forward, b->bias, base, C);
        return;
    }
    matmul_rows(me, y, C, x, x_stride, rows, &b->forward, b->bias, NULL, 0);
    dropout_rows(drop, y, rows, C, mask_row);
    add_to(y, base, rows * C);
}

static void rows_to_qkv(struct sphere *me, struct decoder *d, size_t l, struct layer_acts *a, struct share own,
                        struct row_scratch *s, const struct leaf *leaf)
{
    const struct norm norm = norm_at(d, d->params[l].norm1);
    const struct fused *qkv = &d->packed[l].qkv;
    const struct heads heads = heads_of(d, a, l, leaf->first);
    const struct share all = {0, d->H + d->kv_heads};
    const size_t C = d->C, E = d->E;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        norm_rows(&norm, s->ln, a->x + r * C, n, C, a->mean1 + r, a->rstd1 + r);
        matmul_rows(me, a->qkv + r * E, E, s->ln, C, n, &qkv->forward, qkv->bias, NULL, 0);
        heads_forward(&heads, a->qkv + r * E, r, n, all);
    }
}

/* x_next NULL: the last product is left out, and the activation before it. */
static void rows_to_next(struct sphere *me, struct decoder *d, size_t l, struct layer_acts *a, float *x_next,
                         struct share own, struct row_scratch *s, const struct leaf *leaf)
{
    const struct norm norm = norm_at(d, d->params[l].norm2);
    const struct layer_packed *p = &d->packed[l];
    const size_t C = d->C, F = d->F, U = d->U;
    const struct dropout drop_proj = residual_dropout(d, leaf, l, SITE_PROJECTION);
    const struct dropout drop_mlp = residual_dropout(d, leaf, l, SITE_MLP);
    const uint64_t mask0 = leaf->first_sequence * d->T;
    const struct share all = {0, F};
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        float *h = a->fch ? a->fch + r * U : s->h;
        const size_t act_stride = a->fch ? F : U; /* the activation takes the place of what nobody wants again */
        residual_product(me, a->mid + r * C, a->att + r * d->A, d->A, n, &p->proj, a->x + r * C, &drop_proj, mask0 + r);
        norm_rows(&norm, s->ln, a->mid + r * C, n, C, a->mean2 + r, a->rstd2 + r);
        matmul_rows(me, h, U, s->ln, C, n, &p->up.forward, p->up.bias, NULL, 0);
        if (!x_next)
            continue;
        if (d->swiglu)
            swiglu_rows(me, s->h, act_stride, h, U, n, F, all);
        else
            gelu_forward(me, s->h, h, n * F);
        residual_product(me, x_next + r * C, s->h, act_stride, n, &p->down, a->mid + r * C, &drop_mlp, mask0 + r);
    }
}

void decoder_forward(struct sphere *me, struct decoder *d, const struct leaf *leaf)
{
    const struct model_config *c = &d->model->config;
    const struct norm normf = norm_at(d, d->normf);
    const size_t C = d->C, mark = arena_mark(&me->scratch);
    const struct share own = own_rows(me, d->rows);
    const bool train = d->use == DECODER_TRAIN;

    sphere_phase(me, "embedding, q k v");
    float *x = d->acts[0].x + own.begin * C;
    embedding_rows(x, leaf->inputs + own.begin, param_at(d, d->wte), param_at(d, d->wpe), own.end - own.begin, C,
                   own.begin, d->T, leaf->first ? leaf->first + own.begin : NULL);
    if (leaf_trains(leaf)) {
        const struct dropout drop = dropout_make(leaf->dropout_key, d->L, SITE_EMBEDDING, (double)c->embd_pdrop);
        dropout_rows(&drop, x, own.end - own.begin, C, leaf->first_sequence * d->T + own.begin);
    }
    for (size_t l = 0; l < d->L; l++) {
        struct layer_acts *a = &d->acts[train ? l : 0];
        struct row_scratch s = row_scratch_take(me, d);
        sphere_phase(me, "embedding, q k v");
        rows_to_qkv(me, d, l, a, own, &s, leaf);
        arena_reset(&me->scratch, mark);
        sphere_barrier(me);

        sphere_phase(me, "attention");
        const struct attention attention = attention_of(d, a, l, leaf);
        const struct work work = attention_forward_work(&attention);
        work_run(me, &work, 1);
        sphere_barrier(me);

        sphere_phase(me, "rows to next");
        s = row_scratch_take(me, d);
        float *next = l + 1 == d->L ? d->x_last : d->acts[train ? l + 1 : 0].x;
        rows_to_next(me, d, l, a, next, own, &s, leaf);
        arena_reset(&me->scratch, mark);
    }
    norm_rows(&normf, d->xf + own.begin * C, d->x_last + own.begin * C, own.end - own.begin, C, d->meanf + own.begin,
              d->rstdf + own.begin);
    sphere_barrier(me);
}

void decoder_rerun_layer(struct sphere *me, struct decoder *d, size_t l, const struct leaf *leaf)
{
    const size_t mark = arena_mark(&me->scratch);
    const struct share own = own_rows(me, d->rows);
    struct layer_acts *a = &d->acts[l];
    struct row_scratch s = row_scratch_take(me, d);
    sphere_phase(me, "recompute");
    rows_to_qkv(me, d, l, a, own, &s, leaf);
    arena_reset(&me->scratch, mark);
    sphere_barrier(me);
    const struct attention attention = attention_of(d, a, l, leaf);
    const struct work work = attention_forward_work(&attention);
    work_run(me, &work, 1);
    sphere_barrier(me);
    s = row_scratch_take(me, d);
    rows_to_next(me, d, l, a, NULL, own, &s, leaf);
    arena_reset(&me->scratch, mark);
}

size_t decoder_chunks(const struct decoder *d)
{
    return (d->rows + d->chunk - 1) / d->chunk;
}

void decoder_head_rows(struct sphere *me, struct decoder *d, size_t begin, size_t rows, const struct leaf *leaf)
{
    const struct share own = own_rows(me, rows);
    const size_t C = d->C, n = own.end - own.begin, row = begin + own.begin;
    float *logits = d->logits + own.begin * d->logits_stride;
    if (n == 0)
        return;
    matmul_rows(me, logits, d->logits_stride, d->xf + row * C, C, n, &d->head, NULL, NULL, 0);
    cross_entropy_rows(me, logits, d->logits_stride, d->V, leaf->targets + row,
                       leaf->supervised ? leaf->supervised + row : NULL, n, leaf_trains(leaf), leaf->loss_scale,
                       d->losses + row);
    if (leaf_trains(leaf)) {
        matmul_rows(me, d->dxf + row * C, C, logits, d->logits_stride, n, &d->head_t, NULL, NULL, 0);
        me->stats.tokens += n;
        for (size_t r = row; r < row + n; r++)
            me->stats.sequences += r % d->T == d->T - 1;
    }
}

void decoder_eval_leaf(struct sphere *me, struct decoder *d, const struct leaf *given, double *loss_sum)
{
    const struct leaf leaf = {given->inputs, given->targets, .first = given->first, .supervised = given->supervised};
    decoder_forward(me, d, &leaf);
    for (size_t begin = 0; begin < d->rows; begin += d->chunk)
        decoder_head_rows(me, d, begin, d->rows - begin < d->chunk ? d->rows - begin : d->chunk, &leaf);
    sphere_barrier(me);
    if (me->id == 0)
        *loss_sum = sum_in_order(d->losses, d->rows);
    sphere_barrier(me);
}
