/* SPDX-License-Identifier: MIT
 *
 * Near victims first: the order on a made-up machine, and pools that are told to use it.
 */
#include "pool_fixture.h"

#include "runtime/victims_internal.h"
#include "scratch.h"

#include <stdarg.h>

/* 16 CPUs: L2 for two, L3 for four, a node and a package for eight. */
static void put(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *text, const char *format, ...)
{
    char path[400];
    int len = snprintf(path, sizeof path, "%s/sys/devices/system/", scratch);
    va_list args;
    va_start(args, format);
    vsnprintf(path + len, sizeof path - (size_t)len, format, args);
    va_end(args);
    for (char *p = path + strlen(scratch) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void put_cache(int cpu, int level, int sharers)
{
    char shared[32], number[16];
    const int first = cpu / sharers * sharers;
    snprintf(shared, sizeof shared, "%d-%d\n", first, first + sharers - 1);
    snprintf(number, sizeof number, "%d\n", level);
    put(number, "cpu/cpu%d/cache/index%d/level", cpu, level);
    put("Unified\n", "cpu/cpu%d/cache/index%d/type", cpu, level);
    put("512K\n", "cpu/cpu%d/cache/index%d/size", cpu, level);
    put("64\n", "cpu/cpu%d/cache/index%d/coherency_line_size", cpu, level);
    put(shared, "cpu/cpu%d/cache/index%d/shared_cpu_list", cpu, level);
}

static struct cpu_map sixteen(void)
{
    struct error err = {0};
    struct cpu_map map;
    put("0-15\n", "cpu/online");
    put("0-1\n", "node/online");
    put("0-7\n", "node/node0/cpulist");
    put("8-15\n", "node/node1/cpulist");
    for (int cpu = 0; cpu < 16; cpu++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", cpu);
        put(text, "cpu/cpu%d/topology/thread_siblings_list", cpu);
        put(cpu < 8 ? "0\n" : "1\n", "cpu/cpu%d/topology/physical_package_id", cpu);
        put_cache(cpu, 2, 2);
        put_cache(cpu, 3, 4);
    }
    ck_assert_int_eq(cpu_map_read_at(scratch, &map, &err), STATUS_OK);
    ck_assert_int_eq(map.count, 16);
    return map;
}

static void check_order(int id, int n, const struct places *places, const struct cpu_map *map, bool numa_aware,
                        const int *expected)
{
    uint16_t order[64];
    ck_assert_int_eq(victims__order(order, id, n, places, map, numa_aware), STATUS_OK);
    for (int i = 0; i < n - 1; i++)
        ck_assert_msg(order[i] == expected[i], "worker %d, victim %d: %d, not %d", id, i, order[i], expected[i]);
}

START_TEST(near_victims_come_first)
{
    struct cpu_map map = sixteen();
    int all[16], mixed[] = {0, 8, 1, 9};
    for (int i = 0; i < 16; i++)
        all[i] = i;
    const struct places in_order = {all, 16}, four = {mixed, 4};
    check_order(6, 16, &in_order, &map, false, (const int[]){7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3});
    check_order(6, 16, &in_order, &map, true, (const int[]){7, 4, 5, 0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15});
    check_order(15, 16, &in_order, &map, true, (const int[]){14, 12, 13, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7});
    check_order(1, 4, &four, &map, false, (const int[]){3, 2, 0}); /* workers on CPUs 0, 8, 1, 9 */
    check_order(0, 8, &four, &map, false, (const int[]){4, 2, 6, 1, 3, 5, 7}); /* two on each CPU */
    check_order(0, 1, &four, &map, true, NULL);
    ck_assert_int_eq(victims__distance(&map, 3, 3, true), 0);
    ck_assert_int_eq(victims__distance(&map, 3, 99, true), 6); /* a CPU that the map does not have */
    mem_fail_at(0);
    uint16_t order[16];
    ck_assert_int_eq(victims__order(order, 0, 16, &in_order, &map, true), STATUS_NOMEM);
    mem_fail_at(-1);
    cpu_map_release(&map);
}
END_TEST

/* Every worker is a victim of every other, whatever the order. */
START_TEST(an_order_leaves_nobody_out)
{
    struct cpu_map map = sixteen();
    int cpus[] = {5, 14, 2, 7, 8};
    const struct places places = {cpus, 5};
    for (int n = 1; n <= 40; n++)
        for (int id = 0; id < n; id++) {
            uint16_t order[40];
            uint64_t seen = (uint64_t)1 << id;
            ck_assert_int_eq(victims__order(order, id, n, &places, &map, n % 2), STATUS_OK);
            for (int i = 0; i < n - 1; i++) {
                ck_assert(order[i] < n && !(seen >> order[i] & 1));
                seen |= (uint64_t)1 << order[i];
            }
        }
    cpu_map_release(&map);
}
END_TEST

static void check_pool(bool pinned, const char *note)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.num_threads = 3;
    options.pin_threads = pinned;
    options.numa_aware = true;
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool && pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    ck_assert_msg(strstr(pool_note(pool), note) != NULL, "\"%s\" does not say \"%s\"", pool_note(pool), note);
    for (int round = 0; round < 3; round++) { /* the order is made anew when there are more to rob */
        struct fib f = {pool, 15, 0};
        struct future *future;
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, fib, &f, &future), STATUS_OK);
        ck_assert_int_eq(future_wait(future), STATUS_OK);
        future_release(future);
        ck_assert_int_eq(f.value, 610);
        ck_assert_int_eq(pool_resize(pool, 4 + round, NULL), STATUS_OK);
    }
    end_pool(pool);
}

START_TEST(what_cannot_be_near_is_said)
{
    check_pool(false, "without pin_threads");
    struct topology topology;
    topology_read(&topology);
    check_pool(true, topology.numa_nodes < 2 ? "on a machine of one node" : "");
    setenv("HWLOC_SYNTHETIC", "pack:2 [numa] core:2 pu:1", 1); /* two nodes, of which the kernel has one at most */
    setenv("HWLOC_THISSYSTEM", "1", 1);
    setenv("OMP_NUM_THREADS", "2", 1); /* another reading of the machine */
    check_pool(true, "");
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("victims");
    tcase_add_checked_fixture(tc, scratch_setup, scratch_teardown);
    tcase_add_test(tc, near_victims_come_first);
    tcase_add_test(tc, an_order_leaves_nobody_out);
    tcase_add_test(tc, what_cannot_be_near_is_said);
    return run_cases("victims", tc);
}
