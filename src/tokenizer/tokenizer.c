/* SPDX-License-Identifier: MIT
 * tokenizer/tokenizer.c - the two kinds that need no merges.  A tokenizer is made in one of two ways, from code points
 * or from a tokenizer.json; either way its tokenizer.json is made anew here, so one kind with one vocabulary has one
 * file and one checksum.  Format of the file: huggingface/tokenizers, tokenizers/src/tokenizer/serialization.rs.
 */
#include "tokenizer/tokenizer.h"

#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char END_OF_TEXT[] = "<|endoftext|>";

enum { NUM_BYTES = 256, ASCII = 128, MAX_FILE_BYTES = 256 << 20 };

enum kind { KIND_BYTES, KIND_CHARS };

struct tokenizer {
    enum kind kind;
    uint32_t *code_points; /* [num_plain], ascending: characters only */
    uint32_t num_plain;    /* tokens that stand for text */
    int32_t end_of_text;   /* num_plain, or -1 */
    int32_t ascii[ASCII];  /* characters only: their ids, -1 outside the vocabulary */
    struct buffer json;
    uint32_t crc32;
};

/* The character that stands for a byte in a byte-level vocabulary: printable ones of Latin-1 for themselves, the
 * others in order from U+0100 (GPT-2's encoder.py, bytes_to_unicode). */
static uint32_t byte_character(unsigned byte)
{
    uint32_t moved = 0;
    for (unsigned b = 0;; b++) {
        const bool itself = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte)
            return itself ? b : NUM_BYTES + moved;
        if (!itself)
            moved++;
    }
}

static json_t *byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex",
                     0);
}

/* What the file is made of besides the vocabulary. */
static enum status make_json(struct tokenizer *tokenizer, struct error *err)
{
    json_t *vocab = json_object(), *added = json_array();
    bool ok = vocab && added;
    for (uint32_t id = 0; id < tokenizer->num_plain && ok; id++) {
        char text[5] = {0};
        utf8_encode(tokenizer->kind == KIND_BYTES ? byte_character(id) : tokenizer->code_points[id], text);
        ok = json_object_set_new(vocab, text, json_integer(id)) == 0;
    }
    if (tokenizer->end_of_text >= 0 && ok)
        ok = json_array_append_new(added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id",
                                                    (int)tokenizer->end_of_text, "content", END_OF_TEXT, "single_word",
                                                    0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1)) == 0;
    const bool bytes = tokenizer->kind == KIND_BYTES;
    json_t *file = json_pack(
        "{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}}", "version",
        "1.0", "truncation", "padding", "added_tokens", added, "normalizer", "pre_tokenizer",
        bytes ? byte_level() : json_null(), "post_processor", "decoder",
        bytes ? byte_level() : json_pack("{s:s}", "type", "Fuse"), "model", "type", "BPE", "dropout", "unk_token",
        "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0,
        "vocab", vocab, "merges");
    const enum status st = json_write(ok ? file : NULL, true, &tokenizer->json, err);
    json_decref(file);
    if (st == STATUS_OK)
        tokenizer->crc32 =
            (uint32_t)crc32_z(0, (const unsigned char *)tokenizer->json.data, tokenizer->json.len);
    return st;
}

static struct tokenizer *finish(struct tokenizer *tokenizer, struct error *err)
{
    if (make_json(tokenizer, err) == STATUS_OK)
        return tokenizer;
    tokenizer_free(tokenizer);
    return NULL;
}

struct tokenizer *tokenizer_new_bytes(struct error *err)
{
    struct tokenizer *tokenizer = mem_calloc(1, sizeof *tokenizer);
    if (!tokenizer) {
        error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
        return NULL;
    }
    tokenizer->kind = KIND_BYTES;
    tokenizer->num_plain = NUM_BYTES;
    tokenizer->end_of_text = NUM_BYTES;
    return finish(tokenizer, err);
}

