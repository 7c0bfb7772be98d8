/* SPDX-License-Identifier: MIT
 * base/utf8.h - UTF-8, strictly: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629).  Any thread.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum { UTF8_INVALID = 0, UTF8_INCOMPLETE = -1 };

/* The length in bytes (1 … 4) of the character that text[0 … len) begins with, its code point in *code_point;
 * UTF8_INVALID, or UTF8_INCOMPLETE when more bytes could complete it. */
int utf8_decode(const char *text, size_t len, uint32_t *code_point);

/* Writes the character and returns its length in bytes; 0 for what is not a code point that UTF-8 can hold. */
int utf8_encode(uint32_t code_point, char out[4]);

/* How many leading bytes of text[0 … len) are whole UTF-8 characters (an invalid byte counts as whole); the rest
 * may be the beginning of one.  For streaming, so that half a character is never printed. */
size_t utf8_whole_prefix(const char *text, size_t len);

#endif
