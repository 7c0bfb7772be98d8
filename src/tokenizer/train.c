/* SPDX-License-Identifier: MIT
 * tokenizer/train.c - the most frequent pair, again and again.
 *
 * A word is its symbols; `pairs` has for each pair of symbols how often it occurs; a heap holds candidates, each with
 * the words in which its pair was found when the candidate was made.  Taking the best one joins it in those words, which
 * changes the counts of the pairs around, and makes a candidate for every pair that comes up.  A candidate whose count
 * is no more what its pair has goes back with the new one.  So a join costs its occurrences, not the text.
 *
 * The reference does not take a joined pair's own count back, and a pair that comes up in another way later (its parts
 * are tokens that can be made in two ways) gets a second candidate and is listed a second time; of the two places in the
 * list of merges only the later one is left.  Ids depend on that, so it is so here.
 */
#include "tokenizer/train.h"

#include "base/memory.h"
#include "tokenizer/tokenizer_internal.h"
#include "tokenizer/word_counts_internal.h"

#include <string.h>

struct pair {
    int32_t left, right;
    int64_t count;
    uint32_t fresh; /* events of the present join: how many words it came up in, then where the next is written */
    uint32_t last;  /* the word it came up in last, + 1 */
    size_t begin;   /* of those words, in `places` */
};

struct candidate {
    int64_t count;
    uint32_t pair;   /* index */
    uint32_t order;  /* when it was made: the last tie-breaker */
    size_t begin, n; /* its words, in `places` */
};

struct word {
    size_t at; /* in symbols */
    uint32_t len;
    uint64_t count;
};

struct event {
    uint32_t pair, word;
};

struct rule {
    int32_t left, right;
};

struct trainer {
    struct word *words;
    size_t num_words;
    int32_t *symbols;

    struct pair *pairs;
    size_t num_pairs, pair_capacity;
    uint32_t *slots; /* index + 1, or 0 */
    size_t mask;

    struct buffer places;  /* uint32_t: words */
    struct buffer events;  /* struct event, of the present join */
    struct buffer touched; /* uint32_t: pairs that came up in it */
    struct buffer heap;    /* struct candidate */
    uint32_t next_order;

    struct buffer rules; /* struct rule */
    char **texts;        /* [num_tokens], bytes; owned */
    uint32_t *lens;
    size_t num_tokens, vocab_size;
    struct words known; /* of texts */
};

static struct candidate *heap_items(const struct trainer *t)
{
    return (struct candidate *)(void *)t->heap.data;
}

/* Whether a comes out before b. */
static bool better(const struct trainer *t, const struct candidate *a, const struct candidate *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    const struct pair *x = &t->pairs[a->pair], *y = &t->pairs[b->pair];
    if (x->left != y->left)
        return x->left < y->left;
    if (x->right != y->right)
        return x->right < y->right;
    return a->order < b->order;
}

static bool heap_push(struct trainer *t, struct candidate item)
{
    buffer_append(&t->heap, &item, sizeof item); /* makes the room */
    if (t->heap.failed)
        return false;
    struct candidate *items = heap_items(t);
    size_t i = t->heap.len / sizeof item - 1;
    for (; i > 0 && better(t, &item, &items[(i - 1) / 2]); i = (i - 1) / 2)
        items[i] = items[(i - 1) / 2];
    items[i] = item;
    return true;
}

/* Puts `item` in the place of the first. */
static void heap_replace_first(struct trainer *t, struct candidate item)
{
    struct candidate *items = heap_items(t);
    const size_t n = t->heap.len / sizeof item;
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && better(t, &items[child + 1], &items[child]))
            child++;
        if (!better(t, &items[child], &item))
            break;
        items[i] = items[child];
    }
    items[i] = item;
}

static struct candidate heap_pop(struct trainer *t)
{
    const struct candidate first = heap_items(t)[0];
    t->heap.len -= sizeof first;
    const size_t n = t->heap.len / sizeof first;
    if (n)
        heap_replace_first(t, heap_items(t)[n]);
    return first;
}

static uint32_t pair_hash(int32_t left, int32_t right)
{
    const uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    return (uint32_t)((h ^ h >> 29) >> 15);
}

