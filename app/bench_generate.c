/* SPDX-License-Identifier: MIT
 * app/bench_generate.c - `cllm bench generate`: how fast a prompt is read and tokens are written.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "app/settings_flags.h"
#include "app/text_source.h"
#include "base/clock.h"
#include "base/human.h"
#include "base/memory.h"
#include "base/rng.h"
#include "model/decoder.h"

#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "bench generate",
    .synopsis = "cllm bench generate [MODEL] [options]",
    .summary =
        "Tokens per second of reading a prompt of random tokens and of writing tokens one by one, median of --repeat, for a "
        "model directory or for a preset with random weights. Each token written reads all packed weights once: their "
        "bytes times tokens per second, beside what the same spheres read from memory, is the share of bandwidth.",
    .examples = "  cllm bench generate --preset gpt2\n"
                "  cllm bench generate models/smollm2 --prompt-length 256 --tokens 64 --threads 1,2 --csv\n",
    .notes = "The keys and values that a token reads besides, few at these lengths, are not counted in the share.\n",
};

struct generate_bench {
    struct model *model;
    const char *name;
    size_t prompt_length, tokens, repeat;
    struct bench_list threads;
    bool csv;
};

struct generate_figures {
    double prompt, writing; /* tokens per second */
    double used, memory;    /* GB/s: of weights while writing, and what the spheres can read */
};

/* One prompt, then the tokens; the draw is greedy.  The prompt's time holds the draw of the first token. */
static enum status time_once(const struct generate_bench *b, struct generator *generator, const int32_t *prompt,
                             double *prompt_s, double *token_s, struct error *err)
{
    const struct sampling greedy = {.temperature = 0, .top_p = 1};
    int32_t token;
    const uint64_t start = clock_now_ns();
    enum status status = generator_prompt(generator, prompt, b->prompt_length, err);
    if (status == STATUS_OK)
        status = generator_next(generator, &greedy, &token, err);
    const uint64_t read = clock_now_ns();
    for (size_t i = 0; status == STATUS_OK && i < b->tokens; i++)
        status = generator_next(generator, &greedy, &token, err);
    *prompt_s = 1e-9 * (double)(read - start + 1);
    *token_s = 1e-9 * (double)(clock_now_ns() - read + 1) / (double)b->tokens;
    return status;
}

static enum status measure(const struct generate_bench *b, struct team *team, const int32_t *prompt,
                           struct generate_figures *f, struct error *err)
{
    double prompt_s[BENCH_MAX_REPEAT], token_s[BENCH_MAX_REPEAT];
    const struct model_config *config = model_config(b->model);
    const size_t context = b->prompt_length + b->tokens;
    const struct decoder_memory plan = decoder_plan(config, DECODER_GENERATE, DTYPE_F32, 1, context);
    struct generator *generator = generator_new(b->model, team, context, err);
    if (!generator)
        return err->status;
    enum status status = time_once(b, generator, prompt, prompt_s, token_s, err); /* packs the weights, warms up */
    for (size_t i = 0; status == STATUS_OK && i < b->repeat; i++)
        status = time_once(b, generator, prompt, &prompt_s[i], &token_s[i], err);
    generator_free(generator);
    if (status == STATUS_OK)
        status = bench_memory_gbytes(team, &f->memory, err);
    if (status == STATUS_OK) {
        f->prompt = (double)b->prompt_length / bench_median(prompt_s, b->repeat);
        f->writing = 1 / bench_median(token_s, b->repeat);
        f->used = 1e-9 * (double)plan.packed_bytes * f->writing;
    }
    return status;
}

