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
#include "ops/norm.h"

enum { ROW_BLOCK = 48, ROW_GRAIN = 12 }; /* rows carried together; granularity of ownership */
enum { CHUNK_GRAIN = 96 };               /* of the head's chunks; whole blocks of rows, and of 32 for the order of bf16 sums */
enum { SITE_ATTENTION = 1, SITE_PROJECTION = 2, SITE_MLP = 3, SITE_EMBEDDING = 4 }; /* dropout keys */

/* Offsets into a run of parameters; NONE: the model does not have it. */
#define NONE SIZE_MAX
struct matrix {
    size_t weight, bias;
    size_t in, out;
};
struct norm_params {
    size_t weight, bias;
};

struct layer_params {
    struct norm_params norm1, norm2;
    struct matrix qkv[3]; /* one of all three, or q, k and v */
    struct matrix proj;
    struct matrix up[2]; /* fc, or gate and up */
    struct matrix down;
    size_t q_norm, k_norm;
};

/* A product of matrices side by side over the same input. */
struct fused {
    struct packed forward;  /* [in, sum of out] */
    struct packed backward; /* [sum of out, in]; training only */
    float *bias;            /* [sum of out]: theirs side by side; NULL: none */
};

struct layer_packed {
    struct fused qkv, proj, up, down;
};

/* Layers that are run again share one set of all but the first three: the gradient of norm 1 reads those of the layer above
 * while the layer in hand is already there again. */
struct layer_acts {
    float *x;                 /* [BT,C] input of the layer, own */
    float *mean1, *rstd1;     /* [BT] */
    float *qkv;               /* [BT,E] own; read by attention of any member */
    float *qk_raw, *qk_rstd;  /* [BT,(H+Hkv)D] and [H+Hkv,BT] before the norms of the heads; training only */
    float *att;               /* [BT,A] by attention units */
    float *att_max, *att_inv; /* [B,H,T] */
    float *mid;               /* [BT,C] after attention's residual, own */
    float *mean2, *rstd2;
    float *fch; /* [BT,U] before the activation, own; training and generation */
};

struct decoder {
    struct model *model;
    enum decoder_use use;
    enum dtype dtype; /* of the products with matrices */
    size_t B, T, C, F, H, L, V, rows; /* rows = B*T */
    size_t kv_heads, D;               /* heads of keys and values; channels of a head */
    size_t A, E, U;                   /* H D; (H + 2 kv_heads) D; columns of the product before the activation, F or 2F */
    bool swiglu, out_in;              /* out_in: matrices lie [out,in], not [in,out] */
    size_t num_qkv, num_up;           /* matrices of a layer's first and third product */
    size_t recompute;                 /* layers 0 … recompute-1 are run again; they share their buffers with the next one */
    size_t chunk;                     /* rows whose logits exist at a time */
    size_t logits_stride;
    struct layer_params *params;
    struct layer_packed *packed;
    struct layer_acts *acts; /* [L] in training; one in evaluation and generation */
    struct packed head, head_t;
    size_t wte, wpe, head_w; /* head_w is wte when they are tied */
    struct norm_params normf;

    double *frequency; /* [D/2] of the rotation */
    float *cos, *sin;  /* [T,D/2]; in generation of the block in hand */

    float *x_last;        /* [BT,C] output of the last layer, own */
    float *meanf, *rstdf; /* [BT] */
    float *xf;            /* [BT,C] after the last norm, own; read by the head */
    float *logits;        /* [chunk, logits_stride]; becomes its own gradient */
    double *losses;       /* [BT] */

    /* backward; "phase A" and "R" are explained in decoder_backward.c */
    float *dxf;          /* [BT,C] by the head's owners */
    float *g0, *g1;      /* [BT,C] gradient of the residual stream behind the MLP, behind attention */
    float *dmlp, *dproj; /* g0 and g1 through dropout; the same buffers without it */
    float *dh;           /* [BT,U] */
    float *act;          /* [BT,F] */
    float *dln2, *ln2;   /* [BT,C] */
    float *datt;         /* [BT,A] */
    float *dqkv;         /* [BT,E] */
    float *dq_norm, *dk_norm; /* [B,H,D], [B,kv_heads,D] */
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

/* A parameter of the model, or NULL. */
static inline const float *param_at(const struct decoder *d, size_t offset)
{
    return offset == NONE ? NULL : d->model->data + offset;
}

static inline struct norm norm_at(const struct decoder *d, struct norm_params at)
{
    return (struct norm){param_at(d, at.weight), param_at(d, at.bias), d->model->config.norm_epsilon};
}

/* Whether a leaf is one of training, with dropout. */
static inline bool leaf_trains(const struct leaf *leaf)
{
    return leaf->grads != NULL;
}

/* One layer's attention on this decoder's buffers and a leaf. */
struct attention attention_of(const struct decoder *d, const struct layer_acts *a, size_t l, const struct leaf *leaf);

/* What its queries and keys go through first.  first: of the leaf; NULL in generation. */
struct heads heads_of(const struct decoder *d, const struct layer_acts *a, size_t l, const int32_t *first);

/* Forward of a whole leaf to xf, behind a barrier. */
void decoder_forward(struct sphere *me, struct decoder *d, const struct leaf *leaf);

/* Makes layer l's activations again from its input, with the bits of the forward: all that its backward reads.  Begins
 * behind the barrier after phase A of the layer above; ends with own rows that have met nobody since they were made. */
void decoder_rerun_layer(struct sphere *me, struct decoder *d, size_t l, const struct leaf *leaf);

/* Logits and loss of the rows of one chunk that this member owns; in training also dlogits in place and dxf. */
void decoder_head_rows(struct sphere *me, struct decoder *d, size_t begin, size_t rows, const struct leaf *leaf);
size_t decoder_chunks(const struct decoder *d);

#endif
