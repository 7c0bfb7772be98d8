/* SPDX-License-Identifier: MIT
 * formats/gguf.h - GGUF, the container of llama.cpp: keys with typed values, then tensors.
 *
 * Layout (ggml's docs/gguf.md, version 3, little-endian; version 2 is the same): "GGUF", u32 version, u64 tensors, u64
 * keys; each key a string, a u32 type and a value; each tensor a name, a u32 rank, u64 dimensions with the fastest
 * first, a u32 element type and a u64 offset; padding to general.alignment; the tensors' bytes, each at a multiple of
 * that.  A string is a u64 length and UTF-8 bytes.  Reading believes no count before it was held against the bytes
 * there are; keys and names may not repeat, tensors follow each other as llama.cpp wants them, without hole or overlap.
 * Like safetensors.h: opening reads what stands before the tensors, and those are read when asked for, with read(2).
 * Any thread, on distinct objects; reading from one object by several threads is fine.
 */
#ifndef FORMATS_GGUF_H
#define FORMATS_GGUF_H

#include "base/buffer.h"
#include "base/status.h"
#include "formats/tensor_type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gguf_type {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY, GGUF_U64,
    GGUF_I64, GGUF_F64, NUM_GGUF_TYPES
};
enum { GGUF_MAX_RANK = 4, GGUF_NAME_BYTES = 64, GGUF_ALIGNMENT = 32 };

struct gguf_text {
    const char *bytes; /* UTF-8 without U+0000, not terminated; borrowed from the file */
    size_t len;
};

struct gguf_value {
    struct gguf_text key;
    enum gguf_type type, item; /* item: of an array */
    uint64_t count;            /* of an array's items; 1 otherwise */
    const unsigned char *at, *end; /* the bytes not taken yet, for gguf_next_… */
};

struct gguf_tensor {
    char name[GGUF_NAME_BYTES]; /* terminated */
    size_t rank;
    uint64_t shape[GGUF_MAX_RANK]; /* as the file has it: shape[0] is the fastest */
    const char *type_name;         /* "F32", "Q4_K", … */
    enum tensor_type type;         /* when `readable` */
    bool readable;                 /* one of the types of tensor_type.h */
    uint64_t size_bytes, offset;   /* in the file */
};

struct gguf;

/* NULL: STATUS_IO (missing, unreadable, no regular file) or STATUS_FORMAT, which names the key or tensor at fault. */
struct gguf *gguf_open(const char *path, struct error *err);
void gguf_close(struct gguf *file); /* NULL is fine */
const char *gguf_path(const struct gguf *file);

size_t gguf_count(const struct gguf *file); /* of tensors, numbered as the file has them */
const struct gguf_tensor *gguf_at(const struct gguf *file, size_t i);
const struct gguf_tensor *gguf_find(const struct gguf *file, const char *name); /* NULL: absent */
enum status gguf_read(const struct gguf *file, const struct gguf_tensor *tensor, uint64_t from, void *out, size_t n,
                      struct error *err);

size_t gguf_num_keys(const struct gguf *file);
const struct gguf_value *gguf_key_at(const struct gguf *file, size_t i);
const struct gguf_value *gguf_key(const struct gguf *file, const char *key); /* NULL: absent */

/* Typed values.  An absent key leaves *out as it is unless required; another type, or a number out of range, is
 * STATUS_FORMAT with file and key.  Whole numbers may have any integer type. */
enum status gguf_get_u64(const struct gguf *file, const char *key, bool required, uint64_t max, uint64_t *out,
                         struct error *err);
enum status gguf_get_float(const struct gguf *file, const char *key, bool required, double *out, struct error *err);
enum status gguf_get_bool(const struct gguf *file, const char *key, bool required, bool *out, struct error *err);
enum status gguf_get_text(const struct gguf *file, const char *key, bool required, struct gguf_text *out,
                          struct error *err);

/* An array of that type; *out is a copy to walk with gguf_next_…, with count 0 when the key is absent. */
enum status gguf_get_array(const struct gguf *file, const char *key, bool required, enum gguf_type item,
                           struct gguf_value *out, struct error *err);

/* The next item of an array, or the value of a scalar; false at the end.  The type must fit. */
bool gguf_next_text(struct gguf_value *value, struct gguf_text *out);
bool gguf_next_i64(struct gguf_value *value, int64_t *out); /* integers but U64 above INT64_MAX, and bool */
bool gguf_next_float(struct gguf_value *value, double *out);

const char *gguf_type_name(enum gguf_type type);
bool gguf_text_is(struct gguf_text text, const char *s);

/* A file in the making: keys first, then the list of tensors, then gguf_write.  A refused allocation is told there. */
struct gguf_writer;
struct gguf_writer *gguf_writer_new(struct error *err);
void gguf_writer_free(struct gguf_writer *writer); /* NULL is fine */
void gguf_set_u32(struct gguf_writer *writer, const char *key, uint32_t value);
void gguf_set_float(struct gguf_writer *writer, const char *key, float value);
void gguf_set_bool(struct gguf_writer *writer, const char *key, bool value);
void gguf_set_text(struct gguf_writer *writer, const char *key, const char *value, size_t len);

/* An array: its items follow with gguf_item_…, exactly `count` of them, before anything else. */
void gguf_set_array(struct gguf_writer *writer, const char *key, enum gguf_type item, uint64_t count);
void gguf_item_text(struct gguf_writer *writer, const char *bytes, size_t len);
void gguf_item_i32(struct gguf_writer *writer, int32_t value);
void gguf_item_float(struct gguf_writer *writer, float value);

/* A tensor of `rank` dimensions, fastest first; rows of shape[0] elements.  STATUS_CONFIG: a name that is too long, a
 * row that the type cannot hold. */
enum status gguf_add_tensor(struct gguf_writer *writer, const char *name, size_t rank, const uint64_t *shape,
                            enum tensor_type type, struct error *err);

/* Writes PATH (creating or replacing it), asking `rows` for the values: rows [first, first + n) of tensor number i, in
 * the order of gguf_add_tensor, as f32.  What that returns other than STATUS_OK ends the writing.  A value that the
 * type cannot hold is STATUS_CONFIG with the tensor's name.  Syncs; a failure leaves no file. */
typedef enum status gguf_rows_fn(void *ctx, size_t i, size_t first, size_t n, float *out, struct error *err);
enum status gguf_write(struct gguf_writer *writer, const char *path, gguf_rows_fn *rows, void *ctx, struct error *err);

#endif
