/* SPDX-License-Identifier: MIT
 * app/text_source.h - a model to run, found where the user says, and text from it.
 *
 * MODEL on a command line is a model directory (config.json, model.safetensors, tokenizer.json) or a run directory, of
 * which the newest checkpoint that verifies is taken.
 */
#ifndef APP_TEXT_SOURCE_H
#define APP_TEXT_SOURCE_H

#include "app/crew.h"
#include "base/buffer.h"
#include "base/status.h"
#include "infer/generator.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"
#include "train/threaded_training.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loaded_model {
    struct buffer directory;     /* the model directory used */
    struct model *model;
    struct tokenizer *tokenizer; /* NULL: the directory has none */
    struct buffer warning;       /* sentences about damaged checkpoints passed over, or empty */
};

/* Loads model and tokenizer; release in any case. */
enum status loaded_model_open(struct loaded_model *loaded, const char *path, struct error *err);
void loaded_model_release(struct loaded_model *loaded);

/* A team of the crew's threads, not more than there are cores, for generation with this model; context as for
 * generator_new. */
struct team *generation_team(const struct model_config *config, const struct crew *crew, size_t context,
                             struct error *err);

/* Appends the prompt's tokens (int32_t), after those the tokenizer puts before a text, such as <s>; special tokens
 * named in it are text.  Without a prompt: what is put before a text, else a newline, else <|endoftext|>, else token 0.  A prompt without a tokenizer is STATUS_CONFIG. */
enum status prompt_tokens(const struct tokenizer *tokenizer, const char *prompt, size_t vocab_size, struct buffer *ids,
                          struct error *err);

/* Gets the text as it comes, never half a UTF-8 character; false stops. */
typedef bool text_sink_fn(void *ctx, const char *text, size_t len);

struct text_result {
    struct buffer tokens; /* int32_t, those generated */
    bool ended;           /* a token that ends the text came, which is not among the tokens, or a stop text */
    double seconds;
};

/* What ends a text besides the model's own tokens and max_tokens. */
struct text_end {
    size_t max_tokens;
    const char *const *stops; /* [num_stops]; never given out */
    size_t num_stops;
    int32_t token;            /* a further token; -1: none */
};

/* Draws at most end->max_tokens after the prompt.  Without a tokenizer the text is the token ids.  STATUS_CANCELLED
 * between two tokens when `cancel` says so; `sink` then had what was drawn so far. */
enum status generate_text(struct generator *generator, const struct tokenizer *tokenizer, const int32_t *prompt,
                          size_t prompt_len, const struct sampling *sampling, const struct text_end *end, text_sink_fn *sink,
                          void *ctx, const struct cancel *cancel, struct text_result *result, struct error *err);

enum { SAMPLE_TOKENS = 200 }; /* of a sample where nobody says how many */

/* The above in one: a sample of `model` as text, appended to `out`; its team and its cache come and go.  `training`: whose
 * watchdog looks at the team meanwhile, or NULL. */
enum status sample_of_model(struct model *model, const struct tokenizer *tokenizer, const struct crew *crew,
                            struct threaded_training *training, const char *prompt, const struct sampling *sampling,
                            size_t max_tokens, struct buffer *out, struct error *err);

#endif
