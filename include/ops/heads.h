/* SPDX-License-Identifier: MIT
 * ops/heads.h - what happens to each head's query and key between their product and attention: RMS normalisation
 * (Qwen3) and rotation by position (RoPE: Su et al., "RoFormer", 2021, in the form that pairs elements i and i + D/2).
 *
 * The angle of pair i at position t is t * frequency[i]; frequencies and angles are computed in double by base/detmath,
 * so the tables have the same bits everywhere.  Nothing here allocates or fails.
 */
#ifndef OPS_HEADS_H
#define OPS_HEADS_H

#include "runtime/sphere.h"

#include <stddef.h>
#include <stdint.h>

/* frequency [half]: theta^(-i/half). */
void rope_frequencies(double *frequency, size_t half, double theta);

/* All of them divided by factor ("linear": Chen et al., "Extending context window ... via position interpolation", 2023). */
void rope_scale_linear(double *frequency, size_t half, double factor);

/* Llama 3.1's scaling, as transformers computes it: wavelengths above original/low_factor are stretched by factor, those
 * below original/high_factor stay, between them both are mixed. */
void rope_scale_llama3(double *frequency, size_t half, double factor, double low_factor, double high_factor,
                       double original_positions);

/* cos and sin [n, half] of positions first … first+n-1. */
void rope_angles(float *cos, float *sin, const double *frequency, size_t half, size_t first, size_t n);

/* One layer's heads.  Rows of qkv are [q | k | v]: H, Hkv and Hkv heads of D floats. */
struct heads {
    size_t heads, kv_heads, head_dim;
    size_t period;                     /* row r of the leaf is at position r mod period, */
    const int32_t *first;              /* [rows]: less first[r], where positions begin anew; NULL: 0 */
    const float *cos, *sin;            /* [period, D/2]; NULL: no rotation */
    const float *q_weight, *k_weight;  /* [D], norms of queries and keys; NULL: none */
    float eps;
    /* kept for the backward of the norms; NULL when there is none to come */
    float *raw;  /* [rows, (H+Hkv) D] before the norm */
    float *rstd; /* [H+Hkv, rows] */
    size_t rows;
    float *dq_weight, *dk_weight; /* [sequences, H, D] and [sequences, Hkv, D]: the norms' gradients by sequence and head */
};

/* In place on heads `which` of the H+Hkv of queries and keys, in rows first_row … first_row+n-1 of the leaf; qkv is the
 * first of these rows. */
void heads_forward(const struct heads *h, float *qkv, size_t first_row, size_t n, struct share which);

/* The way back for one head (of H+Hkv) of one sequence, in place on its columns of dqkv [rows, (H+2Hkv) D]; writes its
 * row of dq_weight or dk_weight. */
void heads_backward(const struct heads *h, float *dqkv, size_t sequence, size_t head);

#endif
