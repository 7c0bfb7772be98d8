/* SPDX-License-Identifier: MIT
 * Clients are the server thread's alone.  Tasks are shared: the list and all in it but the request are guarded by mu.  A
 * task ends with the driver's answer; its client takes the text and frees it, or, where the client is gone or was told
 * "pending", whoever ends it does.  An eventfd wakes the thread.
 */
#include "train/control_server.h"

#include "base/buffer.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "train/control_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CLIENTS = 32, MAX_TASKS = 64, READ_BYTES = 4096 };
static const uint64_t accept_again_ns = 200000000u, farewell_ns = 1000000000u;

enum task_state { TASK_WAITS, TASK_TAKEN, TASK_ENDED };

struct control_task {
    struct control_request request;
    uint64_t deadline_ns;
    enum task_state state;
    bool has_client; /* who gets the answer and frees the task */
    struct buffer answer;
    struct control_task *next;
};

struct client {
    int fd; /* -1: free */
    struct buffer in, out;
    size_t sent;
    uint64_t heard_ns;
    struct control_task *task;
    bool at_end; /* nothing more comes */
    bool leaves; /* when all is sent */
};

struct control_server {
    struct control_socket socket;
    struct control_handlers handlers;
    struct client clients[MAX_CLIENTS];
    uint64_t accept_after_ns;
    int wake;
    struct thread *thread;
    struct mutex *mu;
    struct control_task *tasks; /* in the order in which they came; guarded by mu, as what follows */
    int num_tasks;
    bool ending;
    const char *refusal;
};

/* ---- tasks ---- */

static void free_task(struct control_task *task)
{
    control_request_release(&task->request);
    buffer_release(&task->answer);
    mem_free(task);
}

/* mu is held. */
static void unlink_task(struct control_server *s, struct control_task *task)
{
    struct control_task **at = &s->tasks;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    s->num_tasks--;
}

