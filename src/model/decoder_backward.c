/* SPDX-License-Identifier: MIT
 * decoder_backward.c - one leaf of training: forward, loss, backward.
 *
 * The head goes chunk by chunk: logits, loss, dlogits and dxf by own rows | barrier | its gradient (the embedding's, when
 * tied) by tiles | barrier.  Then for each layer from the last:
 *
 *     R1  own rows: through the MLP and norm 2 to the gradient of attention's output | barrier |
 *     A   units of all kinds: attention backward by heads (through rotation and norms of the heads, whose columns they
 *         own), gradients of the MLP's matrices, the projection, norm 2 and biases by tiles and columns, and those of the
 *         norm 1 above, which had to wait for a barrier | barrier |
 *     R2  own rows: through q k v and norm 1 to the residual stream; tiles: gradient of q k v.  No barrier: the next R1
 *         touches other buffers (ln1 alternates; dqkv and dln1 are written again only behind the next barriers).
 *
 * A layer that is run again (l < recompute) is so before its R1: own rows to q k v | barrier | attention by heads |
 * barrier | own rows to before the activation.  The layers 0 … recompute share their buffers, and the last of them finds
 * there what its own forward left.  Their last readers are in A of the layer above, which a barrier follows; only
 * norm 1 of that layer is still to be read, in the A to come, so x, mean1 and rstd1 are each layer's own.
 *
 * Last: norm 1 of layer 0 and the embeddings, by columns.  A buffer is rewritten only when a barrier lies between its
 * last reader and the writer; ThreadSanitizer and the one-hash test hold this file to it.
 */
#include "decoder_internal.h"
#include "ops/activation.h"
#include "ops/embedding.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "runtime/profile.h"

#include <string.h>

