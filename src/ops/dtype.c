/* SPDX-License-Identifier: MIT */
#include "ops/dtype.h"

#include "kernels/kernels_bf16.h"

#include <string.h>

static const char *const NAMES[] = {[DTYPE_F32] = "f32", [DTYPE_BF16] = "bf16", [DTYPE_AUTO] = "auto"};

const char *dtype_name(enum dtype dtype)
{
    return NAMES[dtype];
}

enum status dtype_parse(const char *name, enum dtype *out, struct error *err)
{
    for (int i = 0; i < (int)(sizeof NAMES / sizeof NAMES[0]); i++)
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum dtype)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "the dtype of products is auto, f32 or bf16, not '%s'", name);
}

enum dtype dtype_resolve(enum dtype wish)
{
    if (wish != DTYPE_AUTO)
        return wish;
    return kernels_bf16_get()->isa >= ISA_AVX512BF16 ? DTYPE_BF16 : DTYPE_F32;
}
