/* SPDX-License-Identifier: MIT
 * tokenizer/chat.c - loading a chat template, and writing a conversation in its form.
 */
#include "tokenizer/chat_internal.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"

#include <string.h>

enum { TEMPLATE_MAX_BYTES = 1 << 20, CONFIG_MAX_BYTES = 64 << 20 };

void chat_template_free(struct chat_template *chat)
{
    if (!chat)
        return;
    mem_free(chat->bos);
    mem_free(chat->eos);
    mem_free(chat->default_system);
    mem_free(chat->open);
    mem_free(chat->close);
    mem_free(chat);
}

struct chat_template *chat_template_from_text(const char *jinja, const char *bos, const char *eos, const char *where,
                                              struct error *err)
{
    struct chat_template *chat = mem_calloc(1, sizeof *chat);
    if (chat) {
        chat->bos = mem_strdup(bos);
        chat->eos = mem_strdup(eos);
    }
    enum status status = !chat || !chat->bos || !chat->eos ? error_set(err, STATUS_NOMEM, "no memory for a chat template")
                                                            : chat_recognise(chat, jinja, where, err);
    if (status == STATUS_OK && chat->begins && !*bos)
        status = error_set(err, STATUS_CONFIG,
                           "%s: the chat template begins with bos_token, which tokenizer_config.json does not name", where);
    if (status == STATUS_OK)
        return chat;
    chat_template_free(chat);
    return NULL;
}

/* The template "default" of a list of named ones. */
static const char *named_default(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(entry, "template"));
    }
    return NULL;
}

/* A token's text, given as such or as {"content": text}. */
static const char *token_text(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    return text ? text : "";
}

struct chat_template *chat_template_load(const char *directory, struct error *err)
{
    struct buffer path = {0}, file = {0};
    struct chat_template *chat = NULL;
    json_t *config = NULL;
    const char *jinja = NULL;
    *err = (struct error){0};
    if (file_exists(path_join(&path, directory, "tokenizer_config.json")))
        config = json_read_file(path.data, CONFIG_MAX_BYTES, err);
    if (err->status == STATUS_OK) {
        const json_t *entry = json_object_get(config, "chat_template");
        jinja = json_is_array(entry) ? named_default(entry) : json_string_value(entry);
        struct buffer separate = {0};
        if (file_exists(path_join(&separate, directory, "chat_template.jinja")) &&
            file_read(separate.data, TEMPLATE_MAX_BYTES, &file, err) == STATUS_OK)
            jinja = file.data ? file.data : "";
        if (jinja == file.data && file.data) {
            buffer_release(&path);
            path = separate;
        } else {
            buffer_release(&separate);
        }
        if (err->status == STATUS_OK && file.data && strlen(file.data) != file.len)
            error_set(err, STATUS_FORMAT, "%s has a zero byte; it is no text", path.data);
        else if (err->status == STATUS_OK && !jinja)
            error_set(err, STATUS_CONFIG,
                      "%s has no chat template (neither chat_template.jinja nor a chat_template in "
                      "tokenizer_config.json); is it a model for conversations?", directory);
    }
    if (err->status == STATUS_OK)
        chat = chat_template_from_text(jinja, token_text(config, "bos_token"), token_text(config, "eos_token"),
                                       path.data, err);
    json_decref(config);
    buffer_release(&file);
    buffer_release(&path);
    return chat;
}

const char *chat_template_form(const struct chat_template *chat)
{
    static const char *const names[] = {"chatml", "llama3", "mistral", "zephyr"};
    return names[chat->form];
}

const char *chat_template_end(const struct chat_template *chat)
{
    return chat->form == CHAT_CHATML ? "<|im_end|>" : chat->form == CHAT_LLAMA3 ? "<|eot_id|>" : chat->eos;
}

/* ---- writing ---- */