static enum status run(const struct generate_bench *b, struct error *err)
{
    const struct model_config *config = model_config(b->model);
    const size_t last = b->prompt_length + b->tokens;
    struct human h;
    if (last > config->n_positions)
        return error_set(err, STATUS_CONFIG,
                         "--prompt-length %zu and --tokens %zu need %zu positions; the model has %zu", b->prompt_length,
                         b->tokens, last, config->n_positions);
    int32_t *prompt = mem_calloc(b->prompt_length, sizeof *prompt);
    if (!prompt)
        return error_set(err, STATUS_NOMEM, "no memory for a prompt of %zu tokens", b->prompt_length);
    for (size_t i = 0; i < b->prompt_length; i++)
        prompt[i] = (int32_t)(philox4x32(7, 0, i).word[0] % config->vocab_size);
    const size_t weights = decoder_plan(config, DECODER_GENERATE, DTYPE_F32, 1, last).packed_bytes;
    if (b->csv)
        printf("version,isa,model,threads,prompt_length,tokens,prompt_tokens_per_s,tokens_per_s,weights_gb_per_s,"
               "memory_gb_per_s,share\n");
    else
        printf("%s, %s of weights a token, %s; prompt of %zu tokens, %zu written, median of %zu\n"
               "threads  prompt tokens/s  written tokens/s  weights GB/s  memory GB/s  share\n",
               b->name, human_bytes(&h, weights), bench_isa(), b->prompt_length, b->tokens, b->repeat);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < b->threads.n && status == STATUS_OK; i++) {
        const struct team_options options = {.num_spheres = (int)b->threads.value[i],
                                             .backend = TEAM_PTHREAD,
                                             .scratch_bytes = generator_scratch_bytes(config, last)};
        struct team *team = team_new(&options, err);
        struct generate_figures f = {0};
        status = team ? measure(b, team, prompt, &f, err) : err->status;
        if (status == STATUS_OK && b->csv)
            printf("%s,%s,%s,%d,%zu,%zu,%.2f,%.2f,%.3f,%.3f,%.4f\n", CLLM_VERSION, bench_isa(), b->name,
                   team_size(team), b->prompt_length, b->tokens, f.prompt, f.writing, f.used, f.memory,
                   f.used / f.memory);
        else if (status == STATUS_OK)
            printf("%7d  %15.1f  %16.1f  %12.1f  %11.1f  %4.0f%%\n", team_size(team), f.prompt, f.writing, f.used,
                   f.memory, 100 * f.used / f.memory);
        fflush(stdout);
        team_free(team);
    }
    mem_free(prompt);
    return status;
}

static enum status random_model(struct settings_flags *flags, struct model **out, struct error *err)
{
    struct train_settings *s = &flags->settings;
    if (s->model.vocab_size == 0)
        s->model.vocab_size = 257; /* that of the byte tokenizer */
    *out = model_new(&s->model, err);
    if (!*out)
        return err->status;
    return model_init_weights(*out, 1337, NULL); /* alone it cannot fail */
}

int bench_generate(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct generate_bench b = {.prompt_length = 128, .tokens = 32, .repeat = 3};
    struct settings_flags flags = {0};
    struct loaded_model loaded = {0};
    const char *threads = all, *path = NULL;
    struct option_def options[] = {
        SETTINGS_MODEL_FLAGS(&flags),
        OPT_SIZE("prompt-length", &b.prompt_length, 1, 1 << 24, "tokens to read (128)"),
        OPT_SIZE("tokens", &b.tokens, 1, 1 << 24, "tokens to write (32)"),
        OPT_TEXT("threads", "LIST", &threads, "numbers of spheres (1, and all)"),
        OPT_SIZE("repeat", &b.repeat, 1, BENCH_MAX_REPEAT, "measurements of each (3)"),
        OPT_FLAG("csv", &b.csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &path, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found && (flags.preset || flags.config)) {
        command_say(usage.command, "a model directory has its own shape; give it or --preset or --config");
        return EXIT_CODE_USAGE;
    }
    enum status status = bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err);
    if (status != STATUS_OK) {
        command_say(usage.command, "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    if (found) {
        status = loaded_model_open(&loaded, path, &err);
        b.name = path;
    } else {
        if (!flags.preset && !flags.config)
            flags.preset = "gpt2";
        status = settings_flags_base(&flags, &err);
        if (status == STATUS_OK)
            options_parse(argc, argv, options, &usage, &path, 1, &found); /* the flags over the preset */
        if (status == STATUS_OK)
            status = settings_flags_finish(&flags, options, &err);
        if (status == STATUS_OK)
            status = random_model(&flags, &loaded.model, &err);
        b.name = flags.preset ? flags.preset : flags.config;
    }
    b.model = loaded.model;
    if (status == STATUS_OK)
        status = run(&b, &err);
    loaded_model_release(&loaded);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(usage.command, &err);
}
