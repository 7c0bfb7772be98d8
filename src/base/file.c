/* SPDX-License-Identifier: MIT
 * base/file.c - every system call that touches a file is here, each with what it can do to us: be interrupted, write
 * less than asked, or fail.  A failed fsync is final: the kernel may have dropped the pages and marked them clean, so
 * asking again would say "ok" of data that is lost.  Messages take errno through %m, so they are made before cleaning up.
 */
#include "base/file.h"

#include "base/check.h"
#include "base/crc32.h"
#include "base/memory.h"
#include "file_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1024 * 1024, MAX_DEPTH = 128 };

/* One write or read never moves more (Linux stops at 0x7ffff000 anyway). */
static const size_t MAX_CALL_BYTES = (size_t)1 << 30;

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a pipe";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "a special file";
    }
}

bool file__write_all(int fd, const void *bytes, size_t n, size_t *done)
{
    const char *p = bytes;
    for (*done = 0; *done < n;) {
        const size_t left = n - *done;
        const ssize_t wrote = write(fd, p + *done, left < MAX_CALL_BYTES ? left : MAX_CALL_BYTES);
        if (wrote < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        if (wrote == 0) { /* not for a regular file; not to be waited for either */
            errno = EIO;
            return false;
        }
        *done += (size_t)wrote;
    }
    return true;
}

static bool write_all(int fd, const void *bytes, size_t n)
{
    size_t done;
    return file__write_all(fd, bytes, n, &done);
}

bool file__sync(int fd)
{
    while (fsync(fd) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

static bool shorten(int fd, off_t size)
{
    while (ftruncate(fd, size) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

int file_open_read(const char *path, uint64_t *size_bytes, struct error *err)
{
    /* O_NONBLOCK: opening a FIFO must not wait for its writer.  It means nothing for regular files. */
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        error_set(err, STATUS_IO, "cannot open %s: %m", path);
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        error_set(err, STATUS_IO, "cannot examine %s: %m", path);
        close(fd);
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        error_set(err, STATUS_IO, "%s is %s, not a regular file", path, kind_of(st.st_mode));
        close(fd);
        return -1;
    }
    if (size_bytes)
        *size_bytes = (uint64_t)st.st_size;
    return fd;
}

void file_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

enum status file_read_some(int fd, const char *path, void *bytes, size_t n, size_t *got, struct error *err)
{
    *got = 0;
    while (*got < n) {
        const size_t left = n - *got;
        const ssize_t done = read(fd, (char *)bytes + *got, left < MAX_CALL_BYTES ? left : MAX_CALL_BYTES);
        if (done < 0) {
            if (errno == EINTR)
                continue;
            return error_set(err, STATUS_IO, "cannot read %s: %m", path);
        }
        if (done == 0)
            break;
        *got += (size_t)done;
    }
    return STATUS_OK;
}

enum status file_read_at(int fd, const char *path, uint64_t offset, void *bytes, size_t n, struct error *err)
{
    for (size_t got = 0; got < n;) {
        const size_t left = n - got;
        const ssize_t done =
            pread(fd, (char *)bytes + got, left < MAX_CALL_BYTES ? left : MAX_CALL_BYTES, (off_t)(offset + got));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_set(err, STATUS_IO, "cannot read %s: %m", path);
        if (done == 0)
            return error_set(err, STATUS_IO, "%s became shorter while it was read: it ends before byte %llu", path,
                             (unsigned long long)(offset + n));
        got += (size_t)done;
    }
    return STATUS_OK;
}

enum status file_read(const char *path, size_t max_bytes, struct buffer *out, struct error *err)
{
    uint64_t size;
    const int fd = file_open_read(path, &size, err);
    if (fd < 0)
        return STATUS_IO;
    /* The size is a hint: a file may grow while it is read (and those of /proc say 0). */
    const size_t begin = out->len;
    enum status st = STATUS_OK;
    if (size > max_bytes)
        st = error_set(err, STATUS_FORMAT, "%s is %llu bytes long, more than the %zu that are allowed here", path,
                       (unsigned long long)size, max_bytes);
    while (st == STATUS_OK) {
        const size_t have = out->len - begin;
        const size_t expected = size > have ? (size_t)size - have + 1 : CHUNK_BYTES;
        if (!buffer_reserve(out, expected)) {
            st = error_set(err, STATUS_NOMEM, "no memory to read %s (%llu bytes)", path, (unsigned long long)size);
            break;
        }
        size_t got;
        st = file_read_some(fd, path, out->data + out->len, expected, &got, err);
        out->len += got;
        out->data[out->len] = 0;
        if (st == STATUS_OK && out->len - begin > max_bytes)
            st =
                error_set(err, STATUS_FORMAT, "%s is longer than the %zu bytes that are allowed here", path, max_bytes);
        if (got < expected)
            break;
    }
    close(fd);
    if (st != STATUS_OK && out->data) {
        out->len = begin;
        out->data[begin] = 0;
    }
    return st;
}

/* The directory that holds `path`; false when memory ran out. */
static bool parent_of(struct buffer *out, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    buffer_append(out, n ? path : ".", n ? n : 1);
    return !out->failed;
}

static enum status sync_parent(const char *path, struct error *err)
{
    struct buffer parent = {0};
    enum status st = parent_of(&parent, path) ? file_sync_directory(parent.data, err)
                                              : error_set(err, STATUS_NOMEM, "no memory for the path of %s", path);
    buffer_release(&parent);
    return st;
}

int file__create(const char *path, struct error *err)
{
    int fd;
    do
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        error_set(err, STATUS_IO, "cannot create %s: %m", path);
    return fd;
}

enum status file_rename(const char *from, const char *to, struct error *err)
{
    if (rename(from, to) != 0)
        return error_set(err, STATUS_IO, "cannot rename %s to %s: %m", from, to);
    return sync_parent(to, err);
}

void file_discard(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
        unlink(path);
}

enum status file_replace(const char *path, const void *bytes, size_t n, struct error *err)
{
    struct buffer tmp = {0};
    buffer_printf(&tmp, "%s.tmp", path);
    if (tmp.failed)
        return error_set(err, STATUS_NOMEM, "no memory for the path of %s", path);
    enum status st = STATUS_OK;
    const int fd = file__create(tmp.data, err);
    if (fd < 0) {
        buffer_release(&tmp);
        return STATUS_IO;
    }
    if (!write_all(fd, bytes, n))
        st = error_set(err, STATUS_IO, "cannot write %s: %m", tmp.data);
    else if (!file__sync(fd))
        st = error_set(err, STATUS_IO, "cannot sync %s: %m", tmp.data);
    if (close(fd) != 0 && errno != EINTR && st == STATUS_OK)
        st = error_set(err, STATUS_IO, "cannot close %s: %m", tmp.data);
    if (st == STATUS_OK && rename(tmp.data, path) != 0)
        st = error_set(err, STATUS_IO, "cannot rename %s to %s: %m", tmp.data, path);
    if (st != STATUS_OK)
        file_discard(tmp.data);
    else
        st = sync_parent(path, err);
    buffer_release(&tmp);
    return st;
}

enum status file_patch(const char *path, uint64_t offset, const void *bytes, size_t n, struct error *err)
{
    int fd;
    do
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_set(err, STATUS_IO, "cannot open %s: %m", path);
    enum status st = STATUS_OK;
    if (lseek(fd, (off_t)offset, SEEK_SET) < 0 || !write_all(fd, bytes, n))
        st = error_set(err, STATUS_IO, "cannot write %s: %m", path);
    else if (!file__sync(fd))
        st = error_set(err, STATUS_IO, "cannot sync %s: %m", path);
    if (close(fd) != 0 && errno != EINTR && st == STATUS_OK)
        st = error_set(err, STATUS_IO, "cannot close %s: %m", path);
    return st;
}

enum status file_map_open(struct file_map *map, const char *path, struct error *err)
{
    *map = (struct file_map){0};
    uint64_t size;
    const int fd = file_open_read(path, &size, err);
    if (fd < 0)
        return STATUS_IO;
    enum status st = STATUS_OK;
    if (size > SIZE_MAX)
        st = error_set(err, STATUS_NOMEM, "%s is too long to be mapped: %llu bytes", path, (unsigned long long)size);
    else if (size) {
        void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            st = error_set(err, STATUS_IO, "cannot map %s (%llu bytes): %m", path, (unsigned long long)size);
        else
            *map = (struct file_map){p, (size_t)size};
    }
    close(fd);
    return st;
}

void file_map_advise(const struct file_map *map, enum file_access access)
{
    const int advice = access == FILE_SEQUENTIAL ? MADV_SEQUENTIAL
                       : access == FILE_RANDOM   ? MADV_RANDOM
                                                 : MADV_WILLNEED;
    if (map->data)
        madvise((void *)(uintptr_t)map->data, map->size_bytes, advice);
}

void file_map_close(struct file_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size_bytes);
    *map = (struct file_map){0};
}

enum status file_crc32(const char *path, uint64_t *size_bytes, uint32_t *crc32, struct error *err)
{
    const int fd = file_open_read(path, NULL, err);
    if (fd < 0)
        return STATUS_IO;
    unsigned char *chunk = mem_alloc(CHUNK_BYTES);
    enum status st = chunk ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory to read %s", path);
    uint64_t size = 0;
    uint32_t sum = 0;
    for (size_t got = CHUNK_BYTES; st == STATUS_OK && got == CHUNK_BYTES;) {
        st = file_read_some(fd, path, chunk, CHUNK_BYTES, &got, err);
        sum = crc32_ieee(sum, chunk, got);
        size += got;
    }
    mem_free(chunk);
    close(fd);
    if (st == STATUS_OK && size_bytes)
        *size_bytes = size;
    if (st == STATUS_OK && crc32)
        *crc32 = sum;
    return st;
}

enum status file_append_line(int fd, const char *path, const char *line, size_t len, struct error *err)
{
    struct buffer whole = {0};
    const char *bytes = line;
    if (len == 0 || line[len - 1] != '\n') { /* one write: a reader never sees a line without its end */
        buffer_append(&whole, line, len);
        buffer_append(&whole, "\n", 1);
        if (whole.failed) {
            buffer_release(&whole);
            return error_set(err, STATUS_NOMEM, "no memory to write %s", path);
        }
        bytes = whole.data;
        len = whole.len;
    }
    enum status st = STATUS_OK;
    struct stat before;
    const bool regular = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    if (!write_all(fd, bytes, len)) {
        const int why = errno;
        st = error_set(err, STATUS_IO, "cannot write %s: %m", path);
        if (regular && !shorten(fd, before.st_size))
            st = error_prefix(err, "the last line of %s is incomplete (%m)", path);
        errno = why;
    }
    buffer_release(&whole);
    return st == STATUS_OK ? STATUS_OK : STATUS_IO;
}

enum status file_cut(int fd, const char *path, uint64_t size_bytes, struct error *err)
{
    if (!shorten(fd, (off_t)size_bytes) || !file__sync(fd))
        return error_set(err, STATUS_IO, "cannot cut %s to %llu bytes: %m", path, (unsigned long long)size_bytes);
    return STATUS_OK;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

enum status file_make_directory(const char *path, struct error *err)
{
    if (mkdir(path, 0777) != 0)
        return error_set(err, STATUS_IO, "cannot create directory %s: %m", path);
    return STATUS_OK;
}

enum status file_sync_directory(const char *path, struct error *err)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_set(err, STATUS_IO, "cannot open directory %s: %m", path);
    enum status st = STATUS_OK;
    if (!file__sync(fd) && errno != EINVAL) /* EINVAL: a file system that has no such operation */
        st = error_set(err, STATUS_IO, "cannot sync directory %s: %m", path);
    close(fd);
    return st;
}

/* Removes what `name` in `parent_fd` is; `shown` is for the message. */
static enum status remove_at(int parent_fd, const char *name, const char *shown, int depth, struct error *err)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT)
        return STATUS_OK;
    if (errno != EISDIR && errno != EPERM) /* EPERM is what POSIX says of a directory */
        return error_set(err, STATUS_IO, "cannot remove %s: %m", shown);
    int fd;
    do
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_set(err, STATUS_IO, "cannot remove %s: %m", shown);
    if (depth >= MAX_DEPTH) {
        close(fd);
        return error_set(err, STATUS_IO, "cannot remove %s: nested deeper than %d directories", shown, (int)MAX_DEPTH);
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        error_set(err, STATUS_IO, "cannot read directory %s: %m", shown);
        close(fd);
        return STATUS_IO;
    }
    enum status st = STATUS_OK;
    struct buffer child = {0};
    while (st == STATUS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                st = error_set(err, STATUS_IO, "cannot read directory %s: %m", shown);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            st = remove_at(fd, entry->d_name, path_join(&child, shown, entry->d_name), depth + 1, err);
    }
    buffer_release(&child);
    closedir(dir);
    if (st == STATUS_OK && unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        st = error_set(err, STATUS_IO, "cannot remove directory %s: %m", shown);
    return st;
}

enum status file_remove_tree(const char *path, struct error *err)
{
    return remove_at(AT_FDCWD, path, path, 0, err);
}

enum status file_free_space(const char *path, uint64_t *bytes, struct error *err)
{
    struct statvfs vfs;
    int rc;
    do
        rc = statvfs(path, &vfs);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return error_set(err, STATUS_IO, "cannot ask for the free space at %s: %m", path);
    if (__builtin_mul_overflow((uint64_t)vfs.f_bavail, (uint64_t)vfs.f_frsize, bytes))
        *bytes = UINT64_MAX;
    return STATUS_OK;
}

const char *path_join(struct buffer *out, const char *directory, const char *name)
{
    CHECK(!out->data || (directory != out->data && name != out->data));
    buffer_clear(out);
    const size_t n = strlen(directory);
    buffer_append(out, directory, n);
    if (n && directory[n - 1] != '/')
        buffer_append(out, "/", 1);
    buffer_append_text(out, name);
    return out->failed ? "" : out->data;
}
