/* SPDX-License-Identifier: MIT
 * formats/json.c - jansson reads; we write, since jansson prints 0.1 as 0.10000000000000001 and people read these files.
 */
#include "formats/json.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *json_parse(const char *text, size_t len, size_t flags, json_error_t *why, bool *no_memory)
{
    const uint64_t refused = mem_refusal_count();
    *why = (json_error_t){0}; /* jansson leaves the code as it is where it gets no memory at once */
    json_t *value = json_loadb(text, len, flags, why);
    *no_memory = !value && (json_error_code(why) == json_error_out_of_memory || mem_refusal_count() != refused);
    return value;
}

json_t *json_read_text(const char *text, size_t len, const char *where, struct error *err)
{
    json_error_t why;
    bool no_memory;
    json_t *value = json_parse(text, len, JSON_REJECT_DUPLICATES, &why, &no_memory);
    if (no_memory)
        error_set(err, STATUS_NOMEM, "%s: no memory to read it (%zu bytes)", where, len);
    else if (!value)
        error_set(err, STATUS_FORMAT, "%s, line %d, column %d: not valid JSON: %s", where, why.line, why.column,
                  why.text);
    return value;
}

json_t *json_read_file(const char *path, size_t max_bytes, struct error *err)
{
    struct buffer text = {0};
    json_t *value = NULL;
    if (file_read(path, max_bytes, &text, err) == STATUS_OK) {
        if (text.len)
            value = json_read_text(text.data, text.len, path, err);
        else
            error_set(err, STATUS_FORMAT, "%s is empty, where a JSON object should be", path);
    }
    buffer_release(&text);
    return value;
}

static void write_string(const char *s, size_t n, struct buffer *out)
{
    buffer_append(out, "\"", 1);
    size_t plain = 0; /* s[plain … i) needs no escape and is not written yet */
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buffer_append(out, s + plain, i - plain);
        plain = i + 1;
        switch (c) {
        case '"':
            buffer_append(out, "\\\"", 2);
            break;
        case '\\':
            buffer_append(out, "\\\\", 2);
            break;
        case '\n':
            buffer_append(out, "\\n", 2);
            break;
        case '\r':
            buffer_append(out, "\\r", 2);
            break;
        case '\t':
            buffer_append(out, "\\t", 2);
            break;
        default:
            buffer_printf(out, "\\u%04x", c);
        }
    }
    buffer_append(out, s + plain, n - plain);
    buffer_append(out, "\"", 1);
}

/* snprintf and strtod go by the locale of the process; the file must not. */
static void write_real(double value, struct buffer *out)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    bool real = false;
    for (char *c = text; *c; c++) {
        if (!strchr("+-0123456789e", *c))
            *c = '.';
        if (*c == '.' || *c == 'e')
            real = true;
    }
    buffer_append_text(out, text);
    if (!real)
        buffer_append(out, ".0", 2);
}

static void write_indent(bool indent, int depth, struct buffer *out)
{
    if (!indent)
        return;
    buffer_append(out, "\n", 1);
    for (int i = 0; i < depth; i++)
        buffer_append(out, "  ", 2);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_value(const json_t *value, bool indent, int depth, struct buffer *out);

static void write_object(const json_t *object, bool indent, int depth, struct buffer *out)
{
    const size_t n = json_object_size(object);
    const char **keys = mem_calloc(n, sizeof *keys);
    if (!keys) {
        out->failed = true;
        return;
    }
    size_t i = 0;
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it && i < n;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it))
        keys[i++] = json_object_iter_key(it);
    if (indent)
        qsort(keys, n, sizeof *keys, compare_keys);
    buffer_append(out, "{", 1);
    for (i = 0; i < n; i++) {
        if (i)
            buffer_append(out, ",", 1);
        write_indent(indent, depth + 1, out);
        write_string(keys[i], strlen(keys[i]), out);
        buffer_append_text(out, indent ? ": " : ":");
        write_value(json_object_get(object, keys[i]), indent, depth + 1, out);
    }
    if (n)
        write_indent(indent, depth, out);
    buffer_append(out, "}", 1);
    mem_free(keys);
}

