/* SPDX-License-Identifier: MIT
 * test_gguf_tokenizer.c - which tokenizers have an equal in llama.cpp, and that they come back.
 */
#include "formats/gguf_tokenizer.h"

#include "formats/json.h"
#include "scratch.h"

static struct error err, note;

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define PLAIN_BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
#define SPLIT(regex) \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}," PLAIN_BYTES "]}"
#define WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
#define REST "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define DIGITS "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL "]}"
#define MODEL "\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3},\"merges\":[[\"a\",\"b\"]]"
#define ADDED "[{\"id\":4,\"content\":\"<end>\",\"special\":true},{\"id\":5,\"content\":\"<tool>\",\"special\":false}]"
#define FILE_OF(model, pre, normalizer) \
    "{\"model\":{" model "},\"added_tokens\":" ADDED ",\"pre_tokenizer\":" pre ",\"normalizer\":" normalizer "}"
#define PIECES(merges) \
    "\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"<0x0A>\":1,\"b\":2,\"ab\":3,\"aba\":6}," \
    "\"merges\":[" merges "]"
#define SPACES "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},{\"type\":\"Replace\"," \
    "\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}]}"

enum { VOCAB = 8 };

static void put_text(struct text_files *texts, const char *name, const char *text)
{
    struct buffer content = {0};
    buffer_append_text(&content, text);
    ck_assert_int_eq(text_files_put(texts, name, &content, &err), STATUS_OK);
}

/* The tokenizer as a GGUF file, or NULL with the error. */
static struct gguf *export(const char *tokenizer, const char *config)
{
    struct text_files texts = {0};
    put_text(&texts, "tokenizer.json", tokenizer);
    if (config)
        put_text(&texts, "tokenizer_config.json", config);
    struct gguf_writer *w = gguf_writer_new(&err);
    err = (struct error){0};
    struct gguf *file = NULL;
    const char *path = scratch_path("x.gguf");
    if (gguf_set_tokenizer(w, &texts, VOCAB, (struct gguf_special_tokens){-1, -1, -1}, &note, &err) == STATUS_OK) {
        ck_assert_int_eq(gguf_write(w, path, NULL, NULL, &err), STATUS_OK);
        file = gguf_open(path, &err);
        ck_assert_msg(file != NULL, "%s", err.text);
    }
    gguf_writer_free(w);
    text_files_release(&texts);
    return file;
}

static const char *text_at(const struct gguf *file, const char *key)
{
    static char out[256];
    struct gguf_text text;
    ck_assert_msg(gguf_get_text(file, key, true, &text, &err) == STATUS_OK, "%s", err.text);
    snprintf(out, sizeof out, "%.*s", (int)text.len, text.bytes);
    return out;
}

static const struct {
    const char *tokenizer, *pre;
} KNOWN[] = {
    {FILE_OF(MODEL, BYTE_LEVEL, "null"), "gpt-2"},
    {FILE_OF(MODEL, DIGITS, "null"), "smollm"},
    {FILE_OF(MODEL ",\"ignore_merges\":true", SPLIT(WORDS "\\\\p{N}{1,3}" REST), "null"), "llama-bpe"},
    {FILE_OF(MODEL, SPLIT(WORDS "\\\\p{N}{1,3}" REST), "null"), "smaug-bpe"},
    {FILE_OF(MODEL, SPLIT(WORDS "\\\\p{N}" REST), "{\"type\":\"NFC\"}"), "qwen2"},
    {FILE_OF(MODEL, SPLIT(WORDS "\\\\p{N}" REST), "null"), "qwen2"},
};

