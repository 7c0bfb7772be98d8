/* SPDX-License-Identifier: MIT
 * foreign_internal.h - our parameters as the tensors of another format: its names, its shapes, its order of elements.
 */
#ifndef MODEL_FOREIGN_INTERNAL_H
#define MODEL_FOREIGN_INTERNAL_H

#include "formats/tensor_type.h"
#include "model/model.h"

enum foreign_order {
    ORDER_SAME,
    ORDER_TRANSPOSED,  /* Conv1D [in,out] is [out,in] elsewhere */
    ORDER_ROPE_PAIRS   /* rows of a head: (i, i + D/2) becomes (2i, 2i + 1); rotation by halves and by neighbours */
};

struct foreign {
    char name[64];
    const struct param *param;
    enum foreign_order order;
    size_t heads;           /* ORDER_ROPE_PAIRS */
    size_t rank, rows, cols; /* as the file has it: rows of cols elements; rank 1 is one row */
    size_t padding_rows;    /* zero rows that follow */
    enum tensor_type type;
};

/* Rows [first, first + n) as the file has them, from and to a run in our layout; rows of padding are 0 and dropped. */
void foreign_get(const struct foreign *t, const float *run, size_t first, size_t n, float *out);
void foreign_put(const struct foreign *t, float *run, size_t first, size_t n, const float *in);

/* How many rows to take at a time, at least 1. */
size_t foreign_step(const struct foreign *t);

/* Holds two runs against each other in the file's order: the first rounded to the file's type must be the second, bit
 * for bit.  STATUS_FORMAT names `where`, the tensor and the element. */
enum status foreign_compare(const struct foreign *t, const float *run, const float *read, const char *where,
                            struct error *err);

/* STATUS_FORMAT when a value is not finite, naming `where`, the tensor and the element. */
enum status check_finite(const float *x, size_t n, const char *where, const char *name, struct error *err);

#endif
