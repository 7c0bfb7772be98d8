/* SPDX-License-Identifier: MIT
 * tokenizer/chat_forms.c - which form a chat template has, by the texts it holds.
 *
 * What a form leaves open (the blanks around [INST], the default system prompt) is read out of the template's literals.
 * What could change the text in a way not known here is refused, by its name.
 */
#include "tokenizer/chat_internal.h"

#include "base/memory.h"

#include <string.h>

static bool has(const char *jinja, const char *text)
{
    return strstr(jinja, text) != NULL;
}

static bool has_any(const char *jinja, const char *const *texts)
{
    for (; *texts; texts++)
        if (has(jinja, *texts))
            return true;
    return false;
}

static enum status unknown(const char *where, const char *what, struct error *err)
{
    return error_set(err, STATUS_CONFIG,
                     "%s: the chat template %s; known are ChatML (Qwen2, SmolLM2), Llama 3, Mistral-Instruct and Zephyr",
                     where, what);
}

/* A Jinja literal's text, where \n may be written as two characters; NULL: another escape, or no memory. */
static char *unescape(const char *text, size_t len)
{
    char *out = mem_alloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < len; i++) {
        if (text[i] != '\\') {
            out[n++] = text[i];
        } else if (i + 1 < len && text[i + 1] == 'n') {
            out[n++] = '\n';
            i++;
        } else {
            mem_free(out);
            return NULL;
        }
    }
    if (out)
        out[n] = 0;
    return out;
}

/* The one literal that may stand behind "<|im_start|>system\n": a default system prompt. */
static enum status find_default_system(struct chat_template *chat, const char *jinja, const char *where,
                                       struct error *err)
{
    static const char start[] = "<|im_start|>system", end[] = "<|im_end|>";
    for (const char *at = jinja; (at = strstr(at, start));) {
        at += sizeof start - 1;
        if (at[0] == '\\' && at[1] == 'n')
            at += 2;
        else if (at[0] == '\n')
            at++;
        else
            continue;
        const char *stop = strstr(at, end);
        if (*at == '\'' || *at == '"' || !stop)
            continue; /* what follows is joined to it */
        if (memchr(at, '{', (size_t)(stop - at)) || memchr(at, '\'', (size_t)(stop - at)))
            return unknown(where, "has a system prompt that is not written as one text", err);
        char *text = unescape(at, (size_t)(stop - at));
        if (!text)
            return unknown(where, "has a system prompt with characters written in a way that is not known", err);
        const bool other = chat->default_system && strcmp(chat->default_system, text) != 0;
        mem_free(chat->default_system);
        chat->default_system = text;
        if (other)
            return unknown(where, "has more than one default system prompt", err);
    }
    return STATUS_OK;
}

static bool begins_with_bos(const char *jinja)
{
    static const char *const forms[] = {"{{ bos_token }}", "{{bos_token}}", "{{- bos_token }}", "{{- bos_token -}}"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strncmp(jinja, forms[i], strlen(forms[i])) == 0)
            return true;
    return false;
}

static enum status chatml(struct chat_template *chat, const char *jinja, const char *where, struct error *err)
{
    static const char *const odd[] = {"trim", "strftime_now", "upper", "title", "capitalize", "replace", NULL};
    chat->form = CHAT_CHATML;
    chat->begins = begins_with_bos(jinja);
    chat->drop_thoughts = has(jinja, "split('</think>')[-1].lstrip('\\n')");
    if (!has(jinja, "<|im_start|>assistant"))
        return unknown(where, "has ChatML's marks but does not begin an answer", err);
    if (has_any(jinja, odd))
        return unknown(where, "has ChatML's marks but changes texts in a way that is not known", err);
    if ((has(jinja, "bos_token") && !chat->begins) || has(jinja, "eos_token"))
        return unknown(where, "has ChatML's marks but puts other tokens between", err);
    if (has(jinja, "</think>") && !chat->drop_thoughts)
        return unknown(where, "has ChatML's marks but treats thoughts in a way that is not known", err);
    return find_default_system(chat, jinja, where, err);
}

static enum status llama3(struct chat_template *chat, const char *jinja, const char *where, struct error *err)
{
    chat->form = CHAT_LLAMA3;
    chat->begins = true;
    chat->dated = has(jinja, "Cutting Knowledge Date: December 2023\\n") && has(jinja, "\"26 Jul 2024\"");
    chat->trim_user = chat->trim_assistant = true;
    if (!has(jinja, "<|eot_id|>") || !has(jinja, "bos_token"))
        return unknown(where, "has Llama 3's headers but not its <|eot_id|> or its begin of text", err);
    if (!has(jinja, "message['content'] | trim") && !has(jinja, "message['content']|trim"))
        return unknown(where, "has Llama 3's headers but keeps white space", err);
    if (has(jinja, "Date:") && !chat->dated)
        return unknown(where, "has Llama 3's headers and dates that are not known", err);
    if (has(jinja, "</think>"))
        return unknown(where, "has Llama 3's headers but treats thoughts in a way that is not known", err);
    return STATUS_OK;
}

