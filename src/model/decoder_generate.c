/* SPDX-License-Identifier: MIT
 * decoder_generate.c - extending one sequence with keys and values kept.
 *
 * Few rows, all columns: members own columns of the products and heads of the attention, every member normalises all
 * rows for itself.  Bound by reading the weights once per call.
 */
#include "base/check.h"
#include "decoder_internal.h"
#include "ops/activation.h"
#include "ops/embedding.h"
#include "ops/norm.h"

#include <string.h>

/* Feeds n <= ROW_BLOCK tokens. */
static void extend_block(struct sphere *me, struct decoder *d, const int32_t *tokens, size_t n, size_t pos)
{
    const float *w = d->model->data;
    const size_t C = d->C, F = d->F, mark = arena_mark(&me->scratch);
    const float eps = d->model->config.norm_epsilon;
    const struct share heads = sphere_share(me, d->H), columns = matmul_column_share(me, F);
    struct layer_acts *a = &d->acts[0];
    float *ln = arena_alloc(&me->scratch, ROW_BLOCK * C * sizeof(float));
    float *h = arena_alloc(&me->scratch, ROW_BLOCK * F * sizeof(float)); /* statistics nobody needs go here */
    if (me->id == 0)
        embedding_rows(a->x, tokens, w + d->wte, w + d->wpe, n, C, pos, d->T);
    sphere_barrier(me);
    for (size_t l = 0; l < d->L; l++) {
        const struct layer_params *at = &d->params[l];
        const struct layer_packed *p = &d->packed[l];
        layernorm_rows(ln, a->x, w + at->ln1_w, w + at->ln1_b, n, C, eps, h, h + n);
        matmul_columns(me, a->qkv, 3 * C, ln, C, n, &p->qkv, w + at->qkv_b, NULL, 0);
        sphere_barrier(me);
        for (size_t i = 0; i < n; i++)
            attention_cache_put(d->cache[l], d->T, d->H, C / d->H, pos + i, a->qkv + i * 3 * C + C,
                                a->qkv + i * 3 * C + 2 * C, heads);
        const size_t mark_attention = arena_mark(&me->scratch);
        arena_reset(&me->scratch, mark); /* ln and h are not needed during attention */
        attention_cached(me, a->att, a->qkv, 3 * C, d->cache[l], d->T, d->H, C / d->H, pos, n, heads);
        ln = arena_alloc(&me->scratch, ROW_BLOCK * C * sizeof(float));
        h = arena_alloc(&me->scratch, ROW_BLOCK * F * sizeof(float));
        CHECK(arena_mark(&me->scratch) == mark_attention);
        sphere_barrier(me);
        matmul_columns(me, a->mid, C, a->att, C, n, &p->proj, w + at->proj_b, a->x, C);
        sphere_barrier(me);
        layernorm_rows(ln, a->mid, w + at->ln2_w, w + at->ln2_b, n, C, eps, h, h + n);
        matmul_columns(me, a->fch, F, ln, C, n, &p->fc, w + at->fc_b, NULL, 0);
        for (size_t i = 0; i < n; i++)
            gelu_forward(me, a->fch + i * F + columns.begin, a->fch + i * F + columns.begin,
                         columns.end - columns.begin);
        sphere_barrier(me);
        matmul_columns(me, a->x, C, a->fch, F, n, &p->fcproj, w + at->fcproj_b, a->mid, C);
        sphere_barrier(me);
    }
    arena_reset(&me->scratch, mark);
}

void decoder_extend(struct sphere *me, struct decoder *d, const int32_t *tokens, size_t n, float *logits)
{
    const float *w = d->model->data;
    const size_t C = d->C, pos = d->cached, mark = arena_mark(&me->scratch);
    CHECK(d->use == DECODER_GENERATE && n >= 1 && pos + n <= d->T);
    size_t last = 0;
    for (size_t i = 0; i < n; i += ROW_BLOCK) {
        const size_t m = n - i < ROW_BLOCK ? n - i : ROW_BLOCK;
        extend_block(me, d, tokens + i, m, pos + i);
        last = m - 1;
    }
    float *ln = arena_alloc(&me->scratch, C * sizeof(float)), mean, rstd;
    layernorm_rows(ln, d->acts[0].x + last * C, w + d->lnf_w, w + d->lnf_b, 1, C, d->model->config.norm_epsilon,
                   &mean, &rstd);
    matmul_columns(me, logits, d->V, ln, C, 1, &d->head, NULL, NULL, 0);
    arena_reset(&me->scratch, mark);
    sphere_barrier(me);
    if (me->id == 0)
        d->cached = pos + n;
    sphere_barrier(me);
}

void decoder_forget(struct decoder *d)
{
    d->cached = 0;
}

size_t decoder_cached(const struct decoder *d)
{
    return d->cached;
}
