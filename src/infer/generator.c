/* SPDX-License-Identifier: MIT
 * infer/generator.c - a sequence that grows: what is in the context, what the decoder has seen of it.
 *
 * Tokens are fed when the next logits are wanted and not before, so the last token drawn costs nothing.  `context`
 * holds what the model is to see; the first decoder_cached() of it are in the cache, the rest is fed by the next draw.
 */
#include "infer/generator.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/rng.h"
#include "model/decoder.h"

#include <math.h>
#include <string.h>

struct generator {
    struct model *model;
    struct team *team;
    struct decoder *decoder;
    int width;
    bool packed;
    float *logits, *scratch; /* [V] */
    size_t longest;          /* tokens the model is to see at most */
    bool *seen;              /* [V] which tokens the sequence has had */
    int32_t *context;        /* [longest] */
    size_t length;           /* tokens in context */
    uint64_t position;       /* tokens of the sequence so far, dropped ones included */
};

static struct decoder_memory plan(const struct model_config *config, size_t context)
{
    return decoder_plan(config, DECODER_GENERATE, DTYPE_F32, 1, context ? context : config->n_positions);
}

size_t generator_scratch_bytes(const struct model_config *config, size_t context)
{
    return plan(config, context).sphere_scratch_bytes;
}

struct generator *generator_new(struct model *model, struct team *team, size_t context, struct error *err)
{
    const struct model_config *config = model_config(model);
    if (context > config->n_positions) {
        error_set(err, STATUS_CONFIG, "a context of %zu tokens; the model has %zu positions", context,
                  config->n_positions);
        return NULL;
    }
    struct generator *g = mem_calloc(1, sizeof *g);
    if (!g) {
        error_set(err, STATUS_NOMEM, "no memory for a generator");
        return NULL;
    }
    g->model = model;
    g->team = team;
    g->longest = context ? context : config->n_positions;
    int widest = plan(config, context).max_width;
    g->width = team_size(team) < widest ? team_size(team) : widest;
    g->logits = mem_calloc(config->vocab_size, sizeof *g->logits);
    g->scratch = mem_calloc(config->vocab_size, sizeof *g->scratch);
    g->context = mem_calloc(g->longest, sizeof *g->context);
    g->seen = mem_calloc(config->vocab_size, sizeof *g->seen);
    if (!g->logits || !g->scratch || !g->context || !g->seen)
        error_set(err, STATUS_NOMEM, "no memory for the logits of %zu tokens", config->vocab_size);
    else
        g->decoder = decoder_new(model, DECODER_GENERATE, DTYPE_F32, 1, g->longest, err);
    if (!g->decoder) {
        generator_free(g);
        return NULL;
    }
    return g;
}

void generator_free(struct generator *g)
{
    if (!g)
        return;
    decoder_free(g->decoder);
    mem_free(g->context);
    mem_free(g->seen);
    mem_free(g->scratch);
    mem_free(g->logits);
    mem_free(g);
}

size_t generator_context(const struct generator *g)
{
    return g->longest;
}

bool generator_is_end(const struct generator *g, int32_t token)
{
    return model_config_is_eos(model_config(g->model), token);
}

void generator_refresh(struct generator *g)
{
    g->packed = false;
}

/* Room for one more token: a full context loses its older half, and the decoder starts anew with the rest. */
static void append(struct generator *g, int32_t token)
{
    if (g->length == g->longest) {
        size_t dropped = (g->longest + 1) / 2;
        g->length -= dropped;
        memmove(g->context, g->context + dropped, g->length * sizeof *g->context);
        decoder_forget(g->decoder);
    }
    g->seen[token] = true;
    g->context[g->length++] = token;
    g->position++;
}

enum status generator_prompt(struct generator *g, const int32_t *tokens, size_t n, struct error *err)
{
    size_t vocab = model_config(g->model)->vocab_size;
    if (n == 0)
        return error_set(err, STATUS_CONFIG, "the prompt is empty; it must have at least one token");
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= vocab)
            return error_set(err, STATUS_CONFIG, "token %zu of the prompt is %d; the model's vocabulary ends at %zu", i,
                             (int)tokens[i], vocab - 1);
    decoder_forget(g->decoder);
    g->length = 0;
    g->position = 0;
    memset(g->seen, 0, vocab * sizeof *g->seen);
    for (size_t i = 0; i < n; i++)
        append(g, tokens[i]);
    return STATUS_OK;
}

static void feed(struct sphere *me, void *arg)
{
    struct generator *g = arg;
    if (!g->packed)
        decoder_pack(me, g->decoder);
    size_t cached = decoder_cached(g->decoder);
    /* Every member has read what is cached before the decoder changes it. */
    sphere_barrier(me);
    decoder_extend(me, g->decoder, g->context + cached, g->length - cached, g->logits);
}

enum status generator_next(struct generator *g, const struct sampling *sampling, int32_t *token, struct error *err)
{
    size_t vocab = model_config(g->model)->vocab_size;
    if (g->length == 0)
        return error_set(err, STATUS_MISUSE, "a generator was asked for a token before it had a prompt");
    enum status status = sampling_check(sampling, err);
    if (status != STATUS_OK)
        return status;
    status = team_run(g->team, g->width, feed, g);
    if (status != STATUS_OK)
        return error_set(err, status, "generation: %s", status_text(status));
    g->packed = true;
    for (size_t i = 0; i < vocab; i++)
        if (!isfinite(g->logits[i]))
            return error_set(err, STATUS_NONFINITE,
                             "the model's logit for token %zu is not finite; its weights are damaged", i);
    sampling_penalize(g->logits, g->seen, vocab, sampling->repetition_penalty);
    struct rng_block block = philox4x32(rng_key(sampling->seed, RNG_SAMPLE, 0, 0), 0, g->position);
    *token = sample_token(g->logits, vocab, sampling, rng_uniform(&block, 0), g->scratch);
    append(g, *token);
    return STATUS_OK;
}
