/* SPDX-License-Identifier: MIT
 * tokenizer/load_added.c - the added tokens of a tokenizer.json, and the special ones a tokenizer_config.json names.
 */
#include "tokenizer/tokenizer_internal.h"

#include "base/memory.h"

#include <string.h>

static enum status read_token(const json_t *object, struct added_token *token, const char *where, struct error *err)
{
    const char *text = NULL;
    uint64_t id = 0;
    enum status st = json_get_text(object, "content", true, &text, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "id", true, INT32_MAX, &id, where, err);
    struct {
        const char *name;
        bool *value;
    } flags[] = {{"special", &token->special},
                 {"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags && st == STATUS_OK; i++)
        st = json_get_bool(object, flags[i].name, false, flags[i].value, where, err);
    token->normalized = !token->special;
    if (st == STATUS_OK)
        st = json_get_bool(object, "normalized", false, &token->normalized, where, err);
    if (st == STATUS_OK && !*text)
        st = error_set(err, STATUS_FORMAT, "%s: the added token %llu has no text", where, (unsigned long long)id);
    if (st != STATUS_OK)
        return st;
    token->id = (int32_t)id;
    token->len = strlen(text);
    token->text = mem_strdup(text);
    return token->text ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory for the added token \"%.100s\"", text);
}

/* The reference numbers the tokens itself: one of the vocabulary has its id there, the others come behind, in order. */
static enum status check_id(const struct added_token *token, const json_t *vocab, int64_t *largest, const char *where,
                            struct error *err)
{
    const json_t *known = json_object_get(vocab, token->text);
    const int64_t count = (int64_t)json_object_size(vocab);
    const int64_t id = known ? json_integer_value(known) : *largest >= count ? *largest + 1 : count;
    if (token->id != id)
        return error_set(err, known ? STATUS_FORMAT : STATUS_CONFIG,
                         "%s: the added token \"%.100s\" has the id %d, where %lld should be: %s", where, token->text,
                         (int)token->id, (long long)id,
                         known ? "the vocabulary has it" : "added tokens are numbered behind the vocabulary, in order");
    if (id > *largest)
        *largest = id;
    return STATUS_OK;
}

/* Whether a token may begin before a place where a text is cut, and go on behind it (tokenizer_cut). */
static bool reaches_over(const struct tokenizer *t, const struct added_token *token, const char *pattern, size_t len)
{
    size_t n;
    for (size_t i = token->single_word ? 0 : 1; i < len;
         i++) { /* whether it stands alone is seen from what is before */
        if (pattern[i] == ' ' && i == 0)
            return true;
        if (pattern[i] == ' ' && !(unicode_previous(&t->unicode, pattern, i, &n) & UNICODE_SPACE))
            return true;
        for (size_t j = 0; j < t->num_pre + t->num_normal; j++) {
            const char *mark = j < t->num_pre ? t->pre[j].mark.text : t->normal[j - t->num_pre].to;
            if (mark && *mark && i + strlen(mark) <= len && memcmp(pattern + i, mark, strlen(mark)) == 0)
                return true;
        }
    }
    /* Composed or not, such a token is not seen from the text before the cut; what follows it may be begun anew. */
    for (size_t j = 0; j < t->num_normal; j++)
        if (token->normalized && t->normal[j].kind == NORMAL_NFC)
            for (size_t k = 0; k < t->num_pre; k++)
                if (t->pre[k].kind != PRE_SPLIT)
                    return true;
    return token->rstrip;
}

static enum status make_pattern(struct tokenizer *t, struct added_token *token, struct error *err)
{
    struct buffer pattern = {0};
    enum status st = STATUS_OK;
    if (token->normalized && t->num_normal)
        st = normalize(t, token->text, token->len, false, &pattern, err);
    else
        buffer_append(&pattern, token->text, token->len);
    if (st == STATUS_OK && pattern.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for the added token \"%.100s\"", token->text);
    if (st != STATUS_OK) {
        buffer_release(&pattern);
        return st;
    }
    token->pattern = pattern.data;
    token->pattern_len = pattern.len;
    t->added_within_cut = t->added_within_cut || reaches_over(t, token, pattern.data, pattern.len) ||
                          reaches_over(t, token, token->text, token->len);
    return STATUS_OK;
}

static int by_text(const void *a, const void *b)
{
    const struct added_token *const *x = a, *const *y = b;
    return strcmp((*x)->text, (*y)->text);
}

static enum status check_unique(const struct tokenizer *t, const char *where, struct error *err)
{
    const struct added_token **sorted = mem_calloc(t->num_added, sizeof *sorted);
    if (!sorted)
        return error_set(err, STATUS_NOMEM, "no memory for %zu added tokens", t->num_added);
    for (size_t i = 0; i < t->num_added; i++)
        sorted[i] = &t->added[i];
    qsort(sorted, t->num_added, sizeof *sorted, by_text);
    enum status st = STATUS_OK;
    for (size_t i = 1; i < t->num_added && st == STATUS_OK; i++)
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) == 0)
            st = error_set(err, STATUS_FORMAT, "%s: the added token \"%.100s\" stands there twice", where,
                           sorted[i]->text);
    mem_free(sorted);
    return st;
}

