/* SPDX-License-Identifier: MIT
 * train/control_protocol.h - what is said over RUN/control.sock: one JSON object a line, each way (docs/control.md).
 *
 *     {"command": "lr", "factor": 0.5, "timeout_s": 60}
 *     {"ok": true, "step": 120, "message": "the rate is 0.5 of the schedule's from step 121 on"}
 *     {"ok": true, "pending": true, "message": "will be done after the present step"}
 *     {"ok": false, "error": "lr: …"}
 *
 * Any thread, on distinct objects.
 */
#ifndef TRAIN_CONTROL_PROTOCOL_H
#define TRAIN_CONTROL_PROTOCOL_H

#include "base/status.h"
#include "formats/json.h"

#include <stdbool.h>
#include <stddef.h>

enum { CONTROL_LINE_MAX = 1 << 16 }; /* bytes of a request, its newline not counted */

enum control_command {
    CONTROL_STATUS,
    CONTROL_PAUSE,
    CONTROL_RESUME,
    CONTROL_SAVE,
    CONTROL_STOP,
    CONTROL_SAMPLE,
    CONTROL_LR,
    CONTROL_SPHERES,
    CONTROL_EVAL
};

struct control_request {
    enum control_command command;
    char *prompt;     /* sample: NULL = the run's own */
    double factor;    /* lr: 0 … RUN_EVENT_MAX_FACTOR */
    int spheres;      /* 0 = auto-detect … SPHERES_MAX */
    double timeout_s; /* after this the answer is "pending"; 0 … CONTROL_TIMEOUT_MAX_S */
};

#define CONTROL_TIMEOUT_S     60.0
#define CONTROL_TIMEOUT_MAX_S 604800.0

const char *control_command_name(enum control_command command);
bool control_command_parse(const char *name, enum control_command *out);

/* Reads a line of bytes from whom one cannot trust.  STATUS_FORMAT with the sentence for the answer, STATUS_NOMEM.  To be
 * released only after STATUS_OK. */
enum status control_request_parse(const char *line, size_t n, struct control_request *out, struct error *err);
void control_request_release(struct control_request *request);

/* The object of a request.  NULL: no memory, or a prompt that is not UTF-8. */
json_t *control_request_json(const struct control_request *request);

/* {"ok": false, "error": text}; what is not UTF-8 in it is '?'.  NULL: no memory. */
json_t *control_refusal(const char *text);

#endif
