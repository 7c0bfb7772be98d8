/* SPDX-License-Identifier: MIT
 * base/human.h - numbers as people read them.  Each writes to `text` of the struct given and returns it.  Any thread.
 */
#ifndef BASE_HUMAN_H
#define BASE_HUMAN_H

#include <stdbool.h>
#include <stdint.h>

struct human {
    char text[32];
};
const char *human_bytes(struct human *out, uint64_t bytes);     /* "812 B", "1.40 MiB" */
const char *human_count(struct human *out, double count);       /* "812", "1.40k", "3.20M" */
const char *human_whole(struct human *out, uint64_t n);         /* "1,115,394" */
const char *human_seconds(struct human *out, double seconds);   /* a measured time: "812 us", "1.4 s", "3.2 h" */
const char *human_duration(struct human *out, double seconds);  /* a clock: "0:07", "12:30", "1:02:03", "3 d 4 h" */

/* The way back for bytes, as people type them: "512", "3.5G", "3.5GiB" (K, M, G, T: powers of 1024, small letters too),
 * "3.5GB" (powers of 1000).  False: it is none, or not below 2^63; *bytes is not written. */
bool human_bytes_parse(const char *text, uint64_t *bytes);

#endif