static void write_value(const json_t *value, bool indent, int depth, struct buffer *out)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(value, indent, depth, out);
        break;
    case JSON_ARRAY:
        buffer_append(out, "[", 1);
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i)
                buffer_append(out, ",", 1);
            write_indent(indent, depth + 1, out);
            write_value(json_array_get(value, i), indent, depth + 1, out);
        }
        if (json_array_size(value))
            write_indent(indent, depth, out);
        buffer_append(out, "]", 1);
        break;
    case JSON_STRING:
        write_string(json_string_value(value), json_string_length(value), out);
        break;
    case JSON_INTEGER:
        buffer_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        write_real(json_real_value(value), out);
        break;
    case JSON_TRUE:
        buffer_append(out, "true", 4);
        break;
    case JSON_FALSE:
        buffer_append(out, "false", 5);
        break;
    case JSON_NULL:
        buffer_append(out, "null", 4);
        break;
    }
}

enum status json_write(const json_t *value, bool indent, struct buffer *out, struct error *err)
{
    if (!value) /* jansson's answer to a refused allocation, passed on by who built the value */
        return error_set(err, STATUS_NOMEM, "no memory to write JSON");
    write_value(value, indent, 0, out);
    if (indent)
        buffer_append(out, "\n", 1);
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory to write JSON") : STATUS_OK;
}

json_t *json_real_from_float(float value)
{
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return json_real(strtod(text, NULL));
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a truth value";
    default:
        return "null";
    }
}

/* The value, or NULL with *st: OK when it may be absent. */
static const json_t *get(const json_t *object, const char *key, bool required, const char *where, enum status *st,
                         struct error *err)
{
    *st = STATUS_OK;
    if (!json_is_object(object)) {
        *st = error_set(err, STATUS_FORMAT, "%s: should be a JSON object", where);
        return NULL;
    }
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value))
        return value;
    if (required)
        *st = error_set(err, STATUS_FORMAT, "%s: \"%s\" is missing", where, key);
    return NULL;
}

enum status json_get_u64(const json_t *object, const char *key, bool required, uint64_t max, uint64_t *out,
                         const char *where, struct error *err)
{
    enum status st;
    const json_t *value = get(object, key, required, where, &st, err);
    if (!value)
        return st;
    if (!json_is_integer(value))
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" is %s, where an integer should be", where, key,
                         type_name(value));
    const json_int_t n = json_integer_value(value);
    if (n < 0 || (uint64_t)n > max)
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" is %" JSON_INTEGER_FORMAT ", outside 0 … %llu", where, key, n,
                         (unsigned long long)max);
    *out = (uint64_t)n;
    return STATUS_OK;
}

enum status json_get_double(const json_t *object, const char *key, bool required, double *out, const char *where,
                            struct error *err)
{
    enum status st;
    const json_t *value = get(object, key, required, where, &st, err);
    if (!value)
        return st;
    if (!json_is_number(value))
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" is %s, where a number should be", where, key,
                         type_name(value));
    *out = json_number_value(value);
    return STATUS_OK;
}

enum status json_get_text(const json_t *object, const char *key, bool required, const char **out, const char *where,
                          struct error *err)
{
    enum status st;
    const json_t *value = get(object, key, required, where, &st, err);
    if (!value)
        return st;
    if (!json_is_string(value))
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" is %s, where a string should be", where, key,
                         type_name(value));
    *out = json_string_value(value);
    return STATUS_OK;
}

enum status json_get_bool(const json_t *object, const char *key, bool required, bool *out, const char *where,
                          struct error *err)
{
    enum status st;
    const json_t *value = get(object, key, required, where, &st, err);
    if (!value)
        return st;
    if (!json_is_boolean(value))
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" is %s, where true or false should be", where, key,
                         type_name(value));
    *out = json_is_true(value);
    return STATUS_OK;
}
