/* SPDX-License-Identifier: MIT
 * base/status.h - what went wrong, in a code for programs and a sentence for people.
 *
 * An expected failure (a file, a format, memory at set-up, a setting) returns `enum status` and, where
 * more can be said, fills `struct error` with one sentence: what, where, and what would be right.
 * Bugs of ours abort (base/check.h).  Who handles an error prints it; who passes it on does not.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define STATUS_MAP(X)                                                                                                  \
    X(OK, 0, "ok")                                                                                                     \
    X(NOMEM, 1, "out of memory")                                                                                       \
    X(IO, 2, "input or output failed")                                                                                 \
    X(FORMAT, 3, "the file does not follow its format")                                                                \
    X(CONFIG, 4, "the settings contradict each other")                                                                 \
    X(NONFINITE, 5, "a loss or gradient is not finite")                                                                \
    X(PEER, 6, "another rank or sphere failed")                                                                        \
    X(CANCELLED, 7, "cancelled")                                                                                       \
    X(SYSTEM, 8, "the system refused a resource")                                                                      \
    X(MISUSE, 9, "called in the wrong state")                                                                          \
    X(TIMEOUT, 10, "the time to wait was over")                                                                        \
    X(QUEUE_FULL, 11, "the queue is full")

enum status {
#define X(name, code, text) STATUS_##name = code,
    STATUS_MAP(X)
#undef X
};

/* Plain data, on the caller's stack.  `text` is empty or one sentence without a final newline. */
struct error {
    enum status status;
    char text[1024];
};

/* The general sentence for a status.  Static storage; any thread. */
const char *status_text(enum status status);

/* Fills *err (which may be NULL) and returns `status`, so that `return error_set(err, STATUS_IO, …)` reads well. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the text already in *err and returns its status.  For callers that know the place. */
enum status error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