static void head_phase(struct sphere *me, struct decoder *d, const struct leaf *leaf)
{
    float *dhead = leaf->add ? leaf->head_leaf : leaf->grads + d->head_w;
    for (size_t begin = 0; begin < d->rows; begin += d->chunk) {
        const size_t rows = d->rows - begin < d->chunk ? d->rows - begin : d->chunk;
        sphere_phase(me, "head");
        decoder_head_rows(me, d, begin, rows, leaf);
        sphere_barrier(me);
        sphere_phase(me, "head gradient");
        const struct weight_grad g = {.dtype = d->dtype,
                                      .dw = dhead,
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

/* A head of its own is whole now, and where its leaf was summed the embedding's comes next: begin that with zeros. */
static void untied_phase(struct sphere *me, struct decoder *d, const struct leaf *leaf)
{
    const struct share part = sphere_share(me, d->V);
    const size_t at = part.begin * d->C, n = (part.end - part.begin) * d->C;
    if (leaf->add)
        add_to(leaf->grads + d->head_w + at, leaf->head_leaf + at, n);
    memset((leaf->add ? leaf->head_leaf : leaf->grads + d->wte) + at, 0, n * sizeof(float));
}

static void phase_r1(struct sphere *me, struct decoder *d, const struct leaf *leaf, size_t l, struct share own)
{
    const struct norm norm1 = norm_at(d, d->params[l].norm1), norm2 = norm_at(d, d->params[l].norm2);
    const struct layer_packed *p = &d->packed[l];
    struct layer_acts *a = &d->acts[l];
    const size_t C = d->C, F = d->F, U = d->U;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        float *dh = d->dh + r * U, *act = d->act + r * F;
        through_dropout(d, leaf, d->dmlp, d->g0, l, SITE_MLP, r, n);
        matmul_rows(me, d->swiglu ? act : dh, F, d->dmlp + r * C, C, n, &p->down.backward, NULL, NULL, 0);
        if (d->swiglu)
            swiglu_rows_backward(me, dh, act, a->fch + r * U, n, F);
        else
            gelu_backward(me, dh, act, a->fch + r * F, n * F);
        matmul_rows(me, d->dln2 + r * C, C, dh, U, n, &p->up.backward, NULL, NULL, 0);
        norm_rows_backward(&norm2, d->g1 + r * C, d->g0 + r * C, d->ln2 + r * C, d->dln2 + r * C, a->mid + r * C, n, C,
                           a->mean2 + r, a->rstd2 + r);
        through_dropout(d, leaf, d->dproj, d->g1, l, SITE_PROJECTION, r, n);
        matmul_rows(me, d->datt + r * d->A, d->A, d->dproj + r * C, C, n, &p->proj.backward, NULL, NULL, 0);
        norm_rows(&norm1, d->ln1[l & 1] + r * C, a->x + r * C, n, C, a->mean1 + r, a->rstd1 + r);
    }
}

static struct norm_grad norm_grad_of(const struct decoder *d, const struct leaf *leaf, struct norm_params at,
                                     const float *dy, const float *x, const float *mean, const float *rstd)
{
    return (struct norm_grad){.dweight = leaf->grads + at.weight,
                              .dbias = at.bias == NONE ? NULL : leaf->grads + at.bias,
                              .dy = dy,
                              .x = x,
                              .mean = mean,
                              .rstd = rstd,
                              .rows = d->rows,
                              .cols = d->C,
                              .add = leaf->add};
}

static struct norm_grad norm1_grad(const struct decoder *d, const struct leaf *leaf, size_t l)
{
    const struct layer_acts *a = &d->acts[l];
    return norm_grad_of(d, leaf, d->params[l].norm1, d->dln1, a->x, a->mean1, a->rstd1);
}

/* The work of a phase, and what it refers to. */
struct bags {
    struct weight_grad weight[4];
    struct bias_grad bias[6];
    struct work work[12];
    size_t weights, biases, n;
};

/* dW of a matrix whose gradient of the output begins at dy. */
static void add_weight(struct bags *b, const struct decoder *d, const struct leaf *leaf, const struct matrix *m,
                       const float *x, const float *dy, size_t dy_stride)
{
    struct weight_grad *g = &b->weight[b->weights++];
    const enum grad_mode mode = leaf->add ? GRAD_ADD : GRAD_WRITE;
    float *dw = leaf->grads + m->weight;
    *g = d->out_in ? (struct weight_grad){d->dtype, dw, dy, x, dy_stride, m->in, m->out, m->in, d->rows, mode}
                   : (struct weight_grad){d->dtype, dw, x, dy, m->in, dy_stride, m->in, m->out, d->rows, mode};
    b->work[b->n++] = weight_grad_work(g);
}

/* dst [cols] from rows of x; nothing where the model has no such parameter. */
static void add_bias(struct bags *b, const struct leaf *leaf, size_t at, const float *x, size_t stride, size_t rows,
                     size_t cols)
{
    if (at == NONE)
        return;
    struct bias_grad *g = &b->bias[b->biases++];
    *g = (struct bias_grad){leaf->grads + at, x, stride, rows, cols, leaf->add};
    b->work[b->n++] = bias_grad_work(g);
}

static void phase_a(struct sphere *me, struct decoder *d, const struct leaf *leaf, size_t l)
{
    const struct layer_params *at = &d->params[l];
    const struct layer_acts *a = &d->acts[l];
    const size_t C = d->C, F = d->F, U = d->U;
    const struct heads heads = heads_of(d, a, l, leaf->first);
    struct attention attention = attention_of(d, a, l, leaf);
    attention.dout = d->datt;
    attention.dqkv = d->dqkv;
    attention.made_by = &heads;
    const bool top = l + 1 == d->L;
    const struct norm_grad norm2 = norm_grad_of(d, leaf, at->norm2, d->dln2, a->mid, a->mean2, a->rstd2);
    const struct norm_grad above =
        top ? norm_grad_of(d, leaf, d->normf, d->dxf, d->x_last, d->meanf, d->rstdf) : norm1_grad(d, leaf, l + 1);
    /* attention, whose units are small, lies in the middle: with two members the cut falls into it */
    struct bags b = {.n = 0};
    add_weight(&b, d, leaf, &at->down, d->act, d->dmlp, C);
    b.work[b.n++] = attention_backward_work(&attention);
    for (size_t i = 0; i < d->num_up; i++)
        add_weight(&b, d, leaf, &at->up[i], d->ln2, d->dh + i * F, U);
    add_weight(&b, d, leaf, &at->proj, a->att, d->dproj, C);
    add_bias(&b, leaf, at->down.bias, d->dmlp, C, d->rows, C);
    for (size_t i = 0; i < d->num_up; i++)
        add_bias(&b, leaf, at->up[i].bias, d->dh + i * F, U, d->rows, F);
    add_bias(&b, leaf, at->proj.bias, d->dproj, C, d->rows, C);
    b.work[b.n++] = norm_grad_work(&norm2);
    b.work[b.n++] = norm_grad_work(&above);
    work_run(me, b.work, b.n);
}

static void phase_r2(struct sphere *me, struct decoder *d, const struct leaf *leaf, size_t l, struct share own)
{
    const struct layer_params *at = &d->params[l];
    const struct norm norm1 = norm_at(d, at->norm1);
    struct layer_acts *a = &d->acts[l];
    const size_t C = d->C, E = d->E;
    for (size_t r = own.begin; r < own.end; r += ROW_BLOCK) {
        const size_t n = own.end - r < ROW_BLOCK ? own.end - r : ROW_BLOCK;
        matmul_rows(me, d->dln1 + r * C, C, d->dqkv + r * E, E, n, &d->packed[l].qkv.backward, NULL, NULL, 0);
        norm_rows_backward(&norm1, d->g0 + r * C, d->g1 + r * C, NULL, d->dln1 + r * C, a->x + r * C, n, C,
                           a->mean1 + r, a->rstd1 + r);
    }
    struct bags b = {.n = 0};
    const float *dy = d->dqkv;
    for (size_t i = 0; i < d->num_qkv; dy += at->qkv[i++].out)
        add_weight(&b, d, leaf, &at->qkv[i], d->ln1[l & 1], dy, E);
    dy = d->dqkv;
    for (size_t i = 0; i < d->num_qkv; dy += at->qkv[i++].out)
        add_bias(&b, leaf, at->qkv[i].bias, dy, E, d->rows, at->qkv[i].out);
    add_bias(&b, leaf, at->q_norm, d->dq_norm, d->D, d->B * d->H, d->D);
    add_bias(&b, leaf, at->k_norm, d->dk_norm, d->D, d->B * d->kv_heads, d->D);
    work_run(me, b.work, b.n);
}

static void embedding_phase(struct sphere *me, struct decoder *d, const struct leaf *leaf, struct share own)
{
    const struct dropout drop =
        dropout_make(leaf->dropout_key, d->L, SITE_EMBEDDING, (double)d->model->config.embd_pdrop);
    dropout_rows(&drop, d->g0 + own.begin * d->C, own.end - own.begin, d->C, leaf->first_sequence * d->T + own.begin);
    sphere_barrier(me);
    const struct norm_grad norm1 = norm1_grad(d, leaf, 0);
    const struct embedding_grad embedding = {.dwte = leaf->add ? leaf->head_leaf : leaf->grads + d->wte,
                                             .dwpe = d->wpe == NONE ? NULL : leaf->grads + d->wpe,
                                             .dx = d->g0,
                                             .tokens = leaf->inputs,
                                             .first = leaf->first,
                                             .batch = d->B,
                                             .seq_len = d->T,
                                             .cols = d->C,
                                             .positions = d->model->config.n_positions,
                                             .add = leaf->add};
    const struct work bags[] = {norm_grad_work(&norm1), embedding_grad_work(&embedding)};
    work_run(me, bags, 2);
    sphere_barrier(me);
    if (leaf->add) { /* the embedding's leaf is whole now, its part as the head included: fold it in */
        const struct share part = sphere_share(me, d->V);
        add_to(leaf->grads + d->wte + part.begin * d->C, leaf->head_leaf + part.begin * d->C,
               (part.end - part.begin) * d->C);
        sphere_barrier(me);
    }
}

void decoder_train_leaf(struct sphere *me, struct decoder *d, const struct leaf *leaf, double *loss_sum)
{
    const struct norm normf = norm_at(d, d->normf);
    const size_t C = d->C;
    const struct share own = own_rows(me, d->rows);
    decoder_forward(me, d, leaf);
    head_phase(me, d, leaf);
    if (me->id == 0)
        *loss_sum = sum_in_order(d->losses, d->rows);
    if (d->head_w != d->wte)
        untied_phase(me, d, leaf);

    sphere_phase(me, "R1");
    memset(d->g0 + own.begin * C, 0, (own.end - own.begin) * C * sizeof(float));
    norm_rows_backward(&normf, d->g0 + own.begin * C, d->g0 + own.begin * C, NULL, d->dxf + own.begin * C,
                       d->x_last + own.begin * C, own.end - own.begin, C, d->meanf + own.begin, d->rstdf + own.begin);
    for (size_t l = d->L; l-- > 0;) {
        if (l < d->recompute)
            decoder_rerun_layer(me, d, l, leaf);
        sphere_phase(me, "R1");
        phase_r1(me, d, leaf, l, own);
        sphere_barrier(me);
        sphere_phase(me, "A");
        phase_a(me, d, leaf, l);
        sphere_barrier(me);
        sphere_phase(me, "R2");
        phase_r2(me, d, leaf, l, own);
    }
    sphere_phase(me, "embedding gradient");
    embedding_phase(me, d, leaf, own);
}
