/* SPDX-License-Identifier: MIT
 * table.c - one table per ISA, and the choice among them: one for f32, one for bf16, for the same level.
 */
#include "kernels/kernels.h"
#include "kernels/kernels_bf16.h"
#include "topology/cache.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#define F32_LIST(X)  X(portable, ISA_PORTABLE) X(avx2, ISA_AVX2) X(avx512, ISA_AVX512)
#define BF16_LIST(X) F32_LIST(X) X(avx512bf16, ISA_AVX512BF16) X(amx, ISA_AMX)
#else
#define F32_LIST(X)  X(portable, ISA_PORTABLE)
#define BF16_LIST(X) F32_LIST(X)
#endif

#define X(isa, id) extern const struct kernels kernels_##isa;
F32_LIST(X)
#undef X
#define X(isa, id) extern const struct kernels_bf16 kernels_bf16_##isa;
BF16_LIST(X)
#undef X

const struct kernels *kernels_of(enum isa isa)
{
    if (isa > isa_best())
        return NULL;
    switch ((int)isa) {
#define X(name, id)                                                                                                    \
    case id:                                                                                                           \
        return &kernels_##name;
        F32_LIST(X)
#undef X
    }
    return NULL;
}

const struct kernels_bf16 *kernels_bf16_of(enum isa isa)
{
    if (isa > isa_best())
        return NULL;
    switch ((int)isa) {
#define X(name, id)                                                                                                    \
    case id:                                                                                                           \
        return &kernels_bf16_##name;
        BF16_LIST(X)
#undef X
    }
    return NULL;
}

/* Written once or several times with the same values. */
static _Atomic(const struct kernels *) chosen;
static _Atomic(const struct kernels_bf16 *) chosen_bf16;

enum status kernels_choose(struct error *err)
{
    enum isa isa = ISA_PORTABLE;
    enum status status = isa_choose(&isa, err);
    if (status != STATUS_OK)
        isa = isa_best();
    const struct kernels_bf16 *bf16_table = kernels_bf16_of(isa);
    atomic_store(&chosen_bf16, bf16_table ? bf16_table : kernels_bf16_of(ISA_PORTABLE));
    while (!kernels_of(isa)) /* the levels that only add bf16 units */
        isa--;
    atomic_store(&chosen, kernels_of(isa));
    return status;
}

size_t kernels_l2_bytes(void)
{
    return cache_core_bytes(2);
}

const struct kernels *kernels_get(void)
{
    const struct kernels *table = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!table) {
        kernels_choose(NULL);
        table = atomic_load_explicit(&chosen, memory_order_relaxed);
    }
    return table;
}

const struct kernels_bf16 *kernels_bf16_get(void)
{
    const struct kernels_bf16 *table = atomic_load_explicit(&chosen_bf16, memory_order_relaxed);
    if (!table) {
        kernels_choose(NULL);
        table = atomic_load_explicit(&chosen_bf16, memory_order_relaxed);
    }
    return table;
}
