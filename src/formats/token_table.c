/* SPDX-License-Identifier: MIT
 * token_table.c - a tokenizer.json as a table of tokens: which of the kinds that llama.cpp has is this, exactly?
 */
#include "token_table_internal.h"

#include "base/memory.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end) "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" end
#define CASED_TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The expressions as tokenizer.json files have them; what llama.cpp makes of each word: its llama-vocab.cpp. */
const struct pre_tokenizer PRE_TOKENIZERS[] = {
    {.pre = "gpt-2"},
    {.pre = "smollm", .digits = true},
    {.pre = "llama-bpe", .regex = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TAIL, .ignore_merges = true},
    {.pre = "smaug-bpe", .regex = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" TAIL},
    {.pre = "qwen2", .regex = CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" TAIL, .nfc = true},
    {.pre = "tekken", .regex = CASED("") "|\\p{N}" CASED_TAIL, .ignore_merges = true},
    {.pre = "gpt-4o", .regex = CASED(CONTRACTIONS "?") "|\\p{N}{1,3}" CASED_TAIL},
};
const size_t NUM_PRE_TOKENIZERS = sizeof PRE_TOKENIZERS / sizeof *PRE_TOKENIZERS;

size_t byte_level_char(unsigned char byte, char out[2])
{
    static const unsigned char low[] = {0x20, 0x7f, 0xad}; /* bytes from 0x21 stand for themselves but for gaps */
    uint32_t code_point = byte;
    if (byte <= low[0])
        code_point = 0x100u + byte;
    else if (byte >= low[1] && byte <= 0xa0)
        code_point = 0x100u + 0x21 + (byte - 0x7fu);
    else if (byte == low[2])
        code_point = 0x143;
    char whole[4];
    const int n = utf8_encode(code_point, whole);
    memcpy(out, whole, (size_t)n);
    return (size_t)n;
}

static bool flag(const json_t *object, const char *key, bool absent)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : absent;
}

static bool is(const json_t *object, const char *key, const char *word)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && strcmp(value, word) == 0;
}

static bool absent(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value);
}

/* ByteLevel with its own expression or without, never with a space put before. */
static bool byte_level(const json_t *pre, bool regex)
{
    return is(pre, "type", "ByteLevel") && !flag(pre, "add_prefix_space", true) && flag(pre, "use_regex", true) == regex;
}

static bool split_by(const json_t *pre, const char *regex)
{
    return is(pre, "type", "Split") && is(json_object_get(pre, "pattern"), "Regex", regex) &&
           is(pre, "behavior", "Isolated") && !flag(pre, "invert", false);
}

static bool fits(const struct pre_tokenizer *known, const json_t *pre, bool ignore_merges, bool nfc)
{
    if (known->ignore_merges != ignore_merges || (nfc && !known->nfc))
        return false;
    if (!known->regex && !known->digits)
        return byte_level(pre, true);
    const json_t *list = json_object_get(pre, "pretokenizers"), *first = json_array_get(list, 0);
    if (!is(pre, "type", "Sequence") || json_array_size(list) != 2)
        return false;
    if (known->digits)
        return is(first, "type", "Digits") && flag(first, "individual_digits", false) &&
               byte_level(json_array_get(list, 1), true);
    return split_by(first, known->regex) && byte_level(json_array_get(list, 1), false);
}

/* What the pre_tokenizer is in one word, for a refusal. */
static const char *describe(const json_t *pre)
{
    const char *type = json_string_value(json_object_get(pre, "type"));
    const json_t *first = json_array_get(json_object_get(pre, "pretokenizers"), 0);
    const char *regex = json_string_value(json_object_get(json_object_get(first, "pattern"), "Regex"));
    return regex ? regex : type ? type : "null";
}

