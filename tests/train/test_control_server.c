/* SPDX-License-Identifier: MIT
 * The control socket and its thread, with clients of all manners; the test drives as a training would.
 */
#include "train/control_server.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "train/control_socket.h"

#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char run[400];
static struct control_server *server;
static atomic_int arrivals[CONTROL_EVAL + 1];

static json_t *status(void *ctx)
{
    (void)ctx;
    return json_pack("{s:i}", "step", 7);
}

static void arrived(void *ctx, enum control_command command)
{
    (void)ctx;
    atomic_fetch_add(&arrivals[command], 1);
}

static const struct control_handlers handlers = {status, arrived, NULL};

static void make_run(const char *below)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(run, sizeof run, "%s/cllm-test-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(run));
    if (*below) {
        strncat(run, below, sizeof run - strlen(run) - 1);
        ck_assert_int_eq(mkdir(run, 0777), 0);
    }
}

static void begin(const char *below)
{
    struct error err = {0};
    make_run(below);
    server = control_server_start(run, &handlers, &err);
    ck_assert_msg(server != NULL, "%s", err.text);
}

static void end(void)
{
    control_server_stop(server, "it is over");
    file_remove_tree(run, NULL);
}

static const char *socket_path(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/control.sock", run);
    return path;
}

static int joined(void)
{
    int fd = -1;
    struct error err = {0};
    ck_assert_msg(control_socket_connect(&fd, run, &err) == STATUS_OK, "%s", err.text);
    return fd;
}

static void tell(int fd, const char *text)
{
    ck_assert_int_eq((int)send(fd, text, strlen(text), MSG_NOSIGNAL), (int)strlen(text));
}

/* The next line; it stays until the next call. */
static const char *heard(int fd)
{
    static char line[CONTROL_LINE_MAX];
    size_t n = 0;
    while (n < sizeof line - 1) {
        const ssize_t got = recv(fd, line + n, 1, 0);
        if (got <= 0 || line[n] == '\n')
            break;
        n++;
    }
    line[n] = 0;
    return line;
}

static void expect(int fd, const char *want)
{
    const char *line = heard(fd);
    ck_assert_msg(strstr(line, want) != NULL, "\"%s\" is not in: %s", want, line);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* The next task, which must come. */
static struct control_task *taken(enum control_command command)
{
    struct control_task *task = NULL;
    for (int i = 0; i < 20000 && !(task = control_server_take(server)); i++)
        nap();
    ck_assert_ptr_nonnull(task);
    ck_assert_int_eq(control_task_request(task)->command, command);
    return task;
}

START_TEST(requests_are_answered_in_the_order_in_which_they_are_done)
{
    begin("");
    struct stat st;
    ck_assert(stat(socket_path(), &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
    int a = joined(), b = joined();
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "{\"ok\":true,\"step\":7}");
    tell(a, "{\"command\": \"lr\", \"factor\": 0.5}\n{\"command\": \"status\"}\n");
    struct control_task *first = taken(CONTROL_LR);
    ck_assert(control_task_request(first)->factor == 0.5);
    tell(b, "{\"command\": \"save\"}\n");
    struct control_task *second = taken(CONTROL_SAVE);
    ck_assert_ptr_null(control_server_take(server));
    control_server_answer(server, second, json_pack("{s:s}", "message", "saved"));
    expect(b, "saved");
    control_server_refuse(server, first, "no\xff");
    expect(a, "{\"ok\":false,\"error\":\"no?\"}");
    expect(a, "\"step\":7"); /* what it had sent meanwhile */
    ck_assert_int_eq(atomic_load(&arrivals[CONTROL_LR]), 1);
    tell(b, "{\"command\": \"stop\"}\n");
    control_server_answer(server, taken(CONTROL_STOP), NULL); /* as where memory was out */
    expect(b, "\"ok\":false");
    close(a);
    close(b);
    end();
}
END_TEST

START_TEST(a_request_whose_time_is_over_is_pending_and_stays)
{
    begin("");
    int a = joined();
    tell(a, "{\"command\": \"eval\", \"timeout_s\": 0.02}\n");
    expect(a, "\"pending\":true,\"message\":\"will be done after the present step\"");
    struct control_task *task = taken(CONTROL_EVAL);
    tell(a, "{\"command\": \"save\", \"timeout_s\": 0}\n");
    struct control_task *save = taken(CONTROL_SAVE);
    expect(a, "pending");
    control_server_answer(server, task, json_object());
    control_server_answer(server, save, json_object());
    tell(a, "{\"command\": \"save\", \"timeout_s\": 0.3}\n");
    save = taken(CONTROL_SAVE);
    expect(a, "is being done");
    control_server_answer(server, save, json_object());
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "\"step\":7"); /* and no late answer before it */
    close(a);
    end();
}
END_TEST

START_TEST(who_goes_away_is_missed_by_nobody)
{
    begin("");
    for (int i = 0; i < 50; i++) {
        int a = joined();
        tell(a, i % 2 ? "{\"command\": \"eval\"}\n" : "{\"command\": \"ev");
        if (i % 3 == 0)
            shutdown(a, SHUT_WR);
        close(a);
    }
    for (int i = 0; i < 25; i++)
        control_server_answer(server, taken(CONTROL_EVAL), json_object());
    int a = joined(); /* says all it has to say, and still gets its answer */
    tell(a, "{\"command\": \"save\"}\n");
    shutdown(a, SHUT_WR);
    control_server_answer(server, taken(CONTROL_SAVE), json_pack("{s:s}", "message", "saved"));
    expect(a, "saved");
    ck_assert_str_eq(heard(a), "");
    close(a);
    end();
}
END_TEST

START_TEST(who_says_nothing_keeps_nobody_waiting)
{
    begin("");
    int silent[60], n = 60;
    for (int i = 0; i < n; i++) {
        silent[i] = joined();
        if (i % 2)
            tell(silent[i], "{\"command\""); /* and never the rest */
    }
    int a = joined();
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "\"step\":7");
    expect(silent[0], "connect again"); /* the oldest was put out */
    for (int i = 0; i < n; i++)
        close(silent[i]);
    close(a);
    end();
}
END_TEST

