/* SPDX-License-Identifier: MIT
 * runtime/victims_internal.h - the order in which a pinned worker visits the others.  Pure functions of the map.
 */
#ifndef RUNTIME_VICTIMS_INTERNAL_H
#define RUNTIME_VICTIMS_INTERNAL_H

#include "base/status.h"
#include "runtime/place.h"
#include "topology/cpu_map.h"

#include <stdbool.h>
#include <stdint.h>

/* 0 the same CPU, 1 core, 2 L2, 3 L3, then 4; with numa_aware 4 the same node, 5 the same package, 6 another. */
int victims__distance(const struct cpu_map *map, int cpu_a, int cpu_b, bool numa_aware);

/* Writes the n-1 others of worker `id`, worker i being on places->cpus[i % count]: nearest first, among equals
 * ascending from behind `id`, around.  STATUS_NOMEM. */
enum status victims__order(uint16_t *order, int id, int n, const struct places *places, const struct cpu_map *map,
                           bool numa_aware);

#endif
