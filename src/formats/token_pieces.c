/* SPDX-License-Identifier: MIT
 * token_pieces.c - BPE with byte fallback (Llama-2, Mistral) as llama.cpp has it: no merges, a score for each piece.
 *
 * There any two neighbours whose text together is a piece may be joined, the best score first.  That is the same as a
 * list of merges when the list has every way to cut every piece into two others, and has those of one piece together:
 * then the piece's place in the list is its score.  Lists made from a SentencePiece model are so (transformers,
 * convert_slow_tokenizer.py); others are refused.
 */
#include "token_table_internal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    float score;
    int32_t left, right;
};

/* Tokens by their text. */
struct index {
    const struct token_table *table;
    int32_t *ids; /* [count], sorted by text */
    size_t count;
};

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int ids_by_text(const void *a, const void *b, void *ctx)
{
    const struct token_table *t = ctx;
    const struct token *x = &t->tokens[*(const int32_t *)a], *y = &t->tokens[*(const int32_t *)b];
    return compare(t->text.data + x->at, x->len, t->text.data + y->at, y->len);
}

static bool index_make(struct index *index, const struct token_table *t)
{
    *index = (struct index){.table = t, .ids = mem_calloc(t->count, sizeof *index->ids)};
    for (size_t i = 0; index->ids && i < t->count; i++)
        if (t->tokens[i].type == TOKEN_NORMAL && t->tokens[i].len > 0)
            index->ids[index->count++] = (int32_t)i;
    if (index->count)
        qsort_r(index->ids, index->count, sizeof *index->ids, ids_by_text, (void *)(uintptr_t)t);
    return index->ids != NULL;
}

