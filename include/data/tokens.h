/* SPDX-License-Identifier: MIT
 * data/tokens.h - tokens on disk: llm.c's .bin shards, written and mapped.
 *
 * A shard is a header of 256 little-endian int32 and then the tokens.  Two kinds, as llm.c writes them:
 *     magic 20240520, version 1, [2] = number of tokens, tokens u16   (GPT-2)
 *     magic 20240801, version 7, [2] = number of tokens, tokens u32   (Llama 3)
 * A file of plain bytes can be mapped too, each byte a token (vocabulary 256).  Source of the layout: karpathy/llm.c,
 * dev/data/data_common.py and llmc/dataloader.h.  An open `struct tokens` is immutable: any thread may read.
 */
#ifndef DATA_TOKENS_H
#define DATA_TOKENS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct tokens;

/* The shards of all paths, in the order given, as one stream.  A path that is a directory stands for its *.bin
 * files in byte order of their names.  Checks magic, version and that the length in the header is the file's. */
struct tokens *tokens_open(const char *const *paths, size_t num_paths, struct error *err);

/* The bytes of one file as tokens 0 … 255. */
struct tokens *tokens_open_bytes(const char *path, struct error *err);

void tokens_close(struct tokens *tokens); /* NULL is fine */

uint64_t tokens_count(const struct tokens *tokens);

/* The files the stream is made of, without empty ones; at least one. */
struct tokens_shard {
    const char *path; /* borrowed until _close */
    uint64_t begin, count; /* its tokens, in the stream */
};
size_t tokens_num_shards(const struct tokens *tokens);
struct tokens_shard tokens_shard(const struct tokens *tokens, size_t i);

/* Writes n tokens from position begin; begin + n <= tokens_count. */
void tokens_read(const struct tokens *tokens, uint64_t begin, size_t n, int32_t *out);

/* STATUS_FORMAT naming file, position and token when one is not below vocab_size.  Reads everything once. */
enum status tokens_check_vocab(const struct tokens *tokens, uint32_t vocab_size, struct error *err);

/* crc32 of all tokens as little-endian u32, so that the same text in another container has the same sum. */
uint32_t tokens_crc32(const struct tokens *tokens);

/* Writing a shard: to PATH.tmp, renamed to PATH by _commit.  width_bytes is 2 or 4.  More than 2^31-1 tokens do not
 * fit a header: STATUS_CONFIG. */
struct token_writer;
struct token_writer *token_writer_open(const char *path, int width_bytes, struct error *err);
enum status token_writer_append(struct token_writer *writer, const int32_t *ids, size_t n, struct error *err);
enum status token_writer_commit(struct token_writer *writer, struct error *err); /* frees the writer either way */
void token_writer_abort(struct token_writer *writer);                            /* removes the file; NULL is fine */

#endif
