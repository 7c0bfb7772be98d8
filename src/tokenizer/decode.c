/* SPDX-License-Identifier: MIT
 * tokenizer/decode.c - ids to text.  Bytes are given as they are; where the reference would put U+FFFD for bytes that
 * make no character, they stay what they were, so that a text comes back whatever it was.
 */
#include "tokenizer/tokenizer_internal.h"

#include "base/check.h"

#include <string.h>

/* Appends the text of one token.  `first`: no token came before it. */
static enum status decode_one(const struct tokenizer *t, int32_t id, bool first, bool with_special, struct buffer *out,
                              bool *gave, struct error *err)
{
    *gave = false;
    if (id < 0 || (uint32_t)id >= t->vocab_size)
        return error_set(err, STATUS_FORMAT, "token %d is outside the vocabulary of %u", (int)id, t->vocab_size);
    const struct token_text *token = &t->tokens[id];
    if (!token->text || (token->special && !with_special))
        return STATUS_OK;
    *gave = true;
    const struct decoder *d = &t->decoder;
    if (token->is_byte)
        buffer_append(out, &token->byte, 1);
    else if (d->mark.len == 0)
        buffer_append(out, token->text, token->len);
    else
        replace_all(token->text, token->len, d->mark.text, d->mark.len, " ", first && d->drop_first_marks ? 0 : 1, out);
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory for the text of tokens") : STATUS_OK;
}

enum status tokenizer_decode(const struct tokenizer *tokenizer, int32_t id, struct buffer *text, struct error *err)
{
    bool gave;
    return decode_one(tokenizer, id, false, false, text, &gave, err);
}

/* Takes the spaces away that the decoder strips at the beginning; *left is how many more it may take. */
static void strip(struct buffer *out, size_t from, unsigned *left)
{
    size_t n = 0;
    while (*left && from + n < out->len && out->data[from + n] == ' ') {
        n++;
        --*left;
    }
    if (from + n < out->len)
        *left = 0; /* something else stands there */
    if (n) {
        memmove(out->data + from, out->data + from + n, out->len - from - n + 1);
        out->len -= n;
    }
}

enum status tokenizer_decode_text(const struct tokenizer *tokenizer, const int32_t *ids, size_t n, bool with_special,
                                  struct buffer *text, struct error *err)
{
    const size_t begin = text->len;
    unsigned to_strip = tokenizer->decoder.strip_first;
    bool first = true, gave;
    for (size_t i = 0; i < n; i++) {
        const enum status st = decode_one(tokenizer, ids[i], first, with_special, text, &gave, err);
        if (st != STATUS_OK)
            return st;
        first = first && !gave;
        if (to_strip)
            strip(text, begin, &to_strip);
    }
    return STATUS_OK;
}

enum status text_stream_push(struct text_stream *stream, const struct tokenizer *tokenizer, int32_t id,
                             struct buffer *text, struct error *err)
{
    const size_t begin = text->len;
    bool gave;
    buffer_append(text, stream->held, stream->num_held);
    const enum status st = decode_one(tokenizer, id, !stream->begun, stream->with_special, text, &gave, err);
    if (st != STATUS_OK) {
        if (!text->failed)
            text->len = begin;
        return st;
    }
    if (gave && !stream->begun)
        stream->to_strip = tokenizer->decoder.strip_first;
    stream->begun |= gave;
    if (stream->to_strip)
        strip(text, begin, &stream->to_strip);
    const size_t whole = text->len > begin ? utf8_whole_prefix(text->data + begin, text->len - begin) : 0;
    stream->num_held = (unsigned char)(text->len - begin - whole);
    ASSERT(stream->num_held < sizeof stream->held);
    memcpy(stream->held, text->data + begin + whole, stream->num_held);
    text->len = begin + whole;
    if (text->data)
        text->data[text->len] = 0;
    return STATUS_OK;
}

enum status text_stream_finish(struct text_stream *stream, struct buffer *text, struct error *err)
{
    if (stream->num_held)
        buffer_append_text(text, "\xEF\xBF\xBD");
    stream->num_held = 0;
    return text->failed ? error_set(err, STATUS_NOMEM, "no memory for the text of tokens") : STATUS_OK;
}