struct tokenizer *tokenizer_new_chars(const uint32_t *code_points, size_t n, bool with_end_of_text, struct error *err)
{
    if (n == 0) {
        error_set(err, STATUS_MISUSE, "a character tokenizer needs at least one character");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        char text[4];
        if (utf8_encode(code_points[i], text) == 0 || (i && code_points[i] <= code_points[i - 1])) {
            error_set(err, STATUS_MISUSE, "character %zu, U+%04X, is not a character or not above the one before it", i,
                      code_points[i]);
            return NULL;
        }
    }
    if (code_points[0] == 0) {
        error_set(err, STATUS_FORMAT,
                  "the text has the character U+0000, which a character vocabulary cannot hold; is it text? The byte "
                  "tokenizer takes anything");
        return NULL;
    }
    struct tokenizer *tokenizer = mem_calloc(1, sizeof *tokenizer);
    if (tokenizer)
        tokenizer->code_points = mem_calloc(n, sizeof *code_points);
    if (!tokenizer || !tokenizer->code_points) {
        mem_free(tokenizer);
        error_set(err, STATUS_NOMEM, "no memory for a tokenizer of %zu characters", n);
        return NULL;
    }
    tokenizer->kind = KIND_CHARS;
    tokenizer->num_plain = (uint32_t)n; /* at most 0x110000: they ascend */
    tokenizer->end_of_text = with_end_of_text ? (int32_t)n : -1;
    memcpy(tokenizer->code_points, code_points, n * sizeof *code_points);
    memset(tokenizer->ascii, -1, sizeof tokenizer->ascii);
    for (size_t i = 0; i < n && code_points[i] < ASCII; i++)
        tokenizer->ascii[code_points[i]] = (int32_t)i;
    return finish(tokenizer, err);
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    mem_free(tokenizer->code_points);
    buffer_release(&tokenizer->json);
    mem_free(tokenizer);
}

/* What a member that has a "type" is: its type, "null" when absent, or "something unknown". */
static const char *type_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return "null";
    const char *type = json_string_value(json_object_get(value, "type"));
    return type ? type : "something unknown";
}

static enum status refuse(const char *path, const char *what, const char *found, struct error *err)
{
    return error_set(err, STATUS_CONFIG,
                     "%s: its %s is %s, which is not done here; only byte and character vocabularies without merges are",
                     path, what, found);
}

/* Everything that changes ids or text must be absent or as in our own files. */
static enum status check_parts(const json_t *file, const char *path, enum kind *kind, struct error *err)
{
    static const char *const absent[] = {"truncation", "padding", "normalizer", "post_processor"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (strcmp(type_of(file, absent[i]), "null") != 0)
            return refuse(path, absent[i], type_of(file, absent[i]), err);
    const json_t *model = json_object_get(file, "model");
    if (strcmp(type_of(file, "model"), "BPE") != 0)
        return refuse(path, "model", type_of(file, "model"), err);
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_array(merges))
        return error_set(err, STATUS_FORMAT, "%s: its model has no list \"merges\"", path);
    if (json_array_size(merges))
        return error_set(err, STATUS_CONFIG,
                         "%s: a BPE vocabulary with %zu merges, which is not done here; only byte and character "
                         "vocabularies without merges are",
                         path, json_array_size(merges));
    static const char *const unset[] = {"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        const json_t *value = json_object_get(model, unset[i]);
        if (value && !json_is_null(value) && !(json_is_string(value) && json_string_length(value) == 0))
            return refuse(path, unset[i], "set", err);
    }
    static const char *const off[] = {"fuse_unk", "byte_fallback"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        bool on = false;
        const enum status st = json_get_bool(model, off[i], false, &on, path, err);
        if (st != STATUS_OK)
            return st;
        if (on)
            return refuse(path, off[i], "on", err);
    }
    const char *pre = type_of(file, "pre_tokenizer"), *decoder = type_of(file, "decoder");
    if (strcmp(pre, "ByteLevel") == 0) {
        bool prefix = true; /* what tokenizers takes when it is absent */
        const enum status st = json_get_bool(json_object_get(file, "pre_tokenizer"), "add_prefix_space", false, &prefix,
                                             path, err);
        if (st != STATUS_OK)
            return st;
        if (prefix)
            return refuse(path, "pre_tokenizer", "ByteLevel with add_prefix_space", err);
        *kind = KIND_BYTES;
    } else if (strcmp(pre, "null") == 0)
        *kind = KIND_CHARS;
    else
        return refuse(path, "pre_tokenizer", pre, err);
    if (strcmp(decoder, *kind == KIND_BYTES ? "ByteLevel" : "Fuse") != 0)
        return refuse(path, "decoder", decoder, err);
    return STATUS_OK;
}

