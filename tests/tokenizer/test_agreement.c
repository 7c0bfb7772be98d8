/* SPDX-License-Identifier: MIT
 * test_agreement.c - what Hugging Face's `tokenizers` makes of hostile texts, with small tokenizers of each kind
 * (tests/fixtures/tokenizers, made by scripts/make_tokenizer_fixtures.py), and properties that hold for any text.
 */
#include "tokenizer/tokenizer.h"

#include "base/memory.h"
#include "base/rng.h"
#include "formats/json.h"
#include "scratch.h"

#define FIXTURES "tests/fixtures/tokenizers/"

static struct error err;

static const struct {
    const char *name;
    bool exact; /* decoding without flags gives the text back */
} KINDS[] = {{"gpt2", true},   {"gpt2-prefix", false}, {"llama3", true},    {"qwen2", false},     {"qwen35", false},
             {"smollm", true}, {"llama2", false},      {"mistral3", false}, {"metaspace", false}, {"unfused", false}};
enum { NUM_KINDS = sizeof KINDS / sizeof *KINDS };

static struct tokenizer *load(int kind)
{
    struct buffer path = {0};
    buffer_printf(&path, FIXTURES "%s.json", KINDS[kind].name);
    struct tokenizer *t = tokenizer_load(path.data, &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    buffer_release(&path);
    return t;
}

static json_t *read_list(const char *name, const char *suffix)
{
    struct buffer path = {0};
    buffer_printf(&path, FIXTURES "%s%s", name, suffix);
    struct buffer text = {0};
    ck_assert_msg(file_read(path.data, 1 << 24, &text, &err) == STATUS_OK, "%s", err.text);
    json_t *list = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    ck_assert_msg(json_is_array(list), "%s", path.data);
    buffer_release(&text);
    buffer_release(&path);
    return list;
}

static struct buffer encode(const struct tokenizer *t, unsigned flags, const char *text, size_t len)
{
    struct buffer ids = {0};
    const enum status st = tokenizer_encode_with(t, flags, text, len, &ids, &err);
    ck_assert_msg(st == STATUS_OK, "%s", err.text);
    return ids;
}

/* The fixture writes id i as the character U+00A0 + i. */
static void expect_ids(const struct buffer *ids, const json_t *packed, const char *kind, const char *text,
                       const char *how)
{
    const char *s = json_string_value(packed);
    const size_t len = json_string_length(packed);
    size_t n = 0;
    uint32_t c;
    for (size_t at = 0; at < len; n++) {
        const int bytes = utf8_decode(s + at, len - at, &c);
        if (bytes <= 0)
            ck_abort_msg("the expected ids are not UTF-8");
        at += (size_t)bytes;
        int32_t id = -1;
        if (n < ids->len / sizeof id)
            memcpy(&id, ids->data + n * sizeof id, sizeof id);
        if (id != (int32_t)(c - 0xA0))
            ck_abort_msg("%s, %s of \"%s\": token %zu is %d, where %d should be", kind, how, text, n, (int)id,
                         (int)(c - 0xA0));
    }
    ck_assert_msg(ids->len == n * sizeof(int32_t), "%s, %s of \"%s\": %zu tokens, where %zu should be", kind, how, text,
                  ids->len / sizeof(int32_t), n);
}

START_TEST(as_the_reference)
{
    struct tokenizer *t = load(_i);
    json_t *cases = read_list("cases", ".json"), *expected = read_list(KINDS[_i].name, ".ids.json");
    ck_assert_uint_gt(json_array_size(cases), 200);
    ck_assert_uint_eq(json_array_size(cases), json_array_size(expected));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *input = json_object_get(json_array_get(cases, i), "text"), *row = json_array_get(expected, i);
        const json_t *all = json_array_get(row, 0), *plain = json_array_get(row, 1), *decoded = json_array_get(row, 2);
        const char *text = json_string_value(input);
        const size_t len = json_string_length(input);
        struct buffer ids = encode(t, TOKENIZER_AS_REFERENCE, text, len), back = {0};
        expect_ids(&ids, all, KINDS[_i].name, text, "the encoding");
        ck_assert_int_eq(tokenizer_decode_text(t, (const int32_t *)(const void *)ids.data, ids.len / sizeof(int32_t),
                                               false, &back, &err),
                         STATUS_OK);
        if (json_is_null(decoded))
            decoded = input;
        ck_assert_msg(back.len == json_string_length(decoded) &&
                          (back.len == 0 || memcmp(back.data, json_string_value(decoded), back.len) == 0),
                      "%s: \"%s\" comes back as \"%s\"", KINDS[_i].name, text, back.data);
        buffer_release(&ids);
        ids = encode(t, TOKENIZER_PARSE_ADDED, text, len);
        expect_ids(&ids, json_is_null(plain) ? all : plain, KINDS[_i].name, text,
                   "the encoding without special tokens");
        buffer_release(&ids);
        buffer_release(&back);
    }
    json_decref(cases);
    json_decref(expected);
    tokenizer_free(t);
}
END_TEST

