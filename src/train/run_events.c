/* SPDX-License-Identifier: MIT */
#include "train/run_events.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE_BYTES = 1 << 30 };

/* A kind's name and the keys that its line must have. */
static const struct kind {
    const char *name;
    bool factor;
} kinds[] = {
    [RUN_EVENT_LR] = {"lr", .factor = true},
};
enum { NUM_KINDS = sizeof kinds / sizeof kinds[0] };

void run_event_text(const struct run_event *e, struct buffer *out)
{
    buffer_printf(out, "%s", kinds[e->kind].name);
    if (kinds[e->kind].factor)
        buffer_printf(out, " %g", e->factor);
    buffer_printf(out, " from step %" PRIu64, e->step + 1);
}

/* ---- lists ---- */

enum status run_events_add(struct run_events *list, const struct run_event *event, struct error *err)
{
    if (list->n == list->room) {
        size_t more = list->room ? list->room * 2 : 16, bytes;
        struct run_event *grown = size_mul(more, sizeof *grown, &bytes) ? mem_realloc(list->items, bytes) : NULL;
        if (!grown)
            return error_set(err, STATUS_NOMEM, "no memory for the events of a run");
        list->items = grown;
        list->room = more;
    }
    size_t at = list->n++;
    for (; at > 0 && list->items[at - 1].step > event->step; at--)
        list->items[at] = list->items[at - 1];
    list->items[at] = *event;
    return STATUS_OK;
}

void run_events_release(struct run_events *list)
{
    mem_free(list->items);
    *list = (struct run_events){0};
}

static bool same(const struct run_event *a, const struct run_event *b)
{
    return a->step == b->step && a->kind == b->kind && memcmp(&a->factor, &b->factor, sizeof a->factor) == 0 &&
           a->rollbacks == b->rollbacks;
}

/* The end of the lines of one step, which begin at `begin`. */
static size_t same_step(const struct run_events *list, size_t begin)
{
    size_t end = begin;
    while (end < list->n && list->items[end].step == list->items[begin].step)
        end++;
    return end;
}

enum status run_events_merge(const struct run_events *metrics, const struct run_events *waiting, struct run_events *out,
                             struct error *err)
{
    enum status st = STATUS_OK;
    size_t m = 0, w = 0;
    while (st == STATUS_OK && (m < metrics->n || w < waiting->n)) {
        const uint64_t of_m = m < metrics->n ? metrics->items[m].step : UINT64_MAX;
        const uint64_t of_w = w < waiting->n ? waiting->items[w].step : UINT64_MAX;
        const size_t m_end = of_m <= of_w && m < metrics->n ? same_step(metrics, m) : m;
        const size_t w_end = of_w <= of_m && w < waiting->n ? same_step(waiting, w) : w;
        bool recorded = true; /* the metrics' are the first of those that waited */
        for (size_t i = 0; i < m_end - m; i++)
            recorded = recorded && i < w_end - w && same(&metrics->items[m + i], &waiting->items[w + i]);
        const struct run_events *from = recorded ? waiting : metrics;
        for (size_t i = recorded ? w : m, end = recorded ? w_end : m_end; i < end && st == STATUS_OK; i++)
            st = run_events_add(out, &from->items[i], err);
        m = m_end;
        w = w_end;
    }
    return st;
}

/* ---- reading ---- */

static enum status read_fields(const json_t *line, const struct kind *kind, struct run_event *e, const char *where,
                               struct error *err)
{
    enum status st = json_get_u64(line, "step", true, INT64_MAX - 1, &e->step, where, err);
    if (st == STATUS_OK && kind->factor)
        st = json_get_double(line, "factor", true, &e->factor, where, err);
    if (st == STATUS_OK && kind->factor && !(e->factor >= 0 && e->factor <= RUN_EVENT_MAX_FACTOR))
        st = error_set(err, STATUS_FORMAT, "%s: \"factor\" is %g, and must be from 0 to %g", where, e->factor,
                       RUN_EVENT_MAX_FACTOR);
    if (st == STATUS_OK)
        st = json_get_u64(line, "rollbacks", false, INT64_MAX, &e->rollbacks, where, err);
    return st;
}

