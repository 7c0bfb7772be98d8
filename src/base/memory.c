/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic uint64_t requests; /* relaxed: a statistic */
static _Atomic int64_t fail_at = -1;

/* Counts a request; true when the test hook wants this one to fail. */
static bool refused(void)
{
    atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fail_at, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub_explicit(&fail_at, 1, memory_order_relaxed) == 0;
}

void *mem_alloc(size_t size_bytes)
{
    return refused() ? NULL : malloc(size_bytes ? size_bytes : 1);
}

void *mem_calloc(size_t count, size_t size_bytes)
{
    size_t total;
    if (!size_mul(count, size_bytes, &total) || refused())
        return NULL;
    return calloc(1, total ? total : 1);
}

void *mem_realloc(void *old, size_t size_bytes)
{
    return refused() ? NULL : realloc(old, size_bytes ? size_bytes : 1);
}

char *mem_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = mem_alloc(n);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

void *mem_map(size_t size_bytes)
{
    if (refused())
        return NULL;
    void *p = mmap(NULL, size_bytes ? size_bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void mem_unmap(void *p, size_t size_bytes)
{
    if (p)
        munmap(p, size_bytes ? size_bytes : 1);
}

uint64_t mem_request_count(void)
{
    return atomic_load_explicit(&requests, memory_order_relaxed);
}

void mem_fail_at(int64_t request)
{
    atomic_store_explicit(&fail_at, request, memory_order_relaxed);
}
