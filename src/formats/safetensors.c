/* SPDX-License-Identifier: MIT
 * formats/safetensors.c - every number in the header is believed only after it was checked against the file's size.
 */
#include "formats/safetensors.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read as they lie, and they lie little-endian");

enum { PREFIX_BYTES = 8, HEADER_ALIGNMENT = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000, PIECE_BYTES = 1 << 20 };

struct entry {
    struct tensor_view view; /* first: whoever has the view has the entry */
    uint64_t offset;         /* in the file */
};

struct safetensors {
    int fd;
    char *path;
    uint64_t data_begin; /* in the file */
    void *whole;         /* the data, when they are in memory */
    json_t *header;             /* owns the names and dtypes */
    struct entry *entries; /* [count], in the order of their data */
    const struct tensor_view **by_name; /* [count], sorted */
    size_t count;
};

/* Bits per element; 0: unknown. */
static unsigned dtype_bits(const char *dtype)
{
    static const struct {
        const char *name;
        unsigned bits;
    } known[] = {{"F32", 32},     {"BF16", 16},    {"F16", 16},         {"F64", 64},         {"F8_E4M3", 8},
                 {"F8_E5M2", 8},  {"F8_E8M0", 8},  {"F8_E4M3FNUZ", 8},  {"F8_E5M2FNUZ", 8},  {"BOOL", 8},
                 {"U8", 8},       {"I8", 8},       {"U16", 16},         {"I16", 16},         {"U32", 32},
                 {"I32", 32},     {"U64", 64},     {"I64", 64},         {"C64", 64},         {"F4", 4},
                 {"F6_E2M3", 6},  {"F6_E3M2", 6}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(dtype, known[i].name) == 0)
            return known[i].bits;
    return 0;
}

/* shape x dtype in bytes; false when it does not fit or is not whole bytes. */
static bool view_bytes(const struct tensor_view *view, uint64_t *bytes)
{
    uint64_t bits = dtype_bits(view->dtype);
    for (size_t d = 0; d < view->rank; d++)
        if (__builtin_mul_overflow(bits, view->shape[d], &bits))
            return false;
    *bytes = bits / 8;
    return bits % 8 == 0;
}

/* A JSON integer that is not negative. */
static bool natural(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* One entry of the header; *begin is relative to the data. */
static enum status read_entry(const char *path, const char *name, const json_t *entry, uint64_t data_bytes,
                              struct tensor_view *view, uint64_t *begin, struct error *err)
{
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || !json_is_array(offsets))
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" should have \"dtype\", \"shape\" and \"data_offsets\"",
                         path, name);
    view->name = name;
    view->dtype = json_string_value(dtype);
    if (dtype_bits(view->dtype) == 0)
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" has the unknown dtype \"%s\"", path, name, view->dtype);
    view->rank = json_array_size(shape);
    if (view->rank > TENSOR_MAX_RANK)
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" has %zu dimensions, more than the %d we read", path,
                         name, view->rank, (int)TENSOR_MAX_RANK);
    for (size_t d = 0; d < view->rank; d++)
        if (!natural(json_array_get(shape, d), &view->shape[d]))
            return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\": dimension %zu is not an integer of 0 or more", path,
                             name, d);
    uint64_t end, bytes;
    if (json_array_size(offsets) != 2 || !natural(json_array_get(offsets, 0), begin) ||
        !natural(json_array_get(offsets, 1), &end) || *begin > end || end > data_bytes)
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%s\": data_offsets should be [begin, end] with begin <= end <= %llu, the bytes "
                         "of data in the file",
                         path, name, (unsigned long long)data_bytes);
    view->size_bytes = end - *begin;
    if (!view_bytes(view, &bytes) || bytes != view->size_bytes)
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\": its shape in %s does not make the %llu bytes it has",
                         path, name, view->dtype, (unsigned long long)view->size_bytes);
    return STATUS_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->view.size_bytes != y->view.size_bytes) /* empty ones first, so that contiguity can be seen */
        return x->view.size_bytes < y->view.size_bytes ? -1 : 1;
    return strcmp(x->view.name, y->view.name);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor_view *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static enum status check_metadata(const char *path, const json_t *metadata, struct error *err)
{
    if (!json_is_object(metadata))
        return error_set(err, STATUS_FORMAT, "%s: \"__metadata__\" should be an object", path);
    for (void *it = json_object_iter((json_t *)(uintptr_t)metadata); it;
         it = json_object_iter_next((json_t *)(uintptr_t)metadata, it))
        if (!json_is_string(json_object_iter_value(it)))
            return error_set(err, STATUS_FORMAT, "%s: \"__metadata__\": \"%s\" should be a string", path,
                             json_object_iter_key(it));
    return STATUS_OK;
}

