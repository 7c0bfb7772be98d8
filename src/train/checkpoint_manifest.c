/* SPDX-License-Identifier: MIT
 * manifest.json: what files a checkpoint has, and whether they are still those.
 */
#include "base/file.h"
#include "base/file_writer.h"
#include "train/checkpoint.h"
#include "train/checkpoint_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char checkpoint__state_file[] = "training_state.safetensors";
const char checkpoint__trainer_file[] = "trainer_state.json";
const char checkpoint__manifest_file[] = "manifest.json";
static const char *const wanted_files[] = {"config.json", "model.safetensors", checkpoint__state_file,
                                           checkpoint__trainer_file};

const char *checkpoint__text(const struct buffer *buffer)
{
    return buffer->data && !buffer->failed ? buffer->data : "";
}

void checkpoint__note_file(void *ctx, const char *name, uint64_t size_bytes, uint32_t crc)
{
    struct manifest *m = ctx;
    if (m->num_files == MANIFEST_FILES_MAX || strlen(name) >= MANIFEST_NAME_BYTES) {
        m->overflow = true;
        return;
    }
    struct manifest_entry *f = &m->files[m->num_files++];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->size_bytes = size_bytes;
    f->crc32 = crc;
}

/* A plain file name: it cannot lead out of its directory, nor be ours by accident. */
bool checkpoint__name_is_plain(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= MANIFEST_NAME_BYTES || name[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
            return false;
    return true;
}

enum status checkpoint__write_json(json_t *object, const char *directory, const char *name, struct manifest *m,
                                   struct error *err)
{
    struct buffer text = {0}, path = {0};
    enum status st =
        object ? json_write(object, true, &text, err) : error_set(err, STATUS_NOMEM, "out of memory for %s", name);
    if (st == STATUS_OK) {
        path_join(&path, directory, name);
        struct file_writer *writer = file_writer_open(checkpoint__text(&path), err);
        if (writer) {
            uint64_t size;
            uint32_t crc;
            file_writer_write(writer, text.data, text.len);
            st = file_writer_close(writer, true, &size, &crc, err);
            if (st == STATUS_OK && m)
                checkpoint__note_file(m, name, size, crc);
        } else {
            st = STATUS_IO;
        }
    }
    buffer_release(&text);
    buffer_release(&path);
    json_decref(object);
    return st;
}

json_t *checkpoint__manifest_json(const struct manifest *m, uint64_t step)
{
    json_t *files = json_array();
    bool whole = files != NULL;
    for (size_t i = 0; i < m->num_files; i++) {
        char crc[16];
        snprintf(crc, sizeof crc, "%08" PRIx32, m->files[i].crc32);
        whole = whole && json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", m->files[i].name, "size_bytes",
                                                                (json_int_t)m->files[i].size_bytes, "crc32", crc)) == 0;
    }
    if (!whole) {
        json_decref(files);
        return NULL;
    }
    return json_pack("{s:i, s:I, s:o}", "format", (int)CHECKPOINT_FORMAT, "step", (json_int_t)step, "files", files);
}

enum status checkpoint__read_crc(const json_t *object, const char *key, uint32_t *out, const char *where,
                                 struct error *err)
{
    const char *text = "";
    enum status st = json_get_text(object, key, true, &text, where, err);
    if (st != STATUS_OK)
        return st;
    if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" must be eight hexadecimal digits", where, key);
    *out = (uint32_t)strtoul(text, NULL, 16);
    return STATUS_OK;
}

