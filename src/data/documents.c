/* SPDX-License-Identifier: MIT
 * data/documents.c - indices are mapped and checked when they are opened, so that nothing can fail afterwards.
 */
#include "data/documents.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/memory.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "indices are mapped as they lie, and they lie little-endian");

struct index {
    struct file_map map;
    uint64_t begin;     /* of the shard, in the stream */
    const uint64_t *at; /* [count], ascending, from `begin` to its end (a map begins on a page) */
    uint64_t count;
};

struct documents {
    const struct tokens *tokens;
    struct document_marks marks;
    struct index *indices; /* [num_shards]; NULL: marks tell */
    size_t num_shards;
};

/* NAME.idx of NAME.bin; false: the shard has another name. */
static bool index_path(struct buffer *out, const char *shard)
{
    const size_t n = strlen(shard);
    buffer_clear(out);
    if (n < 4 || strcmp(shard + n - 4, ".bin") != 0)
        return false;
    buffer_append(out, shard, n - 4);
    buffer_append_text(out, ".idx");
    return true;
}

static enum status open_index(struct index *index, const struct tokens_shard *shard, const char *path,
                              struct error *err)
{
    enum status st = file_map_open(&index->map, path, err);
    if (st != STATUS_OK)
        return st;
    if (index->map.size_bytes % sizeof *index->at != 0)
        return error_set(err, STATUS_FORMAT, "%s: %zu bytes are no index of documents, which has 8 for each", path,
                         index->map.size_bytes);
    index->at = (const uint64_t *)(const void *)index->map.data;
    index->count = index->map.size_bytes / sizeof *index->at;
    index->begin = shard->begin;
    uint64_t last = shard->begin;
    for (uint64_t i = 0; i < index->count; i++) {
        if (index->at[i] > shard->begin + shard->count)
            return error_set(
                err, STATUS_FORMAT,
                "%s: document %llu begins at token %llu, and its shard has those from %llu to %llu; an index "
                "counts from the first shard of its directory, so give the directory",
                path, (unsigned long long)i, (unsigned long long)index->at[i], (unsigned long long)shard->begin,
                (unsigned long long)(shard->begin + shard->count));
        if (index->at[i] < last)
            return error_set(err, STATUS_FORMAT, "%s: document %llu begins at token %llu, before %llu: damaged", path,
                             (unsigned long long)i, (unsigned long long)index->at[i], (unsigned long long)last);
        last = index->at[i];
    }
    return STATUS_OK;
}

/* Opens all indices, or finds that there are none. */
static enum status open_indices(struct documents *d, struct error *err)
{
    struct buffer path = {0};
    enum status st = STATUS_OK;
    size_t found = 0;
    d->num_shards = tokens_num_shards(d->tokens);
    d->indices = mem_calloc(d->num_shards, sizeof *d->indices);
    if (!d->indices)
        return error_set(err, STATUS_NOMEM, "no memory for %zu indices of documents", d->num_shards);
    for (size_t i = 0; i < d->num_shards && st == STATUS_OK; i++) {
        const struct tokens_shard shard = tokens_shard(d->tokens, i);
        const bool named = index_path(&path, shard.path);
        if (path.failed)
            st = error_set(err, STATUS_NOMEM, "no memory for a path");
        else if (named && file_exists(path.data)) {
            if (found++ != i)
                st = error_set(err, STATUS_CONFIG, "%s is an index of documents, and the shard before has none",
                               path.data);
            else
                st = open_index(&d->indices[i], &shard, path.data, err);
        } else if (found)
            st = error_set(err, STATUS_CONFIG,
                           "%s has no index of documents (.idx) beside it, and the shard before has one", shard.path);
    }
    if (st == STATUS_OK && !found) {
        mem_free(d->indices);
        d->indices = NULL;
    }
    buffer_release(&path);
    return st;
}

struct documents *documents_open(const struct tokens *tokens, struct document_marks marks, struct error *err)
{
    struct documents *d = mem_calloc(1, sizeof *d);
    if (!d) {
        error_set(err, STATUS_NOMEM, "no memory for the documents");
        return NULL;
    }
    d->tokens = tokens;
    d->marks = marks;
    enum status st = open_indices(d, err);
    if (st == STATUS_OK && !d->indices && marks.ends < 0 && marks.begins < 0)
        st = error_set(err, STATUS_CONFIG,
                       "%s: nobody says where its documents begin: it has no index (.idx) beside it, and no token that "
                       "ends a text is known",
                       tokens_shard(tokens, 0).path);
    if (st != STATUS_OK) {
        documents_close(d);
        return NULL;
    }
    return d;
}

void documents_close(struct documents *d)
{
    if (!d)
        return;
    for (size_t i = 0; d->indices && i < d->num_shards; i++)
        file_map_close(&d->indices[i].map);
    mem_free(d->indices);
    mem_free(d);
}

bool documents_indexed(const struct documents *d)
{
    return d->indices != NULL;
}

static void begins_of_marks(const struct documents *d, uint64_t begin, size_t n, const int32_t *ids, bool *out)
{
    int32_t before = d->marks.ends; /* nothing stands before the first token: it begins one */
    if (begin)
        tokens_read(d->tokens, begin - 1, 1, &before);
    for (size_t i = 0; i < n; i++) {
        out[i] = (d->marks.ends >= 0 && before == d->marks.ends) || (d->marks.begins >= 0 && ids[i] == d->marks.begins);
        before = ids[i];
    }
    if (begin == 0)
        out[0] = true;
}

/* First entry that is not below `place`. */
static uint64_t lower_bound(const struct index *index, uint64_t place)
{
    uint64_t low = 0, high = index->count;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (index->at[middle] < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The last shard that begins before `place`, or the first: its index may name its end. */
static size_t shard_before(const struct documents *d, uint64_t place)
{
    size_t low = 0, high = d->num_shards;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (d->indices[middle].begin < place)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t documents_at(const struct documents *d, uint64_t place)
{
    const uint64_t least = place < tokens_count(d->tokens);
    uint64_t n = 0;
    for (size_t i = d->indices ? shard_before(d, place) : d->num_shards;
         i < d->num_shards && d->indices[i].begin <= place; i++)
        n += lower_bound(&d->indices[i], place + 1) - lower_bound(&d->indices[i], place);
    return n > least ? n : least;
}

void documents_begins(const struct documents *d, uint64_t begin, size_t n, const int32_t *ids, bool *out)
{
    if (n == 0)
        return;
    if (!d->indices) {
        begins_of_marks(d, begin, n, ids, out);
        return;
    }
    memset(out, 0, n * sizeof *out);
    out[0] = begin == 0;
    for (size_t shard = shard_before(d, begin); shard < d->num_shards && d->indices[shard].begin < begin + n; shard++) {
        const struct index *index = &d->indices[shard];
        for (uint64_t i = lower_bound(index, begin); i < index->count && index->at[i] < begin + n; i++)
            out[index->at[i] - begin] = true;
    }
}

uint32_t documents_crc32(const struct documents *d)
{
    uint32_t crc = 0;
    if (!d->indices)
        return crc32_ieee(crc, &d->marks, sizeof d->marks);
    for (size_t i = 0; i < d->num_shards; i++)
        if (d->indices[i].count)
            crc = crc32_ieee(crc, d->indices[i].at, d->indices[i].count * sizeof *d->indices[i].at);
    return crc;
}
