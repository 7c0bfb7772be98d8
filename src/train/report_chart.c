/* SPDX-License-Identifier: MIT
 * Curves as SVG that stretches, with the labels as text beside it, which does not: readable at any width.
 */
#include "train/report_internal.h"

#include "base/check.h"
#include "base/human.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS = 600, SIDE = 1000 }; /* columns of a long curve; the plot's sides in its own units */

struct axis {
    double lo, hi; /* of the logarithm where `log` */
    bool log;
};

struct frame {
    double first, last; /* steps */
    struct axis y;
};

static uint64_t step_of(const struct curve *c, size_t i)
{
    uint64_t step;
    memcpy(&step, (const char *)c->items + i * c->size + c->step_offset, sizeof step);
    return step;
}

static double value_of(const struct curve *c, size_t i)
{
    double value;
    memcpy(&value, (const char *)c->items + i * c->size + c->value_offset, sizeof value);
    return c->factor * value;
}

/* Where values lie on the axis.  Beyond 1e300 differences would overflow. */
static double placed(const struct axis *y, double value)
{
    return y->log ? log10(value) : fmax(-1e300, fmin(1e300, value));
}

static struct frame frame_of(const struct curve *curves, size_t n, bool from_zero)
{
    struct frame f = {.first = INFINITY, .last = -INFINITY};
    double lo = INFINITY, hi = -INFINITY;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < curves[k].count; i++) {
            const double value = value_of(&curves[k], i), step = (double)step_of(&curves[k], i);
            f.first = fmin(f.first, step);
            f.last = fmax(f.last, step);
            if (isfinite(value)) {
                lo = fmin(lo, value);
                hi = fmax(hi, value);
            }
        }
    if (!(f.first <= f.last))
        f.first = f.last = 0;
    if (f.first == f.last) { /* a part of it, as 1 is lost in a step of 2^60 */
        const double room = fmax(1, 1e-9 * f.last);
        f.first -= room;
        f.last += room;
    }
    if (!(lo <= hi))
        lo = 0, hi = 1;
    f.y.log = !from_zero && lo > 0 && hi / lo > 100;
    if (from_zero)
        lo = fmin(lo, 0);
    lo = placed(&f.y, lo);
    hi = placed(&f.y, hi);
    const double size = fmax(fabs(lo), fabs(hi));
    const double room = hi - lo > 1e-9 * size && hi - lo > 1e-200 ? 0.05 * (hi - lo) : fmax(0.05 * size, 1e-3);
    f.y.hi = hi + room;
    f.y.lo = from_zero && lo == 0 ? 0 : lo - room;
    return f;
}

static double x_at(const struct frame *f, uint64_t step)
{
    return SIDE * ((double)step - f->first) / (f->last - f->first);
}

static double y_at(const struct frame *f, double value)
{
    return SIDE * (f->y.hi - placed(&f->y, value)) / (f->y.hi - f->y.lo);
}

/* ---- points ---- */

struct pen {
    struct buffer path, data, marks;
    bool down; /* the line goes on from the point before */
};

static void draw_point(struct pen *pen, const struct frame *f, const struct curve *c, size_t i)
{
    const uint64_t step = step_of(c, i);
    const double value = value_of(c, i), x = x_at(f, step);
    buffer_printf(&pen->data, "%s%" PRIu64 ":%.6g", pen->data.len ? " " : "", step, value);
    if (!isfinite(value)) {
        pen->down = false;
        buffer_printf(&pen->marks, "M%.1f 0V%d", x, (int)SIDE);
        return;
    }
    buffer_printf(&pen->path, pen->down ? "L%.1f %.1f" : "M%.1f %.1fh.01", x, y_at(f, value));
    pen->down = true;
}

