/* SPDX-License-Identifier: MIT
 * The page about one run: its sections, in the order in which people ask.
 */
#include "train/run_view.h"

#include "base/human.h"
#include "train/report_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_EVENTS = 500, SHOWN_SAMPLES = 100, DEEPEST = 8 };

#define STEPS(log, field) (log)->steps, (log)->num_steps, sizeof *(log)->steps, offsetof(struct metrics_step, step), \
                          offsetof(struct metrics_step, field), 1
#define VALS(log) (log)->vals, (log)->num_vals, sizeof *(log)->vals, offsetof(struct metrics_val, step), \
                  offsetof(struct metrics_val, loss), 1

static void fact(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, "<div><dt>%s</dt><dd>", name);
    html_text(out, text);
    buffer_append_text(out, "</dd></div>");
}

static void number_fact(struct buffer *out, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.4f", value);
    fact(out, name, isnan(value) ? "not finite" : text);
}

static void peak_fact(const struct run_view *view, double share, struct buffer *out)
{
    char text[80];
    struct human peak;
    int n = snprintf(text, sizeof text, "%.1f %%", 100 * share);
    if (view->has_stats && view->stats.peak_gflops > 0)
        snprintf(text + n, sizeof text - (size_t)n, " of %sFLOP/s", human_count(&peak, 1e9 * view->stats.peak_gflops));
    fact(out, "share of peak", text);
}

static void summary(const struct run_view *view, struct buffer *out)
{
    const struct metrics_log *log = &view->log;
    const uint64_t last = log->num_steps ? log->steps[log->num_steps - 1].step : 0;
    const json_int_t steps = json_integer_value(json_object_get(json_object_get(view->info, "settings"), "steps"));
    struct human a, b;
    char text[80];
    buffer_append_text(out, "<header class=\"full\" id=\"summary\"><h1>");
    html_text(out, view->path);
    buffer_append_text(out, "</h1><dl class=\"facts\">");
    fact(out, "state", view->running                               ? "training now"
                       : steps > 0 && last >= (uint64_t)steps ? "done"
                       : last                                 ? "stopped"
                                                              : "no step yet");
    snprintf(text, sizeof text, steps > 0 ? "%s of %s" : "%s", human_whole(&a, last), human_whole(&b, steps > 0 ? (uint64_t)steps : 0));
    fact(out, "step", text);
    if (log->num_steps) {
        const struct metrics_step *s = &log->steps[log->num_steps - 1];
        double best = INFINITY;
        fact(out, "tokens", human_count(&a, (double)s->tokens));
        number_fact(out, "loss", s->loss);
        for (size_t i = 0; i < log->num_vals; i++)
            best = fmin(best, log->vals[i].loss);
        if (log->num_vals)
            number_fact(out, "validation loss", log->vals[log->num_vals - 1].loss);
        if (isfinite(best))
            number_fact(out, "best validation loss", best);
        if (isfinite(s->tokens_per_s) && s->tokens_per_s >= 0)
            fact(out, "tokens/s", human_count(&a, s->tokens_per_s));
        if (isfinite(s->peak_share) && s->peak_share > 0)
            peak_fact(view, s->peak_share, out);
        if (isfinite(s->elapsed_s))
            fact(out, "time of training", human_duration(&a, s->elapsed_s));
    }
    buffer_append_text(out, "</dl></header>\n");
}

static void notices(const struct run_view *view, struct buffer *out)
{
    if (!view->notices.len)
        return;
    buffer_append_text(out, "<section class=\"full\" id=\"notices\"><h2>Notices</h2><pre>");
    html_text(out, view->notices.data);
    buffer_append_text(out, "</pre></section>\n");
}

static void charts(const struct metrics_log *log, struct buffer *out)
{
    const struct curve loss[] = {{"training", "a", STEPS(log, loss)}, {"validation", "b", VALS(log)}};
    const struct curve lr = {"rate", "a", STEPS(log, lr)}, norm = {"norm", "a", STEPS(log, grad_norm)};
    const struct curve speed = {"tokens/s (left)", "a", STEPS(log, tokens_per_s)}, wait = {"waiting", "b", STEPS(log, wait_share)};
    struct curve share = {"% of peak (right)", "b", STEPS(log, peak_share)};
    share.factor = 100;
    report_chart(out, "loss", "Loss", "nats per token", loss, 2, false);
    report_chart(out, "grad-norm", "Gradient norm", "before clipping", &norm, 1, false);
    report_chart(out, "lr", "Learning rate", "of each step", &lr, 1, true);
    report_chart_percent(out, "speed", "Speed", "of each step", &speed, &share);
    report_chart(out, "waiting", "Waiting", "share of the spheres' time", &wait, 1, true);
}

