/* SPDX-License-Identifier: MIT
 * base/arena.h - memory whose size is said first and used afterwards.
 *
 * Who needs memory says how much (`X_bytes(shape)`), the sum is reserved once, and pieces are then taken in
 * order.  A piece that does not fit is a bug in the saying, so arena_alloc never returns NULL.  Pieces start on
 * a cache line; in AddressSanitizer builds poisoned redzones stand between them.  Not thread-safe: one owner.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/status.h"

#include <stddef.h>

struct arena {
    unsigned char *base;
    size_t size_bytes, used_bytes, peak_bytes;
};

/* Reserves size_bytes of zeroed memory; pages are given on first touch.  STATUS_NOMEM when refused. */
enum status arena_init(struct arena *arena, size_t size_bytes, struct error *err);
void arena_release(struct arena *arena); /* fine on a zeroed struct */

/* What a piece of this size takes in an arena: sums of these are what arena_init wants. */
size_t arena_piece_bytes(size_t size_bytes);

/* The next piece, 64-byte aligned.  Not cleared unless never used before. */
void *arena_alloc(struct arena *arena, size_t size_bytes);

/* Everything taken since the mark is given back. */
size_t arena_mark(const struct arena *arena);
void arena_reset(struct arena *arena, size_t mark);

/* Says that all of it will be used, so that large pages cost nothing and save faults. */
void arena_expect(struct arena *arena);

/* And has the system give it now, not in the middle of a run.  What lies there stays. */
void arena_touch(struct arena *arena);

#endif
