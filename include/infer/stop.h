/* SPDX-License-Identifier: MIT
 * infer/stop.h - texts that end a generation, found in what comes piece by piece.
 *
 * The stop text that is complete first ends the text, which is cut where it begins; of several that are complete with the
 * same byte the longest counts.  So the result does not depend on how the text is cut into pieces.  What may yet become
 * a stop text is held back.  One thread at a time on one filter.
 */
#ifndef INFER_STOP_H
#define INFER_STOP_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

struct stop_filter {
    const char *const *texts; /* [count], borrowed; none of them empty */
    size_t count;
    bool stopped;             /* one was found; nothing more is passed on */
    struct buffer held;       /* the filter's own; release it with stop_filter_release */
};

/* Appends to `out` what of this piece, and of what was held back, is no part of a stop text.  When memory is out,
 * held.failed or out->failed is set. */
void stop_filter_push(struct stop_filter *filter, const char *text, size_t len, struct buffer *out);

/* The text is over: appends what was held back. */
void stop_filter_finish(struct stop_filter *filter, struct buffer *out);

void stop_filter_release(struct stop_filter *filter);

#endif
