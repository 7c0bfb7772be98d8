/* SPDX-License-Identifier: MIT */
#include "app/token_source.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "formats/corpus.h"
#include "runtime/parallel.h"
#include "topology/topology.h"

#include <string.h>

/* A job is done when it has so much text; a batch has at most so many jobs.  Part of no result but the numbers of jobs
 * that a resumed encoding goes by. */
enum { JOB_BYTES = 512 * 1024, BATCH_JOBS = 64, JOBS_PER_WORKER = 4 };

static const unsigned PARSE = TOKENIZER_PARSE_ADDED;

/* Text of one document, or of a part of it. */
struct segment {
    size_t at, len; /* in the job's text */
    const char *file;
    bool begins, parted; /* the document begins here; the token that parts documents goes before it */
};

struct job {
    struct buffer text, segments, ids, starts;
    uint64_t number, invalid_bytes;
    enum status status;
    struct error err;
};

struct token_source {
    struct corpus *corpus;
    const struct tokenizer *tokenizer;
    struct pool *pool;
    const struct cancel *cancel;
    struct job jobs[BATCH_JOBS];
    size_t batch, num_jobs, at; /* most of a batch; those read; the next to give out */
    uint64_t next_number;
    struct buffer rest; /* text of the present document behind the last cut */
    bool within;        /* the present document was cut before */
    bool any_document, ended, count_invalid;
    uint64_t from;
};

enum status token_pool(int threads, struct pool **pool, struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    const int automatic = topology_auto_spheres(&topology);
    struct pool_options options = pool_options_default();
    options.num_threads = threads == 0 || threads > automatic ? automatic : threads;
    *pool = NULL;
    if (options.num_threads == 1)
        return STATUS_OK;
    *pool = pool_init(&options, err);
    enum status st = *pool ? pool_start(*pool, err) : err->status;
    if (st != STATUS_OK) {
        pool_free(*pool);
        *pool = NULL;
    }
    return st;
}

struct token_source *token_source_open(const char *data, const struct tokenizer *tokenizer, struct pool *pool,
                                       const struct cancel *cancel, struct error *err)
{
    struct token_source *source = mem_calloc(1, sizeof *source);
    if (!source) {
        error_set(err, STATUS_NOMEM, "no memory to read %s", data);
        return NULL;
    }
    source->tokenizer = tokenizer;
    source->pool = pool;
    source->cancel = cancel;
    source->batch = pool ? (size_t)pool_size(pool) * JOBS_PER_WORKER : 1;
    if (source->batch > BATCH_JOBS)
        source->batch = BATCH_JOBS;
    source->corpus = corpus_open(data, err);
    if (!source->corpus) {
        token_source_close(source);
        return NULL;
    }
    if (cancel)
        corpus_stop_when(source->corpus, cancel_wanted, cancel);
    return source;
}

void token_source_close(struct token_source *source)
{
    if (!source)
        return;
    for (size_t i = 0; i < BATCH_JOBS; i++) {
        buffer_release(&source->jobs[i].text);
        buffer_release(&source->jobs[i].segments);
        buffer_release(&source->jobs[i].ids);
        buffer_release(&source->jobs[i].starts);
    }
    buffer_release(&source->rest);
    corpus_close(source->corpus);
    mem_free(source);
}

static void add_segment(struct token_source *source, struct job *job, const char *text, size_t len, const char *file)
{
    const struct segment segment = {job->text.len, len, file, !source->within, !source->within && source->any_document};
    buffer_append(&job->text, text, len);
    buffer_append(&job->segments, &segment, sizeof segment);
    source->any_document = true;
}

/* Where `rest`, which could not be cut while it had old_len bytes, can be now; 0: nowhere. */
static size_t cut_of(const struct token_source *source, size_t old_len)
{
    enum { CONTEXT = 8 }; /* bytes before a place that say whether it will do */
    const size_t from = old_len > CONTEXT ? old_len - CONTEXT : 0;
    if (source->rest.len == from)
        return 0;
    const size_t cut = tokenizer_cut(source->tokenizer, PARSE, source->rest.data + from, source->rest.len - from);
    return cut && from + cut >= old_len ? from + cut : 0;
}

/* Reads until the job has its fill or the corpus ends. */
static enum status read_job(struct token_source *source, struct job *job, struct error *err)
{
    buffer_clear(&job->text);
    buffer_clear(&job->segments);
    job->number = source->next_number++;
    while (job->text.len < JOB_BYTES) {
        struct corpus_piece piece;
        bool more = false;
        const enum status st = corpus_next(source->corpus, &piece, &more, err);
        if (st != STATUS_OK)
            return st;
        if (!more) {
            source->ended = true;
            break;
        }
        const size_t old_len = source->rest.len;
        buffer_append(&source->rest, piece.text, piece.len);
        const size_t cut = piece.document_end ? source->rest.len : cut_of(source, old_len);
        if (cut || piece.document_end) {
            add_segment(source, job, source->rest.data ? source->rest.data : "", cut, piece.file);
            source->within = !piece.document_end;
            memmove(source->rest.data, source->rest.data + cut, source->rest.len - cut);
            source->rest.len -= cut;
        }
        if (source->rest.failed || job->text.failed || job->segments.failed)
            return error_set(err, STATUS_NOMEM, "no memory for the text of %s", piece.file);
    }
    return STATUS_OK;
}

static enum status read_batch(struct token_source *source, struct error *err)
{
    source->num_jobs = source->at = 0;
    while (source->num_jobs < source->batch && !source->ended) {
        const enum status st = read_job(source, &source->jobs[source->num_jobs], err);
        if (st != STATUS_OK)
            return st;
        source->num_jobs++;
    }
    return STATUS_OK;
}