static enum status find_pre(struct token_table *t, const json_t *file, const char *where, struct error *note,
                            struct error *err)
{
    const json_t *model = json_object_get(file, "model"), *pre = json_object_get(file, "pre_tokenizer");
    const bool ignore_merges = flag(model, "ignore_merges", false);
    const json_t *normalizer = json_object_get(file, "normalizer");
    const bool nfc = is(normalizer, "type", "NFC");
    if (!absent(file, "normalizer") && !nfc)
        return error_set(err, STATUS_CONFIG, "%s: the normalizer \"%s\" has no equal in llama.cpp", where,
                         describe(normalizer));
    for (size_t i = 0; i < NUM_PRE_TOKENIZERS && !t->pre; i++)
        if (fits(&PRE_TOKENIZERS[i], pre, ignore_merges, nfc))
            t->pre = PRE_TOKENIZERS[i].pre;
    if (!t->pre && t->num_merges == 0 && !nfc && (byte_level(pre, true) || byte_level(pre, false)))
        t->pre = "gpt-2"; /* where nothing is ever merged, no cut between pieces matters */
    if (!t->pre)
        return error_set(err, STATUS_CONFIG, "%s: the pre_tokenizer %s%s is none that llama.cpp is known to have", where,
                         describe(pre), ignore_merges ? " with ignore_merges" : "");
    if (nfc)
        error_set(note, STATUS_OK, "llama.cpp does not normalise text to NFC as this tokenizer does");
    return STATUS_OK;
}

/* A list of [left, right] pairs or of "left right". */
static enum status read_merges(struct token_table *t, const json_t *merges, const char *where, struct error *err)
{
    for (size_t i = 0; i < t->num_merges; i++) {
        const json_t *merge = json_array_get(merges, i);
        const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
        const char *text = json_string_value(merge);
        if (text) {
            const char *space = strchr(text + (text[0] == ' '), ' ');
            if (!space || !space[1])
                return error_set(err, STATUS_FORMAT, "%s: merge %zu should be two pieces with a space between", where, i);
            token_table_name(t, &t->merges[i], text, json_string_length(merge));
            continue;
        }
        if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
            return error_set(err, STATUS_FORMAT, "%s: merge %zu should be two pieces", where, i);
        if (strchr(json_string_value(left), ' ') || strchr(json_string_value(right), ' '))
            return error_set(err, STATUS_CONFIG, "%s: merge %zu has a space in it, which GGUF cannot say", where, i);
        token_table_merge(t, &t->merges[i], json_string_value(left), json_string_length(left), json_string_value(right),
                          json_string_length(right));
    }
    return STATUS_OK;
}

static enum status add_token(struct token_table *t, const json_t *id, const char *text, size_t len, enum token_type type,
                             const char *where, struct error *err)
{
    const json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
    if (at < 0 || (uint64_t)at >= t->count)
        return error_set(err, STATUS_FORMAT, "%s: token \"%.64s\" has an id outside the embedding's %zu rows", where,
                         text, t->count);
    struct token *token = &t->tokens[at];
    const bool again = token->len == len && token->type != TOKEN_UNUSED && memcmp(t->text.data + token->at, text, len) == 0;
    if (token->type != TOKEN_UNUSED && !again)
        return error_set(err, STATUS_FORMAT, "%s: two tokens have the id %lld", where, (long long)at);
    if (!again)
        token_table_name(t, token, text, len);
    token->type = type;
    return STATUS_OK;
}

/* A character of our own kind as byte-level BPE writes it. */
static size_t as_byte_level(const char *text, size_t len, char out[8])
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += byte_level_char((unsigned char)text[i], out + n);
    return n;
}

static bool one_character(const char *text, size_t len)
{
    uint32_t code_point;
    return len > 0 && utf8_decode(text, len, &code_point) == (int)len;
}

/* "<0x0A>": the byte, or -1. */
static int byte_token(const char *text, size_t len)
{
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return -1;
    char *end, digits[3] = {text[3], text[4], 0};
    const long byte = strtol(digits, &end, 16);
    return *end ? -1 : (int)byte;
}

