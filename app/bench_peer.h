/* SPDX-License-Identifier: MIT
 * app/bench_peer.h - another trainer beside ours: llm.c's CPU program, or one that reads and prints what it does.
 *
 * The program runs in a directory of its own with gpt2_124M.bin (random weights; llm.c's magic 20240326, version 3) and
 * dev/data/tinyshakespeare/tiny_shakespeare_{train,val}.bin (magic 20240520) of random tokens, and its lines
 *
 *     train dataset num_batches: N
 *     step S: train loss X (took Y ms)
 *
 * are read.  Batch and length of a sequence are compiled into llm.c's program: the first line shows their product,
 * which is compared with ours.
 */
#ifndef APP_BENCH_PEER_H
#define APP_BENCH_PEER_H

#include "base/status.h"
#include "formats/model_config.h"

#include <stddef.h>

/* Fills an existing directory with what the program reads. */
enum status bench_peer_prepare(const char *directory, const struct model_config *config, struct error *err);

/* Runs `command` there with OMP_NUM_THREADS = threads, reads steps 1 … repeat (step 0 warms up) and ends it.
 * took_ms [repeat]. */
enum status bench_peer_run(const char *command, const char *directory, int threads, size_t batch_tokens, size_t repeat,
                           double *took_ms, struct error *err);

#endif
