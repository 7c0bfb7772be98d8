/* SPDX-License-Identifier: MIT
 * formats/safetensors.c - every number in the header is believed only after it was checked against the file's size.
 */
#include "formats/safetensors.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are mapped as they lie, and they lie little-endian");

enum { PREFIX_BYTES = 8, HEADER_ALIGNMENT = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000 };

struct safetensors {
    struct file_map map;
    json_t *header;             /* owns the names and dtypes */
    struct tensor_view *views;  /* [count], in the order of their data */
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

static int by_address(const void *a, const void *b)
{
    const struct tensor_view *x = a, *y = b;
    if (x->data != y->data)
        return (uintptr_t)x->data < (uintptr_t)y->data ? -1 : 1;
    if (x->size_bytes != y->size_bytes) /* empty ones first, so that contiguity can be seen */
        return x->size_bytes < y->size_bytes ? -1 : 1;
    return strcmp(x->name, y->name);
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

static enum status read_header(struct safetensors *file, const char *path, struct error *err)
{
    const size_t size = file->map.size_bytes;
    if (size < PREFIX_BYTES)
        return error_set(err, STATUS_FORMAT, "%s: %zu bytes are too few for a safetensors file", path, size);
    uint64_t header_bytes;
    memcpy(&header_bytes, file->map.data, sizeof header_bytes);
    if (header_bytes > MAX_HEADER_BYTES)
        return error_set(err, STATUS_FORMAT,
                         "%s: not a safetensors file, or damaged: its header says to be %llu bytes long, and %d are "
                         "allowed",
                         path, (unsigned long long)header_bytes, (int)MAX_HEADER_BYTES);
    if (header_bytes > size - PREFIX_BYTES)
        return error_set(err, STATUS_FORMAT, "%s: truncated: a header of %llu bytes in a file of %zu", path,
                         (unsigned long long)header_bytes, size);
    const char *text = (const char *)file->map.data + PREFIX_BYTES;
    if (header_bytes == 0 || text[0] != '{')
        return error_set(err, STATUS_FORMAT, "%s: not a safetensors file: its header should begin with '{'", path);
    file->header = json_read_text(text, (size_t)header_bytes, path, err);
    if (!file->header)
        return STATUS_FORMAT;

    const unsigned char *data = file->map.data + PREFIX_BYTES + header_bytes;
    const uint64_t data_bytes = size - PREFIX_BYTES - header_bytes;
    const size_t entries = json_object_size(file->header);
    file->views = mem_calloc(entries, sizeof *file->views);
    file->by_name = mem_calloc(entries, sizeof *file->by_name);
    if (!file->views || !file->by_name)
        return error_set(err, STATUS_NOMEM, "%s: no memory for a list of %zu tensors", path, entries);
    for (void *it = json_object_iter(file->header); it; it = json_object_iter_next(file->header, it)) {
        const char *name = json_object_iter_key(it);
        const json_t *entry = json_object_iter_value(it);
        enum status st;
        if (strcmp(name, "__metadata__") == 0)
            st = check_metadata(path, entry, err);
        else {
            struct tensor_view *view = &file->views[file->count++];
            uint64_t begin = 0;
            st = read_entry(path, name, entry, data_bytes, view, &begin, err);
            if (st == STATUS_OK)
                view->data = data + begin;
        }
        if (st != STATUS_OK)
            return st;
    }
    qsort(file->views, file->count, sizeof *file->views, by_address);
    uint64_t next = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct tensor_view *view = &file->views[i];
        const uint64_t begin = (uint64_t)((const unsigned char *)view->data - data);
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
    if (!file) {
        error_set(err, STATUS_NOMEM, "no memory to open %s", path);
        return NULL;
    }
    if (file_map_open(&file->map, path, err) != STATUS_OK || read_header(file, path, err) != STATUS_OK) {
        safetensors_close(file);
        return NULL;
    }
    return file;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    json_decref(file->header);
    mem_free(file->views);
    mem_free(file->by_name);
    file_map_close(&file->map);
    mem_free(file);
}

size_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct tensor_view *safetensors_at(const struct safetensors *file, size_t i)
{
    CHECK(i < file->count);
    return &file->views[i];
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

/* Length prefix, header and padding. */
static enum status make_header(const struct tensor_view *tensors, size_t n, struct buffer *out, struct error *err)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    enum status st = header ? STATUS_OK : STATUS_NOMEM;
    uint64_t begin = 0;
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const struct tensor_view *view = &tensors[i];
        uint64_t bytes, end;
        if (strcmp(view->dtype, "F32") != 0 && strcmp(view->dtype, "I32") != 0)
            st = error_set(err, STATUS_MISUSE, "tensor \"%s\": we write F32 and I32, not %s", view->name, view->dtype);
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

enum status safetensors_write(const char *path, const struct tensor_view *tensors, size_t n, uint64_t *size_bytes,
                              uint32_t *crc32, struct error *err)
{
    struct buffer header = {0};
    enum status st = make_header(tensors, n, &header, err);
    struct file_writer *writer = NULL;
    if (st != STATUS_OK)
        error_prefix(err, "cannot write %s", path);
    else if ((writer = file_writer_open(path, err)) == NULL)
        st = STATUS_IO;
    if (writer) {
        file_writer_write(writer, header.data, header.len);
        for (size_t i = 0; i < n; i++)
            file_writer_write(writer, tensors[i].data, (size_t)tensors[i].size_bytes);
        st = file_writer_close(writer, true, size_bytes, crc32, err);
        if (st != STATUS_OK)
            file_discard(path);
    }
    buffer_release(&header);
    return st;
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
