/* SPDX-License-Identifier: MIT
 * gguf_write.c - keys and tensor list are gathered in memory, the tensors are asked for row by row as they are written.
 */
#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "formats/gguf.h"

#include <string.h>

enum { GGUF_VERSION = 3, PIECE_ELEMENTS = 1 << 18 };

struct planned {
    char name[GGUF_NAME_BYTES];
    size_t rows, cols;
    enum tensor_type type;
    size_t row_bytes;
};

struct gguf_writer {
    struct buffer keys, infos, tensors; /* tensors: struct planned each */
    uint64_t num_keys, num_tensors, data_bytes;
    uint64_t items_owed; /* of the array begun last */
};

struct gguf_writer *gguf_writer_new(struct error *err)
{
    struct gguf_writer *w = mem_calloc(1, sizeof *w);
    if (!w)
        error_set(err, STATUS_NOMEM, "no memory for the head of a GGUF file");
    return w;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w)
        return;
    buffer_release(&w->keys);
    buffer_release(&w->infos);
    buffer_release(&w->tensors);
    mem_free(w);
}

static void put_u32(struct buffer *out, uint32_t x)
{
    buffer_append(out, &x, sizeof x);
}

static void put_u64(struct buffer *out, uint64_t x)
{
    buffer_append(out, &x, sizeof x);
}

static void put_text(struct buffer *out, const char *bytes, size_t len)
{
    put_u64(out, len);
    buffer_append(out, bytes, len);
}

static void begin_key(struct gguf_writer *w, const char *key, enum gguf_type type)
{
    CHECK(w->items_owed == 0);
    put_text(&w->keys, key, strlen(key));
    put_u32(&w->keys, type);
    w->num_keys++;
}

void gguf_set_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    begin_key(w, key, GGUF_U32);
    put_u32(&w->keys, value);
}

void gguf_set_float(struct gguf_writer *w, const char *key, float value)
{
    begin_key(w, key, GGUF_F32);
    buffer_append(&w->keys, &value, sizeof value);
}

void gguf_set_bool(struct gguf_writer *w, const char *key, bool value)
{
    begin_key(w, key, GGUF_BOOL);
    buffer_append(&w->keys, value ? "\1" : "\0", 1);
}

void gguf_set_text(struct gguf_writer *w, const char *key, const char *value, size_t len)
{
    begin_key(w, key, GGUF_STRING);
    put_text(&w->keys, value, len);
}

void gguf_set_array(struct gguf_writer *w, const char *key, enum gguf_type item, uint64_t count)
{
    begin_key(w, key, GGUF_ARRAY);
    put_u32(&w->keys, item);
    put_u64(&w->keys, count);
    w->items_owed = count;
}

static void item(struct gguf_writer *w, const void *bytes, size_t n)
{
    CHECK(w->items_owed > 0);
    w->items_owed--;
    buffer_append(&w->keys, bytes, n);
}

void gguf_item_text(struct gguf_writer *w, const char *bytes, size_t len)
{
    const uint64_t n = len;
    item(w, &n, sizeof n);
    buffer_append(&w->keys, bytes, len);
}

void gguf_item_i32(struct gguf_writer *w, int32_t value)
{
    item(w, &value, sizeof value);
}

void gguf_item_float(struct gguf_writer *w, float value)
{
    item(w, &value, sizeof value);
}

