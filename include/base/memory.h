/* SPDX-License-Identifier: MIT
 * base/memory.h - the one door to the system's memory, and size arithmetic that cannot wrap.
 *
 * Everything the library allocates comes through here, so that a test can count it (a training step allocates
 * nothing) and make the n-th request fail.  Any thread.
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL when the system has none (or the test hook says so); never for size 0.  mem_calloc checks count*size. */
void *mem_alloc(size_t size_bytes);
void *mem_calloc(size_t count, size_t size_bytes);
void *mem_realloc(void *old, size_t size_bytes);
char *mem_strdup(const char *text);
void mem_free(void *p); /* NULL is fine */

/* Zero-filled pages, reserved at once and given by the system on first touch.  NULL on refusal. */
void *mem_map(size_t size_bytes);
void mem_unmap(void *p, size_t size_bytes);

/* As mem_map, on a multiple of `alignment`, a power of two of at least a page.  Returned by mem_unmap. */
void *mem_map_aligned(size_t size_bytes, size_t alignment);

size_t mem_page_bytes(void);

/* The size of the pages that the system gives for mem_advise_huge; 0 where it has none or they are switched off. */
size_t mem_huge_page_bytes(void);

/* Asks for huge pages in mapped memory; advice, which the system may follow where a whole huge page fits.  False when
 * it will not (mem_huge_page_bytes is 0, or the range is not of mem_map). */
bool mem_advise_huge(void *p, size_t size_bytes);

/* Has the system give part `part` of `parts` of mapped memory now, to the node of the calling thread; what lies there stays.
 * Any number of threads may do so at once. */
void mem_touch(void *p, size_t size_bytes, size_t part, size_t parts);

/* The most bytes of memory this process has had at a time (VmHWM: mapped files included); 0 where that is not known. */
size_t mem_peak_bytes(void);

/* How many requests (alloc, calloc, realloc, map) were made so far, by all threads. */
uint64_t mem_request_count(void);

/* How often mem_alloc gave NULL, to any thread: for callers of libraries that allocate through it and do not say why they failed. */
uint64_t mem_refusal_count(void);

/* Test hook: the request with this number (counted from the call, first is 0) fails, once; -1 = none. */
void mem_fail_at(int64_t request);

/* false when the result does not fit; *out is then unchanged. */
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

#endif