static void damaged(struct run_events *out, const char *where, const char *why)
{
    if (out->num_damaged++ == 0)
        snprintf(out->damage, sizeof out->damage, "%.180s: %s", where, why);
}

static enum status read_line(const char *bytes, size_t n, const char *where, struct run_events *out, struct error *err)
{
    static const char begin[] = "{\"step\":", event_key[] = "\"event\"";
    if (n < sizeof begin || memcmp(bytes, begin, sizeof begin - 1) != 0 || bytes[n - 1] != '}') {
        damaged(out, where, "is no line of a run's metrics");
        return STATUS_OK;
    }
    if (!memmem(bytes, n, event_key, sizeof event_key - 1))
        return STATUS_OK;
    json_error_t why;
    bool no_memory;
    json_t *line = json_parse(bytes, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why, &no_memory);
    const char *name = json_string_value(json_object_get(line, "event"));
    enum status st = STATUS_OK;
    if (no_memory)
        st = error_set(err, STATUS_NOMEM, "no memory for a line of %s", where);
    else if (!line)
        damaged(out, where, "is not valid JSON");
    for (size_t k = 0; name && k < NUM_KINDS && st == STATUS_OK; k++) {
        struct run_event event = {.kind = (enum run_event_kind)k};
        if (strcmp(name, kinds[k].name) != 0)
            continue;
        st = read_fields(line, &kinds[k], &event, where, err);
        if (st == STATUS_OK)
            st = run_events_add(out, &event, err);
    }
    json_decref(line);
    return st;
}

enum status run_events_parse(const char *bytes, size_t n, const char *where, struct run_events *out, struct error *err)
{
    enum status st = STATUS_OK;
    *out = (struct run_events){0};
    size_t number = 1;
    for (size_t begin = 0; begin < n && st == STATUS_OK; number++) {
        const char *end = memchr(bytes + begin, '\n', n - begin);
        if (!end)
            break; /* torn */
        const size_t len = (size_t)(end - bytes) - begin;
        char place[512];
        snprintf(place, sizeof place, "%.480s, line %zu", where, number);
        st = read_line(bytes + begin, len, place, out, err);
        begin += len + 1;
    }
    if (st != STATUS_OK)
        run_events_release(out);
    return st;
}

enum status run_events_read(const char *path, struct run_events *out, struct error *err)
{
    struct buffer bytes = {0};
    *out = (struct run_events){0};
    if (!file_exists(path))
        return STATUS_OK;
    enum status st = file_read(path, MAX_FILE_BYTES, &bytes, err);
    if (st == STATUS_OK)
        st = run_events_parse(bytes.data, bytes.len, path, out, err);
    buffer_release(&bytes);
    return st;
}

/* ---- writing ---- */

/* Its keys but "step" and "event"; NULL: no memory. */
static json_t *more_of(const struct run_event *e)
{
    const struct kind *kind = &kinds[e->kind];
    json_t *more = json_object();
    bool ok = more != NULL;
    if (kind->factor)
        ok = ok && json_object_set_new(more, "factor", json_real(e->factor)) == 0;
    if (e->rollbacks)
        ok = ok && json_object_set_new(more, "rollbacks", json_integer((json_int_t)e->rollbacks)) == 0;
    if (!ok) {
        json_decref(more);
        more = NULL;
    }
    return more;
}

enum status run_event_record(struct metrics *metrics, const struct run_event *event, struct error *err)
{
    enum status st = metrics_flush(metrics, err); /* before, as a line that waits cannot be taken back */
    if (st != STATUS_OK)
        return st;
    json_t *more = more_of(event);
    st = more ? metrics_write_event(metrics, event->step, kinds[event->kind].name, more, err)
              : error_set(err, STATUS_NOMEM, "no memory for an event of the run");
    json_decref(more);
    if (st != STATUS_OK || metrics_sync(metrics, err) == STATUS_OK || metrics_waiting(metrics) > 0)
        return st;
    return STATUS_SYSTEM;
}

/* A path in the run; "" when memory ran out, which no file has. */
static const char *in_run(struct buffer *path, const char *run, const char *name)
{
    const char *text = path_join(path, run, name);
    return path->failed ? "" : text;
}

