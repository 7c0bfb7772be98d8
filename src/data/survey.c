/* SPDX-License-Identifier: MIT
 * data/survey.c - one pass over a stream of documents.
 *
 * Samples are a reservoir (Vitter's algorithm R): window w takes the place drawn from 0 … w where that is below
 * their number, so each window has the same chance and the number of windows need not be known.  Documents are taken for
 * equal when a hash of 64 bits and the length are.
 */
#include "data/survey.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/memory.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

const double survey_quantiles[SURVEY_QUANTILES] = {0.05, 0.25, 0.5, 0.75, 0.95};

struct record {
    uint64_t hash;
    uint32_t length, document; /* length: at most UINT32_MAX is kept of it */
};

struct slot {
    uint64_t number;
    int32_t *ids;
    uint64_t *document;
    bool *supervised;
};

struct survey {
    struct survey_options options;
    struct survey_figures figures;
    struct buffer records; /* struct record */
    uint64_t hash, length; /* of the document in hand */
    bool begins;           /* the next token does */
    struct survey_run run; /* the one in hand */
    struct slot window;    /* the one being filled */
    bool *window_begins;   /* [T+1] */
    int32_t *first;        /* [T] */
    size_t filled;
    struct slot *samples;
    size_t num_samples;
};

static bool slot_init(struct slot *slot, size_t T)
{
    slot->ids = mem_calloc(T + 1, sizeof *slot->ids);
    slot->document = mem_calloc(T + 1, sizeof *slot->document);
    slot->supervised = mem_calloc(T + 1, sizeof *slot->supervised);
    return slot->ids && slot->document && slot->supervised;
}

static void slot_release(struct slot *slot)
{
    mem_free(slot->ids);
    mem_free(slot->document);
    mem_free(slot->supervised);
}

struct survey *survey_new(const struct survey_options *options, struct error *err)
{
    const size_t T = options->seq_len;
    if (T < 1 || T > INT32_MAX - 1 || options->samples > 1 << 20) {
        error_set(err, STATUS_CONFIG, "%zu windows of %zu tokens cannot be shown", options->samples, T);
        return NULL;
    }
    struct survey *s = mem_calloc(1, sizeof *s);
    bool ok = s != NULL;
    if (ok) {
        s->options = *options;
        s->samples = mem_calloc(options->samples + 1, sizeof *s->samples);
        s->window_begins = mem_calloc(T + 1, sizeof *s->window_begins);
        s->first = mem_calloc(T, sizeof *s->first);
        ok = s->samples && s->window_begins && s->first && slot_init(&s->window, T);
    }
    for (size_t i = 0; ok && i < options->samples; i++)
        ok = slot_init(&s->samples[i], T);
    if (ok)
        return s;
    error_set(err, STATUS_NOMEM, "no memory for %zu windows of %zu tokens", options->samples, T);
    survey_free(s);
    return NULL;
}

void survey_free(struct survey *s)
{
    if (!s)
        return;
    for (size_t i = 0; s->samples && i < s->options.samples; i++)
        slot_release(&s->samples[i]);
    slot_release(&s->window);
    mem_free(s->samples);
    mem_free(s->window_begins);
    mem_free(s->first);
    buffer_release(&s->records);
    mem_free(s);
}

/* The finalizer of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void end_run(struct survey *s)
{
    struct survey_figures *f = &s->figures;
    size_t i = f->num_runs;
    if (s->run.length < 2)
        return;
    for (; i > 0 && f->runs[i - 1].length < s->run.length; i--)
        if (i < SURVEY_RUNS)
            f->runs[i] = f->runs[i - 1];
    if (i < SURVEY_RUNS)
        f->runs[i] = s->run;
    if (f->num_runs < SURVEY_RUNS)
        f->num_runs++;
}

static unsigned bin_of(uint64_t length)
{
    unsigned bin = 0;
    for (; length; length >>= 1)
        bin++;
    return bin < SURVEY_BINS ? bin : SURVEY_BINS - 1;
}

static void end_document(struct survey *s)
{
    struct survey_figures *f = &s->figures;
    end_run(s);
    s->run.length = 0;
    if (f->documents == 0)
        return;
    const struct record record = {s->hash, s->length < UINT32_MAX ? (uint32_t)s->length : UINT32_MAX,
                                  (uint32_t)f->documents};
    buffer_append(&s->records, &record, sizeof record);
    f->bins[bin_of(s->length)]++;
    f->empty += s->length == 0;
    f->longest = s->length > f->longest ? s->length : f->longest;
    f->shortest = f->documents == 1 || s->length < f->shortest ? s->length : f->shortest;
}

enum status survey_document(struct survey *s, struct error *err)
{
    end_document(s);
    if (s->records.failed)
        return error_set(err, STATUS_NOMEM, "no memory for a record of %llu documents",
                         (unsigned long long)s->figures.documents);
    if (s->figures.documents == UINT32_MAX)
        return error_set(err, STATUS_CONFIG, "more than %u documents cannot be compared", UINT32_MAX);
    s->figures.documents++;
    s->hash = s->length = 0;
    s->begins = true;
    return STATUS_OK;
}

/* window [T+1] is full: counts it, and may keep it. */
static void end_window(struct survey *s)
{
    struct survey_figures *f = &s->figures;
    const size_t T = s->options.seq_len;
    const uint64_t number = f->windows++;
    bool *supervised = s->window.supervised;
    if (s->options.packing == PACKING_DOCUMENTS)
        packing_mask(s->window_begins + 1, T, s->first, supervised);
    else
        memset(supervised, 1, T * sizeof *supervised);
    f->pairs += (uint64_t)T * (T + 1) / 2;
    for (size_t t = 0; t < T; t++) {
        f->supervised += supervised[t];
        f->pairs_kept += t + 1 - (s->options.packing == PACKING_DOCUMENTS ? (size_t)s->first[t] : 0);
    }
    const struct rng_block r = philox4x32(rng_key(0, RNG_SHUFFLE, 0, 2), 0, number);
    const uint64_t drawn = ((uint64_t)r.word[1] << 32 | r.word[0]) % (number + 1);
    const uint64_t place = number < s->options.samples ? number : drawn;
    if (place < s->options.samples) {
        struct slot *slot = &s->samples[place];
        slot->number = number;
        memcpy(slot->ids, s->window.ids, (T + 1) * sizeof *slot->ids);
        memcpy(slot->document, s->window.document, (T + 1) * sizeof *slot->document);
        memcpy(slot->supervised, supervised, T * sizeof *supervised);
        if (s->num_samples < s->options.samples)
            s->num_samples++;
    }
    s->window.ids[0] = s->window.ids[T];
    s->window.document[0] = s->window.document[T];
    s->window_begins[0] = s->window_begins[T];
    s->filled = 1;
}

