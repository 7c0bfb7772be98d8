/* SPDX-License-Identifier: MIT
 * test_parsers.c - hostile bytes for every parser of foreign files, in two ways of building:
 *
 *     cc    test_parsers.c            a test: for each parser some good files, all their truncations and many changes
 *                                     to them; with arguments NAME FILE…, those files (a replay of what a fuzzer found)
 *     clang -fsanitize=fuzzer -DFUZZ=NAME test_parsers.c      libFuzzer's entry for one parser
 *
 * NAME is one of the functions of PARSERS.  What is tested is that nothing crashes, that nothing is read outside its
 * bounds (under sanitizers), and that every refusal has a sentence.
 */
#include "base/file.h"
#include "base/rng.h"
#include "data/tokens.h"
#include "formats/corpus.h"
#include "formats/gguf.h"
#include "formats/model_config.h"
#include "formats/safetensors.h"
#include "model/model_files.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "train/metrics_log.h"
#include "train/run_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define PARSERS(X) X(safetensors) X(shards) X(gguf) X(llmc) X(config) X(tokenizer) X(encoder) X(chat) X(corpus) X(shard) X(metrics) X(events)

static char directory[64];

static void fail(const char *what)
{
    fprintf(stderr, "test_parsers: %s (files in %s)\n", what, directory);
    abort();
}

static const char *put(const char *name, const uint8_t *data, size_t size)
{
    static struct buffer path;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "%s/cllm-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(directory))
            fail("no directory for files");
    }
    path_join(&path, directory, name);
    FILE *f = fopen(path.data, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        fail("cannot write a file");
    return path.data;
}

/* A refusal says why, with the file's name. */
static void refused(const struct error *err)
{
    if (err->status == STATUS_OK || !strstr(err->text, directory))
        fail("refused without a sentence that names the file");
}

static uint64_t touched; /* so that reading cannot be left out */

static void touch(const void *bytes, size_t n)
{
    touched += crc32_z(0, bytes, n);
}

static void safetensors(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct safetensors *file = safetensors_open_whole(put("x", data, size), &err);
    if (!file) {
        refused(&err);
        return;
    }
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor_view *view = safetensors_at(file, i);
        touch(view->data, (size_t)view->size_bytes);
        if (safetensors_find(file, view->name) != view)
            fail("a tensor is not found by its name");
    }
    safetensors_metadata(file, "format");
    safetensors_close(file);
}

/* The index of shards, beside two of them. */
static void shards(const uint8_t *data, size_t size)
{
    static const float x[2] = {1, 2};
    static const struct tensor_view a = {"a", "F32", 1, {2}, x, 8}, b = {"b", "F32", 1, {1}, x, 4};
    struct error err = {0};
    static struct buffer path;
    put("model.safetensors.index.json", data, size);
    if (!file_exists(path_join(&path, directory, "2.safetensors")) &&
        (safetensors_write(path.data, &b, 1, NULL, NULL, &err) != STATUS_OK ||
         safetensors_write(path_join(&path, directory, "1.safetensors"), &a, 1, NULL, NULL, &err) != STATUS_OK))
        fail("cannot write a file");
    struct safetensors_set *set = safetensors_set_open(directory, &err);
    const struct safetensors *file;
    if (!set)
        refused(&err);
    else if (safetensors_set_find(set, "a", &file) && safetensors_set_files(set) < 1)
        fail("a tensor in no file");
    safetensors_set_close(set);
}

/* A model of any format, from its file to its tokenizer. */
static void read_as_model(const char *path)
{
    struct error err = {0};
    struct model_source source;
    struct model *model = model_read(path, &source, &err);
    if (!model)
        refused(&err);
    else
        touch(model_data(model), model_size(model) * sizeof(float));
    model_free(model);
    model_source_release(&source);
}

