/* SPDX-License-Identifier: MIT
 * tokenizer/tokenizer.h - text to tokens and back.
 *
 * Kinds now: bytes (256 tokens, id = byte, and id 256 = <|endoftext|>), and the characters of a corpus (ids in order
 * of code point; <|endoftext|> last, only when the corpus has more than one document).  Both are written as a
 * tokenizer.json that Hugging Face's `tokenizers` loads: a BPE model without merges, byte-level for the first kind.
 * Text is data: "<|endoftext|>" inside it is encoded letter by letter, never as the special token.
 * A tokenizer is immutable once made: any number of threads may use it.
 */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/utf8.h" /* utf8_whole_prefix, for printing tokens as they come */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tokenizer;

struct tokenizer *tokenizer_new_bytes(struct error *err);

/* code_points sorted, unique, at least one (else STATUS_MISUSE); with_end_of_text adds that token.  STATUS_FORMAT:
 * U+0000 among them, which tokenizer.json cannot hold here. */
struct tokenizer *tokenizer_new_chars(const uint32_t *code_points, size_t n, bool with_end_of_text, struct error *err);

/* Reads tokenizer.json (or the one inside a directory).  A kind we cannot do is refused by name (STATUS_CONFIG), never
 * approximated. */
struct tokenizer *tokenizer_load(const char *path, struct error *err);
void tokenizer_free(struct tokenizer *tokenizer);

const char *tokenizer_kind(const struct tokenizer *tokenizer); /* "byte" or "char" */
uint32_t tokenizer_vocab_size(const struct tokenizer *tokenizer);
int32_t tokenizer_end_of_text(const struct tokenizer *tokenizer); /* -1: none */
uint32_t tokenizer_crc32(const struct tokenizer *tokenizer);      /* of its tokenizer.json */

/* Appends ids (int32_t each) to `ids`.  STATUS_FORMAT: text that is not UTF-8 or a character outside the vocabulary
 * (characters only), with its byte offset and the character. */
enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len, struct buffer *ids,
                             struct error *err);

/* Appends the bytes of one token; special tokens give none.  STATUS_FORMAT: id out of the vocabulary. */
enum status tokenizer_decode(const struct tokenizer *tokenizer, int32_t id, struct buffer *text, struct error *err);

/* Appends tokenizer.json, and tokenizer_config.json, as text. */
enum status tokenizer_json(const struct tokenizer *tokenizer, struct buffer *out, struct error *err);
enum status tokenizer_config_json(const struct tokenizer *tokenizer, size_t max_length, struct buffer *out,
                                  struct error *err);

#endif
