/* SPDX-License-Identifier: MIT
 * formats/gguf.c - reading.  What stands before the tensors is read in growing pieces until it parses: nobody says how
 * long it is.  A cursor over those bytes hands out nothing that is not there; whoever runs out of bytes while the file
 * has more asks for a longer piece and begins again.
 */
#include "formats/gguf.h"

#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are taken as they lie, and they lie little-endian");

enum {
    FIRST_PIECE_BYTES = 1 << 16,
    MAX_HEADER_BYTES = 1 << 30,
    MAX_KEYS = 1 << 16,
    MAX_TENSORS = 1 << 18,
    MAX_KEY_BYTES = 1 << 16,
    MAX_ALIGNMENT = 1 << 20
};

struct gguf {
    int fd;
    char *path;
    uint64_t size_bytes;
    unsigned char *header; /* owns keys and values */
    struct gguf_value *keys;
    const struct gguf_value **keys_by_name;
    size_t num_keys;
    struct gguf_tensor *tensors;
    const struct gguf_tensor **tensors_by_name;
    size_t count;
};

/* ggml's element types: elements and bytes of a block (ggml.c, type_traits); those without a name here are unknown. */
static const struct ggml_type {
    const char *name;
    unsigned block, bytes;
} GGML_TYPES[] = {
    [0] = {"F32", 1, 4},        [1] = {"F16", 1, 2},       [2] = {"Q4_0", 32, 18},    [3] = {"Q4_1", 32, 20},
    [6] = {"Q5_0", 32, 22},     [7] = {"Q5_1", 32, 24},    [8] = {"Q8_0", 32, 34},    [9] = {"Q8_1", 32, 36},
    [10] = {"Q2_K", 256, 84},   [11] = {"Q3_K", 256, 110}, [12] = {"Q4_K", 256, 144}, [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},  [15] = {"Q8_K", 256, 292}, [16] = {"IQ2_XXS", 256, 66}, [17] = {"IQ2_XS", 256, 74},
    [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50}, [20] = {"IQ4_NL", 32, 18}, [21] = {"IQ3_S", 256, 110},
    [22] = {"IQ2_S", 256, 82},  [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},     [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},       [27] = {"I64", 1, 8},      [28] = {"F64", 1, 8},      [29] = {"IQ1_M", 256, 56},
    [30] = {"BF16", 1, 2},      [34] = {"TQ1_0", 256, 54}, [35] = {"TQ2_0", 256, 66}, [39] = {"MXFP4", 32, 17},
};
enum { NUM_GGML_TYPES = sizeof GGML_TYPES / sizeof *GGML_TYPES };

static const unsigned char TYPE_BYTES[NUM_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

const char *gguf_type_name(enum gguf_type type)
{
    static const char *const names[NUM_GGUF_TYPES] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                      "bool", "string", "array", "u64", "i64", "f64"};
    return names[type];
}

/* The bytes at hand and how many the file has beyond them. */
struct cursor {
    const char *path;
    const unsigned char *begin, *at, *end;
    uint64_t beyond;
    bool more; /* ran out of bytes at hand while the file has more */
    struct error *err;
};

/* n bytes, or NULL: `more`, or the file ends. */
static const unsigned char *take(struct cursor *c, uint64_t n, const char *what)
{
    const uint64_t left = (uint64_t)(c->end - c->at);
    if (n <= left) {
        const unsigned char *p = c->at;
        c->at += n;
        return p;
    }
    if (n - left <= c->beyond)
        c->more = true;
    else
        error_set(c->err, STATUS_FORMAT, "%s: truncated: %s at byte %llu goes beyond the end of the file", c->path, what,
                  (unsigned long long)(c->at - c->begin));
    return NULL;
}

static bool take_u32(struct cursor *c, uint32_t *out, const char *what)
{
    const unsigned char *p = take(c, 4, what);
    if (p)
        memcpy(out, p, 4);
    return p != NULL;
}

static bool take_u64(struct cursor *c, uint64_t *out, const char *what)
{
    const unsigned char *p = take(c, 8, what);
    if (p)
        memcpy(out, p, 8);
    return p != NULL;
}

