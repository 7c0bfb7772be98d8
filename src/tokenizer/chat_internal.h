/* SPDX-License-Identifier: MIT
 * chat_internal.h - what was read out of a chat template.
 */
#ifndef TOKENIZER_CHAT_INTERNAL_H
#define TOKENIZER_CHAT_INTERNAL_H

#include "tokenizer/chat.h"

enum chat_form { CHAT_CHATML, CHAT_LLAMA3, CHAT_MISTRAL, CHAT_ZEPHYR };
enum chat_system { SYSTEM_TURN, SYSTEM_REFUSED, SYSTEM_FIRST_USER, SYSTEM_LAST_USER };

struct chat_template {
    enum chat_form form;
    enum chat_system system;      /* what becomes of a system message */
    char *bos, *eos;              /* owned */
    bool begins;                  /* the text begins with bos */
    bool trim_user;               /* white space around what the user wrote goes, in llama3 around all */
    bool trim_assistant;
    bool drop_thoughts;           /* of earlier answers only what is behind </think> stays */
    bool dated;                   /* llama3: the system turn is always there and begins with two dates */
    char *default_system;         /* chatml, owned: without a system message this one; NULL: none */
    char *open, *close;           /* mistral, owned: around what the user wrote */
    const char *before, *after;   /* mistral: around an answer, `after` behind its eos */
};

/* Reads the form and its variants out of the template, whose bos and eos are set. */
enum status chat_recognise(struct chat_template *chat, const char *jinja, const char *where, struct error *err);

#endif
