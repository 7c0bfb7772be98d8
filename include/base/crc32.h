/* SPDX-License-Identifier: MIT
 * base/crc32.h - the CRC of zip, gzip and PNG (reflected 0xEDB88320; RFC 1952, section 8), by libdeflate's vector code: a third of the
 * time that zlib takes, which every checkpoint pays for each of its bytes.
 */
#ifndef BASE_CRC32_H
#define BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, the result for the bytes before (0 at first).  Any thread. */
uint32_t crc32_ieee(uint32_t crc, const void *bytes, size_t n);

#endif
