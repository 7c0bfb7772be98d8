/* SPDX-License-Identifier: MIT
 * tokenizer/normalize.c - what is done to a piece of text before it is split.
 *
 * NFC by utf8proc, whose edition of Unicode may be another than the reference's: characters that only one of the two
 * knows stay as they are in the other.  Bytes that are not UTF-8 are passed on, and end what is composed.
 */
#include "tokenizer/tokenizer_internal.h"

#include "base/memory.h"

#include <string.h>
#include <utf8proc.h>

void replace_all(const char *text, size_t len, const char *from, size_t from_len, const char *to, size_t to_len,
                 struct buffer *out)
{
    const char *const end = text + len;
    while (text < end) {
        const char *hit = memmem(text, (size_t)(end - text), from, from_len);
        const char *stop = hit ? hit : end;
        buffer_append(out, text, (size_t)(stop - text));
        if (!hit)
            break;
        buffer_append(out, to, to_len);
        text = hit + from_len;
    }
}

/* Below U+0300 nothing combines, and all is composed. */
static bool is_composed(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0xCC)
            return false;
    return true;
}

/* The longest beginning of text[0 … len) that is UTF-8. */
static size_t valid_prefix(const char *text, size_t len)
{
    size_t at = 0;
    uint32_t c;
    for (int n; at < len && (n = utf8_decode(text + at, len - at, &c)) > 0;)
        at += (size_t)n;
    return at;
}

static enum status compose(const char *text, size_t len, struct buffer *out, struct error *err)
{
    while (len) {
        const size_t valid = valid_prefix(text, len);
        if (valid && is_composed(text, valid))
            buffer_append(out, text, valid);
        else if (valid) {
            utf8proc_uint8_t *composed = NULL;
            const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)valid, &composed,
                                                    UTF8PROC_STABLE | UTF8PROC_COMPOSE);
            if (n < 0)
                return error_set(err, STATUS_NOMEM, "cannot compose %zu bytes of text: %s", valid, utf8proc_errmsg(n));
            buffer_append(out, composed, (size_t)n);
            free(composed); /* utf8proc's own allocation */
        }
        if (valid < len)
            buffer_append(out, text + valid, 1);
        text += valid + (valid < len);
        len -= valid + (valid < len);
    }
    return STATUS_OK;
}

enum status normalize(const struct tokenizer *t, const char *text, size_t len, bool within, struct buffer *out,
                      struct error *err)
{
    struct buffer made[2] = {{0}, {0}};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < t->num_normal && st == STATUS_OK; i++) {
        const struct normal_step *step = &t->normal[i];
        struct buffer *to = i + 1 == t->num_normal ? out : &made[i % 2];
        if (to != out)
            buffer_clear(to);
        if (step->kind == NORMAL_NFC)
            st = compose(text, len, to, err);
        else if (step->kind == NORMAL_REPLACE)
            replace_all(text, len, step->from, strlen(step->from), step->to, strlen(step->to), to);
        else {
            if (len && !within)
                buffer_append_text(to, step->to);
            buffer_append(to, text, len);
        }
        if (st == STATUS_OK && to->failed)
            st = error_set(err, STATUS_NOMEM, "no memory to normalize %zu bytes of text", len);
        text = to->data;
        len = to->len;
    }
    buffer_release(&made[0]);
    buffer_release(&made[1]);
    return st;
}
