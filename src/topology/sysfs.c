/* SPDX-License-Identifier: MIT
 *
 * The machine from /sys/devices/system and /proc/cpuinfo, where hwloc finds nothing.
 * Format: the kernel's Documentation/ABI/stable/sysfs-devices-system-cpu and admin-guide/cputopology.rst.
 */
#include "topology/topology_internal.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 16384, CACHE_INDEX_MAX = 16 };

/* "0-3,8,10-11" as a set; what does not read as a number ends it. */
static void parse_list(const char *text, struct cpuset *out)
{
    *out = (struct cpuset){0};
    for (const char *p = text; *p >= '0' && *p <= '9';) {
        char *end;
        unsigned long first = strtoul(p, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long cpu = first; cpu <= last && cpu < CPUSET_MAX; cpu++)
            cpuset_add(out, (unsigned)cpu);
        p = end + (*end == ',');
    }
}

static bool read_list(struct cpuset *out, const char *cpus, unsigned cpu, const char *file)
{
    char text[LIST_MAX];
    if (!read_text(text, sizeof text, "%s/cpu%u/%s", cpus, cpu, file))
        return false;
    parse_list(text, out);
    return cpuset_count(out) > 0;
}

static bool intersects(const struct cpuset *a, const struct cpuset *b)
{
    for (size_t i = 0; i < sizeof a->bits / sizeof a->bits[0]; i++)
        if (a->bits[i] & b->bits[i])
            return true;
    return false;
}

static unsigned first_of(const struct cpuset *set)
{
    unsigned cpu = 0;
    while (cpu < CPUSET_MAX && !cpuset_has(set, cpu))
        cpu++;
    return cpu;
}

/* The hardware threads of the CPU's core; itself where that is not said. */
static void read_siblings(struct cpuset *out, const char *cpus, unsigned cpu)
{
    if ((read_list(out, cpus, cpu, "topology/core_cpus_list") ||
         read_list(out, cpus, cpu, "topology/thread_siblings_list")) &&
        cpuset_has(out, cpu))
        return;
    *out = (struct cpuset){0};
    cpuset_add(out, cpu);
}

static bool read_package(unsigned *out, const char *cpus, unsigned cpu)
{
    char text[64];
    return read_text(text, sizeof text, "%s/cpu%u/topology/physical_package_id", cpus, cpu) &&
           sscanf(text, "%u", out) == 1;
}

static void read_cpus(const char *cpus, const struct cpuset *online, const struct cpuset *affinity,
                      struct topology *out)
{
    struct cpuset siblings, packages = {0};
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++) {
        if (!cpuset_has(online, cpu))
            continue;
        read_siblings(&siblings, cpus, cpu);
        if (first_of(&siblings) == cpu) {
            out->cores++;
            out->affinity_cores += intersects(&siblings, affinity);
        }
        unsigned package;
        if (read_package(&package, cpus, cpu))
            cpuset_add(&packages, package);
    }
    out->packages = cpuset_count(&packages);
}

/* The level of a data cache, 0 for what is none. */
static unsigned read_level(const char *cpus, unsigned cpu, int index)
{
    char text[64];
    unsigned level;
    if (!read_text(text, sizeof text, "%s/cpu%u/cache/index%d/type", cpus, cpu, index) ||
        strncmp(text, "Instruction", 11) == 0)
        return 0;
    if (!read_text(text, sizeof text, "%s/cpu%u/cache/index%d/level", cpus, cpu, index) ||
        sscanf(text, "%u", &level) != 1 || level > TOPOLOGY_MAX_CACHE_LEVEL)
        return 0;
    return level;
}

static bool read_sharers(struct cpuset *out, const char *cpus, unsigned cpu, int index)
{
    char file[64];
    snprintf(file, sizeof file, "cache/index%d/shared_cpu_list", index);
    return read_list(out, cpus, cpu, file);
}

/* Each cache is counted at the first CPU that shares it. */
static void read_cache(const char *cpus, unsigned cpu, int index, struct topology *out)
{
    char text[64], unit = 0;
    unsigned long long size, line;
    struct cpuset shared;
    const unsigned level = read_level(cpus, cpu, index);
    if (level == 0)
        return;
    if (!read_text(text, sizeof text, "%s/cpu%u/cache/index%d/size", cpus, cpu, index) ||
        sscanf(text, "%llu%c", &size, &unit) < 1)
        return;
    const unsigned shift = unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
    if (!read_sharers(&shared, cpus, cpu, index) || first_of(&shared) != cpu || size > SIZE_MAX >> shift)
        return;
    if (out->data_cache[level - 1].instances++ == 0) {
        out->data_cache[level - 1].size_bytes = (size_t)size << shift;
        out->data_cache[level - 1].shared_by = cpuset_count(&shared);
    }
    if (out->line_bytes == 0 &&
        read_text(text, sizeof text, "%s/cpu%u/cache/index%d/coherency_line_size", cpus, cpu, index) &&
        sscanf(text, "%llu", &line) == 1 && line <= 4096)
        out->line_bytes = (size_t)line;
}

