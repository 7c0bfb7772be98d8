/* SPDX-License-Identifier: MIT
 * app/cmd_generate.c - `cllm generate`: text from a model or from the newest checkpoint of a run.
 */
#include "app/command.h"
#include "app/generate_chat.h"
#include "app/interrupt.h"
#include "app/options.h"
#include "app/text_source.h"
#include "base/utf8.h"
#include "formats/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "generate",
    .synopsis = "cllm generate MODEL [options]",
    .summary =
        "Writes text with a model. MODEL is a model directory (config.json, model.safetensors, tokenizer.json) or a "
        "run directory, of which the newest sound checkpoint is taken.",
    .examples = "  cllm generate run1 --prompt \"ROMEO:\" --max-tokens 300\n"
                "  cllm generate run1 --temperature 0 --prompt \"The \"\n"
                "  cllm generate run1/checkpoints/step-00000500 --top-k 40 --seed 7 --num-samples 3\n"
                "  cllm generate smollm2-instruct --chat --system \"Be brief.\"\n"
                "  cllm generate gpt2 --prompt-tokens 15496,995 --json\n",
    .notes = "Filters come in this order: repetition penalty, temperature, top-k, top-p, min-p. When the context is full its "
             "older half is dropped.\n"
             "The same model, prompt, seed and settings give the same text for any number of threads.\n",
};

struct request {
    const char *prompt, *prompt_list, *system;
    size_t max_tokens, num_samples, context;
    struct sampling sampling;
    struct option_list stops;
    int threads;
    bool json, chat;
    const struct cancel *cancel;
};

static enum status parse_token_list(const char *list, struct buffer *ids, struct error *err)
{
    for (const char *at = list;;) {
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        if (end == at || errno != 0 || value < 0 || value > INT32_MAX || (*end != ',' && *end != '\0'))
            return error_set(err, STATUS_CONFIG, "--prompt-tokens wants token ids with commas between them, not '%s'",
                             list);
        int32_t token = (int32_t)value;
        buffer_append(ids, &token, sizeof token);
        if (*end == '\0')
            return STATUS_OK;
        at = end + 1;
    }
}

static bool to_stdout(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
}

static bool to_buffer(void *ctx, const char *text, size_t len)
{
    buffer_append(ctx, text, len);
    return true;
}

static json_t *token_array(const int32_t *ids, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_integer(ids[i]));
    return array;
}

static enum status print_json(const struct request *request, const struct tokenizer *tokenizer,
                              const struct buffer *ids, const struct text_result *result, const struct buffer *text,
                              const struct sampling *sampling, struct error *err)
{
    size_t n = result->tokens.len / sizeof(int32_t);
    json_t *object = json_object();
    json_object_set_new(object, "prompt_tokens",
                        token_array((const int32_t *)(const void *)ids->data, ids->len / sizeof(int32_t)));
    json_object_set_new(object, "tokens", token_array((const int32_t *)(const void *)result->tokens.data, n));
    if (request->prompt)
        json_object_set_new(object, "prompt", json_string(request->prompt));
    if (tokenizer)
        json_object_set_new(object, "text", json_stringn_nocheck(text->data ? text->data : "", text->len));
    json_object_set_new(object, "finish_reason", json_string(result->ended ? "stop" : "length"));
    json_object_set_new(object, "seed", json_integer((json_int_t)sampling->seed));
    json_object_set_new(object, "seconds", json_real(result->seconds));
    struct buffer line = {0};
    enum status status = json_write(object, false, &line, err);
    if (status == STATUS_OK)
        printf("%s\n", line.data);
    buffer_release(&line);
    json_decref(object);
    return status;
}

/* A byte model may write bytes that are no UTF-8; JSON takes none of those, so each becomes U+FFFD. */
static void make_valid_utf8(struct buffer *text)
{
    struct buffer valid = {0};
    for (size_t at = 0; at < text->len;) {
        size_t n = 1;
        json_t *probe = NULL;
        for (; n <= 4 && at + n <= text->len; n++)
            if ((probe = json_stringn(text->data + at, n)))
                break;
        if (probe)
            buffer_append(&valid, text->data + at, n);
        else
            buffer_append_text(&valid, "\xEF\xBF\xBD");
        at += probe ? n : 1;
        json_decref(probe);
    }
    buffer_release(text);
    *text = valid;
}

