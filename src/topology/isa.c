/* SPDX-License-Identifier: MIT
 *
 * The levels are those of the x86-64 psABI, avx2 is x86-64-v3, avx512 is x86-64-v4, and two above them: avx512bf16 adds
 * AVX512_BF16, amx adds AMX-TILE and AMX-BF16.  Each counts only when the system saves the registers it needs (XCR0),
 * and amx when Linux permits the process its tile registers: they are large, so it gives them on request alone
 * (arch/x86/xstate in the kernel's documentation).  Bits: Intel SDM volume 2, CPUID; volume 1, 13.3.
 */
#include "topology/isa.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAMES[ISA_COUNT] = {"portable", "avx2", "avx512", "avx512bf16", "amx"};

const char *isa_name(enum isa isa)
{
    return (unsigned)isa < ISA_COUNT ? NAMES[isa] : "unknown";
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* The registers of one CPUID leaf, zeros where the CPU has no such leaf. */
struct leaf {
    uint32_t a, b, c, d;
};

static struct leaf cpuid(uint32_t number, uint32_t sub)
{
    struct leaf l = {0};
    if (!__get_cpuid_count(number, sub, &l.a, &l.b, &l.c, &l.d))
        l = (struct leaf){0};
    return l;
}

static bool tiles_permitted(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

/* What is missing for one level where all below it are there. */
static const char *missing_for(enum isa isa)
{
    enum { OSXSAVE = 1 << 27 };
    const uint64_t sse_and_avx_state = 3 << 1, avx512_state = 7 << 5, tile_state = 3 << 17;       /* XCR0 */
    const uint64_t fma = 1 << 12, movbe = 1 << 22, avx = 1 << 28, f16c = 1 << 29;                 /* leaf 1, ecx */
    const uint64_t bmi1 = 1 << 3, avx2 = 1 << 5, bmi2 = 1 << 8;                                   /* leaf 7, ebx */
    const uint64_t f = 1 << 16, dq = 1 << 17, cd = 1 << 28, bw = 1 << 30, vl = (uint64_t)1 << 31; /* leaf 7, ebx */
    const uint64_t amx_bf16 = 1 << 22, amx_tile = 1 << 24;                                        /* leaf 7, edx */
    const uint64_t avx512_bf16 = 1 << 5;                                                          /* leaf 7.1, eax */
    const uint64_t lzcnt = 1 << 5;                                                                /* 80000001h, ecx */

    switch (isa) {
    case ISA_AVX2:
        if (!has(cpuid(1, 0).c, fma | movbe | avx | f16c) || !has(cpuid(7, 0).b, bmi1 | avx2 | bmi2) ||
            !has(cpuid(0x80000001, 0).c, lzcnt))
            return "this CPU is below x86-64-v3 (AVX2, FMA, BMI2, F16C)";
        if (!has(cpuid(1, 0).c, OSXSAVE) || !has(xcr0(), sse_and_avx_state))
            return "the system does not save the AVX registers";
        return NULL;
    case ISA_AVX512:
        if (!has(cpuid(7, 0).b, f | dq | cd | bw | vl))
            return "this CPU is below x86-64-v4 (AVX-512 F, DQ, CD, BW, VL)";
        return has(xcr0(), avx512_state) ? NULL : "the system does not save the AVX-512 registers";
    case ISA_AVX512BF16:
        return cpuid(7, 0).a >= 1 && has(cpuid(7, 1).a, avx512_bf16) ? NULL : "this CPU has no AVX512_BF16";
    case ISA_AMX:
        if (!has(cpuid(7, 0).d, amx_tile | amx_bf16))
            return "this CPU has no AMX_BF16";
        if (!has(xcr0(), tile_state))
            return "the system does not save the AMX tile registers";
        return tiles_permitted() ? NULL : "the system does not permit this process the AMX tile registers";
    default:
        return NULL;
    }
}

#else

static const char *missing_for(enum isa isa)
{
    return isa == ISA_PORTABLE ? NULL : "this CPU is not an x86-64";
}

#endif

const char *isa_missing(enum isa isa)
{
    if ((unsigned)isa >= ISA_COUNT)
        return "there is no such level";
    for (int i = 0; i <= (int)isa; i++) {
        const char *what = missing_for((enum isa)i);
        if (what)
            return what;
    }
    return NULL;
}

enum isa isa_best(void)
{
    int best = ISA_PORTABLE;
    while (best + 1 < ISA_COUNT && !missing_for((enum isa)(best + 1)))
        best++;
    return (enum isa)best;
}

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
            return error_set(err, STATUS_CONFIG,
                             "CLLM_ISA is %s, which this CPU or system cannot do: %s; %s would work", wanted,
                             isa_missing((enum isa)i), would_work);
    return error_set(err, STATUS_CONFIG, "CLLM_ISA is \"%s\", which names no instruction set; %s would work", wanted,
                     would_work);
}
