/* SPDX-License-Identifier: MIT */
#include "runtime/place_internal.h"

#include "base/memory.h"
#include "runtime/sphere.h"
#include "topology/cpu_map.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { SPHERES_PER_SLOT = 16 }; /* from here on; cutting unevenly then costs a sixteenth at most */
enum { CPUS_MAX = 8192 };

union mask {
    cpu_set_t set;
    unsigned char bytes[CPUS_MAX / 8];
};

enum status places_init(struct places *places, struct error *err)
{
    *places = (struct places){0};
    union mask mask;
    memset(&mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, &mask.set) != 0)
        return STATUS_OK;
    const int count = CPU_COUNT_S(sizeof mask, &mask.set);
    places->cpus = mem_calloc((size_t)count, sizeof *places->cpus);
    if (!places->cpus)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %d CPUs", count);
    for (int cpu = 0; cpu < CPUS_MAX; cpu++)
        if (CPU_ISSET_S((size_t)cpu, sizeof mask, &mask.set))
            places->cpus[places->count++] = cpu;
    return STATUS_OK;
}

/* Where the CPU is in the list; the count when it is not there. */
static int find(const struct places *places, int cpu)
{
    int i = 0;
    while (i < places->count && places->cpus[i] != cpu)
        i++;
    return i;
}

/* Brings our CPUs that are the rank-th of ours in their core to places->cpus[done…].  A core's threads are neighbours in
 * the map.  Returns how many are in order then. */
static int order_rank(struct places *places, const struct cpu_map *map, int rank, int done)
{
    for (int i = 0, core = -1, before = 0; i < map->count; i++) {
        const struct cpu_info *info = &map->cpus[i];
        if (info->core != core)
            before = 0;
        core = info->core;
        const int at = find(places, info->cpu);
        if (at == places->count || before++ != rank || at < done)
            continue;
        places->cpus[at] = places->cpus[done];
        places->cpus[done++] = info->cpu;
    }
    return done;
}

void places_order(struct places *places, const struct cpu_map *map)
{
    int before = -1, done = 0;
    for (int rank = 0; done > before; rank++) {
        before = done;
        done = order_rank(places, map, rank, done);
    }
}

void places_release(struct places *places)
{
    mem_free(places->cpus);
    *places = (struct places){0};
}

/* Spheres of the subtree under `id`, itself included. */
static int subtree_size(int id, int width)
{
    int size = 0;
    for (int first = id, last = id; first < width; first = sphere_first_child(first)) {
        size += (last < width ? last : width - 1) - first + 1;
        last = sphere_first_child(last) + SPHERE_FANOUT - 1;
    }
    return size;
}

static int depth_first_order(int id, int width)
{
    int order = 0;
    for (int parent; id > 0; id = parent) {
        parent = sphere_parent(id);
        for (int sibling = sphere_first_child(parent); sibling < id; sibling++)
            order += subtree_size(sibling, width);
        order++;
    }
    return order;
}

int place_slot(int id, int width, int slots)
{
    if (slots < 2 || width / slots < SPHERES_PER_SLOT)
        return PLACE_ANYWHERE;
    return (int)((long)depth_first_order(id, width) * slots / width);
}

int place_of(const struct places *places, int id, int width)
{
    if (id < 0 || id >= width || places->count == 0)
        return -1;
    const long order = depth_first_order(id, width);
    return places->cpus[width <= places->count ? order : order * places->count / width];
}

static bool is_ours(const struct places *places, int cpu)
{
    return find(places, cpu) < places->count;
}

/* "0-3,8": our CPUs, ascending. */
static void list_cpus(const struct places *places, char *text, size_t size)
{
    size_t used = 0;
    text[0] = 0;
    for (int cpu = 0; cpu < CPUS_MAX && used < size; cpu++) {
        if (!is_ours(places, cpu))
            continue;
        int last = cpu;
        while (is_ours(places, last + 1))
            last++;
        used += (size_t)snprintf(text + used, size - used, last > cpu ? "%s%d-%d" : "%s%d", used ? "," : "", cpu, last);
        cpu = last;
    }
}

enum status place_check(const struct places *places, int cpu, struct error *err)
{
    if (is_ours(places, cpu))
        return STATUS_OK;
    char ours[256];
    list_cpus(places, ours, sizeof ours);
    return error_set(err, STATUS_CONFIG, "CPU %d is not one that this process may run on; those are %s", cpu,
                     ours[0] ? ours : "not known");
}

enum status place_pin(const struct places *places, int cpu, struct error *err)
{
    if (place_check(places, cpu, err) != STATUS_OK)
        return STATUS_CONFIG;
    union mask mask;
    memset(&mask, 0, sizeof mask);
    CPU_SET_S((size_t)cpu, sizeof mask, &mask.set);
    if (sched_setaffinity(0, sizeof mask, &mask.set) != 0)
        return error_set(err, STATUS_SYSTEM, "the system refused to keep a thread on CPU %d: %s", cpu, strerror(errno));
    return STATUS_OK;
}

void place_here(const struct places *places, int slot)
{
    union mask mask;
    memset(&mask, 0, sizeof mask);
    for (int i = 0; i < places->count; i++)
        if (slot == PLACE_ANYWHERE || slot == i)
            CPU_SET_S((size_t)places->cpus[i], sizeof mask, &mask.set);
    (void)sched_setaffinity(0, sizeof mask, &mask.set);
}

void place_apart(const struct places *places, pthread_t thread, int cpu)
{
    union mask mask;
    memset(&mask, 0, sizeof mask);
    for (int i = 0; i < places->count; i++)
        if (places->cpus[i] != cpu)
            CPU_SET_S((size_t)places->cpus[i], sizeof mask, &mask.set);
    (void)pthread_setaffinity_np(thread, sizeof mask, &mask.set);
}
