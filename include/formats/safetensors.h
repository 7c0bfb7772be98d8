/* SPDX-License-Identifier: MIT
 * formats/safetensors.h - named tensors in a file, as huggingface/safetensors defines it (README.md, "Format").
 *
 * A u64 little-endian header length, a JSON header, then the tensors' bytes, contiguous, in C order.  Reading checks
 * everything before anything is used: header at most 100 MB, offsets in order without hole or overlap and covering
 * the file exactly, size = shape x dtype in checked arithmetic, no duplicate names.  Any thread, on distinct objects.
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
    const void *data; /* reading: borrowed until _close, may be unaligned; writing: what to write */
    uint64_t size_bytes;
};

struct safetensors;

/* Maps and checks a file.  NULL: STATUS_IO (missing, unreadable, not a regular file) or STATUS_FORMAT, which names the
 * tensor where one is at fault.  Tensors are numbered in the order of their data. */
struct safetensors *safetensors_open(const char *path, struct error *err);
void safetensors_close(struct safetensors *file); /* NULL is fine */
size_t safetensors_count(const struct safetensors *file);
const struct tensor_view *safetensors_at(const struct safetensors *file, size_t i);
const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name); /* NULL: absent */

/* The value of a key of "__metadata__", or NULL. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Writes all tensors in the order given, with "__metadata__": {"format": "pt"}.  F32 and I32 are what we write so far.
 * Syncs; *crc32 and *size_bytes (may be NULL) are of the whole file.  A failure leaves no file.  STATUS_MISUSE: a tensor
 * whose shape and size differ, another dtype, a name used twice. */
enum status safetensors_write(const char *path, const struct tensor_view *tensors, size_t n, uint64_t *size_bytes,
                              uint32_t *crc32, struct error *err);

/* The size such a file will have, for planning.  0: safetensors_write would refuse it. */
uint64_t safetensors_file_bytes(const struct tensor_view *tensors, size_t n);

#endif
