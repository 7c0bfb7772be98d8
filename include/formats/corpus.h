/* SPDX-License-Identifier: MIT
 * formats/corpus.h - text out of files: plain, gzip, JSON lines, or a directory of those.
 *
 *     *.gz, *.dz      gzip, decompressed on the way (recognised by content: the magic 1f 8b)
 *     *.jsonl[.gz]    one JSON object a line, its string member "text" is a document
 *     directory       its regular files with a suffix we read (.txt .text .md .gz .dz .jsonl), below it too, in byte
 *                     order of their paths; symbolic links and other files are passed over
 *     anything else   one document
 * Text comes in pieces of at most some hundred KiB; a piece never ends inside a UTF-8 character that is valid.
 * Not thread-safe: one reader, one thread.
 */
#ifndef FORMATS_CORPUS_H
#define FORMATS_CORPUS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus;

/* STATUS_IO: missing or unreadable, with the path; STATUS_FORMAT: empty file, or a directory without text. */
struct corpus *corpus_open(const char *path, struct error *err);
void corpus_close(struct corpus *corpus);

struct corpus_piece {
    const char *text; /* borrowed until the next call */
    size_t len;       /* bytes; may be 0 for an empty document */
    bool document_end;
    const char *file; /* where it comes from, for messages; borrowed until _close */
};

/* The next piece.  *more is false at the end.  STATUS_FORMAT: corrupt or truncated gzip (file), invalid JSON or no
 * "text" (file and line number). */
enum status corpus_next(struct corpus *corpus, struct corpus_piece *out, bool *more, struct error *err);

/* From now on corpus_next asks before each read and returns STATUS_CANCELLED when stop(ctx) is true. */
void corpus_stop_when(struct corpus *corpus, bool (*stop)(const void *ctx), const void *ctx);

/* Bytes of input consumed and in all (compressed sizes count), for progress. */
uint64_t corpus_bytes_read(const struct corpus *corpus);
uint64_t corpus_bytes_total(const struct corpus *corpus);
size_t corpus_num_files(const struct corpus *corpus);

#endif