static void read_nodes(const char *sys_root, struct cpuset *out)
{
    char text[LIST_MAX];
    *out = (struct cpuset){0};
    if (read_text(text, sizeof text, "%s/sys/devices/system/node/online", sys_root))
        parse_list(text, out);
}

static void read_model(const char *proc_root, struct topology *out)
{
    char text[4096];
    if (!read_text(text, sizeof text, "%s/proc/cpuinfo", proc_root))
        return;
    const char *line = strstr(text, "model name");
    const char *value = line ? strchr(line, ':') : NULL;
    if (!value)
        return;
    value += 1 + strspn(value + 1, " \t");
    snprintf(out->cpu_model, sizeof out->cpu_model, "%.*s", (int)strcspn(value, "\n"), value);
}

/* Writes the folder of the CPUs to `cpus`; false when none is online. */
static bool read_online(const char *sys_root, char cpus[PATH_MAX], struct cpuset *online)
{
    char text[LIST_MAX];
    int n = snprintf(cpus, PATH_MAX, "%s/sys/devices/system/cpu", sys_root);
    if (n < 0 || n >= PATH_MAX || !read_text(text, sizeof text, "%s/online", cpus))
        return false;
    parse_list(text, online);
    return cpuset_count(online) > 0;
}

bool topology__sysfs(const char *proc_root, const char *sys_root, const struct cpuset *affinity, struct topology *out)
{
    char cpus[PATH_MAX];
    struct cpuset online;
    if (!read_online(sys_root, cpus, &online))
        return false;
    out->hardware_threads = cpuset_count(&online);
    read_cpus(cpus, &online, affinity, out);
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++)
        for (int index = 0; cpuset_has(&online, cpu) && index < CACHE_INDEX_MAX; index++)
            read_cache(cpus, cpu, index, out);
    struct cpuset nodes;
    read_nodes(sys_root, &nodes);
    out->numa_nodes = cpuset_count(&nodes);
    read_model(proc_root, out);
    return true;
}

static void set_node(struct cpu_map *map, const char *sys_root, unsigned node)
{
    char text[LIST_MAX];
    struct cpuset cpus;
    if (!read_text(text, sizeof text, "%s/sys/devices/system/node/node%u/cpulist", sys_root, node))
        return;
    parse_list(text, &cpus);
    for (int i = 0; i < map->count; i++)
        if (cpuset_has(&cpus, (unsigned)map->cpus[i].cpu))
            map->cpus[i].node = (int)node;
}

static void map_cpu(struct cpu_map *out, const char *cpus, unsigned cpu)
{
    struct cpu_info info = {.cpu = (int)cpu, .package = -1, .node = -1, .cache = {-1, -1, -1, -1}};
    struct cpuset set;
    unsigned package;
    read_siblings(&set, cpus, cpu);
    info.core = (int)first_of(&set);
    for (unsigned sibling = (unsigned)info.core; sibling < cpu; sibling++)
        info.thread += cpuset_has(&set, sibling);
    if (read_package(&package, cpus, cpu) && package < CPUSET_MAX)
        info.package = (int)package;
    for (int index = 0; index < CACHE_INDEX_MAX; index++) {
        const unsigned level = read_level(cpus, cpu, index);
        if (level > 0 && read_sharers(&set, cpus, cpu, index))
            info.cache[level - 1] = (int)first_of(&set);
    }
    cpu_map__add(out, &info);
}

bool topology__sysfs_map(const char *sys_root, struct cpu_map *out)
{
    char cpus[PATH_MAX];
    struct cpuset online, nodes;
    if (!read_online(sys_root, cpus, &online))
        return false;
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++)
        if (cpuset_has(&online, cpu))
            map_cpu(out, cpus, cpu);
    read_nodes(sys_root, &nodes);
    for (unsigned node = 0; node < CPUSET_MAX; node++)
        if (cpuset_has(&nodes, node))
            set_node(out, sys_root, node);
    return true;
}
