/* SPDX-License-Identifier: MIT */
#include "base/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *scaled(struct human *out, double x, double step, const char *const *units, int num_units)
{
    int unit = 0;
    while (unit + 1 < num_units && x >= step * 0.9995) {
        x /= step;
        unit++;
    }
    int digits = unit == 0 || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
    snprintf(out->text, sizeof out->text, "%.*f%s", digits, x, units[unit]);
    return out->text;
}

const char *human_bytes(struct human *out, uint64_t bytes)
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB"};
    return scaled(out, (double)bytes, 1024, units, sizeof units / sizeof *units);
}

bool human_bytes_parse(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    const size_t whole = strspn(text, "0123456789");
    const char *rest = text + whole;
    double value = 0;
    for (size_t i = 0; i < whole; i++)
        value = value * 10 + (text[i] - '0');
    if (whole > 0 && *rest == '.') {
        double digit = 0.1;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, digit /= 10)
            value += digit * (*rest - '0');
    }
    const char unit = *rest >= 'a' && *rest <= 'z' ? (char)(*rest - 'a' + 'A') : *rest;
    const char *found = unit ? strchr(units, unit) : NULL;
    if (found) {
        rest++;
        const double step = strcmp(rest, "B") == 0 ? 1000 : 1024;
        for (const char *u = units; u <= found; u++)
            value *= step;
        rest += strcmp(rest, "B") == 0 ? 1 : strcmp(rest, "iB") == 0 ? 2 : 0;
    } else if (*rest == 'B') {
        rest++;
    }
    if (whole == 0 || *rest || !(value < 0x1p63))
        return false;
    *bytes = (uint64_t)value;
    return true;
}

const char *human_count(struct human *out, double count)
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P"};
    return scaled(out, count, 1000, units, sizeof units / sizeof *units);
}

const char *human_seconds(struct human *out, double seconds)
{
    if (seconds < 1e-3)
        snprintf(out->text, sizeof out->text, "%.0f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(out->text, sizeof out->text, "%.0f ms", seconds * 1e3);
    else if (seconds < 100)
        snprintf(out->text, sizeof out->text, "%.1f s", seconds);
    else if (seconds < 6000)
        snprintf(out->text, sizeof out->text, "%.1f min", seconds / 60);
    else
        snprintf(out->text, sizeof out->text, "%.1f h", seconds / 3600);
    return out->text;
}

const char *human_whole(struct human *out, uint64_t n)
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

const char *human_duration(struct human *out, double seconds)
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
