/* SPDX-License-Identifier: MIT */
#include "app/dataset.h"

#include "app/token_source.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/corpus.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CODE_POINTS = 0x110000 };

/* A shard's header counts its tokens in an int32. */
static const uint64_t shard_max_tokens = INT32_MAX;

static bool ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

bool dataset_is_shards(const char *path)
{
    if (!file_is_directory(path))
        return ends_with(path, ".bin");
    DIR *directory = opendir(path);
    bool found = false;
    for (struct dirent *entry; directory && !found && (entry = readdir(directory));)
        found = ends_with(entry->d_name, ".bin");
    if (directory)
        closedir(directory);
    return found;
}

size_t dataset_decode_utf8(const char *text, size_t len, uint32_t *code_point)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (len == 0)
        return 0;
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xF0 && s[0] < 0xF8 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC0 ? 2 : 0;
    if (n == 0 || s[0] >= 0xF8 || n > len)
        return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    if (c < least[n] || c >= CODE_POINTS || (c >= 0xD800 && c < 0xE000))
        return 0;
    *code_point = c;
    return n;
}

static void tick(const struct dataset_job *job, const char *what, const struct corpus *corpus)
{
    if (job->tick)
        job->tick(job->ctx, what, corpus_bytes_read(corpus), corpus_bytes_total(corpus));
}

static struct corpus *open_corpus(const char *data, const struct dataset_job *job, struct error *err)
{
    struct corpus *corpus = corpus_open(data, err);
    if (corpus)
        corpus_stop_when(corpus, cancel_wanted, job->crew->cancel);
    return corpus;
}

/* Marks the characters of one piece; `offset` is where in the document's file the piece begins. */
static enum status mark_characters(const struct corpus_piece *piece, uint64_t offset, unsigned char *seen,
                                   struct error *err)
{
    for (size_t at = 0; at < piece->len;) {
        uint32_t c = 0;
        size_t n = dataset_decode_utf8(piece->text + at, piece->len - at, &c);
        if (n == 0)
            return error_set(err, STATUS_FORMAT,
                             "%s: byte %" PRIu64 " of the text is not UTF-8, which the tokenizer char needs; "
                             "--tokenizer byte takes any bytes",
                             piece->file, offset + at);
        seen[c] = 1;
        at += n;
    }
    return STATUS_OK;
}

static enum status scan_characters(const char *data, unsigned char *seen, uint64_t *documents,
                                   const struct dataset_job *job, struct error *err)
{
    struct corpus *corpus = open_corpus(data, job, err);
    if (!corpus)
        return err->status;
    uint64_t offset = 0;
    bool more = true;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        struct corpus_piece piece;
        status = corpus_next(corpus, &piece, &more, err);
        if (status != STATUS_OK || !more)
            break;
        tick(job, "reading characters", corpus);
        status = mark_characters(&piece, offset, seen, err);
        offset = piece.document_end ? 0 : offset + piece.len;
        *documents += piece.document_end;
    }
    corpus_close(corpus);
    return status;
}

static struct tokenizer *tokenizer_of_characters(const char *data, const struct dataset_job *job,
                                                 struct error *err)
{
    unsigned char *seen = mem_calloc(CODE_POINTS, 1);
    uint32_t *list = mem_calloc(CODE_POINTS, sizeof *list);
    struct tokenizer *tokenizer = NULL;
    uint64_t documents = 0;
    if (!seen || !list) {
        error_set(err, STATUS_NOMEM, "no memory for the list of characters");
    } else if (scan_characters(data, seen, &documents, job, err) == STATUS_OK) {
        size_t n = 0;
        for (uint32_t c = 0; c < CODE_POINTS; c++)
            if (seen[c])
                list[n++] = c;
        if (n == 0)
            error_set(err, STATUS_FORMAT, "%s: there is no text in it", data);
        else
            tokenizer = tokenizer_new_chars(list, n, documents > 1, err);
    }
    mem_free(list);
    mem_free(seen);
    return tokenizer;
}

struct tokenizer *dataset_tokenizer(const char *name, const char *data, const struct dataset_job *job,
                                    struct error *err)
{
    if (strcmp(name, "byte") == 0)
        return tokenizer_new_bytes(err);
    if (strcmp(name, "char") == 0)
        return tokenizer_of_characters(data, job, err);
    if (!file_exists(name)) {
        error_set(err, STATUS_IO, "--tokenizer %s: no such file; it is byte, char, or the path of a tokenizer.json",
                  name);
        return NULL;
    }
    return tokenizer_load(name, err);
}

void dataset_shard_path(struct buffer *path, const char *directory, unsigned number, const char *suffix)
{
    char name[48];
    /* '_' sorts after '.', so the directory's order is the stream's. */
    if (number == 0)
        snprintf(name, sizeof name, "tokens%s", suffix);
    else
        snprintf(name, sizeof name, "tokens_%05u%s", number, suffix);
    path_join(path, directory, name);
}

/* The shard being written, and what goes before it. */
struct shard_sink {
    const char *directory;
    int width_bytes;
    struct token_writer *writer;
    uint64_t in_shard, total; /* tokens of the shard, and of those before it too */
    unsigned number;
    struct buffer starts; /* uint64_t: documents that are in no index yet */
    struct buffer path;
};