static enum status verify_file(const char *directory, const json_t *entry, const char *where, struct error *err)
{
    const char *name = "";
    uint64_t want_size = 0, size;
    uint32_t want_crc = 0, crc;
    enum status st = json_get_text(entry, "name", true, &name, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(entry, "size_bytes", true, INT64_MAX, &want_size, where, err);
    if (st == STATUS_OK)
        st = checkpoint__read_crc(entry, "crc32", &want_crc, where, err);
    if (st != STATUS_OK)
        return st;
    if (!checkpoint__name_is_plain(name))
        return error_set(err, STATUS_FORMAT, "%s: a file name is not a plain one", where);
    struct buffer path = {0};
    path_join(&path, directory, name);
    st = file_crc32(checkpoint__text(&path), &size, &crc, err);
    if (st == STATUS_OK && size != want_size)
        st = error_set(err, STATUS_FORMAT, "%s is %" PRIu64 " bytes long, the manifest says %" PRIu64,
                       checkpoint__text(&path), size, want_size);
    if (st == STATUS_OK && crc != want_crc)
        st = error_set(err, STATUS_FORMAT, "%s has checksum %08" PRIx32 ", the manifest says %08" PRIx32,
                       checkpoint__text(&path), crc, want_crc);
    buffer_release(&path);
    return st;
}

static bool listed(const json_t *files, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach(files, i, entry)
    {
        const char *text = json_string_value(json_object_get(entry, "name"));
        if (text && strcmp(text, name) == 0)
            return true;
    }
    return false;
}

/* Every file of the directory is what the manifest says, and those we need are among them. */
enum status checkpoint__verify(const char *directory, uint64_t step, struct error *err)
{
    struct buffer path = {0};
    path_join(&path, directory, checkpoint__manifest_file);
    struct error mine = {0};
    if (!err)
        err = &mine;
    json_t *manifest = json_read_file(checkpoint__text(&path), CHECKPOINT_JSON_BYTES_MAX, err);
    enum status st = manifest ? STATUS_OK : err->status;
    uint64_t format = 0, stored_step = 0;
    if (st == STATUS_OK)
        st = json_get_u64(manifest, "format", true, INT64_MAX, &format, checkpoint__text(&path), err);
    if (st == STATUS_OK && format != CHECKPOINT_FORMAT)
        st = error_set(err, STATUS_FORMAT, "%s: \"format\" is %" PRIu64 ", this program reads %d",
                       checkpoint__text(&path), format, (int)CHECKPOINT_FORMAT);
    if (st == STATUS_OK)
        st = json_get_u64(manifest, "step", true, INT64_MAX, &stored_step, checkpoint__text(&path), err);
    if (st == STATUS_OK && stored_step != step)
        st = error_set(err, STATUS_FORMAT, "%s: \"step\" is %" PRIu64 ", the directory says %" PRIu64,
                       checkpoint__text(&path), stored_step, step);
    const json_t *files = json_object_get(manifest, "files");
    if (st == STATUS_OK && (!json_is_array(files) || json_array_size(files) > MANIFEST_FILES_MAX))
        st = error_set(err, STATUS_FORMAT, "%s: \"files\" must be an array of at most %d", checkpoint__text(&path),
                       (int)MANIFEST_FILES_MAX);
    for (size_t i = 0; i < sizeof wanted_files / sizeof *wanted_files && st == STATUS_OK; i++)
        if (!listed(files, wanted_files[i]))
            st = error_set(err, STATUS_FORMAT, "%s: %s is not listed", checkpoint__text(&path), wanted_files[i]);
    for (size_t i = 0; st == STATUS_OK && i < json_array_size(files); i++)
        st = verify_file(directory, json_array_get(files, i), checkpoint__text(&path), err);
    json_decref(manifest);
    buffer_release(&path);
    return st;
}

uint64_t checkpoint_size_bytes(const char *checkpoint)
{
    struct buffer path = {0};
    struct error ignored;
    json_t *manifest = json_read_file(path_join(&path, checkpoint, checkpoint__manifest_file), CHECKPOINT_JSON_BYTES_MAX, &ignored);
    const json_t *files = json_object_get(manifest, "files");
    uint64_t sum = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_int_t size = json_integer_value(json_object_get(json_array_get(files, i), "size_bytes"));
        if (size < 0 || __builtin_add_overflow(sum, (uint64_t)size, &sum)) {
            sum = 0;
            break;
        }
    }
    json_decref(manifest);
    buffer_release(&path);
    return sum;
}