static void wake(struct control_server *s)
{
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(s->wake, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

/* An object and a newline; takes the object over. */
static void line_of(json_t *object, struct buffer *out)
{
    struct buffer text = {0};
    if (json_write(object, false, &text, NULL) == STATUS_OK)
        buffer_append(out, text.data, text.len);
    else
        buffer_append_text(out, "{\"ok\":false,\"error\":\"out of memory\"}");
    buffer_append(out, "\n", 1);
    buffer_release(&text);
    json_decref(object);
}

static json_t *agreed(json_t *object)
{
    json_t *reply = json_pack("{s:b}", "ok", 1); /* first, for people */
    if (reply && (!object || json_object_update(reply, object) != 0)) {
        json_decref(reply);
        reply = NULL;
    }
    json_decref(object);
    return reply;
}

/* mu is held. */
static void end_task(struct control_server *s, struct control_task *task, json_t *reply)
{
    if (!task->has_client) {
        json_decref(reply);
        unlink_task(s, task);
        free_task(task);
        return;
    }
    line_of(reply, &task->answer);
    task->state = TASK_ENDED;
    wake(s);
}

struct control_task *control_server_take(struct control_server *s)
{
    mutex_lock(s->mu);
    struct control_task *task = s->tasks;
    while (task && task->state != TASK_WAITS)
        task = task->next;
    if (task)
        task->state = TASK_TAKEN;
    mutex_unlock(s->mu);
    return task;
}

const struct control_request *control_task_request(const struct control_task *task)
{
    return &task->request;
}

void control_server_answer(struct control_server *s, struct control_task *task, json_t *reply)
{
    json_t *whole = agreed(reply);
    mutex_lock(s->mu);
    CHECK(task->state == TASK_TAKEN);
    end_task(s, task, whole);
    mutex_unlock(s->mu);
}

void control_server_refuse(struct control_server *s, struct control_task *task, const char *text)
{
    json_t *refusal = control_refusal(text);
    mutex_lock(s->mu);
    CHECK(task->state == TASK_TAKEN);
    end_task(s, task, refusal);
    mutex_unlock(s->mu);
}

/* ---- clients; the server's thread ---- */

static void drop(struct control_server *s, struct client *c)
{
    if (c->task) {
        mutex_lock(s->mu);
        c->task->has_client = false;
        if (c->task->state == TASK_ENDED) {
            unlink_task(s, c->task);
            free_task(c->task);
        }
        mutex_unlock(s->mu);
    }
    close(c->fd);
    buffer_release(&c->in);
    buffer_release(&c->out);
    *c = (struct client){.fd = -1};
}

static void say(struct client *c, json_t *object)
{
    line_of(object, &c->out);
}

static void refuse(struct client *c, const char *text, bool leaves)
{
    say(c, control_refusal(text));
    c->leaves = c->leaves || leaves;
}

/* Sends what there is; false: the client is gone. */
static bool flush(struct client *c)
{
    while (c->sent < c->out.len) {
        const ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        c->sent += (size_t)n;
    }
    buffer_clear(&c->out);
    c->sent = 0;
    return !c->out.failed;
}

static void queue(struct control_server *s, struct client *c, struct control_request *request)
{
    struct control_task *task = mem_calloc(1, sizeof *task);
    const char *no = NULL;
    const enum control_command command = request->command;
    mutex_lock(s->mu);
    if (!task)
        no = "out of memory";
    else if (s->ending)
        no = s->refusal;
    else if (s->num_tasks >= MAX_TASKS)
        no = "too many requests wait for the present step already";
    if (!no) {
        *task = (struct control_task){.request = *request,
                                      .deadline_ns = clock_now_ns() + (uint64_t)(request->timeout_s * 1e9),
                                      .has_client = true};
        *request = (struct control_request){0};
        struct control_task **end = &s->tasks;
        while (*end)
            end = &(*end)->next;
        *end = task;
        s->num_tasks++;
        c->task = task;
    }
    mutex_unlock(s->mu);
    if (no) {
        mem_free(task);
        refuse(c, no, false);
    } else {
        s->handlers.arrived(s->handlers.ctx, command);
    }
}

static void obey(struct control_server *s, struct client *c, const char *line, size_t n)
{
    struct control_request request;
    struct error err = {0};
    if (control_request_parse(line, n, &request, &err) != STATUS_OK) {
        refuse(c, err.text, false);
        return;
    }
    if (request.command == CONTROL_STATUS)
        say(c, agreed(s->handlers.status(s->handlers.ctx)));
    else
        queue(s, c, &request);
    control_request_release(&request);
}

/* The lines that are there, one after the other, as long as each is answered and its answer sent at once. */
static void read_lines(struct control_server *s, struct client *c)
{
    size_t begin = 0;
    while (!c->task && !c->leaves && c->out.len == 0 && begin < c->in.len) {
        const char *from = c->in.data + begin, *end = memchr(from, '\n', c->in.len - begin);
        const size_t n = end ? (size_t)(end - from) : c->in.len - begin;
        if (n > CONTROL_LINE_MAX) {
            char text[80];
            snprintf(text, sizeof text, "a request has at most %d bytes", CONTROL_LINE_MAX);
            refuse(c, text, true);
            begin = c->in.len;
        } else if (end) {
            obey(s, c, from, n);
            begin += n + 1;
        } else {
            break;
        }
        if (!flush(c))
            c->at_end = c->leaves = true;
    }
    if (begin) {
        memmove(c->in.data, c->in.data + begin, c->in.len - begin);
        c->in.len -= begin;
    }
}

/* False: the client is gone. */
static bool hear(struct client *c)
{
    char bytes[READ_BYTES];
    ssize_t n;
    do
        n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN;
    c->at_end = c->at_end || n == 0;
    buffer_append(&c->in, bytes, (size_t)n);
    c->heard_ns = clock_now_ns();
    return !c->in.failed;
}

/* A free place, made where there is none by putting out who waits for nothing and was silent longest; NULL: all wait. */
static struct client *place(struct control_server *s)
{
    struct client *oldest = NULL;
    for (int i = 0; i < MAX_CLIENTS; i++) {
        struct client *c = &s->clients[i];
        if (c->fd < 0)
            return c;
        if (!c->task && (!oldest || c->heard_ns < oldest->heard_ns))
            oldest = c;
    }
    if (oldest) {
        refuse(oldest, "others want to be heard; connect again", true);
        flush(oldest);
        drop(s, oldest);
    }
    return oldest;
}

static void welcome(struct control_server *s)
{
    const int fd = accept4(s->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            s->accept_after_ns = clock_now_ns() + accept_again_ns;
        return;
    }
    struct client stranger = {.fd = fd};
    struct client *c = control_socket_may_command(fd) ? place(s) : NULL;
    if (c) {
        *c = (struct client){.fd = fd, .heard_ns = clock_now_ns()};
        return;
    }
    refuse(&stranger,
           control_socket_may_command(fd) ? "too many clients wait for the present step already"
                                          : "this training is another user's, and takes orders from that user and root only",
           true);
    flush(&stranger);
    buffer_release(&stranger.out);
    close(fd);
}

/* Gives the client its answer, or the word that its time is over. */
static void look_at_task(struct control_server *s, struct client *c, uint64_t now_ns)
{
    struct control_task *task = c->task;
    mutex_lock(s->mu);
    const bool ended = task->state == TASK_ENDED, late = !ended && now_ns >= task->deadline_ns;
    const bool taken = task->state == TASK_TAKEN;
    if (ended) {
        buffer_append(&c->out, task->answer.data ? task->answer.data : "", task->answer.len);
        unlink_task(s, task);
        free_task(task);
    } else if (late) {
        task->has_client = false; /* from here on the driver's to free */
    }
    mutex_unlock(s->mu);
    if (late)
        say(c, json_pack("{s:b, s:b, s:s}", "ok", 1, "pending", 1, "message",
                         taken ? "is being done" : "will be done after the present step"));
    if (ended || late)
        c->task = NULL;
}

/* ---- the thread ---- */

/* Milliseconds until something is due; -1: nothing is. */
static int patience(const struct control_server *s, uint64_t now_ns)
{
    uint64_t due_ns = s->accept_after_ns > now_ns ? s->accept_after_ns : UINT64_MAX;
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (s->clients[i].task && s->clients[i].task->deadline_ns < due_ns) /* the deadline is written once, by us */
            due_ns = s->clients[i].task->deadline_ns;
    if (due_ns == UINT64_MAX)
        return -1;
    const uint64_t ms = due_ns > now_ns ? (due_ns - now_ns) / 1000000 + 1 : 0;
    return ms > 60000 ? 60000 : (int)ms;
}

static void serve_client(struct control_server *s, struct client *c, short events, uint64_t now_ns)
{
    bool there = true;
    if (events & POLLIN)
        there = hear(c);
    else if (events & (POLLHUP | POLLERR | POLLNVAL))
        there = false;
    if (there && c->task)
        look_at_task(s, c, now_ns);
    there = there && flush(c);
    if (there)
        read_lines(s, c);
    if (!there || (c->out.len == 0 && !c->task && (c->leaves || c->at_end)))
        drop(s, c);
}

static bool is_over(struct control_server *s)
{
    mutex_lock(s->mu);
    const bool ending = s->ending;
    mutex_unlock(s->mu);
    return ending;
}

static void serve_once(struct control_server *s, int timeout_ms, bool welcoming)
{
    struct pollfd fds[MAX_CLIENTS + 2] = {{.fd = s->wake, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    if (welcoming && clock_now_ns() >= s->accept_after_ns)
        fds[1].fd = s->socket.fd;
    for (int i = 0; i < MAX_CLIENTS; i++) {
        const struct client *c = &s->clients[i];
        const bool full = c->task || c->in.len > CONTROL_LINE_MAX + READ_BYTES;
        fds[2 + i].fd = c->fd;
        fds[2 + i].events = (short)((c->at_end || full || c->leaves ? 0 : POLLIN) | (c->out.len ? POLLOUT : 0));
    }
    if (poll(fds, MAX_CLIENTS + 2, timeout_ms) < 0)
        return;
    uint64_t count;
    if (fds[0].revents && read(s->wake, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
        return;
    const uint64_t now_ns = clock_now_ns();
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (s->clients[i].fd >= 0)
            serve_client(s, &s->clients[i], fds[2 + i].revents, now_ns);
    if (fds[1].revents)
        welcome(s);
}

static void serve(void *arg)
{
    struct control_server *s = arg;
    while (!is_over(s))
        serve_once(s, patience(s, clock_now_ns()), true);
    /* What has been answered is still sent. */
    const uint64_t until_ns = clock_now_ns() + farewell_ns;
    for (bool busy = true; busy && clock_now_ns() < until_ns;) {
        busy = false;
        serve_once(s, 10, false);
        for (int i = 0; i < MAX_CLIENTS; i++)
            busy = busy || (s->clients[i].fd >= 0 && (s->clients[i].task || s->clients[i].out.len));
    }
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (s->clients[i].fd >= 0)
            drop(s, &s->clients[i]);
}

static void release(struct control_server *s)
{
    control_socket_close(&s->socket);
    if (s->wake >= 0)
        close(s->wake);
    mutex_free(s->mu);
    mem_free(s);
}

struct control_server *control_server_start(const char *run, const struct control_handlers *handlers, struct error *err)
{
    struct control_server *s = mem_calloc(1, sizeof *s);
    if (!s) {
        error_set(err, STATUS_NOMEM, "no memory for the control of %s", run);
        return NULL;
    }
    s->handlers = *handlers;
    for (int i = 0; i < MAX_CLIENTS; i++)
        s->clients[i].fd = -1;
    s->socket.fd = s->socket.directory = -1;
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->mu = mutex_new();
    enum status st = STATUS_OK;
    if (!s->mu)
        st = error_set(err, STATUS_NOMEM, "no memory for the control of %s", run);
    else if (s->wake < 0)
        st = error_set(err, STATUS_SYSTEM, "no event descriptor for the control of %s: %s", run, strerror(errno));
    if (st == STATUS_OK)
        st = control_socket_listen(&s->socket, run, err);
    if (st == STATUS_OK)
        s->thread = thread_start("control", serve, s, err);
    if (s->thread)
        return s;
    release(s);
    return NULL;
}

void control_server_stop(struct control_server *s, const char *refusal)
{
    if (!s)
        return;
    mutex_lock(s->mu);
    s->ending = true;
    s->refusal = refusal;
    for (struct control_task *task = s->tasks, *next; task; task = next) {
        next = task->next;
        CHECK(task->state != TASK_TAKEN);
        if (task->state == TASK_WAITS)
            end_task(s, task, control_refusal(refusal));
    }
    mutex_unlock(s->mu);
    wake(s);
    thread_join(s->thread);
    CHECK(!s->tasks);
    release(s);
}
