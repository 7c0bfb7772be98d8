/* SPDX-License-Identifier: MIT
 * tokenizer/encode.c - text to ids, in the order of steps that huggingface/tokenizers takes (tokenizers/src/tokenizer).
 *
 * Words that come to a single token, which is most of them, are found by one look-up (words_internal.h); only the others
 * are merged, and remembered within a long text.  Symbols are laid out where the ids will stand, and merged in place.
 */
#include "tokenizer/tokenizer_internal.h"

#include "base/memory.h"

#include <string.h>

/* Words of several tokens, as they were merged last: short ones, in long texts. */
enum { CACHE_WORDS = 4096, CACHE_TOKENS = 7, CACHE_FROM_BYTES = 16 * 1024 };
struct cached_word {
    struct word_key key; /* 0: free */
    int32_t n, ids[CACHE_TOKENS];
};

struct encoding {
    const struct tokenizer *t;
    const char *text; /* the caller's, for telling where an unknown character stands */
    size_t len;
    const struct text_range *data; /* [num_data]: no added tokens are found there */
    size_t num_data;
    struct buffer *ids;
    struct buffer normal, made[MAX_STEPS]; /* texts that a step makes anew; one a step */
    struct error *err;
    enum status status;
    struct cached_word *cache; /* [CACHE_WORDS], or NULL */
    word_fn *word;             /* not NULL: gets the words, and there are no ids */
    void *arg;
};

static bool fail(struct encoding *e, enum status status)
{
    e->status = status;
    return false;
}

/* Where the next n ids go; NULL without memory. */
static inline int32_t *room(struct encoding *e, size_t n)
{
    size_t bytes;
    struct buffer *ids = e->ids;
    if (__builtin_expect(n > (ids->capacity - ids->len - 1) / sizeof(int32_t), 0)) /* 1: the buffer's final 0 */
        if (!size_mul(n, sizeof(int32_t), &bytes) || !buffer_reserve(ids, bytes)) {
            fail(e, error_set(e->err, STATUS_NOMEM, "no memory for the tokens of %zu bytes of text", e->len));
            return NULL;
        }
    return (int32_t *)(void *)(ids->data + ids->len);
}

static inline bool put(struct encoding *e, int32_t id)
{
    int32_t *to = room(e, 1);
    if (!to)
        return false;
    *to = id;
    e->ids->len += sizeof id;
    return true;
}

/* No token, no bytes to fall back on, no unknown token. */
static bool unknown_character(struct encoding *e, const char *text, size_t n, bool valid)
{
    char where[64] = "";
    uint32_t c = 0;
    if (text >= e->text && text < e->text + e->len)
        snprintf(where, sizeof where, "byte %zu of the text", (size_t)(text - e->text));
    else
        snprintf(where, sizeof where, "in the text, as it is after normalizing");
    utf8_decode(text, n, &c);
    if (!valid)
        return fail(e, error_set(e->err, STATUS_FORMAT, "%s, 0x%02X, is not UTF-8", where, (unsigned char)*text));
    return fail(e, error_set(e->err, STATUS_FORMAT,
                             "%s: the character \"%.*s\" (U+%04X) is not in the vocabulary of %u tokens", where,
                             c < 0x20 ? 0 : (int)n, text, c, e->t->vocab_size));
}

/* Writes the symbols of a word of characters to `to`, with room for one a byte; *n is how many.  As the reference's
 * merge_word: a character without a token becomes its bytes' tokens, or else the unknown one, and fuse_unk makes one of
 * several of those.  (That an unknown one comes behind the bytes that follow it is as there.) */
static bool character_symbols(struct encoding *e, const char *text, size_t len, int32_t *to, size_t *n)
{
    const struct tokenizer *t = e->t;
    bool pending = false; /* an unknown token not written yet */
    *n = 0;
    for (size_t at = 0, bytes; at < len; at += bytes) {
        uint32_t c;
        const int width = utf8_decode(text + at, len - at, &c);
        bytes = width > 0 ? (size_t)width : 1;
        const int32_t id = width > 0 ? words_find(&t->words, text + at, bytes) : -1;
        if (id >= 0) {
            if (pending)
                to[(*n)++] = t->unknown;
            pending = false;
            to[(*n)++] = id;
            continue;
        }
        bool falls_back = t->byte_fallback;
        for (size_t i = 0; i < bytes && falls_back; i++)
            falls_back = t->byte_ids[(unsigned char)text[at + i]] >= 0;
        if (falls_back)
            for (size_t i = 0; i < bytes; i++)
                to[(*n)++] = t->byte_ids[(unsigned char)text[at + i]];
        else if (t->unknown < 0)
            return unknown_character(e, text + at, bytes, width > 0);
        else {
            if (pending && !t->fuse_unknown)
                to[(*n)++] = t->unknown;
            pending = true;
        }
    }
    if (pending)
        to[(*n)++] = t->unknown;
    return true;
}