static void gguf(const uint8_t *data, size_t size)
{
    struct error err = {0};
    const char *path = put("x.gguf", data, size);
    struct gguf *file = gguf_open(path, &err);
    if (!file) {
        refused(&err);
        return;
    }
    for (size_t i = 0; i < gguf_num_keys(file); i++) {
        struct gguf_value value = *gguf_key_at(file, i);
        struct gguf_text text;
        int64_t whole;
        double real;
        const enum gguf_type type = value.type == GGUF_ARRAY ? value.item : value.type;
        touch(value.key.bytes, value.key.len);
        while (type == GGUF_STRING     ? gguf_next_text(&value, &text)
               : type == GGUF_F32 || type == GGUF_F64 ? gguf_next_float(&value, &real)
                                       : gguf_next_i64(&value, &whole))
            touched++;
    }
    for (size_t i = 0; i < gguf_count(file); i++) {
        const struct gguf_tensor *t = gguf_at(file, i);
        unsigned char bytes[64];
        const size_t n = t->size_bytes < sizeof bytes ? (size_t)t->size_bytes : sizeof bytes;
        if (gguf_find(file, t->name) != t || gguf_read(file, t, t->size_bytes - n, bytes, n, &err) != STATUS_OK)
            fail("a tensor is not found, or not all in the file");
        touch(bytes, n);
    }
    gguf_close(file);
    read_as_model(path);
}

static void llmc(const uint8_t *data, size_t size)
{
    read_as_model(put("x.bin", data, size));
}

static void config(const uint8_t *data, size_t size)
{
    struct error err = {0};
    static struct model_config parsed, again;
    struct buffer text = {0}, second = {0};
    if (model_config_read(put("config.json", data, size), &parsed, &err) != STATUS_OK) {
        refused(&err);
    } else {
        if (model_config_check(&parsed, &err) != STATUS_OK || model_config_json(&parsed, &text, &err) != STATUS_OK)
            fail("an accepted configuration is not one");
        if (model_config_read(put("again.json", (const uint8_t *)text.data, text.len), &again, &err) != STATUS_OK ||
            model_config_json(&again, &second, &err) != STATUS_OK || strcmp(text.data, second.data) != 0)
            fail("a configuration is another when it is written and read");
        if (generation_config_read(put("generation_config.json", data, size), &parsed, &err) != STATUS_OK)
            refused(&err);
        if (model_config_check(&parsed, &err) != STATUS_OK)
            fail("a generation configuration spoils the model's");
    }
    buffer_release(&text);
    buffer_release(&second);
}

/* Encodes, cut in two and as a whole, and decodes, at once and as a stream; tells whether the text came back. */
static bool encode_all_ways(const struct tokenizer *t, unsigned flags, const char *text, size_t len)
{
    struct error err = {0};
    struct buffer whole = {0}, parts = {0}, back = {0}, streamed = {0};
    struct text_stream stream = {0};
    bool came_back = false;
    if (tokenizer_encode_with(t, flags, text, len, &whole, &err) != STATUS_OK) {
        if (!err.text[0] || whole.len)
            fail("a text refused without a sentence, or with tokens");
        buffer_release(&whole);
        return false;
    }
    const size_t n = whole.len / sizeof(int32_t), cut = tokenizer_cut(t, flags, text, len);
    const int32_t *ids = (const int32_t *)(const void *)whole.data;
    if (cut > len || (cut && (tokenizer_encode_with(t, flags, text, cut, &parts, &err) != STATUS_OK ||
                              tokenizer_encode_with(t, flags | TOKENIZER_CONTINUES, text + cut, len - cut, &parts, &err) !=
                                  STATUS_OK ||
                              parts.len != whole.len || memcmp(parts.data, whole.data, whole.len) != 0)))
        fail("a text cut in two has other tokens than the whole");
    if (tokenizer_decode_text(t, ids, n, false, &back, &err) != STATUS_OK)
        fail("tokens of a text do not decode");
    for (size_t i = 0; i < n; i++)
        if (text_stream_push(&stream, t, ids[i], &streamed, &err) != STATUS_OK)
            fail("tokens of a text do not decode as a stream");
    if (streamed.len + stream.num_held != back.len || (streamed.len && memcmp(streamed.data, back.data, streamed.len) != 0))
        fail("a stream gives other text than decoding at once");
    if (back.len == len)
        came_back = len == 0 || memcmp(back.data, text, len) == 0;
    buffer_release(&whole);
    buffer_release(&parts);
    buffer_release(&back);
    buffer_release(&streamed);
    return came_back;
}

