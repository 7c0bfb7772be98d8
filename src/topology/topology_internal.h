/* SPDX-License-Identifier: MIT
 * topology/topology_internal.h - the parts of topology_read and cpu_map_read, one file each: hwloc, sysfs, cgroup.
 */
#ifndef TOPOLOGY_TOPOLOGY_INTERNAL_H
#define TOPOLOGY_TOPOLOGY_INTERNAL_H

#include "topology/cpu_map.h"
#include "topology/topology.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The CPUs that this thread may run on; a bit for each up to CPUSET_MAX. */
enum { CPUSET_MAX = 8192 };
struct cpuset {
    uint64_t bits[CPUSET_MAX / 64];
};
static inline bool cpuset_has(const struct cpuset *set, unsigned cpu)
{
    return cpu < CPUSET_MAX && (set->bits[cpu / 64] >> cpu % 64 & 1);
}
static inline void cpuset_add(struct cpuset *set, unsigned cpu)
{
    if (cpu < CPUSET_MAX)
        set->bits[cpu / 64] |= (uint64_t)1 << cpu % 64;
}
int cpuset_count(const struct cpuset *set);

void topology__affinity(struct cpuset *out); /* the calling thread's mask; empty when it cannot be read */

/* Each fills what it finds out about the machine and leaves the rest; false when it finds no CPU at all. */
bool topology__hwloc(const struct cpuset *affinity, struct topology *out);
bool topology__sysfs(const char *proc_root, const char *sys_root, const struct cpuset *affinity, struct topology *out);

/* Each adds the CPUs online to an empty map with room for CPUSET_MAX, but for `ours`; false when it finds none. */
bool topology__hwloc_map(struct cpu_map *out);
bool topology__sysfs_map(const char *sys_root, struct cpu_map *out);
void cpu_map__add(struct cpu_map *map, const struct cpu_info *info);

/* Lowers quota_cpus, memory_bytes and memory_available_bytes to what the cgroups of this process allow. */
void topology__cgroup(const char *proc_root, const char *sys_root, struct topology *out);

/* The first bytes of a file as text, cut at size-1; false when there is none to read. */
bool read_text(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
