/* SPDX-License-Identifier: MIT
 * base/crc32c.h - the CRC with Castagnoli's polynomial (reflected 0x82F63B78; RFC 3720, appendix B.4), and the masked form
 * in which TFRecord files store it.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, the result for the bytes before (0 at first).  Any thread. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t n);

/* Rotated right by 15 and moved by a constant, so that a CRC over bytes with CRCs in them says something. */
uint32_t crc32c_mask(uint32_t crc);

#endif