enum status load_added(struct tokenizer *t, const json_t *file, const char *where, struct error *err)
{
    const json_t *list = json_object_get(file, "added_tokens");
    const json_t *vocab = json_object_get(json_object_get(file, "model"), "vocab");
    const size_t count = json_array_size(list);
    int64_t largest = -1;
    enum status st = STATUS_OK;
    if (list && !json_is_null(list) && !json_is_array(list))
        return error_set(err, STATUS_FORMAT, "%s: its added_tokens should be a list", where);
    if (count && !(t->added = mem_calloc(count, sizeof *t->added)))
        return error_set(err, STATUS_NOMEM, "no memory for %zu added tokens", count);
    for (size_t i = 0; i < count && st == STATUS_OK; i++) {
        struct added_token *token = &t->added[t->num_added];
        st = read_token(json_array_get(list, i), token, where, err);
        if (st != STATUS_OK)
            break;
        t->num_added++;
        st = check_id(token, vocab, &largest, where, err);
        if (st == STATUS_OK)
            st = make_pattern(t, token, err);
        if (st != STATUS_OK)
            break;
        struct token_text *text = &t->tokens[token->id];
        *text = (struct token_text){.text = token->pattern,
                                    .len = (uint32_t)token->pattern_len,
                                    .special = token->special,
                                    .plain = true,
                                    .is_byte = text->is_byte,
                                    .byte = text->byte};
    }
    if (st == STATUS_OK && count)
        st = check_unique(t, where, err);
    /* Of tokens with the same pattern the special ones come first. */
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < t->num_added && st == STATUS_OK; i++)
            if (t->added[i].special == (special == 1))
                st = added_trie_add(t->added[i].normalized ? &t->normalized : &t->as_written, &t->added[i], err);
    for (size_t i = 0; i < t->num_before + t->num_after && st == STATUS_OK; i++) {
        const int32_t id = i < t->num_before ? t->before[i] : t->after[i - t->num_before];
        if ((uint32_t)id >= t->vocab_size || !t->tokens[id].text)
            st = error_set(err, STATUS_FORMAT, "%s: its post_processor puts the token %d, which there is not", where,
                           (int)id);
    }
    return st;
}

/* A token named in tokenizer_config.json, as text or as {"content": text}. */
static int32_t named_token(const struct tokenizer *t, const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return text ? tokenizer_added(t, text) : -1;
}

enum status load_config(struct tokenizer *t, const json_t *config, const char *where, struct error *err)
{
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>"};
    if (config && !json_is_object(config))
        return error_set(err, STATUS_FORMAT, "%s: should be a JSON object", where);
    t->begin_of_text = named_token(t, config, "bos_token");
    t->end_of_text = named_token(t, config, "eos_token");
    for (size_t i = 0; i < sizeof ends / sizeof *ends && t->end_of_text < 0; i++) {
        const int32_t id = tokenizer_added(t, ends[i]);
        if (id >= 0 && t->tokens[id].special)
            t->end_of_text = id;
    }
    return STATUS_OK;
}
