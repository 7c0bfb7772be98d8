/* SPDX-License-Identifier: MIT
 * app/figures.h - numbers as people read them.  Each writes to `text` of the struct given and returns it.
 */
#ifndef APP_FIGURES_H
#define APP_FIGURES_H

#include <stdint.h>

struct figure {
    char text[32];
};

const char *figure_bytes(struct figure *out, uint64_t bytes);      /* "812 B", "1.4 MiB" */
const char *figure_count(struct figure *out, double count);        /* "812", "41.3k", "1.20M" */
const char *figure_whole(struct figure *out, uint64_t n);          /* "1,115,394" */
const char *figure_duration(struct figure *out, double seconds);   /* "0:07", "12:30", "1:02:03", "3 d 4 h" */

#endif
