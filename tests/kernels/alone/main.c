/* SPDX-License-Identifier: MIT
 * main.c - the portable kernels without libcheck or any other library: the bf16 checks, and a hash of what f32 and bf16 kernels
 * make of given numbers.  Two machines that print the same line compute the same bits (scripts/check_aarch64).
 */
#include "kernels/bf16_checks.h"
#include "kernels/kernels.h"

extern const struct kernels kernels_portable;
extern const struct kernels_bf16 kernels_bf16_portable;

static uint64_t hash = 1469598103934665603u; /* FNV-1a over the bits */

static void hash_f32(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        hash ^= x[i] != x[i] ? 0x7fc00000u : f32_bits(x[i]);
        hash *= 1099511628211u;
    }
}

static void f32_kernels(const struct kernels *kn)
{
    enum { M = 9, N = 37, K_LONG = 50 };
    float *a = numbers32(M * K_LONG, 31), *b = numbers32(K_LONG * N, 32), *packed = malloc((N + kn->nr) * K_LONG * 4);
    float c[M * N], y[M * N], mean, rstd;
    kn->pack_f32(packed, b, N, 1, K_LONG, N);
    kn->gemm_f32(&(struct gemm){.m = M,
                                .n = N,
                                .k = K_LONG,
                                .a = a,
                                .a_row = K_LONG,
                                .a_col = 1,
                                .b = packed,
                                .b_panel = K_LONG * kn->nr,
                                .b_row = kn->nr,
                                .c = c,
                                .c_row = N});
    hash_f32(c, M * N);
    kn->gelu_f32(y, c, M * N);
    hash_f32(y, M * N);
    kn->layernorm_f32(y, c, b, b + 400, 333, 1e-5f, &mean, &rstd);
    hash_f32(y, 333);
    kn->softmax_f32(c, 300, 333, 0.1f, &mean, &rstd);
    hash_f32(c, 333);
    free(a), free(b), free(packed);
}

static void bf16_kernels(const struct kernels_bf16 *kn)
{
    enum { M = 13, N = 50, K_LONG = 1500 };
    bf16 *a = numbers16(M * K_LONG, 33), *b = numbers16(N * K_LONG, 34);
    float c[M * N];
    struct layout p = layout_new(kn, kn->nr, N, K_LONG);
    kn->pack_b_bf16(p.data, p.panel, b, 1, K_LONG, K_LONG, N);
    kn->gemm_bf16(&(struct gemm_bf16){.m = M,
                                      .n = N,
                                      .k = K_LONG,
                                      .a = a,
                                      .a_row = K_LONG,
                                      .b = p.data,
                                      .b_panel = p.panel,
                                      .c = c,
                                      .c_row = N,
                                      .sum = sum_scratch()});
    hash_f32(c, M * N);
    layout_free(&p, "pack_b_bf16");
    free16(a), free16(b);
}

int main(void)
{
    const struct kernels_bf16 *kn = &kernels_bf16_portable;
    check_products(kn, 60);
    check_going_on(kn);
    check_edges(kn, 11, 200);
    check_conversions(kn);
    f32_kernels(&kernels_portable);
    bf16_kernels(kn);
    printf("the portable kernels give %016llx\n", (unsigned long long)hash);
    return 0;
}