static enum status one_sample(const struct request *request, struct generator *generator,
                              const struct tokenizer *tokenizer, const struct buffer *ids, size_t number,
                              struct error *err)
{
    struct sampling sampling = request->sampling;
    sampling.seed += number;
    const struct text_end end = {.max_tokens = request->max_tokens,
                                 .stops = request->stops.text,
                                 .num_stops = request->stops.n,
                                 .token = -1};
    struct text_result result = {0};
    struct buffer text = {0};
    if (!request->json) {
        if (request->num_samples > 1)
            printf("%s--- sample %zu\n", number ? "\n" : "", number + 1);
        if (request->prompt)
            fputs(request->prompt, stdout);
    }
    enum status status =
        generate_text(generator, tokenizer, (const int32_t *)(const void *)ids->data, ids->len / sizeof(int32_t),
                      &sampling, &end, request->json ? to_buffer : to_stdout, &text, request->cancel, &result, err);
    if (status == STATUS_OK && request->json) {
        make_valid_utf8(&text);
        status = print_json(request, tokenizer, ids, &result, &text, &sampling, err);
    } else if (status == STATUS_OK || (status == STATUS_CANCELLED && !request->json)) {
        putchar('\n');
    }
    buffer_release(&text);
    buffer_release(&result.tokens);
    return status;
}

static enum status check_fits(const struct request *request, const struct loaded_model *loaded, size_t tokens,
                              struct error *err)
{
    const size_t positions = model_config(loaded->model)->n_positions;
    const size_t context = request->context ? request->context : positions;
    if (request->stops.n && !loaded->tokenizer)
        return error_set(err, STATUS_CONFIG, "the model has no tokenizer.json, so there is no text for --stop to end");
    if (context > positions)
        return error_set(err, STATUS_CONFIG, "--context %zu is more than the model's %zu positions", context, positions);
    if (tokens > context)
        return error_set(err, STATUS_CONFIG, "the prompt has %zu tokens and the context room for %zu; %s", tokens, context,
                         context < positions ? "give a shorter prompt or a larger --context" : "give a shorter prompt");
    return STATUS_OK;
}

/* A stop text is compared with whole characters. */
static int check_stops(const struct option_list *stops)
{
    for (size_t i = 0; i < stops->n; i++) {
        const size_t len = strlen(stops->text[i]);
        uint32_t code_point;
        size_t at = 0;
        for (int n = 0; at < len && (n = utf8_decode(stops->text[i] + at, len - at, &code_point)) > 0;)
            at += (size_t)n;
        if (len == 0 || at < len) {
            command_say("generate", "--stop wants a text of UTF-8 that is not empty");
            return EXIT_CODE_USAGE;
        }
    }
    return OPTIONS_GO_ON;
}

static enum status converse(const struct request *request, const struct loaded_model *loaded,
                            struct generator *generator, struct error *err)
{
    if (!loaded->tokenizer)
        return error_set(err, STATUS_CONFIG, "%s has no tokenizer.json, so --chat cannot be", loaded->directory.data);
    struct chat_template *chat = chat_template_load(loaded->directory.data, err);
    if (!chat)
        return err->status;
    const struct chat_request talk = {.chat = chat,
                                      .tokenizer = loaded->tokenizer,
                                      .prompt = request->prompt,
                                      .system = request->system,
                                      .sampling = request->sampling,
                                      .end = {.max_tokens = request->max_tokens,
                                              .stops = request->stops.text,
                                              .num_stops = request->stops.n},
                                      .cancel = request->cancel};
    const enum status status = generate_chat(&talk, generator, err);
    chat_template_free(chat);
    return status;
}

