/* SPDX-License-Identifier: MIT
 * Numbers for people.  Each writes to `text` and returns it.
 */
#ifndef TRAIN_HUMAN_INTERNAL_H
#define TRAIN_HUMAN_INTERNAL_H

#include <stdint.h>

struct human {
    char text[24];
};
const char *human_bytes(struct human *out, uint64_t bytes);   /* "812 B", "1.4 MiB" */
const char *human_count(struct human *out, double count);     /* "812", "1.4 k", "3.2 M" */
const char *human_seconds(struct human *out, double seconds); /* "812 us", "1.4 s", "3 h 12 min" */

#endif
