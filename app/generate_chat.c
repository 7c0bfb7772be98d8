/* SPDX-License-Identifier: MIT */
#include "app/generate_chat.h"

#include "app/command.h"
#include "base/memory.h"
#include "runtime/cancel.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1 << 20, POLL_MS = 100 };

/* ---- turns ---- */

struct lines {
    struct buffer read; /* bytes that no line was made of yet begin at `at` */
    size_t at;
    bool over;
};

/* The next line without its newline, borrowed until the next call; *found false: there is none. */
static enum status next_line(struct lines *in, const struct cancel *cancel, const char **line, size_t *len, bool *found,
                             struct error *err)
{
    for (*found = false;;) {
        const char *begin = in->read.data ? in->read.data + in->at : NULL;
        const size_t held = in->read.len - in->at;
        const char *end = held ? memchr(begin, '\n', held) : NULL;
        if (end || (in->over && held)) {
            *line = begin;
            *len = end ? (size_t)(end - begin) : held;
            in->at += *len + (end != NULL);
            *found = true;
            return STATUS_OK;
        }
        if (in->over)
            return STATUS_OK;
        if (held > LINE_MAX_BYTES)
            return error_set(err, STATUS_FORMAT, "a line of more than %d bytes on standard input", (int)LINE_MAX_BYTES);
        if (in->at) {
            memmove(in->read.data, in->read.data + in->at, held);
            in->read.len = held;
            in->at = 0;
        }
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&input, 1, POLL_MS) <= 0) {
            const enum status status = cancel_error(cancel, err);
            if (status != STATUS_OK)
                return status;
            continue;
        }
        char bytes[4096];
        const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno != EINTR)
            return error_set(err, STATUS_IO, "standard input: %s", strerror(errno));
        in->over = n == 0;
        if (n > 0)
            buffer_append(&in->read, bytes, (size_t)n);
        if (in->read.failed)
            return error_set(err, STATUS_NOMEM, "no memory for a line of standard input");
    }
}

/* ---- the conversation ---- */

struct talk {
    struct chat_message *messages;
    size_t n, capacity;
};

static enum status add(struct talk *talk, enum chat_role role, const char *text, size_t len, struct error *err)
{
    if (talk->n == talk->capacity) {
        const size_t capacity = talk->capacity ? 2 * talk->capacity : 16;
        struct chat_message *more = mem_realloc(talk->messages, capacity * sizeof *more);
        if (!more)
            return error_set(err, STATUS_NOMEM, "no memory for a conversation of %zu turns", talk->n);
        talk->messages = more;
        talk->capacity = capacity;
    }
    char *copy = mem_alloc(len + 1);
    if (!copy)
        return error_set(err, STATUS_NOMEM, "no memory for a turn of %zu bytes", len);
    if (len)
        memcpy(copy, text, len);
    copy[len] = 0;
    talk->messages[talk->n++] = (struct chat_message){.role = role, .text = copy, .len = len};
    return STATUS_OK;
}

static void release(struct talk *talk)
{
    for (size_t i = 0; i < talk->n; i++)
        mem_free((char *)talk->messages[i].text);
    mem_free(talk->messages);
}

static bool to_stdout_and_buffer(void *ctx, const char *text, size_t len)
{
    buffer_append(ctx, text, len);
    return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
}

static enum status answer(const struct chat_request *request, struct generator *generator, struct talk *talk,
                          struct error *err)
{
    struct buffer ids = {0}, text = {0};
    struct text_result result = {0};
    struct text_end end = request->end;
    const size_t context = generator_context(generator);
    enum status status = chat_template_encode(request->chat, request->tokenizer, talk->messages, talk->n, &ids, err);
    const size_t n = ids.len / sizeof(int32_t);
    if (status == STATUS_OK && n >= context)
        status = error_set(err, STATUS_CONFIG,
                           "the conversation has %zu tokens and the context room for %zu, its answer included", n, context);
    const bool bounded = status == STATUS_OK && end.max_tokens > context - n;
    if (bounded)
        end.max_tokens = context - n;
    end.token = tokenizer_added(request->tokenizer, chat_template_end(request->chat));
    if (status == STATUS_OK)
        status = generate_text(generator, request->tokenizer, (const int32_t *)(const void *)ids.data, n,
                               &request->sampling, &end, to_stdout_and_buffer, &text, request->cancel, &result, err);
    if (status == STATUS_OK || (status == STATUS_CANCELLED && text.len))
        putchar('\n');
    fflush(stdout);
    if (status == STATUS_OK && bounded && !result.ended)
        command_say("generate", "the context of %zu tokens is full; the answer ends here", context);
    if (status == STATUS_OK && text.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for an answer");
    if (status == STATUS_OK)
        status = add(talk, CHAT_ASSISTANT, text.data, text.len, err);
    buffer_release(&result.tokens);
    buffer_release(&text);
    buffer_release(&ids);
    return status;
}

enum status generate_chat(const struct chat_request *request, struct generator *generator, struct error *err)
{
    struct talk talk = {0};
    struct lines in = {0};
    const bool terminal = isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
    enum status status = STATUS_OK;
    if (request->system)
        status = add(&talk, CHAT_SYSTEM, request->system, strlen(request->system), err);
    if (status == STATUS_OK && request->prompt) {
        status = add(&talk, CHAT_USER, request->prompt, strlen(request->prompt), err);
        if (status == STATUS_OK)
            status = answer(request, generator, &talk, err);
    }
    while (status == STATUS_OK && !request->prompt && !ferror(stdout)) {
        const char *line = NULL;
        size_t len = 0;
        bool found = false;
        if (terminal)
            fputs("> ", stderr);
        status = next_line(&in, request->cancel, &line, &len, &found, err);
        if (status != STATUS_OK || !found)
            break;
        if (len == 0)
            continue;
        status = add(&talk, CHAT_USER, line, len, err);
        if (status == STATUS_OK)
            status = answer(request, generator, &talk, err);
    }
    buffer_release(&in.read);
    release(&talk);
    return status;
}