static uint64_t padded(uint64_t bytes)
{
    return (bytes + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
}

enum status gguf_add_tensor(struct gguf_writer *w, const char *name, size_t rank, const uint64_t *shape,
                            enum tensor_type type, struct error *err)
{
    static const uint32_t ids[NUM_TENSOR_TYPES] = {
        [TENSOR_F32] = 0, [TENSOR_F16] = 1, [TENSOR_BF16] = 30, [TENSOR_Q8_0] = 8};
    struct planned t = {.type = type, .rows = 1, .cols = (size_t)shape[0]};
    CHECK(rank >= 1 && rank <= GGUF_MAX_RANK);
    if (strlen(name) >= sizeof t.name)
        return error_set(err, STATUS_CONFIG, "the tensor name \"%s\" is longer than GGUF's %d bytes", name,
                         (int)GGUF_NAME_BYTES - 1);
    strcpy(t.name, name);
    size_t bytes;
    bool fits = true;
    for (size_t d = 1; d < rank && fits; d++)
        fits = size_mul(t.rows, (size_t)shape[d], &t.rows);
    if (!fits || !tensor_type_bytes(type, t.cols, &t.row_bytes) || !size_mul(t.row_bytes, t.rows, &bytes) ||
        bytes > INT64_MAX / 2 - w->data_bytes)
        return error_set(err, STATUS_CONFIG, "tensor \"%s\": rows of %zu elements cannot be %s", name, t.cols,
                         tensor_type_name(type));
    put_text(&w->infos, name, strlen(name));
    put_u32(&w->infos, (uint32_t)rank);
    for (size_t d = 0; d < rank; d++)
        put_u64(&w->infos, shape[d]);
    put_u32(&w->infos, ids[type]);
    put_u64(&w->infos, w->data_bytes);
    buffer_append(&w->tensors, &t, sizeof t);
    w->data_bytes += padded(bytes);
    w->num_tensors++;
    return STATUS_OK;
}

static void pad(struct file_writer *out, uint64_t written)
{
    static const char zeros[GGUF_ALIGNMENT] = {0};
    file_writer_write(out, zeros, (size_t)(padded(written) - written));
}

static enum status write_tensor(struct file_writer *out, const struct planned *t, size_t index, gguf_rows_fn *rows,
                                void *ctx, struct error *err)
{
    const size_t step = t->cols < PIECE_ELEMENTS ? PIECE_ELEMENTS / t->cols : 1;
    const size_t most = step < t->rows ? step : t->rows;
    float *values = mem_calloc(most * t->cols, sizeof *values);
    unsigned char *bytes = mem_calloc(most, t->row_bytes);
    enum status st = values && bytes ? STATUS_OK
                                     : error_set(err, STATUS_NOMEM, "no memory for rows of tensor \"%s\"", t->name);
    for (size_t row = 0; row < t->rows && st == STATUS_OK; row += most) {
        const size_t n = t->rows - row < most ? t->rows - row : most;
        st = rows(ctx, index, row, n, values, err);
        if (st != STATUS_OK)
            break;
        const size_t unfit = tensor_unfit(values, t->type, n * t->cols);
        if (unfit < n * t->cols)
            st = error_set(err, STATUS_CONFIG, "tensor \"%s\" has the value %g, which %s cannot hold; bf16 and f32 can",
                           t->name, (double)values[unfit], tensor_type_name(t->type));
        tensor_encode(bytes, values, t->type, n * t->cols);
        file_writer_write(out, bytes, n * t->row_bytes);
    }
    pad(out, (uint64_t)t->rows * t->row_bytes);
    mem_free(values);
    mem_free(bytes);
    return st;
}

enum status gguf_write(struct gguf_writer *w, const char *path, gguf_rows_fn *rows, void *ctx, struct error *err)
{
    struct buffer head = {0};
    CHECK(w->items_owed == 0);
    buffer_append(&head, "GGUF", 4);
    put_u32(&head, GGUF_VERSION);
    put_u64(&head, w->num_tensors);
    put_u64(&head, w->num_keys);
    buffer_append(&head, w->keys.data, w->keys.len);
    buffer_append(&head, w->infos.data, w->infos.len);
    if (head.failed || w->keys.failed || w->infos.failed || w->tensors.failed) {
        buffer_release(&head);
        return error_set(err, STATUS_NOMEM, "no memory for the head of %s", path);
    }
    struct file_writer *out = file_writer_open(path, err);
    enum status st = out ? STATUS_OK : STATUS_IO;
    if (out) {
        file_writer_write(out, head.data, head.len);
        pad(out, head.len);
        const struct planned *tensors = (const struct planned *)(const void *)w->tensors.data;
        for (size_t i = 0; i < w->num_tensors && st == STATUS_OK; i++)
            st = write_tensor(out, &tensors[i], i, rows, ctx, err);
        const enum status closed = file_writer_close(out, st == STATUS_OK, NULL, NULL, st == STATUS_OK ? err : NULL);
        if (st == STATUS_OK)
            st = closed;
        if (st != STATUS_OK)
            file_discard(path);
    }
    buffer_release(&head);
    return st;
}