static bool valid_text(const unsigned char *p, uint64_t n)
{
    if (memchr(p, 0, (size_t)n))
        return false;
    for (uint64_t i = 0; i < n;) {
        if (p[i] < 0x80) {
            i++;
            continue;
        }
        uint32_t code_point;
        const int len = utf8_decode((const char *)p + i, (size_t)(n - i), &code_point);
        if (len <= 0)
            return false;
        i += (uint64_t)len;
    }
    return true;
}

static bool take_text(struct cursor *c, struct gguf_text *out, uint64_t max, const char *what)
{
    uint64_t n;
    if (!take_u64(c, &n, what))
        return false;
    if (n > max) {
        error_set(c->err, STATUS_FORMAT, "%s: %s is %llu bytes long; at most %llu are allowed", c->path, what,
                  (unsigned long long)n, (unsigned long long)max);
        return false;
    }
    const unsigned char *p = take(c, n, what);
    if (p && !valid_text(p, n)) {
        error_set(c->err, STATUS_FORMAT, "%s: %s is not UTF-8, or has a zero byte in it", c->path, what);
        return false;
    }
    *out = (struct gguf_text){(const char *)p, (size_t)n};
    return p != NULL;
}

/* For messages: the key or name, made printable. */
static const char *shown(char out[64], struct gguf_text text)
{
    size_t n = text.len < 60 ? text.len : 60;
    n = utf8_whole_prefix(text.bytes, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)text.bytes[i] < 0x20 || text.bytes[i] == 0x7f ? '?' : text.bytes[i];
    out[n] = 0;
    return out;
}

static bool take_array(struct cursor *c, struct gguf_value *v, const char *key)
{
    uint32_t item;
    if (!take_u32(c, &item, key) || !take_u64(c, &v->count, key))
        return false;
    if (item >= NUM_GGUF_TYPES || item == GGUF_ARRAY) {
        error_set(c->err, STATUS_FORMAT, "%s: key \"%s\" is an array of %s, which is not read", c->path, key,
                  item == GGUF_ARRAY ? "arrays" : "an unknown type");
        return false;
    }
    v->item = (enum gguf_type)item;
    v->at = c->at;
    if (item == GGUF_STRING) {
        struct gguf_text text;
        for (uint64_t i = 0; i < v->count; i++)
            if (!take_text(c, &text, MAX_HEADER_BYTES, key))
                return false;
    } else {
        uint64_t bytes;
        if (__builtin_mul_overflow(v->count, (uint64_t)TYPE_BYTES[item], &bytes))
            bytes = UINT64_MAX;
        if (!take(c, bytes, key))
            return false;
    }
    v->end = c->at;
    return true;
}

static bool bad_bool(const struct gguf_value *v)
{
    if (v->type == GGUF_BOOL || (v->type == GGUF_ARRAY && v->item == GGUF_BOOL))
        for (const unsigned char *p = v->at; p < v->end; p++)
            if (*p > 1)
                return true;
    return false;
}

static bool take_key(struct cursor *c, struct gguf_value *v)
{
    char name[64];
    uint32_t type;
    if (!take_text(c, &v->key, MAX_KEY_BYTES, "a key"))
        return false;
    shown(name, v->key);
    if (!take_u32(c, &type, name))
        return false;
    if (type >= NUM_GGUF_TYPES) {
        error_set(c->err, STATUS_FORMAT, "%s: key \"%s\" has the unknown type %u", c->path, name, (unsigned)type);
        return false;
    }
    v->type = (enum gguf_type)type;
    v->count = 1;
    v->at = c->at;
    if (type == GGUF_ARRAY) {
        if (!take_array(c, v, name))
            return false;
    } else if (type == GGUF_STRING) {
        struct gguf_text text;
        if (!take_text(c, &text, MAX_HEADER_BYTES, name))
            return false;
    } else if (!take(c, TYPE_BYTES[type], name))
        return false;
    v->end = c->at;
    if (bad_bool(v)) {
        error_set(c->err, STATUS_FORMAT, "%s: key \"%s\": a truth value is neither 0 nor 1", c->path, name);
        return false;
    }
    return true;
}

