/* SPDX-License-Identifier: MIT
 * ops/attention.h - causal attention in tiles, forward and backward: multi-head, grouped-query, sliding window.
 *
 *     S = scale Q K^T (keys up to the query's own position),  P = softmax(S),  O = dropout(P) V,  scale = 1/sqrt(d)
 *
 * H query heads share Hkv heads of keys and values, H/Hkv neighbours each (Ainslie et al., "GQA", 2023).  With a window
 * a query sees that many keys, itself included; blocks of keys outside are not computed.
 *
 * A block of QUERIES rows of S is made at a time, so memory grows with T and not with T^2; the row maximum and the
 * inverse of its sum are kept, and the backward makes P again from them (as in Dao et al., "FlashAttention", 2022,
 * but with whole rows: no rescaling, and the same bits for any tile).  Units are independent; members own whole units.
 *
 * Where several documents lie in one sequence, first[b,t] is where that of token t begins: first[b,t] <= t, and it does
 * not fall from one t to the next.  Keys that no query of a block sees are not met.  A document's outputs and gradients
 * are the numbers it would have alone at the beginning of a sequence, and no other document reaches them.
 */
#ifndef OPS_ATTENTION_H
#define OPS_ATTENTION_H

#include "ops/dtype.h"
#include "ops/heads.h"
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

/* One layer on a leaf.  Rows of qkv are [q | k | v], H, Hkv and Hkv heads of d floats: E = (H + 2Hkv) d. */
struct attention {
    enum dtype dtype;        /* BF16: operands of the products, P and dS among them, are rounded; the rest is f32 */
    size_t batch, seq_len, heads, kv_heads, head_dim;
    size_t window;           /* 0: none */
    const int32_t *first;    /* [B,T]: first key of its sequence that a query may see; NULL: 0 */
    const float *qkv;        /* [B*T, E] */
    float *out;              /* [B*T, H*d] */
    float *max, *inverse_sum; /* [B,H,T], written by forward, read by backward */
    struct dropout dropout;
    uint64_t first_sequence; /* of the step's batch: rows of the dropout mask are global */
    const float *dout;       /* [B*T, H*d], backward only */
    float *dqkv;             /* [B*T, E], written by backward */
    const struct heads *made_by; /* backward: what q and k went through, gone back through; NULL: nothing */
};
struct work attention_forward_work(const struct attention *a);
struct work attention_backward_work(const struct attention *a);
size_t attention_forward_units(const struct attention *a);
size_t attention_backward_units(const struct attention *a);
/* Covers forward and backward; group: query heads of a head of keys. */
size_t attention_scratch_bytes(enum dtype dtype, size_t seq_len, size_t head_dim, size_t group, size_t window);

/* Pairs of a query and a key it sees in a sequence of seq_len. */
uint64_t attention_pairs(size_t seq_len, size_t window);

/* Keys and values of one sequence in one layer, in the layout the products want, for generation. */
struct attention_cache {
    float *data; /* attention_cache_bytes */
    size_t max_len, heads, kv_heads, head_dim, window;
};
size_t attention_cache_bytes(size_t max_len, size_t kv_heads, size_t head_dim);
size_t attention_cached_scratch_bytes(size_t max_len, size_t window);
/* Puts key and value of position `pos` (rows of Hkv*d floats) into the cache: heads of keys and values `which`. */
void attention_cache_put(const struct attention_cache *c, size_t pos, const float *key, const float *value,
                         struct share which);
/* out [n,H*d] for n new queries (stride q_stride) at positions pos … pos+n-1, for the query heads of `which`. */
void attention_cached(struct sphere *me, const struct attention_cache *c, float *out, const float *q, size_t q_stride,
                      size_t pos, size_t n, struct share which);

#endif
