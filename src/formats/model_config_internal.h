/* SPDX-License-Identifier: MIT */
#ifndef FORMATS_MODEL_CONFIG_INTERNAL_H
#define FORMATS_MODEL_CONFIG_INTERNAL_H

#include "formats/model_config.h"

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_SIZE = INT32_MAX, GPT2_END_OF_TEXT = 50256, MODEL_FAMILIES = MODEL_SMOLLM3 + 1 };

#endif