/* Random text of what matters to splitting, with some bytes that are no UTF-8. */
static size_t random_text(uint64_t number, char *out, size_t most)
{
    static const char *const parts[] = {" ",
                                        "  ",
                                        "\n",
                                        "\r\n",
                                        "\t",
                                        "a",
                                        "the",
                                        "S",
                                        "'s",
                                        "'",
                                        "LL",
                                        "é",
                                        "́",
                                        "12",
                                        "٣",
                                        "語",
                                        "😀",
                                        "▁",
                                        ".",
                                        "!!",
                                        "\xC2\xA0",
                                        "ſ",
                                        "\xff",
                                        "\xE2\x82",
                                        "\xC3",
                                        "\x80",
                                        "lone",
                                        "<tool>",
                                        "<|endoftext|>",
                                        "</s>",
                                        "[MASK]",
                                        "nas\u0302tok",
                                        "\xE3\x80\x80",
                                        "x",
                                        "<0x41>",
                                        "\x01"};
    size_t len = 0;
    const struct rng_block first = philox4x32(rng_key(3, RNG_TEST, number, 0), 0, 0);
    const uint32_t count = first.word[0] % 40;
    for (uint32_t i = 1; i <= count; i++) {
        const char *part =
            parts[philox4x32(rng_key(3, RNG_TEST, number, 0), 0, i).word[1] % (sizeof parts / sizeof *parts)];
        const size_t n = strlen(part);
        if (len + n > most)
            break;
        memcpy(out + len, part, n);
        len += n;
    }
    return len;
}

/* Cutting where tokenizer_cut says changes nothing; a stream gives what decoding at once gives, and whole characters
 * only; exact kinds give the bytes back. */
static void expect_properties(struct tokenizer *t, const char *name, bool exact)
{
    char text[512];
    size_t cuts = 0;
    const uint64_t texts = getenv("CLLM_TEST_SANITIZED") ? 400 : 4000;
    for (uint64_t number = 0; number < texts; number++) {
        const size_t len = random_text(number, text, sizeof text);
        const unsigned flags = number % 2 ? TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL : 0;
        struct buffer ids = encode(t, flags, text, len);
        const size_t cut = tokenizer_cut(t, flags, text, len);
        ck_assert_uint_le(cut, len);
        if (cut) {
            struct buffer pieces = encode(t, flags, text, cut);
            ck_assert_int_eq(
                tokenizer_encode_with(t, flags | TOKENIZER_CONTINUES, text + cut, len - cut, &pieces, &err), STATUS_OK);
            if (pieces.len != ids.len || memcmp(pieces.data, ids.data, ids.len) != 0)
                ck_abort_msg("%s: \"%.*s\" cut at %zu has other tokens", name, (int)len, text, cut);
            buffer_release(&pieces);
            cuts++;
        }
        const int32_t *list = (const int32_t *)(const void *)ids.data;
        const size_t n = ids.len / sizeof *list;
        struct buffer whole = {0}, streamed = {0};
        struct text_stream stream = {0};
        ck_assert_int_eq(tokenizer_decode_text(t, list, n, false, &whole, &err), STATUS_OK);
        for (size_t i = 0; i < n; i++) {
            if (text_stream_push(&stream, t, list[i], &streamed, &err) != STATUS_OK) /* an assertion writes to a file */
                ck_abort_msg("%s", err.text);
            buffer_append(&streamed, stream.held,
                          stream.num_held); /* all so far: what is held is what is not whole of it */
            const size_t given = streamed.len - stream.num_held;
            if ((streamed.len ? utf8_whole_prefix(streamed.data, streamed.len) : 0) != given)
                ck_abort_msg("%s: %zu bytes given are not whole characters", name, given);
            streamed.len = given;
        }
        ck_assert_uint_eq(streamed.len + stream.num_held, whole.len);
        if (streamed.len)
            ck_assert_mem_eq(streamed.data, whole.data, streamed.len);
        if (exact && flags == 0) {
            ck_assert_uint_eq(whole.len, len);
            if (len)
                ck_assert_mem_eq(whole.data, text, len);
        }
        buffer_release(&whole);
        buffer_release(&streamed);
        buffer_release(&ids);
    }
    /* Of texts without flags, about every second has a place to cut, where the kind can be cut at all. */
    ck_assert_msg(cuts > texts / 4, "%s: only %zu cuts", name, cuts);
}

