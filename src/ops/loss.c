/* SPDX-License-Identifier: MIT */
#include "ops/loss.h"

#include "base/detmath.h"
#include "kernels/kernels.h"

#include <string.h>

void cross_entropy_rows(struct sphere *me, float *logits, size_t stride, size_t vocab_size, const int32_t *targets,
                        const bool *supervised, size_t rows, bool gradient, float scale, double *loss)
{
    const struct kernels *kn = kernels_get();
    for (size_t r = 0; r < rows; r++) {
        float *x = logits + r * stride, max, sum;
        if (supervised && !supervised[r]) {
            loss[r] = 0;
            if (gradient)
                memset(x, 0, vocab_size * sizeof *x);
            continue;
        }
        const float at_target = x[targets[r]];
        kn->exp_sum_f32(x, vocab_size, &max, &sum);
        loss[r] = det_log(sum) + ((double)max - at_target);
        if (gradient) {
            kn->scale_f32(x, scale / sum, vocab_size);
            x[targets[r]] -= scale;
        }
    }
    sphere_count_flops(me, 14 * (uint64_t)rows * vocab_size);
}

double sum_in_order(const double *x, size_t n)
{
    enum { BLOCK = 256 };
    double total = 0;
    for (size_t b = 0; b < n; b += BLOCK) {
        double sum = 0;
        for (size_t i = b; i < n && i < b + BLOCK; i++)
            sum += x[i];
        total += sum;
    }
    return total;
}
