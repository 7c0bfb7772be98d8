/* SPDX-License-Identifier: MIT */
#include "topology/cpu_map.h"

#include "base/memory.h"
#include "topology/topology_internal.h"

#include <stdio.h>
#include <stdlib.h>

static int by_nearness(const void *pa, const void *pb)
{
    const struct cpu_info *a = pa, *b = pb;
    const int keys[][2] = {{a->package, b->package},
                           {a->node, b->node},
                           {a->cache[2], b->cache[2]},
                           {a->cache[1], b->cache[1]},
                           {a->core, b->core},
                           {a->thread, b->thread},
                           {a->cpu, b->cpu}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

void cpu_map__add(struct cpu_map *map, const struct cpu_info *info)
{
    if (map->count < CPUSET_MAX)
        map->cpus[map->count++] = *info;
}

static void each_alone(const struct cpuset *affinity, struct cpu_map *out)
{
    for (int cpu = 0; cpu < CPUSET_MAX; cpu++)
        if (cpuset_has(affinity, (unsigned)cpu))
            cpu_map__add(
                out, &(struct cpu_info){.cpu = cpu, .core = cpu, .package = -1, .node = -1, .cache = {-1, -1, -1, -1}});
}

enum status cpu_map_read_at(const char *sys_root, struct cpu_map *out, struct error *err)
{
    *out = (struct cpu_map){0};
    struct cpuset affinity;
    topology__affinity(&affinity);
    out->cpus = mem_calloc(CPUSET_MAX, sizeof *out->cpus);
    if (!out->cpus)
        return error_set(err, STATUS_NOMEM, "no memory for a map of the CPUs");
    const char *source = "affinity";
    if (*sys_root == 0 && topology__hwloc_map(out))
        source = "hwloc";
    else if (topology__sysfs_map(sys_root, out))
        source = "sysfs";
    else
        each_alone(&affinity, out);
    snprintf(out->source, sizeof out->source, "%s", source);
    for (int i = 0; i < out->count; i++)
        out->cpus[i].ours = cpuset_has(&affinity, (unsigned)out->cpus[i].cpu);
    qsort(out->cpus, (size_t)out->count, sizeof *out->cpus, by_nearness);
    return STATUS_OK;
}

enum status cpu_map_read(struct cpu_map *out, struct error *err)
{
    return cpu_map_read_at("", out, err);
}

void cpu_map_release(struct cpu_map *map)
{
    mem_free(map->cpus);
    *map = (struct cpu_map){0};
}
