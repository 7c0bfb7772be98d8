/* SPDX-License-Identifier: MIT */
#include "formats/tensor_type.h"

#include "base/float16.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    size_t block, block_bytes;
    float largest; /* magnitudes above round to infinity */
} TYPES[NUM_TENSOR_TYPES] = {
    [TENSOR_F32] = {"F32", 1, 4, INFINITY},
    [TENSOR_F16] = {"F16", 1, 2, 65504},
    [TENSOR_BF16] = {"BF16", 1, 2, 0x1.fep127f},
    [TENSOR_Q8_0] = {"Q8_0", Q8_0_BLOCK, Q8_0_BLOCK_BYTES, 127 * 65504.0f},
};

const char *tensor_type_name(enum tensor_type type)
{
    return TYPES[type].name;
}

bool tensor_type_find(const char *name, enum tensor_type *out)
{
    for (int i = 0; i < NUM_TENSOR_TYPES; i++)
        if (strcasecmp(name, TYPES[i].name) == 0) {
            *out = (enum tensor_type)i;
            return true;
        }
    return false;
}

bool tensor_type_bytes(enum tensor_type type, size_t n, size_t *bytes)
{
    return n % TYPES[type].block == 0 && size_mul(n / TYPES[type].block, TYPES[type].block_bytes, bytes);
}

static void decode_q8_0(float *out, const unsigned char *in, size_t n)
{
    for (; n; n -= Q8_0_BLOCK, in += Q8_0_BLOCK_BYTES, out += Q8_0_BLOCK) {
        f16 scale;
        memcpy(&scale, in, sizeof scale);
        const float d = f32_of_f16(scale);
        for (int i = 0; i < Q8_0_BLOCK; i++)
            out[i] = d * (float)(signed char)in[2 + i];
    }
}

static void encode_q8_0(unsigned char *out, const float *in, size_t n)
{
    for (; n; n -= Q8_0_BLOCK, out += Q8_0_BLOCK_BYTES, in += Q8_0_BLOCK) {
        float largest = 0;
        for (int i = 0; i < Q8_0_BLOCK; i++)
            largest = fabsf(in[i]) > largest ? fabsf(in[i]) : largest;
        const float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
        const f16 scale = f16_of_f32(d);
        memcpy(out, &scale, sizeof scale);
        for (int i = 0; i < Q8_0_BLOCK; i++) {
            const float q = in[i] * inverse; /* of a scale that is subnormal the inverse is infinite */
            out[2 + i] = (unsigned char)(signed char)(fabsf(q) <= 127.5f ? roundf(q) : q > 0 ? 127 : q < 0 ? -127 : 0);
        }
    }
}

void tensor_decode(float *out, const void *in, enum tensor_type type, size_t n)
{
    const unsigned char *bytes = in;
    uint16_t x;
    switch (type) {
    case TENSOR_F32:
        if (n)
            memcpy(out, in, n * sizeof *out);
        break;
    case TENSOR_F16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&x, bytes + 2 * i, 2);
            out[i] = f32_of_f16(x);
        }
        break;
    case TENSOR_BF16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&x, bytes + 2 * i, 2);
            out[i] = f32_of_bf16(x);
        }
        break;
    case TENSOR_Q8_0:
        decode_q8_0(out, in, n);
        break;
    }
}

void tensor_encode(void *out, const float *in, enum tensor_type type, size_t n)
{
    unsigned char *bytes = out;
    uint16_t x;
    switch (type) {
    case TENSOR_F32:
        if (n)
            memcpy(out, in, n * sizeof *in);
        break;
    case TENSOR_F16:
        for (size_t i = 0; i < n; i++) {
            x = f16_of_f32(in[i]);
            memcpy(bytes + 2 * i, &x, 2);
        }
        break;
    case TENSOR_BF16:
        for (size_t i = 0; i < n; i++) {
            x = bf16_of_f32(in[i]);
            memcpy(bytes + 2 * i, &x, 2);
        }
        break;
    case TENSOR_Q8_0:
        encode_q8_0(out, in, n);
        break;
    }
}

size_t tensor_unfit(const float *x, enum tensor_type type, size_t n)
{
    const uint32_t limit = type == TENSOR_F32 ? 0x7f7fffff : f32_bits(TYPES[type].largest);
    enum { RUN = 4096 };
    for (size_t at = 0; at < n; at += RUN) {
        const size_t len = n - at < RUN ? n - at : RUN;
        uint32_t beyond = 0;
        for (size_t i = 0; i < len; i++) /* NaN and infinity are above every finite pattern */
            beyond |= (f32_bits(x[at + i]) & 0x7fffffffu) > limit;
        for (size_t i = 0; beyond && i < len; i++)
            if ((f32_bits(x[at + i]) & 0x7fffffffu) > limit)
                return at + i;
    }
    return n;
}