START_TEST(pre_tokenizers)
{
    struct gguf *file = export(KNOWN[_i].tokenizer, "{\"eos_token\":\"<end>\",\"bos_token\":{\"content\":\"<end>\"},"
                                                    "\"chat_template\":\"{{ x }}\"}");
    ck_assert_msg(file != NULL, "%s: %s", KNOWN[_i].pre, err.text);
    ck_assert_str_eq(text_at(file, "tokenizer.ggml.pre"), KNOWN[_i].pre);
    ck_assert_str_eq(text_at(file, "tokenizer.ggml.model"), "gpt2");
    ck_assert_str_eq(text_at(file, "tokenizer.chat_template"), "{{ x }}");
    static const char *const words[VOCAB] = {"a", "b", "ab", "\u0120", "<end>", "<tool>", "[PAD6]", "[PAD7]"};
    static const int types[VOCAB] = {1, 1, 1, 1, 3, 4, 5, 5};
    struct gguf_value tokens, kinds, merges;
    struct gguf_text text;
    int64_t type;
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.tokens", true, GGUF_STRING, &tokens, &err), STATUS_OK);
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.token_type", true, GGUF_I32, &kinds, &err), STATUS_OK);
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.merges", true, GGUF_STRING, &merges, &err), STATUS_OK);
    for (int i = 0; i < VOCAB; i++) {
        ck_assert(gguf_next_text(&tokens, &text) && gguf_text_is(text, words[i]));
        ck_assert(gguf_next_i64(&kinds, &type) && type == types[i]);
    }
    ck_assert(merges.count == 1 && gguf_next_text(&merges, &text) && gguf_text_is(text, "a b"));
    uint64_t id = 0;
    ck_assert(gguf_get_u64(file, "tokenizer.ggml.eos_token_id", true, 9, &id, &err) == STATUS_OK && id == 4);

    struct text_files back = {0};
    struct gguf_special_tokens ids;
    ck_assert_msg(gguf_get_tokenizer(file, VOCAB, &back, &ids, &err) == STATUS_OK, "%s", err.text);
    ck_assert(ids.bos == 4 && ids.eos == 4 && ids.pad == -1);
    const struct buffer *json = text_files_find(&back, "tokenizer.json");
    ck_assert(json && strcmp(json->data, KNOWN[_i].tokenizer) == 0);
    text_files_release(&back);
    gguf_close(file);
}
END_TEST

/* As another program writes it, without our tokenizer.json: made of the keys, and the same table again. */
START_TEST(rebuilt)
{
    struct gguf *original = export(KNOWN[_i].tokenizer, NULL);
    struct gguf_writer *w = gguf_writer_new(&err);
    struct gguf_value walk;
    struct gguf_text text;
    int64_t whole;
    static const char *const copied[] = {"tokenizer.ggml.model", "tokenizer.ggml.pre"};
    for (int i = 0; i < 2; i++) {
        const char *value = text_at(original, copied[i]);
        gguf_set_text(w, copied[i], value, strlen(value));
    }
    static const char *const lists[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(gguf_get_array(original, lists[i], true, GGUF_STRING, &walk, &err), STATUS_OK);
        gguf_set_array(w, lists[i], GGUF_STRING, walk.count);
        while (gguf_next_text(&walk, &text))
            gguf_item_text(w, text.bytes, text.len);
    }
    ck_assert_int_eq(gguf_get_array(original, "tokenizer.ggml.token_type", true, GGUF_I32, &walk, &err), STATUS_OK);
    gguf_set_array(w, "tokenizer.ggml.token_type", GGUF_I32, walk.count);
    while (gguf_next_i64(&walk, &whole))
        gguf_item_i32(w, (int32_t)whole);
    gguf_set_u32(w, "tokenizer.ggml.bos_token_id", 4);
    gguf_set_bool(w, "tokenizer.ggml.add_bos_token", true);
    const char *path = scratch_path("foreign.gguf");
    ck_assert_int_eq(gguf_write(w, path, NULL, NULL, &err), STATUS_OK);
    gguf_writer_free(w);
    gguf_close(original);

    struct gguf *file = gguf_open(path, &err);
    struct text_files texts = {0};
    struct gguf_special_tokens ids;
    ck_assert_msg(gguf_get_tokenizer(file, VOCAB, &texts, &ids, &err) == STATUS_OK, "%s", err.text);
    gguf_close(file);
    struct buffer json = *text_files_find(&texts, "tokenizer.json");
    struct gguf *again = export(json.data, NULL);
    ck_assert_msg(again != NULL, "%s: %s", KNOWN[_i].pre, err.text);
    ck_assert_str_eq(text_at(again, "tokenizer.ggml.pre"), KNOWN[_i].pre);
    bool bos = false;
    ck_assert(gguf_get_bool(again, "tokenizer.ggml.add_bos_token", true, &bos, &err) == STATUS_OK && bos);
    gguf_close(again);
    text_files_release(&texts);
}
END_TEST

