/* SPDX-License-Identifier: MIT
 * train/control_socket.h - RUN/control.sock: made, found, and whom it serves.
 *
 * A stream socket of mode 0600; the peer's user is looked at besides (unix(7), SO_PEERCRED).  The path of the run may be
 * longer than the 107 bytes of a socket's address: it is reached through /proc/self/fd then.  Any thread.
 */
#ifndef TRAIN_CONTROL_SOCKET_H
#define TRAIN_CONTROL_SOCKET_H

#include "base/status.h"

#include <stdbool.h>
#include <sys/types.h>

struct control_socket {
    int fd;        /* listens, does not block */
    int directory; /* of the run */
    dev_t device;  /* of the file */
    ino_t inode;
};

/* Makes it and listens.  Whoever calls holds the run's lock.  A socket file that nobody serves is replaced; anything else
 * at that place is left alone: STATUS_IO, in one sentence. */
enum status control_socket_listen(struct control_socket *out, const char *run, struct error *err);
void control_socket_close(struct control_socket *socket); /* removes the file if it is still the one made */

/* A connection to the training of the run, which blocks.  STATUS_IO: there is none, or not for us. */
enum status control_socket_connect(int *fd, const char *run, struct error *err);

/* Whether the peer is our user or root. */
bool control_socket_may_command(int fd);

#endif
