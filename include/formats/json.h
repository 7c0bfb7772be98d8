/* SPDX-License-Identifier: MIT
 * formats/json.h - jansson with our errors: typed fields that name the file and the key when they are wrong.
 */
#ifndef FORMATS_JSON_H
#define FORMATS_JSON_H

#include "base/buffer.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* json_loadb; *no_memory says whether NULL is for want of memory, which jansson's lexer calls bad syntax: then mem_alloc, where jansson
 * allocates through it, was refused meanwhile. */
json_t *json_parse(const char *text, size_t len, size_t flags, json_error_t *why, bool *no_memory);

/* A new reference, or NULL with file, line and column.  Files over max_bytes are refused; duplicate keys too. */
json_t *json_read_file(const char *path, size_t max_bytes, struct error *err);

/* The same from bytes; `where` stands for the file in messages. */
json_t *json_read_text(const char *text, size_t len, const char *where, struct error *err);

/* Appends the text: with indent, sorted keys, two spaces a level and a final newline; without, one line in the order
 * in which the keys were set, and no newline.  Reals get the fewest digits that read back as the same double. */
enum status json_write(const json_t *value, bool indent, struct buffer *out, struct error *err);

/* A real from a float, with the float's own shortest digits (0.1f is 0.1, not 0.10000000149011612).  New reference. */
json_t *json_real_from_float(float value);

/* Typed reads of object[key].  An absent key, or a null, leaves *out as it is (so set the default first) unless
 * required.  STATUS_FORMAT names `where`, the key, what was found and what would be right. */
enum status json_get_u64(const json_t *object, const char *key, bool required, uint64_t max, uint64_t *out,
                         const char *where, struct error *err);
enum status json_get_double(const json_t *object, const char *key, bool required, double *out, const char *where,
                            struct error *err);
enum status json_get_text(const json_t *object, const char *key, bool required, const char **out /* borrowed */,
                          const char *where, struct error *err);
enum status json_get_bool(const json_t *object, const char *key, bool required, bool *out, const char *where,
                          struct error *err);

#endif