static enum status write_waiting(const char *run, const struct run_events *waiting, struct error *err)
{
    if (waiting->n == 0)
        return run_events_done(run, err);
    struct buffer path = {0}, text = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < waiting->n && st == STATUS_OK; i++) {
        const struct run_event *e = &waiting->items[i];
        json_t *line = json_pack("{s:I, s:s}", "step", (json_int_t)e->step, "event", kinds[e->kind].name),
               *more = more_of(e);
        if (!line || !more || json_object_update(line, more) != 0)
            st = error_set(err, STATUS_NOMEM, "no memory for the events of a run");
        else
            st = json_write(line, false, &text, err);
        buffer_append_text(&text, "\n");
        json_decref(line);
        json_decref(more);
    }
    if (st == STATUS_OK && text.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for the events of a run");
    if (st == STATUS_OK)
        st = file_replace(in_run(&path, run, "replay.jsonl"), text.data, text.len, err);
    buffer_release(&path);
    buffer_release(&text);
    return st;
}

enum status run_events_done(const char *run, struct error *err)
{
    struct buffer path = {0};
    const char *file = in_run(&path, run, "replay.jsonl");
    enum status st = STATUS_OK;
    if (*file && unlink(file) != 0 && errno != ENOENT)
        st = error_set(err, STATUS_IO, "cannot remove %s: %s", file, strerror(errno));
    buffer_release(&path);
    return st;
}

/* ---- resuming, replaying ---- */

/* What the two files of a run hold together. */
static enum status read_both(const char *run, struct run_events *metrics, struct run_events *all, struct error *err)
{
    struct run_events waiting = {0};
    struct buffer path = {0};
    enum status st = run_events_read(in_run(&path, run, "metrics.jsonl"), metrics, err);
    if (st == STATUS_OK)
        st = run_events_read(in_run(&path, run, "replay.jsonl"), &waiting, err);
    if (st == STATUS_OK)
        st = run_events_merge(metrics, &waiting, all, err);
    run_events_release(&waiting);
    buffer_release(&path);
    return st;
}

enum status run_events_keep(const char *run, struct error *err)
{
    struct run_events metrics = {0}, all = {0};
    enum status st = read_both(run, &metrics, &all, err);
    if (st == STATUS_OK)
        st = write_waiting(run, &all, err);
    run_events_release(&metrics);
    run_events_release(&all);
    return st;
}

enum status run_events_resume(const char *run, uint64_t step, uint64_t rollbacks, struct run_events *now,
                              struct run_events *waiting, struct buffer *warning, struct error *err)
{
    struct run_events metrics = {0}, all = {0};
    *now = *waiting = (struct run_events){0};
    enum status st = read_both(run, &metrics, &all, err);
    if (metrics.num_damaged)
        buffer_printf(warning, "%s%s; if it was a change of the run's settings, it is lost\n", metrics.damage,
                      metrics.num_damaged > 1 ? ", and others after it" : "");
    for (size_t i = 0, kept = 0; i < all.n && st == STATUS_OK; i++) {
        const struct run_event *e = &all.items[i];
        if (e->rollbacks > rollbacks) { /* its time comes after a rollback, to a step before this one perhaps */
            st = run_events_add(waiting, e, err);
            continue;
        }
        if (e->step < step)
            continue; /* the checkpoint has it */
        /* A line of the metrics that stays: those of this step come first, in the metrics' order. */
        while (kept < metrics.n && metrics.items[kept].step < step)
            kept++;
        if (e->step == step && kept < metrics.n && same(e, &metrics.items[kept])) {
            kept++;
            st = run_events_add(now, e, err);
        } else {
            st = run_events_add(waiting, e, err);
        }
    }
    if (st == STATUS_OK)
        st = write_waiting(run, waiting, err);
    run_events_release(&metrics);
    run_events_release(&all);
    return st;
}

enum status run_events_replay(const char *of, const char *run, struct run_events *waiting, struct error *err)
{
    struct run_events metrics = {0};
    *waiting = (struct run_events){0};
    enum status st = read_both(of, &metrics, waiting, err);
    if (st == STATUS_OK && metrics.num_damaged)
        st = error_set(err, STATUS_FORMAT, "%s; what it held is not known, so the run cannot be replayed",
                       metrics.damage);
    if (st == STATUS_OK)
        st = write_waiting(run, waiting, err);
    run_events_release(&metrics);
    return st;
}
