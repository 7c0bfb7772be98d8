/* SPDX-License-Identifier: MIT
 * tokenizer/tokenizer_internal.h - what a tokenizer.json comes to: steps, in the order they are taken.
 *
 *     text ─ added tokens ─▶ pieces ─ normal steps ─▶ ─ normalized added tokens ─▶ ─ pre steps ─▶ words ─ merges ─▶ ids
 *
 * load.c fills it, encode.c and decode.c go by it; nothing is changed afterwards.
 */
#ifndef TOKENIZER_TOKENIZER_INTERNAL_H
#define TOKENIZER_TOKENIZER_INTERNAL_H

#include "formats/json.h"
#include "tokenizer/added_internal.h"
#include "tokenizer/merges_internal.h"
#include "tokenizer/split_internal.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/words_internal.h"

enum { MAX_STEPS = 8, NUM_BYTES = 256 };

/* What stands in for a space in vocabularies of SentencePiece's kind: one character. */
struct mark {
    char text[5];
    unsigned char len;
};

struct normal_step {
    enum { NORMAL_NFC, NORMAL_PREPEND, NORMAL_REPLACE } kind;
    char *from, *to; /* owned; REPLACE: each `from` by `to`; PREPEND: `to` */
};

struct pre_step {
    enum { PRE_SPLIT, PRE_PREFIX_SPACE, PRE_METASPACE } kind;
    enum split_kind split;
    enum { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER } prepend;
    bool cut; /* METASPACE: before each mark */
    struct mark mark;
};

struct token_text {
    const char *text; /* in `texts`, or of the added token; NULL: no token has this id */
    uint32_t len;
    bool special; /* an added token that is */
    bool is_byte; /* "<0x0A>" and the like, decoded as the byte */
    bool plain;   /* in a byte-level vocabulary, but not written as one of its tokens */
    unsigned char byte;
};

enum { DECODE_BYTES = 1, DECODE_FALLBACK = 2, DECODE_FUSE = 4 };

struct decoder {
    unsigned steps;        /* DECODE_… that are in the file */
    struct mark mark;      /* becomes a space; len 0: none does */
    bool drop_first_marks; /* those of the first token become nothing (Metaspace) */
    unsigned strip_first;  /* so many spaces at the beginning of the text are taken away */
};

struct tokenizer {
    const char *kind;
    struct buffer json, config; /* as loaded; config empty: none was beside it */
    uint32_t crc32;

    struct normal_step normal[MAX_STEPS];
    struct pre_step pre[MAX_STEPS];
    size_t num_normal, num_pre;

    struct added_token *added; /* [num_added] */
    size_t num_added;
    struct added_trie as_written, normalized;
    bool added_within_cut; /* an added token may reach over a place where tokenizer_cut would cut */

    bool byte_level; /* the texts of tokens are bytes; else UTF-8 */
    bool byte_fallback, fuse_unknown, ignore_merges;
    bool has_merges;
    struct mark word_mark;       /* words may be cut before it where something else stands before; len 0: not */
    bool each_mark;              /* and before every one of them */
    int32_t unknown;             /* -1: none */
    int32_t byte_ids[NUM_BYTES]; /* byte_level: of the byte; byte_fallback: of <0xNN>; -1: none */
    struct merges merges;
    struct words words; /* words that come to one token */

    struct token_text *tokens; /* [vocab_size] */
    uint32_t vocab_size;
    char *texts; /* of all tokens of the model */

    int32_t *before, *after; /* what the post-processor puts around */
    size_t num_before, num_after;
    struct decoder decoder;
    int32_t end_of_text, begin_of_text;
    struct unicode unicode;
};

/* The character that stands for a byte in a byte-level vocabulary. */
uint32_t byte_character(unsigned byte);

/* load_steps.c: everything of the file but model and added tokens. */
enum status load_steps(struct tokenizer *t, const json_t *file, const char *where, struct error *err);

/* load_model.c: vocabulary, merges and added tokens; after load_steps. */
enum status load_model(struct tokenizer *t, const json_t *file, const char *where, struct error *err);

/* load_added.c */
enum status load_added(struct tokenizer *t, const json_t *file, const char *where, struct error *err);
enum status load_config(struct tokenizer *t, const json_t *config, const char *where, struct error *err);

/* What a member that has a "type" is: its type, "null" when absent, or "something unknown". */
const char *json_type_of(const json_t *object, const char *key);

/* encode.c: the words a text is cut into, given to `word` instead of being merged. */
typedef enum status word_fn(void *arg, const char *text, size_t len, struct error *err);
enum status each_word(const struct tokenizer *t, unsigned flags, const char *text, size_t len, word_fn *word, void *arg,
                      struct error *err);

/* normalize.c: the normal steps on a piece, appended to `out`.  `within`: nothing is put before it for being first. */
enum status normalize(const struct tokenizer *t, const char *text, size_t len, bool within, struct buffer *out,
                      struct error *err);

/* Appends the text with every `from` replaced by `to`. */
void replace_all(const char *text, size_t len, const char *from, size_t from_len, const char *to, size_t to_len,
                 struct buffer *out);

#endif