/* The id, or -1. */
static int32_t index_find(const struct index *index, const char *text, size_t len)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const struct token *token = &index->table->tokens[index->ids[middle]];
        const int order = compare(index->table->text.data + token->at, token->len, text, len);
        if (order == 0)
            return index->ids[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static bool begins_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static int pairs_by_score(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (!(x->score == y->score))
        return x->score > y->score ? -1 : 1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

/* Every way to cut every piece into two pieces: pairs[…] when not NULL; returns how many. */
static size_t all_pairs(const struct index *index, struct pair *pairs)
{
    size_t n = 0;
    for (size_t i = 0; i < index->count; i++) {
        const struct token *token = &index->table->tokens[index->ids[i]];
        const char *text = index->table->text.data + token->at;
        for (size_t cut = 1; cut < token->len; cut++) {
            if (!begins_character(text[cut]))
                continue;
            const int32_t left = index_find(index, text, cut), right = index_find(index, text + cut, token->len - cut);
            if (left < 0 || right < 0)
                continue;
            if (pairs)
                pairs[n] = (struct pair){token->score, left, right};
            n++;
        }
    }
    return n;
}

json_t *token_table_merges(const struct token_table *t)
{
    struct index index;
    json_t *list = index_make(&index, t) ? json_array() : NULL;
    const size_t n = list ? all_pairs(&index, NULL) : 0;
    struct pair *pairs = mem_calloc(n, sizeof *pairs);
    struct buffer merge = {0};
    if (list && pairs) {
        all_pairs(&index, pairs);
        if (n)
            qsort(pairs, n, sizeof *pairs, pairs_by_score);
        for (size_t i = 0; i < n; i++) {
            const struct token *l = &t->tokens[pairs[i].left], *r = &t->tokens[pairs[i].right];
            buffer_clear(&merge);
            buffer_append(&merge, t->text.data + l->at, l->len);
            buffer_append(&merge, " ", 1);
            buffer_append(&merge, t->text.data + r->at, r->len);
            if (!merge.failed)
                json_array_append_new(list, json_stringn(merge.data, merge.len));
        }
    }
    const bool whole = pairs && json_array_size(list) == n;
    buffer_release(&merge);
    mem_free(pairs);
    mem_free(index.ids);
    if (whole)
        return list;
    json_decref(list);
    return NULL;
}

static const char *word(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static bool replaces_spaces(const json_t *normalizer)
{
    return strcmp(word(normalizer, "type"), "Replace") == 0 && strcmp(word(normalizer, "content"), "▁") == 0 &&
           strcmp(word(json_object_get(normalizer, "pattern"), "String"), " ") == 0;
}

static bool prepends(const json_t *normalizer)
{
    return strcmp(word(normalizer, "type"), "Prepend") == 0 && strcmp(word(normalizer, "prepend"), "▁") == 0;
}

/* How spaces become "▁", and whether one is put before the text: the two forms that transformers writes. */
static enum status read_spaces(struct token_table *t, const json_t *file, const char *where, struct error *note,
                               struct error *err)
{
    const json_t *normalizer = json_object_get(file, "normalizer"), *pre = json_object_get(file, "pre_tokenizer");
    const json_t *list = json_object_get(normalizer, "normalizers");
    const bool no_normalizer = !normalizer || json_is_null(normalizer), no_pre = !pre || json_is_null(pre);
    const size_t n = json_array_size(list);
    if (no_pre && n == 2 && prepends(json_array_get(list, 0)) && replaces_spaces(json_array_get(list, 1))) {
        t->add_space_prefix = true;
        return STATUS_OK;
    }
    if (no_pre && (replaces_spaces(normalizer) || (n == 1 && replaces_spaces(json_array_get(list, 0)))))
        return STATUS_OK;
    const char *scheme = word(pre, "prepend_scheme");
    const json_t *split = json_object_get(pre, "split");
    if (no_normalizer && strcmp(word(pre, "type"), "Metaspace") == 0 && strcmp(word(pre, "replacement"), "▁") == 0 &&
        json_is_false(split) && *scheme) {
        t->add_space_prefix = strcmp(scheme, "never") != 0;
        if (strcmp(scheme, "first") == 0)
            error_set(note, STATUS_OK,
                      "llama.cpp puts a space before the text after every special token, this tokenizer only at the "
                      "beginning and where there is none yet");
        return STATUS_OK;
    }
    return error_set(err, STATUS_CONFIG,
                     "%s: byte fallback with this normalizer and pre_tokenizer has no equal in llama.cpp; the forms of "
                     "Llama-2 and of Mistral have",
                     where);
}

/* The piece that a merge makes, by its text; -1: none. */
static int32_t piece_of(const struct index *index, const struct token *merge, struct pair *pair)
{
    const char *text = index->table->text.data + merge->at;
    const char *space = memchr(text + 1, ' ', merge->len - 1);
    char joined[1024];
    if (!space || merge->len > sizeof joined)
        return -1;
    const size_t left = (size_t)(space - text), right = merge->len - left - 1;
    memcpy(joined, text, left);
    memcpy(joined + left, space + 1, right);
    pair->left = index_find(index, text, left);
    pair->right = index_find(index, space + 1, right);
    return pair->left < 0 || pair->right < 0 ? -1 : index_find(index, joined, left + right);
}

/* The merges' pieces get their scores; pairs[i] is what merge i joins. */
static enum status score_merges(struct token_table *t, const struct index *index, struct pair *pairs, const char *where,
                                struct error *err)
{
    int32_t last = -1;
    float score = 0;
    for (size_t i = 0; i < t->num_merges; i++) {
        const int32_t piece = piece_of(index, &t->merges[i], &pairs[i]);
        if (piece < 0)
            return error_set(err, STATUS_FORMAT, "%s: merge %zu joins what is not in the vocabulary", where, i);
        if (piece != last) {
            if (t->tokens[piece].score < 0)
                return error_set(err, STATUS_CONFIG,
                                 "%s: the merges that make token %d do not stand together, which scores cannot say", where,
                                 (int)piece);
            score -= 1;
            last = piece;
        }
        t->tokens[piece].score = score;
        pairs[i].score = score;
    }
    return STATUS_OK;
}

enum status token_table_score(struct token_table *t, const json_t *file, const char *where, struct error *note,
                              struct error *err)
{
    struct index index = {0};
    enum status st = read_spaces(t, file, where, note, err);
    if (st != STATUS_OK)
        return st;
    struct pair *given = mem_calloc(t->num_merges, sizeof *given), *all = NULL;
    if (!given || !index_make(&index, t))
        st = error_set(err, STATUS_NOMEM, "no memory for %zu merges", t->num_merges);
    if (st == STATUS_OK)
        st = score_merges(t, &index, given, where, err);
    const size_t n = st == STATUS_OK ? all_pairs(&index, NULL) : 0;
    if (st == STATUS_OK && !(all = mem_calloc(n, sizeof *all)))
        st = error_set(err, STATUS_NOMEM, "no memory for %zu merges", n);
    if (st == STATUS_OK) {
        all_pairs(&index, all);
        qsort(given, t->num_merges, sizeof *given, pairs_by_score);
        qsort(all, n, sizeof *all, pairs_by_score);
        if (n != t->num_merges || memcmp(given, all, n * sizeof *all) != 0)
            st = error_set(err, STATUS_CONFIG,
                           "%s: %zu merges, where its vocabulary can be cut in %zu ways; scores would join what these "
                           "merges do not",
                           where, t->num_merges, n);
    }
    mem_free(given);
    mem_free(all);
    mem_free(index.ids);
    return st;
}
