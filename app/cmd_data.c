/* SPDX-License-Identifier: MIT
 * app/cmd_data.c - `cllm data check`: data as a training sees it, before it does.
 *
 * One pass: text is encoded by all threads and never kept, shards are read where they lie; data/survey.h takes the figures.
 */
#include "app/command.h"
#include "app/data_report.h"
#include "app/dataset.h"
#include "app/interrupt.h"
#include "app/options.h"
#include "app/status_line.h"
#include "app/token_source.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/human.h"
#include "runtime/sphere.h"
#include "train/run_directory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "data check",
    .synopsis = "cllm data check FILE|DIR|RUN [options]",
    .summary =
        "Shows windows of the data as a training sees them, each document marked and what does not count, then "
        "figures: "
        "lengths of documents, exact duplicates, how much is supervised, how much attention packing keeps, what is "
        "wrong with it. The data is what `cllm train --data` takes, or a run, whose settings are then the defaults.",
    .examples = "  cllm data check texts.jsonl --tokenizer tokenizer.json --packing documents\n"
                "  cllm data check run1 --samples 5\n"
                "  cllm data check shards --seq-len 1024 --packing documents --json\n",
};

enum { DEFAULT_SEQ_LEN = 256, CHUNK = 1 << 16 };

struct check {
    const char *path, *tokenizer_name, *packing_name;
    size_t seq_len, samples, vocab_size;
    int threads, end_of_text; /* end_of_text -1: not given */
    bool json;
    struct crew crew;
    struct status_line line;
    uint64_t drawn_ns;
    /* found */
    struct run_info info; /* of a run */
    bool is_run;
    struct tokenizer *tokenizer;
    struct tokens *tokens;       /* NULL: text */
    struct document_marks marks; /* of shards without an index */
    struct survey *survey;
    struct data_report report;
};

static void progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct check *c = ctx;
    struct human a, b;
    char text[160];
    if (clock_now_ns() - c->drawn_ns < 100000000u)
        return;
    c->drawn_ns = clock_now_ns();
    snprintf(text, sizeof text, "%s: %3.0f%%  %s of %s", what, total ? 100.0 * (double)done / (double)total : 100.0,
             human_count(&a, (double)done), human_count(&b, (double)total));
    status_line_draw(&c->line, text);
}

/* A run's tokens and tokenizer. */
static enum status open_run(struct check *c, struct error *err)
{
    struct buffer path = {0};
    const char *file = c->info.tokens_file;
    enum status status = STATUS_OK;
    c->tokens = strcmp(file, "tokens.bin") == 0 ? dataset_open_tokenized(c->path, err) : tokens_open(&file, 1, err);
    if (!c->tokens)
        status = err->status;
    else if (c->tokenizer_name)
        status = error_set(err, STATUS_CONFIG,
                           "%s is a run, which has its own tokenizer; --tokenizer does not go with it", c->path);
    else if (file_exists(path_join(&path, c->path, "tokenizer.json")) &&
             !(c->tokenizer = tokenizer_load(path.data, err)))
        status = err->status;
    buffer_release(&path);
    return status;
}

static enum status open_data(struct check *c, struct error *err)
{
    struct buffer path = {0};
    const struct dataset_job job = {.crew = &c->crew, .tick = progress, .ctx = c};
    const char *name = c->tokenizer_name;
    enum status status = STATUS_OK;
    if (!file_exists(c->path))
        return error_set(err, STATUS_IO, "%s: no such file or directory", c->path);
    path_join(&path, c->path, "run.json");
    c->is_run = !path.failed && file_exists(path.data);
    if (c->is_run) {
        status = run_info_read(c->path, &c->info, err);
        if (status == STATUS_OK)
            status = open_run(c, err);
    } else if (dataset_is_shards(c->path)) {
        if (!name && file_exists(path_join(&path, c->path, "tokenizer.json")))
            name = path.data;
        if (name && strcmp(name, "char") == 0)
            status = error_set(err, STATUS_CONFIG, "--tokenizer char is made from text, and %s holds tokens already",
                               c->path);
        else if (name && !(c->tokenizer = dataset_tokenizer(name, c->path, &job, err)))
            status = err->status;
        else if (!(c->tokens = tokens_open(&c->path, 1, err)))
            status = err->status;
    } else if (!(c->tokenizer = dataset_tokenizer(name ? name : "byte", c->path, &job, err)))
        status = err->status;
    buffer_release(&path);
    return status;
}