static enum status generate(const char *path, const struct request *request, struct error *err)
{
    struct loaded_model loaded;
    struct buffer ids = {0};
    struct team *team = NULL;
    struct generator *generator = NULL;
    struct crew crew = {0};
    enum status status = sampling_check(&request->sampling, err);
    if (status != STATUS_OK)
        return status;
    status = loaded_model_open(&loaded, path, err);
    if (loaded.warning.len)
        command_say("generate", "warning: %s", loaded.warning.data);
    const struct model_config *config = status == STATUS_OK ? model_config(loaded.model) : NULL;
    if (status == STATUS_OK && !request->chat)
        status = request->prompt_list
                     ? parse_token_list(request->prompt_list, &ids, err)
                     : prompt_tokens(loaded.tokenizer, request->prompt, config->vocab_size, &ids, err);
    if (status == STATUS_OK && ids.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the prompt");
    if (status == STATUS_OK)
        status = check_fits(request, &loaded, ids.len / sizeof(int32_t), err);
    if (status == STATUS_OK)
        status = crew_start(&crew, request->threads, TEAM_PTHREAD, err);
    if (status == STATUS_OK && !(team = generation_team(config, &crew, request->context, err)))
        status = err->status;
    if (status == STATUS_OK && !(generator = generator_new(loaded.model, team, request->context, err)))
        status = err->status;
    if (status == STATUS_OK && request->chat)
        status = converse(request, &loaded, generator, err);
    for (size_t i = 0; !request->chat && status == STATUS_OK && i < request->num_samples && !ferror(stdout); i++)
        status = one_sample(request, generator, loaded.tokenizer, &ids, i, err);
    generator_free(generator);
    team_free(team);
    crew_release(&crew);
    buffer_release(&ids);
    loaded_model_release(&loaded);
    return status;
}

int cmd_generate(int argc, char **argv)
{
    struct request request = {.max_tokens = 200, .num_samples = 1,
                              .sampling = {.repetition_penalty = 1, .temperature = 0.8, .top_p = 1, .seed = 1337}};
    struct option_def options[] = {
        OPT_TEXT("prompt", "TEXT", &request.prompt, "text to go on from; without it a new line"),
        OPT_TEXT("prompt-tokens", "IDS", &request.prompt_list, "token ids in place of a text, with commas between"),
        OPT_SIZE("max-tokens", &request.max_tokens, 1, 1 << 30, "stop after so many tokens (200), or at <|endoftext|>"),
        OPT_LIST("stop", "TEXT", &request.stops, "stop before this text; may be given several times"),
        OPT_SIZE("context", &request.context, 1, 1 << 30, "tokens the model sees at most (as many as it can)"),
        OPT_REAL("repetition-penalty", &request.sampling.repetition_penalty, 1e-6, 1e6,
                 "make tokens that were there less likely; 1 = off (1)"),
        OPT_REAL("temperature", &request.sampling.temperature, 0, 1e6, "0 is always the likeliest token (0.8)"),
        OPT_SIZE("top-k", &request.sampling.top_k, 0, 1 << 30, "draw among the N likeliest only; 0 = off (0)"),
        OPT_REAL("top-p", &request.sampling.top_p, 1e-9, 1, "draw among the likeliest that make up X; 1 = off (1)"),
        OPT_REAL("min-p", &request.sampling.min_p, 0, 1,
                 "draw only what is X times as likely as the likeliest; 0 = off (0)"),
        OPT_U64("seed", &request.sampling.seed, 0, OPTION_WHOLE_MAX,
                "seed of the first sample; the next has one more (1337)"),
        OPT_SIZE("num-samples", &request.num_samples, 1, 1 << 20, "texts to write (1)"),
        OPT_INT("threads", &request.threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores (0)"),
        OPT_FLAG("chat", &request.chat, "a conversation in the model's chat template: a turn a line, or --prompt alone"),
        OPT_TEXT("system", "TEXT", &request.system, "system message of the conversation; without it the template's"),
        OPT_FLAG("json", &request.json, "one JSON object per sample"),
        OPT_END,
    };
    const char *path = NULL;
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &path, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1) {
        command_say("generate", "which model? Give a model directory or a run directory, as in `cllm generate run1`");
        return EXIT_CODE_USAGE;
    }
    if (request.prompt && request.prompt_list) {
        command_say("generate", "--prompt and --prompt-tokens exclude each other");
        return EXIT_CODE_USAGE;
    }
    if (request.chat && (request.prompt_list || request.json || request.num_samples > 1)) {
        command_say("generate", "--chat takes neither --prompt-tokens nor --json nor more than one sample");
        return EXIT_CODE_USAGE;
    }
    if (request.system && !request.chat) {
        command_say("generate", "--system is the system message of a conversation; it needs --chat");
        return EXIT_CODE_USAGE;
    }
    if ((code = check_stops(&request.stops)) != OPTIONS_GO_ON)
        return code;
    struct error err = {0};
    struct interrupt interrupt;
    if (interrupt_begin(&interrupt, true, &err) != STATUS_OK)
        return command_failed("generate", &err);
    request.cancel = interrupt.token;
    code = generate(path, &request, &err) == STATUS_OK ? EXIT_CODE_OK : command_failed("generate", &err);
    code = interrupt_exit_code(&interrupt, code);
    interrupt_release(&interrupt);
    return command_finish_output("generate", code);
}
