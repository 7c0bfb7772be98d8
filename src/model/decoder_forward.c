/* SPDX-License-Identifier: MIT
 * decoder_forward.c - one leaf forward.
 *
 *     own rows: embedding
 *     each layer   own rows: ln_1, q k v        | barrier | heads: attention | barrier |
 *                  own rows: projection + residual, ln_2, fc, gelu, projection + residual
 *     own rows: ln_f | barrier | head in chunks
 *
 * Own rows go in blocks of ROW_BLOCK, whose intermediate results stay in the sphere's scratch (L2).
 */
#include "decoder_internal.h"
#include "ops/activation.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/norm.h"

#include <string.h>

static struct row_scratch row_scratch_take(struct sphere *me, const struct decoder *d)
{
    return (struct row_scratch){.ln = arena_alloc(&me->scratch, ROW_BLOCK * d->C * sizeof(float)),
                                .h = arena_alloc(&me->scratch, ROW_BLOCK * d->F * sizeof(float))};
}

struct attention attention_of(const struct decoder *d, const struct layer_acts *a, size_t l, const struct leaf *leaf)
{
    const double p = leaf ? (double)d->model->config.attn_pdrop : 0;
    return (struct attention){.batch = d->B,
                              .seq_len = d->T,
                              .heads = d->H,
                              .head_dim = d->C / d->H,
                              .qkv = a->qkv,
                              .out = a->att,
                              .max = a->att_max,
                              .inverse_sum = a->att_inv,
                              .dropout = dropout_make(leaf ? leaf->dropout_key : 0, l, SITE_ATTENTION, p),
                              .first_sequence = leaf ? leaf->first_sequence : 0};
}

static struct dropout residual_dropout(const struct decoder *d, const struct leaf *leaf, size_t layer, uint64_t site)
{
    return dropout_make(leaf ? leaf->dropout_key : 0, layer, site, leaf ? (double)d->model->config.resid_pdrop : 0);
}

/* y = base + dropout(x · b + bias) on a block of rows; y is written in full before base is needed elsewhere. */
static void residual_product(struct sphere *me, float *y, const float *x, size_t x_stride, size_t rows, size_t C,
                             const struct packed *b, const float *bias, const float *base, const struct dropout *drop,
                             uint64_t mask_row)
{
    if (!drop->threshold) {
        matmul_rows(me, y, C, x, x_stride, rows, b, bias, base, C);
        return;
    }
    matmul_rows(me, y, C, x, x_stride, rows, b, bias, NULL, 0);
    dropout_rows(drop, y, rows, C, mask_row);
    add_to(y, base, rows * C);
}

static void rows_to_qkv(struct sphere *me, struct decoder *d, size_t l, struct layer_acts *a, struct share own,
                        struct row_scratch *s)
{
    const float *w = d->model->data;
    const struct layer_params *at = &d->params[l];
    const size_t C = d->C;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        layernorm_rows(s->ln, a->x + r * C, w + at->ln1_w, w + at->ln1_b, n, C, d->model->config.norm_epsilon,
                       a->mean1 + r, a->rstd1 + r);
        matmul_rows(me, a->qkv + r * 3 * C, 3 * C, s->ln, C, n, &d->packed[l].qkv, w + at->qkv_b, NULL, 0);
    }
}

static void rows_to_next(struct sphere *me, struct decoder *d, size_t l, struct layer_acts *a, float *x_next,
                         struct share own, struct row_scratch *s, const struct leaf *leaf)
{
    const float *w = d->model->data;
    const struct layer_params *at = &d->params[l];
    const size_t C = d->C, F = d->F;
    const struct dropout drop_proj = residual_dropout(d, leaf, l, SITE_PROJECTION);
    const struct dropout drop_mlp = residual_dropout(d, leaf, l, SITE_MLP);
    const uint64_t mask0 = leaf ? leaf->first_sequence * d->T : 0;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        float *h = a->fch ? a->fch + r * F : s->h;
        residual_product(me, a->mid + r * C, a->att + r * C, C, n, C, &d->packed[l].proj, w + at->proj_b, a->x + r * C,
                         &drop_proj, mask0 + r);
        layernorm_rows(s->ln, a->mid + r * C, w + at->ln2_w, w + at->ln2_b, n, C, d->model->config.norm_epsilon,
                       a->mean2 + r, a->rstd2 + r);
        matmul_rows(me, h, F, s->ln, C, n, &d->packed[l].fc, w + at->fc_b, NULL, 0);
        gelu_forward(me, s->h, h, n * F);
        residual_product(me, x_next + r * C, s->h, F, n, C, &d->packed[l].fcproj, w + at->fcproj_b, a->mid + r * C,
                         &drop_mlp, mask0 + r);
    }
}