/* The literal around jinja[at], its text in *out; every further one with this mark must be the same. */
static enum status literal_with(const char *jinja, const char *mark, char **out, const char *where, struct error *err)
{
    for (const char *at = jinja; (at = strstr(at, mark)); at += strlen(mark)) {
        const char *begin = at, *end = at + strlen(mark);
        while (begin > jinja && begin[-1] == ' ')
            begin--;
        while (*end == ' ')
            end++;
        if (begin == jinja || (begin[-1] != '\'' && begin[-1] != '"') || *end != begin[-1])
            return unknown(where, "has [INST] among other text", err);
        char *text = unescape(begin, (size_t)(end - begin));
        if (!text)
            return error_set(err, STATUS_NOMEM, "no memory for a chat template");
        const bool other = *out && strcmp(*out, text) != 0;
        mem_free(*out);
        *out = text;
        if (other)
            return unknown(where, "writes [INST] in two ways", err);
    }
    return *out ? STATUS_OK : unknown(where, "has [INST] but no [/INST]", err);
}

static enum status mistral(struct chat_template *chat, const char *jinja, const char *where, struct error *err)
{
    static const char *const odd[] = {"<<SYS>>", "[SYSTEM_PROMPT]", "strftime_now", NULL};
    static const char *const space[] = {"' ' + message['content']", "\" \" + message[\"content\"]", NULL};
    static const char *const trims[] = {"message['content']|trim", "message[\"content\"]|trim",
                                        "message['content'] | trim", "message[\"content\"] | trim", NULL};
    static const char *const answer[] = {"message['content'] + eos_token", "message[\"content\"] + eos_token",
                                         "message['content']|trim + eos_token", "message[\"content\"]|trim + eos_token",
                                         NULL};
    chat->form = CHAT_MISTRAL;
    chat->begins = has(jinja, "{{ bos_token }}") || has(jinja, "{{bos_token}}") || has(jinja, "{{- bos_token }}");
    if (has_any(jinja, odd) || !chat->begins || !has_any(jinja, answer))
        return unknown(where, "has [INST] but is none of Mistral-Instruct's", err);
    chat->before = has_any(jinja, space) ? " " : "";
    chat->after = has(jinja, "eos_token + ' '") ? " " : "";
    chat->trim_assistant = has_any(jinja, trims);
    chat->system = has(jinja, "loop.first and system_message")  ? SYSTEM_FIRST_USER
                   : has(jinja, "loop.last and system_message") ? SYSTEM_LAST_USER
                                                                : SYSTEM_REFUSED;
    if (chat->system == SYSTEM_REFUSED && has(jinja, "system"))
        return unknown(where, "has [INST] and a system prompt in a way that is not known", err);
    if (chat->trim_assistant && !has(jinja, "trim + eos_token"))
        return unknown(where, "has [INST] and trims texts in a way that is not known", err);
    enum status status = literal_with(jinja, "[INST]", &chat->open, where, err);
    return status == STATUS_OK ? literal_with(jinja, "[/INST]", &chat->close, where, err) : status;
}

static enum status zephyr(struct chat_template *chat, const char *jinja, const char *where, struct error *err)
{
    chat->form = CHAT_ZEPHYR;
    if (!has(jinja, "'<|user|>\\n' + message['content'] + eos_token") &&
        !has(jinja, "'<|user|>\n' + message['content'] + eos_token"))
        return unknown(where, "has Zephyr's marks but writes them otherwise", err);
    if (!has(jinja, "<|system|>") || !has(jinja, "{{ '<|assistant|>' }}\n") || has(jinja, "bos_token") ||
        has(jinja, "trim") || !*chat->eos)
        return unknown(where, "has Zephyr's marks but is none of its", err);
    return STATUS_OK;
}

enum status chat_recognise(struct chat_template *chat, const char *jinja, const char *where, struct error *err)
{
    chat->system = SYSTEM_TURN;
    if (has(jinja, "<|im_start|>") && has(jinja, "<|im_end|>"))
        return chatml(chat, jinja, where, err);
    if (has(jinja, "<|start_header_id|>") && has(jinja, "<|end_header_id|>"))
        return llama3(chat, jinja, where, err);
    if (has(jinja, "[INST]"))
        return mistral(chat, jinja, where, err);
    if (has(jinja, "<|user|>") && has(jinja, "<|assistant|>"))
        return zephyr(chat, jinja, where, err);
    return unknown(where, "has a form that is not known", err);
}
