/* SPDX-License-Identifier: MIT
 * app/dataset.h - from what the user calls data to a stream of tokens.
 *
 * Text (whatever formats/corpus.h reads) is tokenized once into shards in the run directory; .bin shards, or a
 * directory of them, are used where they lie.  One thread calls; the tokens are the same for any pool.
 */
#ifndef APP_DATASET_H
#define APP_DATASET_H

#include "app/crew.h"
#include "base/buffer.h"
#include "base/status.h"
#include "data/documents.h"
#include "data/tokens.h"
#include "formats/model_config.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

/* Who does it, and who is told now and then how far it is. */
struct dataset_job {
    const struct crew *crew; /* its pool encodes; its token gives the pass up (STATUS_CANCELLED, nothing is left) */
    void (*tick)(void *ctx, const char *what, uint64_t bytes_done, uint64_t bytes_total); /* may be NULL */
    void *ctx;
};

/* Whether the path is a .bin file or a directory that holds some. */
bool dataset_is_shards(const char *path);

/* "byte", "char" (one pass over the corpus `data` for its characters), or the path of a tokenizer.json. */
struct tokenizer *dataset_tokenizer(const char *name, const char *data, const struct dataset_job *job,
                                    struct error *err);

/* Tokenizes the corpus into `directory`/tokens.bin, and tokens_00001.bin … where one shard cannot hold all, each with an
 * index of documents beside it (data/documents.h).  Documents are parted by <|endoftext|> where the tokenizer has it.
 * *num_documents may be NULL. */
enum status dataset_tokenize(const char *data, const struct tokenizer *tokenizer, const char *directory,
                             const struct dataset_job *job, uint64_t *num_documents, struct error *err);

/* DIRECTORY/tokensSUFFIX for number 0, then DIRECTORY/tokens_00001SUFFIX …: the order of names is that of numbers. */
void dataset_shard_path(struct buffer *path, const char *directory, unsigned number, const char *suffix);

/* What marks documents in shards without an index: the tokenizer's tokens, or without one (NULL) the model's. */
struct document_marks dataset_marks(const struct tokenizer *tokenizer, const struct model_config *model);

/* The shards dataset_tokenize wrote into a directory. */
struct tokens *dataset_open_tokenized(const char *directory, struct error *err);

/* One code point of UTF-8 at text[0 … len); its length in bytes, or 0 when it is not valid. */
size_t dataset_decode_utf8(const char *text, size_t len, uint32_t *code_point);

#endif
