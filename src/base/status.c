/* SPDX-License-Identifier: MIT */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *status_text(enum status status)
{
    switch (status) {
#define X(name, code, text)                                                                                            \
    case STATUS_##name:                                                                                                \
        return text;
        STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        err->status = status;
    }
    return status;
}

enum status error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return STATUS_OK;
    struct error inner = *err;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    const int room = (int)sizeof err->text - n - 3; /* ": " and the final 0 */
    if (n >= 0 && room > 0)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s", room, inner.text);
    return err->status;
}