static enum status read_vocabulary(struct token_table *t, const json_t *file, bool characters, const char *where,
                                   struct error *err)
{
    const json_t *model = json_object_get(file, "model"), *vocab = json_object_get(model, "vocab");
    const json_t *added = json_object_get(file, "added_tokens");
    enum status st = STATUS_OK;
    for (size_t i = 0; i < json_array_size(added) && st == STATUS_OK; i++) {
        const json_t *one = json_array_get(added, i), *content = json_object_get(one, "content");
        if (!json_is_string(content))
            return error_set(err, STATUS_FORMAT, "%s: added token %zu has no content", where, i);
        st = add_token(t, json_object_get(one, "id"), json_string_value(content), json_string_length(content),
                       flag(one, "special", false) ? TOKEN_CONTROL : TOKEN_USER_DEFINED, where, err);
    }
    for (void *it = json_object_iter((json_t *)(uintptr_t)vocab); it && st == STATUS_OK;
         it = json_object_iter_next((json_t *)(uintptr_t)vocab, it)) {
        const char *text = json_object_iter_key(it);
        const size_t len = strlen(text);
        const json_t *id = json_object_iter_value(it);
        const json_int_t at = json_is_integer(id) ? json_integer_value(id) : -1;
        char mapped[8];
        if (at >= 0 && (uint64_t)at < t->count && t->tokens[at].type != TOKEN_UNUSED && t->tokens[at].len == len &&
            memcmp(t->text.data + t->tokens[at].at, text, len) == 0)
            continue; /* an added token that the vocabulary has too: its type stands */
        if (characters)
            st = add_token(t, id, mapped, as_byte_level(text, len, mapped), TOKEN_NORMAL, where, err);
        else
            st = add_token(t, id, text, len,
                           t->kind == KIND_SENTENCEPIECE && byte_token(text, len) >= 0 ? TOKEN_BYTE : TOKEN_NORMAL, where,
                           err);
    }
    return st;
}

/* Ids that no token has: named so that no two are alike, as llama.cpp's converter does. */
static void name_unused(struct token_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->tokens[i].type == TOKEN_UNUSED) {
            char name[32];
            token_table_name(t, &t->tokens[i], name, (size_t)snprintf(name, sizeof name, "[PAD%zu]", i));
        }
}

/* The bytes of a character of n >= 2 bytes, put together from the left: (1,2), (12,3), (123,4). */
static void character_merges(struct token_table *t, const json_t *vocab, bool count_only)
{
    size_t n = 0;
    for (void *it = json_object_iter((json_t *)(uintptr_t)vocab); it; it = json_object_iter_next((json_t *)(uintptr_t)vocab, it)) {
        const char *text = json_object_iter_key(it);
        const size_t len = strlen(text);
        for (size_t have = 1; have < len && len <= 4; have++, n++) {
            char left[8], right[2];
            if (count_only)
                continue;
            const size_t l = as_byte_level(text, have, left), r = byte_level_char((unsigned char)text[have], right);
            token_table_merge(t, &t->merges[n], left, l, right, r);
        }
    }
    t->num_merges = n;
}

