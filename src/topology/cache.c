/* SPDX-License-Identifier: MIT */
#include "topology/cache.h"

#include <stdatomic.h>
#include <unistd.h>

enum { LEAST = 16 << 10, MOST = 8 << 20, LEVEL1 = 32 << 10, LEVEL2 = 512 << 10 };

static size_t ask(int level)
{
    long bytes = 0;
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE) /* glibc's */
    bytes = sysconf(level == 1 ? _SC_LEVEL1_DCACHE_SIZE : _SC_LEVEL2_CACHE_SIZE);
#endif
    if (bytes <= 0)
        bytes = level == 1 ? LEVEL1 : LEVEL2;
    return (size_t)(bytes < LEAST ? LEAST : bytes > MOST ? MOST : bytes);
}

size_t cache_core_bytes(int level)
{
    static _Atomic size_t known[2]; /* written once or several times with the same values: a virtual machine's CPUID is slow */
    _Atomic size_t *const at = &known[level == 1 ? 0 : 1];
    size_t bytes = atomic_load_explicit(at, memory_order_relaxed);
    if (!bytes) {
        bytes = ask(level);
        atomic_store_explicit(at, bytes, memory_order_relaxed);
    }
    return bytes;
}
