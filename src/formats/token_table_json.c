/* SPDX-License-Identifier: MIT
 * token_table_json.c - a tokenizer.json made from a GGUF file's tokens, in the forms that transformers writes.
 */
#include "token_table_internal.h"

#include <string.h>

static json_t *text_of(const struct token_table *t, const struct token *token)
{
    return json_stringn(t->text.data + token->at, token->len);
}

static json_t *byte_level(bool regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     (int)regex);
}

static const struct pre_tokenizer *find_pre(const char *pre)
{
    for (size_t i = 0; i < NUM_PRE_TOKENIZERS; i++)
        if (strcmp(PRE_TOKENIZERS[i].pre, pre) == 0)
            return &PRE_TOKENIZERS[i];
    return NULL;
}

static json_t *pre_tokenizer(const struct pre_tokenizer *known)
{
    if (known->digits)
        return json_pack("{s:s, s:[{s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Digits",
                         "individual_digits", 1, byte_level(true));
    if (known->regex)
        return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Split",
                         "pattern", "Regex", known->regex, "behavior", "Isolated", "invert", 0, byte_level(false));
    return byte_level(true);
}

/* ▁ for spaces, one before the text, and what undoes it. */
static json_t *normalizer(const struct token_table *t, const struct pre_tokenizer *known)
{
    if (known)
        return known->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *list = json_array();
    if (t->add_space_prefix)
        json_array_append_new(list, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", "▁"));
    json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", "▁"));
    return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", list);
}

static json_t *decoder(const struct token_table *t, const struct pre_tokenizer *known)
{
    if (known)
        return byte_level(true);
    json_t *list = json_pack("[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]", "type", "Replace", "pattern", "String", "▁", "content",
                             " ", "type", "ByteFallback", "type", "Fuse");
    if (t->add_space_prefix)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", list);
}

static void add_special(const struct token_table *t, int32_t id, json_t *single, json_t *specials)
{
    const struct token *token = &t->tokens[id];
    json_array_append_new(single, json_pack("{s:{s:o, s:i}}", "SpecialToken", "id", text_of(t, token), "type_id", 0));
    json_object_set_new(specials, t->text.data + token->at,
                         json_pack("{s:o, s:[i], s:[o]}", "id", text_of(t, token), "ids", (int)id, "tokens",
                                   text_of(t, token)));
}

static json_t *post_processor(const struct token_table *t, const struct pre_tokenizer *known)
{
    const bool bos = t->add_bos && t->ids.bos >= 0, eos = t->add_eos && t->ids.eos >= 0;
    if (!bos && !eos)
        return known ? byte_level(true) : json_null();
    json_t *single = json_array(), *specials = json_object();
    if (bos)
        add_special(t, t->ids.bos, single, specials);
    json_array_append_new(single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0));
    if (eos)
        add_special(t, t->ids.eos, single, specials);
    json_t *pair = json_deep_copy(single);
    if (bos)
        json_array_append(pair, json_array_get(single, 0));
    json_array_append_new(pair, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "B", "type_id", 1));
    if (eos)
        json_array_append(pair, json_array_get(single, json_array_size(single) - 1));
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
                     "special_tokens", specials);
}

/* The vocabulary without the special tokens, which are added; unused ids are nobody's. */
static enum status fill_vocabulary(const struct token_table *t, json_t *vocab, json_t *added, const char *where,
                                   struct error *err)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct token *token = &t->tokens[i];
        const char *text = t->text.data + token->at;
        if (token->type == TOKEN_UNUSED)
            continue;
        if (token->len == 0 || json_object_get(vocab, text))
            return error_set(err, STATUS_FORMAT, "%s: token %zu is empty, or another has the same text", where, i);
        const bool special = token->type == TOKEN_CONTROL || token->type == TOKEN_UNKNOWN;
        int failed = json_object_set_new(vocab, text, json_integer((json_int_t)i));
        if (special || token->type == TOKEN_USER_DEFINED)
            failed |= json_array_append_new(
                added, json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content", text_of(t, token),
                                 "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", (int)!special, "special",
                                 (int)special));
        if (failed)
            return error_set(err, STATUS_NOMEM, "no memory for the vocabulary of %s", where);
    }
    return STATUS_OK;
}

static bool in_vocabulary(const json_t *vocab, const char *text, size_t len, struct buffer *scratch)
{
    buffer_clear(scratch);
    buffer_append(scratch, text, len);
    return !scratch->failed && json_object_get(vocab, scratch->data);
}

static enum status fill_merges(const struct token_table *t, const json_t *vocab, json_t *merges, const char *where,
                               struct error *err)
{
    struct buffer scratch = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < t->num_merges && st == STATUS_OK; i++) {
        const char *text = t->text.data + t->merges[i].at;
        const size_t len = t->merges[i].len;
        const char *space = len > 1 ? memchr(text + 1, ' ', len - 1) : NULL;
        const size_t left = space ? (size_t)(space - text) : 0, right = space ? len - left - 1 : 0;
        if (!right)
            st = error_set(err, STATUS_FORMAT, "%s: merge %zu should be two pieces with a space between", where, i);
        else if (!in_vocabulary(vocab, text, left, &scratch) || !in_vocabulary(vocab, space + 1, right, &scratch))
            st = error_set(err, STATUS_CONFIG,
                             "%s: merge %zu (\"%.*s\") joins what is not in the vocabulary, which tokenizer.json cannot say",
                             where, i, (int)(len < 64 ? len : 64), text);
        else if (json_array_append_new(merges, json_stringn(text, len)) != 0)
            st = error_set(err, STATUS_NOMEM, "no memory for the merges of %s", where);
    }
    buffer_release(&scratch);
    return st;
}

json_t *token_table_json(const struct token_table *t, const char *where, struct error *err)
{
    const struct pre_tokenizer *known = t->kind == KIND_BYTE_LEVEL ? find_pre(t->pre) : NULL;
    json_t *vocab = json_object(), *added = json_array();
    json_t *merges = known ? json_array() : token_table_merges(t);
    enum status st = merges ? fill_vocabulary(t, vocab, added, where, err)
                            : error_set(err, STATUS_NOMEM, "no memory for the merges of %s", where);
    if (st == STATUS_OK && known)
        st = fill_merges(t, vocab, merges, where, err);
    json_t *file = NULL;
    if (st == STATUS_OK) {
        file = json_pack("{s:s, s:n, s:n, s:O, s:o, s:o, s:o, s:o, s:{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:O, s:O}}",
                         "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                         normalizer(t, known), "pre_tokenizer", known ? pre_tokenizer(known) : json_null(),
                         "post_processor", post_processor(t, known), "decoder", decoder(t, known), "model", "type", "BPE",
                         "dropout", "unk_token", t->unknown >= 0 ? text_of(t, &t->tokens[t->unknown]) : json_null(),
                         "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", (int)!known, "byte_fallback",
                         (int)!known, "ignore_merges", (int)(known && known->ignore_merges), "vocab", vocab, "merges",
                         merges);
        if (!file)
            error_set(err, STATUS_NOMEM, "no memory for the tokenizer of %s", where);
    }
    json_decref(vocab);
    json_decref(added);
    json_decref(merges);
    return file;
}
