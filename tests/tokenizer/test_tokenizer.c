/* SPDX-License-Identifier: MIT */
#include "tokenizer/tokenizer.h"

#include "formats/json.h"
#include "scratch.h"

#include <zlib.h>

static struct error err;

static const uint32_t CHARS[] = {'\n', ' ', '"', '\\', 'a', 'b', 'z', 0x7f, 0xe9, 0x20ac, 0x1f600};
enum { NUM_CHARS = sizeof CHARS / sizeof *CHARS };

static struct tokenizer *chars(bool end_of_text)
{
    struct tokenizer *t = tokenizer_new_chars(CHARS, NUM_CHARS, end_of_text, &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    return t;
}

static void expect_round_trip(const struct tokenizer *t, const char *text, size_t len, size_t num_ids)
{
    struct buffer ids = {0}, back = {0};
    const enum status st = tokenizer_encode(t, text, len, &ids, &err);
    ck_assert_msg(st == STATUS_OK, "%s", err.text);
    ck_assert_uint_eq(ids.len, num_ids * sizeof(int32_t));
    for (size_t i = 0; i < num_ids; i++) {
        int32_t id;
        memcpy(&id, ids.data + i * sizeof id, sizeof id);
        ck_assert(id >= 0 && (uint32_t)id < tokenizer_vocab_size(t) && id != tokenizer_end_of_text(t));
        ck_assert_int_eq(tokenizer_decode(t, id, &back, &err), STATUS_OK);
    }
    ck_assert_uint_eq(back.len, len);
    if (len)
        ck_assert_mem_eq(back.data, text, len);
    buffer_release(&ids);
    buffer_release(&back);
}

START_TEST(bytes)
{
    struct tokenizer *t = tokenizer_new_bytes(&err);
    ck_assert_str_eq(tokenizer_kind(t), "byte");
    ck_assert_uint_eq(tokenizer_vocab_size(t), 257);
    ck_assert_int_eq(tokenizer_end_of_text(t), 256);
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    expect_round_trip(t, all, 256, 256);
    expect_round_trip(t, "", 0, 0);
    expect_round_trip(t, "<|endoftext|>", 13, 13); /* text, not the token */
    struct buffer out = {0};
    ck_assert_int_eq(tokenizer_decode(t, 256, &out, &err), STATUS_OK);
    ck_assert_uint_eq(out.len, 0);
    ck_assert_int_eq(tokenizer_decode(t, 257, &out, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "token 257");
    ck_assert_int_eq(tokenizer_decode(t, -1, &out, &err), STATUS_FORMAT);
    buffer_release(&out);
    tokenizer_free(t);
}
END_TEST

START_TEST(characters)
{
    struct tokenizer *t = chars(true), *without = chars(false);
    ck_assert_str_eq(tokenizer_kind(t), "char");
    ck_assert_uint_eq(tokenizer_vocab_size(t), NUM_CHARS + 1);
    ck_assert_int_eq(tokenizer_end_of_text(t), NUM_CHARS);
    ck_assert_uint_eq(tokenizer_vocab_size(without), NUM_CHARS);
    ck_assert_int_eq(tokenizer_end_of_text(without), -1);
    static const char text[] = "ab z\n\"\\é€😀\x7f";
    expect_round_trip(t, text, sizeof text - 1, 11);
    expect_round_trip(without, text, sizeof text - 1, 11);
    struct buffer ids = {0};
    ck_assert_int_eq(tokenizer_encode(t, "a", 1, &ids, &err), STATUS_OK);
    ck_assert_int_eq(tokenizer_encode(t, "a€x", 5, &ids, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "byte 4 of the text: the character \"x\" (U+0078)");
    ck_assert_uint_eq(ids.len, sizeof(int32_t)); /* the failed call added nothing */
    ck_assert_int_eq(tokenizer_encode(t, "aü", 3, &ids, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "byte 1 of the text: the character \"ü\" (U+00FC)");
    ck_assert_int_eq(tokenizer_encode(t, "a\t", 2, &ids, &err), STATUS_FORMAT);
    ck_assert_int_eq(tokenizer_encode(t, "ab\xE2\x82", 4, &ids, &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "byte 2 of the text, 0xE2, is not UTF-8");
    buffer_release(&ids);
    tokenizer_free(t);
    tokenizer_free(without);
}
END_TEST

START_TEST(characters_refused)
{
    static const uint32_t unsorted[] = {'b', 'a'}, twice[] = {'a', 'a'}, surrogate[] = {0xD800}, high[] = {0x110000},
                          zero[] = {0, 'a'};
    ck_assert_ptr_null(tokenizer_new_chars(unsorted, 2, false, &err));
    expect_error(&err, STATUS_MISUSE, "U+0061");
    ck_assert_ptr_null(tokenizer_new_chars(twice, 2, false, &err));
    ck_assert_ptr_null(tokenizer_new_chars(surrogate, 1, false, &err));
    ck_assert_ptr_null(tokenizer_new_chars(high, 1, false, &err));
    ck_assert_ptr_null(tokenizer_new_chars(zero, 0, false, &err));
    ck_assert_ptr_null(tokenizer_new_chars(zero, 2, false, &err));
    expect_error(&err, STATUS_FORMAT, "U+0000");
}
END_TEST

START_TEST(own_files_come_back)
{
    struct tokenizer *all[] = {tokenizer_new_bytes(&err), chars(true), chars(false)};
    for (int i = 0; i < 3; i++) {
        struct buffer text = {0}, again = {0};
        ck_assert_int_eq(tokenizer_json(all[i], &text, &err), STATUS_OK);
        ck_assert_uint_eq(tokenizer_crc32(all[i]), crc32(0, (unsigned char *)text.data, (unsigned)text.len));
        const char *path = scratch_file("tokenizer.json", text.data, text.len);
        struct tokenizer *loaded = tokenizer_load(i ? path : scratch, &err); /* the file, or its directory */
        ck_assert_msg(loaded != NULL, "%s", err.text);
        ck_assert_int_eq(tokenizer_json(loaded, &again, &err), STATUS_OK);
        ck_assert_str_eq(again.data, text.data);
        ck_assert_str_eq(tokenizer_kind(loaded), tokenizer_kind(all[i]));
        ck_assert_int_eq(tokenizer_end_of_text(loaded), tokenizer_end_of_text(all[i]));
        expect_round_trip(loaded, "ab z", 4, 4);
        tokenizer_free(loaded);
        tokenizer_free(all[i]);
        buffer_release(&text);
        buffer_release(&again);
    }
}
END_TEST

START_TEST(config)
{
    struct tokenizer *t = chars(false);
    struct buffer text = {0};
    ck_assert_int_eq(tokenizer_config_json(t, 64, &text, &err), STATUS_OK);
    ck_assert_str_eq(text.data, "{\n  \"clean_up_tokenization_spaces\": false,\n  \"model_max_length\": 64,\n"
                                "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n");
    tokenizer_free(t);
    t = tokenizer_new_bytes(&err);
    buffer_clear(&text);
    ck_assert_int_eq(tokenizer_config_json(t, 64, &text, &err), STATUS_OK);
    ck_assert_ptr_nonnull(strstr(text.data, "\"eos_token\": \"<|endoftext|>\""));
    tokenizer_free(t);
    buffer_release(&text);
}
END_TEST

static const struct {
    bool bytes;         /* which of our files is changed */
    const char *change; /* merged over it, level by level */
    enum status status;
    const char *words;
} BAD[] = {
    /* clang-format off: one row, one brace */
    {true, "{\"model\":{\"type\":\"WordPiece\"}}", STATUS_CONFIG, "its model is WordPiece"},
    {true, "{\"model\":{\"merges\":null}}", STATUS_FORMAT, "merges"},
    {true, "{\"model\":{\"merges\":[\"a b\"]}}", STATUS_FORMAT, "merge 0 makes \"ab\", which is no token"},
    {true, "{\"model\":{\"merges\":[[\"a\",\"zz\"]]}}", STATUS_FORMAT, "the part \"zz\""},
    {true, "{\"model\":{\"merges\":[\"a b c\"]}}", STATUS_FORMAT, "merge 0 is neither"},
    {true, "{\"model\":{\"merges\":[[\"a\"]]}}", STATUS_FORMAT, "merge 0 is neither"},
    {true, "{\"model\":{\"merges\":[[\"a\",\"\"]],\"vocab\":{\"\":256}}}", STATUS_FORMAT, "merge 0 has an empty part"},
    {true, "{\"model\":{\"merges\":[[\"\",\"\"]],\"vocab\":{\"\":256}}}", STATUS_FORMAT, "merge 0 has an empty part"},
    {true, "{\"model\":{\"merges\":[5]}}", STATUS_FORMAT, "merge 0 is neither"},
    {true, "{\"model\":{\"vocab\":{\"Ā\":255}}}", STATUS_FORMAT, "two tokens have the id 255"},
    {true, "{\"model\":{\"vocab\":{\"Ā\":-1}}}", STATUS_FORMAT, "should be an integer in 0 … 1537"},
    {true, "{\"model\":{\"vocab\":{\"Ā\":2147483648}}}", STATUS_FORMAT, "should be an integer"},
    {true, "{\"model\":{\"vocab\":{\"Ā\":\"0\"}}}", STATUS_FORMAT, "should be an integer"},
    {true, "{\"model\":{\"vocab\":null}}", STATUS_FORMAT, "no object \"vocab\""},
    {true, "{\"model\":null}", STATUS_FORMAT, "no \"model\""},
    {true, "{\"model\":{\"dropout\":0.1}}", STATUS_CONFIG, "dropout of 0.1"},
    {true, "{\"model\":{\"byte_fallback\":true}}", STATUS_CONFIG, "byte_fallback"},
    {true, "{\"model\":{\"unk_token\":\"<unk>\"}}", STATUS_FORMAT, "unk_token \"<unk>\" is no token"},
    {true, "{\"model\":{\"end_of_word_suffix\":\"</w>\"}}", STATUS_CONFIG, "end_of_word_suffix"},
    {true, "{\"model\":{\"continuing_subword_prefix\":\"##\"}}", STATUS_CONFIG, "continuing_subword_prefix"},
    {true, "{\"normalizer\":{\"type\":\"Lowercase\"}}", STATUS_CONFIG, "its normalizer is Lowercase"},
    {true, "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"NFKC\"}]}}",
     STATUS_CONFIG, "its normalizer is NFKC"},
    {true, "{\"normalizer\":{\"type\":\"Sequence\"}}", STATUS_FORMAT, "without a list \"normalizers\""},
    {true, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a+\"},\"content\":\"b\"}}", STATUS_CONFIG,
     "Replace with the regex \"a+\""},
    {true, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"b\"}}", STATUS_CONFIG,
     "Replace with the text \"\""},
    {true, "{\"normalizer\":3}", STATUS_CONFIG, "its normalizer is something unknown"},
    {true,
     "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},"
     "{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"},{\"type\":\"NFC\"}"
     "]}}",
     STATUS_CONFIG, "more than 8 steps"},
    {true, "{\"post_processor\":{\"type\":\"BertProcessing\"}}", STATUS_CONFIG, "its post_processor is BertProcessing"},
    {true, "{\"post_processor\":{\"type\":\"TemplateProcessing\"}}", STATUS_FORMAT, "no place for the text"},
    {true,
     "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{"
     "\"Sequence\":{\"id\":\"A\"}}]}}",
     STATUS_FORMAT, "no ids for \"<s>\""},
    {true,
     "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},{\"Sequence\":{"
     "\"id\":\"A\"}}]}}",
     STATUS_CONFIG, "than one text A"},
    {true,
     "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{"
     "\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[999]}}}}",
     STATUS_FORMAT, "the token 999"},
    {true, "{\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}", STATUS_CONFIG,
     "its pre_tokenizer is BertPreTokenizer"},
    {true, "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}}", STATUS_FORMAT,
     "\"ab\", which is not one character"},
    {true, "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}}",
     STATUS_FORMAT, "always, first or never"},
    {true,
     "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false,\"prepend_scheme\":"
     "\"always\"}}",
     STATUS_FORMAT, "contradicts itself"},
    {true, "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\w+\"},\"behavior\":\"Isolated\"}}",
     STATUS_CONFIG, "Split by the regex \"\\w+\""},
    {true, "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}}",
     STATUS_CONFIG, "Split by the text \" \""},
    {true,
     "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}}",
     STATUS_CONFIG, "follows ByteLevel"},
    {true, "{\"pre_tokenizer\":null}", STATUS_CONFIG, "ByteLevel without a pre_tokenizer"},
    {true, "{\"decoder\":{\"type\":\"WordPiece\"}}", STATUS_CONFIG, "its decoder is WordPiece"},
    {true, "{\"decoder\":{\"type\":\"Fuse\"}}", STATUS_CONFIG, "though its pre_tokenizer is ByteLevel"},
    {false, "{\"decoder\":null}", STATUS_CONFIG, "its decoder is null"},
    {false,
     "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
     "\",\"start\":1,\"stop\":1}]}}",
     STATUS_CONFIG, "Strip of something else"},
    {false,
     "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Strip\",\"content\":\" "
     "\",\"start\":1,\"stop\":0},{\"type\":\"Fuse\"}]}}",
     STATUS_CONFIG, "its decoder is Strip"},
    {false, "{\"decoder\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\"-\"}}", STATUS_CONFIG,
     "Replace of something else"},
    {true, "{\"added_tokens\":[{\"content\":\"<|endoftext|>\",\"id\":0}]}", STATUS_CONFIG,
     "has the id 0, where 256 should be"},
    {true, "{\"added_tokens\":[{\"content\":\"a\",\"id\":3}]}", STATUS_FORMAT, "the vocabulary has it"},
    {true, "{\"added_tokens\":[{\"content\":\"<|endoftext|>\"}]}", STATUS_FORMAT, "\"id\" is missing"},
    {true, "{\"added_tokens\":[{\"content\":\"\",\"id\":256}]}", STATUS_FORMAT, "has no text"},
    {true, "{\"added_tokens\":[{\"content\":\"x y\",\"id\":256},{\"content\":\"x y\",\"id\":257}]}", STATUS_FORMAT,
     "twice"},
    {true, "{\"added_tokens\":[5]}", STATUS_FORMAT, "object"},
    {true, "{\"added_tokens\":{}}", STATUS_FORMAT, "should be a list"},
    /* clang-format on */
};

START_TEST(refused)
{
    struct tokenizer *t = BAD[_i].bytes ? tokenizer_new_bytes(&err) : chars(false);
    struct buffer text = {0};
    ck_assert_int_eq(tokenizer_json(t, &text, &err), STATUS_OK);
    tokenizer_free(t);
    json_t *file = json_loads(text.data, 0, NULL), *change = json_loads(BAD[_i].change, 0, NULL);
    ck_assert(file && change);
    ck_assert_int_eq(json_object_update_recursive(file, change), 0);
    buffer_clear(&text);
    ck_assert_int_eq(json_write(file, false, &text, &err), STATUS_OK);
    const char *path = scratch_text("changed.json", text.data);
    ck_assert_ptr_null(tokenizer_load(path, &err));
    expect_error(&err, BAD[_i].status, BAD[_i].words);
    expect_error(&err, BAD[_i].status, path);
    json_decref(file);
    json_decref(change);
    buffer_release(&text);
}
END_TEST

START_TEST(not_a_tokenizer)
{
    ck_assert_ptr_null(tokenizer_load(scratch, &err));
    expect_error(&err, STATUS_IO, "tokenizer.json: No such file");
    const char *fifo = scratch_path("fifo"), *link = scratch_path("link");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    ck_assert_int_eq(symlink("link", link), 0);
    ck_assert_ptr_null(tokenizer_load(fifo, &err));
    expect_error(&err, STATUS_IO, "is a pipe");
    ck_assert_ptr_null(tokenizer_load(link, &err));
    expect_error(&err, STATUS_IO, link);
    ck_assert_ptr_null(tokenizer_load(scratch_text("a", "[]"), &err));
    expect_error(&err, STATUS_FORMAT, "object");
    ck_assert_ptr_null(tokenizer_load(scratch_text("a", "{\"model\":"), &err));
    expect_error(&err, STATUS_FORMAT, "not valid JSON");
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("tokenizer");
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, bytes);
    tcase_add_test(cases, characters);
    tcase_add_test(cases, characters_refused);
    tcase_add_test(cases, own_files_come_back);
    tcase_add_test(cases, config);
    tcase_add_loop_test(cases, refused, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(cases, not_a_tokenizer);
    return run_suite("tokenizer", cases);
}
