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

/* Opens a regular file (or a link to one) for reading.  -1: missing, unreadable, or something else than a file; a
 * FIFO or a device is refused without waiting for it.  The caller closes with file_close. */
int file_open_read(const char *path, uint64_t *size_bytes /* may be NULL */, struct error *err);
void file_close(int fd); /* -1 is fine */

/* Reads up to n bytes, fewer only at the end of the file. */
enum status file_read_some(int fd, const char *path, void *bytes, size_t n, size_t *got, struct error *err);

/* Reads the n bytes at `offset`.  STATUS_IO when there are fewer: the file was cut short since it was measured. */
enum status file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t n, struct error *err);

/* Appends the whole file; STATUS_FORMAT when it is longer than max_bytes.  Only regular files. */
enum status file_read(const char *path, size_t max_bytes, struct buffer *out, struct error *err);

/* Writes PATH.tmp, syncs, renames, syncs the directory.  A failure removes PATH.tmp and leaves PATH as it was. */
enum status file_replace(const char *path, const void *bytes, size_t n, struct error *err);

/* Renames (a file or a directory) and syncs the directory that holds `to`. */
enum status file_rename(const char *from, const char *to, struct error *err);

/* Removes what was half written: a regular file and nothing else, so that "--out /dev/null" is safe.  Never fails. */
void file_discard(const char *path);

/* Overwrites n bytes at `offset` of an existing file and syncs. */
enum status file_patch(const char *path, uint64_t offset, const void *bytes, size_t n, struct error *err);

/* A regular file mapped read-only.  `data` is NULL for an empty file.  Who shortens a mapped file kills its readers
 * (SIGBUS): files that are replaced by renaming, as here, never shorten. */
struct file_map {
    const unsigned char *data;
    size_t size_bytes;
};
enum file_access {
    FILE_SEQUENTIAL, /* front to back, once */
    FILE_RANDOM,     /* small pieces anywhere: no reading ahead */
    FILE_ALL_SOON    /* read it in now, in the background */
};
enum status file_map_open(struct file_map *map, const char *path, struct error *err);
void file_map_advise(const struct file_map *map, enum file_access access); /* a hint */
void file_map_close(struct file_map *map);

enum status file_crc32(const char *path, uint64_t *size_bytes, uint32_t *crc32, struct error *err);

/* Appends the line, and a newline when it has none, in one write; a write that fails half-way is taken back.
 * errno is then that of the write. */
enum status file_append_line(int fd, const char *path, const char *line, size_t len, struct error *err);

/* Shortens an open file and syncs. */
enum status file_cut(int fd, const char *path, uint64_t size_bytes, struct error *err);

bool file_exists(const char *path);
bool file_is_directory(const char *path);
enum status file_make_directory(const char *path, struct error *err); /* one level; exists = STATUS_IO */
enum status file_sync_directory(const char *path, struct error *err);
enum status file_remove_tree(const char *path, struct error *err); /* does not follow links; absent is fine */
enum status file_free_space(const char *path, uint64_t *bytes, struct error *err);

/* "a/b" from "a" and "b"; appends to `out` after clearing it and returns its text ("" when memory ran out).  Neither
 * part may lie in `out`. */
const char *path_join(struct buffer *out, const char *directory, const char *name);

#endif