static bool more_pairs(struct trainer *t)
{
    const size_t capacity = t->pair_capacity ? 2 * t->pair_capacity : 4096;
    struct pair *pairs = capacity < UINT32_MAX ? mem_realloc(t->pairs, capacity * sizeof *pairs) : NULL;
    if (!pairs)
        return false;
    t->pairs = pairs;
    t->pair_capacity = capacity;
    uint32_t *slots = mem_calloc(2 * capacity, sizeof *slots);
    if (!slots)
        return false;
    mem_free(t->slots);
    t->slots = slots;
    t->mask = 2 * capacity - 1;
    for (size_t i = 0; i < t->num_pairs; i++) {
        size_t at = pair_hash(pairs[i].left, pairs[i].right) & t->mask;
        while (slots[at])
            at = (at + 1) & t->mask;
        slots[at] = (uint32_t)i + 1;
    }
    return true;
}

/* Adds to the count of a pair; one that came up in `word` is noted, once a word.  False: no memory. */
static bool change(struct trainer *t, int32_t left, int32_t right, int64_t by, uint32_t word)
{
    size_t at = pair_hash(left, right) & t->mask;
    while (t->slots[at] && (t->pairs[t->slots[at] - 1].left != left || t->pairs[t->slots[at] - 1].right != right))
        at = (at + 1) & t->mask;
    if (!t->slots[at]) {
        if (t->num_pairs == t->pair_capacity) {
            if (!more_pairs(t))
                return false;
            return change(t, left, right, by, word);
        }
        t->pairs[t->num_pairs++] = (struct pair){.left = left, .right = right};
        t->slots[at] = (uint32_t)t->num_pairs;
    }
    const uint32_t index = t->slots[at] - 1;
    struct pair *pair = &t->pairs[index];
    pair->count += by;
    if (by <= 0 || (pair->fresh && pair->last == word + 1))
        return true;
    if (pair->fresh++ == 0)
        buffer_append(&t->touched, &index, sizeof index);
    pair->last = word + 1;
    const struct event event = {index, word};
    buffer_append(&t->events, &event, sizeof event);
    return !t->touched.failed && !t->events.failed;
}

/* Makes a candidate of each pair that came up, with its words. */
static bool flush(struct trainer *t)
{
    const uint32_t *touched = (const uint32_t *)(const void *)t->touched.data;
    const struct event *events = (const struct event *)(const void *)t->events.data;
    const size_t num_touched = t->touched.len / sizeof *touched, num_events = t->events.len / sizeof *events;
    size_t at = t->places.len / sizeof(uint32_t);
    if (!buffer_reserve(&t->places, num_events * sizeof(uint32_t)))
        return false;
    for (size_t i = 0; i < num_touched; i++) {
        struct pair *pair = &t->pairs[touched[i]];
        pair->begin = at;
        at += pair->fresh;
        if (pair->count > 0 &&
            !heap_push(t, (struct candidate){pair->count, touched[i], t->next_order++, pair->begin, pair->fresh}))
            return false;
        pair->fresh = 0;
    }
    uint32_t *places = (uint32_t *)(void *)t->places.data;
    for (size_t i = 0; i < num_events; i++) {
        struct pair *pair = &t->pairs[events[i].pair];
        places[pair->begin + pair->fresh++] = events[i].word;
    }
    for (size_t i = 0; i < num_touched; i++)
        t->pairs[touched[i]].fresh = 0;
    t->places.len = at * sizeof(uint32_t);
    t->touched.len = t->events.len = 0;
    return true;
}

/* Joins the pair in one word, from left to right, and counts what changes around it. */
static bool join_in(struct trainer *t, uint32_t index, int32_t left, int32_t right, int32_t joined)
{
    struct word *word = &t->words[index];
    int32_t *s = t->symbols + word->at;
    const int64_t count = (int64_t)word->count;
    uint32_t to = 0;
    bool ok = true;
    for (uint32_t i = 0; i < word->len && ok; to++) {
        if (s[i] != left || i + 1 >= word->len || s[i + 1] != right) {
            s[to] = s[i++];
            continue;
        }
        if (to > 0)
            ok = change(t, s[to - 1], left, -count, index) && change(t, s[to - 1], joined, count, index);
        if (i + 2 < word->len && ok)
            ok = change(t, right, s[i + 2], -count, index) && change(t, joined, s[i + 2], count, index);
        s[to] = joined;
        i += 2;
    }
    word->len = to;
    return ok;
}