/* Fills code_points[id] for all ids 0 … n-1; each must occur once and be one character. */
static enum status read_vocab(const json_t *vocab, const char *path, uint32_t *code_points, size_t n, struct error *err)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)vocab); it;
         it = json_object_iter_next((json_t *)(uintptr_t)vocab, it)) {
        const char *text = json_object_iter_key(it);
        const json_t *id = json_object_iter_value(it);
        const size_t len = strlen(text);
        uint32_t code_point;
        if (len == 0 || utf8_decode(text, len, &code_point) != (int)len)
            return error_set(err, STATUS_CONFIG,
                             "%s: its token \"%.100s\" is not one character, which is not done here without merges", path,
                             text);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || (uint64_t)json_integer_value(id) >= n)
            return error_set(err, STATUS_FORMAT, "%s: the id of token \"%s\" should be an integer in 0 … %zu", path, text,
                             n - 1);
        const size_t i = (size_t)json_integer_value(id);
        if (code_points[i] != UINT32_MAX)
            return error_set(err, STATUS_FORMAT, "%s: two tokens have the id %zu", path, i);
        code_points[i] = code_point;
    }
    return STATUS_OK;
}

/* *special is whether <|endoftext|> is added, with the id after the vocabulary. */
static enum status read_added(const json_t *file, const char *path, size_t n, bool *special, struct error *err)
{
    const json_t *added = json_object_get(file, "added_tokens");
    const size_t count = json_array_size(added);
    *special = count == 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *token = json_array_get(added, i);
        const char *text = NULL;
        uint64_t id = 0;
        enum status st = json_get_text(token, "content", true, &text, path, err);
        if (st == STATUS_OK)
            st = json_get_u64(token, "id", true, INT32_MAX, &id, path, err);
        if (st != STATUS_OK)
            return st;
        if (strcmp(text, END_OF_TEXT) != 0 || count > 1 || id != n)
            return error_set(err, STATUS_CONFIG,
                             "%s: its added token \"%.100s\" with the id %llu is not done here; only one, %s, with the id "
                             "%zu is",
                             path, text, (unsigned long long)id, END_OF_TEXT, n);
    }
    return STATUS_OK;
}

static struct tokenizer *from_json(const json_t *file, const char *path, struct error *err)
{
    enum kind kind = KIND_BYTES;
    bool special;
    if (!json_is_object(file)) {
        error_set(err, STATUS_FORMAT, "%s: should be a JSON object", path);
        return NULL;
    }
    if (check_parts(file, path, &kind, err) != STATUS_OK)
        return NULL;
    const json_t *vocab = json_object_get(json_object_get(file, "model"), "vocab");
    const size_t n = json_object_size(vocab);
    if (n == 0 || n > 0x110000) {
        error_set(err, STATUS_FORMAT, "%s: a vocabulary of %zu tokens; should be an object with one entry a token", path,
                  n);
        return NULL;
    }
    if (read_added(file, path, n, &special, err) != STATUS_OK)
        return NULL;
    uint32_t *code_points = mem_calloc(n, sizeof *code_points);
    if (!code_points) {
        error_set(err, STATUS_NOMEM, "no memory for a vocabulary of %zu tokens", n);
        return NULL;
    }
    memset(code_points, 0xff, n * sizeof *code_points);
    struct tokenizer *tokenizer = NULL;
    if (read_vocab(vocab, path, code_points, n, err) != STATUS_OK)
        goto out;
    if (kind == KIND_BYTES) {
        for (size_t i = 0; i < n; i++)
            if (n != NUM_BYTES || !special || code_points[i] != byte_character((unsigned)i)) {
                error_set(err, STATUS_CONFIG,
                          "%s: a byte-level vocabulary other than the %d bytes in order and %s is not done here", path,
                          (int)NUM_BYTES, END_OF_TEXT);
                goto out;
            }
        tokenizer = tokenizer_new_bytes(err);
    } else {
        for (size_t i = 1; i < n; i++)
            if (code_points[i] <= code_points[i - 1]) {
                error_set(err, STATUS_CONFIG,
                          "%s: a character vocabulary whose ids are not in the order of the characters is not done here",
                          path);
                goto out;
            }
        tokenizer = tokenizer_new_chars(code_points, n, special, err);
    }
out:
    mem_free(code_points);
    return tokenizer;
}