static const struct {
    const char *tokenizer, *words;
} BAD[] = {
    {"[]", "BPE"},
    {"{\"model\":{\"type\":\"WordPiece\"}}", "BPE"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":{}}}", "BPE"},
    {FILE_OF(MODEL, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", "null"), "ByteLevel"},
    {FILE_OF(MODEL, "{\"type\":\"ByteLevel\"}", "null"), "ByteLevel"},
    {FILE_OF(MODEL, PLAIN_BYTES, "null"), "ByteLevel"},
    {FILE_OF(MODEL, "{\"type\":\"Whitespace\"}", "null"), "Whitespace"},
    {FILE_OF(MODEL, SPLIT("\\\\s+"), "null"), "\\s+"},
    {FILE_OF(MODEL ",\"ignore_merges\":true", BYTE_LEVEL, "null"), "ignore_merges"},
    {FILE_OF(MODEL, BYTE_LEVEL, "{\"type\":\"Lowercase\"}"), "Lowercase"},
    {FILE_OF(MODEL, BYTE_LEVEL, "{\"type\":\"NFC\"}"), "pre_tokenizer"},
    {FILE_OF(MODEL ",\"end_of_word_suffix\":\"</w>\"", BYTE_LEVEL, "null"), "suffix"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":8},\"merges\":[]", BYTE_LEVEL, "null"), "outside the embedding"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]", BYTE_LEVEL, "null"), "outside the embedding"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":\"0\"},\"merges\":[]", BYTE_LEVEL, "null"), "outside the embedding"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]", BYTE_LEVEL, "null"), "the id 0"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":4},\"merges\":[]", BYTE_LEVEL, "null"), "the id 4"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]", BYTE_LEVEL, "null"), "two pieces"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]", BYTE_LEVEL, "null"), "two pieces"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\" \"]]", BYTE_LEVEL, "null"), "a space in it"},
    {FILE_OF("\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[7]", BYTE_LEVEL, "null"), "two pieces"},
    {FILE_OF(PIECES("\"b c\""), "null", SPACES), "not in the vocabulary"},
    {FILE_OF(PIECES(""), BYTE_LEVEL, "null"), "byte fallback"},
    {FILE_OF("\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"c\":0,\"b\":2,\"cb\":3},\"merges\":[]", "null", SPACES),
     "0 merges"},
    {FILE_OF("\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"c\":0,\"b\":2,\"cb\":3,\"bc\":6,\"cbc\":7},\"merges\":"
             "[\"cb c\",\"c b\",\"c bc\",\"b c\"]", "null", SPACES), "do not stand together"},
};

START_TEST(refused)
{
    struct gguf *file = export(BAD[_i].tokenizer, NULL);
    ck_assert_msg(!file, "taken, where \"%s\" should be said", BAD[_i].words);
    ck_assert_msg(strstr(err.text, BAD[_i].words), "\"%s\" does not say \"%s\"", err.text, BAD[_i].words);
    ck_assert(strstr(err.text, "tokenizer.json") && !strchr(err.text, '\n'));
}
END_TEST