/* Length and text of the header, as JSON. */
static enum status parse_header(struct safetensors *file, uint64_t size, struct error *err)
{
    const char *path = file->path;
    if (size < PREFIX_BYTES)
        return error_set(err, STATUS_FORMAT, "%s: %llu bytes are too few for a safetensors file", path,
                         (unsigned long long)size);
    uint64_t header_bytes;
    enum status st = file_read_at(file->fd, path, 0, &header_bytes, sizeof header_bytes, err);
    if (st != STATUS_OK)
        return st;
    if (header_bytes > MAX_HEADER_BYTES)
        return error_set(err, STATUS_FORMAT,
                         "%s: not a safetensors file, or damaged: its header says to be %llu bytes long, and %d are "
                         "allowed",
                         path, (unsigned long long)header_bytes, (int)MAX_HEADER_BYTES);
    if (header_bytes > size - PREFIX_BYTES)
        return error_set(err, STATUS_FORMAT, "%s: truncated: a header of %llu bytes in a file of %llu", path,
                         (unsigned long long)header_bytes, (unsigned long long)size);
    char *text = mem_alloc((size_t)header_bytes);
    if (!text)
        return error_set(err, STATUS_NOMEM, "%s: no memory for its header of %llu bytes", path,
                         (unsigned long long)header_bytes);
    st = file_read_at(file->fd, path, PREFIX_BYTES, text, (size_t)header_bytes, err);
    if (st == STATUS_OK && (header_bytes == 0 || text[0] != '{'))
        st = error_set(err, STATUS_FORMAT, "%s: not a safetensors file: its header should begin with '{'", path);
    if (st == STATUS_OK && !(file->header = json_read_text(text, (size_t)header_bytes, path, err)))
        st = STATUS_FORMAT;
    mem_free(text);
    file->data_begin = PREFIX_BYTES + header_bytes;
    return st;
}

static enum status read_header(struct safetensors *file, uint64_t size, struct error *err)
{
    const char *path = file->path;
    const enum status parsed = parse_header(file, size, err);
    if (parsed != STATUS_OK)
        return parsed;
    const uint64_t data_bytes = size - file->data_begin;
    const size_t entries = json_object_size(file->header);
    file->entries = mem_calloc(entries, sizeof *file->entries);
    file->by_name = mem_calloc(entries, sizeof *file->by_name);
    if (!file->entries || !file->by_name)
        return error_set(err, STATUS_NOMEM, "%s: no memory for a list of %zu tensors", path, entries);
    for (void *it = json_object_iter(file->header); it; it = json_object_iter_next(file->header, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *entry = json_object_iter_value(it);
        enum status st;
        if (strcmp(name, "__metadata__") == 0)
            st = check_metadata(path, entry, err);
        else {
            struct entry *made = &file->entries[file->count++];
            uint64_t begin = 0;
            st = read_entry(path, name, entry, data_bytes, &made->view, &begin, err);
            made->offset = file->data_begin + begin;
        }
        if (st != STATUS_OK)
            return st;
    }
    qsort(file->entries, file->count, sizeof *file->entries, by_offset);
    uint64_t next = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct tensor_view *view = &file->entries[i].view;
        const uint64_t begin = file->entries[i].offset - file->data_begin;
        if (begin != next)
            return error_set(err, STATUS_FORMAT,
                             "%s: tensor \"%s\" begins at byte %llu of the data, %s the one before it ends at %llu", path,
                             view->name, (unsigned long long)begin,
                             begin < next ? "overlapping:" : "leaving a hole:", (unsigned long long)next);
        next += view->size_bytes;
        file->by_name[i] = view;
    }
    if (next != data_bytes)
        return error_set(err, STATUS_FORMAT, "%s: its tensors cover %llu of %llu bytes of data", path,
                         (unsigned long long)next, (unsigned long long)data_bytes);
    qsort(file->by_name, file->count, sizeof *file->by_name, by_name);
    return STATUS_OK;
}

