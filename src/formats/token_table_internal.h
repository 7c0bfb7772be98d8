/* SPDX-License-Identifier: MIT
 * token_table_internal.h - a tokenizer as GGUF has it: a list of tokens with a type each, merges or scores, flags.
 */
#ifndef FORMATS_TOKEN_TABLE_INTERNAL_H
#define FORMATS_TOKEN_TABLE_INTERNAL_H

#include "formats/gguf_tokenizer.h"
#include "formats/json.h"

#include <stdbool.h>

/* tokenizer.ggml.token_type: llama.cpp's llama_token_type. */
enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4,
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6
};

enum token_kind { KIND_NONE, KIND_BYTE_LEVEL, KIND_SENTENCEPIECE };

struct token {
    size_t at, len; /* in `text` */
    enum token_type type;
    float score; /* KIND_SENTENCEPIECE */
};

struct token_table {
    enum token_kind kind;
    const char *pre;      /* KIND_BYTE_LEVEL: one of tokenizer.ggml.pre's words; static */
    struct buffer text;   /* of tokens and merges */
    struct token *tokens; /* [count] */
    size_t count;
    struct token *merges; /* [num_merges]: "left right" */
    size_t num_merges;
    bool add_bos, add_eos, add_space_prefix;
    struct gguf_special_tokens ids;
    int32_t unknown;
};

void token_table_release(struct token_table *table);

/* Allocates the lists, all tokens unused and nameless. */
enum status token_table_init(struct token_table *table, size_t count, size_t num_merges, struct error *err);

/* Text for a token or merge; a zero byte follows it. */
void token_table_name(struct token_table *table, struct token *token, const char *bytes, size_t len);
void token_table_merge(struct token_table *table, struct token *merge, const char *left, size_t left_len,
                       const char *right, size_t right_len);

/* From a tokenizer.json.  `where` stands for the file in messages. */
enum status token_table_from_json(struct token_table *table, const json_t *tokenizer, size_t vocab_size,
                                  const char *where, struct error *note, struct error *err);

/* KIND_SENTENCEPIECE: checks that the merges are those that scores can say, and makes the scores of them. */
enum status token_table_score(struct token_table *table, const json_t *tokenizer, const char *where, struct error *note,
                              struct error *err);

/* KIND_SENTENCEPIECE: the merges that the scores stand for, as "left right", which readers of every age take; a new
 * reference, or NULL. */
json_t *token_table_merges(const struct token_table *table);

/* As a tokenizer.json that Hugging Face's tokenizers loads; a new reference, or NULL. */
json_t *token_table_json(const struct token_table *table, const char *where, struct error *err);

/* A pre-tokenizer that both sides know. */
struct pre_tokenizer {
    const char *pre;   /* tokenizer.ggml.pre */
    const char *regex; /* of a Split before ByteLevel; NULL: ByteLevel's own */
    bool digits;       /* Digits, each on its own, before ByteLevel's regex */
    bool ignore_merges, nfc;
};
extern const struct pre_tokenizer PRE_TOKENIZERS[];
extern const size_t NUM_PRE_TOKENIZERS;

/* The character that stands for a byte in a byte-level vocabulary (GPT-2's bytes_to_unicode): UTF-8, 1 or 2 bytes. */
size_t byte_level_char(unsigned char byte, char out[2]);

#endif
