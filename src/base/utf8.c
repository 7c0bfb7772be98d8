/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

int utf8_decode(const char *text, size_t len, uint32_t *code_point)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0)
        return UTF8_INCOMPLETE;
    if (s[0] < 0x80) {
        *code_point = s[0];
        return 1;
    }
    int n;
    unsigned low = 0x80, high = 0xBF; /* what the second byte may be (RFC 3629, section 4) */
    uint32_t cp;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        n = 2;
        cp = s[0] & 0x1Fu;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        n = 3;
        cp = s[0] & 0x0Fu;
        if (s[0] == 0xE0)
            low = 0xA0;
        if (s[0] == 0xED)
            high = 0x9F;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        n = 4;
        cp = s[0] & 0x07u;
        if (s[0] == 0xF0)
            low = 0x90;
        if (s[0] == 0xF4)
            high = 0x8F;
    } else
        return UTF8_INVALID;
    for (int i = 1; i < n; i++) {
        if ((size_t)i == len)
            return UTF8_INCOMPLETE;
        if (s[i] < low || s[i] > high)
            return UTF8_INVALID;
        cp = cp << 6 | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code_point = cp;
    return n;
}

int utf8_encode(uint32_t code_point, char out[4])
{
    unsigned char *s = (unsigned char *)out;
    if (code_point < 0x80) {
        s[0] = (unsigned char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        s[0] = (unsigned char)(0xC0 | code_point >> 6);
        s[1] = (unsigned char)(0x80 | (code_point & 0x3F));
        return 2;
    }
    if (code_point >= 0xD800 && code_point <= 0xDFFF)
        return 0;
    if (code_point < 0x10000) {
        s[0] = (unsigned char)(0xE0 | code_point >> 12);
        s[1] = (unsigned char)(0x80 | (code_point >> 6 & 0x3F));
        s[2] = (unsigned char)(0x80 | (code_point & 0x3F));
        return 3;
    }
    if (code_point > 0x10FFFF)
        return 0;
    s[0] = (unsigned char)(0xF0 | code_point >> 18);
    s[1] = (unsigned char)(0x80 | (code_point >> 12 & 0x3F));
    s[2] = (unsigned char)(0x80 | (code_point >> 6 & 0x3F));
    s[3] = (unsigned char)(0x80 | (code_point & 0x3F));
    return 4;
}

size_t utf8_whole_prefix(const char *text, size_t len)
{
    for (size_t i = 1; i <= 3 && i <= len; i++) {
        const unsigned char c = (unsigned char)text[len - i];
        if ((c & 0xC0) == 0x80)
            continue;
        uint32_t code_point;
        return utf8_decode(text + len - i, i, &code_point) == UTF8_INCOMPLETE ? len - i : len;
    }
    return len;
}
