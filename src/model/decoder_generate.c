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

static struct attention_cache cache_of(const struct decoder *d, size_t l)
{
    const struct model_config *c = &d->model->config;
    return (struct attention_cache){.data = d->cache[l],
                                    .max_len = d->T,
                                    .heads = d->H,
                                    .kv_heads = d->kv_heads,
                                    .head_dim = d->D,
                                    .window = c->layer_kind[l] & LAYER_WINDOW ? c->window : 0};
}

/* Rotation and norms of this member's heads, its keys and values into the cache, its queries' attention. */
static void attend(struct sphere *me, struct decoder *d, size_t l, size_t n, size_t pos)
{
    struct layer_acts *a = &d->acts[0];
    const struct share queries = sphere_share(me, d->H), keys = sphere_share(me, d->kv_heads);
    const struct heads heads = heads_of(d, a, l, NULL);
    const struct attention_cache cache = cache_of(d, l);
    const size_t E = d->E, kv = d->kv_heads * d->D;
    heads_forward(&heads, a->qkv, 0, n, queries);
    heads_forward(&heads, a->qkv, 0, n, (struct share){d->H + keys.begin, d->H + keys.end});
    for (size_t i = 0; i < n; i++) {
        const float *key = a->qkv + i * E + d->A;
        attention_cache_put(&cache, pos + i, key, key + kv, keys);
    }
    if (d->kv_heads != d->H) /* the keys of my queries may be another member's */
        sphere_barrier(me);
    attention_cached(me, &cache, a->att, a->qkv, E, pos, n, queries);
}

/* On the block's rows of a->fch, into their first F columns.  Ends where all may read them. */
static void activate(struct sphere *me, struct decoder *d, size_t n)
{
    float *h = d->acts[0].fch;
    if (d->swiglu) { /* gate and up of a column may be two members' */
        sphere_barrier(me);
        swiglu_rows(me, h, d->U, h, d->U, n, d->F, matmul_column_share(me, d->dtype, d->F));
    } else {
        const struct share columns = matmul_column_share(me, d->dtype, d->F);
        for (size_t i = 0; i < n; i++)
            gelu_forward(me, h + i * d->F + columns.begin, h + i * d->F + columns.begin, columns.end - columns.begin);
    }
    sphere_barrier(me);
}

/* Feeds n <= ROW_BLOCK tokens. */
static void extend_block(struct sphere *me, struct decoder *d, const int32_t *tokens, size_t n, size_t pos)
{
    const size_t C = d->C, mark = arena_mark(&me->scratch);
    struct layer_acts *a = &d->acts[0];
    if (me->id == 0) {
        embedding_rows(a->x, tokens, param_at(d, d->wte), param_at(d, d->wpe), n, C, pos, d->T, NULL);
        if (d->frequency)
            rope_angles(d->cos, d->sin, d->frequency, d->D / 2, pos, n);
    }
    sphere_barrier(me);
    for (size_t l = 0; l < d->L; l++) {
        const struct norm norm1 = norm_at(d, d->params[l].norm1), norm2 = norm_at(d, d->params[l].norm2);
        const struct layer_packed *p = &d->packed[l];
        float *ln = arena_alloc(&me->scratch, ROW_BLOCK * C * sizeof(float)), unused[2 * ROW_BLOCK];
        norm_rows(&norm1, ln, a->x, n, C, unused, unused + n);
        matmul_columns(me, a->qkv, d->E, ln, C, n, &p->qkv.forward, p->qkv.bias, NULL, 0);
        arena_reset(&me->scratch, mark);
        sphere_barrier(me);
        attend(me, d, l, n, pos);
        sphere_barrier(me);
        matmul_columns(me, a->mid, C, a->att, d->A, n, &p->proj.forward, p->proj.bias, a->x, C);
        sphere_barrier(me);
        ln = arena_alloc(&me->scratch, ROW_BLOCK * C * sizeof(float));
        norm_rows(&norm2, ln, a->mid, n, C, unused, unused + n);
        matmul_columns(me, a->fch, d->U, ln, C, n, &p->up.forward, p->up.bias, NULL, 0);
        arena_reset(&me->scratch, mark);
        activate(me, d, n);
        matmul_columns(me, a->x, C, a->fch, d->U, n, &p->down.forward, p->down.bias, a->mid, C);
        sphere_barrier(me);
    }
}

void decoder_extend(struct sphere *me, struct decoder *d, const int32_t *tokens, size_t n, float *logits)
{
    const struct norm normf = norm_at(d, d->normf);
    const size_t C = d->C, pos = d->cached, mark = arena_mark(&me->scratch);
    CHECK(d->use == DECODER_GENERATE && n >= 1 && pos + n <= d->T);
    size_t last = 0;
    for (size_t i = 0; i < n; i += ROW_BLOCK) {
        const size_t m = n - i < ROW_BLOCK ? n - i : ROW_BLOCK;
        extend_block(me, d, tokens + i, m, pos + i);
        last = m - 1;
    }
    float *ln = arena_alloc(&me->scratch, C * sizeof(float)), mean, rstd;
    norm_rows(&normf, ln, d->acts[0].x + last * C, 1, C, &mean, &rstd);
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
