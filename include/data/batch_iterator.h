/* SPDX-License-Identifier: MIT
 * data/batch_iterator.h - batches of windows, in an order that one integer describes.
 *
 * The stream is split: the last val_fraction of it is for validation, the rest for training.  An epoch e cuts the
 * training part into W windows of seq_len+1 tokens (the last token of one is the first of the next), beginning at
 * an offset drawn from (seed, e), and serves each once in the order of a computed permutation of (seed, e).
 * Sample g (counted from the start of training) is window permute(seed, g / W, g mod W); so the position in the
 * data is the integer g, and any batch can be computed by itself.  A prefetch thread keeps the next batch ready.
 * One thread calls _next and _seek; evaluation windows may be read from any thread.
 */
#ifndef DATA_BATCH_ITERATOR_H
#define DATA_BATCH_ITERATOR_H

#include "base/status.h"
#include "data/documents.h"
#include "data/packing.h"
#include "data/tokens.h"

#include <stddef.h>
#include <stdint.h>

struct batch_options {
    size_t seq_len;      /* T, tokens */
    size_t batch_size;   /* B, sequences per optimizer step */
    double val_fraction; /* [0, 0.5]; 0 = no validation part */
    uint64_t seed;
    enum packing packing;
    const struct documents *documents; /* of the tokens, with PACKING_DOCUMENTS; borrowed as they are */
};

/* One window, [T] each. */
struct window {
    int32_t *inputs, *targets; /* targets[t] follows inputs[t] in the text */
    int32_t *first;            /* with PACKING_DOCUMENTS alone: as packing_mask says */
    bool *supervised;
};

struct batch {
    const int32_t *inputs;  /* [B,T], borrowed until the next call of _next, _seek or _free */
    const int32_t *targets; /* [B,T]: targets[b,t] follows inputs[b,t] in the text */
    const int32_t *first;   /* [B,T], or NULL: the token sees all before it in the window */
    const bool *supervised; /* [B,T]: whether the target counts; NULL: all do */
    size_t num_supervised;  /* targets that count */
    size_t batch_size, seq_len;
    uint64_t first_sample;  /* g of the first sequence */
};

struct batch_iterator;

/* Borrows `tokens`, which must outlive it; NULL gives NULL and keeps the *err of the opening that failed.  STATUS_CONFIG with
 * the figures when the training part is shorter than one window (seq_len+1 tokens), or val_fraction leaves a validation
 * part that is; STATUS_MISUSE: PACKING_DOCUMENTS without documents. */
struct batch_iterator *batch_iterator_create(const struct tokens *tokens, const struct batch_options *options,
                                             struct error *err);
void batch_iterator_free(struct batch_iterator *iterator); /* stops the prefetch thread; NULL is fine */

/* The batch at the present position, and moves on by batch_size samples. */
enum status batch_iterator_next(struct batch_iterator *iterator, struct batch *out, struct error *err);
void batch_iterator_seek(struct batch_iterator *iterator, uint64_t sample);
uint64_t batch_iterator_position(const struct batch_iterator *iterator); /* sample the next call begins with */

const struct batch_options *batch_iterator_options(const struct batch_iterator *iterator);
const struct tokens *batch_iterator_tokens(const struct batch_iterator *iterator);
uint64_t batch_iterator_windows(const struct batch_iterator *iterator); /* W, windows in an epoch, >= 1 */

/* Validation windows: consecutive, not overlapping, always the same.  0 when there is no validation part. */
uint64_t batch_iterator_val_windows(const struct batch_iterator *iterator);
void batch_iterator_val_window(const struct batch_iterator *iterator, uint64_t number, const struct window *out);

/* Whether any target counts: of the training part, or of the windows for validation.  Without packing all do, where there is
 * a part at all. */
bool batch_iterator_trains_any(const struct batch_iterator *iterator);
bool batch_iterator_validates_any(const struct batch_iterator *iterator);

/* What an iterator with these options allocates, for planning. */
size_t batch_iterator_bytes(const struct batch_options *options);

#endif
