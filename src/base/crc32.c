/* SPDX-License-Identifier: MIT */
#include "base/crc32.h"

#include <libdeflate.h>

uint32_t crc32_ieee(uint32_t crc, const void *bytes, size_t n)
{
    return n ? libdeflate_crc32(crc, bytes, n) : crc; /* its NULL means "begin" */
}