struct safetensors *safetensors_open(const char *path, struct error *err)
{
    struct safetensors *file = mem_calloc(1, sizeof *file);
    char *copy = mem_strdup(path);
    if (!file || !copy) {
        error_set(err, STATUS_NOMEM, "no memory to open %s", path);
        mem_free(copy);
        mem_free(file);
        return NULL;
    }
    uint64_t size;
    file->path = copy;
    file->fd = file_open_read(path, &size, err);
    if (file->fd < 0 || read_header(file, size, err) != STATUS_OK) {
        safetensors_close(file);
        return NULL;
    }
    return file;
}

struct safetensors *safetensors_open_whole(const char *path, struct error *err)
{
    struct safetensors *file = safetensors_open(path, err);
    if (!file)
        return NULL;
    const struct entry *last = file->count ? &file->entries[file->count - 1] : NULL;
    const uint64_t bytes = last ? last->offset + last->view.size_bytes - file->data_begin : 0;
    enum status st = STATUS_OK;
    if (bytes > SIZE_MAX || !(file->whole = mem_alloc((size_t)bytes)))
        st = error_set(err, STATUS_NOMEM, "no memory for the %llu bytes of %s", (unsigned long long)bytes, path);
    else
        st = file_read_at(file->fd, path, file->data_begin, file->whole, (size_t)bytes, err);
    if (st != STATUS_OK) {
        safetensors_close(file);
        return NULL;
    }
    for (size_t i = 0; i < file->count; i++)
        file->entries[i].view.data = (const char *)file->whole + (file->entries[i].offset - file->data_begin);
    return file;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    json_decref(file->header);
    mem_free(file->entries);
    mem_free(file->by_name);
    mem_free(file->whole);
    mem_free(file->path);
    file_close(file->fd);
    mem_free(file);
}

const char *safetensors_path(const struct safetensors *file)
{
    return file->path;
}

enum status safetensors_read(const struct safetensors *file, const struct tensor_view *tensor, uint64_t from, void *out,
                             size_t n, struct error *err)
{
    CHECK(from <= tensor->size_bytes && n <= tensor->size_bytes - from);
    const struct entry *entry = (const struct entry *)(const void *)tensor;
    return file_read_at(file->fd, file->path, entry->offset + from, out, n, err);
}

size_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct tensor_view *safetensors_at(const struct safetensors *file, size_t i)
{
    CHECK(i < file->count);
    return &file->entries[i].view;
}

const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct tensor_view key = {.name = name}, *wanted = &key;
    const struct tensor_view *const *found =
        file->count ? bsearch(&wanted, file->by_name, file->count, sizeof *file->by_name, by_name) : NULL;
    return found ? *found : NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

static bool we_write(const char *dtype)
{
    return strcmp(dtype, "F32") == 0 || strcmp(dtype, "BF16") == 0 || strcmp(dtype, "F16") == 0 ||
           strcmp(dtype, "I32") == 0 || strcmp(dtype, "U8") == 0;
}