/* A text in the making, and which parts of it people wrote. */
struct page {
    struct buffer *text, *ranges;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

/* White space as Python's str.strip sees it: the length of the character at the beginning, or at the end; 0: none. */
static size_t space_at(const char *text, size_t len, bool at_end)
{
    static const char *const wide[] = {"\xC2\x85", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
                                       "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
                                       "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
                                       "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
    if (len && is_space(text[at_end ? len - 1 : 0]))
        return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        const size_t n = strlen(wide[i]);
        if (n <= len && memcmp(at_end ? text + len - n : text, wide[i], n) == 0)
            return n;
    }
    return 0;
}

static void put(const struct page *page, const char *text)
{
    buffer_append_text(page->text, text);
}

static void put_data(const struct page *page, const char *text, size_t len, bool trim)
{
    for (size_t n; trim && (n = space_at(text, len, false)) > 0; len -= n)
        text += n;
    for (size_t n; trim && (n = space_at(text, len, true)) > 0;)
        len -= n;
    const struct text_range range = {page->text->len, page->text->len + len};
    if (len)
        buffer_append(page->text, text, len);
    if (len && page->ranges)
        buffer_append(page->ranges, &range, sizeof range);
}

static const char *const role_names[] = {"system", "user", "assistant"};

static void put_chatml(const struct chat_template *chat, const struct page *page, const struct chat_message *m)
{
    const char *text = m->text;
    size_t len = m->len;
    if (chat->drop_thoughts && m->role == CHAT_ASSISTANT) {
        static const char end[] = "</think>";
        bool found = false;
        for (const char *at; (at = memmem(text, len, end, sizeof end - 1)); found = true) {
            len -= (size_t)(at - text) + sizeof end - 1;
            text = at + sizeof end - 1;
        }
        for (; found && len && *text == '\n'; len--)
            text++;
    }
    put(page, "<|im_start|>");
    put(page, role_names[m->role]);
    put(page, "\n");
    put_data(page, text, len, false);
    put(page, "<|im_end|>\n");
}

static void put_llama3(const struct page *page, const char *role, const char *first, const struct chat_message *m)
{
    put(page, "<|start_header_id|>");
    put(page, role);
    put(page, "<|end_header_id|>\n\n");
    put(page, first);
    if (m)
        put_data(page, m->text, m->len, true);
    put(page, "<|eot_id|>");
}

static void put_zephyr(const struct chat_template *chat, const struct page *page, const struct chat_message *m)
{
    put(page, "<|");
    put(page, role_names[m->role]);
    put(page, "|>\n");
    put_data(page, m->text, m->len, false);
    put(page, chat->eos);
    put(page, "\n");
}

static void put_mistral(const struct chat_template *chat, const struct page *page, const struct chat_message *m,
                        const struct chat_message *system)
{
    if (m->role == CHAT_ASSISTANT) {
        put(page, chat->before);
        put_data(page, m->text, m->len, chat->trim_assistant);
        put(page, chat->eos);
        put(page, chat->after);
        return;
    }
    put(page, chat->open);
    if (system) {
        put_data(page, system->text, system->len, false);
        put(page, "\n\n");
    }
    put_data(page, m->text, m->len, false);
    put(page, chat->close);
}

static enum status check_order(const struct chat_template *chat, const struct chat_message *messages, size_t n,
                               struct error *err)
{
    const size_t first = n && messages[0].role == CHAT_SYSTEM;
    if (first && chat->system == SYSTEM_REFUSED)
        return error_set(err, STATUS_CONFIG, "the model's chat template takes no system message");
    for (size_t i = first; i < n; i++)
        if (messages[i].role != ((i - first) % 2 ? CHAT_ASSISTANT : CHAT_USER))
            return error_set(err, STATUS_CONFIG, "message %zu is the %s's; user and assistant take turns", i,
                             role_names[messages[i].role]);
    if ((n - first) % 2 == 0)
        return error_set(err, STATUS_CONFIG, "a conversation to be answered ends with the user's message");
    return STATUS_OK;
}

enum status chat_template_render(const struct chat_template *chat, const struct chat_message *messages, size_t n,
                                 struct buffer *text, struct buffer *ranges, struct error *err)
{
    const struct page page = {text, ranges};
    const enum status status = check_order(chat, messages, n, err);
    if (status != STATUS_OK)
        return status;
    const struct chat_message *system = messages[0].role == CHAT_SYSTEM ? &messages[0] : NULL;
    if (chat->begins)
        put(&page, chat->bos);
    if (!system && chat->default_system) {
        put(&page, "<|im_start|>system\n");
        put(&page, chat->default_system);
        put(&page, "<|im_end|>\n");
    }
    if (chat->dated)
        put_llama3(&page, "system", "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", system);
    for (size_t i = 0; i < n; i++) {
        const struct chat_message *m = &messages[i];
        const bool takes_system = chat->system == SYSTEM_LAST_USER ? i + 1 == n : i == 1;
        if (chat->form == CHAT_CHATML)
            put_chatml(chat, &page, m);
        else if (chat->form == CHAT_LLAMA3 && !(chat->dated && m == system))
            put_llama3(&page, role_names[m->role], "", m);
        else if (chat->form == CHAT_ZEPHYR)
            put_zephyr(chat, &page, m);
        else if (chat->form == CHAT_MISTRAL && m != system)
            put_mistral(chat, &page, m, takes_system ? system : NULL);
    }
    if (chat->form == CHAT_CHATML)
        put(&page, "<|im_start|>assistant\n");
    else if (chat->form == CHAT_LLAMA3)
        put(&page, "<|start_header_id|>assistant<|end_header_id|>\n\n");
    else if (chat->form == CHAT_ZEPHYR)
        put(&page, "<|assistant|>\n");
    return text->failed || (ranges && ranges->failed) ? error_set(err, STATUS_NOMEM, "no memory for the conversation")
                                                      : STATUS_OK;
}

enum status chat_template_encode(const struct chat_template *chat, const struct tokenizer *tokenizer,
                                 const struct chat_message *messages, size_t n, struct buffer *ids, struct error *err)
{
    struct buffer text = {0}, ranges = {0};
    const char *end = chat_template_end(chat);
    enum status status = chat_template_render(chat, messages, n, &text, &ranges, err);
    if (status == STATUS_OK && tokenizer_added(tokenizer, end) < 0)
        status = error_set(err, STATUS_CONFIG, "the chat template ends turns with \"%s\", which the tokenizer does not have "
                                               "as a token", end);
    if (status == STATUS_OK)
        status = tokenizer_encode_mixed(tokenizer, TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL, text.data, text.len,
                                        (const struct text_range *)(const void *)ranges.data,
                                        ranges.len / sizeof(struct text_range), ids, err);
    buffer_release(&ranges);
    buffer_release(&text);
    return status;
}
