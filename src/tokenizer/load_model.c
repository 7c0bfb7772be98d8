/* SPDX-License-Identifier: MIT
 * tokenizer/load_model.c - the vocabulary and the merges of a tokenizer.json.
 *
 * Tokens of a byte-level vocabulary are written with a character for each byte; here they are the bytes.  A token that
 * is not so written can only be an added one, and keeps its text.
 */
#include "tokenizer/tokenizer_internal.h"

#include "base/memory.h"

#include <string.h>

enum { BYTE_CHARACTERS = NUM_BYTES + 0x44 }; /* 0x44 bytes are written by a character that is not theirs */

/* Printable characters of Latin-1 stand for themselves, the others in order from U+0100 (GPT-2's encoder.py,
 * bytes_to_unicode). */
uint32_t byte_character(unsigned byte)
{
    if (byte < '!')
        return NUM_BYTES + byte;
    if (byte > '~' && byte < 0xA1)
        return NUM_BYTES + '!' + (byte - 0x7F);
    return byte == 0xAD ? BYTE_CHARACTERS - 1 : byte;
}

/* out[c]: the byte that character c stands for, or -1. */
static void byte_of_character(int out[BYTE_CHARACTERS])
{
    for (int c = 0; c < BYTE_CHARACTERS; c++)
        out[c] = -1;
    for (unsigned b = 0; b < NUM_BYTES; b++)
        out[byte_character(b)] = (int)b;
}

/* Writes the bytes a token stands for, at most len of them, and returns how many; -1: it is not written so. */
static int32_t token_bytes(const int of_character[BYTE_CHARACTERS], const char *text, size_t len, char *out)
{
    int32_t n = 0;
    uint32_t c;
    for (size_t i = 0; i < len; n++) {
        const int bytes = utf8_decode(text + i, len - i, &c);
        if (bytes <= 0 || c >= BYTE_CHARACTERS || of_character[c] < 0)
            return -1;
        out[n] = (char)of_character[c];
        i += (size_t)bytes;
    }
    return n;
}

/* "<0x0A>" */
static bool is_byte_token(const char *text, size_t len, unsigned char *byte)
{
    unsigned value = 0;
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
        return false;
    for (int i = 3; i < 5; i++) {
        const char c = text[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f')))
            return false;
        value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    *byte = (unsigned char)value;
    return true;
}

/* The size of the table of tokens, from the largest id; and of all their texts. */
static enum status measure(json_t *vocab, const json_t *file, const char *where, size_t *vocab_size, size_t *text_bytes,
                           struct error *err)
{
    const json_t *added = json_object_get(file, "added_tokens");
    const size_t count = json_object_size(vocab) + json_array_size(added), most = 2 * count + 1024;
    *vocab_size = *text_bytes = 0;
    const char *text;
    json_t *value;
    json_object_foreach(vocab, text, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) >= most)
            return error_set(err, STATUS_FORMAT, "%s: the id of token \"%.100s\" should be an integer in 0 … %zu",
                             where, text, most - 1);
        if ((size_t)json_integer_value(value) >= *vocab_size)
            *vocab_size = (size_t)json_integer_value(value) + 1;
        *text_bytes += strlen(text); /* less than the file has */
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        uint64_t id = 0;
        const enum status st = json_get_u64(json_array_get(added, i), "id", true, most - 1, &id, where, err);
        if (st != STATUS_OK)
            return error_prefix(err, "added token %zu", i);
        if (id >= *vocab_size)
            *vocab_size = (size_t)id + 1;
    }
    if (*vocab_size == 0)
        return error_set(err, STATUS_FORMAT, "%s: its vocabulary is empty", where);
    return STATUS_OK;
}

static enum status read_vocab(struct tokenizer *t, json_t *vocab, const char *where, struct error *err)
{
    int of_character[BYTE_CHARACTERS];
    char *end = t->texts;
    const char *text;
    json_t *value;
    byte_of_character(of_character);
    json_object_foreach(vocab, text, value)
    {
        const size_t len = strlen(text);
        const int32_t id = (int32_t)json_integer_value(value);
        struct token_text *token = &t->tokens[id];
        if (token->text)
            return error_set(err, STATUS_FORMAT, "%s: two tokens have the id %d", where, (int)id);
        int32_t n = -1;
        if (t->byte_level)
            n = token_bytes(of_character, text, len, end);
        if (n < 0) {
            memcpy(end, text, len);
            n = (int32_t)len;
            token->plain = t->byte_level;
        }
        token->text = end;
        token->len = (uint32_t)n;
        end += n;
        unsigned char byte;
        if (!t->byte_level && is_byte_token(text, len, &byte)) {
            token->is_byte = t->decoder.steps & DECODE_FALLBACK;
            token->byte = byte;
            if (t->byte_fallback && text[3] <= 'F' && text[4] <= 'F') /* it is looked for in capitals */
                t->byte_ids[byte] = id;
        } else if (t->byte_level && n == 1 && !token->plain)
            t->byte_ids[(unsigned char)token->text[0]] = id;
    }
    return STATUS_OK;
}

