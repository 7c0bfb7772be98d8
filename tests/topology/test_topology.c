/* SPDX-License-Identifier: MIT
 *
 * Other machines, shown to topology_read_at as small trees under a temporary directory.
 */
#include "topology/cpu_map.h"
#include "topology/cache.h"
#include "topology/topology.h"

#include "base/memory.h"

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void begin(void)
{
    unsetenv("OMP_NUM_THREADS");
    strcpy(root, "/tmp/cllm-test-topology-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void end(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

/* A package of `cores` cores with two hardware threads each: CPU c and CPU c + cores. */
static void put_cpus(int cores)
{
    char path[128], text[64];
    snprintf(text, sizeof text, "0-%d\n", 2 * cores - 1);
    put("/sys/devices/system/cpu/online", text);
    for (int cpu = 0; cpu < 2 * cores; cpu++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
        put(path, "0\n");
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        snprintf(text, sizeof text, "%d,%d\n", cpu % cores, cpu % cores + cores);
        put(path, text);
    }
}

static void put_cache(int cpu, int index, const char *level, const char *type, const char *size, const char *shared)
{
    char path[160];
    const char *const FILES[][2] = {{"level", level}, {"type", type}, {"size", size}, {"shared_cpu_list", shared},
                                    {"coherency_line_size", "64\n"}};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/%s", cpu, index, FILES[i][0]);
        put(path, FILES[i][1]);
    }
}

#define MEMINFO "MemTotal:       16384000 kB\nMemFree:         1000 kB\nMemAvailable:    8192000 kB\n"
enum { KIB = 1024 };

static const char V2_MOUNT[] = "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

static struct topology read_it(void)
{
    struct topology t;
    topology_read_at(root, root, &t);
    ck_assert_int_ge(t.usable, 1);
    ck_assert_uint_gt(strlen(t.limited_by), 0);
    return t;
}

/* What is usable but for quota and OMP_NUM_THREADS: this process's own mask, on the machine shown. */
static int unlimited(void)
{
    struct topology t = read_it();
    return t.affinity_cores > 0 ? t.affinity_cores : t.affinity_threads;
}

START_TEST(test_core_caches)
{
    struct topology t;
    topology_read(&t);
    for (int level = 1; level <= 2; level++) {
        const size_t bytes = cache_core_bytes(level), seen = t.data_cache[level - 1].size_bytes;
        ck_assert_msg(bytes >= 16 << 10 && bytes <= 8 << 20, "level %d has %zu bytes", level, bytes);
        ck_assert_uint_eq(bytes, cache_core_bytes(level));
        if (level == 1 && seen >= 16 << 10 && seen <= 8 << 20)
            ck_assert_uint_eq(bytes, seen);
    }
    ck_assert_uint_ge(cache_core_bytes(2), cache_core_bytes(1));
}
END_TEST

START_TEST(nothing_at_all_is_one_usable_core_or_what_the_mask_says)
{
    struct topology t = read_it();
    ck_assert_str_eq(t.source, "");
    ck_assert_int_eq(t.cores, 0);
    ck_assert_uint_eq(t.memory_bytes, 0);
    ck_assert(t.quota_cpus == 0);
    ck_assert_str_eq(t.quota_source, "");
    ck_assert_int_eq(t.usable, t.affinity_threads);
}
END_TEST

START_TEST(sysfs_tells_cores_threads_caches_and_nodes)
{
    put_cpus(4);
    put("/sys/devices/system/node/online", "0-1\n");
    put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: A Fine CPU @ 2 GHz\nflags\t: fpu\n");
    put("/proc/meminfo", MEMINFO);
    for (int cpu = 0; cpu < 4; cpu++) {
        char shared[32];
        snprintf(shared, sizeof shared, "%d,%d\n", cpu, cpu + 4);
        put_cache(cpu, 0, "1\n", "Data\n", "48K\n", shared);
        put_cache(cpu, 1, "1\n", "Instruction\n", "32K\n", shared);
        put_cache(cpu, 2, "2\n", "Unified\n", "2048K\n", shared);
        put_cache(cpu, 3, "3\n", "Unified\n", "36M\n", "0-7\n");
    }
    struct topology t = read_it();
    ck_assert_str_eq(t.source, "sysfs");
    ck_assert_str_eq(t.cpu_model, "A Fine CPU @ 2 GHz");
    ck_assert_int_eq(t.cores, 4);
    ck_assert_int_eq(t.hardware_threads, 8);
    ck_assert_int_eq(t.packages, 1);
    ck_assert_int_eq(t.numa_nodes, 2);
    ck_assert_uint_eq(t.line_bytes, 64);
    ck_assert_uint_eq(t.data_cache[0].size_bytes, 48 * KIB);
    ck_assert_int_eq(t.data_cache[0].instances, 4);
    ck_assert_int_eq(t.data_cache[0].shared_by, 2);
    ck_assert_uint_eq(t.data_cache[1].size_bytes, 2048 * KIB);
    ck_assert_uint_eq(t.data_cache[2].size_bytes, (size_t)36 * KIB * KIB);
    ck_assert_int_eq(t.data_cache[2].instances, 1);
    ck_assert_int_eq(t.data_cache[2].shared_by, 8);
    ck_assert_uint_eq(t.data_cache[3].size_bytes, 0);
    ck_assert_uint_eq(t.memory_bytes, (size_t)16384000 * KIB);
    ck_assert_uint_eq(t.memory_available_bytes, (size_t)8192000 * KIB);
}
END_TEST

static void run_on(int first_cpu, int count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int cpu = first_cpu; cpu < first_cpu + count; cpu++)
        CPU_SET(cpu, &set);
    ck_assert_int_eq(sched_setaffinity(0, sizeof set, &set), 0);
}

