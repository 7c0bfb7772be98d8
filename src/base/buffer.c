/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void buffer_release(struct buffer *buffer)
{
    mem_free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = 0;
}

bool buffer_reserve(struct buffer *buffer, size_t extra_bytes)
{
    size_t need;
    if (buffer->failed)
        return false;
    if (size_add(buffer->len, extra_bytes, &need) && size_add(need, 1, &need)) {
        if (need <= buffer->capacity)
            return true;
        size_t capacity = buffer->capacity + buffer->capacity / 2;
        if (capacity < need)
            capacity = need;
        char *data = mem_realloc(buffer->data, capacity);
        if (data) {
            buffer->data = data;
            buffer->capacity = capacity;
            return true;
        }
    }
    buffer->failed = true;
    return false;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t n)
{
    if (!buffer_reserve(buffer, n))
        return;
    if (n)
        memcpy(buffer->data + buffer->len, bytes, n);
    buffer->len += n;
    buffer->data[buffer->len] = 0;
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        buffer->failed = true;
    else if (buffer_reserve(buffer, (size_t)n)) {
        vsnprintf(buffer->data + buffer->len, (size_t)n + 1, format, again);
        buffer->len += (size_t)n;
    }
    va_end(again);
}