static int32_t id_in(const json_t *vocab, const char *text, size_t len)
{
    const json_t *id = json_object_getn(vocab, text, len);
    return id ? (int32_t)json_integer_value(id) : -1;
}

/* A merge is "left right" in older files, ["left", "right"] in newer ones. */
static bool merge_parts(const json_t *merge, const char *part[2], size_t len[2])
{
    if (json_is_string(merge)) {
        const char *text = json_string_value(merge), *space = strchr(text, ' ');
        if (!space || strchr(space + 1, ' ') || strlen(text) != json_string_length(merge))
            return false;
        part[0] = text;
        len[0] = (size_t)(space - text);
        part[1] = space + 1;
        len[1] = strlen(space + 1);
        return true;
    }
    if (json_array_size(merge) != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        const json_t *text = json_array_get(merge, i);
        if (!json_is_string(text))
            return false;
        part[i] = json_string_value(text);
        len[i] = json_string_length(text);
    }
    return true;
}

static enum status read_merges(struct tokenizer *t, const json_t *vocab, const json_t *list, const char *where,
                               struct error *err)
{
    const size_t n = json_array_size(list);
    struct buffer whole = {0};
    enum status st = merges_init(&t->merges, n, err);
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const char *part[2];
        size_t len[2];
        int32_t id[2];
        if (!merge_parts(json_array_get(list, i), part, len)) {
            st = error_set(err, STATUS_FORMAT, "%s: merge %zu is neither \"left right\" nor [\"left\", \"right\"]",
                           where, i);
            break;
        }
        if (len[0] == 0 || len[1] == 0) { /* what it makes would be its own other part, for ever */
            st = error_set(err, STATUS_FORMAT, "%s: merge %zu has an empty part, so that it joins nothing", where, i);
            break;
        }
        buffer_clear(&whole);
        for (int p = 0; p < 2 && st == STATUS_OK; p++) {
            buffer_append(&whole, part[p], len[p]);
            id[p] = id_in(vocab, part[p], len[p]);
            if (id[p] < 0)
                st = error_set(err, STATUS_FORMAT, "%s: merge %zu has the part \"%.100s\", which is no token", where, i,
                               part[p]);
        }
        if (st != STATUS_OK)
            break;
        if (whole.failed) {
            st = error_set(err, STATUS_NOMEM, "no memory for a merge");
            break;
        }
        const int32_t joined = id_in(vocab, whole.data ? whole.data : "", whole.len);
        if (joined < 0)
            st = error_set(err, STATUS_FORMAT, "%s: merge %zu makes \"%.100s\", which is no token", where, i,
                           whole.data);
        else
            merges_add(&t->merges, id[0], id[1], (uint32_t)i, joined);
    }
    t->has_merges = n > 0;
    buffer_release(&whole);
    return st;
}

static void use_as_mark(struct mark *mark, const char *text)
{
    uint32_t c;
    const size_t len = strlen(text);
    if (len && utf8_decode(text, len, &c) == (int)len) {
        mark->len = (unsigned char)len;
        memcpy(mark->text, text, len + 1);
    }
}

/* Whether words may be cut where the mark follows something else: no merge reaches over such a place.  *each: where it
 * follows itself, too. */
static bool may_cut_before(const struct tokenizer *t, const struct mark *mark, bool *each)
{
    *each = true;
    if (t->ignore_merges)
        return false;
    for (size_t i = 0; i <= t->merges.mask; i++) {
        const struct merge_slot *slot = &t->merges.slots[i];
        if (slot->left < 0)
            continue;
        const struct token_text *left = &t->tokens[slot->left], *right = &t->tokens[slot->right];
        const bool begins = right->len >= mark->len && memcmp(right->text, mark->text, mark->len) == 0;
        const bool ends =
            left->len >= mark->len && memcmp(left->text + left->len - mark->len, mark->text, mark->len) == 0;
        if (begins && !ends)
            return false;
        if (begins)
            *each = false;
    }
    return true;
}

