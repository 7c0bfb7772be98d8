/* SPDX-License-Identifier: MIT */
#include "app/text_source.h"

#include "base/clock.h"
#include "base/file.h"
#include "infer/stop.h"
#include "topology/topology.h"
#include "train/checkpoint.h"

#include <string.h>

static bool holds(const char *directory, const char *name, struct buffer *path)
{
    return file_exists(path_join(path, directory, name));
}

enum status loaded_model_open(struct loaded_model *loaded, const char *path, struct error *err)
{
    struct buffer inner = {0};
    enum status status = STATUS_OK;
    *loaded = (struct loaded_model){0};
    if (!file_exists(path))
        status = error_set(err, STATUS_IO, "%s: no such directory; give a model directory or a run directory", path);
    else if (holds(path, "config.json", &inner))
        buffer_append_text(&loaded->directory, path);
    else if (holds(path, "run.json", &inner) || holds(path, "checkpoints", &inner))
        status = checkpoint_find_latest(path, &loaded->directory, &loaded->warning, err);
    else
        status = error_set(err, STATUS_FORMAT,
                           "%s is neither a model directory (no config.json) nor a run (no run.json)", path);
    if (status == STATUS_OK && loaded->directory.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for a path");
    if (status == STATUS_OK && !(loaded->model = model_load(loaded->directory.data, err)))
        status = err->status;
    if (status == STATUS_OK && holds(loaded->directory.data, "tokenizer.json", &inner)) {
        loaded->tokenizer = tokenizer_load(inner.data, err);
        size_t vocab = model_config(loaded->model)->vocab_size;
        if (!loaded->tokenizer)
            status = err->status;
        else if (tokenizer_vocab_size(loaded->tokenizer) > vocab)
            status = error_set(err, STATUS_FORMAT, "%s has %u tokens, its model only %zu: they do not belong together",
                               inner.data, tokenizer_vocab_size(loaded->tokenizer), vocab);
    }
    buffer_release(&inner);
    return status;
}

void loaded_model_release(struct loaded_model *loaded)
{
    model_free(loaded->model);
    tokenizer_free(loaded->tokenizer);
    buffer_release(&loaded->directory);
    buffer_release(&loaded->warning);
}

struct team *generation_team(const struct model_config *config, const struct crew *crew, size_t context,
                             struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    struct team_options options = {.num_spheres = topology_few_spheres(&topology, crew->threads),
                                   .backend = crew->backend,
                                   .pool = crew->pool,
                                   .scratch_bytes = generator_scratch_bytes(config, context)};
    return team_new(&options, err);
}

enum status prompt_tokens(const struct tokenizer *tokenizer, const char *prompt, size_t vocab_size, struct buffer *ids,
                          struct error *err)
{
    struct error unused;
    int32_t token = 0;
    if (prompt && !tokenizer)
        return error_set(err, STATUS_CONFIG,
                         "the model has no tokenizer.json, so a text prompt means nothing to it; use --prompt-tokens");
    if (prompt && *prompt) {
        enum status status = tokenizer_encode_with(tokenizer, TOKENIZER_PARSE_ADDED | TOKENIZER_ADD_FIRST, prompt,
                                                   strlen(prompt), ids, err);
        return status == STATUS_OK ? status : error_prefix(err, "the prompt");
    }
    if (tokenizer && tokenizer_encode_with(tokenizer, TOKENIZER_ADD_FIRST, "", 0, ids, &unused) == STATUS_OK &&
        ids->len)
        return STATUS_OK;
    if (tokenizer && tokenizer_encode(tokenizer, "\n", 1, ids, &unused) == STATUS_OK && ids->len)
        return STATUS_OK;
    buffer_clear(ids);
    if (tokenizer && tokenizer_end_of_text(tokenizer) >= 0 && (size_t)tokenizer_end_of_text(tokenizer) < vocab_size)
        token = tokenizer_end_of_text(tokenizer);
    buffer_append(ids, &token, sizeof token);
    return STATUS_OK;
}

/* A text on its way out. */
struct outlet {
    const struct tokenizer *tokenizer;
    struct text_stream stream;
    struct stop_filter filter;
    struct buffer text, passed;
    text_sink_fn *sink;
    void *ctx;
    bool go_on;
};

/* Gives out what may be shown of the outlet's text; `over`: nothing comes after it. */
static enum status pass_on(struct outlet *o, bool over, struct error *err)
{
    buffer_clear(&o->passed);
    stop_filter_push(&o->filter, o->text.data, o->text.len, &o->passed);
    if (over)
        stop_filter_finish(&o->filter, &o->passed);
    if (o->text.failed || o->passed.failed || o->filter.held.failed)
        return error_set(err, STATUS_NOMEM, "no memory for the text");
    if (o->passed.len)
        o->go_on = o->sink(o->ctx, o->passed.data, o->passed.len);
    return STATUS_OK;
}

/* Gives out what whole characters the token completes. */
static enum status emit(struct outlet *o, int32_t token, bool first, struct error *err)
{
    buffer_clear(&o->text);
    if (!o->tokenizer) {
        buffer_printf(&o->text, first ? "%d" : " %d", (int)token);
    } else if ((uint32_t)token < tokenizer_vocab_size(o->tokenizer)) {
        enum status status = text_stream_push(&o->stream, o->tokenizer, token, &o->text, err);
        if (status != STATUS_OK)
            return status;
    } /* else a row of padding in the model's vocabulary, which has no text */
    return pass_on(o, false, err);
}

enum status generate_text(struct generator *generator, const struct tokenizer *tokenizer, const int32_t *prompt,
                          size_t prompt_len, const struct sampling *sampling, const struct text_end *end,
                          text_sink_fn *sink, void *ctx, const struct cancel *cancel, struct text_result *result,
                          struct error *err)
{
    uint64_t start = clock_now_ns();
    int32_t end_of_text = tokenizer ? tokenizer_end_of_text(tokenizer) : -1;
    struct outlet o = {.tokenizer = tokenizer,
                       .stream = {.begun = true}, /* the prompt stands before it */
                       .filter = {.texts = end->stops, .count = end->num_stops},
                       .sink = sink,
                       .ctx = ctx,
                       .go_on = true};
    enum status status = generator_prompt(generator, prompt, prompt_len, err);
    for (size_t i = 0; status == STATUS_OK && o.go_on && !o.filter.stopped && i < end->max_tokens; i++) {
        int32_t token;
        if ((status = cancel_error(cancel, err)) != STATUS_OK)
            break;
        status = generator_next(generator, sampling, &token, err);
        if (status != STATUS_OK)
            break;
        if ((end_of_text >= 0 && token == end_of_text) || (end->token >= 0 && token == end->token) ||
            generator_is_end(generator, token)) {
            result->ended = true;
            break;
        }
        buffer_append(&result->tokens, &token, sizeof token);
        status = emit(&o, token, i == 0, err);
    }
    buffer_clear(&o.text);
    if (status == STATUS_OK && o.go_on && !o.filter.stopped)
        status = text_stream_finish(&o.stream, &o.text, err);
    if (status == STATUS_OK && o.go_on && !o.filter.stopped)
        status = pass_on(&o, true, err);
    result->ended = result->ended || o.filter.stopped;
    if (status == STATUS_OK && result->tokens.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the tokens");
    stop_filter_release(&o.filter);
    buffer_release(&o.passed);
    buffer_release(&o.text);
    result->seconds = 1e-9 * (double)(clock_now_ns() - start);
    return status;
}

static bool into_buffer(void *ctx, const char *text, size_t len)
{
    buffer_append(ctx, text, len);
    return true;
}

enum status sample_of_model(struct model *model, const struct tokenizer *tokenizer, const struct crew *crew,
                            struct threaded_training *training, const char *prompt, const struct sampling *sampling,
                            size_t max_tokens, struct buffer *out, struct error *err)
{
    const struct model_config *config = model_config(model);
    struct buffer ids = {0};
    struct text_result result = {0};
    const struct text_end end = {.max_tokens = max_tokens, .token = -1};
    struct generator *generator = NULL;
    struct team *team = NULL;
    enum status status = prompt_tokens(tokenizer, prompt, config->vocab_size, &ids, err);
    if (status == STATUS_OK && ids.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the prompt");
    if (status == STATUS_OK && !(team = generation_team(config, crew, 0, err)))
        status = err->status;
    if (training && team)
        threaded_training_watch_also(training, team);
    if (status == STATUS_OK && !(generator = generator_new(model, team, 0, err)))
        status = err->status;
    if (status == STATUS_OK && prompt)
        buffer_append_text(out, prompt);
    if (status == STATUS_OK)
        status = generate_text(generator, tokenizer, (const int32_t *)(const void *)ids.data, ids.len / sizeof(int32_t),
                               sampling, &end, into_buffer, out, crew->cancel, &result, err);
    if (training && team)
        threaded_training_watch_also(training, NULL);
    generator_free(generator);
    team_free(team);
    buffer_release(&result.tokens);
    buffer_release(&ids);
    return status;
}
