/* SPDX-License-Identifier: MIT
 * gguf_tokenizer.c - a table of tokens to and from the keys of a GGUF file.
 */
#include "formats/gguf_tokenizer.h"

#include "base/memory.h"
#include "token_table_internal.h"

#include <math.h>
#include <string.h>

enum { MAX_VOCABULARY = 1 << 24, MAX_MERGES = 1 << 24 };

void token_table_release(struct token_table *table)
{
    buffer_release(&table->text);
    mem_free(table->tokens);
    mem_free(table->merges);
    *table = (struct token_table){0};
}

enum status token_table_init(struct token_table *table, size_t count, size_t num_merges, struct error *err)
{
    table->tokens = mem_calloc(count, sizeof *table->tokens);
    table->merges = mem_calloc(num_merges, sizeof *table->merges);
    if (!table->tokens || !table->merges)
        return error_set(err, STATUS_NOMEM, "no memory for a vocabulary of %zu tokens", count);
    table->count = count;
    table->num_merges = num_merges;
    table->unknown = -1;
    for (size_t i = 0; i < count; i++)
        table->tokens[i].type = TOKEN_UNUSED;
    return STATUS_OK;
}

void token_table_name(struct token_table *table, struct token *token, const char *bytes, size_t len)
{
    token->at = table->text.len;
    token->len = len;
    buffer_append(&table->text, bytes, len);
    buffer_append(&table->text, "", 1);
}

void token_table_merge(struct token_table *table, struct token *merge, const char *left, size_t left_len,
                       const char *right, size_t right_len)
{
    merge->at = table->text.len;
    merge->len = left_len + 1 + right_len;
    buffer_append(&table->text, left, left_len);
    buffer_append(&table->text, " ", 1);
    buffer_append(&table->text, right, right_len);
    buffer_append(&table->text, "", 1);
}

/* --- writing --------------------------------------------------------------------------------------------------- */

static json_t *parse_text(const struct text_files *texts, const char *name, enum status *st, struct error *err)
{
    const struct buffer *text = text_files_find(texts, name);
    *st = STATUS_OK;
    if (!text)
        return NULL;
    json_t *value = json_read_text(text->len ? text->data : "", text->len, name, err);
    if (!value)
        *st = STATUS_FORMAT;
    return value;
}

/* Special tokens stand in tokenizer_config.json as a word or as an object with its "content". */
static int32_t id_of(const struct token_table *table, const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    const char *word = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    const size_t len = word ? strlen(word) : 0;
    for (size_t i = 0; word && i < table->count; i++)
        if (table->tokens[i].len == len && table->tokens[i].type != TOKEN_UNUSED &&
            memcmp(table->text.data + table->tokens[i].at, word, len) == 0)
            return (int32_t)i;
    return -1;
}

/* The template: a text, or the one named "default" in a list of them. */
static const json_t *chat_template(const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template");
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_object_get(one, "template");
    }
    return value;
}

