/* SPDX-License-Identifier: MIT
 * tokenizer/chat.h - a conversation as the tokens of a model's chat template.
 *
 * A model says in a Jinja template how a conversation is written.  Jinja is not run here: the template is recognised by
 * what it holds, as one of four forms, whose variants are read out of it, and the form is written by hand:
 *
 *     chatml    <|im_start|>ROLE\nTEXT<|im_end|>\n                                     Qwen2, Qwen2.5, SmolLM2, …
 *     llama3    <|start_header_id|>ROLE<|end_header_id|>\n\nTEXT<|eot_id|>              Llama 3, 3.1, 3.2, 3.3
 *     mistral   <s>[INST] TEXT [/INST]TEXT</s>                                         Mistral-Instruct
 *     zephyr    <|ROLE|>\nTEXT</s>\n                                                   Zephyr, TinyLlama-Chat
 *
 * Any other is refused.  docs/generation.md has what is done about system prompts and dates.  Only the template's own text
 * is searched for special tokens; what people wrote is data.  Immutable once made: any thread.
 */
#ifndef TOKENIZER_CHAT_H
#define TOKENIZER_CHAT_H

#include "base/buffer.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT };

struct chat_message {
    enum chat_role role;
    const char *text;
    size_t len;
};

struct chat_template;

/* Reads chat_template.jinja, else the "chat_template" of tokenizer_config.json (a text, or a list of named ones, of which
 * "default" is taken), and bos_token and eos_token from there.  NULL: there is none, or its form is not known
 * (STATUS_CONFIG), or a file is damaged. */
struct chat_template *chat_template_load(const char *directory, struct error *err);

/* The same from texts; bos and eos may be "", `where` stands for the file in messages. */
struct chat_template *chat_template_from_text(const char *jinja, const char *bos, const char *eos, const char *where,
                                              struct error *err);
void chat_template_free(struct chat_template *chat);

/* "chatml", "llama3", "mistral" or "zephyr". */
const char *chat_template_form(const struct chat_template *chat);

/* The text of the token that ends an answer, borrowed. */
const char *chat_template_end(const struct chat_template *chat);

/* Appends the conversation as text, up to where the answer begins; *ranges (may be NULL) gets a struct text_range for what
 * people wrote.  An optional system message, then user and assistant in turn, the last from the user: anything else, and
 * a system message where the template takes none, is STATUS_CONFIG. */
enum status chat_template_render(const struct chat_template *chat, const struct chat_message *messages, size_t n,
                                 struct buffer *text, struct buffer *ranges, struct error *err);

/* The same as tokens (int32_t), the begin of text among them where the template has it. */
enum status chat_template_encode(const struct chat_template *chat, const struct tokenizer *tokenizer,
                                 const struct chat_message *messages, size_t n, struct buffer *ids, struct error *err);

#endif
