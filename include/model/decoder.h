/* SPDX-License-Identifier: MIT
 * model/decoder.h - forward and backward of one leaf (micro-batch), evaluation, and extension of a cached sequence.
 *
 * A decoder is a model with the memory to run it on leaves of [B,T] tokens: activations, weights packed for the
 * products, buffers the spheres share.  What each sphere needs alone it takes from its scratch.  The functions with
 * `struct sphere *me` are team functions: all members call them with the same arguments; they begin and end
 * wherever the members happen to be and put the barriers inside where data flows between members.  No result depends on
 * the number of members.
 */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "base/status.h"
#include "model/model.h"
#include "ops/dtype.h"
#include "runtime/sphere.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum decoder_use { DECODER_TRAIN, DECODER_EVAL, DECODER_GENERATE };

/* Bytes by part, for a plan; the decoder takes exactly these. */
struct decoder_memory {
    size_t packed_bytes;      /* weights in the layouts of the products */
    size_t activation_bytes;  /* kept from forward to backward */
    size_t shared_bytes;      /* between spheres, reused from layer to layer */
    size_t sphere_scratch_bytes; /* each sphere's own */
    int max_width;            /* more members than this would never find work */
};
/* dtype: DTYPE_F32, or DTYPE_BF16: the products with matrices and their gradients take operands rounded to bf16; parameters,
 * gradients, activations between products, norms and attention are f32 as ever. */
struct decoder_memory decoder_plan(const struct model_config *config, enum decoder_use use, enum dtype dtype,
                                   size_t batch, size_t seq_len);

/* A decoder for training that runs the first `recompute` layers forward again in the backward instead of keeping their
 * activations (Chen et al., "Training deep nets with sublinear memory cost", 2016): of such a layer only its input and
 * that input's statistics stay.  The last layer's activations are still there when its backward comes, so any number
 * from n_layer - 1 on means that many.  The bits are those of 0, which is decoder_plan and decoder_new. */
struct decoder_memory decoder_plan_training(const struct model_config *config, enum dtype dtype, size_t batch,
                                            size_t seq_len, size_t recompute);

struct decoder;
struct decoder *decoder_new(struct model *model, enum decoder_use use, enum dtype dtype, size_t batch, size_t seq_len,
                            struct error *err);
struct decoder *decoder_new_training(struct model *model, enum dtype dtype, size_t batch, size_t seq_len,
                                     size_t recompute, struct error *err);
void decoder_free(struct decoder *decoder);

/* Has the system give the memory of a training's decoder now, each buffer's rows where the member runs that owns them: first
 * touch places them on its node.  Team function, no barrier. */
void decoder_touch(struct sphere *me, const struct decoder *decoder);

/* Packs the weights; after every change of them and before anything below.  Ends with a barrier. */
void decoder_pack(struct sphere *me, struct decoder *decoder);

/* One leaf of training.  Adds nothing to statistics but FLOPs, tokens and sequences. */
struct leaf {
    const int32_t *inputs, *targets; /* [B,T] */
    /* [B,T]: where in its sequence a token's document begins (ops/attention.h): positions count from there, and nothing
     * before is seen.  NULL: each sequence is one document. */
    const int32_t *first;
    const bool *supervised;  /* [B,T]: whether the target counts; NULL: all do */
    uint64_t first_sequence; /* index in the step's batch of the leaf's first sequence: part of the dropout key */
    uint64_t dropout_key;    /* rng_key(seed, RNG_DROPOUT, step, 0) */
    float loss_scale;        /* each token's loss is multiplied by this in the gradient: 1 / supervised tokens of the step */
    float *grads;            /* [model_size] */
    bool add;                /* false: writes grads; true: adds the leaf's whole gradient to it */
    float *head_leaf;        /* [V*C], wanted when add is true: the leaf's own gradient of the tied embedding */
};
/* *loss_sum (the root's pointer is written, after a barrier) = sum of the tokens' losses, nats, in index order. */
void decoder_train_leaf(struct sphere *me, struct decoder *decoder, const struct leaf *leaf, double *loss_sum);

/* Forward and loss only, no dropout; of the leaf inputs, targets, first and supervised. */
void decoder_eval_leaf(struct sphere *me, struct decoder *decoder, const struct leaf *leaf, double *loss_sum);

/* Generation: one sequence, keys and values kept.  Feeds tokens at positions cached … cached+n-1 (< the decoder's
 * seq_len, where 0 stands for n_positions) and writes the logits after the last one to logits [V].  DECODER_GENERATE, batch 1.  Bit for bit what a full
 * forward gives. */
void decoder_extend(struct sphere *me, struct decoder *decoder, const int32_t *tokens, size_t n, float *logits);
void decoder_forget(struct decoder *decoder); /* empties the cache */
size_t decoder_cached(const struct decoder *decoder);

/* FLOPs of a training step's products per token, for plans and figures: 6 N plus attention. */
double decoder_train_flops_per_token(const struct model_config *config, size_t seq_len);
/* And those that running `recompute` layers again adds to them. */
double decoder_recompute_flops_per_token(const struct model_config *config, size_t seq_len, size_t recompute);

#endif
