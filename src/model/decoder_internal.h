/* SPDX-License-Identifier: MIT
 * decoder_internal.h - a decoder's buffers: who writes what, and between which barriers.
 *
 * Rows [B*T] are shared out once and for all (own_rows): a member carries its rows through everything between two
 * attentions without a barrier.  In the table below "own" means written by the owner of the row; what another member
 * reads lies behind a barrier.
 */
#ifndef MODEL_DECODER_INTERNAL_H
#define MODEL_DECODER_INTERNAL_H

#include "base/arena.h"
#include "model/decoder.h"
#include "model_internal.h"
#include "ops/attention.h"
#include "ops/matmul.h"

enum { ROW_BLOCK = 48, ROW_GRAIN = 12 }; /* rows carried together; granularity of ownership */
enum { SITE_ATTENTION = 1, SITE_PROJECTION = 2, SITE_MLP = 3, SITE_EMBEDDING = 4 }; /* dropout keys */

struct layer_params { /* offsets into a run of parameters */
    size_t ln1_w, ln1_b, qkv_w, qkv_b, proj_w, proj_b, ln2_w, ln2_b, fc_w, fc_b, fcproj_w, fcproj_b;
};

struct layer_packed {
    struct packed qkv, proj, fc, fcproj;         /* forward: [in,out] */
    struct packed qkv_t, proj_t, fc_t, fcproj_t; /* backward: [out,in]; training only */
};

struct layer_acts {
    float *x;                 /* [BT,C] input of the layer, own */
    float *mean1, *rstd1;     /* [BT] */
    float *qkv;               /* [BT,3C] own; read by attention of any member */
    float *att;               /* [BT,C] by attention units */
    float *att_max, *att_inv; /* [B,H,T] */
    float *mid;               /* [BT,C] after attention's residual, own */
    float *mean2, *rstd2;
    float *fch; /* [BT,F] before GELU, own; training only */
};

struct decoder {
    struct model *model;
    enum decoder_use use;
    size_t B, T, C, F, H, L, V, rows; /* rows = B*T */
    size_t chunk;                     /* rows whose logits exist at a time */
    size_t logits_stride;
    struct layer_params *params;
    struct layer_packed *packed;
    struct layer_acts *acts; /* [L] in training; one in evaluation and generation */
    struct packed head, head_t;
    size_t wte, wpe, lnf_w, lnf_b;

    float *x_last;        /* [BT,C] output of the last layer, own */
    float *meanf, *rstdf; /* [BT] */
    float *xf;            /* [BT,C] after the last norm, own; read by the head */
    float *logits;        /* [chunk, logits_stride]; becomes its own gradient */
    double *losses;       /* [BT] */

    /* backward; "phase A" and "R" are explained in decoder_backward.c */
    float *dxf;          /* [BT,C] by the head's owners */
    float *g0, *g1;      /* [BT,C] gradient of the residual stream behind the MLP, behind attention */
    float *dmlp, *dproj; /* g0 and g1 through dropout; the same buffers without it */
    float *dh, *act;     /* [BT,F] */
    float *dln2, *ln2;   /* [BT,C] */
    float *datt;         /* [BT,C] */
    float *dqkv;         /* [BT,3C] */
    float *ln1[2];       /* [BT,C], alternating between layers: the next layer's is written while this one's is read */
    float *dln1;         /* [BT,C] */

    /* generation */
    float **cache; /* [L] */
    size_t cached;

    struct arena packed_memory, activation_memory, shared_memory;
};

/* This member's rows of n. */
static inline struct share own_rows(const struct sphere *me, size_t n)
{
    struct share s = sphere_share(me, (n + ROW_GRAIN - 1) / ROW_GRAIN);
    s.begin = s.begin * ROW_GRAIN < n ? s.begin * ROW_GRAIN : n;
    s.end = s.end * ROW_GRAIN < n ? s.end * ROW_GRAIN : n;
    return s;
}

/* Scratch of the forward on one row block. */
struct row_scratch {
    float *ln; /* [ROW_BLOCK,C] */
    float *h;  /* [ROW_BLOCK,F] */
};

/* One layer's attention on this decoder's buffers; leaf: whose dropout applies, or NULL. */
struct attention attention_of(const struct decoder *d, const struct layer_acts *a, size_t l, const struct leaf *leaf);

/* Forward of a whole leaf to xf, behind a barrier.  dropout: NULL or the leaf whose masks apply. */
void decoder_forward(struct sphere *me, struct decoder *d, const int32_t *inputs, const struct leaf *dropout);

/* Logits and loss of the rows of one chunk that this member owns; with grad also dlogits in place and dxf. */
void decoder_head_rows(struct sphere *me, struct decoder *d, size_t begin, size_t rows, const int32_t *targets,
                       const struct leaf *grad);
size_t decoder_chunks(const struct decoder *d);

#endif
