/* SPDX-License-Identifier: MIT
 * app/logits_out.h - a model's logits in a file, for comparing with other programs.
 */
#ifndef APP_LOGITS_OUT_H
#define APP_LOGITS_OUT_H

#include "base/status.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

/* Feeds n tokens (at most the model's context) one after the other and writes PATH, a safetensors file with "tokens"
 * I32 [n] and "logits" F32 [n,V].  Its own team of `threads` (0 = auto) and cache come and go. */
enum status logits_write(struct model *model, int threads, const int32_t *tokens, size_t n, const char *path,
                         struct error *err);

#endif
