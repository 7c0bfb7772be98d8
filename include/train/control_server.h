/* SPDX-License-Identifier: MIT
 * train/control_server.h - the thread that serves RUN/control.sock, and the queue between it and who drives the training.
 *
 * The thread reads requests, answers "status" and what makes no sense by itself, and queues the rest in the order in which
 * they came.  The driving thread takes them between two steps and answers each when it has been done.  A request that is not
 * done when its time is over gets the answer "pending", which is true: it stays in the queue.  A client has one request under
 * way at a time; what it sends meanwhile is read afterwards.  Clients that say nothing keep nobody waiting: when there are too
 * many, the one that has been silent longest is put out.
 */
#ifndef TRAIN_CONTROL_SERVER_H
#define TRAIN_CONTROL_SERVER_H

#include "base/status.h"
#include "train/control_protocol.h"

struct control_server;
struct control_task; /* a request that waits or is being done */

/* Called in the server's thread. */
struct control_handlers {
    json_t *(*status)(void *ctx);                           /* a new object, without "ok"; NULL: no memory */
    void (*arrived)(void *ctx, enum control_command command); /* it is in the queue */
    void *ctx;
};

/* Makes the socket and starts the thread.  NULL: STATUS_IO (control_socket_listen), STATUS_NOMEM, STATUS_SYSTEM. */
struct control_server *control_server_start(const char *run, const struct control_handlers *handlers, struct error *err);

/* Refuses what still waits with the sentence, sends what is to be sent for a second at most, removes the socket and
 * frees.  All tasks taken must have been answered.  NULL is fine. */
void control_server_stop(struct control_server *server, const char *refusal);

/* The driving thread: the next request, or NULL. */
struct control_task *control_server_take(struct control_server *server);
const struct control_request *control_task_request(const struct control_task *task);

/* Ends the task.  `reply` is an object without "ok", taken over; NULL counts as one that memory was not enough for. */
void control_server_answer(struct control_server *server, struct control_task *task, json_t *reply);
void control_server_refuse(struct control_server *server, struct control_task *task, const char *text);

#endif
