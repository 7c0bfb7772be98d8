/* SPDX-License-Identifier: MIT
 *
 * Whom to steal from first, and whose memory is where, in a pool whose threads are pinned.
 *
 * What a neighbour has worked on is in a cache that we share, so near victims come first: the same core, the same L2,
 * the same L3, and with numa_aware the same node and the same package.  Among equals each begins behind itself, so that
 * not all go to the same one.  Where threads are not pinned nobody is near, and it is that ring alone.
 */
#include "runtime/victims_internal.h"

#include "base/memory.h"
#include "runtime/pool_internal.h"
#include "topology/numa.h"

#include <stdlib.h>
#include <unistd.h>

enum { L2 = 1, L3 = 2 }; /* indices into cpu_info.cache */

static const struct cpu_info *info_of(const struct cpu_map *map, int cpu)
{
    for (int i = 0; i < map->count; i++)
        if (map->cpus[i].cpu == cpu)
            return &map->cpus[i];
    return NULL;
}

static bool same(int a, int b)
{
    return a >= 0 && a == b;
}

int victims__distance(const struct cpu_map *map, int cpu_a, int cpu_b, bool numa_aware)
{
    const struct cpu_info *a = info_of(map, cpu_a), *b = info_of(map, cpu_b);
    if (cpu_a == cpu_b)
        return 0;
    if (!a || !b)
        return 6;
    if (same(a->core, b->core))
        return 1;
    if (same(a->cache[L2], b->cache[L2]))
        return 2;
    if (same(a->cache[L3], b->cache[L3]))
        return 3;
    if (!numa_aware || same(a->node, b->node))
        return 4;
    return same(a->package, b->package) ? 5 : 6;
}

struct ranked {
    int distance, steps, id;
};

static int nearer(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->distance != y->distance ? x->distance - y->distance : x->steps - y->steps;
}

enum status victims__order(uint16_t *order, int id, int n, const struct places *places, const struct cpu_map *map,
                           bool numa_aware)
{
    struct ranked *ranked = mem_calloc((size_t)n, sizeof *ranked);
    if (!ranked)
        return STATUS_NOMEM;
    for (int k = 1; k < n; k++) {
        const int other = (id + k) % n;
        ranked[k - 1] = (struct ranked){victims__distance(map, places->cpus[id % places->count],
                                                          places->cpus[other % places->count], numa_aware),
                                        k, other};
    }
    qsort(ranked, (size_t)n - 1, sizeof *ranked, nearer);
    for (int k = 1; k < n; k++)
        order[k - 1] = (uint16_t)ranked[k - 1].id;
    mem_free(ranked);
    return STATUS_OK;
}

/* By the worker itself, so that the list is in its own node.  Without memory for it the ring serves. */
static void reorder(struct worker *worker, int n)
{
    struct pool *pool = worker->pool;
    uint16_t *order = n > 1 ? mem_calloc((size_t)n, sizeof *order) : NULL;
    if (order && victims__order(order, worker->id, n, &pool->places, &pool->map, pool->options.numa_aware) != STATUS_OK) {
        mem_free(order);
        order = NULL;
    }
    mem_free(worker->victims);
    worker->victims = order;
    worker->num_victims = n;
}

int pool__victim(struct worker *worker, int k, int reach)
{
    if (worker->pool->map.count && worker->num_victims != reach)
        reorder(worker, reach);
    return worker->victims ? worker->victims[k - 1] : (worker->id + k) % reach;
}

enum status pool__read_map(struct pool *pool, struct error *err)
{
    if (!pool->options.pin_threads)
        return STATUS_OK;
    return cpu_map_read(&pool->map, err);
}

bool pool__near_memory(struct pool *pool, int id, void *memory, size_t bytes, struct error *err)
{
    const struct cpu_info *info = info_of(&pool->map, pool->places.cpus[id % pool->places.count]);
    if (!info || info->node < 0)
        return error_set(err, STATUS_SYSTEM, "the node of a CPU is not known"), false;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return numa_set_policy(pool->numa, memory, (bytes + page - 1) / page * page, NUMA_PREFERRED, info->node, err) ==
           STATUS_OK;
}