void decoder_forward(struct sphere *me, struct decoder *d, const int32_t *inputs, const struct leaf *leaf)
{
    const float *w = d->model->data;
    const struct model_config *c = &d->model->config;
    const size_t C = d->C, mark = arena_mark(&me->scratch);
    const struct share own = own_rows(me, d->rows);
    const bool train = d->use == DECODER_TRAIN;

    float *x = d->acts[0].x + own.begin * C;
    embedding_rows(x, inputs + own.begin, w + d->wte, w + d->wpe, own.end - own.begin, C, own.begin, d->T);
    if (leaf) {
        const struct dropout drop = dropout_make(leaf->dropout_key, d->L, SITE_EMBEDDING, (double)c->embd_pdrop);
        dropout_rows(&drop, x, own.end - own.begin, C, leaf->first_sequence * d->T + own.begin);
    }
    for (size_t l = 0; l < d->L; l++) {
        struct layer_acts *a = &d->acts[train ? l : 0];
        struct row_scratch s = row_scratch_take(me, d);
        rows_to_qkv(me, d, l, a, own, &s);
        arena_reset(&me->scratch, mark);
        sphere_barrier(me);

        const struct attention attention = attention_of(d, a, l, leaf);
        const struct work work = attention_forward_work(&attention);
        work_run(me, &work, 1);
        sphere_barrier(me);

        s = row_scratch_take(me, d);
        float *next = l + 1 == d->L ? d->x_last : d->acts[train ? l + 1 : 0].x;
        rows_to_next(me, d, l, a, next, own, &s, leaf);
        arena_reset(&me->scratch, mark);
    }
    layernorm_rows(d->xf + own.begin * C, d->x_last + own.begin * C, w + d->lnf_w, w + d->lnf_b, own.end - own.begin, C,
                   c->norm_epsilon, d->meanf + own.begin, d->rstdf + own.begin);
    sphere_barrier(me);
}

size_t decoder_chunks(const struct decoder *d)
{
    return (d->rows + d->chunk - 1) / d->chunk;
}

void decoder_head_rows(struct sphere *me, struct decoder *d, size_t begin, size_t rows, const int32_t *targets,
                       const struct leaf *grad)
{
    const struct share own = own_rows(me, rows);
    const size_t C = d->C, n = own.end - own.begin, row = begin + own.begin;
    float *logits = d->logits + own.begin * d->logits_stride;
    if (n == 0)
        return;
    matmul_rows(me, logits, d->logits_stride, d->xf + row * C, C, n, &d->head, NULL, NULL, 0);
    cross_entropy_rows(me, logits, d->logits_stride, d->V, targets + row, n, grad != NULL, grad ? grad->loss_scale : 0,
                       d->losses + row);
    if (grad) {
        matmul_rows(me, d->dxf + row * C, C, logits, d->logits_stride, n, &d->head_t, NULL, NULL, 0);
        me->stats.tokens += n;
        for (size_t r = row; r < row + n; r++)
            me->stats.sequences += r % d->T == d->T - 1;
    }
}

void decoder_eval_leaf(struct sphere *me, struct decoder *d, const int32_t *inputs, const int32_t *targets,
                       double *loss_sum)
{
    decoder_forward(me, d, inputs, NULL);
    for (size_t begin = 0; begin < d->rows; begin += d->chunk)
        decoder_head_rows(me, d, begin, d->rows - begin < d->chunk ? d->rows - begin : d->chunk, targets, NULL);
    sphere_barrier(me);
    if (me->id == 0)
        *loss_sum = sum_in_order(d->losses, d->rows);
    sphere_barrier(me);
}
