/* SPDX-License-Identifier: MIT
 * data/survey.h - what a stream of documents is like: figures for people, taken in one pass.
 *
 * The caller tells of each document as it begins and of the tokens in order; nothing is kept but 16 bytes for each document
 * (its hash, length and number) and the windows that were drawn as samples.  The windows are those of seq_len tokens
 * and the one after, from the stream's beginning on: what a training sees but for the offset of its epochs.  The result
 * is a function of the stream and the options.  One thread.
 */
#ifndef DATA_SURVEY_H
#define DATA_SURVEY_H

#include "base/status.h"
#include "data/packing.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct survey_options {
    size_t seq_len;       /* T */
    enum packing packing;
    uint32_t vocab_size;  /* 0: not known, nothing is outside */
    int32_t end_of_text;  /* parts documents, and counts neither in their lengths nor for what is equal; -1: none */
    size_t samples;       /* windows to keep */
};

enum { SURVEY_NAMED = 5, SURVEY_RUNS = 3, SURVEY_QUANTILES = 5, SURVEY_BINS = 34 };
extern const double survey_quantiles[SURVEY_QUANTILES]; /* 0.05 … 0.95 */

/* Documents and tokens are counted from 1 and from 0. */
struct survey_figures {
    uint64_t documents, empty, tokens, ends; /* ends: end-of-text tokens among them */
    uint64_t outside, first_outside;         /* tokens outside the vocabulary, where the first one is */
    uint64_t duplicates, duplicate_tokens;   /* documents, not empty, equal to an earlier one; and their tokens */
    struct survey_duplicate {
        uint64_t document, of;
    } named[SURVEY_NAMED]; /* the first of them */
    size_t num_named;
    uint64_t shortest, longest, quantile[SURVEY_QUANTILES]; /* of lengths, in tokens */
    double mean;
    uint64_t bins[SURVEY_BINS]; /* documents of length 0; 1; 2 and 3; 4 to 7; … */
    uint64_t windows, supervised, pairs, pairs_kept; /* targets that count; queries with keys, all and seen */
    struct survey_run {
        uint64_t length, begin, document;
        int32_t token;
    } runs[SURVEY_RUNS]; /* longest first, of two tokens or more, inside a document */
    size_t num_runs;
};

struct survey_window {
    uint64_t number;
    const int32_t *ids;       /* [T+1] */
    const uint64_t *document; /* [T+1]; 0: before the first */
    const bool *supervised;   /* [T]: whether ids[t+1] counts */
};

struct survey;

/* STATUS_CONFIG: seq_len 0 or beyond what can be counted; STATUS_NOMEM. */
struct survey *survey_new(const struct survey_options *options, struct error *err);
void survey_free(struct survey *survey); /* NULL is fine */

/* The next token begins a document.  STATUS_NOMEM; STATUS_CONFIG: more than 2^32-1 documents. */
enum status survey_document(struct survey *survey, struct error *err);
void survey_tokens(struct survey *survey, const int32_t *ids, size_t n);

/* The stream is over: the figures, and the samples in order of their numbers, borrowed until _free.  Once. */
enum status survey_finish(struct survey *survey, struct error *err);
const struct survey_figures *survey_figures(const struct survey *survey);
size_t survey_num_windows(const struct survey *survey);
struct survey_window survey_window(const struct survey *survey, size_t i);

#endif
