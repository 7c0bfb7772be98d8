/* SPDX-License-Identifier: MIT */
#include "foreign_internal.h"

#include "base/memory.h"

#include <string.h>

enum { STEP_ELEMENTS = 1 << 18 };

size_t foreign_step(const struct foreign *t)
{
    return t->cols < STEP_ELEMENTS ? STEP_ELEMENTS / t->cols : 1;
}

/* The row of ours that is row `row` of the file. */
static size_t our_row(const struct foreign *t, size_t row)
{
    if (t->order != ORDER_ROPE_PAIRS)
        return row;
    const size_t rows = t->rank == 1 ? t->cols : t->rows, dim = rows / t->heads;
    const size_t head = row / dim, at = row % dim;
    return head * dim + at % 2 * (dim / 2) + at / 2;
}

/* Moves rows; `to_file` says which way.  A vector of rank 1 in ORDER_ROPE_PAIRS is a column of rows of one element. */
static void move(const struct foreign *t, float *ours, size_t first, size_t n, float *theirs, bool to_file)
{
    float *base = ours + t->param->offset;
    if (t->order == ORDER_TRANSPOSED) { /* their row is our column: inner loops over neighbours in our row */
        for (size_t c = 0; c < t->cols; c++)
            for (size_t r = 0; r < n; r++) {
                float *a = base + c * t->rows + first + r, *b = theirs + r * t->cols + c;
                if (to_file)
                    *b = *a;
                else
                    *a = *b;
            }
        return;
    }
    const bool column = t->rank == 1 && t->order == ORDER_ROPE_PAIRS;
    const size_t rows = column ? t->cols : n, cols = column ? 1 : t->cols;
    for (size_t r = 0; r < rows; r++) {
        float *a = base + our_row(t, first + r) * cols, *b = theirs + r * cols;
        if (to_file)
            memcpy(b, a, cols * sizeof *b);
        else
            memcpy(a, b, cols * sizeof *a);
    }
}

/* How many of the rows are ours and not padding. */
static size_t real_rows(const struct foreign *t, size_t first, size_t n)
{
    return first >= t->rows ? 0 : n < t->rows - first ? n : t->rows - first;
}

void foreign_get(const struct foreign *t, const float *run, size_t first, size_t n, float *out)
{
    const size_t real = real_rows(t, first, n);
    if (real)
        move(t, (float *)(uintptr_t)run, first, real, out, true);
    if (real < n)
        memset(out + real * t->cols, 0, (n - real) * t->cols * sizeof *out);
}

void foreign_put(const struct foreign *t, float *run, size_t first, size_t n, const float *in)
{
    const size_t real = real_rows(t, first, n);
    if (real)
        move(t, run, first, real, (float *)(uintptr_t)in, false);
}

enum status foreign_compare(const struct foreign *t, const float *run, const float *read, const char *where,
                            struct error *err)
{
    const size_t step = foreign_step(t) < t->rows ? foreign_step(t) : t->rows, n = step * t->cols;
    size_t bytes = 0;
    float *expected = mem_calloc(2 * n, sizeof *expected), *found = expected ? expected + n : NULL;
    unsigned char *rounded = tensor_type_bytes(t->type, n, &bytes) ? mem_alloc(bytes) : NULL;
    enum status st = expected && rounded ? STATUS_OK
                                         : error_set(err, STATUS_NOMEM, "no memory to compare tensor \"%s\"", t->name);
    for (size_t row = 0; row < t->rows && st == STATUS_OK; row += step) {
        const size_t rows = t->rows - row < step ? t->rows - row : step, count = rows * t->cols;
        foreign_get(t, run, row, rows, expected);
        tensor_encode(rounded, expected, t->type, count);
        tensor_decode(expected, rounded, t->type, count);
        foreign_get(t, read, row, rows, found);
        size_t i = 0;
        if (memcmp(expected, found, count * sizeof *found) == 0)
            continue;
        while (memcmp(&expected[i], &found[i], sizeof *found) == 0)
            i++;
        st = error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" reads back as %.9g at element %zu, where %.9g was written",
                       where, t->name, (double)found[i], row * t->cols + i, (double)expected[i]);
    }
    mem_free(expected);
    mem_free(rounded);
    return st;
}

enum status check_finite(const float *x, size_t n, const char *where, const char *name, struct error *err)
{
    const size_t at = tensor_unfit(x, TENSOR_F32, n);
    if (at == n)
        return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has a value that is not finite (element %zu)", where, name, at);
}
