/* SPDX-License-Identifier: MIT
 * app/tokenizer_encode.c - `cllm tokenizer encode`: a corpus to shards, in a way that can be killed and taken up again.
 *
 * The directory has the tokenizer, the shards (tokens.bin, tokens_00001.bin …), for each an index of where documents
 * begin (tokens.idx …), and tokens.json, which is rewritten whenever a shard is whole: what it does not count is not
 * there.  Going on reads the corpus again up to that place without encoding it; the cuts are the same, so the shards
 * are those of a run that was never stopped.  docs/tokenizers.md has the format.
 */
#include "app/command.h"
#include "app/dataset.h"
#include "app/options.h"
#include "app/status_line.h"
#include "app/token_source.h"
#include "app/tokenizer_commands.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/human.h"
#include "formats/json.h"
#include "runtime/sphere.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "tokenizer encode",
    .synopsis = "cllm tokenizer encode --tokenizer PATH --data PATH --out DIR [options]\n"
                "       cllm tokenizer encode --tokenizer PATH --text TEXT [--as-reference]",
    .summary = "Turns text into token shards that `cllm train --data DIR` takes, with all cores; the shards do not "
               "depend on how "
               "many. Killed and started again it goes on behind the last whole shard. With --text it prints the ids "
               "of one text.",
    .examples = "  cllm tokenizer encode --tokenizer tokenizer.json --data texts --out shards\n"
                "  cllm tokenizer encode --tokenizer tokenizer.json --text \"Hello world\"\n",
};

static const char MANIFEST[] = "tokens.json";

struct work {
    const char *data, *out;
    const struct tokenizer *tokenizer;
    uint64_t shard_tokens;
    /* what the manifest tells */
    uint64_t shards, jobs, skip, tokens, documents, data_bytes;
    bool complete;
    /* the shard in hand */
    struct token_writer *writer;
    uint64_t in_shard;
    struct buffer starts; /* uint64_t: of documents that begin in it, in the stream */
    struct buffer path, index;
};

static enum status write_manifest(const struct work *w, struct error *err)
{
    struct buffer path = {0}, text = {0};
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "data", w->data, "data_bytes",
                  (json_int_t)w->data_bytes, "tokenizer_crc32", (json_int_t)tokenizer_crc32(w->tokenizer), "vocab_size",
                  (json_int_t)tokenizer_vocab_size(w->tokenizer), "shard_tokens", (json_int_t)w->shard_tokens, "shards",
                  (json_int_t)w->shards, "jobs", (json_int_t)w->jobs, "skip", (json_int_t)w->skip, "tokens",
                  (json_int_t)w->tokens, "documents", (json_int_t)w->documents, "complete", (int)w->complete);
    enum status status = json_write(object, true, &text, err);
    path_join(&path, w->out, MANIFEST);
    if (status == STATUS_OK && path.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for a path");
    if (status == STATUS_OK)
        status = file_replace(path.data, text.data, text.len, err);
    json_decref(object);
    buffer_release(&text);
    buffer_release(&path);
    return status;
}

/* What an earlier start left; what it was begun with must be what it is now. */
static enum status read_manifest(struct work *w, const char *path, struct error *err)
{
    json_t *object = json_read_file(path, 1 << 16, err);
    if (!object)
        return err->status;
    const char *data = "";
    uint64_t crc = 0, shard_tokens = 0, bytes = 0;
    struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {{"tokenizer_crc32", &crc}, {"shard_tokens", &shard_tokens},
                   {"data_bytes", &bytes},    {"shards", &w->shards},
                   {"jobs", &w->jobs},        {"skip", &w->skip},
                   {"tokens", &w->tokens},    {"documents", &w->documents}};
    enum status status = json_get_text(object, "data", true, &data, path, err);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == STATUS_OK; i++)
        status = json_get_u64(object, numbers[i].name, true, INT64_MAX, numbers[i].value, path, err);
    if (status == STATUS_OK)
        status = json_get_bool(object, "complete", true, &w->complete, path, err);
    if (status == STATUS_OK && w->complete)
        status =
            error_set(err, STATUS_CONFIG, "%s is complete already: %" PRIu64 " tokens; another --out, or remove it",
                      w->out, w->tokens);
    else if (status == STATUS_OK && crc != tokenizer_crc32(w->tokenizer))
        status = error_set(err, STATUS_CONFIG, "%s was begun with another tokenizer", w->out);
    else if (status == STATUS_OK && (strcmp(data, w->data) != 0 || bytes != w->data_bytes))
        status =
            error_set(err, STATUS_CONFIG, "%s was begun with other data: %s of %" PRIu64 " bytes, now %s of %" PRIu64,
                      w->out, data, bytes, w->data, w->data_bytes);
    else if (status == STATUS_OK && shard_tokens != w->shard_tokens)
        status = error_set(err, STATUS_CONFIG, "%s was begun with --shard-tokens %" PRIu64, w->out, shard_tokens);
    json_decref(object);
    return status;
}

