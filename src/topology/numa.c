/* SPDX-License-Identifier: MIT
 *
 * Memory binding by hwloc: mbind(2) and move_pages(2) underneath.
 */
#include "topology/numa.h"

#include "base/memory.h"

#include <errno.h>
#include <hwloc.h>
#include <stdbool.h>
#include <string.h>

struct numa {
    hwloc_topology_t machine;   /* NULL where hwloc finds nothing */
    hwloc_const_nodeset_t ours; /* borrowed from it */
    int count;
};

static const char *const NAMES[] = {
    [NUMA_LOCAL] = "local", [NUMA_INTERLEAVE] = "interleave", [NUMA_PREFERRED] = "preferred", [NUMA_BIND] = "bind"};
enum { NUM_POLICIES = sizeof NAMES / sizeof NAMES[0] };

const char *numa_policy_name(enum numa_policy policy)
{
    return (unsigned)policy < NUM_POLICIES ? NAMES[policy] : "unknown";
}

enum status numa_policy_parse(const char *name, enum numa_policy *out, struct error *err)
{
    for (int i = 0; i < NUM_POLICIES; i++)
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum numa_policy)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG,
                     "unknown memory policy \"%s\": local, interleave, preferred or bind would be right", name);
}

struct numa *numa_new(struct error *err)
{
    struct numa *numa = mem_calloc(1, sizeof *numa);
    if (!numa) {
        error_set(err, STATUS_NOMEM, "no memory for a list of the NUMA nodes");
        return NULL;
    }
    numa->count = 1;
    if (hwloc_topology_init(&numa->machine) != 0) {
        numa->machine = NULL;
        return numa;
    }
    /* Nodes are kept always; the rest is not looked for. */
    if (hwloc_topology_set_all_types_filter(numa->machine, HWLOC_TYPE_FILTER_KEEP_NONE) != 0 ||
        hwloc_topology_load(numa->machine) != 0) {
        hwloc_topology_destroy(numa->machine);
        numa->machine = NULL;
        return numa;
    }
    numa->ours = hwloc_topology_get_topology_nodeset(numa->machine);
    const int nodes = hwloc_bitmap_weight(numa->ours);
    numa->count = nodes > 1 ? nodes : 1;
    return numa;
}

void numa_free(struct numa *numa)
{
    if (!numa)
        return;
    if (numa->machine)
        hwloc_topology_destroy(numa->machine);
    mem_free(numa);
}

int numa_count(const struct numa *numa)
{
    return numa->count;
}

int numa_node(const struct numa *numa, int index)
{
    if (index < 0 || index >= numa->count)
        return -1;
    if (!numa->machine)
        return 0;
    int node = hwloc_bitmap_first(numa->ours);
    while (index-- > 0)
        node = hwloc_bitmap_next(numa->ours, node);
    return node;
}

enum status numa_check_node(const struct numa *numa, int node, struct error *err)
{
    if (node >= 0 && (numa->machine ? hwloc_bitmap_isset(numa->ours, (unsigned)node) : node == 0))
        return STATUS_OK;
    char list[128] = "0";
    if (numa->machine)
        hwloc_bitmap_list_snprintf(list, sizeof list, numa->ours);
    return error_set(err, STATUS_CONFIG, "NUMA node %d is not one whose memory this process may use; there %s %s", node,
                     numa->count == 1 ? "is only" : "are", list);
}

enum status numa_set_policy(const struct numa *numa, void *p, size_t size_bytes, enum numa_policy policy, int node,
                            struct error *err)
{
    static const struct {
        hwloc_membind_policy_t policy;
        int flags;
        bool one;
    } WAYS[NUM_POLICIES] = {
        [NUMA_LOCAL] = {HWLOC_MEMBIND_FIRSTTOUCH, 0, false},
        [NUMA_INTERLEAVE] = {HWLOC_MEMBIND_INTERLEAVE, 0, false},
        [NUMA_PREFERRED] = {HWLOC_MEMBIND_BIND, 0, true}, /* not strict: the node first, then the others */
        [NUMA_BIND] = {HWLOC_MEMBIND_BIND, HWLOC_MEMBIND_STRICT, true},
    };
    if ((unsigned)policy >= NUM_POLICIES)
        return error_set(err, STATUS_CONFIG, "unknown memory policy %d", (int)policy);
    if (WAYS[policy].one && numa_check_node(numa, node, err) != STATUS_OK)
        return STATUS_CONFIG;
    if (!numa->machine || !hwloc_topology_is_thissystem(numa->machine))
        return error_set(err, STATUS_SYSTEM,
                         "hwloc does not show this machine, so memory cannot be placed on its nodes");
    hwloc_nodeset_t nodes = hwloc_bitmap_dup(numa->ours);
    if (!nodes)
        return error_set(err, STATUS_NOMEM, "no memory for a set of NUMA nodes");
    if (WAYS[policy].one)
        hwloc_bitmap_only(nodes, (unsigned)node);
    const int refused = hwloc_set_area_membind(numa->machine, p, size_bytes, nodes, WAYS[policy].policy,
                                               HWLOC_MEMBIND_BYNODESET | WAYS[policy].flags);
    const int why = errno;
    hwloc_bitmap_free(nodes);
    if (refused)
        return error_set(err, STATUS_SYSTEM, "the system refused the memory policy %s: %s", numa_policy_name(policy),
                         strerror(why));
    return STATUS_OK;
}

int numa_node_of(const struct numa *numa, const void *p)
{
    if (!numa->machine || !hwloc_topology_is_thissystem(numa->machine))
        return -1;
    hwloc_nodeset_t nodes = hwloc_bitmap_alloc();
    int node = -1;
    if (nodes && hwloc_get_area_memlocation(numa->machine, p, 1, nodes, HWLOC_MEMBIND_BYNODESET) == 0)
        node = hwloc_bitmap_first(nodes);
    hwloc_bitmap_free(nodes);
    return node;
}