static uint64_t invalid_bytes(const char *text, size_t n)
{
    uint64_t count = 0;
    for (size_t at = 0; at < n;) {
        uint32_t code_point;
        const int len = utf8_decode(text + at, n - at, &code_point);
        count += len < 1;
        at += len < 1 ? 1 : (size_t)len;
    }
    return count;
}

void token_source_count_invalid(struct token_source *source)
{
    source->count_invalid = true;
}

static enum status encode_job(const struct token_source *source, struct job *job)
{
    const struct segment *segments = (const struct segment *)(const void *)job->segments.data;
    const int32_t end_of_text = tokenizer_end_of_text(source->tokenizer);
    buffer_clear(&job->ids);
    buffer_clear(&job->starts);
    job->invalid_bytes = source->count_invalid ? invalid_bytes(job->text.data, job->text.len) : 0;
    for (size_t i = 0; i < job->segments.len / sizeof *segments && job->number >= source->from; i++) {
        const struct segment *s = &segments[i];
        if (source->cancel && cancel_error(source->cancel, &job->err) != STATUS_OK)
            return STATUS_CANCELLED;
        if (s->parted && end_of_text >= 0)
            buffer_append(&job->ids, &end_of_text, sizeof end_of_text);
        const size_t start = job->ids.len / sizeof(int32_t);
        if (s->begins)
            buffer_append(&job->starts, &start, sizeof start);
        const enum status st = tokenizer_encode_with(source->tokenizer, s->begins ? PARSE : PARSE | TOKENIZER_CONTINUES,
                                                     job->text.data + s->at, s->len, &job->ids, &job->err);
        if (st != STATUS_OK)
            return error_prefix(&job->err, "%s", s->file);
    }
    return job->ids.failed || job->starts.failed ? error_set(&job->err, STATUS_NOMEM, "no memory for tokens")
                                                 : STATUS_OK;
}

static enum status encode_jobs(size_t begin, size_t end, void *arg)
{
    struct token_source *source = arg;
    for (size_t i = begin; i < end; i++)
        source->jobs[i].status = encode_job(source, &source->jobs[i]);
    return STATUS_OK;
}

enum status token_source_next(struct token_source *source, uint64_t from, struct token_chunk *out, bool *more,
                              struct error *err)
{
    static const struct parallel_options one_by_one = {.max_chunk = 1};
    *more = false;
    if (source->at == source->num_jobs) {
        if (source->ended)
            return STATUS_OK;
        source->from = from;
        enum status st = read_batch(source, err);
        if (st == STATUS_OK)
            st = parallel_for(source->pool, source->num_jobs, &one_by_one, encode_jobs, source);
        if (st != STATUS_OK)
            return st;
    }
    struct job *job = &source->jobs[source->at++];
    if (job->status != STATUS_OK) {
        if (err)
            *err = job->err;
        return job->status;
    }
    *out = (struct token_chunk){.ids = (const int32_t *)(const void *)job->ids.data,
                                .n = job->ids.len / sizeof(int32_t),
                                .text_bytes = job->text.len,
                                .starts = (const size_t *)(const void *)job->starts.data,
                                .num_starts = job->starts.len / sizeof(size_t),
                                .number = job->number,
                                .invalid_bytes = job->invalid_bytes};
    *more = true;
    return STATUS_OK;
}

uint64_t token_source_bytes_read(const struct token_source *source)
{
    return corpus_bytes_read(source->corpus);
}

uint64_t token_source_bytes_total(const struct token_source *source)
{
    return corpus_bytes_total(source->corpus);
}

struct each {
    struct token_source *source;
    enum status (*work)(const struct text_piece *pieces, size_t n, void *arg, struct error *err);
    void *arg;
};

static enum status each_job(size_t begin, size_t end, void *arg)
{
    struct each *each = arg;
    for (size_t i = begin; i < end; i++) {
        struct job *job = &each->source->jobs[i];
        const struct segment *segments = (const struct segment *)(const void *)job->segments.data;
        const size_t n = job->segments.len / sizeof *segments;
        struct text_piece *pieces = n ? mem_calloc(n, sizeof *pieces) : NULL;
        for (size_t k = 0; k < n && pieces; k++)
            pieces[k] = (struct text_piece){job->text.data + segments[k].at, segments[k].file, segments[k].len,
                                            segments[k].begins ? 0 : TOKENIZER_CONTINUES};
        job->status = n && !pieces ? error_set(&job->err, STATUS_NOMEM, "no memory for the text")
                                   : each->work(pieces, n, each->arg, &job->err);
        mem_free(pieces);
    }
    return STATUS_OK;
}

enum status text_pieces_each(const char *data, const struct tokenizer *tokenizer, struct pool *pool,
                             enum status (*work)(const struct text_piece *pieces, size_t n, void *arg,
                                                 struct error *err),
                             void *arg, bool (*tick)(void *arg, uint64_t done, uint64_t total), struct error *err)
{
    static const struct parallel_options one_by_one = {.max_chunk = 1};
    struct each each = {token_source_open(data, tokenizer, pool, NULL, err), work, arg};
    if (!each.source)
        return err->status;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && !each.source->ended) {
        st = read_batch(each.source, err);
        if (st == STATUS_OK)
            st = parallel_for(pool, each.source->num_jobs, &one_by_one, each_job, &each);
        for (size_t i = 0; i < each.source->num_jobs && st == STATUS_OK; i++) {
            st = each.source->jobs[i].status;
            if (st != STATUS_OK)
                *err = each.source->jobs[i].err;
        }
        if (st == STATUS_OK && tick &&
            !tick(arg, token_source_bytes_read(each.source), token_source_bytes_total(each.source)))
            st = error_set(err, STATUS_CANCELLED, "interrupted while reading %s", data);
    }
    token_source_close(each.source);
    return st;
}
