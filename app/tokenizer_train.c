/* SPDX-License-Identifier: MIT
 * app/tokenizer_train.c - `cllm tokenizer train`.
 */
#include "app/command.h"
#include "app/dataset.h"
#include "app/options.h"
#include "app/status_line.h"
#include "app/token_source.h"
#include "app/tokenizer_commands.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/human.h"
#include "runtime/gate.h"
#include "runtime/sphere.h"
#include "tokenizer/train.h"

#include <stdio.h>

static const struct option_usage usage = {
    .command = "tokenizer train",
    .synopsis = "cllm tokenizer train --vocab-size N --data PATH --out FILE [options]",
    .summary = "Makes a byte-level BPE tokenizer of N tokens from text and writes it as tokenizer.json. The result "
               "depends on the "
               "text alone, not on threads, and is that of Hugging Face's BpeTrainer.",
    .examples =
        "  cllm tokenizer train --vocab-size 32000 --data texts --out tokenizer.json\n"
        "  cllm tokenizer train --vocab-size 50257 --data book.txt.gz --family llama3 --out my/tokenizer.json\n",
};

struct count_job {
    const struct tokenizer *blank;
    struct word_counts *total;
    struct gate *gate; /* guards `total` */
    struct status_line line;
};

/* A job's words are counted by themselves and then added: sums, so the order does not matter. */
static enum status count_pieces(const struct text_piece *pieces, size_t n, void *arg, struct error *err)
{
    struct count_job *job = arg;
    struct word_counts *counts = word_counts_new(err);
    enum status status = counts ? STATUS_OK : err->status;
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        status = word_counts_add_text(counts, job->blank, pieces[i].flags, pieces[i].text, pieces[i].len, err);
    if (status == STATUS_OK)
        status = gate_enter(job->gate, NULL, WAIT_FOREVER, err);
    if (status == STATUS_OK) {
        status = word_counts_add(job->total, counts, err);
        gate_leave(job->gate);
    }
    word_counts_free(counts);
    return status;
}

static bool tick(void *arg, uint64_t done, uint64_t total)
{
    struct count_job *job = arg;
    struct human a, b;
    char text[128];
    snprintf(text, sizeof text, "counting words: %3.0f%%  %s of %s",
             total ? 100.0 * (double)done / (double)total : 100.0, human_bytes(&a, done), human_bytes(&b, total));
    status_line_draw(&job->line, text);
    return true;
}

static enum status count_words(struct count_job *job, const char *data, int threads, struct error *err)
{
    struct pool *pool = NULL;
    enum status status = token_pool(threads, &pool, err);
    if (status == STATUS_OK && (!(job->total = word_counts_new(err)) || !(job->gate = gate_new(1, err))))
        status = err->status;
    if (status == STATUS_OK)
        status = text_pieces_each(data, job->blank, pool, count_pieces, job, tick, err);
    status_line_clear(&job->line);
    pool_free(pool);
    gate_free(job->gate, NULL);
    return status;
}

int tokenizer_command_train(int argc, char **argv)
{
    static const char *const families[] = {"gpt2", "llama3", "qwen2", "smollm", NULL};
    const char *data = NULL, *out = NULL, *family = "gpt2", *special = "<|endoftext|>";
    uint64_t vocab_size = 0, min_frequency = 0;
    int threads = 0;
    bool quiet = false;
    struct option_def options[] = {
        OPT_U64("vocab-size", &vocab_size, 257, INT32_MAX / 2,
                "tokens in all: special ones, the 256 bytes, and what is learnt"),
        OPT_TEXT("data", "PATH", &data, "a text file, .gz, .jsonl, or a directory of those"),
        OPT_TEXT("out", "FILE", &out, "the tokenizer.json to write"),
        OPT_CHOICE("family", &family, families,
                   "how text is cut into words: gpt2 (the default), llama3, qwen2 or smollm"),
        OPT_TEXT("special", "TOKEN", &special, "the token that ends a text (<|endoftext|>)"),
        OPT_U64("min-frequency", &min_frequency, 0, OPTION_WHOLE_MAX,
                "a pair must occur so often to become a token (1)"),
        OPT_INT("threads", &threads, 0, SPHERES_MAX,
                "threads for counting words; 0 = as many as there are cores to use (0)"),
        OPT_FLAG("quiet", &quiet, "say nothing but errors"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (!vocab_size || !data || !out) {
        command_say(usage.command, "--vocab-size, --data and --out are needed");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct count_job job = {0};
    struct tokenizer *blank = NULL, *made = NULL;
    struct buffer json = {0};
    status_line_init(&job.line, quiet);
    const uint64_t begin = clock_now_ns();
    uint64_t counted = begin;
    enum status status = STATUS_OK;
    if (file_is_directory(out))
        status = error_set(&err, STATUS_CONFIG,
                           "--out %s is a directory; give the name of a file, as %s/tokenizer.json", out, out);
    else if (!(blank = tokenizer_blank(family, &special, 1, &err)))
        status = err.status;
    else {
        job.blank = blank;
        status = count_words(&job, data, threads, &err);
        counted = clock_now_ns();
    }
    if (status == STATUS_OK && !(made = tokenizer_train(blank, job.total, vocab_size, min_frequency, &err)))
        status = err.status;
    if (status == STATUS_OK)
        status = tokenizer_json(made, &json, &err);
    if (status == STATUS_OK)
        status = file_replace(out, json.data, json.len, &err);
    if (status == STATUS_OK && !quiet) {
        printf("%s: %u tokens from %zu words, %llu in all; counted in %.2f s, merged in %.2f s\n", out,
               tokenizer_vocab_size(made), word_counts_distinct(job.total),
               (unsigned long long)word_counts_total(job.total), 1e-9 * (double)(counted - begin),
               1e-9 * (double)(clock_now_ns() - counted));
        if (tokenizer_vocab_size(made) < vocab_size)
            printf("The text has no more pairs to join: %u tokens instead of %llu.\n", tokenizer_vocab_size(made),
                   (unsigned long long)vocab_size);
    }
    buffer_release(&json);
    word_counts_free(job.total);
    tokenizer_free(made);
    tokenizer_free(blank);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(usage.command, &err);
}
