/* SPDX-License-Identifier: MIT
 * data/tokens.c - shards are checked when they are opened, so that a read is a copy and cannot fail.
 */
#include "data/tokens.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tokens are mapped as they lie, and they lie little-endian");

enum { HEADER_WORDS = 256, HEADER_BYTES = 4 * HEADER_WORDS };
enum { MAGIC_U16 = 20240520, VERSION_U16 = 1, MAGIC_U32 = 20240801, VERSION_U32 = 7 };

/* Files in all up to this size are read in at once; of larger ones only what is asked for. */
static const uint64_t READ_IN_BYTES = (uint64_t)1 << 30;

struct shard {
    struct file_map map;
    char *path;
    const unsigned char *data; /* first token */
    unsigned width_bytes;      /* 1, 2 or 4 */
    uint64_t begin, count;     /* tokens begin … begin+count of the stream */
};

struct tokens {
    struct shard *shards; /* [num_shards], none empty */
    size_t num_shards, capacity;
    uint64_t count;
};

static enum status check_header(const struct file_map *map, const char *path, unsigned *width_bytes, uint64_t *count,
                                struct error *err)
{
    int32_t header[3];
    if (map->size_bytes < HEADER_BYTES)
        return error_set(err, STATUS_FORMAT, "%s: %zu bytes are too few for a token shard, whose header has %d", path,
                         map->size_bytes, (int)HEADER_BYTES);
    memcpy(header, map->data, sizeof header);
    int version;
    if (header[0] == MAGIC_U16) {
        *width_bytes = 2;
        version = VERSION_U16;
    } else if (header[0] == MAGIC_U32) {
        *width_bytes = 4;
        version = VERSION_U32;
    } else
        return error_set(err, STATUS_FORMAT, "%s: not a token shard: its magic is %d, where %d or %d should be", path,
                         (int)header[0], (int)MAGIC_U16, (int)MAGIC_U32);
    if (header[1] != version)
        return error_set(err, STATUS_FORMAT, "%s: token shard of version %d, where %d should be", path, (int)header[1],
                         version);
    const uint64_t bytes = map->size_bytes - HEADER_BYTES;
    if (header[2] < 0 || (uint64_t)header[2] * *width_bytes != bytes)
        return error_set(err, STATUS_FORMAT,
                         "%s: damaged token shard: its header says %d tokens, and the file has %llu bytes for them (%u "
                         "each)",
                         path, (int)header[2], (unsigned long long)bytes, *width_bytes);
    *count = (uint64_t)header[2];
    return STATUS_OK;
}

static enum status add_shard(struct tokens *tokens, const char *path, bool plain_bytes, struct error *err)
{
    if (tokens->num_shards == tokens->capacity) {
        const size_t capacity = tokens->capacity ? 2 * tokens->capacity : 4;
        size_t bytes;
        struct shard *more = size_mul(capacity, sizeof *more, &bytes) ? mem_realloc(tokens->shards, bytes) : NULL;
        if (!more)
            return error_set(err, STATUS_NOMEM, "no memory for a list of %zu shards", capacity);
        tokens->shards = more;
        tokens->capacity = capacity;
    }
    struct shard shard = {.width_bytes = 1, .begin = tokens->count};
    enum status st = file_map_open(&shard.map, path, err);
    if (st == STATUS_OK && plain_bytes)
        shard.count = shard.map.size_bytes;
    else if (st == STATUS_OK)
        st = check_header(&shard.map, path, &shard.width_bytes, &shard.count, err);
    if (st == STATUS_OK && shard.count && !(shard.path = mem_strdup(path)))
        st = error_set(err, STATUS_NOMEM, "no memory to open %s", path);
    if (st != STATUS_OK || shard.count == 0) {
        file_map_close(&shard.map);
        return st;
    }
    shard.data = shard.map.data + (plain_bytes ? 0 : HEADER_BYTES);
    tokens->shards[tokens->num_shards++] = shard;
    tokens->count += shard.count; /* cannot wrap: each is at most 2^31 or a mapped size */
    return STATUS_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The *.bin files of a directory. */
static enum status add_directory(struct tokens *tokens, const char *path, struct error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return error_set(err, STATUS_IO, "cannot open directory %s: %m", path);
    enum status st = STATUS_OK;
    char **names = NULL;
    size_t n = 0, capacity = 0;
    while (st == STATUS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                st = error_set(err, STATUS_IO, "cannot read directory %s: %m", path);
            break;
        }
        const size_t len = strlen(entry->d_name);
        if (len < 4 || strcmp(entry->d_name + len - 4, ".bin") != 0)
            continue;
        if (n == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            char **more = mem_realloc(names, capacity * sizeof *names);
            if (!more) {
                st = error_set(err, STATUS_NOMEM, "no memory to list %s", path);
                break;
            }
            names = more;
        }
        if (!(names[n] = mem_strdup(entry->d_name)))
            st = error_set(err, STATUS_NOMEM, "no memory to list %s", path);
        else
            n++;
    }
    closedir(dir);
    if (st == STATUS_OK && n == 0)
        st = error_set(err, STATUS_FORMAT, "directory %s has no token shards: no file that ends in .bin", path);
    if (n)
        qsort(names, n, sizeof *names, by_text);
    struct buffer whole = {0};
    for (size_t i = 0; i < n; i++) {
        if (st == STATUS_OK) {
            const char *name = path_join(&whole, path, names[i]);
            st = whole.failed ? error_set(err, STATUS_NOMEM, "no memory to open %s", names[i])
                              : add_shard(tokens, name, false, err);
        }
        mem_free(names[i]);
    }
    buffer_release(&whole);
    mem_free(names);
    return st;
}

