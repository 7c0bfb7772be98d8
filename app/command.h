/* SPDX-License-Identifier: MIT
 * app/command.h - the subcommands, and what they share: exit codes and the way an error is said.
 *
 * A subcommand is one file with one function, which gets the words after its name and returns the exit code of the
 * process.  It says an error itself, once, as "cllm NAME: sentence." on stderr.
 */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include "base/status.h"

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILURE = 1,      /* the work could not be done */
    EXIT_CODE_USAGE = 2,        /* the command line makes no sense */
    EXIT_CODE_INTERRUPTED = 130, /* stopped by SIGINT: 128 + 2, as shells have it */
    EXIT_CODE_TERMINATED = 143  /* stopped by SIGTERM: 128 + 15 */
};

struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
    const char *summary;
};

int cmd_train(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_tokenizer(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_topology(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* "cllm COMMAND: sentence" on stderr. */
void command_say(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says *err in the name of the command and returns the exit code for it. */
int command_failed(const char *command, const struct error *err);

/* Flushes stdout; a write that failed (a full disk, a closed pipe) turns success into failure. */
int command_finish_output(const char *command, int code);

#endif
