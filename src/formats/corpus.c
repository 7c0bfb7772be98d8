/* SPDX-License-Identifier: MIT
 * formats/corpus.c - files → (gzip) → bytes → (JSON lines) → documents, in pieces.
 *
 * Two layers: read_bytes gives the decompressed bytes of the present file, and next_plain or next_jsonl cut them.
 * Memory is bounded by the piece, or by the longest line of JSON, whatever the file says.
 */
#include "formats/corpus.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "formats/json.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { PIECE_BYTES = 256 * 1024, INPUT_BYTES = 256 * 1024, MAX_LINE_BYTES = 256 << 20, MAX_DEPTH = 128 };

struct source {
    char *path;
    uint64_t size_bytes;
};

/* Where in a gzip file we are. */
enum gzip_state { GZIP_NOT, GZIP_IN_MEMBER, GZIP_BETWEEN, GZIP_PADDING };

struct corpus {
    char *path;
    struct source *sources; /* [count], in order */
    size_t count, capacity;
    uint64_t bytes_read, bytes_total, text_bytes;

    /* the present file, sources[at]; fd is -1 when all of it was read */
    size_t at;
    int fd;
    bool begun, jsonl, input_ended;
    enum gzip_state gzip;
    bool zlib_ready; /* `z` was initialised and wants inflateEnd */
    z_stream z;      /* next_in, avail_in: what of `input` is not used yet, compressed or not */
    unsigned char *input;

    bool (*stop)(const void *ctx); /* or NULL */
    const void *stop_ctx;

    char *piece;
    const char *rest;  /* in `piece`: what was read and not given out yet … */
    size_t rest_bytes; /* … and how much */

    /* JSON lines */
    struct buffer line; /* beginning of a line that is not whole yet */
    uint64_t line_number;
    json_t *document; /* being given out in pieces */
    size_t document_given;
};

static bool has_suffix(const char *path, const char *suffix)
{
    const size_t n = strlen(path), m = strlen(suffix);
    return n >= m && memcmp(path + n - m, suffix, m) == 0;
}