/* Merges become scores: the earlier the better. */
START_TEST(pieces)
{
    static const char tokenizer[] =
        FILE_OF("\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"?\",\"vocab\":{\"?\":7,\"<0x0A>\":1,\"c\":0,\"b\":2,"
                "\"cb\":3,\"cbc\":6},\"merges\":[\"c b\",[\"cb\",\"c\"]]", "null", SPACES);
    struct gguf *file = export(tokenizer, NULL);
    ck_assert_msg(file != NULL, "%s", err.text);
    ck_assert_str_eq(text_at(file, "tokenizer.ggml.model"), "llama");
    static const float scores[VOCAB] = {0, 0, 0, -1, 0, 0, -2, 0};
    static const int types[VOCAB] = {1, 6, 1, 1, 3, 4, 1, 2};
    struct gguf_value values, kinds;
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.scores", true, GGUF_F32, &values, &err), STATUS_OK);
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.token_type", true, GGUF_I32, &kinds, &err), STATUS_OK);
    double score;
    int64_t type;
    for (int i = 0; i < VOCAB; i++) {
        ck_assert(gguf_next_float(&values, &score) && (float)score == scores[i]);
        ck_assert(gguf_next_i64(&kinds, &type) && type == types[i]);
    }
    struct text_files back = {0};
    struct gguf_special_tokens ids;
    ck_assert_msg(gguf_get_tokenizer(file, VOCAB, &back, &ids, &err) == STATUS_OK, "%s", err.text);
    ck_assert_str_eq(text_files_find(&back, "tokenizer.json")->data, tokenizer);
    text_files_release(&back);
    gguf_close(file);
}
END_TEST

/* The characters of a corpus: the bytes of each are put together by merges, and no others. */
START_TEST(characters)
{
    struct gguf *file = export("{\"model\":{\"type\":\"BPE\",\"vocab\":{\" \":0,\"a\":1,\"\u00fc\":2,\"\u6771\":3,\"\u6772\":4},"
                               "\"merges\":[]},\"pre_tokenizer\":null,\"normalizer\":null}", NULL);
    ck_assert_msg(file != NULL, "%s", err.text);
    struct gguf_value tokens, merges;
    struct gguf_text text;
    static const char *const words[5] = {"\u0120", "a", "\u00c3\u00bc", "\u00e6\u013f\u00b1", "\u00e6\u013f\u00b2"};
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.tokens", true, GGUF_STRING, &tokens, &err), STATUS_OK);
    for (int i = 0; i < 5; i++)
        ck_assert_msg(gguf_next_text(&tokens, &text) && gguf_text_is(text, words[i]), "%d: %.*s", i, (int)text.len, text.bytes);
    ck_assert_int_eq(gguf_get_array(file, "tokenizer.ggml.merges", true, GGUF_STRING, &merges, &err), STATUS_OK);
    ck_assert_uint_eq(merges.count, 4); /* one of ü, the first of 東 and of 杲 once, the second of each */
    ck_assert(strstr(note.text, "--ignore-eos") == NULL); /* fewer tokens than llama.cpp's default for the end */
    gguf_close(file);
}
END_TEST

START_TEST(no_tokenizer)
{
    struct text_files none = {0};
    struct gguf_writer *w = gguf_writer_new(&err);
    ck_assert_int_eq(gguf_set_tokenizer(w, &none, VOCAB, (struct gguf_special_tokens){-1, -1, -1}, &note, &err), STATUS_OK);
    ck_assert(strstr(note.text, "no tokenizer"));
    const char *path = scratch_path("x.gguf");
    ck_assert_int_eq(gguf_write(w, path, NULL, NULL, &err), STATUS_OK);
    gguf_writer_free(w);
    struct gguf *file = gguf_open(path, &err);
    struct gguf_special_tokens ids;
    ck_assert_int_eq(gguf_get_tokenizer(file, VOCAB, &none, &ids, &err), STATUS_OK);
    ck_assert_uint_eq(none.count, 0);
    gguf_close(file);
}
END_TEST