START_TEST(the_affinity_mask_counts_cores_and_not_their_hardware_threads)
{
    cpu_set_t ours;
    ck_assert_int_eq(sched_getaffinity(0, sizeof ours, &ours), 0);
    if (!CPU_ISSET(0, &ours))
        return;
    run_on(0, 1);
    put_cpus(4);
    struct topology t = read_it();
    ck_assert_int_eq(t.affinity_threads, 1);
    ck_assert_int_eq(t.affinity_cores, 1);
    ck_assert_int_eq(t.usable, 1);
    ck_assert_str_eq(t.limited_by, "affinity mask: 1 of 4 cores");
    if (!CPU_ISSET(1, &ours))
        return;
    run_on(0, 2);
    t = read_it();
    ck_assert_int_eq(t.affinity_cores, 2);
    put_cpus(1); /* now CPU 0 and 1 are one core */
    t = read_it();
    ck_assert_int_eq(t.affinity_threads, 2);
    ck_assert_int_eq(t.affinity_cores, 1);
    ck_assert_int_eq(t.usable, 1);
    ck_assert_str_eq(t.limited_by, "the one core");
}
END_TEST

START_TEST(the_least_quota_of_all_ancestors_binds)
{
    put("/proc/meminfo", MEMINFO);
    put("/proc/self/cgroup", "0::/a.slice/b.service/c\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/a.slice/cpu.max", "800000 100000\n");
    put("/sys/fs/cgroup/a.slice/b.service/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/a.slice/b.service/c/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a.slice/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/a.slice/memory.current", "536870912\n");
    put("/sys/fs/cgroup/a.slice/memory.stat", "anon 1\ninactive_file 268435456\nactive_file 7\n");
    put("/sys/fs/cgroup/a.slice/b.service/c/memory.max", "max\n");
    struct topology t = read_it();
    ck_assert(t.quota_cpus == 1.5);
    char source[PATH_MAX];
    snprintf(source, sizeof source, "%s/sys/fs/cgroup/a.slice/b.service/cpu.max", root);
    ck_assert_str_eq(t.quota_source, source);
    ck_assert_int_eq(t.usable, 1);
    if (unlimited() > 1) {
        char phrase[PATH_MAX + 32];
        snprintf(phrase, sizeof phrase, "cgroup quota 1.50 CPUs (%s)", source);
        ck_assert_str_eq(t.limited_by, phrase);
    }
    ck_assert_uint_eq(t.memory_bytes, 1073741824);
    ck_assert_uint_eq(t.memory_available_bytes, 1073741824 - 536870912 + 268435456);
}
END_TEST

START_TEST(a_quota_is_rounded_down_and_leaves_at_least_one)
{
    static const struct {
        const char *cpu_max;
        double cpus;
    } CASES[] = {{"199999 100000", 1.99999}, {"50000 100000", 0.5}, {"200000 100000", 2}, {"1000 1000", 1}};
    put("/proc/self/cgroup", "0::/\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    const int most = unlimited();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        put("/sys/fs/cgroup/cpu.max", CASES[i].cpu_max);
        struct topology t = read_it();
        ck_assert(t.quota_cpus == CASES[i].cpus);
        int want = CASES[i].cpus < 1 ? 1 : (int)CASES[i].cpus;
        ck_assert_int_eq(t.usable, want < most ? want : most);
    }
}
END_TEST