static bool is_read_in_directories(const char *name)
{
    static const char *const suffixes[] = {".txt", ".text", ".md", ".gz", ".dz", ".jsonl"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (has_suffix(name, suffixes[i]))
            return true;
    return false;
}

static enum status add_source(struct corpus *corpus, const char *path, uint64_t size_bytes, struct error *err)
{
    if (corpus->count == corpus->capacity) {
        const size_t capacity = corpus->capacity ? 2 * corpus->capacity : 16;
        size_t bytes;
        struct source *more = size_mul(capacity, sizeof *more, &bytes) ? mem_realloc(corpus->sources, bytes) : NULL;
        if (!more)
            return error_set(err, STATUS_NOMEM, "no memory for a list of %zu files", capacity);
        corpus->sources = more;
        corpus->capacity = capacity;
    }
    char *copy = mem_strdup(path);
    if (!copy)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %zu files", corpus->count + 1);
    corpus->sources[corpus->count++] = (struct source){copy, size_bytes};
    corpus->bytes_total += size_bytes;
    return STATUS_OK;
}

static enum status add_directory(struct corpus *corpus, const char *path, int depth, struct error *err)
{
    if (depth > MAX_DEPTH)
        return error_set(err, STATUS_IO, "%s: nested deeper than %d directories", path, (int)MAX_DEPTH);
    DIR *dir = opendir(path);
    if (!dir)
        return error_set(err, STATUS_IO, "cannot open directory %s: %m", path);
    enum status st = STATUS_OK;
    struct buffer child = {0};
    while (st == STATUS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                st = error_set(err, STATUS_IO, "cannot read directory %s: %m", path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        const char *name = path_join(&child, path, entry->d_name);
        struct stat info;
        if (child.failed)
            st = error_set(err, STATUS_NOMEM, "no memory to list %s", path);
        else if (lstat(name, &info) != 0)
            st = error_set(err, STATUS_IO, "cannot examine %s: %m", name);
        else if (S_ISDIR(info.st_mode))
            st = add_directory(corpus, name, depth + 1, err);
        else if (S_ISREG(info.st_mode) && info.st_size > 0 && is_read_in_directories(name)) {
            st = add_source(corpus, name, (uint64_t)info.st_size, err);
            if (st == STATUS_OK && eaccess(name, R_OK) != 0) /* better now than hours later */
                st = error_set(err, STATUS_IO, "cannot read %s: %m", name);
        }
    }
    buffer_release(&child);
    closedir(dir);
    return st;
}

static int by_path(const void *a, const void *b)
{
    const struct source *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static enum status fill_input(struct corpus *corpus, struct error *err)
{
    if (corpus->z.avail_in || corpus->input_ended)
        return STATUS_OK;
    size_t got;
    const enum status st =
        file_read_some(corpus->fd, corpus->sources[corpus->at].path, corpus->input, INPUT_BYTES, &got, err);
    corpus->z.next_in = corpus->input;
    corpus->z.avail_in = (uInt)got;
    corpus->bytes_read += got;
    corpus->input_ended = got < INPUT_BYTES;
    return st;
}

/* zlib's memory is counted like ours. */
static void *zlib_alloc(void *unused, unsigned count, unsigned size_bytes)
{
    (void)unused;
    return mem_calloc(count, size_bytes);
}

static void zlib_free(void *unused, void *p)
{
    (void)unused;
    mem_free(p);
}

static enum status open_source(struct corpus *corpus, struct error *err)
{
    const char *path = corpus->sources[corpus->at].path;
    corpus->fd = file_open_read(path, NULL, err);
    if (corpus->fd < 0)
        return STATUS_IO;
    corpus->begun = true;
    corpus->input_ended = false;
    corpus->z.avail_in = 0;
    corpus->rest = corpus->piece;
    corpus->rest_bytes = 0;
    corpus->line_number = 0;
    buffer_clear(&corpus->line);
    const bool named_gzip = has_suffix(path, ".gz") || has_suffix(path, ".dz");
    corpus->jsonl = has_suffix(path, ".jsonl") || has_suffix(path, ".jsonl.gz") || has_suffix(path, ".jsonl.dz");
    const enum status st = fill_input(corpus, err);
    if (st != STATUS_OK)
        return st;
    const bool is_gzip = corpus->z.avail_in >= 2 && corpus->input[0] == 0x1f && corpus->input[1] == 0x8b;
    if (named_gzip && !is_gzip)
        return error_set(err, STATUS_FORMAT, "%s: not a gzip file, though its name says so", path);
    corpus->gzip = is_gzip ? GZIP_IN_MEMBER : GZIP_NOT;
    if (!is_gzip)
        return STATUS_OK;
    if (corpus->zlib_ready)
        inflateReset(&corpus->z);
    else {
        if (inflateInit2(&corpus->z, 15 + 16) != Z_OK) /* 32 KiB of window, gzip wrapping only */
            return error_set(err, STATUS_NOMEM, "no memory to decompress %s", path);
        corpus->zlib_ready = true;
    }
    return STATUS_OK;
}

static void close_source(struct corpus *corpus)
{
    file_close(corpus->fd);
    corpus->fd = -1;
}

struct corpus *corpus_open(const char *path, struct error *err)
{
    struct corpus *corpus = mem_calloc(1, sizeof *corpus);
    if (!corpus) {
        error_set(err, STATUS_NOMEM, "no memory to read %s", path);
        return NULL;
    }
    corpus->fd = -1;
    corpus->z.zalloc = zlib_alloc;
    corpus->z.zfree = zlib_free;
    corpus->path = mem_strdup(path);
    corpus->input = mem_alloc(INPUT_BYTES);
    corpus->piece = mem_alloc(PIECE_BYTES);
    enum status st = STATUS_OK;
    struct stat info;
    if (!corpus->path || !corpus->input || !corpus->piece)
        st = error_set(err, STATUS_NOMEM, "no memory to read %s", path);
    else if (stat(path, &info) != 0)
        st = error_set(err, STATUS_IO, "cannot open %s: %m", path);
    else if (S_ISDIR(info.st_mode)) {
        st = add_directory(corpus, path, 0, err);
        if (st == STATUS_OK && corpus->count == 0)
            st = error_set(
                err, STATUS_FORMAT,
                "directory %s has no text: no file that is not empty and ends in .txt, .text, .md, .gz, .dz or "
                ".jsonl",
                path);
        if (st == STATUS_OK)
            qsort(corpus->sources, corpus->count, sizeof *corpus->sources, by_path);
    } else if (S_ISREG(info.st_mode) && info.st_size == 0)
        st = error_set(err, STATUS_FORMAT, "%s is empty, where text should be", path);
    else
        st = add_source(corpus, path, (uint64_t)info.st_size, err);
    if (st == STATUS_OK)
        st = open_source(corpus, err); /* refuses a FIFO and the like */
    if (st != STATUS_OK) {
        corpus_close(corpus);
        return NULL;
    }
    return corpus;
}

void corpus_close(struct corpus *corpus)
{
    if (!corpus)
        return;
    close_source(corpus);
    if (corpus->zlib_ready)
        inflateEnd(&corpus->z);
    json_decref(corpus->document);
    buffer_release(&corpus->line);
    for (size_t i = 0; i < corpus->count; i++)
        mem_free(corpus->sources[i].path);
    mem_free(corpus->sources);
    mem_free(corpus->input);
    mem_free(corpus->piece);
    mem_free(corpus->path);
    mem_free(corpus);
}

/* Decompresses into out[0 … n); *got is 0 only at the end of the file (n > 0). */
static enum status inflate_bytes(struct corpus *corpus, char *out, size_t n, size_t *got, struct error *err)
{
    const char *path = corpus->sources[corpus->at].path;
    z_stream *z = &corpus->z;
    z->next_out = (unsigned char *)out;
    z->avail_out = (uInt)n;
    while (z->avail_out == n) {
        const enum status st = fill_input(corpus, err);
        if (st != STATUS_OK)
            return st;
        if (z->avail_in == 0) {
            if (corpus->gzip == GZIP_IN_MEMBER)
                return error_set(err, STATUS_FORMAT, "%s: truncated gzip file: it ends in the middle of its data",
                                 path);
            break;
        }
        if (corpus->gzip == GZIP_BETWEEN) { /* another member, or zeros that pad to a block of tape */
            corpus->gzip = *z->next_in ? GZIP_IN_MEMBER : GZIP_PADDING;
            if (*z->next_in != 0 && *z->next_in != 0x1f)
                return error_set(err, STATUS_FORMAT, "%s: corrupt gzip file: something else follows its data", path);
            inflateReset(z);
        }
        if (corpus->gzip == GZIP_PADDING) {
            for (; z->avail_in; z->avail_in--, z->next_in++)
                if (*z->next_in)
                    return error_set(err, STATUS_FORMAT, "%s: corrupt gzip file: something else follows its data",
                                     path);
            continue;
        }
        const int rc = inflate(z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            corpus->gzip = GZIP_BETWEEN;
        else if (rc == Z_MEM_ERROR)
            return error_set(err, STATUS_NOMEM, "no memory to decompress %s", path);
        else if (rc != Z_OK && rc != Z_BUF_ERROR)
            return error_set(err, STATUS_FORMAT, "%s: corrupt gzip file: %s (before byte %llu of it)", path,
                             z->msg ? z->msg : "invalid data", (unsigned long long)(corpus->bytes_read - z->avail_in));
    }
    *got = n - z->avail_out;
    return STATUS_OK;
}

/* Up to n > 0 bytes of the present file, decompressed; *got is 0 only at its end. */
static enum status read_bytes(struct corpus *corpus, char *out, size_t n, size_t *got, struct error *err)
{
    if (corpus->stop && corpus->stop(corpus->stop_ctx))
        return error_set(err, STATUS_CANCELLED, "cancelled while reading %s", corpus->sources[corpus->at].path);
    if (corpus->gzip != GZIP_NOT)
        return inflate_bytes(corpus, out, n, got, err);
    const enum status st = fill_input(corpus, err);
    *got = corpus->z.avail_in < n ? corpus->z.avail_in : n;
    memcpy(out, corpus->z.next_in, *got);
    corpus->z.next_in += *got;
    corpus->z.avail_in -= (uInt)*got;
    return st;
}

static enum status next_plain(struct corpus *corpus, struct corpus_piece *out, struct error *err)
{
    /* What is left is the beginning of a character, behind the piece given before. */
    size_t have = corpus->rest_bytes, got = 1;
    memmove(corpus->piece, corpus->rest, have);
    while (got && have < PIECE_BYTES) {
        const enum status st = read_bytes(corpus, corpus->piece + have, PIECE_BYTES - have, &got, err);
        if (st != STATUS_OK)
            return st;
        have += got;
    }
    out->text = corpus->piece;
    out->document_end = got == 0;
    out->len = out->document_end ? have : utf8_whole_prefix(corpus->piece, have);
    corpus->rest_bytes = have - out->len;
    corpus->rest = corpus->piece + out->len;
    if (out->document_end)
        close_source(corpus);
    return STATUS_OK;
}

static bool is_blank(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", line[i]) || line[i] == 0)
            return false;
    return true;
}

/* Takes one line without its newline; a blank one leaves document NULL. */
static enum status parse_line(struct corpus *corpus, const char *line, size_t n, struct error *err)
{
    const char *path = corpus->sources[corpus->at].path;
    const unsigned long long number = ++corpus->line_number;
    if (is_blank(line, n))
        return STATUS_OK;
    json_error_t why;
    bool no_memory;
    json_t *object = json_parse(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why, &no_memory);
    if (!object) {
        if (no_memory)
            return error_set(err, STATUS_NOMEM, "%s, line %llu: no memory to read it (%zu bytes)", path, number, n);
        return error_set(err, STATUS_FORMAT, "%s, line %llu: not valid JSON: %s (column %d)", path, number, why.text,
                         why.column);
    }
    json_t *text = json_object_get(object, "text");
    enum status st = STATUS_OK;
    if (!json_is_object(object))
        st = error_set(err, STATUS_FORMAT, "%s, line %llu: should be an object like {\"text\": \"…\"}", path, number);
    else if (!text)
        st = error_set(err, STATUS_FORMAT, "%s, line %llu: the object has no member \"text\"", path, number);
    else if (!json_is_string(text))
        st = error_set(err, STATUS_FORMAT, "%s, line %llu: the member \"text\" is not a string", path, number);
    else {
        corpus->document = json_incref(text);
        corpus->document_given = 0;
    }
    json_decref(object);
    return st;
}

/* Reads on until a line has given a document or the file has ended. */
static enum status read_document(struct corpus *corpus, bool *ended, struct error *err)
{
    const char *path = corpus->sources[corpus->at].path;
    enum status st = STATUS_OK;
    *ended = false;
    while (st == STATUS_OK && !corpus->document) {
        if (corpus->rest_bytes == 0) {
            st = read_bytes(corpus, corpus->piece, PIECE_BYTES, &corpus->rest_bytes, err);
            corpus->rest = corpus->piece;
            if (st == STATUS_OK && corpus->rest_bytes == 0) { /* a last line need not have a newline */
                *ended = true;
                return corpus->line.len ? parse_line(corpus, corpus->line.data, corpus->line.len, err) : STATUS_OK;
            }
            continue;
        }
        const char *newline = memchr(corpus->rest, '\n', corpus->rest_bytes);
        const size_t n = newline ? (size_t)(newline - corpus->rest) : corpus->rest_bytes;
        const char *line = corpus->rest;
        corpus->rest += n + (newline ? 1 : 0);
        corpus->rest_bytes -= n + (newline ? 1 : 0);
        if (n > MAX_LINE_BYTES - corpus->line.len)
            return error_set(err, STATUS_FORMAT, "%s, line %llu: longer than the %d bytes a line may have", path,
                             (unsigned long long)corpus->line_number + 1, (int)MAX_LINE_BYTES);
        if (newline && corpus->line.len == 0) {
            st = parse_line(corpus, line, n, err);
            continue;
        }
        buffer_append(&corpus->line, line, n);
        if (corpus->line.failed)
            return error_set(err, STATUS_NOMEM, "%s, line %llu: no memory to read it", path,
                             (unsigned long long)corpus->line_number + 1);
        if (newline) {
            st = parse_line(corpus, corpus->line.data, corpus->line.len, err);
            buffer_clear(&corpus->line);
        }
    }
    return st;
}

/* *got is false when the file ended without another document. */
static enum status next_jsonl(struct corpus *corpus, struct corpus_piece *out, bool *got, struct error *err)
{
    if (corpus->document && corpus->document_given == json_string_length(corpus->document)) {
        json_decref(corpus->document);
        corpus->document = NULL;
    }
    if (!corpus->document && corpus->fd >= 0) {
        bool ended;
        const enum status st = read_document(corpus, &ended, err);
        if (st != STATUS_OK)
            return st;
        if (ended)
            close_source(corpus);
    }
    *got = corpus->document != NULL;
    if (!*got)
        return STATUS_OK;
    const size_t left = json_string_length(corpus->document) - corpus->document_given;
    out->text = json_string_value(corpus->document) + corpus->document_given;
    out->document_end = left <= PIECE_BYTES;
    out->len = out->document_end ? left : utf8_whole_prefix(out->text, PIECE_BYTES);
    corpus->document_given += out->len;
    return STATUS_OK;
}

enum status corpus_next(struct corpus *corpus, struct corpus_piece *out, bool *more, struct error *err)
{
    *more = false;
    while (corpus->at < corpus->count) {
        enum status st = corpus->begun ? STATUS_OK : open_source(corpus, err);
        bool got = true;
        if (st == STATUS_OK)
            st = corpus->jsonl ? next_jsonl(corpus, out, &got, err) : next_plain(corpus, out, err);
        if (st != STATUS_OK)
            return st;
        out->file = corpus->sources[corpus->at].path;
        if (corpus->fd < 0 && !corpus->document) {
            corpus->at++;
            corpus->begun = false;
        }
        if (got) {
            corpus->text_bytes += out->len;
            *more = true;
            return STATUS_OK;
        }
    }
    if (corpus->text_bytes == 0)
        return error_set(err, STATUS_FORMAT, "%s holds no text: every document in it is empty", corpus->path);
    return STATUS_OK;
}

uint64_t corpus_bytes_read(const struct corpus *corpus)
{
    return corpus->bytes_read;
}

uint64_t corpus_bytes_total(const struct corpus *corpus)
{
    return corpus->bytes_total;
}

size_t corpus_num_files(const struct corpus *corpus)
{
    return corpus->count;
}

void corpus_stop_when(struct corpus *corpus, bool (*stop)(const void *ctx), const void *ctx)
{
    corpus->stop = stop;
    corpus->stop_ctx = ctx;
}