/* Keys that another program got wrong. */
START_TEST(bad_keys)
{
    static const struct {
        const char *model, *pre;
        uint32_t bos;
        int type;
        size_t tokens, types;
        const char *original, *words;
    } bad[] = {
        {"bert", "gpt-2", 0, 1, VOCAB, VOCAB, NULL, "\"bert\""},
        {"gpt2", "default", 0, 1, VOCAB, VOCAB, NULL, "\"default\""},
        {"gpt2", "gpt-2", VOCAB, 1, VOCAB, VOCAB, NULL, "outside the vocabulary"},
        {"gpt2", "gpt-2", 0, 7, VOCAB, VOCAB, NULL, "has the type 7"},
        {"gpt2", "gpt-2", 0, 0, VOCAB, VOCAB, NULL, "has the type 0"},
        {"gpt2", "gpt-2", 0, 1, VOCAB - 1, VOCAB - 1, NULL, "the embedding has"},
        {"gpt2", "gpt-2", 0, 1, VOCAB, VOCAB - 1, NULL, "types"},
        {"gpt2", "gpt-2", 0, 1, VOCAB, VOCAB, "{", "not valid JSON"},
        {"gpt2", "gpt-2", 0, 1, VOCAB, VOCAB, FILE_OF(MODEL, BYTE_LEVEL, "null"), "another vocabulary"},
        {"llama", "", 0, 1, VOCAB, VOCAB, NULL, "scores"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gguf_writer *w = gguf_writer_new(&err);
        gguf_set_text(w, "tokenizer.ggml.model", bad[i].model, strlen(bad[i].model));
        gguf_set_text(w, "tokenizer.ggml.pre", bad[i].pre, strlen(bad[i].pre));
        gguf_set_array(w, "tokenizer.ggml.tokens", GGUF_STRING, bad[i].tokens);
        for (size_t t = 0; t < bad[i].tokens; t++) {
            char word[8];
            gguf_item_text(w, word, (size_t)snprintf(word, sizeof word, "w%zu", t));
        }
        gguf_set_array(w, "tokenizer.ggml.token_type", GGUF_I32, bad[i].types);
        for (size_t t = 0; t < bad[i].types; t++)
            gguf_item_i32(w, bad[i].type);
        gguf_set_array(w, "tokenizer.ggml.merges", GGUF_STRING, 0);
        gguf_set_u32(w, "tokenizer.ggml.bos_token_id", bad[i].bos);
        if (bad[i].original)
            gguf_set_text(w, "tokenizer.huggingface.json", bad[i].original, strlen(bad[i].original));
        const char *path = scratch_path("bad.gguf");
        ck_assert_int_eq(gguf_write(w, path, NULL, NULL, &err), STATUS_OK);
        gguf_writer_free(w);
        struct gguf *file = gguf_open(path, &err);
        struct text_files texts = {0};
        struct gguf_special_tokens ids;
        err = (struct error){0};
        ck_assert_int_ne(gguf_get_tokenizer(file, VOCAB, &texts, &ids, &err), STATUS_OK);
        ck_assert_msg(strstr(err.text, bad[i].words) && strstr(err.text, path), "\"%s\" does not say \"%s\"", err.text,
                      bad[i].words);
        text_files_release(&texts);
        gguf_close(file);
    }
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("gguf_tokenizer");
    tcase_set_timeout(cases, 20);
    tcase_add_loop_test(cases, pre_tokenizers, 0, sizeof KNOWN / sizeof *KNOWN);
    tcase_add_loop_test(cases, rebuilt, 0, sizeof KNOWN / sizeof *KNOWN);
    tcase_add_loop_test(cases, refused, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(cases, pieces);
    tcase_add_test(cases, characters);
    tcase_add_test(cases, no_tokenizer);
    tcase_add_test(cases, bad_keys);
    return run_suite("formats/gguf_tokenizer", cases);
}