static enum status write_text(const struct work *w, const char *name, const struct buffer *text, struct error *err)
{
    struct buffer path = {0};
    path_join(&path, w->out, name);
    const enum status status = path.failed ? error_set(err, STATUS_NOMEM, "no memory for a path")
                                           : file_replace(path.data, text->data, text->len, err);
    buffer_release(&path);
    return status;
}

/* Makes the directory, or finds where an earlier start came to. */
static enum status begin(struct work *w, struct error *err)
{
    struct buffer path = {0}, json = {0}, config = {0};
    enum status status = STATUS_OK;
    path_join(&path, w->out, MANIFEST);
    if (path.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for a path");
    else if (file_exists(path.data))
        status = read_manifest(w, path.data, err);
    else if (file_exists(w->out))
        status = error_set(err, STATUS_CONFIG, "--out %s exists, and is no encoding begun earlier (it has no %s)",
                           w->out, MANIFEST);
    else {
        status = file_make_directory(w->out, err);
        if (status == STATUS_OK)
            status = tokenizer_json(w->tokenizer, &json, err);
        if (status == STATUS_OK)
            status = tokenizer_config_json(w->tokenizer, INT32_MAX, &config, err);
        if (status == STATUS_OK)
            status = write_text(w, "tokenizer.json", &json, err);
        if (status == STATUS_OK)
            status = write_text(w, "tokenizer_config.json", &config, err);
        if (status == STATUS_OK)
            status = write_manifest(w, err);
    }
    buffer_release(&json);
    buffer_release(&config);
    buffer_release(&path);
    return status;
}

static enum status open_shard(struct work *w, struct error *err)
{
    dataset_shard_path(&w->path, w->out, (unsigned)w->shards, ".bin");
    dataset_shard_path(&w->index, w->out, (unsigned)w->shards, ".idx");
    buffer_clear(&w->starts);
    w->in_shard = 0;
    if (w->path.failed || w->index.failed)
        return error_set(err, STATUS_NOMEM, "no memory for a path");
    w->writer = token_writer_open(w->path.data, tokenizer_vocab_size(w->tokenizer) > 65536 ? 4 : 2, err);
    return w->writer ? STATUS_OK : err->status;
}

static enum status close_shard(struct work *w, uint64_t job, uint64_t skip, struct error *err)
{
    struct token_writer *writer = w->writer;
    w->writer = NULL;
    enum status status = token_writer_commit(writer, err);
    if (status == STATUS_OK)
        status = file_replace(w->index.data, w->starts.data ? w->starts.data : "", w->starts.len, err);
    w->shards++;
    w->jobs = job;
    w->skip = skip;
    return status == STATUS_OK ? write_manifest(w, err) : status;
}

/* Notes the documents that begin at ids[from … to). */
static void note_starts(struct work *w, const struct token_chunk *chunk, size_t *next, size_t to, size_t from)
{
    for (; *next < chunk->num_starts && chunk->starts[*next] < to; ++*next) {
        if (chunk->starts[*next] < from)
            continue;
        const uint64_t at = w->tokens + (chunk->starts[*next] - from);
        buffer_append(&w->starts, &at, sizeof at);
        w->documents++;
    }
}

static enum status take(struct work *w, const struct token_chunk *chunk, struct error *err)
{
    size_t at = chunk->number == w->jobs ? (size_t)w->skip : 0, next = 0;
    enum status status = STATUS_OK;
    if (at > chunk->n)
        return error_set(err, STATUS_CONFIG, "%s: what it says of the data is not so; remove it and begin anew",
                         w->out);
    while (at < chunk->n && status == STATUS_OK) {
        if (w->in_shard == w->shard_tokens) {
            status = close_shard(w, chunk->number, at, err);
            if (status == STATUS_OK)
                status = open_shard(w, err);
            continue;
        }
        const uint64_t room = w->shard_tokens - w->in_shard;
        const size_t n = chunk->n - at < room ? chunk->n - at : (size_t)room;
        note_starts(w, chunk, &next, at + n, at);
        status = token_writer_append(w->writer, chunk->ids + at, n, err);
        at += n;
        w->in_shard += n;
        w->tokens += n;
    }
    note_starts(w, chunk, &next, chunk->n + 1, chunk->n); /* documents without a token at the end */
    if (status == STATUS_OK && w->starts.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the index of documents");
    return status;
}

static enum status encode_corpus(struct work *w, int threads, struct status_line *line, struct error *err)
{
    struct pool *pool = NULL;
    struct token_source *source = NULL;
    uint64_t drawn = 0;
    enum status status = token_pool(threads, &pool, err);
    if (status == STATUS_OK && !(source = token_source_open(w->data, w->tokenizer, pool, NULL, err)))
        status = err->status;
    if (status == STATUS_OK) {
        w->data_bytes = token_source_bytes_total(source);
        status = begin(w, err);
    }
    if (status == STATUS_OK)
        status = open_shard(w, err);
    const uint64_t from = w->jobs;
    while (status == STATUS_OK) {
        struct token_chunk chunk;
        bool more = false;
        status = token_source_next(source, from, &chunk, &more, err);
        if (status != STATUS_OK || !more)
            break;
        if (chunk.number >= from)
            status = take(w, &chunk, err);
        if (clock_now_ns() - drawn > 100000000u) {
            struct human a, b;
            char text[160];
            drawn = clock_now_ns();
            snprintf(text, sizeof text, "encoding: %s of %s, %" PRIu64 " tokens",
                     human_bytes(&a, token_source_bytes_read(source)), human_bytes(&b, w->data_bytes), w->tokens);
            status_line_draw(line, text);
        }
    }
    status_line_clear(line);
    w->complete = true;
    if (status == STATUS_OK)
        status = close_shard(w, 0, 0, err);
    token_writer_abort(w->writer);
    token_source_close(source);
    pool_free(pool);
    buffer_release(&w->starts);
    buffer_release(&w->path);
    buffer_release(&w->index);
    return status;
}

static enum status print_ids(const struct tokenizer *tokenizer, const char *text, bool as_reference, struct error *err)
{
    struct buffer ids = {0};
    const enum status status =
        tokenizer_encode_with(tokenizer, as_reference ? TOKENIZER_AS_REFERENCE : 0, text, strlen(text), &ids, err);
    for (size_t i = 0; i < ids.len / sizeof(int32_t) && status == STATUS_OK; i++)
        printf(i ? " %d" : "%d", (int)((const int32_t *)(const void *)ids.data)[i]);
    if (status == STATUS_OK)
        putchar('\n');
    buffer_release(&ids);
    return status;
}

int tokenizer_command_encode(int argc, char **argv)
{
    const char *path = NULL, *text = NULL;
    struct work w = {.shard_tokens = 100000000};
    int threads = 0;
    bool quiet = false, as_reference = false;
    struct option_def options[] = {
        OPT_TEXT("tokenizer", "PATH", &path, "a tokenizer.json, or a directory with one"),
        OPT_TEXT("data", "PATH", &w.data, "a text file, .gz, .jsonl, or a directory of those"),
        OPT_TEXT("out", "DIR", &w.out, "the directory of shards; made, or gone on with"),
        OPT_U64("shard-tokens", &w.shard_tokens, 1, INT32_MAX, "tokens of a shard, the last excepted (100000000)"),
        OPT_INT("threads", &threads, 0, SPHERES_MAX, "threads; 0 = as many as there are cores to use (0)"),
        OPT_TEXT("text", "TEXT", &text, "print the ids of this text instead"),
        OPT_FLAG("as-reference", &as_reference,
                 "with --text: find special tokens in it and put those of the post-processor around"),
        OPT_FLAG("quiet", &quiet, "say nothing but errors"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (!path || (text ? w.data || w.out : !w.data || !w.out)) {
        command_say(usage.command, "--tokenizer is needed, and either --data and --out, or --text");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct status_line line;
    status_line_init(&line, quiet);
    struct tokenizer *tokenizer = tokenizer_load(path, &err);
    enum status status = tokenizer ? STATUS_OK : err.status;
    w.tokenizer = tokenizer;
    const uint64_t start = clock_now_ns();
    if (status == STATUS_OK && text)
        status = print_ids(tokenizer, text, as_reference, &err);
    else if (status == STATUS_OK) {
        status = encode_corpus(&w, threads, &line, &err);
        if (status == STATUS_OK && !quiet)
            printf("%s: %" PRIu64 " tokens of %" PRIu64 " documents in %" PRIu64 " shards, in %.2f s\n", w.out,
                   w.tokens, w.documents, w.shards, 1e-9 * (double)(clock_now_ns() - start));
    }
    tokenizer_free(tokenizer);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(usage.command, &err);
}
