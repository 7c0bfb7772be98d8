/* SPDX-License-Identifier: MIT
 * tokenizer/blank.c - byte-level tokenizers before their training: a family's steps, its special tokens, the bytes.
 */
#include "tokenizer/train.h"

#include "tokenizer/tokenizer_internal.h"

#include <string.h>

static json_t *byte_level(bool regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     (int)regex);
}

static json_t *split_first(json_t *split, bool regex)
{
    return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers", split, byte_level(regex));
}

static json_t *regex_split(enum split_kind kind)
{
    return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", split_regex(kind), "behavior",
                     "Isolated", "invert", 0);
}

/* *known is false for a family we have not. */
static json_t *pre_tokenizer(const char *family, bool *known)
{
    *known = true;
    if (strcmp(family, "gpt2") == 0)
        return byte_level(true);
    if (strcmp(family, "llama3") == 0)
        return split_first(regex_split(SPLIT_LLAMA3), false);
    if (strcmp(family, "qwen2") == 0)
        return split_first(regex_split(SPLIT_QWEN2), false);
    if (strcmp(family, "smollm") == 0)
        return split_first(json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1), true);
    *known = false;
    return NULL;
}

struct tokenizer *tokenizer_blank(const char *family, const char *const *special, size_t num_special, struct error *err)
{
    bool known;
    json_t *pre = pre_tokenizer(family, &known);
    if (!known) {
        error_set(err, STATUS_CONFIG, "\"%.100s\" is no family of tokenizers; one of gpt2, llama3, qwen2, smollm",
                  family);
        return NULL;
    }
    json_t *vocab = json_object(), *added = json_array();
    json_int_t id = 0;
    bool ok = pre && vocab && added, refused = false;
    for (size_t i = 0; i < num_special && ok; i++, id++) {
        uint32_t c;
        const size_t len = strlen(special[i]);
        if (len == 0 || utf8_decode(special[i], len, &c) == (int)len || json_object_get(vocab, special[i])) {
            error_set(err, STATUS_CONFIG,
                      "\"%.100s\" as a special token; it should have two characters or more, and be "
                      "there once",
                      special[i]);
            refused = true;
            break;
        }
        ok = json_object_set_new(vocab, special[i], json_integer(id)) == 0 &&
             json_array_append_new(added, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content",
                                                    special[i], "single_word", 0, "lstrip", 0, "rstrip", 0,
                                                    "normalized", 0, "special", 1)) == 0;
    }
    /* In order of their characters, as the reference has its alphabet. */
    for (uint32_t c = 0; c < 2 * NUM_BYTES && ok; c++)
        for (unsigned b = 0; b < NUM_BYTES && ok; b++)
            if (byte_character(b) == c) {
                char text[5] = {0};
                utf8_encode(c, text);
                ok = json_object_set_new(vocab, text, json_integer(id++)) == 0;
            }
    json_t *file =
        json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:n, s:o, s:{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:[]}}",
                  "version", "1.0", "truncation", "padding", "added_tokens", added, "normalizer",
                  strcmp(family, "qwen2") == 0 ? json_pack("{s:s}", "type", "NFC") : json_null(), "pre_tokenizer", pre,
                  "post_processor", "decoder", byte_level(true), "model", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                  0, "vocab", vocab, "merges");
    struct buffer text = {0};
    struct tokenizer *t = NULL;
    if (!refused && json_write(ok ? file : NULL, false, &text, err) == STATUS_OK)
        t = tokenizer_from_text(text.data, text.len, "the blank tokenizer", err);
    json_decref(file);
    buffer_release(&text);
    return t;
}
