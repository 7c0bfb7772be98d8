/* SPDX-License-Identifier: MIT */
#include "formats/llmc.h"

#include <string.h>

enum { VERSION_F32 = 3, VERSION_BF16 = 5 };

enum status llmc_read_head(const unsigned char bytes[LLMC_HEAD_BYTES], const char *path, struct llmc_head *out,
                           struct error *err)
{
    int32_t word[8];
    memcpy(word, bytes, sizeof word);
    if (word[0] != LLMC_MAGIC)
        return error_set(err, STATUS_FORMAT, "%s: not a model of llm.c: it begins with %d, not %d", path, (int)word[0],
                         (int)LLMC_MAGIC);
    if (word[1] != VERSION_F32 && word[1] != VERSION_BF16)
        return error_set(err, STATUS_FORMAT, "%s: version %d of llm.c's models; %d (f32) and %d (bf16) are read", path,
                         (int)word[1], (int)VERSION_F32, (int)VERSION_BF16);
    for (int i = 2; i < 8; i++)
        if (word[i] < 1)
            return error_set(err, STATUS_FORMAT, "%s: number %d of its head is %d, where a size should be", path, i,
                             (int)word[i]);
    *out = (struct llmc_head){.type = word[1] == VERSION_F32 ? TENSOR_F32 : TENSOR_BF16,
                              .n_positions = (size_t)word[2],
                              .vocab_size = (size_t)word[3],
                              .n_layer = (size_t)word[4],
                              .n_head = (size_t)word[5],
                              .n_embd = (size_t)word[6],
                              .padded_vocab = (size_t)word[7]};
    if (out->padded_vocab < out->vocab_size || out->padded_vocab - out->vocab_size >= out->vocab_size + 65536)
        return error_set(err, STATUS_FORMAT, "%s: a vocabulary of %zu padded to %zu", path, out->vocab_size,
                         out->padded_vocab);
    return STATUS_OK;
}

void llmc_write_head(const struct llmc_head *h, unsigned char out[LLMC_HEAD_BYTES])
{
    const int32_t word[8] = {LLMC_MAGIC,
                             h->type == TENSOR_F32 ? VERSION_F32 : VERSION_BF16,
                             (int32_t)h->n_positions,
                             (int32_t)h->vocab_size,
                             (int32_t)h->n_layer,
                             (int32_t)h->n_head,
                             (int32_t)h->n_embd,
                             (int32_t)h->padded_vocab};
    memset(out, 0, LLMC_HEAD_BYTES);
    memcpy(out, word, sizeof word);
}