/* The token that the two make: one there is, or a new one.  -1: no memory; -2: one that no text may make. */
static int32_t joined_token(struct trainer *t, int32_t left, int32_t right)
{
    const size_t len = (size_t)t->lens[left] + t->lens[right];
    char *text = len <= UINT32_MAX ? mem_alloc(len) : NULL;
    if (!text)
        return -1;
    memcpy(text, t->texts[left], t->lens[left]);
    memcpy(text + t->lens[left], t->texts[right], t->lens[right]);
    const int32_t known = words_find(&t->known, text, len);
    if (known != -1) {
        mem_free(text);
        return known;
    }
    const int32_t id = (int32_t)t->num_tokens++;
    t->texts[id] = text;
    t->lens[id] = (uint32_t)len;
    words_add(&t->known, text, len, id);
    return id;
}

static enum status merge_all(struct trainer *t, uint64_t min_frequency, struct error *err)
{
    const char *const no_memory = "no memory to train a tokenizer";
    for (uint32_t i = 0; i < t->num_words; i++) {
        const int32_t *s = t->symbols + t->words[i].at;
        for (uint32_t k = 0; k + 1 < t->words[i].len; k++)
            if (!change(t, s[k], s[k + 1], (int64_t)t->words[i].count, i))
                return error_set(err, STATUS_NOMEM, no_memory);
    }
    if (!flush(t))
        return error_set(err, STATUS_NOMEM, no_memory);
    while (t->num_tokens < t->vocab_size && t->heap.len) {
        struct candidate top = heap_items(t)[0];
        if (top.count != t->pairs[top.pair].count) {
            top.count = t->pairs[top.pair].count;
            heap_replace_first(t, top);
            continue;
        }
        if (top.count < 1 || (uint64_t)top.count < min_frequency)
            break;
        top = heap_pop(t);
        const struct rule rule = {t->pairs[top.pair].left, t->pairs[top.pair].right};
        const int32_t joined = joined_token(t, rule.left, rule.right);
        if (joined == -2)
            continue;
        buffer_append(&t->rules, &rule, sizeof rule);
        if (joined == -1 || t->rules.failed)
            return error_set(err, STATUS_NOMEM, no_memory);
        for (size_t i = 0; i < top.n; i++) {
            const uint32_t *places = (const uint32_t *)(const void *)t->places.data;
            if (!join_in(t, places[top.begin + i], rule.left, rule.right, joined))
                return error_set(err, STATUS_NOMEM, no_memory);
        }
        if (!flush(t))
            return error_set(err, STATUS_NOMEM, no_memory);
    }
    return STATUS_OK;
}

/* Words as symbols, and the tokens there are before any is joined. */
static enum status prepare(struct trainer *t, const struct tokenizer *blank, const struct word_counts *counts,
                           size_t vocab_size, struct error *err)
{
    t->vocab_size = vocab_size;
    t->num_words = counts->num_words;
    t->words = mem_calloc(counts->num_words + 1, sizeof *t->words);
    size_t bytes;
    if (size_mul(counts->texts.len + 1, sizeof *t->symbols, &bytes))
        t->symbols = mem_alloc(bytes);
    t->texts = mem_calloc(vocab_size, sizeof *t->texts);
    t->lens = mem_calloc(vocab_size, sizeof *t->lens);
    if (!t->words || !t->symbols || !t->texts || !t->lens || !more_pairs(t))
        return error_set(err, STATUS_NOMEM, "no memory to train a tokenizer on %zu words", counts->num_words);
    const enum status st = words_init(&t->known, vocab_size, vocab_size, err);
    if (st != STATUS_OK)
        return st;
    for (size_t i = 0; i < counts->texts.len; i++)
        t->symbols[i] = blank->byte_ids[(unsigned char)counts->texts.data[i]];
    for (size_t i = 0; i < counts->num_words; i++)
        t->words[i] = (struct word){counts->words[i].at, counts->words[i].len, counts->words[i].count};
    for (uint32_t id = 0; id < blank->vocab_size; id++) {
        const struct token_text *token = &blank->tokens[id];
        char *text = mem_alloc(token->len);
        if (!text)
            return error_set(err, STATUS_NOMEM, "no memory to train a tokenizer");
        memcpy(text, token->text, token->len);
        t->texts[id] = text;
        t->lens[id] = token->len;
        words_add(&t->known, text, token->len, token->plain ? -2 : (int32_t)id);
        t->num_tokens = id + 1;
    }
    return STATUS_OK;
}

