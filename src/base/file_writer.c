/* SPDX-License-Identifier: MIT
 * file_writer.c - blocks of a megabyte, summed and copied a piece at a time while it is in a core's own cache.
 *
 * Whole blocks of a regular file are written past the page cache (O_DIRECT): the device takes them from the block itself, where
 * a buffered write is copied page by page and written back by threads of the kernel, at some hundred megabytes a second of a
 * core.  Only aligned blocks may go that way, so the last one does not; and what a file system will not take so is
 * written as ever, with writing back begun early.
 */
#include "base/file_writer.h"

#include "base/crc32.h"
#include "base/memory.h"
#include "file_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 20, PIECE_BYTES = 64 * 1024, WRITEBACK_BYTES = 8 << 20 };

struct file_writer {
    int fd;
    bool direct; /* O_DIRECT is set */
    char *path;
    unsigned char *block; /* [BLOCK_BYTES], page aligned */
    size_t used;          /* of it */
    uint64_t size_bytes;  /* all that was given */
    uint64_t begun_bytes; /* buffered: up to here the system was asked to begin writing to the disk */
    uint32_t crc32;
    struct error failure; /* status 0: none so far */
};

/* Of the calling thread. */
static _Thread_local struct {
    bool (*wanted)(const void *ctx);
    const void *ctx;
} stop;

void file_writer_stop_when(bool (*wanted)(const void *ctx), const void *ctx)
{
    stop.wanted = wanted;
    stop.ctx = ctx;
}

static void look_for_stop(struct file_writer *writer)
{
    if (stop.wanted && writer->failure.status == STATUS_OK && stop.wanted(stop.ctx))
        error_set(&writer->failure, STATUS_CANCELLED, "cancelled while writing %s", writer->path);
}

/* On a pipe the flag would mean something else.  Refused: it stays as it was. */
static void set_direct(struct file_writer *writer, bool on)
{
    struct stat st;
    const int flags = fcntl(writer->fd, F_GETFL);
    if (flags < 0 || (on && (fstat(writer->fd, &st) != 0 || !S_ISREG(st.st_mode))))
        return;
    if (fcntl(writer->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0)
        writer->direct = on;
}

static void free_writer(struct file_writer *writer)
{
    if (!writer)
        return;
    if (writer->block)
        mem_unmap(writer->block, BLOCK_BYTES);
    mem_free(writer->path);
    mem_free(writer);
}

struct file_writer *file_writer_open(const char *path, struct error *err)
{
    struct file_writer *writer = mem_calloc(1, sizeof *writer);
    if (writer) {
        writer->path = mem_strdup(path);
        writer->block = mem_map(BLOCK_BYTES);
    }
    if (!writer || !writer->path || !writer->block)
        error_set(err, STATUS_NOMEM, "no memory to write %s", path);
    else if ((writer->fd = file__create(path, err)) >= 0)
        return writer;
    free_writer(writer);
    return NULL;
}

/* A hint: the disk works while the rest is summed and copied, and the sync at the end finds little left. */
static void begin_writeback(struct file_writer *writer)
{
    const uint64_t done = writer->size_bytes - writer->used;
    if (writer->direct || done - writer->begun_bytes < WRITEBACK_BYTES)
        return;
    sync_file_range(writer->fd, (off_t)writer->begun_bytes, (off_t)(done - writer->begun_bytes), SYNC_FILE_RANGE_WRITE);
    writer->begun_bytes = done;
}

/* Writes what the block has.  EINVAL is how a direct write is refused: by a file system that wants other alignments, or for the rest
 * of a block of which a part was taken. */
static void flush(struct file_writer *writer)
{
    const unsigned char *from = writer->block;
    const size_t left = writer->used;
    size_t done = 0;
    if (left == BLOCK_BYTES && writer->size_bytes <= BLOCK_BYTES)
        set_direct(writer, true);
    else if (left < BLOCK_BYTES && writer->direct)
        set_direct(writer, false);
    bool good = writer->failure.status != STATUS_OK || file__write_all(writer->fd, from, left, &done);
    if (!good && errno == EINVAL && writer->direct) {
        set_direct(writer, false);
        good = !writer->direct && file__write_all(writer->fd, from + done, left - done, &done);
    }
    if (!good)
        error_set(&writer->failure, STATUS_IO, "cannot write %s: %m", writer->path);
    writer->used = 0;
}

void file_writer_write(struct file_writer *writer, const void *bytes, size_t n)
{
    const unsigned char *from = bytes;
    while (n && writer->failure.status == STATUS_OK) {
        if (writer->used == BLOCK_BYTES) {
            flush(writer);
            begin_writeback(writer);
            look_for_stop(writer);
        }
        const size_t room = BLOCK_BYTES - writer->used, most = n < PIECE_BYTES ? n : PIECE_BYTES;
        const size_t piece = most < room ? most : room;
        writer->crc32 = crc32_ieee(writer->crc32, from, piece);
        memcpy(writer->block + writer->used, from, piece);
        writer->used += piece;
        writer->size_bytes += piece;
        from += piece;
        n -= piece;
    }
}

enum status file_writer_close(struct file_writer *writer, bool sync, uint64_t *size_bytes, uint32_t *crc32,
                              struct error *err)
{
    flush(writer);
    look_for_stop(writer);
    if (writer->failure.status == STATUS_OK && sync && !file__sync(writer->fd))
        error_set(&writer->failure, STATUS_IO, "cannot sync %s: %m", writer->path);
    if (close(writer->fd) != 0 && errno != EINTR && writer->failure.status == STATUS_OK)
        error_set(&writer->failure, STATUS_IO, "cannot close %s: %m", writer->path);
    const enum status st = writer->failure.status;
    if (st != STATUS_OK && err)
        *err = writer->failure;
    if (size_bytes)
        *size_bytes = writer->size_bytes;
    if (crc32)
        *crc32 = writer->crc32;
    free_writer(writer);
    return st;
}