static void checkpoints(const struct run_view *view, struct buffer *out)
{
    buffer_append_text(out, "<section id=\"checkpoints\"><h2>Checkpoints</h2>");
    if (view->has_stats && view->stats.saving.saved + view->stats.saving.failed > 0) {
        struct buffer text = {0};
        stats_saving_text(&view->stats.saving, &text);
        buffer_append_text(out, "<p class=\"sub\">of the last session: ");
        html_text(out, text.data ? text.data : "");
        buffer_append_text(out, "</p>");
        out->failed |= text.failed;
        buffer_release(&text);
    }
    if (!view->num_checkpoints)
        buffer_append_text(out, "<p>None yet.</p>");
    else
        buffer_append_text(out, "<div class=\"wide\"><table><tr><th>step<th>size</tr>");
    for (size_t i = 0; i < view->num_checkpoints; i++) {
        struct human step, size;
        buffer_printf(out, "<tr><td>%s<td>%s</tr>", human_whole(&step, view->checkpoints[i].step),
                      view->checkpoints[i].size_bytes ? human_bytes(&size, view->checkpoints[i].size_bytes)
                                                      : "its manifest cannot be read");
    }
    buffer_append_text(out, view->num_checkpoints ? "</table></div></section>\n" : "</section>\n");
}

static void events(const struct metrics_log *log, struct buffer *out)
{
    buffer_append_text(out, "<section id=\"events\"><h2>Events</h2>");
    const size_t first = log->num_events > SHOWN_EVENTS ? log->num_events - SHOWN_EVENTS : 0;
    if (!log->num_events)
        buffer_append_text(out, "<p>None yet.</p>");
    if (first)
        buffer_printf(out, "<p class=\"sub\">The last %d of %zu.</p>", (int)SHOWN_EVENTS, log->num_events);
    buffer_append_text(out, "<div class=\"wide\"><table>");
    for (size_t i = log->num_events; i-- > first;) {
        struct human step;
        buffer_printf(out, "<tr><td>step %s<td>", human_whole(&step, log->events[i].step));
        html_text(out, log->events[i].name);
        buffer_append_text(out, "</tr>");
    }
    buffer_append_text(out, "</table></div></section>\n");
}

static void samples(const struct metrics_log *log, struct buffer *out)
{
    size_t shown = 0;
    buffer_append_text(out, "<section class=\"full\" id=\"samples\"><h2>Samples</h2><p class=\"sub\">what the model wrote, newest first</p>");
    for (size_t i = log->num_events; i-- > 0 && shown < SHOWN_SAMPLES;) {
        struct human step;
        if (!log->events[i].text || strcmp(log->events[i].name, "sample") != 0)
            continue;
        buffer_printf(out, "<details%s><summary>step %s</summary><pre>", shown++ ? "" : " open",
                      human_whole(&step, log->events[i].step));
        html_text(out, log->events[i].text);
        buffer_append_text(out, "</pre></details>");
    }
    buffer_append_text(out, shown ? "</section>\n" : "<p>None recorded.</p></section>\n");
}

/* One row for each value below `value`, named by the keys that lead to it. */
static void settings_rows(const json_t *value, const char *name, int depth, struct buffer *out)
{
    if (json_is_object(value) && depth < DEEPEST) {
        /* jansson's iteration takes a non-const object and changes nothing in it. */
        json_t *object = (json_t *)(uintptr_t)value;
        for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
            struct buffer inner = {0};
            buffer_printf(&inner, "%s%s%s", name, *name ? "." : "", json_object_iter_key(i));
            if (inner.failed)
                out->failed = true;
            else
                settings_rows(json_object_iter_value(i), inner.data, depth + 1, out);
            buffer_release(&inner);
        }
        return;
    }
    struct buffer text = {0};
    buffer_append_text(out, "<tr><td>");
    html_text(out, name);
    buffer_append_text(out, "<td>");
    if (json_is_string(value))
        html_text(out, json_string_value(value));
    else if (json_write(value, false, &text, NULL) == STATUS_OK && text.len)
        html_text(out, text.data);
    buffer_append_text(out, "</tr>");
    buffer_release(&text);
}

enum status run_report_html(const struct run_view *view, struct buffer *out, struct error *err)
{
    html_begin(out, view->path);
    summary(view, out);
    notices(view, out);
    charts(&view->log, out);
    if (view->has_stats)
        report_spheres(out, &view->stats);
    else
        buffer_append_text(out, "<section id=\"spheres\"><h2>Spheres</h2><p>Nothing recorded yet.</p></section>\n");
    samples(&view->log, out);
    checkpoints(view, out);
    events(&view->log, out);
    buffer_append_text(out, "<section class=\"full\" id=\"settings\"><h2>Settings</h2><div class=\"wide\"><table class=\"settings\">");
    if (view->info)
        settings_rows(view->info, "", 0, out);
    buffer_append_text(out, "</table></div></section>\n");
    html_end(out);
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory for the report of %s", view->path) : STATUS_OK;
}
