/* SPDX-License-Identifier: MIT
 * train/optimizer.h - the optimizers there are, by name (docs/optimizers.md).
 *
 *     adamw      ops/adamw.h                                        8 bytes of state a parameter
 *     lion       ops/lion.h                                         4
 *     muon       ops/muon.h for the matrices of the layers,         4, others 8
 *                AdamW for the others
 *     adamw8bit  ops/adamw8bit.h                                    2 and a 32nd
 */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "base/status.h"

enum optimizer_kind { OPTIMIZER_ADAMW, OPTIMIZER_LION, OPTIMIZER_MUON, OPTIMIZER_ADAMW8BIT, OPTIMIZERS };

/* Muon's momentum where nothing else is said. */
#define OPTIMIZER_MUON_MOMENTUM 0.95

extern const char *const optimizer_names[]; /* NULL-terminated */
const char *optimizer_name(enum optimizer_kind kind);

/* STATUS_CONFIG: not one of them, with the names. */
enum status optimizer_parse(const char *name, enum optimizer_kind *out, struct error *err);

struct train_settings;

/* Makes settings that fit AdamW fit `kind` too: for Lion a fifth of the rates and five times the decay, in the middle of what its
 * authors found (3 to 10; arXiv 2302.06675, section 5).  The others take AdamW's as they are. */
void optimizer_adapt(struct train_settings *settings, enum optimizer_kind kind);

#endif
