/* SPDX-License-Identifier: MIT */
#include "train/control_protocol.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "formats/json.h"
#include "runtime/sphere.h"
#include "train/run_events.h"

#include <string.h>

static const struct command {
    const char *name, *key; /* the one key of its own; NULL: none */
    bool required;
} commands[] = {
    [CONTROL_STATUS] = {"status", NULL, false}, [CONTROL_PAUSE] = {"pause", NULL, false},
    [CONTROL_RESUME] = {"resume", NULL, false}, [CONTROL_SAVE] = {"save", NULL, false},
    [CONTROL_STOP] = {"stop", NULL, false},     [CONTROL_SAMPLE] = {"sample", "prompt", false},
    [CONTROL_LR] = {"lr", "factor", true},      [CONTROL_SPHERES] = {"spheres", "spheres", true},
    [CONTROL_EVAL] = {"eval", NULL, false},
};
enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

const char *control_command_name(enum control_command command)
{
    return commands[command].name;
}

bool control_command_parse(const char *name, enum control_command *out)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) {
            *out = (enum control_command)i;
            return true;
        }
    return false;
}

/* Keys nobody knows are refused: a mistyped one would be a command that does something else than was meant. */
static enum status check_keys(const json_t *object, const struct command *command, struct error *err)
{
    /* jansson's iteration takes a non-const object and changes nothing in it. */
    json_t *o = (json_t *)(uintptr_t)object;
    for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i)) {
        const char *key = json_object_iter_key(i);
        if (strcmp(key, "command") != 0 && strcmp(key, "timeout_s") != 0 &&
            !(command->key && strcmp(key, command->key) == 0))
            return error_set(err, STATUS_FORMAT, "%s: there is no key \"%.40s\"", command->name, key);
    }
    return STATUS_OK;
}

static enum status range(const char *command, const char *key, double value, double max, struct error *err)
{
    return value >= 0 && value <= max
               ? STATUS_OK
               : error_set(err, STATUS_FORMAT, "%s: \"%s\" is %g, and must be from 0 to %g", command, key, value, max);
}

static enum status read_request(const json_t *object, struct control_request *out, struct error *err)
{
    const char *name = NULL, *prompt = NULL;
    uint64_t spheres = 0;
    enum status st = json_get_text(object, "command", true, &name, "the request", err);
    if (st != STATUS_OK)
        return st;
    if (!control_command_parse(name, &out->command))
        return error_set(err, STATUS_FORMAT,
                         "there is no command \"%.40s\"; there are status, pause, resume, save, stop, "
                         "sample, lr, spheres and eval",
                         name);
    const struct command *command = &commands[out->command];
    st = check_keys(object, command, err);
    if (st == STATUS_OK)
        st = json_get_double(object, "timeout_s", false, &out->timeout_s, command->name, err);
    if (st == STATUS_OK)
        st = range(command->name, "timeout_s", out->timeout_s, CONTROL_TIMEOUT_MAX_S, err);
    if (st == STATUS_OK && out->command == CONTROL_LR)
        st = json_get_double(object, "factor", true, &out->factor, command->name, err);
    if (st == STATUS_OK)
        st = range(command->name, "factor", out->factor, RUN_EVENT_MAX_FACTOR, err);
    if (st == STATUS_OK && out->command == CONTROL_SPHERES)
        st = json_get_u64(object, "spheres", true, SPHERES_MAX, &spheres, command->name, err);
    if (st == STATUS_OK && out->command == CONTROL_SAMPLE)
        st = json_get_text(object, "prompt", false, &prompt, command->name, err);
    if (st == STATUS_OK && prompt && !(out->prompt = mem_strdup(prompt)))
        st = error_set(err, STATUS_NOMEM, "no memory for the request");
    out->spheres = (int)spheres;
    return st;
}

enum status control_request_parse(const char *line, size_t n, struct control_request *out, struct error *err)
{
    *out = (struct control_request){.timeout_s = CONTROL_TIMEOUT_S};
    if (n > CONTROL_LINE_MAX)
        return error_set(err, STATUS_FORMAT, "a request has at most %d bytes", CONTROL_LINE_MAX);
    json_error_t why;
    bool no_memory;
    json_t *object = json_parse(line, n, JSON_REJECT_DUPLICATES, &why, &no_memory);
    enum status st = STATUS_OK;
    if (no_memory)
        st = error_set(err, STATUS_NOMEM, "no memory for the request");
    else if (!json_is_object(object))
        st = error_set(err, STATUS_FORMAT, "a request is a JSON object in a line, as {\"command\": \"status\"}");
    else
        st = read_request(object, out, err);
    json_decref(object);
    return st;
}

void control_request_release(struct control_request *request)
{
    mem_free(request->prompt);
    request->prompt = NULL;
}

json_t *control_request_json(const struct control_request *r)
{
    json_t *object = json_pack("{s:s, s:f}", "command", commands[r->command].name, "timeout_s", r->timeout_s);
    bool ok = object != NULL;
    if (r->command == CONTROL_SAMPLE && r->prompt)
        ok = ok && json_object_set_new(object, "prompt", json_string(r->prompt)) == 0;
    if (r->command == CONTROL_LR)
        ok = ok && json_object_set_new(object, "factor", json_real(r->factor)) == 0;
    if (r->command == CONTROL_SPHERES)
        ok = ok && json_object_set_new(object, "spheres", json_integer(r->spheres)) == 0;
    if (!ok) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

json_t *control_refusal(const char *text)
{
    char clean[sizeof((struct error *)0)->text];
    size_t n = 0;
    for (const char *p = text; *p && n + 4 < sizeof clean;) {
        uint32_t code_point;
        const int length = utf8_decode(p, strlen(p), &code_point);
        if (length > 0)
            memcpy(clean + n, p, (size_t)length);
        else
            clean[n] = '?';
        n += length > 0 ? (size_t)length : 1;
        p += length > 0 ? length : 1;
    }
    clean[n] = 0;
    return json_pack("{s:b, s:s}", "ok", 0, "error", clean);
}
