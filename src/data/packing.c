/* SPDX-License-Identifier: MIT */
#include "data/packing.h"

#include <string.h>

const char *const packing_names[] = {"none", "documents", NULL};

const char *packing_name(enum packing packing)
{
    return packing_names[packing];
}

enum status packing_parse(const char *name, enum packing *out, struct error *err)
{
    for (int i = 0; packing_names[i]; i++)
        if (strcmp(name, packing_names[i]) == 0) {
            *out = (enum packing)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "packing '%s' is not known: it is none or documents", name);
}

void packing_mask(const bool *begins, size_t n, int32_t *first, bool *supervised)
{
    int32_t document = 0;
    for (size_t t = 0; t < n; t++) {
        const bool last = begins[t];
        first[t] = document;
        supervised[t] = !last;
        if (last)
            document = (int32_t)(t + 1);
    }
}
