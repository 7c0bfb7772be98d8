/* SPDX-License-Identifier: MIT */
#include "train/run_compare.h"

#include "base/human.h"
#include "train/report_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 8 };

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static bool same_bits(double a, double b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* ---- results ---- */

struct difference {
    uint64_t step;
    const char *key; /* NULL: none */
    double a, b;
};

static void found(struct difference *d, uint64_t step, const char *key, double a, double b)
{
    if (!d->key || step < d->step)
        *d = (struct difference){step, key, a, b};
}

static void compare_steps(const struct metrics_log *a, const struct metrics_log *b, struct difference *d)
{
    for (size_t i = 0; i < a->num_steps || i < b->num_steps; i++) {
        const struct metrics_step *x = i < a->num_steps ? &a->steps[i] : NULL, *y = i < b->num_steps ? &b->steps[i] : NULL;
        if (!x || !y || x->step != y->step) {
            found(d, x && (!y || x->step < y->step) ? x->step : y->step, "steps", NAN, NAN);
            return;
        }
#define COMPARE(field)                                                                                                 \
    if (!same_bits(x->field, y->field)) {                                                                              \
        found(d, x->step, #field, x->field, y->field);                                                                 \
        return;                                                                                                        \
    }
        COMPARE(loss)
        COMPARE(lr)
        COMPARE(grad_norm)
#undef COMPARE
    }
}

static void compare_vals(const struct metrics_log *a, const struct metrics_log *b, struct difference *d)
{
    for (size_t i = 0; i < a->num_vals || i < b->num_vals; i++) {
        const struct metrics_val *x = i < a->num_vals ? &a->vals[i] : NULL, *y = i < b->num_vals ? &b->vals[i] : NULL;
        if (!x || !y || x->step != y->step) {
            found(d, x && (!y || x->step < y->step) ? x->step : y->step, "evaluations", NAN, NAN);
            return;
        }
        if (!same_bits(x->loss, y->loss)) {
            found(d, x->step, "val_loss", x->loss, y->loss);
            return;
        }
    }
}

/* ---- settings ---- */

static bool is_tree(const json_t *x, int depth)
{
    return json_is_object(x) && depth < DEEPEST;
}

static void compare_settings(const json_t *a, const json_t *b, const char *name, int depth, json_t *list);

static void compare_keys(const json_t *a, const json_t *b, const char *name, int depth, bool only_new, json_t *list)
{
    /* jansson's iteration takes a non-const object and changes nothing in it. */
    json_t *of = (json_t *)(uintptr_t)(only_new ? b : a);
    for (void *i = json_object_iter(of); i; i = json_object_iter_next(of, i)) {
        const char *key = json_object_iter_key(i);
        struct buffer inner = {0};
        if (only_new && json_object_get(a, key))
            continue;
        buffer_printf(&inner, "%s%s%s", name, *name ? "." : "", key);
        if (!inner.failed)
            compare_settings(json_object_get(a, key), json_object_get(b, key), inner.data, depth + 1, list);
        buffer_release(&inner);
    }
}

static void compare_settings(const json_t *a, const json_t *b, const char *name, int depth, json_t *list)
{
    if (is_tree(a, depth) || is_tree(b, depth)) {
        compare_keys(a, b, name, depth, false, list);
        compare_keys(a, b, name, depth, true, list);
    } else if (!a || !b || !json_equal(a, b)) {
        json_array_append_new(list, json_pack("{s:s, s:O?, s:O?}", "key", name, "a", a, "b", b));
    }
}

static json_t *final_of(const struct metrics_log *log)
{
    const struct metrics_step *s = log->num_steps ? &log->steps[log->num_steps - 1] : NULL;
    return json_pack("{s:I, s:o, s:o}", "step", (json_int_t)(s ? s->step : 0), "loss", number(s ? s->loss : NAN), "val_loss",
                     number(log->num_vals ? log->vals[log->num_vals - 1].loss : NAN));
}

json_t *run_compare(const struct run_view *a, const struct run_view *b)
{
    struct difference d = {0};
    compare_steps(&a->log, &b->log, &d);
    compare_vals(&a->log, &b->log, &d);
    json_t *settings = json_array();
    compare_settings(a->info, b->info, "", 0, settings);
    json_t *first = d.key ? json_pack("{s:I, s:s, s:o, s:o}", "step", (json_int_t)d.step, "key", d.key, "a", number(d.a), "b",
                                      number(d.b))
                          : json_null();
    return json_pack("{s:s, s:s, s:b, s:o, s:o, s:{s:o, s:o}}", "a", a->path, "b", b->path, "same", !d.key,
                     "first_difference", first, "settings", settings, "final", "a", final_of(&a->log), "b", final_of(&b->log));
}

/* ---- for people ---- */

/* A value of any kind in a line; "none" for what is absent. */
static void value_text(const json_t *value, struct buffer *out)
{
    if (!value || json_is_null(value))
        buffer_append_text(out, "none");
    else if (json_write(value, false, out, NULL) != STATUS_OK)
        out->failed = true;
}

static void final_text(const json_t *run, const char *name, struct buffer *out)
{
    struct human step;
    buffer_printf(out, "%s: step %s, loss ", name, human_whole(&step, (uint64_t)json_integer_value(json_object_get(run, "step"))));
    value_text(json_object_get(run, "loss"), out);
    buffer_append_text(out, ", validation loss ");
    value_text(json_object_get(run, "val_loss"), out);
    buffer_append_text(out, "\n");
}

enum status run_compare_text(const json_t *result, struct buffer *out, struct error *err)
{
    const json_t *first = json_object_get(result, "first_difference"), *settings = json_object_get(result, "settings");
    const json_t *last = json_object_get(result, "final");
    if (json_is_object(first)) {
        const char *key = json_string_value(json_object_get(first, "key"));
        const json_int_t step = json_integer_value(json_object_get(first, "step"));
        if (strcmp(key, "steps") == 0 || strcmp(key, "evaluations") == 0)
            buffer_printf(out, "the runs differ: of step %" JSON_INTEGER_FORMAT " only one has its %s\n", step,
                          strcmp(key, "steps") == 0 ? "line" : "evaluation");
        else {
            buffer_printf(out, "the runs differ from step %" JSON_INTEGER_FORMAT " on: %s is ", step, key);
            value_text(json_object_get(first, "a"), out);
            buffer_append_text(out, " and ");
            value_text(json_object_get(first, "b"), out);
            buffer_append_text(out, "\n");
        }
    } else {
        buffer_append_text(out, "the runs are the same, bit by bit: loss, lr, grad_norm and val_loss of every step\n");
    }
    final_text(json_object_get(last, "a"), "A", out);
    final_text(json_object_get(last, "b"), "B", out);
    buffer_append_text(out, json_array_size(settings) ? "what run.json says otherwise:\n" : "run.json says the same in both\n");
    for (size_t i = 0; i < json_array_size(settings); i++) {
        const json_t *item = json_array_get(settings, i);
        buffer_printf(out, "  %s: ", json_string_value(json_object_get(item, "key")));
        value_text(json_object_get(item, "a"), out);
        buffer_append_text(out, ", ");
        value_text(json_object_get(item, "b"), out);
        buffer_append_text(out, "\n");
    }
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory for the comparison") : STATUS_OK;
}

static void both(struct buffer *out, const char *id, const char *title, const char *unit, const struct run_view *a,
                 const struct run_view *b, size_t offset, bool from_zero)
{
    const size_t size = sizeof *a->log.steps, step = offsetof(struct metrics_step, step);
    const struct curve curves[] = {{a->path, "a", a->log.steps, a->log.num_steps, size, step, offset, 1},
                                   {b->path, "b", b->log.steps, b->log.num_steps, size, step, offset, 1}};
    report_chart(out, id, title, unit, curves, 2, from_zero);
}

enum status run_compare_html(const struct run_view *a, const struct run_view *b, const json_t *result, struct buffer *out,
                             struct error *err)
{
    const struct curve vals[] = {{a->path, "a", a->log.vals, a->log.num_vals, sizeof *a->log.vals,
                                  offsetof(struct metrics_val, step), offsetof(struct metrics_val, loss), 1},
                                 {b->path, "b", b->log.vals, b->log.num_vals, sizeof *b->log.vals,
                                  offsetof(struct metrics_val, step), offsetof(struct metrics_val, loss), 1}};
    struct buffer text = {0};
    enum status st = run_compare_text(result, &text, err);
    if (st == STATUS_OK) {
        html_begin(out, "Two runs compared");
        buffer_append_text(out, "<header class=\"full\" id=\"summary\"><h1>");
        html_text(out, a->path);
        buffer_append_text(out, " and ");
        html_text(out, b->path);
        buffer_append_text(out, "</h1><pre>");
        html_text(out, text.data);
        html_text(out, a->notices.len ? a->notices.data : "");
        html_text(out, b->notices.len ? b->notices.data : "");
        buffer_append_text(out, "</pre></header>\n");
        both(out, "loss", "Loss", "nats per token", a, b, offsetof(struct metrics_step, loss), false);
        report_chart(out, "validation", "Validation loss", "nats per token", vals, 2, false);
        both(out, "grad-norm", "Gradient norm", "before clipping", a, b, offsetof(struct metrics_step, grad_norm), false);
        both(out, "lr", "Learning rate", "of each step", a, b, offsetof(struct metrics_step, lr), true);
        both(out, "speed", "Speed", "tokens/s", a, b, offsetof(struct metrics_step, tokens_per_s), true);
        html_end(out);
        if (out->failed)
            st = error_set(err, STATUS_NOMEM, "no memory for the page");
    }
    buffer_release(&text);
    return st;
}
