/* SPDX-License-Identifier: MIT
 * app/logits_out.h - a model's logits in a file, for comparing with other programs.
 */
#ifndef APP_LOGITS_OUT_H
#define APP_LOGITS_OUT_H

#include "app/crew.h"
#include "base/status.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

/* Feeds n tokens (at most the model's context) one after the other and writes PATH, a safetensors file with "tokens"
 * I32 [n] and "logits" F32 [n,V].  Its team on the crew and its cache come and go.
 * STATUS_CANCELLED: nothing was written. */
enum status logits_write(struct model *model, const struct crew *crew, const int32_t *tokens, size_t n, const char *path,
                         struct error *err);

#endif
