/* SPDX-License-Identifier: MIT */
#include "app/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *figure_bytes(struct figure *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = -1;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    if (unit < 0)
        snprintf(out->text, sizeof out->text, "%" PRIu64 " B", bytes);
    else
        snprintf(out->text, sizeof out->text, "%.*f %s", value < 99.95 ? 1 : 0, value, units[unit]);
    return out->text;
}

const char *figure_count(struct figure *out, double count)
{
    static const char units[] = " kMGTPE";
    int unit = 0;
    while (fabs(count) >= 999.5 && unit < 6) {
        count /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(out->text, sizeof out->text, "%.0f", count);
    else
        snprintf(out->text, sizeof out->text, "%.*f%c", count < 9.995 ? 2 : count < 99.95 ? 1 : 0, count, units[unit]);
    return out->text;
}

const char *figure_whole(struct figure *out, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out->text[at++] = ',';
        out->text[at++] = digits[i];
    }
    out->text[at] = '\0';
    return out->text;
}

const char *figure_duration(struct figure *out, double seconds)
{
    if (!(seconds >= 0 && seconds < 1e10)) {
        snprintf(out->text, sizeof out->text, "?");
        return out->text;
    }
    unsigned long long s = (unsigned long long)(seconds + 0.5);
    if (s < 3600)
        snprintf(out->text, sizeof out->text, "%llu:%02llu", s / 60, s % 60);
    else if (s < 2 * 86400)
        snprintf(out->text, sizeof out->text, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out->text, sizeof out->text, "%llu d %llu h", s / 86400, s / 3600 % 24);
    return out->text;
}
