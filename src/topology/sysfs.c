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

static void read_cpus(const char *cpus, const struct cpuset *online, const struct cpuset *affinity,
                      struct topology *out)
{
    struct cpuset siblings, packages = {0};
    char text[64];
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++) {
        if (!cpuset_has(online, cpu))
            continue;
        bool known = read_list(&siblings, cpus, cpu, "topology/core_cpus_list") ||
                     read_list(&siblings, cpus, cpu, "topology/thread_siblings_list");
        if (!known) {
            siblings = (struct cpuset){0};
            cpuset_add(&siblings, cpu); /* a core of its own */
        }
        if (first_of(&siblings) == cpu || !cpuset_has(&siblings, cpu)) {
            out->cores++;
            out->affinity_cores += intersects(&siblings, affinity);
        }
        unsigned package;
        if (read_text(text, sizeof text, "%s/cpu%u/topology/physical_package_id", cpus, cpu) &&
            sscanf(text, "%u", &package) == 1)
            cpuset_add(&packages, package);
    }
    out->packages = cpuset_count(&packages);
}

/* Each cache is counted at the first CPU that shares it. */
static void read_cache(const char *cpus, unsigned cpu, int index, struct topology *out)
{
    char text[64], unit = 0;
    unsigned level;
    unsigned long long size, line;
    struct cpuset shared;
    if (!read_text(text, sizeof text, "%s/cpu%u/cache/index%d/type", cpus, cpu, index) ||
        strncmp(text, "Instruction", 11) == 0)
        return;
    if (!read_text(text, sizeof text, "%s/cpu%u/cache/index%d/level", cpus, cpu, index) ||
        sscanf(text, "%u", &level) != 1 || level < 1 || level > TOPOLOGY_MAX_CACHE_LEVEL)
        return;
    if (!read_text(text, sizeof text, "%s/cpu%u/cache/index%d/size", cpus, cpu, index) ||
        sscanf(text, "%llu%c", &size, &unit) < 1)
        return;
    const unsigned shift = unit == 'K' ? 10 : unit == 'M' ? 20 : 0;
    char file[64];
    snprintf(file, sizeof file, "cache/index%d/shared_cpu_list", index);
    if (!read_list(&shared, cpus, cpu, file) || first_of(&shared) != cpu || size > SIZE_MAX >> shift)
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

static int count_nodes(const char *sys_root)
{
    char text[LIST_MAX];
    if (!read_text(text, sizeof text, "%s/sys/devices/system/node/online", sys_root))
        return 0;
    struct cpuset nodes;
    parse_list(text, &nodes);
    return cpuset_count(&nodes);
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

bool topology__sysfs(const char *proc_root, const char *sys_root, const struct cpuset *affinity, struct topology *out)
{
    char cpus[PATH_MAX], text[LIST_MAX];
    int n = snprintf(cpus, sizeof cpus, "%s/sys/devices/system/cpu", sys_root);
    if (n < 0 || (size_t)n >= sizeof cpus || !read_text(text, sizeof text, "%s/online", cpus))
        return false;
    struct cpuset online;
    parse_list(text, &online);
    out->hardware_threads = cpuset_count(&online);
    if (out->hardware_threads == 0)
        return false;
    read_cpus(cpus, &online, affinity, out);
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++)
        for (int index = 0; cpuset_has(&online, cpu) && index < CACHE_INDEX_MAX; index++)
            read_cache(cpus, cpu, index, out);
    out->numa_nodes = count_nodes(sys_root);
    read_model(proc_root, out);
    return true;
}