/* Length prefix, header and padding. */
static enum status make_header(const struct tensor_view *tensors, size_t n, struct buffer *out, struct error *err)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    enum status st = header ? STATUS_OK : STATUS_NOMEM;
    uint64_t begin = 0;
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const struct tensor_view *view = &tensors[i];
        uint64_t bytes, end;
        if (!we_write(view->dtype))
            st = error_set(err, STATUS_MISUSE, "tensor \"%s\": we write F32, BF16, F16, I32 and U8, not %s", view->name,
                           view->dtype);
        else if (view->rank > TENSOR_MAX_RANK || !view_bytes(view, &bytes) || bytes != view->size_bytes ||
                 __builtin_add_overflow(begin, bytes, &end) || end > INT64_MAX)
            st = error_set(err, STATUS_MISUSE, "tensor \"%s\": its shape does not make its size", view->name);
        else if (json_object_get(header, view->name))
            st = error_set(err, STATUS_MISUSE, "two tensors are named \"%s\"", view->name);
        else {
            json_t *shape = json_array();
            for (size_t d = 0; d < view->rank; d++)
                json_array_append_new(shape, json_integer((json_int_t)view->shape[d]));
            json_t *entry = json_pack("{s:s, s:o, s:[I,I]}", "dtype", view->dtype, "shape", shape, "data_offsets",
                                      (json_int_t)begin, (json_int_t)end);
            if (json_array_size(json_object_get(entry, "shape")) != view->rank ||
                json_object_set(header, view->name, entry) != 0)
                st = error_set(err, STATUS_NOMEM, "no memory for a header of %zu tensors", n);
            json_decref(entry);
            begin = end;
        }
    }
    static const char zero[PREFIX_BYTES] = {0};
    const size_t at = out->len;
    buffer_append(out, zero, sizeof zero);
    if (st == STATUS_OK)
        st = json_write(header, false, out, err);
    json_decref(header);
    while (st == STATUS_OK && !out->failed && (out->len - at) % HEADER_ALIGNMENT)
        buffer_append(out, " ", 1);
    if (st == STATUS_OK && out->failed)
        st = error_set(err, STATUS_NOMEM, "no memory for a header of %zu tensors", n);
    if (st == STATUS_OK) {
        const uint64_t header_bytes = out->len - at - PREFIX_BYTES;
        if (header_bytes > MAX_HEADER_BYTES)
            return error_set(err, STATUS_CONFIG, "a header of %zu tensors is longer than safetensors allows", n);
        memcpy(out->data + at, &header_bytes, sizeof header_bytes);
    }
    return st;
}

static enum status write_tensor(struct file_writer *writer, const struct tensor_view *tensor, size_t index,
                                tensor_fill_fn *fill, void *ctx, void *piece, struct error *err)
{
    if (tensor->data || !fill) {
        file_writer_write(writer, tensor->data, (size_t)tensor->size_bytes);
        return STATUS_OK;
    }
    enum status st = STATUS_OK;
    for (uint64_t at = 0; at < tensor->size_bytes && st == STATUS_OK; at += PIECE_BYTES) {
        const uint64_t left = tensor->size_bytes - at;
        const size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        st = fill(ctx, index, at, piece, n, err);
        if (st == STATUS_OK)
            file_writer_write(writer, piece, n);
    }
    return st;
}

enum status safetensors_write_filled(const char *path, const struct tensor_view *tensors, size_t n,
                                     tensor_fill_fn *fill, void *ctx, uint64_t *size_bytes, uint32_t *crc32,
                                     struct error *err)
{
    struct buffer header = {0};
    void *piece = NULL;
    struct file_writer *writer = NULL;
    enum status st = make_header(tensors, n, &header, err);
    if (st != STATUS_OK)
        error_prefix(err, "cannot write %s", path);
    else if (fill && !(piece = mem_alloc(PIECE_BYTES)))
        st = error_set(err, STATUS_NOMEM, "no memory to write %s", path);
    else if ((writer = file_writer_open(path, err)) == NULL)
        st = STATUS_IO;
    if (writer) {
        file_writer_write(writer, header.data, header.len);
        for (size_t i = 0; i < n && st == STATUS_OK; i++)
            st = write_tensor(writer, &tensors[i], i, fill, ctx, piece, err);
        const enum status closed = file_writer_close(writer, st == STATUS_OK, size_bytes, crc32,
                                                     st == STATUS_OK ? err : NULL);
        if (st == STATUS_OK)
            st = closed;
        if (st != STATUS_OK)
            file_discard(path);
    }
    mem_free(piece);
    buffer_release(&header);
    return st;
}

enum status safetensors_write(const char *path, const struct tensor_view *tensors, size_t n, uint64_t *size_bytes,
                              uint32_t *crc32, struct error *err)
{
    return safetensors_write_filled(path, tensors, n, NULL, NULL, size_bytes, crc32, err);
}

uint64_t safetensors_file_bytes(const struct tensor_view *tensors, size_t n)
{
    struct buffer header = {0};
    uint64_t bytes = 0;
    if (make_header(tensors, n, &header, NULL) == STATUS_OK) {
        bytes = header.len;
        for (size_t i = 0; i < n; i++)
            bytes += tensors[i].size_bytes;
    }
    buffer_release(&header);
    return bytes;
}
