/* SPDX-License-Identifier: MIT
 * infer/generator.h - text from a model: one sequence, its key/value cache, a sampler.
 *
 * Sampling is a function of (logits, settings, seed, position): the same for any number of spheres.  When the
 * context is full the oldest half is dropped and the rest fed again.  One thread drives a generator.
 */
#ifndef INFER_GENERATOR_H
#define INFER_GENERATOR_H

#include "base/status.h"
#include "model/model.h"
#include "runtime/team.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the order in which they are applied, which is that of transformers' LogitsProcessors (4.44):
 *
 *     repetition penalty   logits of tokens seen, in the prompt or drawn: divided by it when positive, else multiplied
 *     temperature          logits are divided by it; 0 takes the likeliest at once, and what follows does not count
 *     top-k                the k likeliest
 *     top-p                of these the fewest, likeliest first, whose probabilities add up to p or more; at least one
 *     min-p                of these the ones at least min_p times as likely as the likeliest
 *
 * Of equal logits the one with the lower id counts as likelier; top-k keeps k of them, where transformers keeps all. */
struct sampling {
    double repetition_penalty; /* 1 = off, and so is 0 */
    double temperature;        /* 0 = greedy */
    size_t top_k;              /* 0 = off */
    double top_p;              /* 1 = off */
    double min_p;              /* 0 = off */
    uint64_t seed;
};

/* One sentence for what is out of range. */
enum status sampling_check(const struct sampling *sampling, struct error *err);

struct generator;

/* Borrows model and team.  The team's spheres need the scratch that generator_scratch_bytes says.  `context` tokens are
 * what the model sees at most, and what its cache has room for (reserved; memory is taken as it fills); 0: as many as the
 * model can.  STATUS_CONFIG: more than that. */
struct generator *generator_new(struct model *model, struct team *team, size_t context, struct error *err);
void generator_free(struct generator *generator);
size_t generator_scratch_bytes(const struct model_config *config, size_t context);
size_t generator_context(const struct generator *generator);

/* Forgets everything and feeds the prompt (at least one token; all below the vocabulary, else STATUS_CONFIG). */
enum status generator_prompt(struct generator *generator, const int32_t *tokens, size_t n, struct error *err);

/* Draws the next token from the logits after all so far, and feeds it. */
enum status generator_next(struct generator *generator, const struct sampling *sampling, int32_t *token,
                           struct error *err);

/* Whether the model's configuration says that this token ends a text. */
bool generator_is_end(const struct generator *generator, int32_t token);

/* The weights changed (a training went on): pack them again before the next prompt. */
void generator_refresh(struct generator *generator);

/* The penalty itself: seen [V] says which tokens of logits [V] it takes. */
void sampling_penalize(float *logits, const bool *seen, size_t vocab_size, double penalty);

/* The draw itself, for tests: logits [V] after the penalty, a number u in (0,1), scratch of V floats. */
int32_t sample_token(const float *logits, size_t vocab_size, const struct sampling *sampling, double u, float *scratch);

#endif
