/* SPDX-License-Identifier: MIT
 * runtime/machine_internal.h - how much of the machine is ours, for whoever makes pools and teams.
 *
 * As topology_read, which takes about two milliseconds, but read once for an affinity mask and an OMP_NUM_THREADS: a
 * quota that changes later is not noticed.  Any thread.
 */
#ifndef RUNTIME_MACHINE_INTERNAL_H
#define RUNTIME_MACHINE_INTERNAL_H

#include "topology/topology.h"

#include <stdbool.h>

void machine__read(struct topology *out);

/* Physical cores that we may use, by affinity and quota. */
int machine__cores(const struct topology *topology);

/* A cgroup gives us less than the affinity mask, and does not say on which CPUs. */
bool machine__has_quota(const struct topology *topology);

#endif
