/* SPDX-License-Identifier: MIT
 * runtime/numa_memory.h - memory with a say in which NUMA node it comes from and in what pages.
 *
 * The pages are given when they are first touched, so who touches first matters with NUMA_LOCAL: numa_memory_touch has
 * every sphere touch the share that it will own.  Where there is one node, or the system cannot place memory, it is
 * plain memory and `note` says so; only NUMA_BIND, which is a demand and not a wish, fails then.
 * The struct is the caller's; one thread makes it and one releases it, any may use the memory.
 */
#ifndef RUNTIME_NUMA_MEMORY_H
#define RUNTIME_NUMA_MEMORY_H

#include "base/status.h"
#include "runtime/sphere.h"
#include "topology/numa.h"

#include <stdbool.h>
#include <stddef.h>

struct numa_memory_options {
    enum numa_policy policy;
    int node;        /* for NUMA_PREFERRED and NUMA_BIND: the system's number of it; read for these alone */
    bool huge_pages; /* ask for them; worth it from some megabytes on */
};

struct numa_memory {
    unsigned char *base; /* zeroed; on a page, with huge pages on one of those */
    size_t size_bytes;   /* as asked for */
    size_t page_bytes;   /* the grain at which it is touched and shared out */
    bool placed;         /* the policy was set; false: plain memory */
    bool huge;           /* the system took the advice */
    char note[256];      /* what is otherwise than asked for, in one sentence, or "" */
};

/* STATUS_CONFIG: no bytes, an unknown policy, a node that is not ours; STATUS_NOMEM; STATUS_SYSTEM: NUMA_BIND on several
 * nodes refused.  *out is then zeroed. */
enum status numa_memory_init(struct numa_memory *out, const struct numa *numa, size_t size_bytes,
                             const struct numa_memory_options *options, struct error *err);
void numa_memory_release(struct numa_memory *memory); /* fine on a zeroed struct */

/* The bytes that sphere `me` owns: whole pages, as sphere_share cuts them. */
struct share numa_memory_share(const struct sphere *me, const struct numa_memory *memory);

/* A team function without a barrier: each member writes a zero to every page of its share.  For memory not yet used. */
void numa_memory_touch(struct sphere *me, const struct numa_memory *memory);

#endif
