/* SPDX-License-Identifier: MIT
 * base/buffer.h - a growing run of bytes, owned by whoever declared it.
 *
 * `struct buffer b = {0};` is empty and ready.  After a refused allocation the buffer keeps what it had, `failed`
 * stays set, and further appends do nothing: check once at the end.  Not thread-safe.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    char *data; /* data[len] is always 0 once something was appended */
    size_t len, capacity;
    bool failed;
};

void buffer_release(struct buffer *buffer); /* frees; the buffer is then empty and ready again */
void buffer_clear(struct buffer *buffer);   /* keeps the memory */
bool buffer_reserve(struct buffer *buffer, size_t extra_bytes);
void buffer_append(struct buffer *buffer, const void *bytes, size_t n);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