START_TEST(version_1_hierarchies_are_read_too)
{
    put("/proc/meminfo", MEMINFO);
    put("/proc/self/cgroup", "4:memory:/docker/m\n3:cpuset:/x\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n");
    put("/proc/self/mountinfo",
        "30 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "31 20 0:27 / /sys/fs/cgroup/cpuset rw shared:3 master:1 - cgroup cgroup rw,cpuset\n"
        "32 20 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "125000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us", "1\n"); /* of no concern */
    put("/sys/fs/cgroup/cpuset/x/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/docker/m/memory.limit_in_bytes", "4194304000\n");
    put("/sys/fs/cgroup/memory/docker/m/memory.usage_in_bytes", "94304000\n");
    struct topology t = read_it();
    ck_assert(t.quota_cpus == 2.5);
    ck_assert_uint_eq(t.memory_bytes, 4194304000);
    ck_assert_uint_eq(t.memory_available_bytes, 4100000000);
}
END_TEST

START_TEST(a_container_sees_its_group_at_the_mount_point)
{
    /* The group's path is the host's; the mount's root says where in it the mount begins. */
    put("/proc/self/cgroup", "0::/docker/abc/inner\n");
    put("/proc/self/mountinfo", "25 30 0:23 /docker/abc /odd\\040place rw - cgroup2 cgroup2 rw\n");
    put("/odd place/inner/cpu.max", "max 100000\n");
    put("/odd place/cpu.max", "100000 100000\n");
    put("/cpu.max", "1 100000\n"); /* above the mount point: not a group */
    ck_assert(read_it().quota_cpus == 1);

    put("/proc/self/cgroup", "0::/../elsewhere\n"); /* outside our namespace: the mount point is all we have */
    ck_assert(read_it().quota_cpus == 1);

    put("/proc/self/mountinfo", "25 30 0:23 /docker/ab /odd\\040place rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/docker/abc/inner\n"); /* "/docker/ab" is not a folder of that path */
    ck_assert(read_it().quota_cpus == 1);
}
END_TEST

START_TEST(both_versions_at_once)
{
    put("/proc/self/cgroup", "1:cpu:/one\n0::/two\n");
    put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                                "41 20 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/sys/fs/cgroup/cpu/one/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu/one/cpu.cfs_period_us", "100000\n");
    ck_assert(read_it().quota_cpus == 3);
    put("/sys/fs/cgroup/unified/two/cpu.max", "200000\n"); /* the period may be left out */
    ck_assert(read_it().quota_cpus == 2);
}
END_TEST

static const char *const GARBAGE[] = {
    "", "\n", "-1", "abc def", "100000 0", "0 100000", "-5 -5", "999999999999999999999999 100000", " ", "max",
    "100000 100000 - \n - \n::::\n0::", "0::\n", "::/", "\\040\\777 - - -", "a b c d e f - cgroup2", "1 2 3 4 5 6 - cgroup2 x"};

START_TEST(garbage_sets_no_limit)
{
    put_cpus(2);
    const int most = unlimited();
    put("/proc/self/cgroup", "0::/g\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/sys/fs/cgroup/g/cpu.max", GARBAGE[_i]);
    put("/sys/fs/cgroup/g/memory.max", strstr(GARBAGE[_i], "100000") ? "" : GARBAGE[_i]);
    struct topology t = read_it();
    ck_assert(t.quota_cpus == 0);
    ck_assert_int_eq(t.usable, most);

    put("/sys/fs/cgroup/g/cpu.max", "1000 100000\n");
    put("/proc/self/cgroup", GARBAGE[_i]);
    ck_assert(read_it().quota_cpus == 0);
    put("/proc/self/cgroup", "0::/g\n");
    put("/proc/self/mountinfo", GARBAGE[_i]);
    ck_assert(read_it().quota_cpus == 0);
    put("/proc/meminfo", GARBAGE[_i]);
    put("/proc/cpuinfo", GARBAGE[_i]);
    put("/sys/devices/system/cpu/online", GARBAGE[_i]);
    put("/sys/devices/system/node/online", GARBAGE[_i]);
    put_cache(0, 0, GARBAGE[_i], GARBAGE[_i], GARBAGE[_i], GARBAGE[_i]);
    put("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", GARBAGE[_i]);
    t = read_it();
    ck_assert_uint_eq(t.memory_bytes, 0);
    struct error err = {0};
    struct cpu_map map;
    ck_assert_int_eq(cpu_map_read_at(root, &map, &err), STATUS_OK);
    ck_assert_int_ge(map.count, 1);
    cpu_map_release(&map);
}
END_TEST

