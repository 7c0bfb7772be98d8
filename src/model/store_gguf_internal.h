/* SPDX-License-Identifier: MIT */
#ifndef MODEL_STORE_GGUF_INTERNAL_H
#define MODEL_STORE_GGUF_INTERNAL_H

#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"
#include "model_files_internal.h"

/* Whether llama.cpp has a model with these properties; STATUS_CONFIG with the one it has not.  *note (may be NULL): what
 * it does otherwise. */
enum status gguf_check_config(const struct model_config *config, struct error *note, struct error *err);

/* The keys of a configuration that was checked. */
void gguf_set_config(struct gguf_writer *writer, const struct model_config *config, enum tensor_type type,
                     const char *name);

/* The configuration that the keys, and the presence of tensors, speak of; no token ids. */
enum status gguf_get_config(const struct gguf *file, struct model_config *out, struct error *err);

/* ROPE_LLAMA3: what each of the D/2 wavelengths is multiplied by (rope_freqs.weight). */
void gguf_rope_factors(const struct model_config *config, float *out);

#endif
