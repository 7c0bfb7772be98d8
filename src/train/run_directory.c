/* SPDX-License-Identifier: MIT */
#include "train/run_directory.h"

#include "base/file.h"
#include "base/human.h"
#include "base/memory.h"
#include "formats/json.h"
#include "topology/isa.h"
#include "train/checkpoint_internal.h"
#include "train/time_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { FORMAT = 1, MAX_JSON_BYTES = 1 << 20, METRICS_BYTES_PER_STEP = 256 };

struct run_directory {
    char *path;
    int lock_fd;
};

/* A path; "" when memory ran out while it was made, which no file has. */
static const char *text_of(const struct buffer *buffer)
{
    return buffer->data && !buffer->failed ? buffer->data : "";
}

static bool take(int fd)
{
    while (flock(fd, LOCK_EX | LOCK_NB) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

/* Takes RUN/lock, or says who has it. */
static enum status lock(struct run_directory *run, struct error *err)
{
    struct buffer path = {0};
    path_join(&path, run->path, "lock");
    enum status st = STATUS_OK;
    do
        run->lock_fd = open(text_of(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    while (run->lock_fd < 0 && errno == EINTR);
    if (run->lock_fd < 0) {
        st = error_set(err, STATUS_IO, "cannot open %s: %s", text_of(&path), strerror(errno));
    } else if (!take(run->lock_fd)) {
        char holder[24] = "";
        ssize_t n = errno == EWOULDBLOCK ? pread(run->lock_fd, holder, sizeof holder - 1, 0) : 0;
        holder[n > 0 ? n : 0] = 0;
        holder[strspn(holder, "0123456789")] = 0;
        if (errno == EWOULDBLOCK)
            st =
                error_set(err, STATUS_IO, "another process%s%s uses the run directory %s; wait for it or stop it first",
                          *holder ? ", " : "", holder, run->path);
        else
            st = error_set(err, STATUS_IO, "cannot lock %s: %s", text_of(&path), strerror(errno));
        close(run->lock_fd);
        run->lock_fd = -1;
    } else {
        char pid[24];
        int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        st = file_cut(run->lock_fd, text_of(&path), 0, err);
        if (st == STATUS_OK)
            st = file_append_line(run->lock_fd, text_of(&path), pid, (size_t)n, err);
    }
    buffer_release(&path);
    return st;
}

static struct run_directory *allocate(const char *path, struct error *err)
{
    struct run_directory *run = mem_calloc(1, sizeof *run);
    if (run) {
        run->lock_fd = -1;
        run->path = mem_strdup(path);
    }
    if (!run || !run->path) {
        error_set(err, STATUS_NOMEM, "out of memory for the run directory %s", path);
        mem_free(run);
        return NULL;
    }
    return run;
}

struct run_directory *run_directory_create(const char *path, struct error *err)
{
    if (file_exists(path)) {
        error_set(err, STATUS_IO, "%s exists already; a new run needs a new directory", path);
        return NULL;
    }
    struct run_directory *run = allocate(path, err);
    if (!run)
        return NULL;
    if (file_make_directory(path, err) != STATUS_OK) {
        run_directory_close(run);
        return NULL;
    }
    if (lock(run, err) != STATUS_OK) {
        run_directory_discard(run);
        return NULL;
    }
    return run;
}

struct run_directory *run_directory_open(const char *path, struct run_info *info, struct error *err)
{
    if (!file_is_directory(path)) {
        error_set(err, STATUS_IO, "%s is not a directory, so there is no run to go on with", path);
        return NULL;
    }
    if (run_info_read(path, info, err) != STATUS_OK) /* before the lock, so that other directories get no file */
        return NULL;
    struct run_directory *run = allocate(path, err);
    if (run && lock(run, err) != STATUS_OK) {
        run_directory_close(run);
        return NULL;
    }
    return run;
}

void run_directory_close(struct run_directory *run)
{
    if (!run)
        return;
    if (run->lock_fd >= 0)
        close(run->lock_fd); /* and with it the lock */
    mem_free(run->path);
    mem_free(run);
}

void run_directory_discard(struct run_directory *run)
{
    if (!run)
        return;
    file_remove_tree(run->path, NULL);
    run_directory_close(run);
}

const char *run_directory_path(const struct run_directory *run)
{
    return run->path;
}

/* Checkpoints there are already. */
static enum status count_checkpoints(const struct run_directory *run, uint64_t *n, struct error *err)
{
    struct buffer path = {0};
    uint64_t *steps = NULL;
    size_t found = 0;
    enum status st = STATUS_OK;
    if (file_is_directory(path_join(&path, run->path, "checkpoints")))
        st = checkpoint__list(text_of(&path), &steps, &found, err);
    mem_free(steps);
    buffer_release(&path);
    *n = found;
    return st;
}

enum status run_directory_check_space(const struct run_directory *run, const struct train_settings *settings, uint64_t step,
                                      uint64_t checkpoint_bytes, struct error *err)
{
    uint64_t have = 0, need, metrics, there = 0;
    const uint64_t most = time_plan_checkpoints(settings);
    enum status st = count_checkpoints(run, &there, err);
    if (st == STATUS_OK)
        st = file_free_space(run->path, &have, err);
    const uint64_t more = most > there + 1 ? most - there : 1; /* one in the making, always */
    if (__builtin_mul_overflow(settings->steps - step, (uint64_t)METRICS_BYTES_PER_STEP, &metrics) ||
        __builtin_mul_overflow(checkpoint_bytes, more, &need) || __builtin_add_overflow(need, metrics, &need))
        need = UINT64_MAX;
    if (st == STATUS_OK && have < need) {
        struct human a, b, c;
        st = error_set(err, STATUS_IO,
                       "the disk of %s is too full: the run needs %s (%" PRIu64 " checkpoint%s of %s, and metrics) and %s are free; "
                       "--keep and --keep-every say how many checkpoints stay",
                       run->path, human_bytes(&a, need), more, more == 1 ? "" : "s", human_bytes(&b, checkpoint_bytes),
                       human_bytes(&c, have));
    }
    return st;
}

/* Writes an object as RUN/name, replacing the old one; takes the reference. */
static enum status replace_json(const struct run_directory *run, const char *name, json_t *object, struct error *err)
{
    struct buffer path = {0}, text = {0};
    path_join(&path, run->path, name);
    enum status st =
        object ? json_write(object, true, &text, err)
               : error_set(err, STATUS_NOMEM, "out of memory for %s, or a text in it is not UTF-8", text_of(&path));
    if (st == STATUS_OK)
        st = file_replace(text_of(&path), text.data, text.len, err);
    json_decref(object);
    buffer_release(&path);
    buffer_release(&text);
    return st;
}

static json_t *crc_json(uint32_t crc)
{
    char text[16];
    snprintf(text, sizeof text, "%08" PRIx32, crc);
    return json_string(text);
}

enum status run_directory_write_info(struct run_directory *run, struct run_info *info, struct error *err)
{
    enum isa isa;
    enum status st = isa_choose(&isa, err);
    if (st != STATUS_OK)
        return st;
    snprintf(info->version, sizeof info->version, "%s", CLLM_VERSION);
    snprintf(info->isa, sizeof info->isa, "%s", isa_name(isa));
    snprintf(info->dtype, sizeof info->dtype, "%s", dtype_name(info->settings.dtype));
    uint32_t hash = train_settings_hash(&info->settings, info->data_crc32, info->tokenizer_crc32);
    return replace_json(run, "run.json",
                        json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:I, s:o, s:{s:s, s:o, s:s}, s:{s:s, s:o}, s:s, s:o}",
                                  "format", (int)FORMAT, "version", info->version, "isa", info->isa, "dtype",
                                  info->dtype, "backend", info->backend, "threads", info->threads, "seed",
                                  (json_int_t)info->settings.seed, "settings_hash", crc_json(hash), "data", "path",
                                  info->data_path, "crc32", crc_json(info->data_crc32), "tokens_file",
                                  info->tokens_file, "tokenizer", "kind", info->tokenizer_kind, "crc32",
                                  crc_json(info->tokenizer_crc32), "init", info->init_directory, "settings",
                                  train_settings_json(&info->settings)),
                        err);
}

enum status run_directory_write_stats(struct run_directory *run, const struct stats_report *report, struct error *err)
{
    return replace_json(run, "stats.json", stats_report_json(report), err);
}

/* ---- reading run.json ---- */

static enum status get_text(const json_t *object, const char *key, char *out, size_t size, const char *where,
                            struct error *err)
{
    const char *text = "";
    enum status st = json_get_text(object, key, true, &text, where, err);
    if (st == STATUS_OK && strlen(text) >= size)
        st = error_set(err, STATUS_FORMAT, "%s: \"%s\" is longer than %zu bytes", where, key, size - 1);
    if (st == STATUS_OK)
        memcpy(out, text, strlen(text) + 1);
    return st;
}

static enum status get_crc(const json_t *object, const char *key, uint32_t *out, const char *where, struct error *err)
{
    char text[9] = "";
    enum status st = get_text(object, key, text, sizeof text, where, err);
    if (st == STATUS_OK && strspn(text, "0123456789abcdef") != 8)
        st = error_set(err, STATUS_FORMAT, "%s: \"%s\" must be eight hexadecimal digits", where, key);
    if (st == STATUS_OK)
        *out = (uint32_t)strtoul(text, NULL, 16);
    return st;
}

static enum status read_info(const json_t *object, struct run_info *out, const char *where, struct error *err)
{
    uint64_t format = 0, threads = 0;
    uint32_t hash = 0;
    const json_t *data = json_object_get(object, "data"), *tokenizer = json_object_get(object, "tokenizer");
    if (!json_is_object(data) || !json_is_object(tokenizer))
        return error_set(err, STATUS_FORMAT, "%s: \"data\" and \"tokenizer\" must be objects", where);
    enum status st = json_get_u64(object, "format", true, INT_MAX, &format, where, err);
    if (st == STATUS_OK && format != FORMAT)
        st = error_set(err, STATUS_FORMAT, "%s: \"format\" is %" PRIu64 ", this program reads %d", where, format,
                       (int)FORMAT);
    if (st == STATUS_OK)
        st = get_text(object, "version", out->version, sizeof out->version, where, err);
    if (st == STATUS_OK)
        st = get_text(object, "isa", out->isa, sizeof out->isa, where, err);
    if (st == STATUS_OK)
        st = get_text(object, "dtype", out->dtype, sizeof out->dtype, where, err);
    if (st == STATUS_OK)
        st = get_text(object, "backend", out->backend, sizeof out->backend, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "threads", true, SPHERES_MAX, &threads, where, err);
    if (st == STATUS_OK)
        st = get_text(data, "path", out->data_path, sizeof out->data_path, where, err);
    if (st == STATUS_OK)
        st = get_crc(data, "crc32", &out->data_crc32, where, err);
    if (st == STATUS_OK)
        st = get_text(data, "tokens_file", out->tokens_file, sizeof out->tokens_file, where, err);
    if (st == STATUS_OK)
        st = get_text(tokenizer, "kind", out->tokenizer_kind, sizeof out->tokenizer_kind, where, err);
    if (st == STATUS_OK)
        st = get_crc(tokenizer, "crc32", &out->tokenizer_crc32, where, err);
    if (st == STATUS_OK)
        st = get_text(object, "init", out->init_directory, sizeof out->init_directory, where, err);
    if (st == STATUS_OK)
        st = get_crc(object, "settings_hash", &hash, where, err);
    if (st == STATUS_OK)
        st = train_settings_from_json(&out->settings, json_object_get(object, "settings"), where, err);
    if (st == STATUS_OK && hash != train_settings_hash(&out->settings, out->data_crc32, out->tokenizer_crc32))
        st = error_set(err, STATUS_FORMAT, "%s: \"settings_hash\" is not that of its settings, data and tokenizer",
                       where);
    out->threads = (int)threads;
    return st;
}

enum status run_info_read(const char *path, struct run_info *out, struct error *err)
{
    struct buffer file = {0};
    struct error mine;
    if (!err)
        err = &mine;
    *out = (struct run_info){0};
    path_join(&file, path, "run.json");
    json_t *object = json_read_file(text_of(&file), MAX_JSON_BYTES, err);
    enum status st = object ? read_info(object, out, text_of(&file), err) : err->status;
    json_decref(object);
    buffer_release(&file);
    return st;
}