START_TEST(a_very_long_table_is_read_to_its_end)
{
    enum { LINES = 2000 };
    char *text = malloc(LINES * 100), *p = text;
    ck_assert_ptr_nonnull(text);
    for (int i = 0; i < LINES; i++)
        p += sprintf(p, "%d 30 0:23 / /mnt/some/where/%d rw shared:9 - ext4 /dev/sda rw\n", 100 + i, i);
    strcpy(p, V2_MOUNT);
    put("/proc/self/mountinfo", text);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    ck_assert(read_it().quota_cpus == 1);
    free(text);
}
END_TEST

START_TEST(omp_num_threads_is_respected)
{
    static const struct {
        const char *text;
        int want;
    } CASES[] = {{"1", 1}, {"1,4", 1}, {" 3 ", 3}, {"7,", 7}, {"0", 0}, {"-2", 0}, {"", 0}, {"many", 0}, {"4x", 0},
                 {"99999999999999999999", 0}};
    const int most = unlimited();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        setenv("OMP_NUM_THREADS", CASES[i].text, 1);
        struct topology t = read_it();
        ck_assert_int_eq(t.omp_num_threads, CASES[i].want);
        ck_assert_int_eq(t.omp_ignored[0] != 0, CASES[i].want == 0);
        ck_assert_int_eq(t.usable, CASES[i].want && CASES[i].want < most ? CASES[i].want : most);
        if (most > 1 && CASES[i].want == 1)
            ck_assert_str_eq(t.limited_by, "OMP_NUM_THREADS=1");
    }
    unsetenv("OMP_NUM_THREADS");
}
END_TEST

START_TEST(from_16_cores_up_one_is_kept_for_the_application)
{
    static const int CASES[][2] = {{-1, 1}, {0, 1}, {1, 1}, {2, 2}, {15, 15}, {16, 15}, {64, 63}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct topology t = {.usable = CASES[i][0]};
        ck_assert_int_eq(topology_auto_spheres(&t), CASES[i][1]);
        ck_assert_int_eq(topology_few_spheres(&t, 0), CASES[i][1]);
        ck_assert_int_eq(topology_few_spheres(&t, 1), 1);
        ck_assert_int_eq(topology_few_spheres(&t, 1000), CASES[i][1]);
    }
}
END_TEST

