/* SPDX-License-Identifier: MIT
 * ops/dtype.h - what the operands of products are: f32, or f32 rounded to bf16 on the way in.  Sums are f32 either way.
 */
#ifndef OPS_DTYPE_H
#define OPS_DTYPE_H

#include "base/status.h"

enum dtype { DTYPE_F32, DTYPE_BF16, DTYPE_AUTO /* a wish only: bf16 where this machine multiplies it faster */ };

const char *dtype_name(enum dtype dtype); /* "f32", "bf16", "auto" */
enum status dtype_parse(const char *name, enum dtype *out, struct error *err);

/* What DTYPE_AUTO is here; the others are themselves. */
enum dtype dtype_resolve(enum dtype wish);

#endif