struct tokenizer *tokenizer_load(const char *path, struct error *err)
{
    struct buffer inside = {0};
    if (file_is_directory(path))
        path = path_join(&inside, path, "tokenizer.json");
    struct tokenizer *tokenizer = NULL;
    json_t *file = json_read_file(path, MAX_FILE_BYTES, err);
    if (file)
        tokenizer = from_json(file, path, err);
    json_decref(file);
    buffer_release(&inside);
    return tokenizer;
}

const char *tokenizer_kind(const struct tokenizer *tokenizer)
{
    return tokenizer->kind == KIND_BYTES ? "byte" : "char";
}

uint32_t tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
    return tokenizer->num_plain + (tokenizer->end_of_text >= 0);
}

int32_t tokenizer_end_of_text(const struct tokenizer *tokenizer)
{
    return tokenizer->end_of_text;
}

uint32_t tokenizer_crc32(const struct tokenizer *tokenizer)
{
    return tokenizer->crc32;
}

/* -1: not in the vocabulary. */
static int32_t find_character(const struct tokenizer *tokenizer, uint32_t code_point)
{
    if (code_point < ASCII)
        return tokenizer->ascii[code_point];
    uint32_t low = 0, high = tokenizer->num_plain;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (tokenizer->code_points[middle] < code_point)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tokenizer->num_plain && tokenizer->code_points[low] == code_point ? (int32_t)low : -1;
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len, struct buffer *ids,
                             struct error *err)
{
    size_t most;
    if (!size_mul(len, sizeof(int32_t), &most) || !buffer_reserve(ids, most))
        return error_set(err, STATUS_NOMEM, "no memory for the tokens of %zu bytes of text", len);
    const size_t before = ids->len;
    for (size_t i = 0; i < len;) {
        int32_t id;
        int n = 1;
        if (tokenizer->kind == KIND_BYTES)
            id = (unsigned char)text[i];
        else {
            uint32_t code_point = 0;
            n = utf8_decode(text + i, len - i, &code_point);
            id = n > 0 ? find_character(tokenizer, code_point) : -1;
            if (id < 0) {
                ids->len = before;
                return n <= 0
                           ? error_set(err, STATUS_FORMAT, "byte %zu of the text, 0x%02X, is not UTF-8", i,
                                       (unsigned char)text[i])
                           : error_set(err, STATUS_FORMAT,
                                       "byte %zu of the text: the character \"%.*s\" (U+%04X) is not in the vocabulary "
                                       "of %u characters",
                                       i, code_point < 0x20 ? 0 : n, text + i, code_point, tokenizer->num_plain);
            }
        }
        memcpy(ids->data + ids->len, &id, sizeof id);
        ids->len += sizeof id;
        i += (size_t)n;
    }
    if (ids->data)
        ids->data[ids->len] = 0;
    return STATUS_OK;
}

enum status tokenizer_decode(const struct tokenizer *tokenizer, int32_t id, struct buffer *text, struct error *err)
{
    if (id < 0 || (uint32_t)id >= tokenizer_vocab_size(tokenizer))
        return error_set(err, STATUS_FORMAT, "token %d is outside the vocabulary of %u", (int)id,
                         tokenizer_vocab_size(tokenizer));
    if (id == tokenizer->end_of_text)
        return STATUS_OK;
    char bytes[4] = {(char)id};
    const int n = tokenizer->kind == KIND_BYTES ? 1 : utf8_encode(tokenizer->code_points[id], bytes);
    buffer_append(text, bytes, (size_t)n);
    return text->failed ? error_set(err, STATUS_NOMEM, "no memory for the text of tokens") : STATUS_OK;
}

enum status tokenizer_json(const struct tokenizer *tokenizer, struct buffer *out, struct error *err)
{
    buffer_append(out, tokenizer->json.data, tokenizer->json.len);
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory for tokenizer.json") : STATUS_OK;
}

enum status tokenizer_config_json(const struct tokenizer *tokenizer, size_t max_length, struct buffer *out,
                                  struct error *err)
{
    const char *special = tokenizer->end_of_text >= 0 ? END_OF_TEXT : NULL;
    json_t *file = json_pack("{s:s, s:I, s:b, s:s*, s:s*}", "tokenizer_class", "PreTrainedTokenizerFast",
                             "model_max_length", (json_int_t)max_length, "clean_up_tokenization_spaces", 0, "bos_token",
                             special, "eos_token", special);
    const enum status st = json_write(file, true, out, err);
    json_decref(file);
    return st;
}
