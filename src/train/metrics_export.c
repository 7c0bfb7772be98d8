/* SPDX-License-Identifier: MIT */
#include "train/metrics_export.h"

#include "base/crc32c.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- CSV ---- */

static void csv_number(struct buffer *out, double x)
{
    char text[40] = "";
    for (int digits = 15; digits <= 17 && isfinite(x); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    buffer_printf(out, ",%s", text);
}

static void csv_row(struct buffer *out, const struct metrics_step *s, const struct metrics_val *v)
{
    buffer_printf(out, "%" PRIu64 ",", s ? s->step : v->step);
    if (s)
        buffer_printf(out, "%" PRIu64, s->tokens);
    csv_number(out, s ? s->loss : NAN);
    csv_number(out, s ? s->lr : NAN);
    csv_number(out, s ? s->grad_norm : NAN);
    csv_number(out, v ? v->loss : NAN);
    csv_number(out, s ? s->tokens_per_s : NAN);
    csv_number(out, s ? s->wait_share : NAN);
    csv_number(out, s ? s->elapsed_s : v->elapsed_s);
    buffer_append_text(out, "\r\n");
}

void metrics_export_csv(const struct metrics_log *log, struct buffer *out)
{
    buffer_append_text(out, "step,tokens,loss,lr,grad_norm,val_loss,tokens_per_s,wait_share,elapsed_s\r\n");
    for (size_t i = 0, k = 0; i < log->num_steps || k < log->num_vals;) {
        const struct metrics_step *s = i < log->num_steps ? &log->steps[i] : NULL;
        const struct metrics_val *v = k < log->num_vals ? &log->vals[k] : NULL;
        if (s && v && s->step < v->step)
            v = NULL;
        else if (s && v && v->step < s->step)
            s = NULL;
        csv_row(out, s, v);
        i += s != NULL;
        k += v != NULL;
    }
}

/* ---- TensorBoard ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 }; /* wire types of protocol buffers */

static void little_endian(struct buffer *out, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const unsigned char byte = (unsigned char)(x >> (8 * i));
        buffer_append(out, &byte, 1);
    }
}

static void varint(struct buffer *out, uint64_t x)
{
    for (; x >= 0x80; x >>= 7)
        little_endian(out, (x & 0x7f) | 0x80, 1);
    little_endian(out, x, 1);
}

static void field(struct buffer *out, unsigned number, unsigned wire)
{
    varint(out, number << 3 | wire);
}

static void bytes_field(struct buffer *out, unsigned number, const void *bytes, size_t n)
{
    field(out, number, BYTES);
    varint(out, n);
    buffer_append(out, bytes, n);
}

/* Summary.Value {tag = 1, simple_value = 2}, appended to a Summary, whose field 1 it is. */
static void scalar(struct buffer *summary, const char *tag, double value)
{
    const float narrow = (float)value;
    struct buffer item = {0};
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    bytes_field(&item, 1, tag, strlen(tag));
    field(&item, 2, FIXED32);
    little_endian(&item, bits, 4);
    bytes_field(summary, 1, item.data, item.failed ? 0 : item.len);
    summary->failed |= item.failed;
    buffer_release(&item);
}

static void record(struct buffer *out, const struct buffer *data)
{
    const size_t begin = out->len;
    little_endian(out, data->len, 8);
    if (!out->failed)
        little_endian(out, crc32c_mask(crc32c(0, out->data + begin, 8)), 4);
    buffer_append(out, data->data, data->failed ? 0 : data->len);
    little_endian(out, crc32c_mask(crc32c(0, data->data, data->len)), 4);
    out->failed |= data->failed;
}

/* Event {wall_time = 1, step = 2, file_version = 3, summary = 5} with one of the last two. */
static void event(struct buffer *out, double time_s, uint64_t step, const char *version, const struct buffer *summary)
{
    struct buffer data = {0};
    uint64_t bits;
    memcpy(&bits, &time_s, sizeof bits);
    field(&data, 1, FIXED64);
    little_endian(&data, bits, 8);
    field(&data, 2, VARINT);
    varint(&data, step);
    if (version)
        bytes_field(&data, 3, version, strlen(version));
    else
        bytes_field(&data, 5, summary->data, summary->len);
    record(out, &data);
    buffer_release(&data);
}

void metrics_export_tensorboard(const struct metrics_log *log, double start_s, struct buffer *out)
{
    double before = 0, last = 0; /* seconds of the processes before this one; of this one */
    struct buffer summary = {0};
    event(out, start_s, 0, "brain.Event:2", NULL);
    for (size_t i = 0, k = 0; i < log->num_steps || k < log->num_vals;) {
        const struct metrics_step *s = i < log->num_steps ? &log->steps[i] : NULL;
        const struct metrics_val *v = k < log->num_vals ? &log->vals[k] : NULL;
        if (s && (!v || s->step <= v->step)) {
            v = NULL;
            i++;
        } else {
            s = NULL;
            k++;
        }
        const double elapsed = s ? s->elapsed_s : v->elapsed_s;
        if (elapsed < last)
            before += last;
        if (isfinite(elapsed))
            last = elapsed;
        buffer_clear(&summary);
        if (s) {
            scalar(&summary, "train/loss", s->loss);
            scalar(&summary, "train/lr", s->lr);
            scalar(&summary, "train/grad_norm", s->grad_norm);
            scalar(&summary, "train/tokens_per_s", s->tokens_per_s);
            scalar(&summary, "train/wait_share", s->wait_share);
        } else {
            scalar(&summary, "validation/loss", v->loss);
        }
        out->failed |= summary.failed;
        event(out, start_s + before + last, s ? s->step : v->step, NULL, &summary);
    }
    buffer_release(&summary);
}