static void tokenizer(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct buffer text = {0};
    struct tokenizer *loaded = tokenizer_load(put("tokenizer.json", data, size), &err);
    if (!loaded)
        refused(&err);
    else {
        for (uint32_t id = 0; id < tokenizer_vocab_size(loaded); id++)
            if (tokenizer_decode(loaded, (int32_t)id, &text, &err) != STATUS_OK)
                fail("a token of the vocabulary does not decode");
        encode_all_ways(loaded, 0, text.data, text.len);
        encode_all_ways(loaded, TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL, text.data, text.len);
        encode_all_ways(loaded, TOKENIZER_PARSE_ADDED, (const char *)data, size);
    }
    tokenizer_free(loaded);
    buffer_release(&text);
}

/* A tokenizer_config.json with a chat template; the bytes are a message of the conversation too. */
static void chat(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct buffer text = {0}, ranges = {0};
    const char *path = put("tokenizer_config.json", data, size);
    struct chat_template *loaded = chat_template_load(directory, &err);
    unlink(path);
    const struct chat_message messages[] = {{CHAT_USER, (const char *)data, size},
                                            {CHAT_ASSISTANT, " a</think>\n", 11},
                                            {CHAT_USER, (const char *)data, size}};
    if (!loaded)
        refused(&err);
    else if (chat_template_render(loaded, messages, 3, &text, &ranges, &err) != STATUS_OK)
        refused(&err);
    const struct text_range *range = (const struct text_range *)(const void *)ranges.data;
    for (size_t i = 0, at = 0; i < ranges.len / sizeof *range; at = range[i++].end)
        if (range[i].begin < at || range[i].end <= range[i].begin || range[i].end > text.len)
            fail("what people wrote lies outside the conversation");
    chat_template_free(loaded);
    buffer_release(&ranges);
    buffer_release(&text);
}

/* Hostile text, for tokenizers of each kind. */
static void encoder(const uint8_t *data, size_t size)
{
    static const char *const kinds[] = {"gpt2", "llama3", "smollm", "qwen2", "gpt2-prefix", "llama2", "mistral3", "metaspace",
                                        "unfused"};
    enum { NUM = sizeof kinds / sizeof *kinds, EXACT = 3 };
    static struct tokenizer *loaded[NUM];
    struct error err = {0};
    char path[100];
    for (int i = 0; i < NUM; i++) {
        snprintf(path, sizeof path, "tests/fixtures/tokenizers/%s.json", kinds[i]);
        if (!loaded[i] && !(loaded[i] = tokenizer_load(path, &err)))
            fail(err.text);
        if (!encode_all_ways(loaded[i], 0, (const char *)data, size) && i < EXACT)
            fail("a text does not come back");
        encode_all_ways(loaded[i], TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL, (const char *)data, size);
    }
}

static void corpus(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"x.txt", "x.jsonl", "x.gz", "x.jsonl.gz"};
    for (int i = 0; i < 4; i++) {
        struct error err = {0};
        struct corpus *opened = corpus_open(put(names[i], data, size), &err);
        bool more = opened != NULL;
        while (more) {
            struct corpus_piece piece;
            if (corpus_next(opened, &piece, &more, &err) == STATUS_OK && more)
                touch(piece.text, piece.len);
        }
        if (!opened || err.status != STATUS_OK)
            refused(&err);
        corpus_close(opened);
    }
}

static void shard(const uint8_t *data, size_t size)
{
    struct error err = {0};
    const char *path = put("x.bin", data, size);
    struct tokens *tokens = tokens_open(&path, 1, &err);
    if (!tokens) {
        refused(&err);
        return;
    }
    touched += tokens_crc32(tokens);
    if (tokens_check_vocab(tokens, 1000, &err) != STATUS_OK)
        refused(&err);
    tokens_close(tokens);
}

/* A run's metrics: read whatever the bytes, with a sentence for each line that is left out. */
static void metrics(const uint8_t *data, size_t size)
{
    struct metrics_log log;
    struct error err = {0};
    if (metrics_log_read(put("x", data, size), &log, &err) != STATUS_OK) {
        refused(&err);
        return;
    }
    for (size_t i = 0; i < log.num_steps; i++)
        if (i && log.steps[i].step <= log.steps[i - 1].step)
            fail("steps that do not rise");
    for (size_t i = 0; i < log.num_events; i++)
        touch(log.events[i].name, strlen(log.events[i].name));
    if (log.num_damaged && !strstr(log.damage.data, directory))
        fail("a line left out without a sentence");
    metrics_log_release(&log);
}