START_TEST(properties)
{
    struct tokenizer *t = load(_i);
    expect_properties(t, KINDS[_i].name, KINDS[_i].exact);
    /* A token that strips what follows forbids cutting where tokens are parsed; without it there is more to test. */
    struct buffer text = {0};
    ck_assert_int_eq(tokenizer_json(t, &text, &err), STATUS_OK);
    tokenizer_free(t);
    json_t *file = json_loadb(text.data, text.len, 0, NULL);
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(file, "added_tokens"), i, token)
        json_object_set_new(token, "rstrip", json_false());
    buffer_clear(&text);
    ck_assert_int_eq(json_write(file, false, &text, &err), STATUS_OK);
    t = tokenizer_from_text(text.data, text.len, "without rstrip", &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    expect_properties(t, KINDS[_i].name, KINDS[_i].exact);
    tokenizer_free(t);
    json_decref(file);
    buffer_release(&text);
}
END_TEST

/* Text in which special tokens stand is data without the flag. */
START_TEST(text_is_data)
{
    struct tokenizer *t = load(_i);
    static const char *const texts[] = {"<|endoftext|>", "a <s> b</s>", "[MASK] <tool> lone", "<|begin_of_text|>x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct buffer ids = encode(t, 0, texts[i], strlen(texts[i]));
        for (size_t k = 0; k < ids.len / sizeof(int32_t); k++) {
            int32_t id;
            struct buffer text = {0};
            memcpy(&id, ids.data + k * sizeof id, sizeof id);
            ck_assert_int_eq(tokenizer_decode(t, id, &text, &err), STATUS_OK);
            if (strcmp(KINDS[_i].name, "metaspace") && strcmp(KINDS[_i].name, "unfused")) /* unknown there: '<' */
                ck_assert_msg(text.len > 0, "%s: %s has the special token %d", KINDS[_i].name, texts[i], (int)id);
            ck_assert_int_ne(id, tokenizer_added(t, "<tool>"));
            buffer_release(&text);
        }
        buffer_release(&ids);
    }
    tokenizer_free(t);
}
END_TEST

/* A million bytes without a space, or of one letter: the heap, and no square of the length, which would take longer than
 * the time a test has. */
START_TEST(long_words)
{
    enum { LEN = 1000000 };
    struct tokenizer *t = load(_i);
    char *text = mem_alloc(LEN);
    ck_assert_ptr_nonnull(text);
    for (int what = 0; what < 3; what++) {
        for (size_t i = 0; i < LEN; i++)
            text[i] = what == 0   ? 'a'
                      : what == 1 ? "thereandwing"[philox4x32(rng_key(5, RNG_TEST, 0, 0), 0, i).word[0] % 12]
                                  : ' ';
        struct buffer ids = encode(t, 0, text, LEN), back = {0};
        ck_assert_int_eq(tokenizer_decode_text(t, (const int32_t *)(const void *)ids.data, ids.len / sizeof(int32_t),
                                               false, &back, &err),
                         STATUS_OK);
        if (what < 2) {
            const size_t prefix = strcmp(KINDS[_i].name, "gpt2-prefix") == 0;
            ck_assert_uint_eq(back.len, LEN + prefix);
            ck_assert_mem_eq(back.data + prefix, text, LEN);
        }
        buffer_release(&ids);
        buffer_release(&back);
    }
    mem_free(text);
    tokenizer_free(t);
}
END_TEST