/* What the survey goes by: flags, then the run's settings, then what the tokenizer says. */
static enum status settle(struct check *c, struct error *err)
{
    struct survey_options *o = &c->report.options;
    const struct train_settings *s = &c->info.settings;
    o->seq_len = c->seq_len ? c->seq_len : c->is_run ? s->seq_len : DEFAULT_SEQ_LEN;
    o->samples = c->samples;
    o->vocab_size = c->vocab_size  ? (uint32_t)c->vocab_size
                    : c->is_run    ? (uint32_t)s->model.vocab_size
                    : c->tokenizer ? tokenizer_vocab_size(c->tokenizer)
                                   : 0;
    const struct model_config none = {.bos_token_id = -1};
    c->marks = dataset_marks(c->tokenizer, c->is_run ? &s->model : &none);
    if (c->end_of_text >= 0)
        c->marks = (struct document_marks){c->end_of_text, -1};
    o->end_of_text = c->marks.ends;
    o->packing = s->packing;
    if (c->packing_name && packing_parse(c->packing_name, &o->packing, err) != STATUS_OK)
        return err->status;
    c->survey = survey_new(o, err);
    return c->survey ? STATUS_OK : err->status;
}

static enum status survey_text(struct check *c, struct error *err)
{
    struct token_source *source = token_source_open(c->path, c->tokenizer, c->crew.pool, c->crew.cancel, err);
    enum status status = source ? STATUS_OK : err->status;
    if (source)
        token_source_count_invalid(source);
    c->report.documents_by = "lines and files";
    c->report.invalid_known = true;
    while (status == STATUS_OK) {
        struct token_chunk chunk;
        bool more = false;
        size_t at = 0;
        status = token_source_next(source, 0, &chunk, &more, err);
        if (status != STATUS_OK || !more)
            break;
        c->report.invalid_bytes += chunk.invalid_bytes;
        for (size_t i = 0; i < chunk.num_starts && status == STATUS_OK; i++) {
            survey_tokens(c->survey, chunk.ids + at, chunk.starts[i] - at);
            at = chunk.starts[i];
            status = survey_document(c->survey, err);
        }
        if (status == STATUS_OK)
            survey_tokens(c->survey, chunk.ids + at, chunk.n - at);
        progress(c, "reading", token_source_bytes_read(source), token_source_bytes_total(source));
    }
    token_source_close(source);
    return status;
}

/* Tells of all documents that begin at a place. */
static enum status begin_documents(struct check *c, const struct documents *documents, uint64_t place,
                                   struct error *err)
{
    enum status status = STATUS_OK;
    for (uint64_t n = documents_at(documents, place); n > 0 && status == STATUS_OK; n--)
        status = survey_document(c->survey, err);
    return status;
}

static enum status survey_piece(struct check *c, const struct documents *documents, uint64_t begin, const int32_t *ids,
                                size_t n, struct error *err)
{
    bool begins[CHUNK];
    size_t at = 0;
    enum status status = STATUS_OK;
    if (documents)
        documents_begins(documents, begin, n, ids, begins);
    else {
        memset(begins, 0, sizeof begins);
        begins[0] = begin == 0;
    }
    /* An end of text before the first document (llm.c's shards) is no document. */
    if (begin == 0 && documents && !documents_indexed(documents) && ids[0] == c->report.options.end_of_text)
        begins[0] = false;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        if (!begins[i])
            continue;
        survey_tokens(c->survey, ids + at, i - at);
        at = i;
        status = documents ? begin_documents(c, documents, begin + i, err) : survey_document(c->survey, err);
    }
    if (status == STATUS_OK)
        survey_tokens(c->survey, ids + at, n - at);
    return status;
}

