/* SPDX-License-Identifier: MIT
 * base/file.h - files: read whole, map, write so that a reader sees the old or the new and never a half.
 *
 * Every failure names the path and what the system said.  Any thread, on distinct files.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends the whole file; STATUS_FORMAT when it is longer than max_bytes.  Only regular files. */
enum status file_read(const char *path, size_t max_bytes, struct buffer *out, struct error *err);

/* Writes PATH.tmp, syncs, renames, syncs the directory. */
enum status file_replace(const char *path, const void *bytes, size_t n, struct error *err);

/* A regular file mapped read-only.  `data` is NULL for an empty file. */
struct file_map {
    const unsigned char *data;
    size_t size_bytes;
};
enum status file_map_open(struct file_map *map, const char *path, struct error *err);
void file_map_close(struct file_map *map);

/* A file being written: buffered, with a running crc32 and size.  Failures are remembered and told by _close, so
 * writing needs no check at every call.  _close syncs when asked. */
struct file_writer;
struct file_writer *file_writer_open(const char *path, struct error *err); /* creates or truncates */
void file_writer_write(struct file_writer *writer, const void *bytes, size_t n);
enum status file_writer_close(struct file_writer *writer, bool sync, uint64_t *size_bytes, uint32_t *crc32,
                              struct error *err); /* frees the writer either way; the outs may be NULL */

enum status file_crc32(const char *path, uint64_t *size_bytes, uint32_t *crc32, struct error *err);
enum status file_append_line(int fd, const char *path, const char *line, size_t len, struct error *err);

bool file_exists(const char *path);
bool file_is_directory(const char *path);
enum status file_make_directory(const char *path, struct error *err); /* one level; exists = STATUS_IO */
enum status file_sync_directory(const char *path, struct error *err);
enum status file_remove_tree(const char *path, struct error *err);    /* does not follow links */
enum status file_free_space(const char *path, uint64_t *bytes, struct error *err);

/* "a/b" from "a" and "b"; appends to `out` after clearing it and returns its text. */
const char *path_join(struct buffer *out, const char *directory, const char *name);

#endif