/* Points first … last-1 of one column: its least and greatest and the first that is not finite, in their order. */
static void draw_column(struct pen *pen, const struct frame *f, const struct curve *c, size_t first, size_t last)
{
    size_t least = last, greatest = last, broken = last;
    for (size_t i = first; i < last; i++) {
        const double value = value_of(c, i);
        if (!isfinite(value)) {
            broken = broken == last ? i : broken;
            continue;
        }
        if (least == last || value < value_of(c, least))
            least = i;
        if (greatest == last || value > value_of(c, greatest))
            greatest = i;
    }
    for (size_t i = first; i < last; i++)
        if (i == least || i == greatest || i == broken)
            draw_point(pen, f, c, i);
}

static void draw_curve(struct buffer *out, const struct frame *f, const struct curve *c)
{
    struct pen pen = {0};
    if (c->count <= 2 * COLUMNS) {
        for (size_t i = 0; i < c->count; i++)
            draw_point(&pen, f, c, i);
    } else {
        for (size_t first = 0, last; first < c->count; first = last) {
            const int column = (int)(x_at(f, step_of(c, first)) * COLUMNS / SIDE);
            for (last = first + 1; last < c->count && (int)(x_at(f, step_of(c, last)) * COLUMNS / SIDE) == column; last++)
                ;
            draw_column(&pen, f, c, first, last);
        }
    }
    if (pen.marks.len)
        buffer_printf(out, "<path class=\"mark\" d=\"%s\"/>", pen.marks.data);
    buffer_printf(out, "<path class=\"curve %s\" data-name=\"", c->class_name);
    html_text(out, c->name);
    buffer_append_text(out, "\" data-points=\"");
    buffer_append(out, pen.data.data, pen.data.len);
    buffer_append_text(out, "\" d=\"");
    buffer_append(out, pen.path.data, pen.path.len);
    buffer_append_text(out, "\"/>");
    out->failed |= pen.path.failed || pen.data.failed || pen.marks.failed;
    buffer_release(&pen.path);
    buffer_release(&pen.data);
    buffer_release(&pen.marks);
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that some `about` of them fit. */
static double nice_step(double range, int about)
{
    const double unit = pow(10, floor(log10(range / about))), n = range / about / unit;
    return unit * (n < 1.5 ? 1 : n < 3.5 ? 2 : n < 7.5 ? 5 : 10);
}

static void y_label(struct buffer *lines, struct buffer *labels, const struct frame *f, double at, double value)
{
    const double y = SIDE * (f->y.hi - at) / (f->y.hi - f->y.lo);
    buffer_printf(lines, "M0 %.1fH%d", y, (int)SIDE);
    if (fabs(value) >= 10000 && fabs(value) < 1e15) {
        struct human text;
        buffer_printf(labels, "<span class=\"y\" style=\"top:%.1f%%\">%s%s</span>", y * 100 / SIDE, value < 0 ? "-" : "",
                      human_count(&text, fabs(value)));
    } else {
        buffer_printf(labels, "<span class=\"y\" style=\"top:%.1f%%\">%.4g</span>", y * 100 / SIDE, value);
    }
}

static void draw_axes(struct buffer *lines, struct buffer *labels, const struct frame *f)
{
    const double range = f->y.hi - f->y.lo, step = f->y.log ? ceil(range / 6) : nice_step(range, 4);
    const double first = ceil(f->y.lo / step);
    for (int i = 0; i < 20 && (first + i) * step <= f->y.hi; i++) {
        const double at = (first + i) * step;
        y_label(lines, labels, f, at, f->y.log ? pow(10, at) : fabs(at) < step * 1e-6 ? 0 : at);
    }
    const double steps = fmax(1, nice_step(f->last - f->first, 4)), from = ceil(f->first / steps);
    for (int i = 0; i < 20 && (from + i) * steps <= f->last; i++) {
        struct human text;
        const double at = (from + i) * steps;
        if (at >= 0)
            buffer_printf(labels, "<span class=\"x\" style=\"left:%.1f%%\">%s</span>",
                          (at - f->first) * 100 / (f->last - f->first), human_count(&text, at));
    }
}

/* The head of a chart's section; true: there is something to draw. */
static bool begin_chart(struct buffer *out, const char *id, const char *title, const char *unit, bool logarithmic,
                        const struct curve *const *curves, size_t num_curves)
{
    size_t points = 0;
    for (size_t i = 0; i < num_curves; i++)
        points += curves[i]->count;
    buffer_printf(out, "<section id=\"%s\"><h2>%s</h2><p class=\"sub\">%s%s", id, title, unit,
                  points && logarithmic ? ", logarithmic" : "");
    for (size_t i = 0; num_curves > 1 && i < num_curves; i++) {
        buffer_printf(out, " <span class=\"named\"><span class=\"key %s\"></span>", curves[i]->class_name);
        html_text(out, curves[i]->name);
        buffer_append_text(out, "</span>");
    }
    buffer_append_text(out, points ? "</p>" : "</p><p>Nothing recorded yet.</p></section>\n");
    return points;
}

/* Right labels, in percent, at the places of a scale from 0 on. */
static void right_labels(struct buffer *labels, const struct axis *y)
{
    const double step = nice_step(y->hi, 4);
    for (int i = 0; i < 20 && i * step <= y->hi; i++)
        buffer_printf(labels, "<span class=\"r\" style=\"top:%.1f%%\">%.4g %%</span>", 100 * (1 - i * step / y->hi), i * step);
}

static void draw(struct buffer *out, const char *title, const struct curve *const *curves, const struct frame *frames,
                 size_t num_curves, bool two_scales)
{
    struct buffer lines = {0}, labels = {0};
    const struct frame *f = &frames[0];
    draw_axes(&lines, &labels, f);
    if (two_scales)
        right_labels(&labels, &frames[1].y);
    buffer_printf(out,
                  "<div class=\"chart%s\"><div class=\"plot\" data-first=\"%.0f\" data-last=\"%.0f\"><svg viewBox=\"0 0 %d %d\" "
                  "preserveAspectRatio=\"none\" role=\"img\" aria-label=\"%s\"><path class=\"grid\" d=\"%s\"/>",
                  two_scales ? " two" : "", f->first, f->last, (int)SIDE, (int)SIDE, title, lines.len ? lines.data : "");
    for (size_t i = 0; i < num_curves; i++)
        draw_curve(out, two_scales ? &frames[i] : f, curves[i]);
    buffer_printf(out, "</svg>%s<div class=\"tip\" hidden></div><i class=\"at\" hidden></i></div></div></section>\n",
                  labels.len ? labels.data : "");
    out->failed |= lines.failed || labels.failed;
    buffer_release(&lines);
    buffer_release(&labels);
}

void report_chart(struct buffer *out, const char *id, const char *title, const char *unit, const struct curve *curves,
                  size_t num_curves, bool from_zero)
{
    const struct curve *all[2] = {curves, num_curves > 1 ? curves + 1 : NULL};
    CHECK(num_curves <= 2);
    const struct frame f = frame_of(curves, num_curves, from_zero);
    if (begin_chart(out, id, title, unit, f.y.log, all, num_curves))
        draw(out, title, all, &f, num_curves, false);
}

void report_chart_percent(struct buffer *out, const char *id, const char *title, const char *unit, const struct curve *left,
                          const struct curve *right)
{
    const struct curve *all[2] = {left, right};
    struct frame frames[2] = {frame_of(left, 1, true), frame_of(left, 1, true)};
    double greatest = -INFINITY;
    for (size_t i = 0; i < right->count; i++)
        if (isfinite(value_of(right, i)))
            greatest = fmax(greatest, value_of(right, i));
    const bool two = greatest > -INFINITY;
    frames[1].y = (struct axis){.lo = 0, .hi = fmax(100, fmin(1e300, 1.05 * greatest))};
    if (begin_chart(out, id, title, unit, false, all, two ? 2 : 1))
        draw(out, title, all, frames, two ? 2 : 1, two);
}