/* What was loaded is written again byte for byte, tokenizer_config.json too; that says which tokens are special. */
START_TEST(files_are_kept)
{
    struct buffer json = {0}, out = {0};
    static const char config[] =
        "{\"bos_token\": {\"content\": \"<|begin_of_text|>\", \"x\": 1},\n   \"eos_token\": \"<|endoftext|>\", "
        "\"chat_template\": \"{{ x }}\"}";
    ck_assert_int_eq(file_read(FIXTURES "llama3.json", 1 << 24, &json, &err), STATUS_OK);
    scratch_file("tokenizer.json", json.data, json.len);
    scratch_text("tokenizer_config.json", config);
    struct tokenizer *t = tokenizer_load(scratch, &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    ck_assert_str_eq(tokenizer_kind(t), "bpe");
    ck_assert_int_eq(tokenizer_begin_of_text(t), 0);
    ck_assert_int_eq(tokenizer_end_of_text(t), 1);
    ck_assert_int_eq(tokenizer_json(t, &out, &err), STATUS_OK);
    ck_assert_uint_eq(out.len, json.len);
    ck_assert_mem_eq(out.data, json.data, json.len);
    buffer_clear(&out);
    ck_assert_int_eq(tokenizer_config_json(t, 7, &out, &err), STATUS_OK);
    ck_assert_str_eq(out.data, config);
    tokenizer_free(t);
    scratch_text("tokenizer_config.json", "[]");
    ck_assert_ptr_null(tokenizer_load(scratch, &err));
    expect_error(&err, STATUS_FORMAT, "tokenizer_config.json: should be a JSON object");
    buffer_release(&json);
    buffer_release(&out);
}
END_TEST

/* Characters that are neither in the vocabulary nor to be had as bytes. */
START_TEST(unknown_characters)
{
    static const char file[] =
        "{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"▁\":3},\"merges\":[\"a "
        "b\"]},\"decoder\":{\"type\":\"Fuse\"},"
        "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}}";
    struct tokenizer *t = tokenizer_from_text(file, sizeof file - 1, "here", &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    struct buffer ids = encode(t, 0, "ab ab", 5);
    ck_assert_uint_eq(ids.len, 3 * sizeof(int32_t));
    ck_assert_int_eq(tokenizer_encode(t, "abc", 3, &ids, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "\"c\" (U+0063) is not in the vocabulary of 4 tokens");
    ck_assert_int_eq(tokenizer_encode(t, "ab\xff", 3, &ids, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "0xFF, is not UTF-8");
    ck_assert_uint_eq(ids.len, 3 * sizeof(int32_t));
    buffer_release(&ids);
    tokenizer_free(t);
}
END_TEST

/* Every allocation refused in turn: a sentence, and nothing lost. */
START_TEST(without_memory)
{
    struct tokenizer *t = NULL;
    int64_t at = 0;
    for (; !t && at < 100000; at++) {
        mem_fail_at(at);
        t = tokenizer_load(FIXTURES "qwen2.json", &err);
        if (!t)
            expect_error(&err, STATUS_NOMEM, "memory");
    }
    mem_fail_at(-1);
    ck_assert_ptr_nonnull(t);
    ck_assert_int_gt(at, 10);
    const size_t len = 200;
    char text[200];
    memset(text, 'a', len);
    enum status st = STATUS_NOMEM;
    for (at = 0; st != STATUS_OK; at++) {
        struct buffer ids = {0};
        mem_fail_at(at);
        st = tokenizer_encode(t, text, len, &ids, &err);
        if (st != STATUS_OK) {
            expect_error(&err, STATUS_NOMEM, "memory");
            ck_assert_uint_eq(ids.len, 0);
        }
        buffer_release(&ids);
    }
    mem_fail_at(-1);
    tokenizer_free(t);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("agreement");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, as_the_reference, 0, NUM_KINDS);
    tcase_add_loop_test(cases, properties, 0, NUM_KINDS);
    tcase_add_loop_test(cases, text_is_data, 0, NUM_KINDS);
    tcase_add_loop_test(cases, long_words, 0, 4);
    tcase_add_loop_test(cases, long_words, 6, 8);
    tcase_add_test(cases, files_are_kept);
    tcase_add_test(cases, unknown_characters);
    tcase_add_test(cases, without_memory);
    return run_suite("agreement", cases);
}
