/* SPDX-License-Identifier: MIT */
#include "infer/stop.h"

#include <string.h>

/* The length of the longest stop text that ends the held bytes; 0: none does. */
static size_t complete(const struct stop_filter *f)
{
    size_t longest = 0;
    for (size_t i = 0; i < f->count; i++) {
        const size_t len = strlen(f->texts[i]);
        if (len > longest && len <= f->held.len && memcmp(f->held.data + f->held.len - len, f->texts[i], len) == 0)
            longest = len;
    }
    return longest;
}

/* How many of the last held bytes may be the beginning of a stop text. */
static size_t undecided(const struct stop_filter *f)
{
    size_t most = 0;
    for (size_t i = 0; i < f->count; i++) {
        const size_t len = strlen(f->texts[i]);
        size_t n = len - 1 < f->held.len ? len - 1 : f->held.len;
        while (n > most && memcmp(f->held.data + f->held.len - n, f->texts[i], n) != 0)
            n--;
        most = n > most ? n : most;
    }
    return most;
}

void stop_filter_push(struct stop_filter *f, const char *text, size_t len, struct buffer *out)
{
    for (size_t i = 0; i < len && !f->stopped; i++) {
        buffer_append(&f->held, text + i, 1);
        if (f->held.failed)
            return;
        const size_t n = complete(f);
        if (n) {
            f->stopped = true;
            buffer_append(out, f->held.data, f->held.len - n);
            buffer_clear(&f->held);
        }
    }
    if (f->stopped || !f->held.len)
        return;
    const size_t keep = undecided(f), pass = f->held.len - keep;
    buffer_append(out, f->held.data, pass);
    memmove(f->held.data, f->held.data + pass, keep);
    f->held.len = keep;
}

void stop_filter_finish(struct stop_filter *f, struct buffer *out)
{
    if (f->held.len)
        buffer_append(out, f->held.data, f->held.len);
    buffer_clear(&f->held);
}

void stop_filter_release(struct stop_filter *f)
{
    buffer_release(&f->held);
}
