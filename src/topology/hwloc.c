/* SPDX-License-Identifier: MIT
 *
 * The machine as hwloc sees it: all of it, not only what the affinity mask leaves.
 */
#include "topology/topology_internal.h"

#include <hwloc.h>
#include <stdio.h>

static const hwloc_obj_type_t DATA_CACHES[TOPOLOGY_MAX_CACHE_LEVEL] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
                                                                       HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE};

static int count(hwloc_topology_t machine, hwloc_obj_type_t type)
{
    int n = hwloc_get_nbobjs_by_type(machine, type);
    return n > 0 ? n : 0;
}

static bool touches(hwloc_const_cpuset_t cpus, const struct cpuset *affinity)
{
    int cpu;
    for (cpu = hwloc_bitmap_first(cpus); cpu >= 0; cpu = hwloc_bitmap_next(cpus, cpu))
        if (cpuset_has(affinity, (unsigned)cpu))
            return true;
    return false;
}

static void read_objects(hwloc_topology_t machine, const struct cpuset *affinity, struct topology *out)
{
    out->hardware_threads = count(machine, HWLOC_OBJ_PU);
    out->cores = count(machine, HWLOC_OBJ_CORE);
    out->packages = count(machine, HWLOC_OBJ_PACKAGE);
    out->numa_nodes = count(machine, HWLOC_OBJ_NUMANODE);
    for (hwloc_obj_t core = NULL; (core = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_CORE, core));)
        out->affinity_cores += touches(core->cpuset, affinity);
    for (int level = 0; level < TOPOLOGY_MAX_CACHE_LEVEL; level++) {
        hwloc_obj_t cache = hwloc_get_obj_by_type(machine, DATA_CACHES[level], 0);
        if (!cache)
            continue;
        int shared_by = hwloc_bitmap_weight(cache->cpuset);
        out->data_cache[level].size_bytes = (size_t)cache->attr->cache.size;
        out->data_cache[level].shared_by = shared_by > 0 ? shared_by : 0;
        out->data_cache[level].instances = count(machine, DATA_CACHES[level]);
        if (out->line_bytes == 0)
            out->line_bytes = cache->attr->cache.linesize;
    }
    hwloc_obj_t package = hwloc_get_obj_by_type(machine, HWLOC_OBJ_PACKAGE, 0);
    const char *model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    snprintf(out->cpu_model, sizeof out->cpu_model, "%s", model ? model : "");
}

static bool load(hwloc_topology_t *machine)
{
    if (hwloc_topology_init(machine) != 0)
        return false;
    if (hwloc_topology_set_flags(*machine, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) == 0 &&
        hwloc_topology_load(*machine) == 0 && count(*machine, HWLOC_OBJ_PU) > 0)
        return true;
    hwloc_topology_destroy(*machine);
    return false;
}

bool topology__hwloc(const struct cpuset *affinity, struct topology *out)
{
    hwloc_topology_t machine;
    if (!load(&machine))
        return false;
    read_objects(machine, affinity, out);
    hwloc_topology_destroy(machine);
    return true;
}

/* The lowest CPU below the ancestor of this type, -1 without one. */
static int lowest_below(hwloc_topology_t machine, hwloc_obj_type_t type, hwloc_obj_t pu)
{
    hwloc_obj_t above = hwloc_get_ancestor_obj_by_type(machine, type, pu);
    return above ? hwloc_bitmap_first(above->cpuset) : -1;
}

bool topology__hwloc_map(struct cpu_map *out)
{
    hwloc_topology_t machine;
    if (!load(&machine))
        return false;
    for (hwloc_obj_t pu = NULL; (pu = hwloc_get_next_obj_by_type(machine, HWLOC_OBJ_PU, pu));) {
        struct cpu_info info = {.cpu = (int)pu->os_index, .node = hwloc_bitmap_first(pu->nodeset)};
        hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(machine, HWLOC_OBJ_PACKAGE, pu);
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(machine, HWLOC_OBJ_CORE, pu);
        info.package = package ? (int)package->os_index : -1;
        info.core = core ? hwloc_bitmap_first(core->cpuset) : info.cpu;
        for (int cpu = info.core; cpu != info.cpu && cpu >= 0; cpu = hwloc_bitmap_next(core->cpuset, cpu))
            info.thread++;
        for (int level = 0; level < TOPOLOGY_MAX_CACHE_LEVEL; level++)
            info.cache[level] = lowest_below(machine, DATA_CACHES[level], pu);
        cpu_map__add(out, &info);
    }
    hwloc_topology_destroy(machine);
    return true;
}
