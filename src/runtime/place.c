/* SPDX-License-Identifier: MIT */
#include "runtime/place_internal.h"

#include "base/memory.h"
#include "runtime/sphere.h"

#include <sched.h>
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
        return STATUS_OK; /* nowhere to choose from */
    const int count = CPU_COUNT_S(sizeof mask, &mask.set);
    places->cpus = mem_calloc((size_t)count, sizeof *places->cpus);
    if (!places->cpus)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %d CPUs", count);
    for (int cpu = 0; cpu < CPUS_MAX; cpu++)
        if (CPU_ISSET_S((size_t)cpu, sizeof mask, &mask.set))
            places->cpus[places->count++] = cpu;
    return STATUS_OK;
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

void place_here(const struct places *places, int slot)
{
    union mask mask;
    memset(&mask, 0, sizeof mask);
    for (int i = 0; i < places->count; i++)
        if (slot == PLACE_ANYWHERE || slot == i)
            CPU_SET_S((size_t)places->cpus[i], sizeof mask, &mask.set);
    (void)sched_setaffinity(0, sizeof mask, &mask.set);
}
