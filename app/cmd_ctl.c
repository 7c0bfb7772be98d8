/* SPDX-License-Identifier: MIT
 * app/cmd_ctl.c - `cllm ctl`: asks and steers a training through RUN/control.sock.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/human.h"
#include "runtime/sphere.h"
#include "train/control_protocol.h"
#include "train/control_socket.h"
#include "train/run_events.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct option_usage usage = {
    .command = "ctl",
    .synopsis = "cllm ctl RUN status|pause|resume|save|stop|eval [options]\n"
                "       cllm ctl RUN sample [PROMPT] | lr FACTOR | spheres N [options]",
    .summary = "Asks and steers the training that goes on in a run directory. A command comes back when it has taken effect, "
               "which is between two steps, or was refused.",
    .examples = "  cllm ctl run1 status\n"
                "  cllm ctl run1 status --json | jq .loss\n"
                "  cllm ctl run1 save\n"
                "  cllm ctl run1 sample \"Once upon a time\"\n"
                "  cllm ctl run1 lr 0.5\n"
                "  cllm ctl run1 spheres 4\n",
    .notes = "status   where the training stands; it answers at any time, also in a pause\n"
             "pause    after the present step; the memory stays taken\n"
             "resume   goes on after a pause\n"
             "save     a checkpoint of the present step\n"
             "stop     after the present step, with a checkpoint, as SIGTERM does\n"
             "eval     the loss over the validation part now, as an event of its own\n"
             "sample   text as the model now writes it, after PROMPT or the run's own\n"
             "lr       the schedule's learning rate times FACTOR from the next step on; 1 undoes it. It reaches the weights, so\n"
             "         it is recorded: a resumed or replayed run (cllm train --replay) does the same\n"
             "spheres  another number of worker threads, 0 = as many as there are cores to use; not a bit of the result changes\n"
             "\n"
             "Exit codes: 0 done, 1 refused or no training there, 2 bad usage, 3 asked for but not done within --timeout: it\n"
             "will be done after the present step. Only the user who trains, and root, may command (docs/control.md).\n",
};

enum { EXIT_CODE_PENDING = 3, ANSWER_MAX = 1 << 22 };
static const double grace_s = 10; /* for an answer to come over */

static enum status send_line(int fd, const char *bytes, size_t n, struct error *err)
{
    while (n > 0) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        /* A server that refuses us at once has said why before it closed. */
        if (sent < 0)
            return errno == EPIPE || errno == ECONNRESET
                       ? STATUS_OK
                       : error_set(err, STATUS_IO, "cannot write to the training: %s", strerror(errno));
        bytes += sent;
        n -= (size_t)sent;
    }
    return STATUS_OK;
}