/* Elements and bytes of the tensor; false with the reason. */
static bool measure(struct cursor *c, struct gguf_tensor *t, uint32_t type)
{
    if (type >= NUM_GGML_TYPES || !GGML_TYPES[type].name) {
        error_set(c->err, STATUS_FORMAT, "%s: tensor \"%s\" has the unknown element type %u", c->path, t->name,
                  (unsigned)type);
        return false;
    }
    const struct ggml_type *known = &GGML_TYPES[type];
    t->type_name = known->name;
    t->readable = tensor_type_find(known->name, &t->type);
    uint64_t elements = 1;
    for (size_t d = 0; d < t->rank; d++)
        if (t->shape[d] == 0 || t->shape[d] > INT64_MAX || __builtin_mul_overflow(elements, t->shape[d], &elements)) {
            error_set(c->err, STATUS_FORMAT, "%s: tensor \"%s\": dimension %zu is %llu, which is empty or too much",
                      c->path, t->name, d, (unsigned long long)t->shape[d]);
            return false;
        }
    if ((t->rank ? t->shape[0] : 1) % known->block) {
        error_set(c->err, STATUS_FORMAT, "%s: tensor \"%s\": its rows of %llu are no multiple of %s's blocks of %u",
                  c->path, t->name, (unsigned long long)(t->rank ? t->shape[0] : 1), known->name, known->block);
        return false;
    }
    if (__builtin_mul_overflow(elements / known->block, (uint64_t)known->bytes, &t->size_bytes)) {
        error_set(c->err, STATUS_FORMAT, "%s: tensor \"%s\" has more bytes than can be counted", c->path, t->name);
        return false;
    }
    return true;
}

static bool take_tensor(struct cursor *c, struct gguf_tensor *t)
{
    struct gguf_text name;
    uint32_t rank, type;
    if (!take_text(c, &name, GGUF_NAME_BYTES - 1, "a tensor's name") || !take_u32(c, &rank, "a tensor's rank"))
        return false;
    memcpy(t->name, name.bytes, name.len);
    t->name[name.len] = 0;
    if (rank > GGUF_MAX_RANK) {
        error_set(c->err, STATUS_FORMAT, "%s: tensor \"%s\" has %u dimensions; at most %d are read", c->path, t->name,
                  (unsigned)rank, (int)GGUF_MAX_RANK);
        return false;
    }
    t->rank = rank;
    for (size_t d = 0; d < rank; d++)
        if (!take_u64(c, &t->shape[d], t->name))
            return false;
    if (!take_u32(c, &type, t->name) || !take_u64(c, &t->offset, t->name))
        return false;
    return measure(c, t, type);
}

static int compare_text(struct gguf_text a, struct gguf_text b)
{
    const int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int keys_by_name(const void *a, const void *b)
{
    return compare_text((*(const struct gguf_value *const *)a)->key, (*(const struct gguf_value *const *)b)->key);
}

static int tensors_by_name(const void *a, const void *b)
{
    return strcmp((*(const struct gguf_tensor *const *)a)->name, (*(const struct gguf_tensor *const *)b)->name);
}

static enum status sort_keys(struct gguf *file, struct error *err)
{
    for (size_t i = 0; i < file->num_keys; i++)
        file->keys_by_name[i] = &file->keys[i];
    qsort(file->keys_by_name, file->num_keys, sizeof *file->keys_by_name, keys_by_name);
    for (size_t i = 1; i < file->num_keys; i++)
        if (compare_text(file->keys_by_name[i - 1]->key, file->keys_by_name[i]->key) == 0) {
            char name[64];
            return error_set(err, STATUS_FORMAT, "%s: key \"%s\" is there twice", file->path,
                             shown(name, file->keys_by_name[i]->key));
        }
    return STATUS_OK;
}

/* Offsets relative to the data become places in the file; names are sorted. */
static enum status place_tensors(struct gguf *file, uint64_t header_bytes, struct error *err)
{
    uint64_t alignment = GGUF_ALIGNMENT;
    const enum status st = gguf_get_u64(file, "general.alignment", false, UINT32_MAX, &alignment, err);
    if (st != STATUS_OK)
        return st;
    if (alignment == 0 || (alignment & (alignment - 1)) || alignment > MAX_ALIGNMENT)
        return error_set(err, STATUS_FORMAT, "%s: general.alignment is %llu, where a power of two up to %d should be",
                         file->path, (unsigned long long)alignment, (int)MAX_ALIGNMENT);
    const uint64_t begin = (header_bytes + alignment - 1) / alignment * alignment; /* both are small */
    uint64_t next = 0;
    for (size_t i = 0; i < file->count; i++) {
        struct gguf_tensor *t = &file->tensors[i];
        if (t->offset != next)
            return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" begins at byte %llu of the data, where %llu should be",
                             file->path, t->name, (unsigned long long)t->offset, (unsigned long long)next);
        if (begin > file->size_bytes || next > file->size_bytes - begin ||
            t->size_bytes > file->size_bytes - begin - next)
            return error_set(err, STATUS_FORMAT, "%s: truncated: tensor \"%s\" of %llu bytes goes beyond the end of the file",
                             file->path, t->name, (unsigned long long)t->size_bytes);
        t->offset += begin;
        next += (t->size_bytes + alignment - 1) / alignment * alignment; /* below twice the file's size */
        file->tensors_by_name[i] = t;
    }
    qsort(file->tensors_by_name, file->count, sizeof *file->tensors_by_name, tensors_by_name);
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->tensors_by_name[i - 1]->name, file->tensors_by_name[i]->name) == 0)
            return error_set(err, STATUS_FORMAT, "%s: two tensors are named \"%s\"", file->path,
                             file->tensors_by_name[i]->name);
    if (begin <= file->size_bytes && next < file->size_bytes - begin)
        return error_set(err, STATUS_FORMAT, "%s: %llu bytes follow the last tensor", file->path,
                         (unsigned long long)(file->size_bytes - begin - next));
    return STATUS_OK;
}

