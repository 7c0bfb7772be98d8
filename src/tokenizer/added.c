/* SPDX-License-Identifier: MIT */
#include "tokenizer/added_internal.h"

#include "base/memory.h"

/* Children of a node are a list: first child, then its siblings.  0 ends it, since the root is nobody's child. */
struct added_node {
    uint32_t child, sibling;
    unsigned char byte;
    const struct added_token *token; /* of the pattern that ends here, or NULL */
};

void added_trie_release(struct added_trie *trie)
{
    mem_free(trie->nodes);
    *trie = (struct added_trie){0};
}

static uint32_t child_of(const struct added_trie *trie, uint32_t node, unsigned char byte)
{
    uint32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte)
        child = trie->nodes[child].sibling;
    return child;
}

static bool add_node(struct added_trie *trie, unsigned char byte)
{
    if (trie->count == trie->capacity) {
        size_t capacity = trie->capacity ? 2 * trie->capacity : 64, bytes;
        struct added_node *more =
            capacity <= UINT32_MAX && size_mul(capacity, sizeof *more, &bytes) ? mem_realloc(trie->nodes, bytes) : NULL;
        if (!more)
            return false;
        trie->nodes = more;
        trie->capacity = capacity;
    }
    trie->nodes[trie->count++] = (struct added_node){.byte = byte};
    return true;
}

enum status added_trie_add(struct added_trie *trie, const struct added_token *token, struct error *err)
{
    const char *pattern = token->pattern;
    const size_t len = token->pattern_len;
    if (len == 0)
        return STATUS_OK;
    if (trie->count == 0 && !add_node(trie, 0))
        return error_set(err, STATUS_NOMEM, "no memory for the added token \"%.100s\"", token->text);
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char byte = (unsigned char)pattern[i];
        uint32_t child = child_of(trie, node, byte);
        if (!child) {
            child = (uint32_t)trie->count;
            if (!add_node(trie, byte))
                return error_set(err, STATUS_NOMEM, "no memory for the added token \"%.100s\"", token->text);
            trie->nodes[child].sibling = trie->nodes[node].child;
            trie->nodes[node].child = child;
        }
        node = child;
    }
    trie->first[(unsigned char)pattern[0]] = true;
    if (!trie->nodes[node].token)
        trie->nodes[node].token = token;
    return STATUS_OK;
}

static const struct added_token *longest_at(const struct added_trie *trie, const char *text, size_t len, size_t *n)
{
    const struct added_token *token = NULL;
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        node = child_of(trie, node, (unsigned char)text[i]);
        if (!node)
            break;
        if (trie->nodes[node].token) {
            token = trie->nodes[node].token;
            *n = i + 1;
        }
    }
    return token;
}

static bool stands_alone(const struct unicode *unicode, const char *text, size_t len, size_t begin, size_t end)
{
    size_t n;
    return (begin == 0 || !(unicode_previous(unicode, text, begin, &n) & UNICODE_WORD)) &&
           (end == len || !(unicode_next(unicode, text + end, len - end, &n) & UNICODE_WORD));
}

struct added_match added_trie_next(const struct added_trie *trie, const struct unicode *unicode, const char *text,
                                   size_t len, size_t *from, size_t taken, bool parse_special)
{
    size_t at = *from, n = 0;
    while (at < len) {
        if (!trie->first[(unsigned char)text[at]]) {
            at++;
            continue;
        }
        const struct added_token *token = longest_at(trie, text + at, len - at, &n);
        if (!token) {
            at++;
            continue;
        }
        size_t begin = at, end = at + n;
        at = end;
        if ((token->special && !parse_special) || (token->single_word && !stands_alone(unicode, text, len, begin, end)))
            continue;
        if (token->lstrip) {
            while (begin > 0 && unicode_previous(unicode, text, begin, &n) & UNICODE_SPACE)
                begin -= n;
            begin = begin < taken ? taken : begin;
        }
        if (token->rstrip)
            while (end < len && unicode_next(unicode, text + end, len - end, &n) & UNICODE_SPACE)
                end += n;
        *from = at;
        return (struct added_match){begin, end, token};
    }
    *from = len;
    return (struct added_match){len, len, NULL};
}
