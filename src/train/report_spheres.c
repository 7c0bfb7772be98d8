/* SPDX-License-Identifier: MIT
 * The tree of spheres as rings: the root in the middle, a sphere's children on its outside.
 */
#include "train/report_internal.h"

#include "base/human.h"

#include <math.h>

enum { RING = 60, LEVELS = 4 };

struct arc {
    double begin, end; /* of the circle */
};

static double waiting(const struct sphere_stats *s)
{
    const double all = (double)s->compute_ns + (double)s->wait_ns;
    return all > 0 ? (double)s->wait_ns / all : 0;
}

static void point(struct buffer *out, const char *command, double radius, double turn)
{
    const double angle = 2 * 3.14159265358979323846 * turn;
    buffer_printf(out, "%s%.2f %.2f", command, radius * sin(angle), -radius * cos(angle));
}

/* A piece of ring `level`; the root is a disc, and a whole ring is made of two halves. */
static void shape(struct buffer *out, int level, struct arc a)
{
    const double inner = (level - 0.5) * RING, outer = inner + RING - 2;
    if (level == 0) {
        buffer_printf(out, "<circle r=\"%.0f\"", 0.5 * RING - 2);
        return;
    }
    const double middle = (a.begin + a.end) / 2;
    buffer_append_text(out, "<path d=\"");
    point(out, "M", outer, a.begin);
    for (int half = 0; half < 2; half++) {
        buffer_printf(out, "A%.0f %.0f 0 0 1 ", outer, outer);
        point(out, "", outer, half ? a.end : middle);
    }
    point(out, "L", inner, a.end);
    for (int half = 0; half < 2; half++) {
        buffer_printf(out, "A%.0f %.0f 0 0 0 ", inner, inner);
        point(out, "", inner, half ? a.begin : middle);
    }
    buffer_append_text(out, "Z\"");
}

static void rings(struct buffer *out, const struct stats_report *stats, bool work, double most_work)
{
    struct arc share[SPHERES_MAX] = {{0, 1}};
    const double radius = (sphere_levels(stats->num_spheres) - 0.5) * RING;
    buffer_printf(out, "<figure><svg viewBox=\"%.0f %.0f %.0f %.0f\" role=\"img\" aria-label=\"%s\">", -radius, -radius,
                  2 * radius, 2 * radius, work ? "spheres by work" : "spheres by waiting");
    for (int i = 0; i < stats->num_spheres && i < SPHERES_MAX; i++) {
        const struct sphere_stats *s = &stats->spheres[i];
        const int child = sphere_first_child(i), children = sphere_num_children(i, stats->num_spheres);
        const double width = (share[i].end - share[i].begin) / (children ? children : 1);
        for (int k = 0; k < children; k++)
            share[child + k] = (struct arc){share[i].begin + k * width, share[i].begin + (k + 1) * width};
        const double x = work ? most_work > 0 ? (double)s->flops / most_work : 0 : waiting(s);
        struct human tokens, flops, robbed;
        shape(out, sphere_level(i), share[i]);
        buffer_printf(out, " class=\"%s\" fill-opacity=\"%.3f\"><title>sphere %d, level %d: waiting %.1f %%, "
                      "robbed of its core %s, %sFLOP, %s tokens",
                      work ? "work" : "wait", 0.06 + 0.94 * fmin(1, x), i, sphere_level(i), 100 * waiting(s),
                      human_seconds(&robbed, 1e-9 * (double)s->robbed_ns),
                      human_count(&flops, (double)s->flops), human_count(&tokens, (double)s->tokens));
        if (s->cpu >= 0)
            buffer_printf(out, ", CPU %d", s->cpu);
        buffer_printf(out, "</title></%s>", sphere_level(i) == 0 ? "circle" : "path");
    }
    struct human most;
    buffer_printf(out, "</svg><figcaption>%s: <span class=\"ramp %s\"></span> from 0 to %s%s</figcaption></figure>",
                  work ? "work" : "waiting", work ? "work" : "wait",
                  work ? human_count(&most, most_work) : "100", work ? "FLOP" : " %");
}

void report_spheres(struct buffer *out, const struct stats_report *stats)
{
    double most = 0;
    struct {
        int spheres;
        double wait, compute, flops, tokens;
    } level[LEVELS] = {{0}};
    for (int i = 0; i < stats->num_spheres; i++) {
        const struct sphere_stats *s = &stats->spheres[i];
        const int l = sphere_level(i);
        most = fmax(most, (double)s->flops);
        level[l].spheres++;
        level[l].wait += (double)s->wait_ns;
        level[l].compute += (double)s->compute_ns;
        level[l].flops += (double)s->flops;
        level[l].tokens += (double)s->tokens;
    }
    buffer_printf(out, "<section id=\"spheres\"><h2>Spheres</h2><p class=\"sub\">%d of them on %d levels, %d at work, back end ",
                  stats->num_spheres, sphere_levels(stats->num_spheres), stats->width);
    html_text(out, stats->backend);
    buffer_append_text(out, "; the root is in the middle, children lie outside their parent. Point at one for its figures.</p>"
                            "<div class=\"rings\">");
    rings(out, stats, false, most);
    rings(out, stats, true, most);
    buffer_append_text(out, "</div><div class=\"wide\"><table><tr><th>level<th>spheres<th>tokens<th>FLOP<th>computing<th>waiting</tr>");
    for (int l = 0; l < sphere_levels(stats->num_spheres); l++) {
        struct human a, b, c;
        const double all = level[l].wait + level[l].compute;
        buffer_printf(out, "<tr><td>%d<td>%d<td>%s<td>%s<td>%s<td>%.1f %%</tr>", l, level[l].spheres,
                      human_count(&a, level[l].tokens), human_count(&b, level[l].flops),
                      human_seconds(&c, level[l].compute * 1e-9), all > 0 ? 100 * level[l].wait / all : 0.0);
    }
    buffer_append_text(out, "</table></div></section>\n");
}