static enum status read_answer(int fd, double timeout_s, struct buffer *line, struct error *err)
{
    const uint64_t until_ns = clock_now_ns() + (uint64_t)((timeout_s + grace_s) * 1e9);
    while (!memchr(line->data ? line->data : "", '\n', line->len)) {
        char bytes[4096];
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const uint64_t now_ns = clock_now_ns();
        const uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / 1000000 + 1 : 0;
        const int ready = left_ms == 0 ? 0 : poll(&wait, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return error_set(err, STATUS_IO, "cannot wait for the training: %s", strerror(errno));
        if (left_ms == 0)
            return error_set(err, STATUS_TIMEOUT, "the training does not answer; is its process stopped?");
        if (ready <= 0)
            continue;
        const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(err, STATUS_IO, "the training ended without an answer");
        buffer_append(line, bytes, (size_t)n);
        if (line->failed || line->len > ANSWER_MAX)
            return error_set(err, STATUS_NOMEM, "the answer is too long");
    }
    return STATUS_OK;
}

static json_t *ask(const char *run, const struct control_request *request, struct error *err)
{
    int fd = -1;
    struct buffer line = {0};
    json_t *answer = NULL, *object = control_request_json(request);
    enum status status = object ? json_write(object, false, &line, err)
                                : error_set(err, STATUS_CONFIG, "the prompt is not UTF-8, or there is no memory");
    json_decref(object);
    buffer_append_text(&line, "\n");
    if (status == STATUS_OK && line.len > CONTROL_LINE_MAX)
        status = error_set(err, STATUS_CONFIG, "the prompt is too long: a request has at most %d bytes", CONTROL_LINE_MAX);
    if (status == STATUS_OK)
        status = control_socket_connect(&fd, run, err);
    if (status == STATUS_OK)
        status = send_line(fd, line.data, line.len, err);
    buffer_clear(&line);
    if (status == STATUS_OK)
        status = read_answer(fd, request->timeout_s, &line, err);
    if (status == STATUS_OK)
        answer = json_read_text(line.data, (size_t)((char *)memchr(line.data, '\n', line.len) - line.data), "the answer", err);
    if (fd >= 0)
        close(fd);
    buffer_release(&line);
    return answer;
}

/* ---- for people ---- */

static double real(const json_t *answer, const char *key)
{
    const json_t *value = json_object_get(answer, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static uint64_t whole(const json_t *answer, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(answer, key));
}

static void print_status(const json_t *a)
{
    struct human speed, eta;
    const char *state = json_string_value(json_object_get(a, "state"));
    printf("%s, step %" PRIu64 " of %" PRIu64 ", epoch %" PRIu64 "\n", state ? state : "?", whole(a, "step"), whole(a, "steps"),
           whole(a, "epoch"));
    if (!isnan(real(a, "loss")))
        printf("loss %.4f  |g| %.3f  lr %.3e", real(a, "loss"), real(a, "grad_norm"), real(a, "lr"));
    else
        printf("no step yet in this session; lr");
    printf(" (%g of the schedule's)\n", real(a, "lr_factor"));
    if (!isnan(real(a, "val_loss")))
        printf("validation loss %.4f at step %" PRIu64 "\n", real(a, "val_loss"), whole(a, "val_step"));
    printf("%" PRIu64 " spheres", whole(a, "spheres"));
    if (!isnan(real(a, "loss")))
        printf(", %s tokens/s, waiting %.0f%%", human_count(&speed, real(a, "tokens_per_s")), 100 * real(a, "wait_share"));
    if (!isnan(real(a, "eta_s")))
        printf(", %s to go", human_duration(&eta, real(a, "eta_s")));
    printf("; process %" PRIu64 "\n", whole(a, "pid"));
}

static int print_answer(const json_t *a, const struct control_request *request, bool json, struct error *err)
{
    const bool ok = json_is_true(json_object_get(a, "ok")), pending = json_is_true(json_object_get(a, "pending"));
    const char *message = json_string_value(json_object_get(a, ok ? "message" : "error"));
    const json_t *text = json_object_get(a, "text");
    struct buffer out = {0};
    if (json) {
        if (json_write(a, true, &out, err) == STATUS_OK)
            fwrite(out.data, 1, out.len, stdout);
        buffer_release(&out);
    } else if (!ok) {
        command_say("ctl", "%s", message ? message : "refused");
    } else if (request->command == CONTROL_STATUS) {
        print_status(a);
    } else if (text) {
        fwrite(json_string_value(text), 1, json_string_length(text), stdout);
        putchar('\n');
    } else {
        printf("%s\n", message ? message : "done");
    }
    return !ok ? EXIT_CODE_FAILURE : pending ? EXIT_CODE_PENDING : EXIT_CODE_OK;
}

/* ---- the command line ---- */

static bool read_number(const char *word, double max, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(word, &end);
    return end != word && *end == 0 && errno == 0 && *out >= 0 && *out <= max;
}

/* The words after RUN.  Nothing was said when OPTIONS_GO_ON comes back. */
static int read_words(const char *const *words, size_t n, struct control_request *request)
{
    static const char *const names[] = {"status", "pause", "resume", "save", "stop", "sample", "lr", "spheres", "eval"};
    double number = 0;
    if (!control_command_parse(words[0], &request->command)) {
        const char *near = option_nearest(words[0], names, sizeof names / sizeof *names);
        command_say("ctl", "there is no command '%s'%s%s%s", words[0], near ? "; did you mean '" : "; `cllm ctl --help` lists those there are",
                    near ? near : "", near ? "'?" : "");
        return EXIT_CODE_USAGE;
    }
    const bool factor = request->command == CONTROL_LR, spheres = request->command == CONTROL_SPHERES;
    if (n > 1 && !factor && !spheres && request->command != CONTROL_SAMPLE)
        command_say("ctl", "'%s' is one word too many: %s stands alone", words[1], words[0]);
    else if (factor && (n < 2 || !read_number(words[1], RUN_EVENT_MAX_FACTOR, &number)))
        command_say("ctl", "lr takes a factor of the schedule's rate from 0 to %g, as in `cllm ctl run1 lr 0.5`", RUN_EVENT_MAX_FACTOR);
    else if (spheres && (n < 2 || !read_number(words[1], SPHERES_MAX, &number) || number != floor(number)))
        command_say("ctl", "spheres takes a number from 1 to %d, or 0 for as many as there are cores to use", SPHERES_MAX);
    else {
        request->factor = factor ? number : 0;
        request->spheres = spheres ? (int)number : 0;
        /* Not written to. */
        request->prompt = request->command == CONTROL_SAMPLE && n > 1 ? (char *)(uintptr_t)words[1] : NULL;
        return OPTIONS_GO_ON;
    }
    return EXIT_CODE_USAGE;
}

int cmd_ctl(int argc, char **argv)
{
    bool json = false;
    struct control_request request = {.timeout_s = CONTROL_TIMEOUT_S};
    struct option_def options[] = {
        OPT_FLAG("json", &json, "prints the answer as JSON"),
        OPT_REAL("timeout", &request.timeout_s, 0, CONTROL_TIMEOUT_MAX_S, "seconds to wait until it is done (60)"),
        OPT_END,
    };
    const char *words[3] = {NULL};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, words, 3, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found < 2) {
        command_say("ctl", "which run, and what? As in `cllm ctl run1 status`");
        return EXIT_CODE_USAGE;
    }
    if ((code = read_words(words + 1, found - 1, &request)) != OPTIONS_GO_ON)
        return code;
    struct error err = {0};
    json_t *answer = ask(words[0], &request, &err);
    code = answer ? print_answer(answer, &request, json, &err) : command_failed("ctl", &err);
    json_decref(answer);
    return command_finish_output("ctl", code);
}
