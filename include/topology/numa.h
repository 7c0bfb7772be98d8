/* SPDX-License-Identifier: MIT
 * topology/numa.h - the memory nodes of this machine, and which of them a range of memory comes from.
 *
 * Any thread; a `struct numa` is read-only once made and may be shared.
 */
#ifndef TOPOLOGY_NUMA_H
#define TOPOLOGY_NUMA_H

#include "base/status.h"

#include <stddef.h>

/* Where the system takes a page from when it is first touched. */
enum numa_policy {
    NUMA_LOCAL,      /* the node of the thread that touches it */
    NUMA_INTERLEAVE, /* all nodes in turn */
    NUMA_PREFERRED,  /* the node named, another when that one is full */
    NUMA_BIND        /* the node named and no other */
};

const char *numa_policy_name(enum numa_policy policy); /* "local", "interleave", "preferred", "bind" */
enum status numa_policy_parse(const char *name, enum numa_policy *out, struct error *err); /* STATUS_CONFIG */

struct numa;

/* The nodes whose memory this process may use (cpuset.mems), as hwloc sees them.  NULL with STATUS_NOMEM. */
struct numa *numa_new(struct error *err);
void numa_free(struct numa *numa); /* NULL is fine */

int numa_count(const struct numa *numa);           /* 1 also where nothing could be found out */
int numa_node(const struct numa *numa, int index); /* the system's number of the index-th, -1 beyond numa_count */

/* Of the node with this number of the system's: STATUS_CONFIG when it is not there for us, with those that are. */
enum status numa_check_node(const struct numa *numa, int node, struct error *err);

/* Sets the policy of whole pages not yet touched.  `node` is read for NUMA_PREFERRED and NUMA_BIND.
 * STATUS_CONFIG: no such node for us (which there are); STATUS_SYSTEM: the system refused. */
enum status numa_set_policy(const struct numa *numa, void *p, size_t size_bytes, enum numa_policy policy, int node,
                            struct error *err);

/* The node that holds the touched page at p, the lowest if several could be meant; -1 where that cannot be told. */
int numa_node_of(const struct numa *numa, const void *p);

#endif
