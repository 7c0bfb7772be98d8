/* SPDX-License-Identifier: MIT
 * decoder_backward.c - one leaf of training: forward, loss, backward.
 *
 * The head goes chunk by chunk: logits, loss, dlogits and dxf by own rows | barrier | gradient of the embedding by
 * tiles | barrier.  Then for each layer from the last:
 *
 *     R1  own rows: through the MLP and ln_2 to the gradient of attention's output | barrier |
 *     A   units of all kinds: attention backward by heads, gradients of fc, both projections, ln_2 and biases by tiles
 *         and columns, and those of the ln_1 above, which had to wait for a barrier | barrier |
 *     R2  own rows: through q k v and ln_1 to the residual stream; tiles: gradient of q k v.  No barrier: the next R1
 *         touches other buffers (ln1 alternates; dqkv and dln1 are written again only behind the next barriers).
 *
 * Last: ln_1 of layer 0 and the embeddings, by columns.  A buffer is rewritten only when a barrier lies between its
 * last reader and the writer; ThreadSanitizer and the one-hash test hold this file to it.
 */
#include "decoder_internal.h"
#include "ops/activation.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/norm.h"

#include <string.h>

static void head_phase(struct sphere *me, struct decoder *d, const struct leaf *leaf)
{
    float *dwte = leaf->add ? leaf->head_leaf : leaf->grads + d->wte;
    for (size_t begin = 0; begin < d->rows; begin += d->chunk) {
        const size_t rows = d->rows - begin < d->chunk ? d->rows - begin : d->chunk;
        decoder_head_rows(me, d, begin, rows, leaf->targets, leaf);
        sphere_barrier(me);
        const struct weight_grad g = {.dw = dwte,
                                      .x = d->logits,
                                      .x_stride = d->logits_stride,
                                      .in = d->V,
                                      .dy = d->xf + begin * d->C,
                                      .dy_stride = d->C,
                                      .out = d->C,
                                      .rows = rows,
                                      .mode = begin == 0 ? GRAD_WRITE : GRAD_CONTINUE};
        const struct work work = weight_grad_work(&g);
        work_run(me, &work, 1);
        sphere_barrier(me);
    }
}

/* The residual's gradient through dropout into the buffer of the product behind it; the same buffer without. */
static void through_dropout(const struct decoder *d, const struct leaf *leaf, float *out, const float *g, size_t l,
                            uint64_t site, size_t row, size_t rows)
{
    if (out == g)
        return;
    const struct dropout drop = dropout_make(leaf->dropout_key, l, site, (double)d->model->config.resid_pdrop);
    memcpy(out + row * d->C, g + row * d->C, rows * d->C * sizeof(float));
    dropout_rows(&drop, out + row * d->C, rows, d->C, leaf->first_sequence * d->T + row);
}

static void phase_r1(struct sphere *me, struct decoder *d, const struct leaf *leaf, size_t l, struct share own)
{
    const float *w = d->model->data;
    const struct layer_params *at = &d->params[l];
    const struct layer_packed *p = &d->packed[l];
    struct layer_acts *a = &d->acts[l];
    const size_t C = d->C, F = d->F;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        through_dropout(d, leaf, d->dmlp, d->g0, l, SITE_MLP, r, n);
        matmul_rows(me, d->dh + r * F, F, d->dmlp + r * C, C, n, &p->fcproj_t, NULL, NULL, 0);
        gelu_backward(me, d->dh + r * F, d->act + r * F, a->fch + r * F, n * F);
        matmul_rows(me, d->dln2 + r * C, C, d->dh + r * F, F, n, &p->fc_t, NULL, NULL, 0);
        memcpy(d->g1 + r * C, d->g0 + r * C, n * C * sizeof(float));
        layernorm_rows_backward(d->g1 + r * C, d->ln2 + r * C, d->dln2 + r * C, a->mid + r * C, w + at->ln2_w,
                                w + at->ln2_b, n, C, a->mean2 + r, a->rstd2 + r);
        through_dropout(d, leaf, d->dproj, d->g1, l, SITE_PROJECTION, r, n);
        matmul_rows(me, d->datt + r * C, C, d->dproj + r * C, C, n, &p->proj_t, NULL, NULL, 0);
        layernorm_rows(d->ln1[l & 1] + r * C, a->x + r * C, w + at->ln1_w, w + at->ln1_b, n, C,
                       d->model->config.norm_epsilon, a->mean1 + r, a->rstd1 + r);
    }
}

static struct norm_grad ln1_grad(const struct decoder *d, const struct leaf *leaf, size_t l)
{
    return (struct norm_grad){.dweight = leaf->grads + d->params[l].ln1_w,
                              .dbias = leaf->grads + d->params[l].ln1_b,
                              .dy = d->dln1,
                              .x = d->acts[l].x,
                              .mean = d->acts[l].mean1,
                              .rstd = d->acts[l].rstd1,
                              .rows = d->rows,
                              .cols = d->C,
                              .add = leaf->add};
}