START_TEST(too_many_who_wait_are_told_so)
{
    begin("");
    int fds[32];
    for (int i = 0; i < 32; i++) {
        fds[i] = joined();
        tell(fds[i], "{\"command\": \"save\"}\n");
    }
    struct control_task *tasks[32];
    for (int i = 0; i < 32; i++)
        tasks[i] = taken(CONTROL_SAVE);
    int late = joined();
    expect(late, "too many clients");
    close(late);
    for (int i = 0; i < 32; i++)
        control_server_answer(server, tasks[i], json_object());
    for (int i = 0; i < 32; i++) {
        expect(fds[i], "\"ok\":true");
        close(fds[i]);
    }
    int a = joined(); /* requests left behind by those who did not wait */
    for (int i = 0; i < 64; i++) {
        tell(a, "{\"command\": \"save\", \"timeout_s\": 0}\n");
        expect(a, "pending");
    }
    tell(a, "{\"command\": \"save\", \"timeout_s\": 0}\n");
    expect(a, "too many requests");
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "\"step\":7");
    close(a);
    end(); /* refuses those 64 */
}
END_TEST

START_TEST(hostile_bytes_are_answered_and_no_more)
{
    begin("");
    static char much[200000];
    memset(much, 'x', sizeof much);
    int a = joined();
    tell(a, "\n");
    expect(a, "JSON object");
    tell(a, "\xff\xfe\n");
    expect(a, "JSON object");
    send(a, "\0\0\n", 3, MSG_NOSIGNAL);
    expect(a, "JSON object");
    send(a, much, sizeof much, MSG_NOSIGNAL);
    expect(a, "at most 65536 bytes");
    ck_assert_str_eq(heard(a), ""); /* put out */
    close(a);
    a = joined();
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "\"step\":7");
    /* One who asks and asks and never reads. */
    int deaf = joined();
    for (int i = 0; i < 20000; i++)
        if (send(deaf, "{\"command\": \"status\"}\n", 22, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "\"step\":7");
    close(deaf);
    close(a);
    end();
}
END_TEST

START_TEST(a_long_path_works)
{
    char below[180];
    memset(below, 'd', sizeof below - 1);
    below[0] = '/';
    below[sizeof below - 1] = 0;
    begin(below);
    ck_assert_uint_gt(strlen(run), 108);
    int a = joined();
    tell(a, "{\"command\": \"status\"}\n");
    expect(a, "\"step\":7");
    close(a);
    control_server_stop(server, "over");
    ck_assert(!file_exists(socket_path()));
    *strstr(run, "/ddd") = 0;
    file_remove_tree(run, NULL);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_and_a_foreign_one_left_alone)
{
    struct error err = {0};
    struct control_socket mine;
    make_run("");
    ck_assert_int_eq(control_socket_listen(&mine, run, &err), STATUS_OK);
    ck_assert_int_eq(control_socket_listen(&(struct control_socket){0}, run, &err), STATUS_IO);
    ck_assert_msg(strstr(err.text, "served by another process") != NULL, "%s", err.text);
    /* Its process is gone: the file stays. */
    close(mine.fd);
    close(mine.directory);
    ck_assert(file_exists(socket_path()));
    int fd;
    ck_assert_int_eq(control_socket_connect(&fd, run, &err), STATUS_IO);
    ck_assert_msg(strstr(err.text, "no training goes on") != NULL, "%s", err.text);
    server = control_server_start(run, &handlers, &err);
    ck_assert_msg(server != NULL, "%s", err.text);
    /* Somebody put another in its place: that one is not ours to remove. */
    ck_assert_int_eq(unlink(socket_path()), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", socket_path());
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(other, (struct sockaddr *)&address, sizeof address), 0);
    control_server_stop(server, "over");
    ck_assert(file_exists(socket_path()));
    close(other);
    unlink(socket_path());
    ck_assert_int_eq(mkdir(socket_path(), 0777), 0);
    ck_assert_ptr_null(control_server_start(run, &handlers, &err));
    ck_assert_msg(strstr(err.text, "is a directory and not a socket; it is left as it is") != NULL, "%s", err.text);
    file_remove_tree(run, NULL);
    ck_assert_ptr_null(control_server_start(run, &handlers, &err));
    ck_assert_int_eq(err.status, STATUS_IO);
}
END_TEST

