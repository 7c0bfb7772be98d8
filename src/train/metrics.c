/* SPDX-License-Identifier: MIT */
#include "train/metrics.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAITING_BYTES_MAX = 64 << 20 };

struct metrics {
    int fd;
    bool has_val;
    double elapsed_s; /* of the lines that were there */
    char *path;
    struct buffer line;
    struct buffer waiting; /* lines that found no room */
};

/* Every line we write begins so; the number follows. */
static const char line_begin[] = "{\"step\": ";

/* What there is of a file up to some step. */
struct past {
    size_t size_bytes;
    bool has_val;     /* the validation loss of that step is among it */
    double elapsed_s; /* summed over sessions where each counted its own time anew, as runs once did */
};

/* The line's time; it ends in a newline, so that no digit lies beyond.  False: it has none. */
static bool line_elapsed(const unsigned char *line, size_t size, double *out)
{
    static const char key[] = ", \"elapsed_s\": ";
    const char *at = memmem(line, size, key, sizeof key - 1);
    if (!at)
        return false;
    char *end;
    *out = strtod(at + sizeof key - 1, &end);
    return end != at + sizeof key - 1 && isfinite(*out) && *out >= 0;
}

static struct past past_up_to(const unsigned char *data, size_t size, uint64_t step)
{
    static const char val[] = ", \"val_loss\": ";
    struct past past = {0};
    double last = 0, elapsed;
    size_t begin = 0;
    while (begin < size) {
        const unsigned char *end = memchr(data + begin, '\n', size - begin);
        if (!end)
            break; /* torn */
        size_t next = (size_t)(end - data) + 1;
        if (next - begin > sizeof line_begin && memcmp(data + begin, line_begin, sizeof line_begin - 1) == 0) {
            uint64_t n = 0;
            for (const unsigned char *p = data + begin + sizeof line_begin - 1; *p >= '0' && *p <= '9'; p++)
                n = n > UINT64_MAX / 10 - 1 ? UINT64_MAX - 10 : n * 10 + (uint64_t)(*p - '0');
            if (n > step)
                break;
            past.has_val = past.has_val || (n == step && memmem(data + begin, next - begin, val, sizeof val - 1));
            if (line_elapsed(data + begin, next - begin, &elapsed)) {
                past.elapsed_s += elapsed < last ? elapsed : elapsed - last;
                last = elapsed;
            }
        }
        begin = next;
    }
    past.size_bytes = begin;
    return past;
}

static enum status cut(int fd, const char *path, uint64_t step, struct past *past, struct error *err)
{
    struct file_map map;
    enum status st = file_map_open(&map, path, err);
    if (st != STATUS_OK)
        return st;
    *past = past_up_to(map.data, map.size_bytes, step);
    bool shorter = past->size_bytes < map.size_bytes;
    file_map_close(&map);
    return shorter ? file_cut(fd, path, past->size_bytes, err) : STATUS_OK;
}

