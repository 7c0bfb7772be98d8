/* SPDX-License-Identifier: MIT
 * ops/peak.h - what the units of a team's members can do at the best: multiply-adds on registers alone, against which what a
 * program reaches is a share.
 *
 * For both: members 0 … width-1 work at the same time; one thread calls, while no run of the team is on.  Nothing is allocated.
 */
#ifndef OPS_PEAK_H
#define OPS_PEAK_H

#include "runtime/team.h"

#include <stdbool.h>
#include <stddef.h>

/* peak_f32 or peak_bf16 of kernels/kernels_bf16.h; and which one of those in use. */
typedef double peak_kernel(size_t rounds, float *result);
peak_kernel *peak_kernel_in_use(bool bf16_units);

/* GFLOP/s of all together from the first one's start to the last one's end, the best of thirty goes of 8 ms: what holds a unit up
 * is something else, such as two new threads on one core for a while. */
double peak_best(struct team *team, int width, peak_kernel *kernel);

/* The same in about 10 ms: the best of each of sixty short goes by the processor time it had, so that what other programs take does
 * not count; for no more members than cores.  Where others have the cores it takes 20 ms and a go. */
double peak_quick(struct team *team, int width, peak_kernel *kernel);

#endif