static int by_text(const void *a, const void *b, void *text)
{
    const struct token *x = a, *y = b;
    const int order = memcmp((char *)text + x->at, (char *)text + y->at, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* Two characters may begin with the same bytes; a merge is said once. */
static void unique_merges(struct token_table *t)
{
    if (t->num_merges == 0 || t->text.failed)
        return;
    qsort_r(t->merges, t->num_merges, sizeof *t->merges, by_text, t->text.data);
    size_t n = 1;
    for (size_t i = 1; i < t->num_merges; i++)
        if (by_text(&t->merges[n - 1], &t->merges[i], t->text.data) != 0)
            t->merges[n++] = t->merges[i];
    t->num_merges = n;
}

/* A vocabulary of single characters and no merges, nothing before it: our own, of a corpus. */
static bool of_characters(const json_t *file)
{
    const json_t *vocab = json_object_get(json_object_get(file, "model"), "vocab");
    const json_t *added = json_object_get(file, "added_tokens");
    enum { MAX_ADDED = 64 };
    if (!absent(file, "pre_tokenizer") || !absent(file, "normalizer") || json_array_size(added) > MAX_ADDED ||
        json_array_size(json_object_get(json_object_get(file, "model"), "merges")) != 0)
        return false;
    for (void *it = json_object_iter((json_t *)(uintptr_t)vocab); it; it = json_object_iter_next((json_t *)(uintptr_t)vocab, it)) {
        const char *text = json_object_iter_key(it);
        bool special = false;
        for (size_t i = 0; i < json_array_size(added); i++)
            special |= is(json_array_get(added, i), "content", text);
        if (!special && !one_character(text, strlen(text)))
            return false;
    }
    return true;
}

/* {"SpecialToken": …} at the beginning or end of a TemplateProcessing, which may stand in a Sequence. */
static void read_template(struct token_table *t, const json_t *processor)
{
    const json_t *list = json_object_get(processor, "processors");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (is(json_array_get(list, i), "type", "TemplateProcessing"))
            read_template(t, json_array_get(list, i));
    if (!is(processor, "type", "TemplateProcessing"))
        return;
    const json_t *single = json_object_get(processor, "single");
    const size_t n = json_array_size(single);
    t->add_bos = n > 1 && json_object_get(json_array_get(single, 0), "SpecialToken");
    t->add_eos = n > 1 && json_object_get(json_array_get(single, n - 1), "SpecialToken");
}

static enum status read_unknown(struct token_table *t, const json_t *model, const char *where, struct error *err)
{
    const char *word = json_string_value(json_object_get(model, "unk_token"));
    for (size_t i = 0; word && i < t->count; i++)
        if (t->tokens[i].len == strlen(word) && memcmp(t->text.data + t->tokens[i].at, word, t->tokens[i].len) == 0) {
            t->unknown = (int32_t)i;
            t->tokens[i].type = TOKEN_UNKNOWN;
            return STATUS_OK;
        }
    return word ? error_set(err, STATUS_FORMAT, "%s: unk_token \"%.64s\" is not in the vocabulary", where, word) : STATUS_OK;
}

enum status token_table_from_json(struct token_table *t, const json_t *file, size_t vocab_size, const char *where,
                                  struct error *note, struct error *err)
{
    const json_t *model = json_object_get(file, "model"), *merges = json_object_get(model, "merges");
    if (!is(model, "type", "BPE") || !json_is_object(json_object_get(model, "vocab")) || !json_is_array(merges))
        return error_set(err, STATUS_CONFIG, "%s: the model should be a BPE with a vocabulary and merges", where);
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    const json_t *suffix = json_object_get(model, "end_of_word_suffix");
    if (json_string_length(prefix) || json_string_length(suffix))
        return error_set(err, STATUS_CONFIG, "%s: pieces with a prefix or suffix of their own have no equal in llama.cpp",
                         where);
    const bool characters = !flag(model, "byte_fallback", false) && of_characters(file);
    t->kind = flag(model, "byte_fallback", false) ? KIND_SENTENCEPIECE : KIND_BYTE_LEVEL;
    size_t num_merges = json_array_size(merges);
    if (characters) {
        character_merges(t, json_object_get(model, "vocab"), true);
        num_merges = t->num_merges;
    }
    enum status st = token_table_init(t, vocab_size, num_merges, err);
    if (st == STATUS_OK)
        st = read_vocabulary(t, file, characters, where, err);
    if (st == STATUS_OK && characters) {
        character_merges(t, json_object_get(model, "vocab"), false);
        unique_merges(t);
        t->pre = "gpt-2";
    } else if (st == STATUS_OK)
        st = read_merges(t, merges, where, err);
    name_unused(t);
    if (st == STATUS_OK && t->text.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for a vocabulary of %zu tokens", vocab_size);
    if (st == STATUS_OK && t->kind == KIND_BYTE_LEVEL && !characters)
        st = find_pre(t, file, where, note, err);
    if (st == STATUS_OK && t->kind == KIND_SENTENCEPIECE) {
        st = read_unknown(t, model, where, err);
        if (st == STATUS_OK)
            st = token_table_score(t, file, where, note, err);
    }
    t->ids = (struct gguf_special_tokens){-1, -1, -1};
    read_template(t, json_object_get(file, "post_processor"));
    return st;
}