static void phase_a(struct sphere *me, struct decoder *d, const struct leaf *leaf, size_t l)
{
    const struct layer_params *at = &d->params[l];
    const struct layer_acts *a = &d->acts[l];
    const size_t n = d->rows, C = d->C, F = d->F;
    const enum grad_mode mode = leaf->add ? GRAD_ADD : GRAD_WRITE;
    float *grads = leaf->grads;
    struct attention attention = attention_of(d, a, l, leaf);
    attention.dout = d->datt;
    attention.dqkv = d->dqkv;
    const struct weight_grad fcproj = {grads + at->fcproj_w, d->act, d->dmlp, F, C, F, C, n, mode};
    const struct weight_grad fc = {grads + at->fc_w, d->ln2, d->dh, C, F, C, F, n, mode};
    const struct weight_grad proj = {grads + at->proj_w, a->att, d->dproj, C, C, C, C, n, mode};
    const struct bias_grad fcproj_b = {grads + at->fcproj_b, d->dmlp, n, C, leaf->add};
    const struct bias_grad fc_b = {grads + at->fc_b, d->dh, n, F, leaf->add};
    const struct bias_grad proj_b = {grads + at->proj_b, d->dproj, n, C, leaf->add};
    const struct norm_grad ln2 = {grads + at->ln2_w, grads + at->ln2_b, d->dln2, a->mid, a->mean2, a->rstd2, n, C,
                                  leaf->add};
    const bool top = l + 1 == d->L;
    const struct norm_grad above =
        top ? (struct norm_grad){grads + d->lnf_w, grads + d->lnf_b, d->dxf, d->x_last, d->meanf, d->rstdf, n, C,
                                 leaf->add}
            : ln1_grad(d, leaf, l + 1);
    /* attention, whose units are small, lies in the middle: with two members the cut falls into it */
    const struct work bags[] = {weight_grad_work(&fcproj), attention_backward_work(&attention),
                                weight_grad_work(&fc),     weight_grad_work(&proj),
                                bias_grad_work(&fcproj_b), bias_grad_work(&fc_b),
                                bias_grad_work(&proj_b),   norm_grad_work(&ln2),
                                norm_grad_work(&above)};
    work_run(me, bags, sizeof bags / sizeof *bags);
}

static void phase_r2(struct sphere *me, struct decoder *d, const struct leaf *leaf, size_t l, struct share own)
{
    const float *w = d->model->data;
    const struct layer_params *at = &d->params[l];
    struct layer_acts *a = &d->acts[l];
    const size_t C = d->C;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        matmul_rows(me, d->dln1 + r * C, C, d->dqkv + r * 3 * C, 3 * C, n, &d->packed[l].qkv_t, NULL, NULL, 0);
        memcpy(d->g0 + r * C, d->g1 + r * C, n * C * sizeof(float));
        layernorm_rows_backward(d->g0 + r * C, NULL, d->dln1 + r * C, a->x + r * C, w + at->ln1_w, w + at->ln1_b, n, C,
                                a->mean1 + r, a->rstd1 + r);
    }
    const struct weight_grad qkv = {
        leaf->grads + at->qkv_w,          d->ln1[l & 1], d->dqkv, C, 3 * C, C, 3 * C, d->rows,
        leaf->add ? GRAD_ADD : GRAD_WRITE};
    const struct bias_grad qkv_b = {leaf->grads + at->qkv_b, d->dqkv, d->rows, 3 * C, leaf->add};
    const struct work bags[] = {weight_grad_work(&qkv), bias_grad_work(&qkv_b)};
    work_run(me, bags, 2);
}

static void embedding_phase(struct sphere *me, struct decoder *d, const struct leaf *leaf, struct share own)
{
    const struct dropout drop =
        dropout_make(leaf->dropout_key, d->L, SITE_EMBEDDING, (double)d->model->config.embd_pdrop);
    dropout_rows(&drop, d->g0 + own.begin * d->C, own.end - own.begin, d->C, leaf->first_sequence * d->T + own.begin);
    sphere_barrier(me);
    const struct norm_grad ln1 = ln1_grad(d, leaf, 0);
    const struct embedding_grad embedding = {.dwte = leaf->add ? leaf->head_leaf : leaf->grads + d->wte,
                                             .dwpe = leaf->grads + d->wpe,
                                             .dx = d->g0,
                                             .tokens = leaf->inputs,
                                             .batch = d->B,
                                             .seq_len = d->T,
                                             .cols = d->C,
                                             .positions = d->model->config.n_positions,
                                             .add = leaf->add};
    const struct work bags[] = {norm_grad_work(&ln1), embedding_grad_work(&embedding)};
    work_run(me, bags, 2);
    sphere_barrier(me);
    if (leaf->add) { /* the tied embedding's leaf is whole now: fold it in */
        const struct share part = sphere_share(me, d->V);
        add_to(leaf->grads + d->wte + part.begin * d->C, leaf->head_leaf + part.begin * d->C,
               (part.end - part.begin) * d->C);
        sphere_barrier(me);
    }
}

void decoder_train_leaf(struct sphere *me, struct decoder *d, const struct leaf *leaf, double *loss_sum)
{
    const float *w = d->model->data;
    const size_t C = d->C;
    const struct share own = own_rows(me, d->rows);
    decoder_forward(me, d, leaf->inputs, leaf);
    head_phase(me, d, leaf);
    if (me->id == 0)
        *loss_sum = sum_in_order(d->losses, d->rows);

    memset(d->g0 + own.begin * C, 0, (own.end - own.begin) * C * sizeof(float));
    layernorm_rows_backward(d->g0 + own.begin * C, NULL, d->dxf + own.begin * C, d->x_last + own.begin * C,
                            w + d->lnf_w, w + d->lnf_b, own.end - own.begin, C, d->meanf + own.begin,
                            d->rstdf + own.begin);
    for (size_t l = d->L; l-- > 0;) {
        phase_r1(me, d, leaf, l, own);
        sphere_barrier(me);
        phase_a(me, d, leaf, l);
        sphere_barrier(me);
        phase_r2(me, d, leaf, l, own);
    }
    embedding_phase(me, d, leaf, own);
}
