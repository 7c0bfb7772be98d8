/* SPDX-License-Identifier: MIT */
#include "app/status_line.h"

#include "base/utf8.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* As it was before us.  Of the process, as the terminal is. */
static struct termios original;

static bool in_foreground(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void status_line_init(struct status_line *line, bool quiet)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool terminal = isatty(STDOUT_FILENO) && !(term && strcmp(term, "dumb") == 0);
    *line = (struct status_line){.live = terminal && !quiet, .quiet = quiet};
    line->color = line->live && !(no_color && *no_color);
}

void status_line_clear(struct status_line *line)
{
    if (line->drawn) {
        fputs("\r\033[K", stdout);
        fflush(stdout);
        line->drawn = false;
    }
}

void status_line_print(struct status_line *line, const char *text)
{
    if (line->quiet)
        return;
    status_line_clear(line);
    fputs(text, stdout);
    fflush(stdout);
}

void status_line_draw(struct status_line *line, const char *text)
{
    if (!line->live)
        return;
    struct winsize size;
    size_t columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
    size_t len = strlen(text);
    if (len > columns - 1)
        len = utf8_whole_prefix(text, columns - 1);
    printf("\r%s%.*s%s\033[K", line->color ? "\033[36m" : "", (int)len, text, line->color ? "\033[0m" : "");
    fflush(stdout);
    line->drawn = true;
}

void status_line_keys_on(struct status_line *line)
{
    if (!line->live || !in_foreground())
        return;
    if (!line->keys && tcgetattr(STDIN_FILENO, &original) != 0)
        return;
    struct termios single = original;
    single.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    single.c_cc[VMIN] = 0;
    single.c_cc[VTIME] = 0;
    line->keys = tcsetattr(STDIN_FILENO, TCSANOW, &single) == 0;
}

void status_line_keys_off(struct status_line *line)
{
    if (line->keys && in_foreground())
        tcsetattr(STDIN_FILENO, TCSANOW, &original);
    line->keys = false;
}

char status_line_key(struct status_line *line)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char key = 0;
    if (!line->keys || !in_foreground() || poll(&input, 1, 0) <= 0 || !(input.revents & POLLIN))
        return 0;
    return read(STDIN_FILENO, &key, 1) == 1 ? key : 0;
}
