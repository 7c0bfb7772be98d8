/* SPDX-License-Identifier: MIT
 * pack_bf16.c - the layouts of operands, the conversions of rows, and the table of the level.
 *
 * B: panels of NR columns, in them pair after pair of k, in a pair column after column: what a vector of pairs, or a tile row
 * of 64 bytes, is loaded from.  A (from its transpose): panels of MR rows likewise; for tiles 16 rows of 32 elements
 * side by side instead, block after block of k.  All bound by memory: each element is read once and written once, 16 x 16
 * pairs at a time where the source has to be turned.
 */
#include "kernels_internal_bf16.h"

#ifdef BF16_TILE_LAYOUT
enum { MR = 16, NR = 32, KR = 32 };
#define ORDER BF16_TILES
#else
enum { MR = BF16_MR, NR = 16 * BF16_NV, KR = 2 };
#define ORDER BF16_PAIRS
#endif

static const bf16 zeros_bf16[16];
static const float zeros_f32[16];

/* up to 32 elements of a row, rounded where they are f32, zeros behind */
SIMD void row_bf16(bf16 *dst, const bf16 *src, size_t n)
{
    memset(dst, 0, 32 * sizeof *dst);
    memcpy(dst, src, (n < 32 ? n : 32) * sizeof *dst);
}
SIMD void row_f32(bf16 *dst, const float *src, size_t n)
{
    vf_store_bf16(dst, vf_load_n(src, n));
    vf_store_bf16(dst + 16, vf_load_n(src + (n < 16 ? 0 : 16), left(n, 16)));
}

/* 16 pairs of each of 16 rows, at dst row after row of pairs, the rows side by side: dst[q*2*NR + 2*row]. */
SIMD void turn(bf16 *dst, bf16 (*rows)[32])
{
    float in[16 * 16], out[16 * 16];
    memcpy(in, rows, sizeof in);
    transpose16(out, 16, in, 16);
    for (size_t q = 0; q < 16; q++)
        memcpy(dst + q * 2 * NR, out + 16 * q, 16 * sizeof *out);
}

