/* SPDX-License-Identifier: MIT */
#include "app/convert_proof.h"

#include "app/text_source.h"
#include "base/memory.h"
#include "base/rng.h"
#include "model/decoder.h"
#include "runtime/team.h"

#include <math.h>
#include <string.h>

enum { PROMPTS = 4, PROMPT_TOKENS = 12 };

struct run {
    struct decoder *decoder;
    const int32_t *tokens;
    size_t n, vocab_size;
    float *logits; /* [n,V] */
};

static void feed_all(struct sphere *me, void *arg)
{
    struct run *r = arg;
    for (size_t i = 0; i < r->n; i++)
        decoder_extend(me, r->decoder, r->tokens + i, 1, r->logits + i * r->vocab_size);
}

static void pack(struct sphere *me, void *arg)
{
    const struct run *r = arg;
    decoder_pack(me, r->decoder);
}

/* Prompts that are the same for every model of this vocabulary. */
static void make_prompts(int32_t *tokens, size_t n, size_t vocab_size)
{
    for (size_t i = 0; i < n; i++) {
        const struct rng_block r = philox4x32(rng_key(PROMPTS, RNG_TEST, PROMPT_TOKENS, 0), 0, i);
        tokens[i] = (int32_t)(r.word[0] % vocab_size);
    }
}

/* Logits of all prompts: [PROMPTS, n, V]. */
static enum status logits_of(struct model *model, struct team *team, const int32_t *tokens, size_t n, float *out,
                             struct error *err)
{
    const struct model_config *config = model_config(model);
    struct run run = {.n = n, .vocab_size = config->vocab_size, .decoder = decoder_new(model, DECODER_GENERATE, DTYPE_F32, 1, n, err)};
    if (!run.decoder)
        return STATUS_NOMEM;
    const int widest = decoder_plan(config, DECODER_GENERATE, DTYPE_F32, 1, n).max_width;
    const int width = team_size(team) < widest ? team_size(team) : widest;
    enum status st = team_run(team, width, pack, &run);
    for (size_t p = 0; p < PROMPTS && st == STATUS_OK; p++) {
        run.tokens = tokens + p * n;
        run.logits = out + p * n * run.vocab_size;
        decoder_forget(run.decoder);
        st = team_run(team, width, feed_all, &run);
    }
    decoder_free(run.decoder);
    return st == STATUS_OK ? st : error_set(err, st, "running the model: %s", status_text(st));
}

static size_t largest_of(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static enum status compare(const float *a, const float *b, size_t positions, size_t vocab_size, struct logits_proof *proof,
                           struct error *err)
{
    const size_t n = positions * vocab_size;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double diff = fabs((double)a[i] - (double)b[i]);
        if (!isfinite(diff))
            return error_set(err, STATUS_FORMAT, "a logit of the model as it was read back is not finite");
        proof->largest = diff > proof->largest ? diff : proof->largest;
        sum += (double)a[i];
        squares += (double)a[i] * (double)a[i];
    }
    const double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    proof->spread = variance > 0 ? sqrt(variance) : 0;
    for (size_t p = 0; p < positions; p++)
        proof->same_choice += largest_of(a + p * vocab_size, vocab_size) == largest_of(b + p * vocab_size, vocab_size);
    if (proof->same_weights && memcmp(a, b, n * sizeof *a) != 0)
        return error_set(err, STATUS_FORMAT, "the weights read back are the same and the logits differ, by %g at most",
                         proof->largest);
    return STATUS_OK;
}

enum status prove_logits(struct model *model, struct model *back, const struct crew *crew, struct logits_proof *proof,
                         struct error *err)
{
    const struct model_config *config = model_config(model);
    const size_t n = config->n_positions < PROMPT_TOKENS ? config->n_positions : PROMPT_TOKENS, V = config->vocab_size;
    int32_t tokens[PROMPTS * PROMPT_TOKENS];
    *proof = (struct logits_proof){.prompts = PROMPTS, .tokens = PROMPTS * n};
    proof->same_weights = memcmp(model_data(model), model_data(back), model_size(model) * sizeof(float)) == 0;
    make_prompts(tokens, PROMPTS * n, V);
    struct team *team = generation_team(config, crew, 0, err);
    if (!team)
        return STATUS_SYSTEM;
    float *a = mem_calloc(2 * PROMPTS * n, V * sizeof *a), *b = a ? a + PROMPTS * n * V : NULL;
    enum status st = a ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory for the logits of %zu tokens", proof->tokens);
    if (st == STATUS_OK)
        st = logits_of(model, team, tokens, n, a, err);
    if (st == STATUS_OK)
        st = logits_of(back, team, tokens, n, b, err);
    if (st == STATUS_OK)
        st = compare(a, b, PROMPTS * n, V, proof, err);
    mem_free(a);
    team_free(team);
    return st;
}