static bool byte_symbols(struct encoding *e, const char *text, size_t len, int32_t *to, size_t *n)
{
    const struct tokenizer *t = e->t;
    *n = 0;
    for (size_t i = 0; i < len; i++) {
        const int32_t id = t->byte_ids[(unsigned char)text[i]];
        if (id < 0 && t->unknown < 0)
            return fail(e, error_set(e->err, STATUS_FORMAT, "the byte 0x%02X has no token in this vocabulary of %u",
                                     (unsigned char)text[i], t->vocab_size));
        if (id < 0 && t->fuse_unknown && *n && to[*n - 1] == t->unknown)
            continue;
        to[(*n)++] = id < 0 ? t->unknown : id;
    }
    return true;
}

static bool merge_word(struct encoding *e, const char *text, size_t len)
{
    const struct tokenizer *t = e->t;
    size_t n;
    int32_t *to = room(e, len + 1);
    if (!to || !(t->byte_level ? byte_symbols(e, text, len, to, &n) : character_symbols(e, text, len, to, &n)))
        return false;
    if (t->has_merges && n > 1) {
        const enum status st = merges_apply(&t->merges, to, &n, e->err);
        if (st != STATUS_OK)
            return fail(e, st);
    }
    e->ids->len += n * sizeof(int32_t);
    return true;
}

static bool merge_cached(struct encoding *e, const char *text, size_t len)
{
    const struct word_key key = word_key(text, len);
    struct cached_word *word = &e->cache[word_hash(key) % CACHE_WORDS];
    const size_t before = e->ids->len;
    if (word->key.low == key.low && word->key.high == key.high) {
        int32_t *to = room(e, CACHE_TOKENS);
        if (!to)
            return false;
        memcpy(to, word->ids, sizeof word->ids);
        e->ids->len += (size_t)word->n * sizeof *to;
        return true;
    }
    if (!merge_word(e, text, len))
        return false;
    const size_t bytes = e->ids->len - before;
    if (bytes <= sizeof word->ids) {
        word->key = key;
        word->n = (int32_t)(bytes / sizeof(int32_t));
        memcpy(word->ids, e->ids->data + before, bytes);
    }
    return true;
}

static inline bool encode_word(struct encoding *e, const char *text, size_t len)
{
    if (e->word) {
        e->status = e->word(e->arg, text, len, e->err);
        return e->status == STATUS_OK;
    }
    const int32_t id = words_find(&e->t->words, text, len);
    if (id >= 0)
        return put(e, id);
    return e->cache && len <= WORD_INLINE ? merge_cached(e, text, len) : merge_word(e, text, len);
}

/* A piece that no step splits any more, cut where no merge reaches over. */
static bool encode_piece(struct encoding *e, const char *text, size_t len)
{
    const struct mark *mark = &e->t->word_mark;
    if (!e->t->has_merges && !e->t->ignore_merges && !e->word)
        return merge_word(e, text, len);
    if (mark->len == 0)
        return encode_word(e, text, len);
    for (size_t begin = 0; begin < len;) {
        size_t at = begin;
        while (len - at >= mark->len && memcmp(text + at, mark->text, mark->len) == 0) {
            at += mark->len;
            if (e->t->each_mark)
                break;
        }
        const char *next = memmem(text + at, len - at, mark->text, mark->len);
        const size_t end = next ? (size_t)(next - text) : len;
        if (!encode_word(e, text + begin, end - begin))
            return false;
        begin = end;
    }
    return true;
}

