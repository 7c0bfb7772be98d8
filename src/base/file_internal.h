/* SPDX-License-Identifier: MIT
 * file_internal.h - system calls of file.c that file_writer.c makes, too.  errno is that of a failure.
 */
#ifndef BASE_FILE_INTERNAL_H
#define BASE_FILE_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

int file__create(const char *path, struct error *err); /* or truncates; -1: failed */
bool file__write_all(int fd, const void *bytes, size_t n, size_t *done);
bool file__sync(int fd);

#endif
