/* SPDX-License-Identifier: MIT
 * data/documents.h - where in a stream of tokens its documents begin.
 *
 * It is known in one of two ways:
 *     an index beside every shard, NAME.idx beside NAME.bin: the places in the stream where documents begin, u64
 *     little-endian, in order (what `cllm tokenizer encode` and `cllm train` write; docs/tokenizers.md)
 *     marks in the stream, where no shard has one: a token that ends texts, behind which the next one begins, a token
 *     that begins them, or both
 * The stream's first token always begins one.  Immutable once open: any thread may read.
 */
#ifndef DATA_DOCUMENTS_H
#define DATA_DOCUMENTS_H

#include "base/status.h"
#include "data/tokens.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct document_marks {
    int32_t ends, begins; /* tokens; -1: none */
};

struct documents;

/* Borrows `tokens`.  STATUS_CONFIG: no index and no mark, or an index beside some of the shards only; STATUS_FORMAT: an
 * index that is not in order or reaches outside its shard, with the file's name. */
struct documents *documents_open(const struct tokens *tokens, struct document_marks marks, struct error *err);
void documents_close(struct documents *documents); /* NULL is fine */
bool documents_indexed(const struct documents *documents);

/* out [n]: whether token `begin`+i of the stream begins a document; ids [n] are these tokens. */
void documents_begins(const struct documents *documents, uint64_t begin, size_t n, const int32_t *ids, bool *out);

/* How many documents begin at a place where one does: several where all but the last are empty, which an index knows;
 * at tokens_count, those that are empty at the very end. */
uint64_t documents_at(const struct documents *documents, uint64_t place);

/* Of the index, or of the marks. */
uint32_t documents_crc32(const struct documents *documents);

#endif
