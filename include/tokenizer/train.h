/* SPDX-License-Identifier: MIT
 * tokenizer/train.h - a byte-level BPE vocabulary made from text.
 *
 * In two parts.  Counting: a blank tokenizer, which has the steps of a family and a token for each byte but no merges,
 * cuts texts into words, and a table counts them; tables of several threads are added up.  Merging: the pair of
 * neighbouring tokens that is most frequent over all words becomes a token, again and again; of equally frequent pairs
 * the one with the smaller ids.  Ids and merges are those of huggingface/tokenizers' BpeTrainer (models/bpe/trainer.rs)
 * for the same words, down to its counting a pair anew that comes to be in another way.  The result is a function of
 * the counts alone: not of threads, nor of the order of texts.
 */
#ifndef TOKENIZER_TRAIN_H
#define TOKENIZER_TRAIN_H

#include "tokenizer/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

/* `family` is "gpt2", "llama3", "qwen2" or "smollm": how text is cut into words, and that qwen2 composes it (NFC).
 * `special` are num_special tokens, which get the first ids in this order; the bytes follow.  STATUS_CONFIG: another
 * family, or a special token that is empty, a byte's, or there twice. */
struct tokenizer *tokenizer_blank(const char *family, const char *const *special, size_t num_special,
                                  struct error *err);

struct word_counts;
struct word_counts *word_counts_new(struct error *err); /* STATUS_NOMEM */
void word_counts_free(struct word_counts *counts);      /* NULL is fine */

/* Counts the words of a text; flags as in tokenizer_encode_with, though no token is parsed.  One thread a table. */
enum status word_counts_add_text(struct word_counts *counts, const struct tokenizer *blank, unsigned flags,
                                 const char *text, size_t len, struct error *err);

/* Adds all that `from` has to `counts`. */
enum status word_counts_add(struct word_counts *counts, const struct word_counts *from, struct error *err);

size_t word_counts_distinct(const struct word_counts *counts);
uint64_t word_counts_total(const struct word_counts *counts);

/* The tokenizer with vocab_size tokens in all, fewer when the text has no more pairs that occur min_frequency times (at
 * least once).  STATUS_CONFIG: vocab_size below what `blank` has. */
struct tokenizer *tokenizer_train(const struct tokenizer *blank, const struct word_counts *counts, size_t vocab_size,
                                  uint64_t min_frequency, struct error *err);

#endif