static void advise(const struct tokens *tokens, bool sequential)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < tokens->num_shards; i++)
        bytes += tokens->shards[i].map.size_bytes;
    const enum file_access access = sequential ? FILE_SEQUENTIAL : bytes <= READ_IN_BYTES ? FILE_ALL_SOON : FILE_RANDOM;
    for (size_t i = 0; i < tokens->num_shards; i++)
        file_map_advise(&tokens->shards[i].map, access);
}

static struct tokens *finish_open(struct tokens *tokens, enum status st, const char *first_path, struct error *err)
{
    if (st == STATUS_OK && tokens->count == 0)
        st = error_set(err, STATUS_FORMAT, "%s is empty: there are no tokens", first_path);
    if (st != STATUS_OK) {
        tokens_close(tokens);
        return NULL;
    }
    advise(tokens, false);
    return tokens;
}

struct tokens *tokens_open(const char *const *paths, size_t num_paths, struct error *err)
{
    struct tokens *tokens = mem_calloc(1, sizeof *tokens);
    if (!tokens) {
        error_set(err, STATUS_NOMEM, "no memory to open token shards");
        return NULL;
    }
    enum status st = num_paths ? STATUS_OK : error_set(err, STATUS_MISUSE, "no token shard was named");
    for (size_t i = 0; i < num_paths && st == STATUS_OK; i++)
        st = file_is_directory(paths[i]) ? add_directory(tokens, paths[i], err)
                                         : add_shard(tokens, paths[i], false, err);
    return finish_open(tokens, st, num_paths ? paths[0] : "", err);
}

struct tokens *tokens_open_bytes(const char *path, struct error *err)
{
    struct tokens *tokens = mem_calloc(1, sizeof *tokens);
    if (!tokens) {
        error_set(err, STATUS_NOMEM, "no memory to open %s", path);
        return NULL;
    }
    return finish_open(tokens, add_shard(tokens, path, true, err), path, err);
}

void tokens_close(struct tokens *tokens)
{
    if (!tokens)
        return;
    for (size_t i = 0; i < tokens->num_shards; i++) {
        file_map_close(&tokens->shards[i].map);
        mem_free(tokens->shards[i].path);
    }
    mem_free(tokens->shards);
    mem_free(tokens);
}

uint64_t tokens_count(const struct tokens *tokens)
{
    return tokens->count;
}

size_t tokens_num_shards(const struct tokens *tokens)
{
    return tokens->num_shards;
}

struct tokens_shard tokens_shard(const struct tokens *tokens, size_t i)
{
    CHECK(i < tokens->num_shards);
    const struct shard *shard = &tokens->shards[i];
    return (struct tokens_shard){shard->path, shard->begin, shard->count};
}

static void widen(int32_t *out, const struct shard *shard, uint64_t first, size_t n)
{
    const unsigned char *p = shard->data + first * shard->width_bytes;
    if (shard->width_bytes == 4)
        memcpy(out, p, n * 4);
    else if (shard->width_bytes == 2)
        for (size_t i = 0; i < n; i++) {
            uint16_t token;
            memcpy(&token, p + 2 * i, 2);
            out[i] = token;
        }
    else
        for (size_t i = 0; i < n; i++)
            out[i] = p[i];
}

void tokens_read(const struct tokens *tokens, uint64_t begin, size_t n, int32_t *out)
{
    CHECK(begin <= tokens->count && n <= tokens->count - begin);
    size_t low = 0, high = tokens->num_shards; /* the last shard that begins at or before `begin` */
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (tokens->shards[middle].begin <= begin)
            low = middle;
        else
            high = middle;
    }
    for (const struct shard *shard = &tokens->shards[low]; n; shard++) {
        const uint64_t first = begin - shard->begin, left = shard->count - first;
        const size_t take = n < left ? n : (size_t)left;
        widen(out, shard, first, take);
        begin += take;
        out += take;
        n -= take;
    }
}