static void write_table(struct gguf_writer *w, const struct token_table *t)
{
    const bool pieces = t->kind == KIND_SENTENCEPIECE;
    const char *text = t->text.data;
    const char *model = pieces ? "llama" : "gpt2", *pre = pieces ? "default" : t->pre;
    gguf_set_text(w, "tokenizer.ggml.model", model, strlen(model));
    gguf_set_text(w, "tokenizer.ggml.pre", pre, strlen(pre));
    gguf_set_array(w, "tokenizer.ggml.tokens", GGUF_STRING, t->count);
    for (size_t i = 0; i < t->count; i++)
        gguf_item_text(w, text + t->tokens[i].at, t->tokens[i].len);
    if (pieces) {
        gguf_set_array(w, "tokenizer.ggml.scores", GGUF_F32, t->count);
        for (size_t i = 0; i < t->count; i++)
            gguf_item_float(w, t->tokens[i].score);
    }
    gguf_set_array(w, "tokenizer.ggml.token_type", GGUF_I32, t->count);
    for (size_t i = 0; i < t->count; i++)
        gguf_item_i32(w, (int32_t)t->tokens[i].type);
    if (!pieces) {
        gguf_set_array(w, "tokenizer.ggml.merges", GGUF_STRING, t->num_merges);
        for (size_t i = 0; i < t->num_merges; i++)
            gguf_item_text(w, text + t->merges[i].at, t->merges[i].len);
    }
    const struct {
        const char *key;
        int32_t id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", t->ids.bos},
               {"tokenizer.ggml.eos_token_id", t->ids.eos},
               {"tokenizer.ggml.unknown_token_id", t->unknown},
               {"tokenizer.ggml.padding_token_id", t->ids.pad}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0)
            gguf_set_u32(w, ids[i].key, (uint32_t)ids[i].id);
    gguf_set_bool(w, "tokenizer.ggml.add_bos_token", t->add_bos);
    gguf_set_bool(w, "tokenizer.ggml.add_eos_token", t->add_eos);
    gguf_set_bool(w, "tokenizer.ggml.add_space_prefix", t->add_space_prefix);
}

static void write_template(struct gguf_writer *w, const struct text_files *texts, const json_t *config)
{
    const json_t *in_config = chat_template(config);
    const struct buffer *in_file = text_files_find(texts, "chat_template.jinja");
    if (in_file && in_file->len && !memchr(in_file->data, 0, in_file->len))
        gguf_set_text(w, "tokenizer.chat_template", in_file->data, in_file->len);
    else if (json_is_string(in_config))
        gguf_set_text(w, "tokenizer.chat_template", json_string_value(in_config), json_string_length(in_config));
}

/* llama.cpp's own default for byte-level BPE is token 11 for both, and there is no way to say "none". */
static void note_missing_end(const struct token_table *t, struct error *note)
{
    enum { LLAMA_CPP_DEFAULT = 11 };
    if (t->kind == KIND_BYTE_LEVEL && t->ids.eos < 0 && t->count > LLAMA_CPP_DEFAULT)
        error_set(note, STATUS_OK,
                  "the model has no token that ends a text, and llama.cpp then takes token %d (\"%.*s\") for it; run it "
                  "with --ignore-eos",
                  (int)LLAMA_CPP_DEFAULT, (int)t->tokens[LLAMA_CPP_DEFAULT].len,
                  t->text.data + t->tokens[LLAMA_CPP_DEFAULT].at);
}

enum status gguf_set_tokenizer(struct gguf_writer *w, const struct text_files *texts, size_t vocab_size,
                               struct gguf_special_tokens ids, struct error *note, struct error *err)
{
    enum status st;
    if (note)
        *note = (struct error){0};
    json_t *tokenizer = parse_text(texts, "tokenizer.json", &st, err);
    if (!tokenizer) {
        if (st == STATUS_OK) {
            gguf_set_text(w, "tokenizer.ggml.model", "none", 4);
            error_set(note, STATUS_OK, "the model has no tokenizer.json, so the file has no tokenizer");
        }
        return st;
    }
    json_t *config = parse_text(texts, "tokenizer_config.json", &st, err);
    struct token_table table = {0};
    if (st == STATUS_OK)
        st = token_table_from_json(&table, tokenizer, vocab_size, "tokenizer.json", note, err);
    if (st == STATUS_OK) {
        const int32_t bos = id_of(&table, config, "bos_token"), eos = id_of(&table, config, "eos_token"),
                      pad = id_of(&table, config, "pad_token");
        table.ids = (struct gguf_special_tokens){bos >= 0 ? bos : ids.bos, eos >= 0 ? eos : ids.eos,
                                                 pad >= 0 ? pad : ids.pad};
        write_table(w, &table);
        write_template(w, texts, config);
        const struct buffer *whole = text_files_find(texts, "tokenizer.json");
        gguf_set_text(w, "tokenizer.huggingface.json", whole->data, whole->len);
        note_missing_end(&table, note);
    }
    token_table_release(&table);
    json_decref(config);
    json_decref(tokenizer);
    return st;
}

