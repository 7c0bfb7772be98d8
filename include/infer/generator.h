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

struct sampling {
    double temperature; /* 0 = greedy */
    size_t top_k;       /* 0 = off */
    double top_p;       /* 1 = off */
    uint64_t seed;
};

/* One sentence for what is out of range. */
enum status sampling_check(const struct sampling *sampling, struct error *err);

struct generator;

/* Borrows model and team.  The team's spheres need the scratch that generator_scratch_bytes says. */
struct generator *generator_new(struct model *model, struct team *team, struct error *err);
void generator_free(struct generator *generator);
size_t generator_scratch_bytes(const struct model_config *config);

/* Forgets everything and feeds the prompt (at least one token; all below the vocabulary, else STATUS_CONFIG). */
enum status generator_prompt(struct generator *generator, const int32_t *tokens, size_t n, struct error *err);

/* Draws the next token from the logits after all so far, and feeds it. */
enum status generator_next(struct generator *generator, const struct sampling *sampling, int32_t *token,
                           struct error *err);

/* Whether the model's configuration says that this token ends a text. */
bool generator_is_end(const struct generator *generator, int32_t token);

/* The weights changed (a training went on): pack them again before the next prompt. */
void generator_refresh(struct generator *generator);

/* The draw itself, for tests: logits [V], a number u in (0,1), scratch of V floats. */
int32_t sample_token(const float *logits, size_t vocab_size, const struct sampling *sampling, double u, float *scratch);

#endif
