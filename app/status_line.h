/* SPDX-License-Identifier: MIT
 * app/status_line.h - one line at the bottom of a terminal that is drawn anew in place, lines that scroll above it,
 * and keys.
 *
 * Where stdout is no terminal (or TERM is dumb) there are only lines.  NO_COLOR leaves out colours (no-color.org).
 * One thread.
 */
#ifndef APP_STATUS_LINE_H
#define APP_STATUS_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct status_line {
    bool live, color, quiet;
    bool drawn;
    bool keys; /* stdin gives single keys now */
};

void status_line_init(struct status_line *line, bool quiet);

/* Text of one or more lines, above the status. */
void status_line_print(struct status_line *line, const char *text);

/* Draws the status; cut to the width of the terminal.  Nothing where there is no terminal. */
void status_line_draw(struct status_line *line, const char *text);
void status_line_clear(struct status_line *line);

/* Keys: read without Enter and without echo, while this process is in the foreground.  _key gives the next one or 0. */
void status_line_keys_on(struct status_line *line); /* also after the process was stopped and goes on */
void status_line_keys_off(struct status_line *line);
char status_line_key(struct status_line *line);

#endif
