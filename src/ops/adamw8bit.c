/* SPDX-License-Identifier: MIT
 * The lists are made with + - x / in double and rounded once, so they are the same bits everywhere.
 */
#include "ops/adamw8bit.h"

#include <math.h>
#include <string.h>

enum { DECADES = 7, ZERO = 127, SMALLEST_EXPONENT = 127 - 24, BUCKET_SHIFT = 16 };

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Magnitudes below 2^-24 are in the first bucket, with 2^-24 itself; the last one is 1 alone. */
static uint32_t bucket_of(float magnitude)
{
    const uint32_t base = (uint32_t)SMALLEST_EXPONENT << (23 - BUCKET_SHIFT), bits = bits_of(magnitude) >> BUCKET_SHIFT;
    return bits < base ? 0 : bits - base;
}

static void make(struct magnitudes *m, int parts_of_smallest)
{
    double unit = 1e6;
    m->count = 0;
    m->value[m->count++] = 0;
    for (int k = 0, parts = parts_of_smallest; k < DECADES; k++, parts *= 2, unit /= 10)
        for (int i = 0; i < parts; i++)
            m->value[m->count++] = (float)((0.1 + 0.9 * (2 * i + 1) / (2 * parts)) / unit);
    m->value[m->count++] = 1;
    for (int i = 0; i + 1 < m->count; i++)
        m->edge[i] = (m->value[i] + m->value[i + 1]) / 2;
    m->edge[m->count - 1] = INFINITY;
    for (uint32_t b = 0, number = 0; b < ADAMW8BIT_BUCKETS; b++) {
        const uint32_t begin = (b << BUCKET_SHIFT) + ((uint32_t)SMALLEST_EXPONENT << 23);
        float least;
        memcpy(&least, &begin, sizeof least);
        while (least > m->edge[number])
            number++;
        m->first[b] = (uint8_t)number;
    }
}

void adamw8bit_codes_make(struct adamw8bit_codes *codes)
{
    memset(codes, 0, sizeof *codes);
    make(&codes->with_sign, 1);
    make(&codes->without_sign, 2);
}

static unsigned number_of(const struct magnitudes *m, float magnitude)
{
    const unsigned number = m->first[bucket_of(magnitude)];
    return number + (magnitude > m->edge[number]);
}

static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        const float magnitude = fabsf(x[i]);
        most = magnitude > most ? magnitude : most;
    }
    return most;
}

void adamw8bit_decode_first(float *x, const uint8_t *code, float scale, size_t n, const struct adamw8bit_codes *codes)
{
    const float *value = codes->with_sign.value;
    for (size_t i = 0; i < n; i++)
        x[i] = code[i] < ZERO ? -scale * value[ZERO - code[i]] : scale * value[code[i] - ZERO];
}

void adamw8bit_decode_second(float *x, const uint8_t *code, float scale, size_t n, const struct adamw8bit_codes *codes)
{
    for (size_t i = 0; i < n; i++)
        x[i] = scale * codes->without_sign.value[code[i]];
}

void adamw8bit_encode_first(uint8_t *code, float *scale, const float *x, size_t n, const struct adamw8bit_codes *codes)
{
    *scale = largest(x, n);
    if (!(*scale > 0)) {
        memset(code, ZERO, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned number = number_of(&codes->with_sign, fabsf(x[i]) / *scale);
        code[i] = (uint8_t)(x[i] < 0 ? ZERO - (number < ZERO ? number : ZERO) : ZERO + number);
    }
}

void adamw8bit_encode_second(uint8_t *code, float *scale, const float *x, size_t n,
                             const struct adamw8bit_codes *codes)
{
    *scale = largest(x, n);
    if (!(*scale > 0)) {
        memset(code, 0, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned number = number_of(&codes->without_sign, x[i] / *scale);
        code[i] = (uint8_t)(number == 0 && x[i] > 0 ? 1 : number);
    }
}

void adamw8bit_update(float *w, struct moment8 first, struct moment8 second, const float *g, size_t n,
                      const struct adamw *a, const struct adamw8bit_codes *codes)
{
    float m[ADAMW8BIT_BLOCK], v[ADAMW8BIT_BLOCK];
    for (size_t at = 0; at < n; at += ADAMW8BIT_BLOCK) {
        const size_t k = n - at < ADAMW8BIT_BLOCK ? n - at : ADAMW8BIT_BLOCK, b = at / ADAMW8BIT_BLOCK;
        adamw8bit_decode_first(m, first.code + at, first.scale[b], k, codes);
        adamw8bit_decode_second(v, second.code + at, second.scale[b], k, codes);
        adamw_update(w + at, m, v, g + at, k, a);
        adamw8bit_encode_first(first.code + at, &first.scale[b], m, k, codes);
        adamw8bit_encode_second(second.code + at, &second.scale[b], v, k, codes);
    }
}
