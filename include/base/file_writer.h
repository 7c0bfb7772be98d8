/* SPDX-License-Identifier: MIT
 * base/file_writer.h - a file written front to back, with a running crc32 and size.
 *
 * Large files go past the page cache (O_DIRECT) where the file system can: a checkpoint written beside a training then costs it
 * a fifth of the time, and what the cache held stays there.  One thread a writer; failures are remembered and told by _close, so
 * writing needs no check at every call.
 */
#ifndef BASE_FILE_WRITER_H
#define BASE_FILE_WRITER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_writer;
struct file_writer *file_writer_open(const char *path, struct error *err); /* creates or truncates */
void file_writer_write(struct file_writer *writer, const void *bytes, size_t n);

/* Syncs when asked; frees the writer either way.  crc32: base/crc32.h's.  The outs may be NULL. */
enum status file_writer_close(struct file_writer *writer, bool sync, uint64_t *size_bytes, uint32_t *crc32,
                              struct error *err);

/* What this thread writes through a file_writer from now on is given up when stop(ctx) says so; it is asked every MiB and before
 * a sync, and the writer's _close then returns STATUS_CANCELLED.  NULL: never, as at first. */
void file_writer_stop_when(bool (*stop)(const void *ctx), const void *ctx);

#endif