/* The events of a run that reach its weights. */
static void events(const uint8_t *data, size_t size)
{
    struct run_events list;
    struct error err = {0};
    if (run_events_read(put("x", data, size), &list, &err) != STATUS_OK) {
        refused(&err);
        return;
    }
    for (size_t i = 0; i < list.n; i++)
        if (i && run_event_acts(&list.items[i]) < run_event_acts(&list.items[i - 1]))
            fail("events out of order");
    if (list.num_damaged && !strstr(list.damage, directory))
        fail("a damaged line without a sentence");
    run_events_release(&list);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)config, (void)safetensors, (void)shards, (void)gguf, (void)llmc, (void)tokenizer, (void)encoder, (void)chat, (void)corpus, (void)shard, (void)metrics, (void)events;
    FUZZ(data, size);
    return 0;
}

#else

static const struct parser {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
} parsers[] = {
#define X(name) {#name, name},
    PARSERS(X)
#undef X
};

/* Runs the bytes as they are, cut anywhere (of long ones, at some places), and changed a little in many ways. */
static void run_seed(const struct parser *parser, const void *bytes, size_t size)
{
    enum { CHANGES = 600, MAX_CUTS = 400 };
    static const uint8_t favourites[] = {0, 1, 0x7f, 0x80, 0xff, '0', '9', '-', '"', '{', '}', '[', ']', ',', '.', '\\'};
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        fail("no memory");
    parser->run(bytes, size);
    for (size_t n = 0; n < size; n += 1 + size / MAX_CUTS)
        parser->run(bytes, n);
    for (uint64_t i = 0; i < CHANGES && size; i++) {
        memcpy(copy, bytes, size);
        const struct rng_block r = philox4x32(rng_key(1, RNG_TEST, size, 0), 0, i);
        size_t n = size;
        const size_t at = r.word[0] % size, other = r.word[1] % size;
        switch (i % 4) {
        case 0:
            copy[at] ^= (uint8_t)(1u << r.word[2] % 8);
            break;
        case 1:
            copy[at] = favourites[r.word[2] % sizeof favourites];
            copy[other] = favourites[r.word[3] % sizeof favourites];
            break;
        case 2: /* a byte gone */
            memmove(copy + at, copy + at + 1, size - at - 1);
            n--;
            break;
        default: /* a piece twice */
            memmove(copy + at, bytes + other, size - (at > other ? at : other));
        }
        parser->run(copy, n);
    }
    free(copy);
}

static const struct parser *find_parser(const char *name)
{
    for (size_t i = 0; i < sizeof parsers / sizeof *parsers; i++)
        if (strcmp(parsers[i].name, name) == 0)
            return &parsers[i];
    fail("no parser of this name");
    return NULL;
}

static void seed(const char *name, const void *bytes, size_t size)
{
    run_seed(find_parser(name), bytes, size);
}

static void seed_file(const char *name, const char *path, bool as_it_is)
{
    struct buffer bytes = {0};
    struct error err;
    if (file_read(path, SIZE_MAX, &bytes, &err) != STATUS_OK)
        fail(err.text);
    if (as_it_is)
        find_parser(name)->run((const uint8_t *)bytes.data, bytes.len);
    else
        seed(name, bytes.data, bytes.len);
    buffer_release(&bytes);
}

