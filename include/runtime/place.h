/* SPDX-License-Identifier: MIT
 * runtime/place.h - the CPUs that are ours, in what order they are used, and who sits where.
 *
 * Places are read once, from the affinity mask of the thread that reads them, and are what "ours" means from then on:
 * a thread that was pinned has a smaller mask, and the kernel would let it leave the mask it was born with.
 * Read-only once made and ordered; any thread.
 */
#ifndef RUNTIME_PLACE_H
#define RUNTIME_PLACE_H

#include "base/status.h"

struct cpu_map;

struct places {
    int *cpus; /* in the order in which they are to be used */
    int count;
};

/* Our CPUs, ascending.  STATUS_NOMEM.  None at all, where the mask cannot be read, is fine: there is nowhere to choose
 * from. */
enum status places_init(struct places *places, struct error *err);
void places_release(struct places *places); /* fine on a zeroed struct */

/* Puts first one hardware thread of every core, near ones beside each other; then the second ones; …; and last what the
 * map does not have.  Apart from places_init because reading a map costs milliseconds. */
void places_order(struct places *places, const struct cpu_map *map);

/* The CPU for sphere `id` of `width` when each is to keep to one: the 12-ary heap in depth-first order, laid along the
 * CPUs or, where there are fewer of these, cut into equal parts.  So children sit beside their parent, and a subtree
 * together.  -1 for an id that is not 0 … width-1, or without places. */
int place_of(const struct places *places, int id, int width);

enum { PLACE_ANYWHERE = -1 };

/* The slot, 0 … slots-1, where a team's sphere `id` of `width` is kept; PLACE_ANYWHERE where there are too few spheres a
 * slot for that to help. */
int place_slot(int id, int width, int slots);

/* STATUS_CONFIG for a CPU that is not ours, with those that are. */
enum status place_check(const struct places *places, int cpu, struct error *err);

/* Keeps the calling thread on this CPU from now on.  STATUS_CONFIG as place_check; STATUS_SYSTEM when the system
 * refused; the thread then runs where it did before. */
enum status place_pin(const struct places *places, int cpu, struct error *err);

#endif
