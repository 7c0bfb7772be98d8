/* SPDX-License-Identifier: MIT
 * rope.c - rotation of a head's vector by its position (Su et al., "RoFormer", 2021) in the form that pairs element i
 * with element i + half ("rotate half", as in transformers and GPT-NeoX).  Memory-bound.
 */
#include "kernels_internal.h"

void K(rope_f32)(float *x, const float *cos, const float *sin, size_t half, float direction)
{
    const vf d = vf_set1(direction);
    for (size_t i = 0; i < half; i += 16) {
        const size_t k = half - i;
        vf a = vf_load_n(x + i, k), b = vf_load_n(x + half + i, k);
        vf c = vf_load_n(cos + i, k), s = vf_mul(vf_load_n(sin + i, k), d);
        vf_store_n(x + i, vf_sub(vf_mul(a, c), vf_mul(b, s)), k);
        vf_store_n(x + half + i, vf_fma(a, s, vf_mul(b, c)), k);
    }
}