/* --- reading --------------------------------------------------------------------------------------------------- */

static enum status read_kind(const struct gguf *file, struct token_table *t, struct error *err)
{
    struct gguf_text model = {"none", 4}, pre = {"", 0};
    enum status st = gguf_get_text(file, "tokenizer.ggml.model", false, &model, err);
    if (st == STATUS_OK)
        st = gguf_get_text(file, "tokenizer.ggml.pre", false, &pre, err);
    if (st != STATUS_OK)
        return st;
    if (gguf_text_is(model, "none") || gguf_text_is(model, "no_vocab")) {
        t->kind = KIND_NONE;
        return STATUS_OK;
    }
    if (gguf_text_is(model, "llama")) {
        t->kind = KIND_SENTENCEPIECE;
        return STATUS_OK;
    }
    if (!gguf_text_is(model, "gpt2"))
        return error_set(err, STATUS_CONFIG, "%s: its tokenizer is of the kind \"%.*s\"; \"gpt2\" and \"llama\" are done",
                         gguf_path(file), (int)(model.len < 64 ? model.len : 64), model.bytes);
    t->kind = KIND_BYTE_LEVEL;
    for (size_t i = 0; i < NUM_PRE_TOKENIZERS && !t->pre; i++)
        if (gguf_text_is(pre, PRE_TOKENIZERS[i].pre))
            t->pre = PRE_TOKENIZERS[i].pre;
    if (!t->pre)
        return error_set(err, STATUS_CONFIG,
                         "%s: the pre-tokenizer \"%.*s\" is not known here (gpt-2, llama-bpe, smaug-bpe, qwen2, smollm, "
                         "tekken and gpt-4o are)",
                         gguf_path(file), (int)(pre.len < 64 ? pre.len : 64), pre.bytes);
    return STATUS_OK;
}

static enum status read_id(const struct gguf *file, const char *key, size_t count, int32_t *out, struct error *err)
{
    uint64_t id = UINT32_MAX; /* which is how some write "none" */
    const enum status st = gguf_get_u64(file, key, false, UINT32_MAX, &id, err);
    if (st != STATUS_OK)
        return st;
    if (id < count)
        *out = (int32_t)id;
    else if (id != UINT32_MAX)
        return error_set(err, STATUS_FORMAT, "%s: the key \"%s\" is %llu, outside the vocabulary of %zu", gguf_path(file),
                         key, (unsigned long long)id, count);
    return STATUS_OK;
}