static enum status check_counts(const struct gguf *file, uint64_t tensors, uint64_t keys, struct error *err)
{
    /* The least a key (length, one byte, type, value) and a tensor (length, rank, type, offset) take. */
    if (keys > MAX_KEYS || keys > file->size_bytes / 13)
        return error_set(err, STATUS_FORMAT, "%s: says to have %llu keys, more than fit (%d at most)", file->path,
                         (unsigned long long)keys, (int)MAX_KEYS);
    if (tensors > MAX_TENSORS || tensors > file->size_bytes / 24)
        return error_set(err, STATUS_FORMAT, "%s: says to have %llu tensors, more than fit (%d at most)", file->path,
                         (unsigned long long)tensors, (int)MAX_TENSORS);
    return STATUS_OK;
}

static enum status check_version(const struct gguf *file, uint32_t version, struct error *err)
{
    if (version == 2 || version == 3)
        return STATUS_OK;
    if ((version & 0xffff) == 0)
        return error_set(err, STATUS_FORMAT, "%s: a big-endian GGUF file, which is not read", file->path);
    return error_set(err, STATUS_FORMAT, "%s: GGUF version %u; versions 2 and 3 are read", file->path, (unsigned)version);
}

/* Parses what is at hand.  STATUS_OK with *more: a longer piece is wanted. */
static enum status parse(struct gguf *file, size_t have, bool *more, struct error *err)
{
    struct error why = {0};
    struct cursor c = {.path = file->path, .begin = file->header, .at = file->header, .end = file->header + have,
                       .beyond = file->size_bytes - have, .err = &why};
    uint32_t version = 0;
    uint64_t tensors = 0, keys = 0;
    const unsigned char *magic = take(&c, 4, "the magic");
    if (magic && memcmp(magic, "GGUF", 4) != 0)
        return error_set(err, STATUS_FORMAT, "%s: not a GGUF file: it does not begin with \"GGUF\"", file->path);
    bool good = magic && take_u32(&c, &version, "the version");
    enum status st = good ? check_version(file, version, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    good = good && take_u64(&c, &tensors, "the number of tensors") && take_u64(&c, &keys, "the number of keys");
    if (good && (st = check_counts(file, tensors, keys, err)) != STATUS_OK)
        return st;
    if (good && !file->keys) {
        file->keys = mem_calloc((size_t)keys, sizeof *file->keys);
        file->keys_by_name = mem_calloc((size_t)keys, sizeof *file->keys_by_name);
        file->tensors = mem_calloc((size_t)tensors, sizeof *file->tensors);
        file->tensors_by_name = mem_calloc((size_t)tensors, sizeof *file->tensors_by_name);
        if (!file->keys || !file->keys_by_name || !file->tensors || !file->tensors_by_name)
            return error_set(err, STATUS_NOMEM, "%s: no memory for a list of %llu tensors", file->path,
                             (unsigned long long)tensors);
    }
    for (file->num_keys = 0; good && file->num_keys < keys; file->num_keys += good)
        good = take_key(&c, &file->keys[file->num_keys]);
    for (file->count = 0; good && file->count < tensors; file->count += good)
        good = take_tensor(&c, &file->tensors[file->count]);
    *more = !good && c.more;
    if (*more)
        return STATUS_OK;
    if (!good) {
        if (err)
            *err = why;
        return STATUS_FORMAT;
    }
    st = sort_keys(file, err);
    return st == STATUS_OK ? place_tensors(file, (uint64_t)(c.at - c.begin), err) : st;
}

static enum status read_header(struct gguf *file, struct error *err)
{
    size_t have = 0;
    for (uint64_t piece = FIRST_PIECE_BYTES;; piece *= 4) {
        const size_t want = piece < file->size_bytes ? (size_t)piece : (size_t)file->size_bytes;
        if (want > MAX_HEADER_BYTES)
            return error_set(err, STATUS_FORMAT, "%s: its keys and values are longer than the %d bytes that are read",
                             file->path, (int)MAX_HEADER_BYTES);
        unsigned char *longer = mem_realloc(file->header, want);
        if (!longer)
            return error_set(err, STATUS_NOMEM, "%s: no memory for %zu bytes of keys and values", file->path, want);
        file->header = longer;
        enum status st = file_read_at(file->fd, file->path, have, file->header + have, want - have, err);
        bool more = false;
        have = want;
        if (st == STATUS_OK)
            st = parse(file, have, &more, err);
        if (st != STATUS_OK || !more)
            return st;
    }
}

struct gguf *gguf_open(const char *path, struct error *err)
{
    struct gguf *file = mem_calloc(1, sizeof *file);
    char *copy = mem_strdup(path);
    if (!file || !copy) {
        error_set(err, STATUS_NOMEM, "no memory to open %s", path);
        mem_free(copy);
        mem_free(file);
        return NULL;
    }
    file->path = copy;
    file->fd = file_open_read(path, &file->size_bytes, err);
    if (file->fd < 0 || read_header(file, err) != STATUS_OK) {
        gguf_close(file);
        return NULL;
    }
    return file;
}

void gguf_close(struct gguf *file)
{
    if (!file)
        return;
    file_close(file->fd);
    mem_free(file->keys);
    mem_free(file->keys_by_name);
    mem_free(file->tensors);
    mem_free(file->tensors_by_name);
    mem_free(file->header);
    mem_free(file->path);
    mem_free(file);
}

const char *gguf_path(const struct gguf *file)
{
    return file->path;
}

size_t gguf_count(const struct gguf *file)
{
    return file->count;
}

const struct gguf_tensor *gguf_at(const struct gguf *file, size_t i)
{
    CHECK(i < file->count);
    return &file->tensors[i];
}

const struct gguf_tensor *gguf_find(const struct gguf *file, const char *name)
{
    struct gguf_tensor key;
    const struct gguf_tensor *wanted = &key;
    const size_t n = strlen(name);
    if (n >= sizeof key.name || file->count == 0)
        return NULL;
    memcpy(key.name, name, n + 1);
    const struct gguf_tensor *const *found =
        bsearch(&wanted, file->tensors_by_name, file->count, sizeof *file->tensors_by_name, tensors_by_name);
    return found ? *found : NULL;
}

enum status gguf_read(const struct gguf *file, const struct gguf_tensor *tensor, uint64_t from, void *out, size_t n,
                      struct error *err)
{
    CHECK(from <= tensor->size_bytes && n <= tensor->size_bytes - from);
    return file_read_at(file->fd, file->path, tensor->offset + from, out, n, err);
}

size_t gguf_num_keys(const struct gguf *file)
{
    return file->num_keys;
}

const struct gguf_value *gguf_key_at(const struct gguf *file, size_t i)
{
    CHECK(i < file->num_keys);
    return &file->keys[i];
}

const struct gguf_value *gguf_key(const struct gguf *file, const char *key)
{
    const struct gguf_value wanted = {.key = {key, strlen(key)}}, *at = &wanted;
    const struct gguf_value *const *found =
        file->num_keys ? bsearch(&at, file->keys_by_name, file->num_keys, sizeof *file->keys_by_name, keys_by_name) : NULL;
    return found ? *found : NULL;
}
