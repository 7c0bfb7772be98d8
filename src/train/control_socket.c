/* SPDX-License-Identifier: MIT */
#include "train/control_socket.h"

#include "train/run_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char name[] = "control.sock";
enum { BACKLOG = 64 };

/* The address of the socket in the directory: by its path, or where that is too long by the open directory. */
static struct sockaddr_un address_of(const char *run, int directory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", run, name);
    if (n < 0 || (size_t)n >= sizeof address.sun_path)
        snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name);
    return address;
}

static int open_directory(const char *run)
{
    return open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* 0, or errno. */
static int connect_to(const struct sockaddr_un *address, int type, int *out)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | type, 0);
    if (fd < 0)
        return errno;
    int failure = 0;
    while (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0)
        if (errno != EINTR) {
            failure = errno;
            break;
        }
    if (failure)
        close(fd);
    else
        *out = fd;
    return failure;
}

/* What stands at the socket's place is gone after STATUS_OK. */
static enum status clear_place(const char *run, int directory, const struct sockaddr_un *address, struct error *err)
{
    struct stat st;
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? STATUS_OK : error_set(err, STATUS_IO, "cannot look at %s/%s: %s", run, name, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, STATUS_IO, "%s/%s is %s and not a socket; it is left as it is", run, name,
                         S_ISDIR(st.st_mode)   ? "a directory"
                         : S_ISLNK(st.st_mode) ? "a link"
                         : S_ISREG(st.st_mode) ? "a file"
                                               : "something else");
    int fd;
    const int failure = connect_to(address, SOCK_NONBLOCK, &fd);
    if (failure == 0)
        close(fd);
    if (failure == 0 || failure == EAGAIN)
        return error_set(err, STATUS_IO, "%s/%s is served by another process; it is left as it is", run, name);
    if (failure != ECONNREFUSED)
        return error_set(err, STATUS_IO, "%s/%s is the socket of somebody else (%s); it is left as it is", run, name,
                         strerror(failure));
    if (unlinkat(directory, name, 0) != 0)
        return error_set(err, STATUS_IO, "cannot remove %s/%s, which a process that is gone has left: %s", run, name,
                         strerror(errno));
    return STATUS_OK;
}

enum status control_socket_listen(struct control_socket *out, const char *run, struct error *err)
{
    struct stat st;
    *out = (struct control_socket){.fd = -1, .directory = open_directory(run)};
    if (out->directory < 0)
        return error_set(err, STATUS_IO, "cannot open %s: %s", run, strerror(errno));
    const struct sockaddr_un address = address_of(run, out->directory);
    enum status status = clear_place(run, out->directory, &address, err);
    if (status == STATUS_OK) {
        out->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* The file gets the mode of the socket, so there is no moment in which others may connect. */
        if (out->fd < 0 || fchmod(out->fd, 0600) != 0 || bind(out->fd, (const struct sockaddr *)&address, sizeof address) != 0)
            status = error_set(err, STATUS_IO, "cannot make %s/%s: %s", run, name, strerror(errno));
    }
    if (status == STATUS_OK && fstatat(out->directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        out->device = st.st_dev;
        out->inode = st.st_ino;
    }
    if (status == STATUS_OK && listen(out->fd, BACKLOG) != 0)
        status = error_set(err, STATUS_IO, "cannot listen at %s/%s: %s", run, name, strerror(errno));
    if (status != STATUS_OK)
        control_socket_close(out);
    return status;
}

void control_socket_close(struct control_socket *socket)
{
    struct stat st;
    if (socket->inode && fstatat(socket->directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == socket->inode &&
        st.st_dev == socket->device)
        unlinkat(socket->directory, name, 0);
    if (socket->fd >= 0)
        close(socket->fd);
    if (socket->directory >= 0)
        close(socket->directory);
    *socket = (struct control_socket){.fd = -1, .directory = -1};
}

enum status control_socket_connect(int *fd, const char *run, struct error *err)
{
    const int directory = open_directory(run);
    if (directory < 0)
        return error_set(err, STATUS_IO, "%s: no such run directory (%s)", run, strerror(errno));
    const struct sockaddr_un address = address_of(run, directory);
    const int failure = connect_to(&address, 0, fd);
    close(directory);
    if (failure == 0)
        return STATUS_OK;
    if (failure == ENOENT && run_is_training(run))
        return error_set(err, STATUS_IO, "the training in %s has no %s (it may be just beginning, or could not make one)", run,
                         name);
    if (failure == ENOENT || failure == ECONNREFUSED)
        return error_set(err, STATUS_IO, "no training goes on in %s; `cllm train --resume` goes on with a run", run);
    if (failure == EACCES || failure == EPERM)
        return error_set(err, STATUS_IO, "the training in %s is another user's", run);
    return error_set(err, STATUS_IO, "cannot connect to %s/%s: %s", run, name, strerror(failure));
}

bool control_socket_may_command(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}