static enum status read_lists(const struct gguf *file, struct token_table *t, size_t vocab_size, struct error *err)
{
    struct gguf_value tokens, types, scores, merges;
    const bool pieces = t->kind == KIND_SENTENCEPIECE;
    enum status st = gguf_get_array(file, "tokenizer.ggml.tokens", true, GGUF_STRING, &tokens, err);
    if (st == STATUS_OK)
        st = gguf_get_array(file, "tokenizer.ggml.token_type", false, GGUF_I32, &types, err);
    if (st == STATUS_OK)
        st = gguf_get_array(file, "tokenizer.ggml.scores", pieces, GGUF_F32, &scores, err);
    if (st == STATUS_OK)
        st = gguf_get_array(file, "tokenizer.ggml.merges", !pieces, GGUF_STRING, &merges, err);
    if (st != STATUS_OK)
        return st;
    if (tokens.count != vocab_size || tokens.count > MAX_VOCABULARY || merges.count > MAX_MERGES)
        return error_set(err, STATUS_FORMAT, "%s: %llu tokens and %llu merges, where the embedding has %zu rows",
                         gguf_path(file), (unsigned long long)tokens.count, (unsigned long long)merges.count, vocab_size);
    if ((types.count && types.count != tokens.count) || (scores.count && scores.count != tokens.count))
        return error_set(err, STATUS_FORMAT, "%s: %llu tokens, but %llu types and %llu scores", gguf_path(file),
                         (unsigned long long)tokens.count, (unsigned long long)types.count,
                         (unsigned long long)scores.count);
    st = token_table_init(t, (size_t)tokens.count, (size_t)merges.count, err);
    for (size_t i = 0; i < t->count && st == STATUS_OK; i++) {
        struct gguf_text text = {0};
        int64_t type = TOKEN_NORMAL;
        double score = 0;
        gguf_next_text(&tokens, &text);
        token_table_name(t, &t->tokens[i], text.bytes, text.len);
        if (types.count)
            gguf_next_i64(&types, &type);
        if (scores.count)
            gguf_next_float(&scores, &score);
        if (type < TOKEN_NORMAL || type > TOKEN_BYTE || isnan(score))
            st = error_set(err, STATUS_FORMAT, "%s: token %zu has the type %lld and the score %g", gguf_path(file), i,
                           (long long)type, score);
        t->tokens[i].type = (enum token_type)type;
        t->tokens[i].score = (float)score;
    }
    for (size_t i = 0; i < t->num_merges && st == STATUS_OK; i++) {
        struct gguf_text text = {0};
        gguf_next_text(&merges, &text);
        token_table_name(t, &t->merges[i], text.bytes, text.len);
    }
    if (st == STATUS_OK && t->text.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for the vocabulary of %s", gguf_path(file));
    return st;
}

static enum status read_flags(const struct gguf *file, struct token_table *t, struct error *err)
{
    const bool pieces = t->kind == KIND_SENTENCEPIECE;
    t->ids = (struct gguf_special_tokens){-1, -1, -1};
    /* What llama.cpp takes where the file is silent (llama-vocab.cpp). */
    t->add_space_prefix = pieces;
    t->add_bos = pieces || strcmp(t->pre, "llama-bpe") == 0 || strcmp(t->pre, "tekken") == 0;
    if (pieces)
        t->ids.bos = 1, t->ids.eos = 2, t->unknown = 0;
    enum status st = gguf_get_bool(file, "tokenizer.ggml.add_bos_token", false, &t->add_bos, err);
    if (st == STATUS_OK)
        st = gguf_get_bool(file, "tokenizer.ggml.add_eos_token", false, &t->add_eos, err);
    if (st == STATUS_OK)
        st = gguf_get_bool(file, "tokenizer.ggml.add_space_prefix", false, &t->add_space_prefix, err);
    if (st == STATUS_OK)
        st = read_id(file, "tokenizer.ggml.bos_token_id", t->count, &t->ids.bos, err);
    if (st == STATUS_OK)
        st = read_id(file, "tokenizer.ggml.eos_token_id", t->count, &t->ids.eos, err);
    if (st == STATUS_OK)
        st = read_id(file, "tokenizer.ggml.padding_token_id", t->count, &t->ids.pad, err);
    if (st == STATUS_OK)
        st = read_id(file, "tokenizer.ggml.unknown_token_id", t->count, &t->unknown, err);
    if (st == STATUS_OK && pieces && (t->ids.bos >= (int32_t)t->count || t->ids.eos >= (int32_t)t->count))
        st = error_set(err, STATUS_FORMAT, "%s: a vocabulary of %zu tokens has no room for its first and last",
                       gguf_path(file), t->count);
    return st;
}

static bool same_tokens(const struct token_table *a, const struct token_table *b)
{
    if (a->count != b->count || a->num_merges != b->num_merges || a->kind != b->kind)
        return false;
    for (size_t i = 0; i < a->count + a->num_merges; i++) {
        const struct token *x = i < a->count ? &a->tokens[i] : &a->merges[i - a->count];
        const struct token *y = i < a->count ? &b->tokens[i] : &b->merges[i - a->count];
        if (x->len != y->len || memcmp(a->text.data + x->at, b->text.data + y->at, x->len) != 0)
            return false;
    }
    return true;
}

/* The tokenizer.json that came along, when it says the same as the keys; *out stays empty when there is none. */
static enum status read_original(const struct gguf *file, const struct token_table *t, struct buffer *out,
                                 struct error *err)
{
    struct gguf_text text = {0};
    enum status st = gguf_get_text(file, "tokenizer.huggingface.json", false, &text, err);
    if (st != STATUS_OK || !text.bytes)
        return st;
    json_t *value = json_read_text(text.bytes, text.len, gguf_path(file), err);
    if (!value)
        return STATUS_FORMAT;
    struct token_table theirs = {0};
    st = token_table_from_json(&theirs, value, t->count, gguf_path(file), NULL, err);
    /* Merges of a table of pieces are not among the keys; its scores stand for them. */
    if (theirs.kind == KIND_SENTENCEPIECE)
        theirs.num_merges = 0;
    if (st == STATUS_OK && !same_tokens(t, &theirs))
        st = error_set(err, STATUS_FORMAT,
                       "%s: \"tokenizer.huggingface.json\" has another vocabulary than \"tokenizer.ggml.tokens\"",
                       gguf_path(file));
    token_table_release(&theirs);
    json_decref(value);
    if (st == STATUS_OK)
        buffer_append(out, text.bytes, text.len);
    return st;
}

static enum status rebuild(const struct gguf *file, const struct token_table *t, struct buffer *out, struct error *err)
{
    json_t *tokenizer = token_table_json(t, gguf_path(file), err);
    const enum status st = tokenizer ? json_write(tokenizer, true, out, err) : STATUS_FORMAT;
    json_decref(tokenizer);
    return st;
}

static void set_word(json_t *config, const char *key, const struct token_table *t, int32_t id)
{
    if (id >= 0)
        json_object_set_new(config, key, json_stringn(t->text.data + t->tokens[id].at, t->tokens[id].len));
}

static enum status put_config(const struct gguf *file, const struct token_table *t, struct text_files *texts,
                              struct error *err)
{
    struct gguf_text chat = {0};
    enum status st = gguf_get_text(file, "tokenizer.chat_template", false, &chat, err);
    if (st != STATUS_OK)
        return st;
    json_t *config = json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0);
    set_word(config, "bos_token", t, t->ids.bos);
    set_word(config, "eos_token", t, t->ids.eos);
    set_word(config, "pad_token", t, t->ids.pad);
    set_word(config, "unk_token", t, t->unknown);
    if (chat.bytes)
        json_object_set_new(config, "chat_template", json_stringn(chat.bytes, chat.len));
    struct buffer text = {0};
    st = json_write(config, true, &text, err);
    if (st == STATUS_OK)
        st = text_files_put(texts, "tokenizer_config.json", &text, err);
    buffer_release(&text);
    json_decref(config);
    return st;
}

enum status gguf_get_tokenizer(const struct gguf *file, size_t vocab_size, struct text_files *texts,
                               struct gguf_special_tokens *ids, struct error *err)
{
    struct token_table table = {0};
    struct buffer tokenizer = {0};
    enum status st = read_kind(file, &table, err);
    *ids = (struct gguf_special_tokens){-1, -1, -1};
    if (st != STATUS_OK || table.kind == KIND_NONE)
        return st;
    st = read_lists(file, &table, vocab_size, err);
    if (st == STATUS_OK)
        st = read_flags(file, &table, err);
    if (st == STATUS_OK)
        st = read_original(file, &table, &tokenizer, err);
    if (st == STATUS_OK && tokenizer.len == 0)
        st = rebuild(file, &table, &tokenizer, err);
    if (st == STATUS_OK && tokenizer.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for the tokenizer of %s", gguf_path(file));
    if (st == STATUS_OK)
        st = text_files_put(texts, "tokenizer.json", &tokenizer, err);
    if (st == STATUS_OK)
        st = put_config(file, &table, texts, err);
    if (st == STATUS_OK)
        *ids = table.ids;
    buffer_release(&tokenizer);
    token_table_release(&table);
    return st;
}
