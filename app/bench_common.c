/* SPDX-License-Identifier: MIT */
#include "app/bench.h"

#include "topology/isa.h"
#include "topology/topology.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

enum status bench_parse_list(const char *flag, const char *text, uint64_t min, uint64_t max, struct bench_list *list,
                             struct error *err)
{
    list->n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        uint64_t value = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || errno || value < min || value > max || list->n == BENCH_MAX_LIST ||
            (*end != ',' && *end != '\0'))
            return error_set(err, STATUS_CONFIG,
                             "--%s wants whole numbers from %" PRIu64 " to %" PRIu64 " with commas between, not '%s'",
                             flag, min, max, text);
        list->value[list->n++] = value;
        if (*end == '\0')
            return STATUS_OK;
        at = end;
    }
}

const char *bench_isa(void)
{
    enum isa isa;
    return isa_choose(&isa, NULL) == STATUS_OK ? isa_name(isa) : "?";
}

void bench_default_threads(char *text, size_t size)
{
    struct topology topology;
    topology_read(&topology);
    int n = topology_auto_spheres(&topology);
    if (n > 1)
        snprintf(text, size, "1,%d", n);
    else
        snprintf(text, size, "1");
}
