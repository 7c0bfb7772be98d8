/* SPDX-License-Identifier: MIT
 * attention_internal.h - what the sources of ops/attention.h share: where a head lies, what a query sees, and products.
 */
#ifndef OPS_ATTENTION_INTERNAL_H
#define OPS_ATTENTION_INTERNAL_H

#include "kernels/kernels.h"
#include "ops/attention.h"

/* Queries whose scores are computed together up to the last one's own key; what is beyond a row's own view is zeros. */
enum { ATTENTION_BAND = 24 };

struct attention_shape {
    size_t T, d, group, E, A; /* group: query heads of a head of keys; E, A: floats of a row of qkv and of out */
};
struct attention_shape attention__shape(const struct attention *a);

/* One query head of sequence b. */
struct attention_head {
    const float *q, *k, *v; /* first row, stride E */
    const int32_t *first;   /* of the sequence, or NULL */
    size_t row0;            /* of the sequence in [B*T] */
    size_t stats;           /* first element in max and inverse_sum */
    uint64_t mask_row;      /* dropout row of query 0 */
    size_t column;          /* first column of the query head in q and out */
    size_t key;             /* its head of keys and values, counted over sequences */
};
struct attention_head attention__head(const struct attention *a, size_t b, size_t h);

float attention__scale(size_t head_dim);

/* First key that a query sees in its window and its document; first: of the sequence, or NULL. */
size_t attention__first_key(const int32_t *first, size_t query, size_t window);

/* Pairs in one head of a sequence that are computed: those seen, and the rest of their bands. */
uint64_t attention__computed_pairs(size_t T, size_t window);

/* Keys that m queries from q0 on meet: low … end-1.  Products with K^T start at `begin`, a panel's edge. */
struct attention_view {
    size_t begin, low, end;
};
struct attention_view attention__view(const int32_t *first, size_t q0, size_t m, size_t window);

/* Floats of a row of scores for a view of `keys`: an odd number of lines, so that rows do not share a set of L1. */
size_t attention__row_floats(size_t keys);

/* And of the widest view, where a block may begin or end `beside` keys beyond a window. */
size_t attention__widest_row(size_t T, size_t window, size_t beside);

/* Where the zeros behind n scores may end: a whole vector where the row has room for it. */
size_t attention__padded(size_t n, size_t room);

/* Bytes of panels of [k,n]. */
size_t attention__panels_bytes(size_t k, size_t n);

/* C [m,n] = (C +) A·B with A given by its two strides and B in panels of b_rows rows. */
void attention__product(float *c, size_t c_row, const float *a, size_t a_row, size_t a_col, const float *b,
                        size_t b_rows, size_t m, size_t n, size_t k, bool go_on);

/* Elements first … first+n-1 of a row of the mask. */
void attention__drop(const struct dropout *d, float *x, size_t first, size_t n, uint64_t row);

/* From scores to what meets V, in place: softmax and dropout of m queries from q0 on, rows of `row` floats whose first is key
 * v.begin; writes max and inverse_sum.  Zeros outside a query's own view. */
void attention__softmax(const struct attention *a, const struct attention_head *h, float *p, size_t row, size_t q0,
                        size_t m, struct attention_view v);

/* The way back: p, scores, becomes probabilities, ds, the gradient of what met V, that of the scores; dropped, where there is
 * dropout, what met V.  Columns are counted from key k0; dot: rowsum(O dO) of the query head. */
void attention__softmax_backward(const struct attention *a, const struct attention_head *h, const float *dot, float *p,
                                 float *ds, float *dropped, size_t row, size_t q0, size_t m, size_t k0,
                                 struct attention_view v);

/* A unit of the backward, sequence b's head kv of keys: blocks of `keys` keys in order, and for each the query heads in order and
 * in each the blocks of `queries` queries in order that see some of them, from `low` on.  Blocks add to dk and dv. */
struct attention_walk {
    size_t queries, keys;
    float *dk, *dv; /* [keys,d] */
    float *dot;     /* [group,T]: rowsum(O dO), made first */
    void (*pack)(const struct attention *a, const void *space, const struct attention_head *h, size_t k0, size_t n);
    void (*block)(struct sphere *me, const struct attention *a, const void *space, const struct attention_head *h,
                  const float *dot, size_t q0, size_t m, size_t k0, size_t n, size_t low);
    const void *space; /* for both */
};
void attention__backward_unit(struct sphere *me, const struct attention *a, const struct attention_walk *w, size_t b,
                              size_t kv);

size_t attention__backward_scratch_bytes(size_t T, size_t d, size_t group);

/* attention_rounded.c: the same with operands of the products rounded to bf16. */
void rounded__attention_forward(struct sphere *me, const void *attention, size_t begin, size_t end);
void rounded__attention_backward(struct sphere *me, const void *attention, size_t begin, size_t end);
size_t rounded__attention_scratch_bytes(size_t T, size_t d, size_t group, size_t window);

#endif