void survey_tokens(struct survey *s, const int32_t *ids, size_t n)
{
    struct survey_figures *f = &s->figures;
    for (size_t i = 0; i < n; i++) {
        const int32_t id = ids[i];
        if (s->options.vocab_size && (uint32_t)id >= s->options.vocab_size && f->outside++ == 0)
            f->first_outside = f->tokens;
        if (id == s->options.end_of_text && id >= 0)
            f->ends++;
        else {
            s->hash = mix(s->hash + (uint32_t)id + 0x9E3779B97F4A7C15u);
            s->length++;
        }
        if (s->run.length && s->run.token == id)
            s->run.length++;
        else {
            end_run(s);
            s->run = (struct survey_run){1, f->tokens, f->documents, id};
        }
        s->window.ids[s->filled] = id;
        s->window.document[s->filled] = f->documents;
        s->window_begins[s->filled] = s->begins;
        s->begins = false;
        f->tokens++;
        if (++s->filled == s->options.seq_len + 1)
            end_window(s);
    }
}

static int by_content(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    return x->document < y->document ? -1 : x->document > y->document;
}

static int by_length(const void *a, const void *b)
{
    const struct record *x = a, *y = b;
    return x->length < y->length ? -1 : x->length > y->length;
}

static int by_number(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Among the first named, in order of documents. */
static void name_duplicate(struct survey_figures *f, uint64_t document, uint64_t of)
{
    size_t i = f->num_named;
    for (; i > 0 && f->named[i - 1].document > document; i--)
        if (i < SURVEY_NAMED)
            f->named[i] = f->named[i - 1];
    if (i < SURVEY_NAMED)
        f->named[i] = (struct survey_duplicate){document, of};
    if (f->num_named < SURVEY_NAMED)
        f->num_named++;
}

static void find_duplicates(struct survey_figures *f, struct record *records, size_t n)
{
    qsort(records, n, sizeof *records, by_content);
    for (size_t i = 0, first = 0; i < n; i++) {
        if (records[i].hash != records[first].hash || records[i].length != records[first].length)
            first = i;
        if (i == first || records[i].length == 0)
            continue;
        f->duplicates++;
        f->duplicate_tokens += records[i].length;
        name_duplicate(f, records[i].document, records[first].document);
    }
}

enum status survey_finish(struct survey *s, struct error *err)
{
    struct survey_figures *f = &s->figures;
    end_document(s);
    if (s->records.failed)
        return error_set(err, STATUS_NOMEM, "no memory for a record of %llu documents",
                         (unsigned long long)f->documents);
    struct record *records = (struct record *)(void *)s->records.data;
    const size_t n = s->records.len / sizeof *records;
    if (n) {
        find_duplicates(f, records, n);
        qsort(records, n, sizeof *records, by_length);
        for (size_t i = 0; i < SURVEY_QUANTILES; i++) /* nearest rank */
            f->quantile[i] = records[(size_t)(survey_quantiles[i] * (double)(n - 1) + 0.5)].length;
        f->mean = (double)(f->tokens - f->ends) / (double)n;
    }
    if (s->num_samples)
        qsort(s->samples, s->num_samples, sizeof *s->samples, by_number);
    return STATUS_OK;
}

const struct survey_figures *survey_figures(const struct survey *s)
{
    return &s->figures;
}

size_t survey_num_windows(const struct survey *s)
{
    return s->num_samples;
}

struct survey_window survey_window(const struct survey *s, size_t i)
{
    CHECK(i < s->num_samples);
    const struct slot *slot = &s->samples[i];
    return (struct survey_window){slot->number, slot->ids, slot->document, slot->supervised};
}