static enum status survey_shards(struct check *c, struct error *err)
{
    static int32_t ids[CHUNK];
    struct error why = {0};
    const uint64_t count = tokens_count(c->tokens);
    struct documents *documents = documents_open(c->tokens, c->marks, &why);
    enum status status = STATUS_OK;
    if (documents)
        c->report.documents_by = documents_indexed(documents) ? "index" : "token that parts them";
    else if (why.status != STATUS_CONFIG || c->marks.ends >= 0 || c->marks.begins >= 0 ||
             c->report.options.packing != PACKING_NONE) {
        *err = why;
        return why.status;
    }
    for (uint64_t at = 0; at < count && status == STATUS_OK; at += CHUNK) {
        const size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;
        status = cancel_error(c->crew.cancel, err);
        if (status != STATUS_OK)
            break;
        tokens_read(c->tokens, at, n, ids);
        status = survey_piece(c, documents, at, ids, n, err);
        progress(c, "reading", at, count);
    }
    if (status == STATUS_OK && documents)
        status = begin_documents(c, documents, count, err);
    documents_close(documents);
    return status;
}

static enum status check(struct check *c, struct error *err)
{
    enum status status = crew_start(&c->crew, c->threads, TEAM_PTHREAD, err);
    const uint64_t start = clock_now_ns();
    if (status == STATUS_OK)
        status = open_data(c, err);
    if (status == STATUS_OK)
        status = settle(c, err);
    if (status == STATUS_OK)
        status = c->tokens ? survey_shards(c, err) : survey_text(c, err);
    if (status == STATUS_OK)
        status = survey_finish(c->survey, err);
    status_line_clear(&c->line);
    c->report.path = c->path;
    c->report.tokenizer = c->tokenizer;
    c->report.survey = c->survey;
    c->report.seconds = 1e-9 * (double)(clock_now_ns() - start);
    if (status == STATUS_OK)
        status = c->json ? data_report_json(&c->report, err) : data_report_text(&c->report, c->line.color, err);
    return status;
}

static int data_check(int argc, char **argv)
{
    struct check c = {.samples = 2, .end_of_text = -1};
    struct option_def options[] = {
        OPT_TEXT("tokenizer", "byte|char|PATH", &c.tokenizer_name,
                 "for text: bytes (the default), its characters, or a tokenizer.json; shards may bring theirs"),
        OPT_SIZE("seq-len", &c.seq_len, 1, 1 << 30, "tokens per window; a run's own, else 256"),
        OPT_CHOICE("packing", &c.packing_name, packing_names, "as in training; a run's own, else none"),
        OPT_SIZE("samples", &c.samples, 0, 1000, "windows to show, drawn from all (2)"),
        OPT_SIZE("vocab-size", &c.vocab_size, 1, 1 << 30,
                 "of the model the data is for; a run's own, else the tokenizer's"),
        OPT_INT("end-of-text", &c.end_of_text, 0, INT32_MAX,
                "token that ends texts, for shards without index and tokenizer"),
        OPT_INT("threads", &c.threads, 0, SPHERES_MAX,
                "threads that encode; 0 = as many as there are cores to use (0)"),
        OPT_FLAG("json", &c.json, "as JSON"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &c.path, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1) {
        command_say(usage.command, "which data? Give a text, .jsonl, .bin shards, a directory of those, or a run");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct interrupt interrupt;
    if (interrupt_begin(&interrupt, true, &err) != STATUS_OK)
        return command_failed(usage.command, &err);
    c.crew.cancel = interrupt.token;
    status_line_init(&c.line, c.json);
    code = check(&c, &err) == STATUS_OK ? EXIT_CODE_OK : command_failed(usage.command, &err);
    code = interrupt_exit_code(&interrupt, code);
    survey_free(c.survey);
    tokens_close(c.tokens);
    tokenizer_free(c.tokenizer);
    crew_release(&c.crew);
    interrupt_release(&interrupt);
    return code;
}

int cmd_data(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (word && strcmp(word, "check") == 0)
        return command_finish_output("data", data_check(argc - 1, argv + 1));
    const bool help = word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
    if (word && !help) {
        command_say("data", "unknown part '%s'; there is `cllm data check`", word);
        return EXIT_CODE_USAGE;
    }
    fprintf(help ? stdout : stderr,
            "usage: cllm data check FILE|DIR|RUN [options]\n\n"
            "Data as a training sees it: windows, documents, what counts, and what is wrong with it.\n\n"
            "  --help     this text; `cllm data check --help` tells the options\n\nExamples:\n"
            "  cllm data check texts.jsonl --tokenizer tokenizer.json --packing documents\n");
    return help ? command_finish_output("data", EXIT_CODE_OK) : EXIT_CODE_USAGE;
}
