/* SPDX-License-Identifier: MIT
 * parsers.h - one function for each parser of foreign bytes, which takes bytes and lets the parser have them.
 *
 * A file is what most parsers read, so `put` makes one of the bytes, in memory where there is /dev/shm.  What is held: nothing
 * crashes, nothing is read outside its bounds (under sanitizers), every refusal has a sentence that names the file, and
 * what is accepted keeps the promises of its header.  A test and libFuzzer's entry share these: test_parsers.c.
 */
#ifndef FUZZ_PARSERS_H
#define FUZZ_PARSERS_H

#include "base/file.h"
#include "data/documents.h"
#include "data/tokens.h"
#include "formats/corpus.h"
#include "formats/gguf.h"
#include "formats/model_config.h"
#include "formats/safetensors.h"
#include "model/model_files.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "train/checkpoint_internal.h"
#include "train/control_protocol.h"
#include "train/metrics_log.h"
#include "train/run_events.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define PARSERS(X)                                                                                                     \
    X(safetensors)                                                                                                     \
    X(shards) X(gguf) X(llmc) X(config) X(tokenizer) X(encoder) X(chat) X(corpus) X(shard) X(documents) X(metrics) X(events) X(control) X(trainer)

static char directory[64];

static void fail(const char *what)
{
    fprintf(stderr, "test_parsers: %s (files in %s)\n", what, directory);
    abort();
}