/* Steps from number `step` on.  `first`: the piece begins the text; `within`: it goes on where other text ended. */
static bool pre_tokenize(struct encoding *e, size_t step, const char *text, size_t len, bool first, bool within)
{
    const struct tokenizer *t = e->t;
    if (len == 0)
        return true;
    if (step == t->num_pre)
        return encode_piece(e, text, len);
    const struct pre_step *pre = &t->pre[step];
    struct buffer *made = &e->made[step];
    switch (pre->kind) {
    case PRE_SPLIT:
        for (size_t at = 0, n; at < len; at += n) {
            n = split_next(pre->split, &t->unicode, text + at, len - at);
            if (!(step + 1 == t->num_pre && t->word_mark.len == 0
                      ? encode_word(e, text + at, n)
                      : pre_tokenize(e, step + 1, text + at, n, first && at == 0, within && at == 0)))
                return false;
        }
        return true;
    case PRE_PREFIX_SPACE:
        if (within || text[0] == ' ')
            return pre_tokenize(e, step + 1, text, len, first, within);
        buffer_clear(made);
        buffer_append(made, " ", 1);
        buffer_append(made, text, len);
        break;
    case PRE_METASPACE: {
        const struct mark *mark = &pre->mark;
        const bool has_mark = text[0] == ' ' || (len >= mark->len && memcmp(text, mark->text, mark->len) == 0);
        buffer_clear(made);
        if (!has_mark && !within && (pre->prepend == PREPEND_ALWAYS || (pre->prepend == PREPEND_FIRST && first)))
            buffer_append(made, mark->text, mark->len);
        replace_all(text, len, " ", 1, mark->text, mark->len, made);
    }
    }
    if (made->failed)
        return fail(e, error_set(e->err, STATUS_NOMEM, "no memory to split %zu bytes of text", len));
    if (pre->kind != PRE_METASPACE || !pre->cut)
        return pre_tokenize(e, step + 1, made->data, made->len, first, within);
    for (size_t at = 0, end; at < made->len; at = end) {
        const char *next = memmem(made->data + at + 1, made->len - at - 1, pre->mark.text, pre->mark.len);
        end = next ? (size_t)(next - made->data) : made->len;
        if (!pre_tokenize(e, step + 1, made->data + at, end - at, first && at == 0, within && at == 0))
            return false;
    }
    return true;
}

/* A piece between added tokens, of the text as it was written. */
static bool encode_between(struct encoding *e, const char *text, size_t len, unsigned flags, bool first, bool within)
{
    const struct tokenizer *t = e->t;
    if (t->num_normal) {
        buffer_clear(&e->normal);
        const enum status st = normalize(t, text, len, within, &e->normal, e->err);
        if (st != STATUS_OK)
            return fail(e, st);
        text = e->normal.data;
        len = e->normal.len;
    }
    size_t done = 0, from = 0;
    while (t->normalized.count && flags & TOKENIZER_PARSE_ADDED) {
        const struct added_match m =
            added_trie_next(&t->normalized, &t->unicode, text, len, &from, done, flags & TOKENIZER_PARSE_SPECIAL);
        if (!m.token)
            break;
        if (done < m.begin && !pre_tokenize(e, 0, text + done, m.begin - done, first && done == 0, within && done == 0))
            return false;
        if (!put(e, m.token->id))
            return false;
        done = m.end;
    }
    return done >= len || pre_tokenize(e, 0, text + done, len - done, first && done == 0, within && done == 0);
}

/* Whether any of [begin, end) is data. */
static bool touches_data(const struct encoding *e, size_t begin, size_t end)
{
    size_t low = 0, high = e->num_data; /* the first range that ends behind `begin` */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (e->data[middle].end > begin)
            high = middle;
        else
            low = middle + 1;
    }
    return low < e->num_data && e->data[low].begin < end;
}

/* A piece of the text as a whole; in one with data only the template would have tokens to be found in normalized text. */
static bool encode_stretch(struct encoding *e, size_t begin, size_t end, unsigned flags)
{
    const bool within = flags & TOKENIZER_CONTINUES;
    if (touches_data(e, begin, end))
        flags &= ~(unsigned)(TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL);
    return encode_between(e, e->text + begin, end - begin, flags, begin == 0 && !within, within && begin == 0);
}

static bool encode_text(struct encoding *e, unsigned flags)
{
    const struct tokenizer *t = e->t;
    size_t done = 0, from = 0;
    if (flags & TOKENIZER_ADD_FIRST)
        for (size_t i = 0; i < t->num_before; i++)
            if (!put(e, t->before[i]))
                return false;
    while (t->as_written.count && flags & TOKENIZER_PARSE_ADDED) {
        const struct added_match m =
            added_trie_next(&t->as_written, &t->unicode, e->text, e->len, &from, done, flags & TOKENIZER_PARSE_SPECIAL);
        if (!m.token)
            break;
        const size_t begin = from - m.token->pattern_len; /* without what it strips */
        if (touches_data(e, begin, from)) {
            from = begin + 1;
            continue;
        }
        if (done < m.begin && !encode_stretch(e, done, m.begin, flags))
            return false;
        if (!put(e, m.token->id))
            return false;
        done = m.end;
    }
    if (done < e->len && !encode_stretch(e, done, e->len, flags))
        return false;
    if (flags & TOKENIZER_ADD_LAST)
        for (size_t i = 0; i < t->num_after; i++)
            if (!put(e, t->after[i]))
                return false;
    return true;
}

