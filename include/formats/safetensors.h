/* SPDX-License-Identifier: MIT
 * formats/safetensors.h - named tensors in a file, as huggingface/safetensors defines it (README.md, "Format").
 *
 * A u64 little-endian header length, a JSON header, then the tensors' bytes, contiguous, in C order.  Reading checks
 * everything before anything is used: header at most 100 MB, offsets in order without hole or overlap and covering
 * the file exactly, size = shape x dtype in checked arithmetic, no duplicate names.
 *
 * Opening reads the header and nothing else; tensors are read when asked for, with read(2) and not through a mapping:
 * a file that somebody shortens meanwhile is then a sentence and not a SIGBUS, what is read goes where it is wanted
 * without a copy between, and the pages of the file do not count as ours.  Any thread, on distinct objects; reading
 * tensors of one object from several threads is fine.
 */
#ifndef FORMATS_SAFETENSORS_H
#define FORMATS_SAFETENSORS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { TENSOR_MAX_RANK = 8 };

struct tensor_view {
    const char *name;
    const char *dtype; /* "F32", "BF16", … */
    size_t rank;
    uint64_t shape[TENSOR_MAX_RANK];
    const void *data; /* writing: what to write; reading: NULL but for safetensors_open_whole; may be unaligned */
    uint64_t size_bytes;
};

struct safetensors;

/* Opens a file and checks its header.  NULL: STATUS_IO (missing, unreadable, not a regular file) or STATUS_FORMAT,
 * which names the tensor where one is at fault.  Tensors are numbered in the order of their data. */
struct safetensors *safetensors_open(const char *path, struct error *err);

/* The same with all tensors in memory, so that `data` of each is theirs until _close: for small files. */
struct safetensors *safetensors_open_whole(const char *path, struct error *err);

void safetensors_close(struct safetensors *file); /* NULL is fine */
const char *safetensors_path(const struct safetensors *file);
size_t safetensors_count(const struct safetensors *file);
const struct tensor_view *safetensors_at(const struct safetensors *file, size_t i);
const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name); /* NULL: absent */

/* Reads n bytes of a tensor of this file, from byte `from` of it.  STATUS_IO: the file is shorter by now, or unreadable. */
enum status safetensors_read(const struct safetensors *file, const struct tensor_view *tensor, uint64_t from, void *out,
                             size_t n, struct error *err);

/* The value of a key of "__metadata__", or NULL. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Writes all tensors in the order given, with "__metadata__": {"format": "pt"}.  F32, BF16, F16, I32 and U8 are what
 * we write.  Syncs; *crc32 and *size_bytes (may be NULL) are of the whole file.  A failure leaves no file.  STATUS_MISUSE:
 * a tensor whose shape and size differ, another dtype, a name used twice. */
enum status safetensors_write(const char *path, const struct tensor_view *tensors, size_t n, uint64_t *size_bytes,
                              uint32_t *crc32, struct error *err);

/* The same where the bytes are made on the way: `fill` is asked for each tensor with data NULL, in pieces that follow
 * each other, each a multiple of the element.  What it returns other than STATUS_OK ends the writing. */
typedef enum status tensor_fill_fn(void *ctx, size_t tensor, uint64_t from, void *out, size_t n, struct error *err);
enum status safetensors_write_filled(const char *path, const struct tensor_view *tensors, size_t n,
                                     tensor_fill_fn *fill, void *ctx, uint64_t *size_bytes, uint32_t *crc32,
                                     struct error *err);

/* The size such a file will have, for planning.  0: safetensors_write would refuse it. */
uint64_t safetensors_file_bytes(const struct tensor_view *tensors, size_t n);

/* A model's tensors, in one file or several: DIRECTORY/model.safetensors, or the shards that
 * model.safetensors.index.json there names.  Every tensor of the index must be in the shard it says, and in no other. */
struct safetensors_set;
struct safetensors_set *safetensors_set_open(const char *directory, struct error *err);
void safetensors_set_close(struct safetensors_set *set); /* NULL is fine */
size_t safetensors_set_files(const struct safetensors_set *set);
const struct safetensors *safetensors_set_file(const struct safetensors_set *set, size_t i);

/* NULL: absent; else *file is the one it lies in. */
const struct tensor_view *safetensors_set_find(const struct safetensors_set *set, const char *name,
                                               const struct safetensors **file);

#endif
