/* SPDX-License-Identifier: MIT */
#include "base/memory.h"

#include "base/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t requests; /* relaxed: a statistic */
static _Atomic uint64_t refusals;
static _Atomic int64_t fail_at = -1;

/* Counts a request; true when the test hook wants this one to fail. */
static bool refused(void)
{
    atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fail_at, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub_explicit(&fail_at, 1, memory_order_relaxed) == 0;
}

static void *counted(void *p)
{
    if (!p)
        atomic_fetch_add_explicit(&refusals, 1, memory_order_relaxed);
    return p;
}

void *mem_alloc(size_t size_bytes)
{
    return counted(refused() ? NULL : malloc(size_bytes ? size_bytes : 1));
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
    void *p = mmap(NULL, size_bytes ? size_bytes : 1, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void mem_unmap(void *p, size_t size_bytes)
{
    if (p)
        munmap(p, size_bytes ? size_bytes : 1);
}

void *mem_map_aligned(size_t size_bytes, size_t alignment)
{
    const size_t page = mem_page_bytes();
    CHECK(alignment >= page && (alignment & (alignment - 1)) == 0);
    size_t bytes, whole;
    if (!size_add(size_bytes ? size_bytes : 1, page - 1, &bytes))
        return NULL;
    bytes = bytes / page * page;
    if (!size_add(bytes, alignment - page, &whole))
        return NULL;
    unsigned char *p = mem_map(whole);
    if (!p)
        return NULL;
    const size_t before = (size_t)(-(uintptr_t)p & (alignment - 1)), after = whole - before - bytes;
    if (before)
        munmap(p, before);
    if (after)
        munmap(p + before + bytes, after);
    return p + before;
}

size_t mem_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static bool read_line(const char *path, char *text, int size)
{
    FILE *file = fopen(path, "re");
    const bool read = file && fgets(text, size, file);
    if (file)
        fclose(file);
    return read;
}

/* The kernel's admin-guide/mm/transhuge.rst. */
size_t mem_huge_page_bytes(void)
{
    char text[64];
    size_t bytes = 0;
    if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) || strstr(text, "[never]") ||
        !read_line("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text, sizeof text) ||
        sscanf(text, "%zu", &bytes) != 1 || bytes < mem_page_bytes() || (bytes & (bytes - 1)) != 0)
        return 0;
    return bytes;
}

bool mem_advise_huge(void *p, size_t size_bytes)
{
    return mem_huge_page_bytes() > 0 && madvise(p, size_bytes, MADV_HUGEPAGE) == 0;
}

/* An exchange of 0 for 0 asks for a page to write to at once, where reading first would take two faults.  The byte may be of
 * a poisoned gap between an arena's pieces. */
static __attribute__((noinline, no_sanitize_address)) void touch_page(unsigned char *p)
{
    unsigned char zero = 0;
    (void)__atomic_compare_exchange_n(p, &zero, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void mem_touch(void *p, size_t size_bytes, size_t part, size_t parts)
{
    const size_t page = mem_page_bytes(), before = (uintptr_t)p % page;
    const size_t pages = size_bytes ? (before + size_bytes + page - 1) / page : 0;
    const size_t end = pages / parts * (part + 1) + pages % parts * (part + 1) / parts;
    for (size_t i = pages / parts * part + pages % parts * part / parts; i < end; i++)
        touch_page((unsigned char *)p - before + i * page);
}

size_t mem_peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[256];
    size_t kib = 0;
    while (file && kib == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %zu kB", &kib) != 1)
            kib = 0;
    if (file)
        fclose(file);
    return kib * 1024;
}

uint64_t mem_refusal_count(void)
{
    return atomic_load_explicit(&refusals, memory_order_relaxed);
}

uint64_t mem_request_count(void)
{
    return atomic_load_explicit(&requests, memory_order_relaxed);
}

void mem_fail_at(int64_t request)
{
    atomic_store_explicit(&fail_at, request, memory_order_relaxed);
}
