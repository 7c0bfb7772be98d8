/* SPDX-License-Identifier: MIT
 * table.c - one table per ISA, and the choice among them.
 */
#include "kernels/kernels.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#define ISA_LIST(X) X(portable, ISA_PORTABLE) X(avx2, ISA_AVX2) X(avx512, ISA_AVX512)
#else
#define ISA_LIST(X) X(portable, ISA_PORTABLE)
#endif

#define X(isa, id) extern const struct kernels kernels_##isa;
ISA_LIST(X)
#undef X

const struct kernels *kernels_of(enum isa isa)
{
    if (isa > isa_best())
        return NULL;
    switch ((int)isa) {
#define X(name, id)                                                                                                    \
    case id:                                                                                                           \
        return &kernels_##name;
        ISA_LIST(X)
#undef X
    }
    return NULL;
}

static _Atomic(const struct kernels *) chosen; /* written once or several times with the same value */

enum status kernels_choose(struct error *err)
{
    enum isa isa = ISA_PORTABLE;
    enum status status = isa_choose(&isa, err);
    if (status != STATUS_OK)
        isa = isa_best();
    const struct kernels *table = kernels_of(isa);
    atomic_store(&chosen, table ? table : kernels_of(ISA_PORTABLE));
    return status;
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
