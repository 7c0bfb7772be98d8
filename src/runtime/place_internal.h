/* SPDX-License-Identifier: MIT
 * runtime/place_internal.h - where many spheres sit when they share few CPUs.
 *
 * Left to the scheduler, spheres that wake each other wander between the CPUs, and a crossing of 1741 on two cores
 * takes twice as long as when each keeps its CPU (docs/threads.md has the figures).  So from some number a core on,
 * each sphere thread keeps to one CPU: the 12-ary heap in depth-first order, cut into equal parts, so that a subtree
 * stays together and every CPU has its share of each width.  Below that the scheduler evens out better than a fixed
 * place could.
 */
#ifndef RUNTIME_PLACE_INTERNAL_H
#define RUNTIME_PLACE_INTERNAL_H

#include "runtime/place.h"

#include <pthread.h>

/* Moves the calling thread to a slot, or to all of them.  What the system refuses stays as it was: a place is only a
 * matter of speed. */
void place_here(const struct places *places, int slot);

/* Lets a thread run on all of them but `cpu`; likewise. */
void place_apart(const struct places *places, pthread_t thread, int cpu);

#endif
