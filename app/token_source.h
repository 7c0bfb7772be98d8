/* SPDX-License-Identifier: MIT
 * app/token_source.h - the tokens of a corpus, in order, encoded by all workers of a pool.
 *
 * The text is cut into jobs of some hundred KiB, at the same places for any number of workers, where tokenizer_cut
 * allows it (a document that cannot be cut is one job); the jobs of a batch are encoded together and given out in order.
 * Documents are parted by the tokenizer's end of text where it has one.  Special tokens named in the text are text;
 * other added tokens are found.  One thread calls.
 */
#ifndef APP_TOKEN_SOURCE_H
#define APP_TOKEN_SOURCE_H

#include "base/status.h"
#include "runtime/cancel.h"
#include "runtime/pool.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct token_source;

/* A started pool for this work: `threads` workers, 0 or too many are as many as the machine has for us.  *pool is NULL
 * for one. */
enum status token_pool(int threads, struct pool **pool, struct error *err);

/* Borrows all it is given.  A NULL pool is the caller alone; `cancel`, which may be NULL, gives up (STATUS_CANCELLED). */
struct token_source *token_source_open(const char *data, const struct tokenizer *tokenizer, struct pool *pool,
                                       const struct cancel *cancel, struct error *err);
void token_source_close(struct token_source *source); /* NULL is fine */

/* The tokens of one job. */
struct token_chunk {
    const int32_t *ids; /* [n], borrowed until the next call */
    size_t n, text_bytes;
    const size_t *starts; /* [num_starts]: where in ids documents begin (behind the token that parts them) */
    size_t num_starts;
    uint64_t number; /* of the job */
    uint64_t invalid_bytes; /* of its text that are not UTF-8, after token_source_count_invalid */
};

/* The next chunk, which may be empty; *more is false at the end.  Jobs before `from` are read but not encoded: their
 * chunks have n = 0 and no starts (resuming).  Errors name the file. */
enum status token_source_next(struct token_source *source, uint64_t from, struct token_chunk *out, bool *more,
                              struct error *err);

/* From now on bytes that are not UTF-8 are counted. */
void token_source_count_invalid(struct token_source *source);

/* For progress: bytes of input read and in all. */
uint64_t token_source_bytes_read(const struct token_source *source);
uint64_t token_source_bytes_total(const struct token_source *source);

/* The same cuts, for who wants the text and not its tokens: one piece of one document at a time, each with what is to be
 * told to the tokenizer (TOKENIZER_CONTINUES or 0). */
struct text_piece {
    const char *text, *file;
    size_t len;
    unsigned flags;
};

/* Has work(piece, arg) called for all pieces of `data`, many at a time, in no order; the first failure in the order of
 * the text is returned.  `tick`, which may be NULL, is told of progress between batches and gives up with false. */
enum status text_pieces_each(const char *data, const struct tokenizer *tokenizer, struct pool *pool,
                             enum status (*work)(const struct text_piece *pieces, size_t n, void *arg,
                                                 struct error *err),
                             void *arg, bool (*tick)(void *arg, uint64_t done, uint64_t total), struct error *err);

#endif