struct metrics *metrics_open(const char *path, uint64_t step, struct error *err)
{
    struct metrics *m = mem_calloc(1, sizeof *m);
    if (m)
        m->path = mem_strdup(path);
    if (!m || !m->path) {
        error_set(err, STATUS_NOMEM, "out of memory for %s", path);
        mem_free(m);
        return NULL;
    }
    do
        m->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    while (m->fd < 0 && errno == EINTR);
    if (m->fd < 0)
        error_set(err, STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    struct past past = {0};
    if (m->fd < 0 || cut(m->fd, path, step, &past, err) != STATUS_OK) {
        metrics_close(m);
        return NULL;
    }
    m->has_val = past.has_val;
    m->elapsed_s = past.elapsed_s;
    return m;
}

enum status metrics_cut(struct metrics *m, uint64_t step, struct error *err)
{
    struct past past = {0};
    enum status st = metrics_flush(m, err);
    if (st == STATUS_OK)
        st = cut(m->fd, m->path, step, &past, err);
    m->has_val = past.has_val;
    return st;
}

enum status metrics_set_aside(struct metrics *m, uint64_t step, const char *path, struct error *err)
{
    struct file_map map;
    enum status st = metrics_flush(m, err);
    if (st == STATUS_OK)
        st = file_map_open(&map, m->path, err);
    if (st != STATUS_OK)
        return st;
    const size_t begin = past_up_to(map.data, map.size_bytes, step).size_bytes;
    st = file_replace(path, map.size_bytes > begin ? (const char *)map.data + begin : "", map.size_bytes - begin, err);
    file_map_close(&map);
    return st;
}

const char *metrics_path(const struct metrics *m)
{
    return m->path;
}

bool metrics_has_val(const struct metrics *m)
{
    return m->has_val;
}

double metrics_elapsed_s(const struct metrics *m)
{
    return m->elapsed_s;
}

void metrics_close(struct metrics *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    buffer_release(&m->line);
    buffer_release(&m->waiting);
    mem_free(m->path);
    mem_free(m);
}

enum status metrics_flush(struct metrics *m, struct error *err)
{
    if (m->waiting.len == 0)
        return STATUS_OK;
    const enum status st = file_append_line(m->fd, m->path, m->waiting.data, m->waiting.len, err);
    if (st == STATUS_OK)
        buffer_release(&m->waiting);
    return st;
}

size_t metrics_waiting(const struct metrics *m)
{
    return m->waiting.len;
}

static void append_number(struct buffer *line, const char *key, double x)
{
    char text[40];
    if (!isfinite(x)) {
        buffer_printf(line, ", \"%s\": null", key);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) { /* %g drops the zeros that 15 has too many */
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    buffer_printf(line, ", \"%s\": %s%s", key, text, strpbrk(text, ".e") ? "" : ".0");
}

static void begin_line(struct metrics *m, uint64_t step)
{
    buffer_clear(&m->line);
    buffer_printf(&m->line, "%s%" PRIu64, line_begin, step);
}

static enum status end_line(struct metrics *m, struct error *err)
{
    buffer_append_text(&m->line, "}\n");
    if (m->line.failed) {
        buffer_release(&m->line);
        return error_set(err, STATUS_NOMEM, "out of memory for a line of %s", m->path);
    }
    if (m->waiting.len == 0) {
        const enum status st = file_append_line(m->fd, m->path, m->line.data, m->line.len, err);
        if (st == STATUS_OK || (errno != ENOSPC && errno != EDQUOT))
            return st;
    }
    if (m->waiting.len + m->line.len > WAITING_BYTES_MAX)
        return error_set(err, STATUS_IO, "%s: the disk is full, and %d MiB of lines wait for room", m->path,
                         WAITING_BYTES_MAX >> 20);
    buffer_append(&m->waiting, m->line.data, m->line.len);
    if (m->waiting.failed)
        return error_set(err, STATUS_NOMEM, "no memory for the lines of %s that wait for room on the disk", m->path);
    struct error why;
    return metrics_flush(m, &why) == STATUS_OK || errno == ENOSPC || errno == EDQUOT
               ? STATUS_OK
               : error_set(err, STATUS_IO, "%s", why.text);
}

enum status metrics_write_step(struct metrics *m, const struct metrics_step *s, struct error *err)
{
    begin_line(m, s->step);
    buffer_printf(&m->line, ", \"tokens\": %" PRIu64, s->tokens);
    append_number(&m->line, "loss", s->loss);
    append_number(&m->line, "lr", s->lr);
    append_number(&m->line, "grad_norm", s->grad_norm);
    append_number(&m->line, "tokens_per_s", s->tokens_per_s);
    append_number(&m->line, "wait_share", s->wait_share);
    if (s->peak_share > 0)
        append_number(&m->line, "peak_share", s->peak_share);
    append_number(&m->line, "elapsed_s", s->elapsed_s);
    return end_line(m, err);
}

enum status metrics_write_val(struct metrics *m, uint64_t step, double val_loss, double elapsed_s, struct error *err)
{
    begin_line(m, step);
    append_number(&m->line, "val_loss", val_loss);
    append_number(&m->line, "elapsed_s", elapsed_s);
    return end_line(m, err);
}

/* The value as one line of JSON; false when it has none (an invalid string, no memory). */
static bool append_value(struct buffer *line, const char *key, const json_t *value)
{
    json_t *name = json_string(key);
    char *key_text = json_dumps(name, JSON_ENCODE_ANY), *text = json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);
    bool ok = key_text && text;
    if (ok && json_is_real(value)) /* jansson would write 0.1 with 17 digits */
        append_number(line, key, json_real_value(value));
    else if (ok)
        buffer_printf(line, ", %s: %s", key_text, text);
    mem_free(key_text); /* of malloc, or of mem_alloc where the program set that */
    mem_free(text);
    json_decref(name);
    return ok;
}

enum status metrics_write_event(struct metrics *m, uint64_t step, const char *event, const json_t *more,
                                struct error *err)
{
    begin_line(m, step);
    json_t *name = json_string(event);
    bool ok = append_value(&m->line, "event", name);
    json_decref(name);
    /* jansson's iteration takes a non-const object and changes nothing in it. */
    for (void *i = json_object_iter((json_t *)(uintptr_t)more); i && ok;
         i = json_object_iter_next((json_t *)(uintptr_t)more, i))
        ok = append_value(&m->line, json_object_iter_key(i), json_object_iter_value(i));
    if (!ok)
        return error_set(err, STATUS_MISUSE, "the event \"%s\" cannot be written as JSON", event);
    return end_line(m, err);
}

enum status metrics_sync(struct metrics *m, struct error *err)
{
    const enum status st = metrics_flush(m, err);
    return st == STATUS_OK ? metrics_sync_written(m, err) : st;
}

enum status metrics_sync_written(const struct metrics *m, struct error *err)
{
    int rc;
    do
        rc = fdatasync(m->fd);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return error_set(err, STATUS_IO, "cannot sync %s: %s", m->path, strerror(errno));
    return STATUS_OK;
}
