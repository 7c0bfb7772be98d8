/* SPDX-License-Identifier: MIT
 * tokenizer/tokenizer.c - how a tokenizer comes to be: always from the text of a tokenizer.json, be it a file or one
 * made here from bytes or characters; so what is written is what was read.
 * Format of the file: huggingface/tokenizers, tokenizers/src/tokenizer/serialization.rs.
 */
#include "tokenizer/tokenizer.h"

#include "base/crc32.h"
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/tokenizer_internal.h"

#include <string.h>

static const char END_OF_TEXT[] = "<|endoftext|>";

enum { MAX_FILE_BYTES = 256 << 20, MAX_CHARACTERS = 0x110000 };

void tokenizer_free(struct tokenizer *tokenizer)
{
    struct tokenizer *t = tokenizer;
    if (!t)
        return;
    for (size_t i = 0; i < MAX_STEPS; i++) {
        mem_free(t->normal[i].from);
        mem_free(t->normal[i].to);
    }
    for (size_t i = 0; i < t->num_added; i++) {
        mem_free(t->added[i].text);
        mem_free(t->added[i].pattern);
    }
    mem_free(t->added);
    added_trie_release(&t->as_written);
    added_trie_release(&t->normalized);
    merges_release(&t->merges);
    words_release(&t->words);
    mem_free(t->tokens);
    mem_free(t->texts);
    mem_free(t->before);
    mem_free(t->after);
    buffer_release(&t->json);
    buffer_release(&t->config);
    mem_free(t);
}

/* "byte" and "char" are what tokenizer_new_bytes and tokenizer_new_chars make, whoever wrote the file. */
static const char *kind_of(const struct tokenizer *t)
{
    if (t->has_merges || t->num_normal || t->num_pre || t->byte_fallback || t->unknown >= 0 || t->ignore_merges)
        return "bpe";
    bool in_order = t->byte_level && t->vocab_size >= NUM_BYTES;
    for (int b = 0; b < NUM_BYTES && in_order; b++)
        in_order = t->byte_ids[b] == b;
    if (t->byte_level)
        return in_order && t->vocab_size - NUM_BYTES == t->num_added ? "byte" : "bpe";
    for (uint32_t id = 0; id < t->vocab_size; id++) {
        const struct token_text *token = &t->tokens[id];
        uint32_t c;
        if (token->text && !token->plain && utf8_decode(token->text, token->len, &c) != (int)token->len)
            return "bpe";
    }
    return "char";
}

/* Takes json and config over, which are emptied. */
static struct tokenizer *make(struct buffer *json, const char *where, struct buffer *config, const char *config_where,
                              struct error *err)
{
    struct tokenizer *t = mem_calloc(1, sizeof *t);
    json_t *file = NULL, *settings = NULL;
    enum status st = STATUS_OK;
    if (!t)
        st = error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
    else if (json->len == 0)
        st = error_set(err, STATUS_FORMAT, "%s is empty, where a JSON object should be", where);
    else if (!(file = json_read_text(json->data, json->len, where, err)))
        st = err->status;
    else if (config->len && !(settings = json_read_text(config->data, config->len, config_where, err)))
        st = err->status;
    else if (!json_is_object(file))
        st = error_set(err, STATUS_FORMAT, "%s: should be a JSON object", where);
    if (st == STATUS_OK) {
        unicode_init(&t->unicode);
        st = load_steps(t, file, where, err);
    }
    if (st == STATUS_OK)
        st = load_model(t, file, where, err);
    if (st == STATUS_OK)
        st = load_added(t, file, where, err);
    if (st == STATUS_OK)
        st = load_config(t, settings, config_where, err);
    json_decref(file);
    json_decref(settings);
    if (st != STATUS_OK) {
        buffer_release(json);
        buffer_release(config);
        tokenizer_free(t);
        return NULL;
    }
    t->kind = kind_of(t);
    t->json = *json;
    t->config = *config;
    *json = *config = (struct buffer){0};
    t->crc32 = crc32_ieee(0, t->json.data, t->json.len);
    return t;
}

struct tokenizer *tokenizer_from_text(const char *json, size_t len, const char *where, struct error *err)
{
    struct buffer text = {0}, none = {0};
    buffer_append(&text, json, len);
    if (text.failed) {
        error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
        return NULL;
    }
    return make(&text, where, &none, "", err);
}

