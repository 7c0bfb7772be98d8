/* SPDX-License-Identifier: MIT */
#include "app/random_tokens.h"

#include "base/rng.h"
#include "data/tokens.h"

enum status random_tokens_write(const char *path, size_t n, size_t vocab, struct error *err)
{
    enum { CHUNK = 4096 };
    int32_t ids[CHUNK];
    struct token_writer *writer = token_writer_open(path, vocab > 65536 ? 4 : 2, err);
    enum status status = writer ? STATUS_OK : err->status;
    for (size_t at = 0; status == STATUS_OK && at < n; at += CHUNK) {
        size_t now = n - at < CHUNK ? n - at : CHUNK;
        for (size_t i = 0; i < now; i++)
            ids[i] = (int32_t)(philox4x32(7, 0, at + i).word[0] % vocab);
        status = token_writer_append(writer, ids, now, err);
    }
    if (status == STATUS_OK)
        return token_writer_commit(writer, err);
    token_writer_abort(writer);
    return status;
}
