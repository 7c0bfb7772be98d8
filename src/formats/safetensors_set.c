/* SPDX-License-Identifier: MIT
 * safetensors_set.c - one model in one file or in several with an index.  The index comes from outside like the rest:
 * a shard is a plain name in the same directory, so that no model reads files elsewhere.
 */
#include "base/buffer.h"
#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_INDEX_BYTES = 100 * 1000 * 1000, MAX_SHARDS = 10000 };

struct place {
    const char *name; /* borrowed from `view` or, before that is known, from the index */
    size_t file;
    const struct tensor_view *view;
};

struct safetensors_set {
    struct safetensors **files; /* [num_files] */
    size_t num_files;
    struct place *places; /* [count], sorted by name */
    size_t count;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "model-00001-of-00002.safetensors": nothing that could lead out of the directory. */
static bool plain_name(const char *name)
{
    const size_t n = strlen(name), suffix = strlen(".safetensors");
    return n > suffix && n < 256 && !strchr(name, '/') && name[0] != '.' && strcmp(name + n - suffix, ".safetensors") == 0;
}

/* The distinct shards that the weight map names, sorted; borrowed from it. */
static enum status list_shards(const json_t *map, const char *where, const char ***out, size_t *count, struct error *err)
{
    const size_t n = json_object_size(map);
    const char **names = mem_calloc(n, sizeof *names);
    if (!names)
        return error_set(err, STATUS_NOMEM, "%s: no memory for the names of %zu files", where, n);
    *out = names;
    size_t i = 0;
    for (void *it = json_object_iter((json_t *)(uintptr_t)map); it; it = json_object_iter_next((json_t *)(uintptr_t)map, it)) {
        const char *name = json_string_value(json_object_iter_value(it));
        if (!name || !plain_name(name))
            return error_set(err, STATUS_FORMAT,
                             "%s: tensor \"%s\" should lie in a file of the same directory whose name ends in "
                             "\".safetensors\"",
                             where, json_object_iter_key(it));
        names[i++] = name;
    }
    qsort(names, n, sizeof *names, by_text);
    *count = 0;
    for (i = 0; i < n; i++)
        if (*count == 0 || strcmp(names[*count - 1], names[i]) != 0)
            names[(*count)++] = names[i];
    if (*count == 0 || *count > MAX_SHARDS)
        return error_set(err, STATUS_FORMAT, "%s: \"weight_map\" names %zu files; 1 … %d are read", where, *count,
                         (int)MAX_SHARDS);
    return STATUS_OK;
}

/* Finds each tensor of the map in its shard. */
static enum status place_tensors(struct safetensors_set *set, const json_t *map, const char **shards, const char *where,
                                 struct error *err)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)map); it; it = json_object_iter_next((json_t *)(uintptr_t)map, it)) {
        const char *name = json_object_iter_key(it), *shard = json_string_value(json_object_iter_value(it));
        const char **found = bsearch(&shard, shards, set->num_files, sizeof *shards, by_text);
        CHECK(found);
        struct place *place = &set->places[set->count++];
        place->name = name;
        place->file = (size_t)(found - shards);
        place->view = safetensors_find(set->files[place->file], name);
        if (!place->view)
            return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" should be in %s, and is not", where, name, shard);
        place->name = place->view->name;
    }
    qsort(set->places, set->count, sizeof *set->places, by_name);
    for (size_t f = 0; f < set->num_files; f++)
        for (size_t i = 0; i < safetensors_count(set->files[f]); i++) {
            const struct place key = {.name = safetensors_at(set->files[f], i)->name};
            const struct place *place = bsearch(&key, set->places, set->count, sizeof *set->places, by_name);
            if (place && place->file != f)
                return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" is in two files, %s and %s", where, key.name,
                                 shards[place->file], shards[f]);
        }
    return STATUS_OK;
}

static enum status open_shards(struct safetensors_set *set, const char *directory, const char *index, struct error *err)
{
    json_t *root = json_read_file(index, MAX_INDEX_BYTES, err);
    if (!root)
        return STATUS_FORMAT;
    const json_t *map = json_object_get(root, "weight_map");
    const char **shards = NULL;
    size_t n = 0;
    struct buffer path = {0};
    enum status st = json_is_object(map)
                         ? list_shards(map, index, &shards, &n, err)
                         : error_set(err, STATUS_FORMAT, "%s: should have an object \"weight_map\"", index);
    if (st == STATUS_OK) {
        set->files = mem_calloc(n, sizeof *set->files);
        set->places = mem_calloc(json_object_size(map), sizeof *set->places);
        if (!set->files || !set->places)
            st = error_set(err, STATUS_NOMEM, "%s: no memory for a list of %zu files", index, n);
    }
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        struct safetensors *file = safetensors_open(path_join(&path, directory, shards[i]), err);
        if (file)
            set->files[set->num_files++] = file;
        else
            st = STATUS_FORMAT;
    }
    if (st == STATUS_OK)
        st = place_tensors(set, map, shards, index, err);
    buffer_release(&path);
    mem_free(shards);
    json_decref(root);
    return st;
}

static enum status open_single(struct safetensors_set *set, const char *path, struct error *err)
{
    struct safetensors *file = safetensors_open(path, err);
    if (!file)
        return STATUS_FORMAT;
    set->files = mem_calloc(1, sizeof *set->files);
    if (!set->files) {
        safetensors_close(file);
        return error_set(err, STATUS_NOMEM, "no memory to open %s", path);
    }
    set->files[set->num_files++] = file;
    return STATUS_OK;
}

struct safetensors_set *safetensors_set_open(const char *directory, struct error *err)
{
    struct safetensors_set *set = mem_calloc(1, sizeof *set);
    struct buffer single = {0}, index = {0};
    enum status st;
    path_join(&single, directory, "model.safetensors");
    path_join(&index, directory, "model.safetensors.index.json");
    if (!set || single.failed || index.failed)
        st = error_set(err, STATUS_NOMEM, "no memory to open %s", directory);
    else if (file_exists(single.data) || !file_exists(index.data))
        st = open_single(set, single.data, err);
    else
        st = open_shards(set, directory, index.data, err);
    buffer_release(&single);
    buffer_release(&index);
    if (st != STATUS_OK) {
        safetensors_set_close(set);
        return NULL;
    }
    return set;
}

void safetensors_set_close(struct safetensors_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->num_files; i++)
        safetensors_close(set->files[i]);
    mem_free(set->files);
    mem_free(set->places);
    mem_free(set);
}

size_t safetensors_set_files(const struct safetensors_set *set)
{
    return set->num_files;
}

const struct safetensors *safetensors_set_file(const struct safetensors_set *set, size_t i)
{
    CHECK(i < set->num_files);
    return set->files[i];
}

const struct tensor_view *safetensors_set_find(const struct safetensors_set *set, const char *name,
                                               const struct safetensors **file)
{
    if (!set->places) {
        *file = set->files[0];
        return safetensors_find(set->files[0], name);
    }
    const struct place key = {.name = name};
    const struct place *place = bsearch(&key, set->places, set->count, sizeof *set->places, by_name);
    *file = place ? set->files[place->file] : NULL;
    return place ? place->view : NULL;
}