static void release(struct encoding *e)
{
    mem_free(e->cache);
    buffer_release(&e->normal);
    for (size_t i = 0; i < MAX_STEPS; i++)
        buffer_release(&e->made[i]);
}

enum status tokenizer_encode_with(const struct tokenizer *tokenizer, unsigned flags, const char *text, size_t len,
                                  struct buffer *ids, struct error *err)
{
    return tokenizer_encode_mixed(tokenizer, flags, text, len, NULL, 0, ids, err);
}

enum status tokenizer_encode_mixed(const struct tokenizer *tokenizer, unsigned flags, const char *text, size_t len,
                                   const struct text_range *data, size_t n, struct buffer *ids, struct error *err)
{
    struct encoding e = {
        .t = tokenizer, .text = text, .len = len, .data = data, .num_data = n, .ids = ids, .err = err};
    for (size_t i = 0; n && i < tokenizer->num_added; i++)
        if (tokenizer->added[i].special && tokenizer->added[i].normalized)
            return error_set(err, STATUS_CONFIG,
                             "the tokenizer looks for its special token \"%.100s\" in normalized text, where a template "
                             "and what people wrote cannot be told apart", tokenizer->added[i].text);
    const size_t before = ids->len;
    if (!buffer_reserve(ids, len + 64)) /* a fourth of a token a byte; more as it is needed */
        fail(&e, error_set(err, STATUS_NOMEM, "no memory for the tokens of %zu bytes of text", len));
    else {
        if (len >= CACHE_FROM_BYTES && tokenizer->has_merges)
            e.cache = mem_calloc(CACHE_WORDS, sizeof *e.cache); /* without memory it is only slower */
        encode_text(&e, flags);
    }
    if (e.status != STATUS_OK)
        ids->len = before;
    if (ids->data)
        ids->data[ids->len] = 0;
    release(&e);
    return e.status;
}

enum status each_word(const struct tokenizer *t, unsigned flags, const char *text, size_t len, word_fn *word, void *arg,
                      struct error *err)
{
    struct encoding e = {.t = t, .text = text, .len = len, .err = err, .word = word, .arg = arg};
    encode_text(&e, flags);
    release(&e);
    return e.status;
}

enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len, struct buffer *ids,
                             struct error *err)
{
    return tokenizer_encode_with(tokenizer, 0, text, len, ids, err);
}

/* Whether an added token ends at text[len): what follows one is begun as a text of its own. */
static bool ends_with_added(const struct tokenizer *t, const char *text, size_t len)
{
    for (size_t i = 0; i < t->num_added; i++)
        if (t->added[i].len <= len && memcmp(text + len - t->added[i].len, t->added[i].text, t->added[i].len) == 0)
            return true;
    return false;
}

size_t tokenizer_cut(const struct tokenizer *tokenizer, unsigned flags, const char *text, size_t len)
{
    const struct tokenizer *t = tokenizer;
    if (flags & TOKENIZER_PARSE_ADDED && t->num_added && t->added_within_cut)
        return 0;
    if (!t->has_merges && !t->ignore_merges && t->num_normal == 0 && t->num_pre == 0 && !t->fuse_unknown)
        return utf8_whole_prefix(text, len);
    bool splits = t->word_mark.len > 0; /* whether words end before a space */
    for (size_t i = 0; i < t->num_pre; i++)
        if ((t->pre[i].kind == PRE_SPLIT && split_regex(t->pre[i].split)) ||
            (t->pre[i].kind == PRE_METASPACE && t->pre[i].cut))
            splits = true;
    for (size_t at = splits && len ? len - 1 : 0, n; at > 0; at--) {
        if (text[at] != ' ' || unicode_previous(&t->unicode, text, at, &n) & UNICODE_SPACE)
            continue;
        if (t->word_mark.len && at >= t->word_mark.len &&
            memcmp(text + at - t->word_mark.len, t->word_mark.text, t->word_mark.len) == 0)
            continue;
        if (flags & TOKENIZER_PARSE_ADDED && ends_with_added(t, text, at))
            continue;
        return at;
    }
    return 0;
}