/* The tokens that merging their own text gives; with ignore_merges, all.  Most words of a text are such tokens. */
static enum status find_words(struct tokenizer *t, struct error *err)
{
    size_t num_short = 0, num_long = 0, longest = 0;
    for (uint32_t id = 0; id < t->vocab_size; id++) {
        const struct token_text *token = &t->tokens[id];
        *(token->len > WORD_INLINE ? &num_long : &num_short) += 1;
        if (token->len > longest)
            longest = token->len;
    }
    enum status st = words_init(&t->words, num_short, num_long, err);
    int32_t *symbols = st == STATUS_OK ? mem_calloc(longest + 1, sizeof *symbols) : NULL;
    if (st == STATUS_OK && !symbols)
        st = error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
    /* Single characters first, since longer ones are made of them. */
    for (int pass = 0; pass < 2 && st == STATUS_OK; pass++)
        for (uint32_t id = 0; id < t->vocab_size && st == STATUS_OK; id++) {
            const struct token_text *token = &t->tokens[id];
            uint32_t c;
            if (token->len == 0 || token->plain || !token->text)
                continue;
            const bool single =
                t->byte_level ? token->len == 1 : utf8_decode(token->text, token->len, &c) == (int)token->len;
            if (single != (pass == 0))
                continue;
            bool itself = single || t->ignore_merges;
            if (!itself) {
                size_t n = 0;
                bool known = true;
                for (size_t i = 0; i < token->len && known;) {
                    const int bytes = t->byte_level ? 1 : utf8_decode(token->text + i, token->len - i, &c);
                    symbols[n] = bytes <= 0 ? -1 : words_find(&t->words, token->text + i, (size_t)bytes);
                    known = symbols[n++] >= 0;
                    i += (size_t)(bytes > 0 ? bytes : 1);
                }
                if (known)
                    st = merges_apply(&t->merges, symbols, &n, err);
                itself = known && n == 1 && symbols[0] == (int32_t)id;
            }
            if (itself)
                words_add(&t->words, token->text, token->len, (int32_t)id);
        }
    mem_free(symbols);
    return st;
}

static enum status read_flags(struct tokenizer *t, const json_t *model, const char *where, struct error *err)
{
    if (!json_is_object(json_object_get(model, "vocab")) || !json_is_array(json_object_get(model, "merges")))
        return error_set(err, STATUS_FORMAT,
                         "%s: its model has no object \"vocab\" and list \"merges\"; a BPE model has both", where);
    static const char *const unset[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        const json_t *value = json_object_get(model, unset[i]);
        if (value && !json_is_null(value) && !(json_is_string(value) && json_string_length(value) == 0))
            return error_set(err, STATUS_CONFIG, "%s: its model has a %s, which is not done here", where, unset[i]);
    }
    double dropout = 0;
    enum status st = json_get_double(model, "dropout", false, &dropout, where, err);
    if (st == STATUS_OK && dropout != 0)
        st = error_set(err, STATUS_CONFIG,
                       "%s: its model has a dropout of %g, which is not done here: text would have "
                       "other tokens each time",
                       where, dropout);
    if (st == STATUS_OK)
        st = json_get_bool(model, "fuse_unk", false, &t->fuse_unknown, where, err);
    if (st == STATUS_OK)
        st = json_get_bool(model, "byte_fallback", false, &t->byte_fallback, where, err);
    if (st == STATUS_OK)
        st = json_get_bool(model, "ignore_merges", false, &t->ignore_merges, where, err);
    if (st == STATUS_OK && t->byte_level && t->byte_fallback)
        st = error_set(err, STATUS_CONFIG, "%s: byte_fallback in a byte-level model is not done here", where);
    return st;
}

enum status load_model(struct tokenizer *t, const json_t *file, const char *where, struct error *err)
{
    const json_t *model = json_object_get(file, "model");
    if (!json_is_object(model))
        return error_set(err, STATUS_FORMAT, "%s: it has no \"model\"", where);
    enum status st = read_flags(t, model, where, err);
    if (st != STATUS_OK)
        return st;
    json_t *vocab = json_object_get(model, "vocab");
    const json_t *merges = json_object_get(model, "merges");
    size_t vocab_size, text_bytes;
    st = measure(vocab, file, where, &vocab_size, &text_bytes, err);
    if (st != STATUS_OK)
        return st;
    t->vocab_size = (uint32_t)vocab_size;
    t->tokens = mem_calloc(vocab_size, sizeof *t->tokens);
    t->texts = mem_alloc(text_bytes + 1);
    if (!t->tokens || !t->texts)
        return error_set(err, STATUS_NOMEM, "no memory for a vocabulary of %zu tokens", vocab_size);
    for (int b = 0; b < NUM_BYTES; b++)
        t->byte_ids[b] = -1;
    st = read_vocab(t, vocab, where, err);
    if (st == STATUS_OK)
        st = read_merges(t, vocab, merges, where, err);
    const char *unknown = NULL;
    if (st == STATUS_OK)
        st = json_get_text(model, "unk_token", false, &unknown, where, err);
    if (st != STATUS_OK)
        return st;
    t->unknown = unknown ? id_in(vocab, unknown, strlen(unknown)) : -1;
    if (unknown && *unknown && t->unknown < 0)
        return error_set(err, STATUS_FORMAT, "%s: its unk_token \"%.100s\" is no token", where, unknown);
    for (size_t i = 0; i < t->num_pre; i++)
        t->word_mark = t->pre[i].mark;
    for (size_t i = 0; i < t->num_normal; i++)
        if (t->normal[i].kind == NORMAL_REPLACE && strcmp(t->normal[i].from, " ") == 0)
            use_as_mark(&t->word_mark, t->normal[i].to);
    if (t->word_mark.len &&
        (id_in(vocab, t->word_mark.text, t->word_mark.len) < 0 || !may_cut_before(t, &t->word_mark, &t->each_mark)))
        t->word_mark.len = 0;
    return find_words(t, err);
}
