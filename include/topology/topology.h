/* SPDX-License-Identifier: MIT
 * topology/topology.h - what machine this is and how much of it this process may use.
 *
 * Cores, hardware threads, NUMA nodes and caches come from hwloc, or from /sys where hwloc finds nothing.  What we
 * may use is the least of the affinity mask, every ancestor's cgroup (v1 and v2) CPU quota rounded down, and
 * OMP_NUM_THREADS when set; at least 1.  Not cached: each call reads the system anew.  Any thread.
 */
#ifndef TOPOLOGY_TOPOLOGY_H
#define TOPOLOGY_TOPOLOGY_H

#include "base/status.h"

#include <stddef.h>

enum { TOPOLOGY_MAX_CACHE_LEVEL = 4 };

struct topology {
    char source[16];           /* "hwloc" or "sysfs" */
    char cpu_model[128];
    int packages, numa_nodes;
    int cores;                 /* physical cores installed */
    int hardware_threads;      /* logical CPUs online */
    int affinity_threads;      /* logical CPUs in this process's affinity mask */
    int affinity_cores;        /* distinct physical cores under that mask */
    double quota_cpus;         /* least cgroup quota of all ancestors, in CPUs; 0 = no quota */
    char quota_source[256];    /* the file that says so, or "" */
    int omp_num_threads;       /* 0 = not set, or ignored */
    char omp_ignored[64];      /* what OMP_NUM_THREADS says where that is no positive number, else "" */
    int usable;                /* what the above leave, at least 1 */
    char limited_by[320];      /* one phrase: "all 2 cores", "cgroup quota 1.50 CPUs (…)", … */
    struct {
        size_t size_bytes;
        int shared_by;         /* hardware threads on one instance */
        int instances;
    } data_cache[TOPOLOGY_MAX_CACHE_LEVEL]; /* [0] is L1d; size 0 = absent */
    size_t line_bytes;
    size_t memory_bytes;           /* installed, or the cgroup memory limit where that is less */
    size_t memory_available_bytes; /* what can be had now without swapping */
};

/* Always succeeds in giving usable >= 1; what cannot be found out is 0. */
void topology_read(struct topology *out);

/* As topology_read, with the roots of /proc and /sys given, so that tests can show it another machine.  Reads
 * affinity and OMP_NUM_THREADS from the process as before; hwloc is used only when both roots are "". */
void topology_read_at(const char *proc_root, const char *sys_root, struct topology *out);

/* How many spheres "0 = auto" means: `usable`, less one for the application thread from 16 up. */
int topology_auto_spheres(const struct topology *topology);

/* The spheres for work that is too little for more of them than cores, such as one sequence: `wanted`, auto where that is 0 or more. */
int topology_few_spheres(const struct topology *topology, int wanted);

#endif
