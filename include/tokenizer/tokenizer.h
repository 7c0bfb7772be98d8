/* SPDX-License-Identifier: MIT
 * tokenizer/tokenizer.h - text to tokens and back.
 *
 * A tokenizer is what a Hugging Face tokenizer.json says: a vocabulary with the merges of byte-pair encoding, and the
 * steps before and after.  Which kinds of steps are done is told in docs/tokenizers.md; any other is refused by its
 * name when the file is loaded, never approximated.  Two kinds are made here: bytes (256 tokens, id = byte, and id 256 =
 * <|endoftext|>), and the characters of a corpus (ids in order of code point; <|endoftext|> last, where asked for);
 * tokenizer/train.h makes a third from text.
 *
 * Text is data unless the caller says otherwise: without a flag "<|endoftext|>" inside it is encoded letter by letter,
 * never as the special token.  Bytes that are not UTF-8 are kept: byte-level tokenizers encode and decode any bytes.
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

/* Reads tokenizer.json (or the one inside a directory), and the tokenizer_config.json beside it for the special tokens
 * it names.  A kind of step we do not do is refused by name (STATUS_CONFIG).  The texts of both files are kept. */
struct tokenizer *tokenizer_load(const char *path, struct error *err);

/* The same from the text of a tokenizer.json; `where` stands for the file in messages. */
struct tokenizer *tokenizer_from_text(const char *json, size_t len, const char *where, struct error *err);
void tokenizer_free(struct tokenizer *tokenizer);

const char *tokenizer_kind(const struct tokenizer *tokenizer);    /* "byte", "char" or "bpe" */
uint32_t tokenizer_vocab_size(const struct tokenizer *tokenizer); /* one more than the largest id */
uint32_t tokenizer_crc32(const struct tokenizer *tokenizer);      /* of its tokenizer.json */

/* Ids of special tokens; -1: none.  The end of text is tokenizer_config.json's eos_token, or without it the first there
 * is of <|endoftext|>, <|end_of_text|> and </s>; the begin is its bos_token. */
int32_t tokenizer_end_of_text(const struct tokenizer *tokenizer);
int32_t tokenizer_begin_of_text(const struct tokenizer *tokenizer);

/* The id of the added token with this text; -1: none. */
int32_t tokenizer_added(const struct tokenizer *tokenizer, const char *text);

enum tokenizer_flags {
    TOKENIZER_PARSE_ADDED = 1,   /* find the added tokens that are not special in the text */
    TOKENIZER_PARSE_SPECIAL = 2, /* find the special ones too (with the flag above) */
    TOKENIZER_ADD_FIRST = 4,     /* put the special tokens of the post-processor before the text, such as <s> … */
    TOKENIZER_ADD_LAST = 8,      /* … and behind it, such as </s> */
    TOKENIZER_CONTINUES = 16,    /* the text follows other text: no space is put before it for being first */
    /* what `tokenizers` and `transformers` do when they are not told otherwise */
    TOKENIZER_AS_REFERENCE = TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_FIRST | TOKENIZER_ADD_LAST
};

/* Appends ids (int32_t each) to `ids`.  STATUS_FORMAT: a character outside the vocabulary, where this has neither an
 * unknown token nor bytes to fall back on, with its byte offset and the character (or that it is not UTF-8).  A call
 * that fails appends nothing. */
enum status tokenizer_encode_with(const struct tokenizer *tokenizer, unsigned flags, const char *text, size_t len,
                                  struct buffer *ids, struct error *err);

/* The same without flags. */
enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len, struct buffer *ids,
                             struct error *err);

/* The same for a text made of a template and of what people wrote: in data[0 … n), byte ranges in rising order, no added
 * token is found, nor one that reaches into them, whatever the flags say.  STATUS_CONFIG: the tokenizer has special tokens
 * that are looked for in normalized text, where the ranges are lost. */
struct text_range {
    size_t begin, end;
};
enum status tokenizer_encode_mixed(const struct tokenizer *tokenizer, unsigned flags, const char *text, size_t len,
                                   const struct text_range *data, size_t n, struct buffer *ids, struct error *err);

/* Where a text may be cut: the largest n <= len such that the ids of text[0 … n) followed by those of the rest (with
 * TOKENIZER_CONTINUES) are those of the whole, whatever comes after len.  0: nowhere; encode the text as a whole. */
size_t tokenizer_cut(const struct tokenizer *tokenizer, unsigned flags, const char *text, size_t len);

/* Appends the bytes of one token as it stands within a text; special tokens give none.  STATUS_FORMAT: id out of the
 * vocabulary. */
enum status tokenizer_decode(const struct tokenizer *tokenizer, int32_t id, struct buffer *text, struct error *err);

/* Appends the bytes of a text from its beginning: what the decoder strips there is stripped.  with_special gives special
 * tokens their text. */
enum status tokenizer_decode_text(const struct tokenizer *tokenizer, const int32_t *ids, size_t n, bool with_special,
                                  struct buffer *text, struct error *err);

/* Decoding token by token, for showing them as they come.  `struct text_stream s = {0};` is at the beginning of a text;
 * with .begun = true it is within one. */
struct text_stream {
    bool begun, with_special;
    unsigned to_strip; /* this and the rest are the stream's own */
    unsigned char num_held;
    char held[4]; /* the beginning of a character */
};

/* Appends what whole characters the token completes; a byte that cannot belong to any character is passed on as it is. */
enum status text_stream_push(struct text_stream *stream, const struct tokenizer *tokenizer, int32_t id,
                             struct buffer *text, struct error *err);

/* Ends the text: half a character that is left becomes U+FFFD. */
enum status text_stream_finish(struct text_stream *stream, struct buffer *text, struct error *err);

/* Appends tokenizer.json, and tokenizer_config.json, as text: byte for byte those that were loaded, else our own. */
enum status tokenizer_json(const struct tokenizer *tokenizer, struct buffer *out, struct error *err);
enum status tokenizer_config_json(const struct tokenizer *tokenizer, size_t max_length, struct buffer *out,
                                  struct error *err);

#endif
