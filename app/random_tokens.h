/* SPDX-License-Identifier: MIT
 * app/random_tokens.h - tokens to time a step on.
 */
#ifndef APP_RANDOM_TOKENS_H
#define APP_RANDOM_TOKENS_H

#include "base/status.h"

#include <stddef.h>

/* Writes a shard of n tokens, the same ones each time.  STATUS_IO. */
enum status random_tokens_write(const char *path, size_t n, size_t vocab, struct error *err);

#endif
