/* SPDX-License-Identifier: MIT
 * formats/gguf_tokenizer.h - a tokenizer.json as the keys of a GGUF file, and back.
 *
 * llama.cpp has no room for a pre-tokenizer: it has a list of known ones, chosen by "tokenizer.ggml.pre", and one that
 * is chosen wrongly tokenizes badly without a word.  So it is chosen by what the pre_tokenizer says, compared to the
 * letter, and what is not known is refused by name.  Three kinds are done: byte-level BPE ("gpt2" there), BPE with byte
 * fallback as Llama-2 has it ("llama" there, where merges become scores), and the characters of a corpus (as byte-level
 * BPE whose merges put the bytes of a character together).  The whole tokenizer.json goes along under
 * "tokenizer.huggingface.json" (ggml's docs/gguf.md), so that it comes back as it was; where that key is absent, as in
 * files that others wrote, it is made from tokens, types, merges and scores.
 */
#ifndef FORMATS_GGUF_TOKENIZER_H
#define FORMATS_GGUF_TOKENIZER_H

#include "base/status.h"
#include "formats/gguf.h"
#include "formats/text_files.h"

#include <stddef.h>
#include <stdint.h>

/* Ids as config.json has them; -1: none.  tokenizer_config.json's words go before these. */
struct gguf_special_tokens {
    int32_t bos, eos, pad;
};

/* Sets the tokenizer's keys from tokenizer.json, tokenizer_config.json and the chat template among `texts`; without a
 * tokenizer.json the file says that it has none.  vocab_size: rows of the embedding; tokens that are missing are filled
 * in as unused.  *note (may be NULL) gets a sentence on what llama.cpp does otherwise; empty when there is nothing to
 * say.  STATUS_CONFIG: a tokenizer that llama.cpp has no equal for, by name. */
enum status gguf_set_tokenizer(struct gguf_writer *writer, const struct text_files *texts, size_t vocab_size,
                               struct gguf_special_tokens ids, struct error *note, struct error *err);

/* Adds tokenizer.json and tokenizer_config.json to `texts`, and finds the special tokens; nothing when the file has no
 * tokenizer.  STATUS_FORMAT: keys that contradict each other; STATUS_CONFIG: a kind or a ".pre" we do not know. */
enum status gguf_get_tokenizer(const struct gguf *file, size_t vocab_size, struct text_files *texts,
                               struct gguf_special_tokens *ids, struct error *err);

#endif
