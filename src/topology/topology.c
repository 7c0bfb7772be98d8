/* SPDX-License-Identifier: MIT */
#include "topology/topology_internal.h"

#include "base/buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { APPLICATION_THREAD_FROM = 16 }; /* this many usable cores: one is kept for the application thread */

bool read_text(char *text, size_t size, const char *format, ...)
{
    char path[PATH_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(path, sizeof path, format, args);
    va_end(args);
    text[0] = 0;
    if (n < 0 || (size_t)n >= sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    for (ssize_t got = 1; len + 1 < size && got > 0; len += got > 0 ? (size_t)got : 0)
        got = read(fd, text + len, size - 1 - len);
    close(fd);
    text[len] = 0;
    return len > 0;
}

int cpuset_count(const struct cpuset *set)
{
    int count = 0;
    for (size_t i = 0; i < sizeof set->bits / sizeof set->bits[0]; i++)
        count += __builtin_popcountll(set->bits[i]);
    return count;
}

void topology__affinity(struct cpuset *out)
{
    *out = (struct cpuset){0};
    union {
        cpu_set_t set;
        unsigned char bytes[CPUSET_MAX / 8];
    } mask;
    memset(&mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, &mask.set) != 0)
        return;
    for (unsigned cpu = 0; cpu < CPUSET_MAX; cpu++)
        if (CPU_ISSET_S(cpu, sizeof mask, &mask.set))
            cpuset_add(out, cpu);
}

/* The first number of OMP_NUM_THREADS ("4" or "4,2"); 0 when unset or not a positive number. */
static int read_omp_num_threads(const char *text)
{
    if (!text)
        return 0;
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    end += strspn(end, " \t");
    return end != text && (*end == 0 || *end == ',') && errno == 0 && n >= 1 && n <= INT_MAX ? (int)n : 0;
}

static size_t meminfo_bytes(const char *meminfo, const char *key)
{
    const char *line = strstr(meminfo, key);
    unsigned long long kib = 0;
    if (!line || sscanf(line + strlen(key), ": %llu kB", &kib) != 1 || kib > SIZE_MAX / 1024)
        return 0;
    return (size_t)kib * 1024;
}

/* usable and limited_by from the rest. */
static void judge(struct topology *out)
{
    int n = out->affinity_cores > 0 ? out->affinity_cores : out->affinity_threads;
    const int installed = out->cores > 0 ? out->cores : n;
    out->usable = n > 1 ? n : 1;
    if (n <= 0)
        snprintf(out->limited_by, sizeof out->limited_by, "nothing that could be found out");
    else if (n < installed)
        snprintf(out->limited_by, sizeof out->limited_by, "affinity mask: %d of %d cores", n, installed);
    else
        snprintf(out->limited_by, sizeof out->limited_by, n == 1 ? "the one core" : "all %d cores", n);

    if (out->quota_cpus > 0 && out->quota_cpus < out->usable) {
        out->usable = out->quota_cpus < 1 ? 1 : (int)out->quota_cpus;
        snprintf(out->limited_by, sizeof out->limited_by, "cgroup quota %.2f CPUs (%s)", out->quota_cpus,
                 out->quota_source);
    }
    if (out->omp_num_threads > 0 && out->omp_num_threads < out->usable) {
        out->usable = out->omp_num_threads;
        snprintf(out->limited_by, sizeof out->limited_by, "OMP_NUM_THREADS=%d", out->omp_num_threads);
    }
}

void topology_read_at(const char *proc_root, const char *sys_root, struct topology *out)
{
    *out = (struct topology){0};
    struct cpuset affinity;
    topology__affinity(&affinity);
    out->affinity_threads = cpuset_count(&affinity);
    const char *omp = getenv("OMP_NUM_THREADS");
    out->omp_num_threads = read_omp_num_threads(omp);
    if (omp && out->omp_num_threads == 0)
        snprintf(out->omp_ignored, sizeof out->omp_ignored, "%s", *omp ? omp : "(empty)");

    const bool this_machine = *proc_root == 0 && *sys_root == 0;
    if (this_machine && topology__hwloc(&affinity, out))
        snprintf(out->source, sizeof out->source, "hwloc");
    else if (topology__sysfs(proc_root, sys_root, &affinity, out))
        snprintf(out->source, sizeof out->source, "sysfs");

    char meminfo[8192];
    if (read_text(meminfo, sizeof meminfo, "%s/proc/meminfo", proc_root)) {
        out->memory_bytes = meminfo_bytes(meminfo, "MemTotal");
        out->memory_available_bytes = meminfo_bytes(meminfo, "MemAvailable");
    }
    topology__cgroup(proc_root, sys_root, out);
    judge(out);
}

void topology_read(struct topology *out)
{
    topology_read_at("", "", out);
}

int topology_auto_spheres(const struct topology *topology)
{
    const int usable = topology->usable > 1 ? topology->usable : 1;
    return usable >= APPLICATION_THREAD_FROM ? usable - 1 : usable;
}

int topology_few_spheres(const struct topology *topology, int wanted)
{
    const int automatic = topology_auto_spheres(topology);
    return wanted == 0 || wanted > automatic ? automatic : wanted;
}