static void release(struct trainer *t)
{
    for (size_t i = 0; i < t->num_tokens; i++)
        mem_free(t->texts[i]);
    mem_free(t->texts);
    mem_free(t->lens);
    mem_free(t->words);
    mem_free(t->symbols);
    mem_free(t->pairs);
    mem_free(t->slots);
    words_release(&t->known);
    buffer_release(&t->places);
    buffer_release(&t->events);
    buffer_release(&t->touched);
    buffer_release(&t->heap);
    buffer_release(&t->rules);
}

/* Appends a token as it is written in the file: a character a byte. */
static void written(const struct trainer *t, int32_t id, struct buffer *out)
{
    for (uint32_t i = 0; i < t->lens[id]; i++) {
        char character[4];
        buffer_append(out, character, (size_t)utf8_encode(byte_character((unsigned char)t->texts[id][i]), character));
    }
}

static int by_rule(const void *a, const void *b)
{
    const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    if (x->right != y->right)
        return x->right < y->right ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* Leaves of rules that stand there twice only the last: the earlier ones get left -1. */
static bool keep_last(struct trainer *t)
{
    struct rule *rules = (struct rule *)(void *)t->rules.data;
    const size_t n = t->rules.len / sizeof *rules;
    const struct rule **sorted = n ? mem_calloc(n, sizeof *sorted) : NULL;
    if (n && !sorted)
        return false;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &rules[i];
    if (n)
        qsort(sorted, n, sizeof *sorted, by_rule);
    for (size_t i = 1; i < n; i++)
        if (sorted[i]->left == sorted[i - 1]->left && sorted[i]->right == sorted[i - 1]->right)
            rules[sorted[i - 1] - rules].right = -1 - rules[sorted[i - 1] - rules].right;
    mem_free(sorted);
    return true;
}

static struct tokenizer *result(struct trainer *t, const struct tokenizer *blank, struct error *err)
{
    struct buffer text = {0};
    struct tokenizer *made = NULL;
    json_t *file = json_read_text(blank->json.data, blank->json.len, "the blank tokenizer", err);
    json_t *model = json_object_get(file, "model"), *vocab = json_object_get(model, "vocab"), *merges = json_array();
    bool ok = file && merges && keep_last(t);
    for (size_t id = blank->vocab_size; id < t->num_tokens && ok; id++) {
        buffer_clear(&text);
        written(t, (int32_t)id, &text);
        ok = !text.failed && json_object_set_new(vocab, text.data, json_integer((json_int_t)id)) == 0;
    }
    const struct rule *rules = (const struct rule *)(const void *)t->rules.data;
    for (size_t i = 0; i < t->rules.len / sizeof *rules && ok; i++) {
        if (rules[i].right < 0)
            continue;
        buffer_clear(&text);
        written(t, rules[i].left, &text);
        buffer_append(&text, " ", 1);
        written(t, rules[i].right, &text);
        ok = !text.failed && json_array_append_new(merges, json_stringn(text.data, text.len)) == 0;
    }
    ok = ok && json_object_set(model, "merges", merges) == 0;
    buffer_clear(&text);
    if (!ok)
        error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
    else if (json_write(file, false, &text, err) == STATUS_OK)
        made = tokenizer_from_text(text.data, text.len, "the trained tokenizer", err);
    json_decref(merges);
    json_decref(file);
    buffer_release(&text);
    return made;
}

struct tokenizer *tokenizer_train(const struct tokenizer *blank, const struct word_counts *counts, size_t vocab_size,
                                  uint64_t min_frequency, struct error *err)
{
    struct trainer t = {0};
    struct tokenizer *made = NULL;
    if (vocab_size < blank->vocab_size || vocab_size > INT32_MAX / 2) {
        error_set(err, STATUS_CONFIG, "a vocabulary of %zu tokens; bytes and special tokens alone are %u", vocab_size,
                  blank->vocab_size);
        return NULL;
    }
    if (prepare(&t, blank, counts, vocab_size, err) == STATUS_OK && merge_all(&t, min_frequency, err) == STATUS_OK)
        made = result(&t, blank, err);
    release(&t);
    return made;
}
