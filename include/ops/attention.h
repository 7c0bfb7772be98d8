/* SPDX-License-Identifier: MIT
 * ops/attention.h - causal multi-head attention in tiles, forward and backward.
 *
 *     S = scale Q K^T (keys up to the query's own position),  P = softmax(S),  O = dropout(P) V,  scale = 1/sqrt(d)
 *
 * A block of QUERIES rows of S is made at a time, so memory grows with T and not with T^2; the row maximum and the
 * inverse of its sum are kept, and the backward makes P again from them (as in Dao et al., "FlashAttention", 2022,
 * but with whole rows: no rescaling, and the same bits for any tile).  Units are independent; members own whole units.
 */
#ifndef OPS_ATTENTION_H
#define OPS_ATTENTION_H

#include "ops/work.h"
#include "runtime/sphere.h"

#include <stddef.h>
#include <stdint.h>

struct dropout {
    uint64_t key;       /* of this step, layer and site */
    uint32_t threshold; /* probability * 2^32; 0 = no dropout */
    float scale;        /* 1 / (1 - probability) */
};
struct dropout dropout_make(uint64_t step_key, uint64_t layer, uint64_t site, double probability);

/* One layer on a leaf.  Rows of qkv are [q | k | v], each of H heads of d floats; C = H*d. */
struct attention {
    size_t batch, seq_len, heads, head_dim;
    const float *qkv;        /* [B*T, 3C] */
    float *out;              /* [B*T, C] */
    float *max, *inverse_sum; /* [B,H,T], written by forward, read by backward */
    struct dropout dropout;
    uint64_t first_sequence; /* of the step's batch: rows of the dropout mask are global */
    const float *dout;       /* [B*T, C], backward only */
    float *dqkv;             /* [B*T, 3C], written by backward */
};
struct work attention_forward_work(const struct attention *a);
struct work attention_backward_work(const struct attention *a);
size_t attention_units(size_t batch, size_t heads);
size_t attention_scratch_bytes(size_t seq_len, size_t head_dim); /* covers forward and backward */

/* Keys and values of one sequence in one layer, in the layout the products want, for generation. */
size_t attention_cache_bytes(size_t max_len, size_t heads, size_t head_dim);
/* Puts key and value of position `pos` (rows of C floats) into the cache: heads begin … end-1. */
void attention_cache_put(float *cache, size_t max_len, size_t heads, size_t head_dim, size_t pos, const float *key,
                         const float *value, struct share which);
/* out [n,C] for n new queries (stride q_stride) at positions pos … pos+n-1, for the heads of `which`. */
void attention_cached(struct sphere *me, float *out, const float *q, size_t q_stride, const float *cache, size_t max_len,
                      size_t heads, size_t head_dim, size_t pos, size_t n, struct share which);

#endif