#define PACK_B(type)                                                                                                   \
    /* columns side by side in the source */                                                                           \
    static void interleave_##type(bf16 *dst, const type *src, ptrdiff_t row, size_t k, size_t n)                       \
    {                                                                                                                  \
        const size_t pairs = bf16_padded(k, KR) / 2;                                                                   \
        for (size_t q = 0; q < pairs; q++)                                                                             \
            for (size_t v = 0; v < NR; v += 16) {                                                                      \
                const type *even = src + (ptrdiff_t)(2 * q) * row + (ptrdiff_t)v, *odd = even + row;                   \
                if (v + 16 <= n && 2 * q + 1 < k) {                                                                    \
                    vp_store(dst + q * 2 * NR + 2 * v, vp_pair_##type(even, odd, 16));                                 \
                    continue;                                                                                          \
                }                                                                                                      \
                const bool some = v < n;                                                                               \
                vp_store(dst + q * 2 * NR + 2 * v,                                                                     \
                         vp_pair_##type(some && 2 * q < k ? even : zeros_##type,                                       \
                                        some && 2 * q + 1 < k ? odd : zeros_##type, left(n, v)));                      \
            }                                                                                                          \
    }                                                                                                                  \
    /* k side by side in the source */                                                                                 \
    static void turn_##type(bf16 *dst, const type *src, ptrdiff_t col, size_t k, size_t n)                             \
    {                                                                                                                  \
        const size_t padded = bf16_padded(k, KR);                                                                      \
        for (size_t p = 0; p < padded; p += 32)                                                                        \
            for (size_t v = 0; v < NR; v += 16) {                                                                      \
                bf16 rows[16][32], all[16 * 2 * NR];                                                                   \
                for (size_t j = 0; j < 16; j++)                                                                        \
                    if (v + j < n)                                                                                     \
                        row_##type(rows[j], src + (ptrdiff_t)(v + j) * col + (ptrdiff_t)p, left(k, p));                \
                    else                                                                                               \
                        memset(rows[j], 0, sizeof rows[j]);                                                            \
                if (padded - p >= 32) {                                                                                \
                    turn(dst + p * NR + 2 * v, rows);                                                                  \
                    continue;                                                                                          \
                }                                                                                                      \
                turn(all, rows);                                                                                       \
                for (size_t q = 0; q < (padded - p) / 2; q++)                                                          \
                    memcpy(dst + p * NR + q * 2 * NR + 2 * v, all + q * 2 * NR, 32 * sizeof *all);                     \
            }                                                                                                          \
    }                                                                                                                  \
    void K(pack_b_##type)(bf16 * dst, size_t panel, const type *src, ptrdiff_t row, ptrdiff_t col, size_t k, size_t n) \
    {                                                                                                                  \
        for (size_t j = 0; j < n; j += NR) {                                                                           \
            const size_t w = n - j < NR ? n - j : NR;                                                                  \
            if (col == 1)                                                                                              \
                interleave_##type(dst + j / NR * panel, src + j, row, k, w);                                           \
            else                                                                                                       \
                turn_##type(dst + j / NR * panel, src + (ptrdiff_t)j * col, col, k, w);                                \
        }                                                                                                              \
    }

typedef float f32;
PACK_B(bf16)
PACK_B(f32)

/* 16 pairs of k for one panel of A: pair after pair as they come, or for tiles turned to row after row. */
#ifdef BF16_TILE_LAYOUT
SIMD void put_pairs(bf16 *dst, const vp *pair, size_t pairs)
{
    float in[16 * 16], out[16 * 16];
    (void)pairs; /* always 16 */
    memcpy(in, pair, sizeof in);
    transpose16(out, 16, in, 16);
    memcpy(dst, out, sizeof out);
}
#else
SIMD void put_pairs(bf16 *dst, const vp *pair, size_t pairs)
{
    size_t q = 0;
    for (; q * MR + 16 <= pairs * MR; q++) /* whole vectors: the next pairs overwrite what is beyond this one */
        vp_store(dst + q * 2 * MR, pair[q]);
    for (; q < pairs; q++)
        vp_store_n(dst + q * 2 * MR, pair[q], MR);
}
#endif

/* 32 rows of the source at a time pass all panels, so that its lines are used up while they are near. */
void K(pack_a_bf16)(bf16 *dst, size_t panel, const bf16 *src, size_t row, size_t m, size_t k)
{
    const size_t padded = bf16_padded(k, KR);
    for (size_t p0 = 0; p0 < padded; p0 += 32)
        for (size_t i = 0; i < m; i += MR) {
            const size_t w = m - i < MR ? m - i : MR, pairs = padded - p0 < 32 ? (padded - p0) / 2 : 16;
            vp pair[16];
            for (size_t q = 0; q < pairs; q++) {
                const size_t p = p0 + 2 * q;
                const bf16 *even = src + p * row + i;
                const bf16 *odd = p + 1 < k ? even + row : zeros_bf16;
                pair[q] = i + 16 <= m ? vp_pair_bf16(p < k ? even : zeros_bf16, odd, 16)
                                      : vp_pair_bf16(p < k ? even : zeros_bf16, odd, w);
            }
            put_pairs(dst + i / MR * panel + p0 * MR, pair, pairs);
        }
}

void K(round_bf16)(bf16 *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        vf_store_bf16_n(dst + i, vf_load_n(src + i, n - i), n - i);
}

void K(widen_bf16)(float *dst, const bf16 *src, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(dst + i, vf_load_bf16(src + i));
    for (; i < n; i++)
        dst[i] = f32_of_bf16(src[i]);
}

#define ID_portable   ISA_PORTABLE
#define ID_avx2       ISA_AVX2
#define ID_avx512     ISA_AVX512
#define ID_avx512bf16 ISA_AVX512BF16
#define ID_amx        ISA_AMX

const struct kernels_bf16 PASTE(kernels_bf16, ISA) = {
    .isa = PASTE(ID, ISA),
    .order = ORDER,
    .mr = MR,
    .nr = NR,
    .kr = KR,
#define KERNEL(name, result, args) .name = K(name),
#include "kernels/kernels_bf16.def"
#undef KERNEL
};
