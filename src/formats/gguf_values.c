/* SPDX-License-Identifier: MIT
 * gguf_values.c - the typed values of a file that was opened: the bytes were checked then, here they are given a meaning.
 */
#include "base/check.h"
#include "formats/gguf.h"

#include <math.h>
#include <string.h>

bool gguf_text_is(struct gguf_text text, const char *s)
{
    return strlen(s) == text.len && memcmp(text.bytes, s, text.len) == 0;
}

static enum gguf_type scalar_type(const struct gguf_value *value)
{
    return value->type == GGUF_ARRAY ? value->item : value->type;
}

bool gguf_next_text(struct gguf_value *value, struct gguf_text *out)
{
    CHECK(scalar_type(value) == GGUF_STRING);
    if (value->at == value->end)
        return false;
    uint64_t n;
    memcpy(&n, value->at, sizeof n);
    *out = (struct gguf_text){(const char *)value->at + sizeof n, (size_t)n};
    value->at += sizeof n + n;
    return true;
}

#define TAKE(type, var)                                                                                                \
    do {                                                                                                               \
        type x;                                                                                                        \
        memcpy(&x, value->at, sizeof x);                                                                               \
        value->at += sizeof x;                                                                                         \
        (var) = x;                                                                                                     \
    } while (0)

bool gguf_next_i64(struct gguf_value *value, int64_t *out)
{
    if (value->at == value->end)
        return false;
    switch (scalar_type(value)) {
    case GGUF_U8:
    case GGUF_BOOL:
        TAKE(uint8_t, *out);
        return true;
    case GGUF_I8:
        TAKE(int8_t, *out);
        return true;
    case GGUF_U16:
        TAKE(uint16_t, *out);
        return true;
    case GGUF_I16:
        TAKE(int16_t, *out);
        return true;
    case GGUF_U32:
        TAKE(uint32_t, *out);
        return true;
    case GGUF_I32:
        TAKE(int32_t, *out);
        return true;
    case GGUF_I64:
        TAKE(int64_t, *out);
        return true;
    case GGUF_U64: {
        uint64_t x;
        memcpy(&x, value->at, sizeof x);
        value->at += sizeof x;
        *out = (int64_t)x;
        return x <= INT64_MAX;
    }
    default:
        return false;
    }
}

bool gguf_next_float(struct gguf_value *value, double *out)
{
    if (value->at == value->end)
        return false;
    switch (scalar_type(value)) {
    case GGUF_F32: {
        float f;
        TAKE(float, f);
        *out = (double)f;
        return true;
    }
    case GGUF_F64:
        TAKE(double, *out);
        return true;
    default:
        return false;
    }
}

static bool is_integer(enum gguf_type type)
{
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

/* The scalar, or NULL with *st. */
static const struct gguf_value *get(const struct gguf *file, const char *key, bool required, bool array,
                                    enum status *st, struct error *err)
{
    const struct gguf_value *value = gguf_key(file, key);
    *st = STATUS_OK;
    if (!value && required)
        *st = error_set(err, STATUS_FORMAT, "%s: the key \"%s\" is missing", gguf_path(file), key);
    else if (value && (value->type == GGUF_ARRAY) != array) {
        *st = error_set(err, STATUS_FORMAT, "%s: the key \"%s\" is of type %s, where %s should be", gguf_path(file), key,
                        gguf_type_name(value->type), array ? "an array" : "one value");
        return NULL;
    }
    return value;
}

static enum status wrong_type(const struct gguf *file, const struct gguf_value *value, const char *key,
                              const char *right, struct error *err)
{
    return error_set(err, STATUS_FORMAT, "%s: the key \"%s\" is of type %s%s, where %s should be", gguf_path(file), key,
                     value->type == GGUF_ARRAY ? "array of " : "", gguf_type_name(scalar_type(value)), right);
}

enum status gguf_get_u64(const struct gguf *file, const char *key, bool required, uint64_t max, uint64_t *out,
                         struct error *err)
{
    enum status st;
    const struct gguf_value *value = get(file, key, required, false, &st, err);
    if (!value)
        return st;
    if (!is_integer(value->type))
        return wrong_type(file, value, key, "a whole number", err);
    struct gguf_value walk = *value;
    int64_t x = -1;
    if (!gguf_next_i64(&walk, &x) || x < 0 || (uint64_t)x > max)
        return error_set(err, STATUS_FORMAT, "%s: the key \"%s\" is %lld, outside 0 … %llu", gguf_path(file), key,
                         (long long)x, (unsigned long long)max);
    *out = (uint64_t)x;
    return STATUS_OK;
}

enum status gguf_get_float(const struct gguf *file, const char *key, bool required, double *out, struct error *err)
{
    enum status st;
    const struct gguf_value *value = get(file, key, required, false, &st, err);
    if (!value)
        return st;
    struct gguf_value walk = *value;
    double x;
    if (!gguf_next_float(&walk, &x))
        return wrong_type(file, value, key, "f32 or f64", err);
    if (!isfinite(x))
        return error_set(err, STATUS_FORMAT, "%s: the key \"%s\" is %g, where a finite number should be",
                         gguf_path(file), key, x);
    *out = x;
    return STATUS_OK;
}

enum status gguf_get_bool(const struct gguf *file, const char *key, bool required, bool *out, struct error *err)
{
    enum status st;
    const struct gguf_value *value = get(file, key, required, false, &st, err);
    if (!value)
        return st;
    if (value->type != GGUF_BOOL)
        return wrong_type(file, value, key, "bool", err);
    *out = *value->at != 0;
    return STATUS_OK;
}

enum status gguf_get_text(const struct gguf *file, const char *key, bool required, struct gguf_text *out,
                          struct error *err)
{
    enum status st;
    const struct gguf_value *value = get(file, key, required, false, &st, err);
    if (!value)
        return st;
    if (value->type != GGUF_STRING)
        return wrong_type(file, value, key, "a string", err);
    struct gguf_value walk = *value;
    gguf_next_text(&walk, out);
    return STATUS_OK;
}

enum status gguf_get_array(const struct gguf *file, const char *key, bool required, enum gguf_type item,
                           struct gguf_value *out, struct error *err)
{
    enum status st;
    const struct gguf_value *value = get(file, key, required, true, &st, err);
    *out = (struct gguf_value){.type = GGUF_ARRAY, .item = item};
    if (!value)
        return st;
    if (value->item != item)
        return wrong_type(file, value, key, gguf_type_name(item), err);
    *out = *value;
    return STATUS_OK;
}