struct crowd {
    atomic_int left;
    int kind;
};

static void ask_much(void *arg)
{
    struct crowd *c = arg;
    int fd = joined();
    for (int i = 0; i < 40; i++) {
        char line[200];
        tell(fd, (i + c->kind) % 3 ? "{\"command\": \"eval\"}\n" : "{\"command\": \"status\"}\n");
        snprintf(line, sizeof line, "%s", "");
        for (size_t n = 0; n < sizeof line - 1; n++) {
            if (recv(fd, line + n, 1, 0) != 1 || line[n] == '\n') {
                line[n] = 0;
                break;
            }
        }
        ck_assert_msg(strncmp(line, "{\"ok\":true", 10) == 0, "%s", line);
    }
    close(fd);
    atomic_fetch_sub(&c->left, 1);
}

START_TEST(many_at_once)
{
    begin("");
    struct crowd c = {.left = 6};
    struct thread *threads[6];
    struct error err = {0};
    for (int i = 0; i < 6; i++)
        threads[i] = thread_start("client", ask_much, &c, &err);
    while (atomic_load(&c.left) > 0) {
        struct control_task *task = control_server_take(server);
        if (task)
            control_server_answer(server, task, json_object());
        else
            nap();
    }
    for (int i = 0; i < 6; i++)
        thread_join(threads[i]);
    end();
}
END_TEST

START_TEST(the_end_refuses_who_waits)
{
    begin("");
    int a = joined(), b = joined();
    tell(a, "{\"command\": \"eval\"}\n");
    while (atomic_load(&arrivals[CONTROL_EVAL]) == 0)
        nap();
    tell(b, "{\"command\": \"stop\"}\n");
    struct control_task *eval = taken(CONTROL_EVAL), *stop = taken(CONTROL_STOP);
    control_server_answer(server, stop, json_pack("{s:s}", "message", "stopped"));
    control_server_refuse(server, eval, "too late");
    tell(b, "{\"command\": \"save\"}\n"); /* may come in time to be refused, or not */
    control_server_stop(server, "it is over");
    expect(a, "too late");
    expect(b, "stopped");
    close(a);
    close(b);
    ck_assert(!file_exists(socket_path()));
    file_remove_tree(run, NULL);
}
END_TEST

START_TEST(memory_that_is_refused_makes_no_server)
{
    struct error err = {0};
    make_run("");
    int refused = 0;
    for (int64_t n = 0; n < 12; n++) {
        mem_fail_at(n);
        server = control_server_start(run, &handlers, &err);
        mem_fail_at(-1);
        refused += server == NULL;
        ck_assert(server || err.status == STATUS_NOMEM);
        control_server_stop(server, "over");
        ck_assert(!file_exists(socket_path()));
    }
    ck_assert_int_ge(refused, 3);
    file_remove_tree(run, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control_server");
    TCase *tc = tcase_create("control_server");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, requests_are_answered_in_the_order_in_which_they_are_done);
    tcase_add_test(tc, a_request_whose_time_is_over_is_pending_and_stays);
    tcase_add_test(tc, who_goes_away_is_missed_by_nobody);
    tcase_add_test(tc, who_says_nothing_keeps_nobody_waiting);
    tcase_add_test(tc, too_many_who_wait_are_told_so);
    tcase_add_test(tc, hostile_bytes_are_answered_and_no_more);
    tcase_add_test(tc, a_long_path_works);
    tcase_add_test(tc, a_stale_socket_is_replaced_and_a_foreign_one_left_alone);
    tcase_add_test(tc, many_at_once);
    tcase_add_test(tc, the_end_refuses_who_waits);
    tcase_add_test(tc, memory_that_is_refused_makes_no_server);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
