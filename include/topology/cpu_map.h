/* SPDX-License-Identifier: MIT
 * topology/cpu_map.h - each hardware thread: whose sibling it is and what it shares.
 *
 * What is shared is named by the lowest CPU that shares it, so two CPUs share their L2 when their cache[1] are equal.
 * From hwloc, or from /sys where hwloc finds nothing.  Not cached.  Any thread.
 */
#ifndef TOPOLOGY_CPU_MAP_H
#define TOPOLOGY_CPU_MAP_H

#include "base/status.h"
#include "topology/topology.h"

#include <stdbool.h>

struct cpu_info {
    int cpu;                             /* the system's number */
    int core;                            /* the lowest CPU of its physical core */
    int thread;                          /* which hardware thread of the core: 0 is the core's lowest CPU */
    int package, node;                   /* the system's numbers; -1 not known */
    int cache[TOPOLOGY_MAX_CACHE_LEVEL]; /* the lowest CPU that shares its data cache of level 1, 2, …; -1 none */
    bool ours;                           /* in the affinity mask of the calling thread */
};

struct cpu_map {
    struct cpu_info *cpus; /* those online: by package, node, L3, L2, core, thread, so that near ones are neighbours */
    int count;
    char source[16]; /* "hwloc", "sysfs", or "affinity" where neither could be read and each CPU stands alone */
};

enum status cpu_map_read(struct cpu_map *out, struct error *err); /* STATUS_NOMEM; *out is then zeroed */
void cpu_map_release(struct cpu_map *map);                        /* fine on a zeroed struct */

/* As cpu_map_read, from another /sys, for tests; hwloc is used only when the root is "". */
enum status cpu_map_read_at(const char *sys_root, struct cpu_map *out, struct error *err);

#endif