struct tokenizer *tokenizer_load(const char *path, struct error *err)
{
    struct buffer inside = {0}, beside = {0}, json = {0}, config = {0}, directory = {0};
    if (file_is_directory(path)) {
        buffer_append_text(&directory, path);
        path = path_join(&inside, path, "tokenizer.json");
    } else {
        const char *slash = strrchr(path, '/');
        buffer_append(&directory, slash ? path : ".", slash ? (size_t)(slash - path) + 1 : 1);
    }
    path_join(&beside, directory.data ? directory.data : "", "tokenizer_config.json");
    struct tokenizer *tokenizer = NULL;
    enum status st = STATUS_OK;
    if (inside.failed || beside.failed || directory.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for a path");
    if (st == STATUS_OK)
        st = file_read(path, MAX_FILE_BYTES, &json, err);
    if (st == STATUS_OK && file_exists(beside.data))
        st = file_read(beside.data, MAX_FILE_BYTES, &config, err);
    if (st == STATUS_OK)
        tokenizer = make(&json, path, &config, beside.data, err);
    buffer_release(&json);
    buffer_release(&config);
    buffer_release(&directory);
    buffer_release(&inside);
    buffer_release(&beside);
    return tokenizer;
}

static json_t *byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0, "use_regex",
                     0);
}

/* A model without merges: id i is the character that stands for byte i, or code_points[i]. */
static struct tokenizer *plain(const uint32_t *code_points, size_t n, bool with_end_of_text, struct error *err)
{
    json_t *vocab = json_object(), *added = json_array();
    bool ok = vocab && added;
    for (uint32_t id = 0; id < n && ok; id++) {
        char text[5] = {0};
        utf8_encode(code_points ? code_points[id] : byte_character(id), text);
        ok = json_object_set_new(vocab, text, json_integer(id)) == 0;
    }
    if (with_end_of_text && ok)
        ok = json_array_append_new(added, json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (int)n, "content",
                                                    END_OF_TEXT, "single_word", 0, "lstrip", 0, "rstrip", 0,
                                                    "normalized", 0, "special", 1)) == 0;
    json_t *file =
        json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:n, s:o, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}}",
                  "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer", "pre_tokenizer",
                  code_points ? json_null() : byte_level(), "post_processor", "decoder",
                  code_points ? json_pack("{s:s}", "type", "Fuse") : byte_level(), "model", "type", "BPE", "dropout",
                  "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                  "ignore_merges", 0, "vocab", vocab, "merges");
    struct buffer text = {0}, none = {0};
    const enum status st = json_write(ok ? file : NULL, true, &text, err);
    json_decref(file);
    if (st == STATUS_OK)
        return make(&text, "the tokenizer made here", &none, "", err);
    buffer_release(&text);
    return NULL;
}

struct tokenizer *tokenizer_new_bytes(struct error *err)
{
    return plain(NULL, NUM_BYTES, true, err);
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
    return plain(code_points, n, with_end_of_text, err);
}

const char *tokenizer_kind(const struct tokenizer *tokenizer)
{
    return tokenizer->kind;
}

uint32_t tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}

int32_t tokenizer_end_of_text(const struct tokenizer *tokenizer)
{
    return tokenizer->end_of_text;
}

int32_t tokenizer_begin_of_text(const struct tokenizer *tokenizer)
{
    return tokenizer->begin_of_text;
}

uint32_t tokenizer_crc32(const struct tokenizer *tokenizer)
{
    return tokenizer->crc32;
}

int32_t tokenizer_added(const struct tokenizer *tokenizer, const char *text)
{
    for (size_t i = 0; i < tokenizer->num_added; i++)
        if (strcmp(tokenizer->added[i].text, text) == 0)
            return tokenizer->added[i].id;
    return -1;
}

enum status tokenizer_json(const struct tokenizer *tokenizer, struct buffer *out, struct error *err)
{
    buffer_append(out, tokenizer->json.data, tokenizer->json.len);
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory for tokenizer.json") : STATUS_OK;
}

static const char *text_of(const struct tokenizer *t, int32_t id)
{
    for (size_t i = 0; i < t->num_added; i++)
        if (t->added[i].id == id)
            return t->added[i].text;
    return NULL;
}

enum status tokenizer_config_json(const struct tokenizer *tokenizer, size_t max_length, struct buffer *out,
                                  struct error *err)
{
    const struct tokenizer *t = tokenizer;
    if (t->config.len) {
        buffer_append(out, t->config.data, t->config.len);
        return out->failed ? error_set(err, STATUS_NOMEM, "no memory for tokenizer_config.json") : STATUS_OK;
    }
    const char *end = text_of(t, t->end_of_text), *begin = text_of(t, t->begin_of_text);
    json_t *file = json_pack("{s:s, s:I, s:b, s:s*, s:s*}", "tokenizer_class", "PreTrainedTokenizerFast",
                             "model_max_length", (json_int_t)max_length, "clean_up_tokenization_spaces", 0, "bos_token",
                             begin ? begin : end, "eos_token", end);
    const enum status st = json_write(file, true, out, err);
    json_decref(file);
    return st;
}