START_TEST(a_map_tells_siblings_nodes_and_shared_caches)
{
    struct error err = {0};
    struct cpu_map map;
    put_cpus(4);
    put("/sys/devices/system/node/online", "0-1\n");
    put("/sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
    put("/sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
    for (int cpu = 0; cpu < 8; cpu++) {
        char shared[32];
        snprintf(shared, sizeof shared, "%d,%d\n", cpu % 4, cpu % 4 + 4);
        put_cache(cpu, 0, "1\n", "Data\n", "48K\n", shared);
        put_cache(cpu, 1, "1\n", "Instruction\n", "32K\n", "0\n");
        put_cache(cpu, 3, "3\n", "Unified\n", "36M\n", cpu % 4 < 2 ? "0-1,4-5\n" : "2-3,6-7\n");
    }
    ck_assert_int_eq(cpu_map_read_at(root, &map, &err), STATUS_OK);
    ck_assert_str_eq(map.source, "sysfs");
    ck_assert_int_eq(map.count, 8);
    static const int ORDER[] = {0, 4, 1, 5, 2, 6, 3, 7};
    for (int i = 0; i < 8; i++) {
        const struct cpu_info *c = &map.cpus[i];
        ck_assert_int_eq(c->cpu, ORDER[i]);
        ck_assert_int_eq(c->core, c->cpu % 4);
        ck_assert_int_eq(c->thread, c->cpu / 4);
        ck_assert_int_eq(c->package, 0);
        ck_assert_int_eq(c->node, c->cpu % 4 / 2);
        ck_assert_int_eq(c->cache[0], c->core);
        ck_assert_int_eq(c->cache[1], -1);
        ck_assert_int_eq(c->cache[2], c->cpu % 4 / 2 * 2);
        ck_assert_int_eq(c->cache[3], -1);
    }
    cpu_map_release(&map);
    cpu_map_release(&map);
}
END_TEST

START_TEST(hwloc_tells_siblings_too)
{
    struct error err = {0};
    struct cpu_map map;
    setenv("HWLOC_SYNTHETIC", "pack:2 l3:1 core:2 pu:2", 1);
    ck_assert_int_eq(cpu_map_read(&map, &err), STATUS_OK);
    ck_assert_str_eq(map.source, "hwloc");
    ck_assert_int_eq(map.count, 8);
    for (int i = 0; i < 8; i++) {
        const struct cpu_info *c = &map.cpus[i];
        ck_assert_int_eq(c->cpu, i);
        ck_assert_int_eq(c->core, i / 2 * 2);
        ck_assert_int_eq(c->thread, i % 2);
        ck_assert_int_eq(c->package, i / 4);
        ck_assert_int_eq(c->cache[1], -1);
        ck_assert_int_eq(c->cache[2], i / 4 * 4);
    }
    cpu_map_release(&map);
}
END_TEST

START_TEST(without_sysfs_the_map_is_the_affinity_mask)
{
    struct error err = {0};
    struct cpu_map map;
    ck_assert_int_eq(cpu_map_read_at(root, &map, &err), STATUS_OK);
    ck_assert_str_eq(map.source, "affinity");
    ck_assert_int_eq(map.count, read_it().affinity_threads);
    for (int i = 0; i < map.count; i++)
        ck_assert(map.cpus[i].ours && map.cpus[i].core == map.cpus[i].cpu && map.cpus[i].node == -1);
    cpu_map_release(&map);
}
END_TEST

START_TEST(this_machines_map_is_alike_from_hwloc_and_from_sysfs)
{
    struct error err = {0};
    struct cpu_map a, b;
    ck_assert_int_eq(cpu_map_read(&a, &err), STATUS_OK);
    ck_assert_int_eq(cpu_map_read_at("/.", &b, &err), STATUS_OK);
    if (strcmp(a.source, "hwloc") == 0 && strcmp(b.source, "sysfs") == 0) {
        ck_assert_int_eq(a.count, b.count);
        for (int i = 0; i < a.count; i++) {
            ck_assert_int_eq(a.cpus[i].cpu, b.cpus[i].cpu);
            ck_assert_int_eq(a.cpus[i].core, b.cpus[i].core);
            ck_assert_int_eq(a.cpus[i].thread, b.cpus[i].thread);
            ck_assert_int_eq(a.cpus[i].ours, b.cpus[i].ours);
        }
    }
    cpu_map_release(&a);
    cpu_map_release(&b);
    mem_fail_at(0);
    ck_assert_int_eq(cpu_map_read(&a, &err), STATUS_NOMEM);
}
END_TEST

START_TEST(this_machine_reads_alike_from_hwloc_and_from_sysfs)
{
    struct topology a, b;
    topology_read(&a);
    topology_read_at("", "/.", &b); /* the same files, without hwloc */
    ck_assert_int_ge(a.usable, 1);
    ck_assert_int_le(a.affinity_cores, a.cores);
    ck_assert_uint_gt(a.memory_bytes, 0);
    ck_assert_uint_le(a.memory_available_bytes, a.memory_bytes);
    ck_assert_int_eq(a.usable, b.usable);
    if (strcmp(a.source, "hwloc") == 0 && strcmp(b.source, "sysfs") == 0) {
        ck_assert_int_eq(a.hardware_threads, b.hardware_threads);
        ck_assert_int_eq(a.cores, b.cores);
        ck_assert_int_eq(a.affinity_cores, b.affinity_cores);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("topology");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, nothing_at_all_is_one_usable_core_or_what_the_mask_says);
    tcase_add_test(tc, test_core_caches);
    tcase_add_test(tc, sysfs_tells_cores_threads_caches_and_nodes);
    tcase_add_test(tc, the_affinity_mask_counts_cores_and_not_their_hardware_threads);
    tcase_add_test(tc, the_least_quota_of_all_ancestors_binds);
    tcase_add_test(tc, a_quota_is_rounded_down_and_leaves_at_least_one);
    tcase_add_test(tc, version_1_hierarchies_are_read_too);
    tcase_add_test(tc, a_container_sees_its_group_at_the_mount_point);
    tcase_add_test(tc, both_versions_at_once);
    tcase_add_loop_test(tc, garbage_sets_no_limit, 0, sizeof GARBAGE / sizeof GARBAGE[0]);
    tcase_add_test(tc, a_very_long_table_is_read_to_its_end);
    tcase_add_test(tc, omp_num_threads_is_respected);
    tcase_add_test(tc, from_16_cores_up_one_is_kept_for_the_application);
    tcase_add_test(tc, a_map_tells_siblings_nodes_and_shared_caches);
    tcase_add_test(tc, hwloc_tells_siblings_too);
    tcase_add_test(tc, without_sysfs_the_map_is_the_affinity_mask);
    tcase_add_test(tc, this_machines_map_is_alike_from_hwloc_and_from_sysfs);
    tcase_add_test(tc, this_machine_reads_alike_from_hwloc_and_from_sysfs);
    Suite *suite = suite_create("topology");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
