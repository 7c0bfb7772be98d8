/* SPDX-License-Identifier: MIT
 *
 * The levels are those of the x86-64 psABI: avx2 is x86-64-v3, avx512 is x86-64-v4, each counted only when the
 * system saves the registers it needs (XCR0).  Bits: Intel SDM volume 2, CPUID; volume 1, 13.3.
 */
#include "topology/isa.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[ISA_COUNT] = {"portable", "avx2", "avx512"};

const char *isa_name(enum isa isa)
{
    return (unsigned)isa < ISA_COUNT ? NAMES[isa] : "unknown";
}

#if defined(__x86_64__)

#include <cpuid.h>

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has(uint64_t set, uint64_t wanted)
{
    return (set & wanted) == wanted;
}

enum isa isa_best(void)
{
    enum { OSXSAVE = 1 << 27 };
    enum { SSE_AND_AVX_STATE = 1 << 1 | 1 << 2, AVX512_STATE = 1 << 5 | 1 << 6 | 1 << 7 };
    const uint64_t fma = 1 << 12, movbe = 1 << 22, avx = 1 << 28, f16c = 1 << 29;              /* leaf 1, ecx */
    const uint64_t bmi1 = 1 << 3, avx2 = 1 << 5, bmi2 = 1 << 8;                                /* leaf 7, ebx */
    const uint64_t f = 1 << 16, dq = 1 << 17, cd = 1 << 28, bw = 1 << 30, vl = (uint64_t)1 << 31; /* leaf 7, ebx */
    const uint64_t lzcnt = 1 << 5;                                                             /* 80000001h, ecx */

    uint32_t a, b, c, d, leaf1_c, leaf7_b, extended_c;
    if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !(leaf1_c & OSXSAVE))
        return ISA_PORTABLE;
    if (!__get_cpuid_count(7, 0, &a, &leaf7_b, &c, &d) || !__get_cpuid(0x80000001, &a, &b, &extended_c, &d))
        return ISA_PORTABLE;
    const uint64_t saved = xcr0();
    if (!has(saved, SSE_AND_AVX_STATE) || !has(leaf1_c, fma | movbe | avx | f16c) ||
        !has(leaf7_b, bmi1 | avx2 | bmi2) || !has(extended_c, lzcnt))
        return ISA_PORTABLE;
    return has(saved, AVX512_STATE) && has(leaf7_b, f | dq | cd | bw | vl) ? ISA_AVX512 : ISA_AVX2;
}

#else

enum isa isa_best(void)
{
    return ISA_PORTABLE;
}

#endif

enum status isa_choose(enum isa *out, struct error *err)
{
    const enum isa best = isa_best();
    const char *wanted = getenv("CLLM_ISA");
    *out = best;
    if (!wanted || !*wanted)
        return STATUS_OK;
    char would_work[64] = "";
    for (int i = 0; i <= (int)best; i++) {
        if (strcmp(wanted, NAMES[i]) == 0) {
            *out = (enum isa)i;
            return STATUS_OK;
        }
        strcat(would_work, i == 0 ? "" : i == (int)best ? " or " : ", ");
        strcat(would_work, NAMES[i]);
    }
    for (int i = (int)best + 1; i < ISA_COUNT; i++)
        if (strcmp(wanted, NAMES[i]) == 0)
            return error_set(err, STATUS_CONFIG, "CLLM_ISA is %s, which this CPU or system cannot do; %s would work",
                             wanted, would_work);
    return error_set(err, STATUS_CONFIG, "CLLM_ISA is \"%s\", which names no instruction set; %s would work", wanted,
                     would_work);
}