enum status tokens_check_vocab(const struct tokens *tokens, uint32_t vocab_size, struct error *err)
{
    enum status st = STATUS_OK;
    int32_t block[1024];
    enum { N = sizeof block / sizeof *block };
    advise(tokens, true);
    for (size_t s = 0; s < tokens->num_shards && st == STATUS_OK; s++) {
        const struct shard *shard = &tokens->shards[s];
        if (shard->width_bytes == 1 && vocab_size >= 256)
            continue;
        for (uint64_t at = 0; at < shard->count && st == STATUS_OK; at += N) {
            const size_t n = shard->count - at < N ? (size_t)(shard->count - at) : N;
            widen(block, shard, at, n);
            uint32_t largest = 0;
            for (size_t i = 0; i < n; i++)
                largest = (uint32_t)block[i] > largest ? (uint32_t)block[i] : largest;
            if (largest < vocab_size)
                continue;
            size_t i = 0;
            while ((uint32_t)block[i] < vocab_size)
                i++;
            st = error_set(err, STATUS_FORMAT, "%s: token %u at position %llu is outside the vocabulary of %u",
                           shard->path, (uint32_t)block[i], (unsigned long long)(at + i), vocab_size);
        }
    }
    advise(tokens, false);
    return st;
}

uint32_t tokens_crc32(const struct tokens *tokens)
{
    int32_t block[1024];
    enum { N = sizeof block / sizeof *block };
    uint32_t sum = 0;
    advise(tokens, true);
    for (uint64_t at = 0; at < tokens->count; at += N) {
        const size_t n = tokens->count - at < N ? (size_t)(tokens->count - at) : N;
        tokens_read(tokens, at, n, block);
        sum = crc32_ieee(sum, block, 4 * n);
    }
    advise(tokens, false);
    return sum;
}

struct token_writer {
    struct file_writer *file;
    char *path;
    struct buffer tmp;
    int width_bytes;
    uint64_t count;
};

static void free_writer(struct token_writer *writer)
{
    buffer_release(&writer->tmp);
    mem_free(writer->path);
    mem_free(writer);
}

struct token_writer *token_writer_open(const char *path, int width_bytes, struct error *err)
{
    CHECK(width_bytes == 2 || width_bytes == 4);
    struct token_writer *writer = mem_calloc(1, sizeof *writer);
    if (!writer) {
        error_set(err, STATUS_NOMEM, "no memory to write %s", path);
        return NULL;
    }
    writer->width_bytes = width_bytes;
    writer->path = mem_strdup(path);
    buffer_printf(&writer->tmp, "%s.tmp", path);
    if (!writer->path || writer->tmp.failed)
        error_set(err, STATUS_NOMEM, "no memory to write %s", path);
    else
        writer->file = file_writer_open(writer->tmp.data, err);
    if (!writer->file) {
        free_writer(writer);
        return NULL;
    }
    static const unsigned char zero[HEADER_BYTES] = {0}; /* no magic until the last token is on the disk */
    file_writer_write(writer->file, zero, sizeof zero);
    return writer;
}

enum status token_writer_append(struct token_writer *writer, const int32_t *ids, size_t n, struct error *err)
{
    if (n > INT32_MAX - writer->count)
        return error_set(err, STATUS_CONFIG, "%s: more than %d tokens do not fit one shard", writer->path, INT32_MAX);
    const uint32_t limit = writer->width_bytes == 2 ? UINT16_MAX : INT32_MAX;
    for (size_t i = 0; i < n; i++)
        if ((uint32_t)ids[i] > limit)
            return error_set(err, STATUS_FORMAT, "%s: token %d at position %llu does not fit a shard of %d-byte tokens",
                             writer->path, (int)ids[i], (unsigned long long)(writer->count + i), writer->width_bytes);
    writer->count += n;
    if (writer->width_bytes == 4)
        file_writer_write(writer->file, ids, 4 * n);
    else
        while (n) {
            uint16_t block[1024];
            const size_t take = n < 1024 ? n : 1024;
            for (size_t i = 0; i < take; i++)
                block[i] = (uint16_t)ids[i];
            file_writer_write(writer->file, block, 2 * take);
            ids += take;
            n -= take;
        }
    return STATUS_OK;
}

enum status token_writer_commit(struct token_writer *writer, struct error *err)
{
    int32_t header[HEADER_WORDS] = {0};
    header[0] = writer->width_bytes == 2 ? MAGIC_U16 : MAGIC_U32;
    header[1] = writer->width_bytes == 2 ? VERSION_U16 : VERSION_U32;
    header[2] = (int32_t)writer->count;
    enum status st = file_writer_close(writer->file, true, NULL, NULL, err);
    if (st == STATUS_OK)
        st = file_patch(writer->tmp.data, 0, header, sizeof header, err);
    if (st == STATUS_OK)
        st = file_rename(writer->tmp.data, writer->path, err);
    if (st != STATUS_OK)
        file_discard(writer->tmp.data);
    free_writer(writer);
    return st;
}

void token_writer_abort(struct token_writer *writer)
{
    if (!writer)
        return;
    file_writer_close(writer->file, false, NULL, NULL, NULL);
    file_discard(writer->tmp.data);
    free_writer(writer);
}