static enum status sink_open(struct shard_sink *sink, struct error *err)
{
    dataset_shard_path(&sink->path, sink->directory, sink->number, ".bin");
    if (sink->path.failed)
        return error_set(err, STATUS_NOMEM, "no memory for a path");
    sink->writer = token_writer_open(sink->path.data, sink->width_bytes, err);
    sink->in_shard = 0;
    return sink->writer ? STATUS_OK : err->status;
}

/* Ends the shard; its index has the documents that begin before its end, the last one's all there are. */
static enum status sink_close(struct shard_sink *sink, bool last, struct error *err)
{
    struct token_writer *writer = sink->writer;
    const uint64_t *starts = (const uint64_t *)(const void *)sink->starts.data;
    const size_t all = sink->starts.len / sizeof *starts;
    size_t n = 0;
    sink->writer = NULL;
    enum status status = token_writer_commit(writer, err);
    while (n < all && (last || starts[n] < sink->total))
        n++;
    dataset_shard_path(&sink->path, sink->directory, sink->number++, ".idx");
    if (status == STATUS_OK && (sink->path.failed || sink->starts.failed))
        status = error_set(err, STATUS_NOMEM, "no memory for the index of documents");
    if (status == STATUS_OK)
        status = file_replace(sink->path.data, n ? sink->starts.data : "", n * sizeof *starts, err);
    if (n) {
        memmove(sink->starts.data, sink->starts.data + n * sizeof *starts, (all - n) * sizeof *starts);
        sink->starts.len = (all - n) * sizeof *starts;
    }
    return status;
}

static enum status sink_append(struct shard_sink *sink, const int32_t *ids, size_t n, struct error *err)
{
    while (n) {
        uint64_t room = shard_max_tokens - sink->in_shard;
        size_t now = n < room ? n : (size_t)room;
        enum status status = token_writer_append(sink->writer, ids, now, err);
        if (status != STATUS_OK)
            return status;
        ids += now;
        n -= now;
        sink->in_shard += now;
        sink->total += now;
        if (n) {
            status = sink_close(sink, false, err);
            if (status == STATUS_OK)
                status = sink_open(sink, err);
            if (status != STATUS_OK)
                return status;
        }
    }
    return STATUS_OK;
}

static enum status tokenize_into(struct shard_sink *sink, struct token_source *source, const struct dataset_job *job,
                                 uint64_t *documents, struct error *err)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        struct token_chunk chunk;
        bool more = false;
        status = token_source_next(source, 0, &chunk, &more, err);
        if (status != STATUS_OK || !more)
            break;
        *documents += chunk.num_starts;
        for (size_t i = 0; i < chunk.num_starts; i++) {
            const uint64_t at = sink->total + chunk.starts[i];
            buffer_append(&sink->starts, &at, sizeof at);
        }
        status = sink_append(sink, chunk.ids, chunk.n, err);
        if (job->tick)
            job->tick(job->ctx, "tokenizing", token_source_bytes_read(source), token_source_bytes_total(source));
    }
    return status;
}

enum status dataset_tokenize(const char *data, const struct tokenizer *tokenizer, const char *directory,
                             const struct dataset_job *job, uint64_t *num_documents, struct error *err)
{
    struct token_source *source = token_source_open(data, tokenizer, job->crew->pool, job->crew->cancel, err);
    if (!source)
        return err->status;
    struct shard_sink sink = {.directory = directory, .width_bytes = tokenizer_vocab_size(tokenizer) > 65536 ? 4 : 2};
    uint64_t documents = 0;
    enum status status = sink_open(&sink, err);
    if (status == STATUS_OK)
        status = tokenize_into(&sink, source, job, &documents, err);
    if (status == STATUS_OK)
        status = sink_close(&sink, true, err);
    if (status != STATUS_OK) {
        token_writer_abort(sink.writer);
        for (unsigned i = 0; i < 2 * sink.number; i++) {
            dataset_shard_path(&sink.path, directory, i / 2, i % 2 ? ".idx" : ".bin");
            if (!sink.path.failed)
                remove(sink.path.data);
        }
    }
    if (num_documents)
        *num_documents = documents;
    buffer_release(&sink.path);
    buffer_release(&sink.starts);
    token_source_close(source);
    return status;
}

struct document_marks dataset_marks(const struct tokenizer *tokenizer, const struct model_config *model)
{
    struct document_marks marks = {-1, -1};
    if (tokenizer) {
        marks.ends = tokenizer_end_of_text(tokenizer);
        marks.begins = tokenizer_begin_of_text(tokenizer);
    } else {
        marks.ends = model->num_eos ? model->eos_token_ids[0] : -1;
        marks.begins = model->bos_token_id;
    }
    if (marks.begins == marks.ends) /* GPT-2's stands between texts: then it ends the one before */
        marks.begins = -1;
    return marks;
}

struct tokens *dataset_open_tokenized(const char *directory, struct error *err)
{
    /* The directory as a whole would do, were it not that people put other things into a run. */
    struct buffer paths[64] = {{0}};
    const char *list[64];
    size_t n = 0;
    struct tokens *tokens = NULL;
    bool failed = false;
    while (n < 64) {
        dataset_shard_path(&paths[n], directory, (unsigned)n, ".bin");
        failed |= paths[n].failed;
        if (failed || (n > 0 && !file_exists(paths[n].data)))
            break;
        list[n] = paths[n].data;
        n++;
    }
    if (failed)
        error_set(err, STATUS_NOMEM, "no memory for a path");
    else
        tokens = tokens_open(list, n, err);
    for (size_t i = 0; i < 64; i++)
        buffer_release(&paths[i]);
    return tokens;
}
