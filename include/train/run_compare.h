/* SPDX-License-Identifier: MIT
 * train/run_compare.h - two runs side by side: where their results part, and which settings are not the same.
 */
#ifndef TRAIN_RUN_COMPARE_H
#define TRAIN_RUN_COMPARE_H

#include "train/run_view.h"

/* What is compared is what is a function of settings, data and seed: loss, lr, grad_norm and val_loss of each step, bit by
 * bit (null equals null).  A new reference, NULL without memory:
 *
 *     same            both have the same steps and evaluations with the same bits
 *     first_difference  null, or {"step", "key", "a", "b"}; key "steps" or "evaluations" where one run has no more of them or
 *                     they are of other steps; a and b are null for what is absent or not finite
 *     settings        [{"key", "a", "b"}, …] of run.json, whatever its place, null where one has none
 *     final           {"a": {"step", "loss", "val_loss"}, "b": …}
 */
json_t *run_compare(const struct run_view *a, const struct run_view *b);

/* The same for people, and as a page with the curves of both.  STATUS_NOMEM. */
enum status run_compare_text(const json_t *result, struct buffer *out, struct error *err);
enum status run_compare_html(const struct run_view *a, const struct run_view *b, const json_t *result, struct buffer *out,
                             struct error *err);

#endif
