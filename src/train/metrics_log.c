/* SPDX-License-Identifier: MIT */
#include "train/metrics_log.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_FILE_BYTES = 1 << 30, TOLD_DAMAGES = 8 };

struct reader {
    struct metrics_log *log;
    size_t room_steps, room_vals, room_events;
    bool no_memory;
    char why[160]; /* what is wrong with the line at hand; "" for nothing */
};

/* Room for one more of `size` bytes at the end of *items. */
static void *one_more(struct reader *r, void *items, size_t count, size_t *room, size_t size)
{
    size_t bytes, more = *room ? *room * 2 : 64;
    if (count < *room)
        return items;
    void *grown = size_mul(more, size, &bytes) ? mem_realloc(items, bytes) : NULL;
    if (grown)
        *room = more;
    else
        r->no_memory = true;
    return grown;
}

/* A number, NaN when it is null or absent; anything else is damage. */
static double get_number(struct reader *r, const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);
    if (json_is_number(value))
        return json_number_value(value);
    if (value && !json_is_null(value) && !r->why[0])
        snprintf(r->why, sizeof r->why, "\"%s\" is not a number", key);
    return NAN;
}

static uint64_t get_count(struct reader *r, const json_t *line, const char *key)
{
    const json_t *value = json_object_get(line, key);
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return (uint64_t)json_integer_value(value);
    if (!r->why[0])
        snprintf(r->why, sizeof r->why, "\"%s\" is missing or no count", key);
    return 0;
}

static void must_rise(struct reader *r, uint64_t step, uint64_t least)
{
    if (step < least && !r->why[0])
        snprintf(r->why, sizeof r->why, "step %" PRIu64 " comes where %" PRIu64 " or a later one should", step, least);
}

static void read_step(struct reader *r, const json_t *line, uint64_t step)
{
    struct metrics_log *log = r->log;
    const struct metrics_step s = {.step = step,
                                   .tokens = get_count(r, line, "tokens"),
                                   .loss = get_number(r, line, "loss"),
                                   .lr = get_number(r, line, "lr"),
                                   .grad_norm = get_number(r, line, "grad_norm"),
                                   .tokens_per_s = get_number(r, line, "tokens_per_s"),
                                   .wait_share = get_number(r, line, "wait_share"),
                                   .elapsed_s = get_number(r, line, "elapsed_s"),
                                   .peak_share = get_number(r, line, "peak_share")};
    must_rise(r, step, log->num_steps ? log->steps[log->num_steps - 1].step + 1 : 0);
    if (r->why[0])
        return;
    struct metrics_step *steps = one_more(r, log->steps, log->num_steps, &r->room_steps, sizeof *steps);
    if (!steps)
        return;
    log->steps = steps;
    steps[log->num_steps++] = s;
}

static void read_val(struct reader *r, const json_t *line, uint64_t step)
{
    struct metrics_log *log = r->log;
    const struct metrics_val v = {
        .step = step, .loss = get_number(r, line, "val_loss"), .elapsed_s = get_number(r, line, "elapsed_s")};
    must_rise(r, step, log->num_vals ? log->vals[log->num_vals - 1].step : 0);
    if (r->why[0])
        return;
    struct metrics_val *vals = one_more(r, log->vals, log->num_vals, &r->room_vals, sizeof *vals);
    if (!vals)
        return;
    log->vals = vals;
    vals[log->num_vals++] = v;
}

/* A copy in which the character 0, which samples may have, is U+FFFD. */
static char *copy_text(struct reader *r, const json_t *value)
{
    struct buffer text = {0};
    const char *from = json_string_value(value);
    for (size_t n = json_string_length(value);;) {
        const size_t plain = strnlen(from, n);
        buffer_append(&text, from, plain);
        if (plain == n)
            break;
        buffer_append_text(&text, "\xef\xbf\xbd"); /* U+FFFD */
        from += plain + 1;
        n -= plain + 1;
    }
    if (text.failed) {
        r->no_memory = true;
        buffer_release(&text);
    }
    return text.data;
}

static void read_event(struct reader *r, const json_t *line, uint64_t step)
{
    struct metrics_log *log = r->log;
    const json_t *name = json_object_get(line, "event"), *text = json_object_get(line, "text");
    if (!json_is_string(name) && !r->why[0])
        snprintf(r->why, sizeof r->why, "\"event\" is not a text");
    must_rise(r, step, log->num_events ? log->events[log->num_events - 1].step : 0);
    if (r->why[0])
        return;
    struct metrics_event *events = one_more(r, log->events, log->num_events, &r->room_events, sizeof *events);
    if (!events)
        return;
    log->events = events;
    struct metrics_event *event = &events[log->num_events++];
    *event = (struct metrics_event){.step = step, .name = copy_text(r, name)};
    if (json_is_string(text))
        event->text = copy_text(r, text);
}

static void read_line(struct reader *r, const char *bytes, size_t n)
{
    json_error_t error;
    bool no_memory;
    json_t *line = json_parse(bytes, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error, &no_memory);
    r->why[0] = 0;
    if (no_memory)
        r->no_memory = true;
    else if (!line)
        snprintf(r->why, sizeof r->why, "not valid JSON");
    else if (!json_is_object(line))
        snprintf(r->why, sizeof r->why, "not an object");
    else {
        const uint64_t step = get_count(r, line, "step");
        if (json_object_get(line, "event"))
            read_event(r, line, step);
        else if (json_object_get(line, "val_loss"))
            read_val(r, line, step);
        else if (json_object_get(line, "loss"))
            read_step(r, line, step);
        else if (!r->why[0])
            snprintf(r->why, sizeof r->why, "none of \"loss\", \"val_loss\" and \"event\" is in it");
    }
    json_decref(line);
}

enum status metrics_log_parse(const char *bytes, size_t n, const char *where, struct metrics_log *out,
                              struct error *err)
{
    struct reader r = {.log = out};
    *out = (struct metrics_log){0};
    size_t begin = 0;
    for (size_t number = 1; begin < n && !r.no_memory; number++) {
        const char *end = memchr(bytes + begin, '\n', n - begin);
        if (!end)
            break;
        const size_t len = (size_t)(end - bytes) - begin;
        read_line(&r, bytes + begin, len);
        begin += len + 1;
        if (r.why[0] && out->num_damaged++ < TOLD_DAMAGES)
            buffer_printf(&out->damage, "%s, line %zu is left out: %s\n", where, number, r.why);
    }
    out->torn = begin < n;
    if (r.no_memory || out->damage.failed) {
        metrics_log_release(out);
        return error_set(err, STATUS_NOMEM, "no memory for the metrics of %s", where);
    }
    return STATUS_OK;
}

enum status metrics_log_read(const char *path, struct metrics_log *out, struct error *err)
{
    struct buffer bytes = {0};
    *out = (struct metrics_log){0};
    if (!file_exists(path))
        return STATUS_OK;
    enum status st = file_read(path, MAX_FILE_BYTES, &bytes, err);
    if (st == STATUS_OK)
        st = metrics_log_parse(bytes.data, bytes.len, path, out, err);
    buffer_release(&bytes);
    return st;
}

void metrics_log_release(struct metrics_log *log)
{
    for (size_t i = 0; i < log->num_events; i++) {
        mem_free(log->events[i].name);
        mem_free(log->events[i].text);
    }
    mem_free(log->steps);
    mem_free(log->vals);
    mem_free(log->events);
    buffer_release(&log->damage);
    *log = (struct metrics_log){0};
}