/* Two small models as GGUF with a tokenizer each, and one as llm.c has it. */
static void model_seeds(const struct buffer *path)
{
    static const char pieces[] =
        "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"byte_fallback\":true,\"vocab\":{\"?\":0,\"<0x0A>\":1,\"a\":2,"
        "\"b\":3,\"ab\":4},\"merges\":[\"a b\"]},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
        "\"content\":\"\u2581\"}}";
    static const char bytes[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[[\"a\",\"b\"]]},"
        "\"added_tokens\":[{\"id\":3,\"content\":\"<e>\",\"special\":true}],\"pre_tokenizer\":{\"type\":"
        "\"ByteLevel\",\"add_prefix_space\":false}}";
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        struct model_config c = model_config_of(i ? MODEL_LLAMA : MODEL_GPT2);
        struct text_files texts = {0};
        struct buffer tokenizer = {0};
        c.vocab_size = 6;
        c.n_positions = c.n_embd = 4;
        c.n_layer = 1;
        c.n_head = 2;
        c.n_inner = 16;
        model_config_complete(&c);
        struct model *model = model_new(&c, &err);
        if (!model)
            fail(err.text);
        model_init_weights(model, 1, NULL);
        buffer_append_text(&tokenizer, i ? pieces : bytes);
        if (text_files_put(&texts, "tokenizer.json", &tokenizer, &err) != STATUS_OK ||
            model_write(model, path->data, MODEL_FORMAT_GGUF, TENSOR_F32, &texts, "x", &err) != STATUS_OK)
            fail(err.text);
        seed_file("gguf", path->data, false);
        if (i == 0 && model_write(model, path->data, MODEL_FORMAT_LLMC, TENSOR_BF16, &texts, "x", &err) != STATUS_OK)
            fail(err.text);
        if (i == 0)
            seed_file("llmc", path->data, false);
        text_files_release(&texts);
        model_free(model);
    }
}

static void all_seeds(void)
{
    struct error err = {0};
    struct buffer text = {0}, path = {0};
    put("seed", (const uint8_t *)"", 0); /* makes the directory */
    path_join(&path, directory, "seed");

    static const char log_lines[] = "{\"step\": 1, \"tokens\": 8, \"loss\": 2.5, \"lr\": 0.001, \"grad_norm\": null}\n"
                                "{\"step\": 1, \"val_loss\": 2.25, \"elapsed_s\": 1.0}\n"
                                "{\"step\": 1, \"event\": \"sample\", \"text\": \"a\\n\"}\n"
                                "{\"step\": 2, \"tokens\": 16, \"loss\": 2e1, \"lr\": 0.001, \"grad_norm\": 1.5}\n";
    seed("metrics", log_lines, sizeof log_lines - 1);
    static const char event_lines[] =
        "{\"step\": 1, \"event\": \"lr\", \"factor\": 0.5}\n{\"step\": 1, \"event\": \"sample\", \"text\": \"\\u0000\"}\n"
        "{\"step\": 2, \"event\": \"skip\", \"sample\": 40, \"samples\": 8}\n"
        "{\"step\": 2, \"event\": \"rollback\", \"from\": 9, \"sample\": 72}\n";
    seed("events", event_lines, sizeof event_lines - 1);

    const float x[7] = {1, 2, 3, 4, 5, 6, 7};
    const struct tensor_view views[] = {
        {"h.0.ln_1.weight", "F32", 2, {2, 3}, x, 24}, {"b", "F32", 0, {0}, x, 4}, {"e", "F32", 1, {0}, x, 0}};
    if (safetensors_write(path.data, views, 3, NULL, NULL, &err) != STATUS_OK)
        fail(err.text);
    seed_file("safetensors", path.data, false);

    static const char weight_map[] = "{\"metadata\": {\"total_size\": 12}, \"weight_map\": {\"a\": \"1.safetensors\", \"b\": "
                                 "\"2.safetensors\"}}";
    seed("shards", weight_map, sizeof weight_map - 1);
    model_seeds(&path);

    struct model_config c = model_config_of(MODEL_GPT2);
    c.vocab_size = 50257;
    c.n_positions = 1024;
    c.n_embd = 768;
    c.n_layer = c.n_head = 12;
    c.embd_pdrop = c.attn_pdrop = c.resid_pdrop = 0.1f;
    model_config_complete(&c);
    model_config_set_end_of_text(&c, 50256);
    model_config_json(&c, &text, &err);
    seed("config", text.data, text.len);
    for (enum model_family family = MODEL_LLAMA; family <= MODEL_SMOLLM3; family++) {
        struct model_config f = model_config_of(family);
        f.vocab_size = f.n_positions = f.n_embd = f.n_inner = 64;
        f.n_layer = f.n_head = 4;
        f.n_kv_head = 2;
        f.window = family == MODEL_LLAMA ? 0 : 9;
        for (size_t l = family == MODEL_MISTRAL ? 0 : 2; l < 4 && f.window; l++)
            f.layer_kind[l] = LAYER_WINDOW;
        f.rope = family % 2 ? ROPE_LLAMA3 : ROPE_DEFAULT;
        f.rope_factor = f.rope_high_freq_factor = 4;
        f.rope_low_freq_factor = 1;
        f.rope_original_positions = 32;
        model_config_complete(&f);
        model_config_set_end_of_text(&f, 2);
        f.eos_token_ids[f.num_eos++] = 3;
        buffer_clear(&text);
        if (model_config_check(&f, &err) != STATUS_OK || model_config_json(&f, &text, &err) != STATUS_OK)
            fail(err.text);
        seed("config", text.data, text.len);
    }

    static const uint32_t characters[] = {'\n', '"', 'a', 0xe9, 0x1f600};
    struct tokenizer *made[] = {tokenizer_new_chars(characters, 5, true, &err), tokenizer_new_bytes(&err)};
    for (int i = 0; i < 2; i++) {
        buffer_clear(&text);
        tokenizer_json(made[i], &text, &err);
        seed("tokenizer", text.data, text.len);
        tokenizer_free(made[i]);
    }

    static const char *const kinds[] = {"gpt2", "llama3", "llama2", "metaspace"};
    for (int i = 0; i < 4; i++) {
        char fixture[100];
        snprintf(fixture, sizeof fixture, "tests/fixtures/tokenizers/%s.json", kinds[i]);
        seed_file("tokenizer", fixture, false);
    }
    static const char hostile[] = "I'll DON'T x\xC5\xBFy  12345 \r\n\n \xE2\x96\x81" "a <|endoftext|> lone<tool> [MASK] \xE2\x82 e\xCC\x81 "
                                  "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD\xff\x80 \xE6\x97\xA5\xE6\x9C\xAC\t" "end";
    seed("encoder", hostile, sizeof hostile - 1);
    static const char *const templates[] = {
        "{\"chat_template\": \"<|im_start|>system\\nBe kind.<|im_end|> split('</think>')[-1].lstrip('\\\\n') "
        "<|im_start|>assistant\"}",
        "{\"bos_token\": {\"content\": \"<b>\"}, \"chat_template\": [{\"name\": \"default\", \"template\": \"{{ bos_token }}"
        "<|start_header_id|><|end_header_id|>message['content'] | trim<|eot_id|>\"}]}",
        "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"chat_template\": \"{{ bos_token }} loop.last and system_message "
        "' [INST] ' '[/INST]' ' ' + message['content']|trim + eos_token\"}",
    };
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        seed("chat", templates[i], strlen(templates[i]));

    static const char lines[] = "{\"text\": \"one\\u00e9 €\"}\n\n{\"id\": 1, \"text\": \"\"}\n{\"text\": \"3\"}";
    seed("corpus", lines, sizeof lines - 1);
    gzFile z = gzopen(path.data, "wb");
    gzwrite(z, lines, sizeof lines - 1);
    gzclose(z);
    z = gzopen(path.data, "ab"); /* a second member */
    gzwrite(z, "\n{\"text\":\"\"}", 12);
    gzclose(z);
    seed_file("corpus", path.data, false);

    static const int32_t ids[] = {0, 1, 999, 65535};
    for (int width = 2; width <= 4; width += 2) {
        struct token_writer *writer = token_writer_open(path.data, width, &err);
        if (!writer || token_writer_append(writer, ids, 4, &err) != STATUS_OK ||
            token_writer_commit(writer, &err) != STATUS_OK)
            fail(err.text);
        seed_file("shard", path.data, false);
    }
    buffer_release(&text);
    buffer_release(&path);
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        fprintf(stderr, "use: %s [PARSER FILE...]\n", argv[0]);
        return 2;
    }
    if (argc == 1)
        all_seeds();
    for (int i = 2; i < argc; i++)
        seed_file(argv[1], argv[i], true);
    struct error err;
    if (directory[0] && file_remove_tree(directory, &err) != STATUS_OK)
        fail(err.text);
    printf("parsers: done\n");
    return EXIT_SUCCESS;
}

#endif
