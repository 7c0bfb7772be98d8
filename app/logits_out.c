/* SPDX-License-Identifier: MIT */
#include "app/logits_out.h"

#include "app/text_source.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "model/decoder.h"
#include "runtime/team.h"

#include <string.h>

struct feed {
    const struct cancel *cancel;
    struct decoder *decoder;
    const int32_t *tokens;
    size_t n, vocab_size;
    float *logits;
};

static void feed_all(struct sphere *me, void *arg)
{
    struct feed *f = arg;
    decoder_pack(me, f->decoder);
    for (size_t i = 0; i < f->n; i++)
        if (cancel_check_team(me, f->cancel) == STATUS_OK)
            decoder_extend(me, f->decoder, f->tokens + i, 1, f->logits + i * f->vocab_size);
}

static enum status compute(struct feed *f, struct model *model, const struct crew *crew, struct error *err)
{
    const struct model_config *config = model_config(model);
    const int most = decoder_plan(config, DECODER_GENERATE, DTYPE_F32, 1, config->n_positions).max_width;
    struct team *team = generation_team(config, crew, 0, err);
    if (!team)
        return err->status;
    enum status status = STATUS_NOMEM;
    f->decoder = decoder_new(model, DECODER_GENERATE, DTYPE_F32, 1, config->n_positions, err);
    if (f->decoder)
        status = team_run(team, team_size(team) < most ? team_size(team) : most, feed_all, f);
    if (status == STATUS_CANCELLED)
        cancel_error(crew->cancel, err);
    decoder_free(f->decoder);
    team_free(team);
    return status;
}

enum status logits_write(struct model *model, const struct crew *crew, const int32_t *tokens, size_t n, const char *path,
                         struct error *err)
{
    const size_t V = model_config(model)->vocab_size;
    struct feed feed = {.cancel = crew->cancel, .tokens = tokens, .n = n, .vocab_size = V, .logits = mem_calloc(n, V * sizeof(float))};
    if (!feed.logits)
        return error_set(err, STATUS_NOMEM, "no memory for the logits of %zu tokens", n);
    enum status status = compute(&feed, model, crew, err);
    const struct tensor_view views[] = {
        {.name = "logits", .dtype = "F32", .rank = 2, .shape = {n, V}, .data = feed.logits, .size_bytes = n * V * 4},
        {.name = "tokens", .dtype = "I32", .rank = 1, .shape = {n}, .data = tokens, .size_bytes = n * 4},
    };
    if (status == STATUS_OK)
        status = safetensors_write(path, views, 2, NULL, NULL, err);
    mem_free(feed.logits);
    return status;
}
