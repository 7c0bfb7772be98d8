/* SPDX-License-Identifier: MIT */
#include "formats/text_files.h"

#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILES = 256, MAX_FILE_BYTES = 64 << 20, MAX_ALL_BYTES = 256 << 20 };

void text_files_release(struct text_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        mem_free(files->files[i].name);
        buffer_release(&files->files[i].content);
    }
    mem_free(files->files);
    *files = (struct text_files){0};
}

static struct text_file *find(const struct text_files *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->files[i].name, name) == 0)
            return &files->files[i];
    return NULL;
}

const struct buffer *text_files_find(const struct text_files *files, const char *name)
{
    const struct text_file *file = find(files, name);
    return file ? &file->content : NULL;
}

enum status text_files_put(struct text_files *files, const char *name, struct buffer *content, struct error *err)
{
    struct text_file *file = find(files, name);
    if (!file) {
        struct text_file *more = mem_realloc(files->files, (files->count + 1) * sizeof *more);
        if (more)
            files->files = more;
        char *copy = mem_strdup(name);
        if (!more || !copy) {
            mem_free(copy);
            return error_set(err, STATUS_NOMEM, "no memory for %s", name);
        }
        file = &files->files[files->count++];
        *file = (struct text_file){.name = copy};
    }
    buffer_release(&file->content);
    file->content = *content;
    *content = (struct buffer){0};
    return STATUS_OK;
}

static bool ends_in(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Weights in any format, and what speaks of weights or of a training. */
static bool not_ours_to_keep(const char *name)
{
    static const char *const suffixes[] = {".safetensors", ".index.json", ".bin", ".pt",  ".pth", ".gguf", ".onnx",
                                           ".h5",          ".msgpack",    ".ot",  ".tmp", ".npz", ".ckpt"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_in(name, suffixes[i]))
            return true;
    return name[0] == '.' || strcmp(name, "manifest.json") == 0 || strcmp(name, "trainer_state.json") == 0;
}

static bool customary(const char *name)
{
    static const char *const names[] = {
        "config.json",         "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "tokenizer.model",     "special_tokens_map.json", "added_tokens.json", "vocab.json",
        "merges.txt",          "chat_template.jinja",     "chat_template.json", "preprocessor_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* STATUS_IO: the name is one that a model has by custom, and what bears it cannot be read as a file. */
static enum status look_at(const char *name, const char *path, bool *wanted, struct error *err)
{
    struct stat st;
    *wanted = false;
    if (not_ours_to_keep(name) || lstat(path, &st) != 0)
        return STATUS_OK;
    if (S_ISLNK(st.st_mode) && (!customary(name) || stat(path, &st) != 0))
        st.st_mode = S_IFLNK;
    *wanted = S_ISREG(st.st_mode);
    if (!*wanted && customary(name)) {
        const int fd = file_open_read(path, NULL, err); /* it says what it is */
        file_close(fd);
        *wanted = fd >= 0;
        return fd < 0 ? error_prefix(err, "without this file the model would not be the same") : STATUS_OK;
    }
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct text_file *)a)->name, ((const struct text_file *)b)->name);
}

enum status text_files_read(struct text_files *files, const char *directory, struct error *err)
{
    DIR *dir = opendir(directory);
    if (!dir)
        return error_set(err, STATUS_IO, "cannot open the directory %s: %m", directory);
    struct buffer path = {0};
    enum status st = STATUS_OK;
    size_t all = 0;
    for (const struct dirent *entry; st == STATUS_OK && (entry = readdir(dir)) != NULL;) {
        bool wanted = false;
        path_join(&path, directory, entry->d_name);
        st = path.failed ? error_set(err, STATUS_NOMEM, "no memory for the path of a file in %s", directory)
                         : look_at(entry->d_name, path.data, &wanted, err);
        if (st == STATUS_OK && wanted) {
            struct buffer content = {0};
            st = file_read(path.data, MAX_FILE_BYTES, &content, err);
            all += content.len;
            if (st == STATUS_OK && (files->count >= MAX_FILES || all > MAX_ALL_BYTES))
                st = error_set(err, STATUS_FORMAT,
                               "%s has more than %d files or %d MiB beside the weights; that is no model directory",
                               directory, (int)MAX_FILES, (int)(MAX_ALL_BYTES >> 20));
            if (st == STATUS_OK)
                st = text_files_put(files, entry->d_name, &content, err);
            buffer_release(&content);
        }
    }
    buffer_release(&path);
    closedir(dir);
    if (files->count)
        qsort(files->files, files->count, sizeof *files->files, by_name);
    return st;
}

enum status text_files_write(const struct text_files *files, const char *directory, const char *const *skip,
                             struct error *err)
{
    struct buffer path = {0};
    enum status st = STATUS_OK;
    for (size_t i = 0; i < files->count && st == STATUS_OK; i++) {
        const struct text_file *file = &files->files[i];
        bool skipped = false;
        for (const char *const *s = skip; *s; s++)
            skipped |= strcmp(*s, file->name) == 0;
        if (!skipped)
            st = file_replace(path_join(&path, directory, file->name), file->content.data ? file->content.data : "",
                              file->content.len, err);
    }
    buffer_release(&path);
    return st;
}
