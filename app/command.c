/* SPDX-License-Identifier: MIT */
#include "app/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void command_say(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "cllm %s: ", command);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int command_failed(const char *command, const struct error *err)
{
    command_say(command, "%s", err->text[0] ? err->text : status_text(err->status));
    return EXIT_CODE_FAILURE;
}

int command_finish_output(const char *command, int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (code == EXIT_CODE_OK) {
        command_say(command, "cannot write the output: %s", strerror(errno));
        code = EXIT_CODE_FAILURE;
    }
    return code;
}
