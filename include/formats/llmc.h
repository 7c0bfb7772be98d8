/* SPDX-License-Identifier: MIT
 * formats/llmc.h - the head of a model file of karpathy/llm.c (train_gpt2.py, write_model): 256 int32, then the tensors of
 * a GPT-2, each stacked over the layers, F32 (version 3) or BF16 (version 5), the vocabulary padded with zero rows.
 */
#ifndef FORMATS_LLMC_H
#define FORMATS_LLMC_H

#include "base/status.h"
#include "formats/tensor_type.h"

#include <stddef.h>
#include <stdint.h>

enum { LLMC_MAGIC = 20240326, LLMC_HEAD_BYTES = 256 * 4, LLMC_VOCAB_MULTIPLE = 128 };

struct llmc_head {
    enum tensor_type type; /* TENSOR_F32 or TENSOR_BF16 */
    size_t n_positions, vocab_size, n_layer, n_head, n_embd, padded_vocab;
};

/* STATUS_FORMAT with the path: another magic, an unknown version, a number that is no size. */
enum status llmc_read_head(const unsigned char bytes[LLMC_HEAD_BYTES], const char *path, struct llmc_head *out,
                           struct error *err);
void llmc_write_head(const struct llmc_head *head, unsigned char out[LLMC_HEAD_BYTES]);

#endif
