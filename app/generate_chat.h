/* SPDX-License-Identifier: MIT
 * app/generate_chat.h - `cllm generate --chat`: a conversation, a turn a line.
 */
#ifndef APP_GENERATE_CHAT_H
#define APP_GENERATE_CHAT_H

#include "app/text_source.h"
#include "base/status.h"
#include "infer/generator.h"
#include "tokenizer/chat.h"

struct chat_request {
    const struct chat_template *chat;
    const struct tokenizer *tokenizer;
    const char *prompt, *system; /* prompt NULL: turns come from standard input; system NULL: the template's own */
    struct sampling sampling;
    struct text_end end;
    const struct cancel *cancel;
};

/* Answers the prompt, or each line of standard input, on standard output, and a newline behind each answer.  STATUS_CONFIG
 * when the conversation does not fit the generator's context any more. */
enum status generate_chat(const struct chat_request *request, struct generator *generator, struct error *err);

#endif
