/* SPDX-License-Identifier: MIT
 * runtime/barrier_internal.h - the 12-ary barrier.
 *
 * One node for each sphere that has children.  A node is complete when its sphere and all its children's subtrees
 * have arrived.  Arrivals climb: who completes a node goes on to the node above on behalf of the subtree, so nobody
 * ever waits for an arrival and each member sleeps at most once a crossing.  Who completes the root begins the
 * release, which descends: the root's sphere and its children wait on the root's release word, each child that
 * goes on lets its own children go, and so down, one word and at most one system call for twelve.
 *
 * The first `width` spheres take part; barrier_begin says how many while all are at rest.  The release word holds
 * (crossing << 1 | somebody sleeps): a sleeper sets the low bit before it sleeps and the releaser's exchange sees
 * it, so no wake-up is lost and none is sent to nobody.  The member that completed the root may be one crossing
 * ahead of its own parent's release; this is why waiters look for their crossing's number and not for a change.
 */
#ifndef RUNTIME_BARRIER_INTERNAL_H
#define RUNTIME_BARRIER_INTERNAL_H

#include "base/status.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CACHE_LINE = 64 };

/* A member's failure as it climbs: id << 8 | status, so that the least is the first in order of ids. */
#define BARRIER_NO_FAILURE UINT32_MAX

struct barrier_node {
    alignas(CACHE_LINE) _Atomic uint32_t arrived; /* subtrees here so far; acq_rel pairs with itself */
    alignas(CACHE_LINE) _Atomic uint32_t failure; /* the least of them; published by `arrived` */
    alignas(CACHE_LINE) _Atomic uint32_t release; /* exchange(release) pairs with the waiters' acquire loads */
};

struct barrier {
    struct barrier_node *nodes;
    size_t nodes_bytes;
    int width;           /* written by barrier_begin, at rest */
    int spins;           /* looks at a release word before sleeping; below 0: so often it gives way instead */
    enum status verdict; /* written by who completes the root, before the release that shows it to the others */
};

enum status barrier_init(struct barrier *barrier, int num_spheres, struct error *err);
void barrier_release(struct barrier *barrier); /* frees; fine on a zeroed struct */

/* A run of `width` members begins: crossing numbers start at 0, the verdict is STATUS_OK.  All at rest. */
void barrier_begin(struct barrier *barrier, int width, bool spin);

/* Member `id` arrives, with its failure or BARRIER_NO_FAILURE, and does not wait.  True for the member that came
 * last of all; barrier->verdict is then final and everything the others wrote before is visible to it. */
bool barrier_arrive(struct barrier *barrier, int id, uint32_t failure);

/* Arrives and waits for all.  `crossing` is the member's own count, 0 at the beginning of a run. */
void barrier_cross(struct barrier *barrier, int id, uint32_t *crossing, uint32_t failure);

#endif
