/* SPDX-License-Identifier: MIT
 * The parts of a page about runs: text, curves, spheres.  Each appends HTML to `out`.
 */
#ifndef TRAIN_REPORT_INTERNAL_H
#define TRAIN_REPORT_INTERNAL_H

#include "base/buffer.h"
#include "train/stats_report.h"

#include <stdbool.h>
#include <stddef.h>

/* Text of any origin as HTML: what means something there is escaped, control characters but \n and \t are shown as
 * their pictures, bytes that are no UTF-8 as U+FFFD. */
void html_text(struct buffer *out, const char *text);

/* From <!DOCTYPE to the opened <main>, with the style; and from there to the end, with the script for hover values. */
void html_begin(struct buffer *out, const char *title);
void html_end(struct buffer *out);

/* A curve: `x` and `y` of point i, from the records at `items`, `size` bytes each. */
struct curve {
    const char *name;
    const char *class_name; /* "a" or "b": its colour */
    const void *items;
    size_t count, size;
    size_t step_offset, value_offset; /* of a uint64_t and a double */
    double factor;                    /* by which values are drawn and told */
};

/* A chart with axes.  Many points become the least and the greatest of each of some hundreds of columns, so that no
 * extreme is lost; what is not finite breaks the line and is marked.  `from_zero`: the axis begins at 0; logarithmic
 * where the values are positive and span more than a factor of 100, otherwise. */
void report_chart(struct buffer *out, const char *id, const char *title, const char *unit, const struct curve *curves,
                  size_t num_curves, bool from_zero);

/* A chart of two curves with a scale each: `left` from 0 in its own unit, `right` in percent from 0 to 100 or to its greatest.
 * The labels of a scale have its curve's colour.  Without a finite value on the right it is report_chart's of the left alone. */
void report_chart_percent(struct buffer *out, const char *id, const char *title, const char *unit, const struct curve *left,
                          const struct curve *right);

/* The tree of spheres as rings, once coloured by waiting and once by work, and the sums of its levels. */
void report_spheres(struct buffer *out, const struct stats_report *stats);

#endif