/* A file of that name with these bytes.  Files stay open from call to call: fuzzing makes millions of them. */
static const char *put(const char *name, const uint8_t *data, size_t size)
{
    static struct file {
        char name[32];
        struct buffer path;
        int fd;
    } files[16];
    static size_t num_files;
    if (!directory[0]) {
        snprintf(directory, sizeof directory, "%s/cllm-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(directory))
            fail("no directory for files");
    }
    size_t i = 0;
    while (i < num_files && strcmp(files[i].name, name) != 0)
        i++;
    if (i == num_files) {
        if (i == sizeof files / sizeof *files || strlen(name) >= sizeof files->name)
            fail("too many files, or too long a name");
        num_files++;
        snprintf(files[i].name, sizeof files->name, "%s", name);
        files[i].fd = open(path_join(&files[i].path, directory, name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    if (pwrite(files[i].fd, data, size, 0) != (ssize_t)size || ftruncate(files[i].fd, (off_t)size) != 0)
        fail("cannot write a file");
    return files[i].path.data;
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
        while (type == GGUF_STRING                    ? gguf_next_text(&value, &text)
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
                              tokenizer_encode_with(t, flags | TOKENIZER_CONTINUES, text + cut, len - cut, &parts,
                                                    &err) != STATUS_OK ||
                              parts.len != whole.len || memcmp(parts.data, whole.data, whole.len) != 0)))
        fail("a text cut in two has other tokens than the whole");
    if (tokenizer_decode_text(t, ids, n, false, &back, &err) != STATUS_OK)
        fail("tokens of a text do not decode");
    for (size_t i = 0; i < n; i++)
        if (text_stream_push(&stream, t, ids[i], &streamed, &err) != STATUS_OK)
            fail("tokens of a text do not decode as a stream");
    if (streamed.len + stream.num_held != back.len ||
        (streamed.len && memcmp(streamed.data, back.data, streamed.len) != 0))
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
    struct tokenizer *loaded = tokenizer_from_text((const char *)data, size, "tokenizer.json", &err);
    if (!loaded) {
        if (err.status == STATUS_OK || !strstr(err.text, "tokenizer.json"))
            fail("a tokenizer refused without a sentence that names it");
    } else {
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
    put("tokenizer_config.json", data, size);
    struct chat_template *loaded = chat_template_load(directory, &err);
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

/* Hostile text, behind a byte that says which kind of tokenizer is to encode it. */
static const char *const encoder_kinds[] = {"gpt2",   "llama3",   "smollm",    "qwen2",   "gpt2-prefix",
                                            "llama2", "mistral3", "metaspace", "unfused", "qwen35"};
enum { NUM_ENCODERS = sizeof encoder_kinds / sizeof *encoder_kinds, NUM_EXACT = 3 /* give any bytes back */ };

static void encoder(const uint8_t *data, size_t size)
{
    static struct tokenizer *loaded[NUM_ENCODERS];
    struct error err = {0};
    char path[100];
    if (size == 0)
        return;
    const size_t kind = data[0] % NUM_ENCODERS;
    snprintf(path, sizeof path, "tests/fixtures/tokenizers/%s.json", encoder_kinds[kind]);
    if (!loaded[kind] && !(loaded[kind] = tokenizer_load(path, &err)))
        fail(err.text);
    if (!encode_all_ways(loaded[kind], 0, (const char *)data + 1, size - 1) && kind < NUM_EXACT)
        fail("a text does not come back");
    encode_all_ways(loaded[kind], TOKENIZER_PARSE_ADDED | TOKENIZER_PARSE_SPECIAL, (const char *)data + 1, size - 1);
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

/* An index of documents beside a shard of a hundred tokens. */
static void documents(const uint8_t *data, size_t size)
{
    enum { N = 100 };
    static int32_t ids[N];
    struct error err = {0};
    static struct buffer path;
    put("y.idx", data, size);
    if (!file_exists(path_join(&path, directory, "y.bin"))) {
        struct token_writer *writer = token_writer_open(path.data, 2, &err);
        if (!writer || token_writer_append(writer, ids, N, &err) != STATUS_OK ||
            token_writer_commit(writer, &err) != STATUS_OK)
            fail("cannot write a shard");
    }
    const char *shard_path = path.data;
    struct tokens *tokens = tokens_open(&shard_path, 1, &err);
    struct documents *opened = tokens ? documents_open(tokens, (struct document_marks){-1, -1}, &err) : NULL;
    if (!opened)
        refused(&err);
    for (size_t begin = 0; opened && begin < N; begin += 7) {
        bool begins[N];
        documents_begins(opened, begin, N - begin, ids + begin, begins);
        touch(begins, N - begin);
    }
    touched += opened ? documents_crc32(opened) : 0;
    documents_close(opened);
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

/* A checkpoint's trainer_state.json. */
static void trainer(const uint8_t *data, size_t size)
{
    static struct trainer_state state;
    struct error err = {0};
    put("trainer_state.json", data, size);
    if (checkpoint__read_trainer(directory, &state, &err) != STATUS_OK)
        refused(&err);
    else if (state.spikes.num_losses > SPIKE_WINDOW_MAX || state.spikes.num_left_out > SPIKE_LIMIT_MAX)
        fail("more history than there is room for");
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
        if (i && list.items[i].step < list.items[i - 1].step)
            fail("events out of order");
    if (list.num_damaged && !strstr(list.damage, directory))
        fail("a damaged line without a sentence");
    run_events_release(&list);
}

/* A request to a training: what is read of it is within its range, says the same when written and read again, and a
 * refusal makes an answer of one line. */
static void control(const uint8_t *data, size_t size)
{
    struct control_request request, again;
    struct error err = {0};
    struct buffer line = {0};
    if (control_request_parse((const char *)data, size, &request, &err) != STATUS_OK) {
        json_t *refusal = control_refusal(err.text);
        if (!err.text[0] || json_write(refusal, false, &line, NULL) != STATUS_OK || memchr(line.data, '\n', line.len))
            fail("a request refused without a sentence");
        json_decref(refusal);
        buffer_release(&line);
        return;
    }
    if (!(request.timeout_s >= 0 && request.timeout_s <= CONTROL_TIMEOUT_MAX_S) ||
        !(request.factor >= 0 && request.factor <= RUN_EVENT_MAX_FACTOR) || request.spheres < 0 || request.spheres > 1885)
        fail("a request out of its range");
    json_t *object = control_request_json(&request);
    if (json_write(object, false, &line, NULL) != STATUS_OK ||
        control_request_parse(line.data, line.len, &again, &err) != STATUS_OK)
        fail("a request that cannot be said again");
    if (again.command != request.command || memcmp(&again.factor, &request.factor, sizeof again.factor) != 0 ||
        again.spheres != request.spheres || !again.prompt != !request.prompt ||
        (again.prompt && strcmp(again.prompt, request.prompt) != 0))
        fail("a request that says something else the second time");
    json_decref(object);
    buffer_release(&line);
    control_request_release(&request);
    control_request_release(&again);
}

#endif
