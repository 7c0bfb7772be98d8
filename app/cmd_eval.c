/* SPDX-License-Identifier: MIT
 * app/cmd_eval.c - `cllm eval`: how well a model predicts a text.
 *
 * The stream of tokens is cut into windows of seq-len that follow one another; every token but the first is predicted
 * once, in the last, shorter window too.  Windows are computed one by one and their sums added in order, so the figure
 * is a function of the model and the text alone: no batch size, no number of threads.  With --packing documents a
 * token sees its own document only, and what counts are the tokens that have one of theirs before them.
 */
#include "app/command.h"
#include "app/dataset.h"
#include "app/interrupt.h"
#include "app/logits_out.h"
#include "app/options.h"
#include "app/text_source.h"
#include "app/token_source.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/human.h"
#include "base/memory.h"
#include "data/documents.h"
#include "data/packing.h"
#include "formats/json.h"
#include "model/decoder.h"
#include "topology/topology.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct option_usage usage = {
    .command = "eval",
    .synopsis = "cllm eval MODEL --data FILE [options]",
    .summary =
        "Loss (nats per token), perplexity and bits per byte of a model on a text. MODEL is a model directory or a run "
        "directory; FILE is what `cllm train --data` takes.",
    .examples = "  cllm eval run1 --data held-out.txt\n"
                "  cllm eval gpt2-model --data val.bin --seq-len 512 --json\n",
};

struct eval {
    struct loaded_model loaded;
    struct team *team;
    struct decoder *decoder;
    struct crew crew;
    int width, threads;
    size_t seq_len, window; /* asked for; that of the decoder */
    uint64_t max_tokens, predicted, windows, text_bytes;
    bool bytes_known, begun, of_shards;
    bool next_begins; /* a document: the chunk before ended with it, without a token */
    double loss_sum;
    struct buffer pending;  /* int32_t: tokens that begin the next window */
    enum packing packing;
    struct buffer begins;   /* bool: which of them begin documents; with packing */
    struct buffer first, supervised; /* int32_t and bool of the window */
    bool packed;
    const char *logits_out; /* file for the logits of the first window, or NULL */
    /* of the window being computed */
    const int32_t *tokens;
    double window_loss;
};

static int32_t *ids(struct buffer *buffer)
{
    return (int32_t *)(void *)buffer->data;
}

static bool *flags(struct buffer *buffer)
{
    return (bool *)buffer->data;
}

static size_t num_ids(const struct buffer *buffer)
{
    return buffer->len / sizeof(int32_t);
}

static void drop_team(struct eval *e)
{
    decoder_free(e->decoder);
    team_free(e->team);
    e->decoder = NULL;
    e->team = NULL;
}

/* A decoder and a team for windows of n tokens. */
static enum status make_decoder(struct eval *e, size_t n, struct error *err)
{
    drop_team(e);
    const struct model_config *config = model_config(e->loaded.model);
    struct decoder_memory plan = decoder_plan(config, DECODER_EVAL, DTYPE_F32, 1, n);
    struct team_options options = {.num_spheres = e->threads, .backend = e->crew.backend, .pool = e->crew.pool,
                                   .scratch_bytes = plan.sphere_scratch_bytes};
    e->team = team_new(&options, err);
    if (!e->team)
        return err->status;
    e->decoder = decoder_new(e->loaded.model, DECODER_EVAL, DTYPE_F32, 1, n, err);
    if (!e->decoder)
        return err->status;
    e->width = team_size(e->team) < plan.max_width ? team_size(e->team) : plan.max_width;
    e->window = n;
    e->packed = false;
    return STATUS_OK;
}

static void eval_window(struct sphere *me, void *arg)
{
    struct eval *e = arg;
    if (!e->packed)
        decoder_pack(me, e->decoder);
    const bool packed = e->packing != PACKING_NONE;
    const struct leaf leaf = {.inputs = e->tokens,
                              .targets = e->tokens + 1,
                              .first = packed ? ids(&e->first) : NULL,
                              .supervised = packed ? flags(&e->supervised) : NULL};
    decoder_eval_leaf(me, e->decoder, &leaf, &e->window_loss);
}

/* Bytes of text that a token stands for; in text the one that parts documents stands for none. */
static enum status token_bytes(const struct eval *e, int32_t token, uint64_t *bytes, struct error *err)
{
    const struct tokenizer *tokenizer = e->loaded.tokenizer;
    struct buffer text = {0};
    enum status status = STATUS_OK;
    if (tokenizer && (uint32_t)token < tokenizer_vocab_size(tokenizer) &&
        (e->of_shards || token != tokenizer_end_of_text(tokenizer)))
        status = tokenizer_decode(tokenizer, token, &text, err);
    *bytes = text.len;
    buffer_release(&text);
    return status;
}

/* What the n tokens of a window see and which targets count; the bytes of those that do not count do not either. */
static enum status mask_window(struct eval *e, const int32_t *tokens, const bool *begins, size_t n, size_t *count,
                               struct error *err)
{
    enum status status = STATUS_OK;
    *count = n;
    if (e->packing == PACKING_NONE)
        return STATUS_OK;
    buffer_clear(&e->first);
    buffer_clear(&e->supervised);
    if (!buffer_reserve(&e->first, n * sizeof(int32_t)) || !buffer_reserve(&e->supervised, n * sizeof(bool)))
        return error_set(err, STATUS_NOMEM, "no memory for a window of %zu tokens", n);
    packing_mask(begins + 1, n, ids(&e->first), flags(&e->supervised));
    for (size_t t = 0; t < n && status == STATUS_OK; t++) {
        uint64_t bytes = 0;
        if (flags(&e->supervised)[t])
            continue;
        --*count;
        status = token_bytes(e, tokens[t + 1], &bytes, err);
        e->text_bytes -= bytes;
    }
    return status;
}

/* Predicts tokens[1 … n] from those before them. */
static enum status take_window(struct eval *e, const int32_t *tokens, const bool *begins, size_t n, struct error *err)
{
    size_t count = n;
    enum status status = cancel_error(e->crew.cancel, err);
    if (status == STATUS_OK)
        status = mask_window(e, tokens, begins, n, &count, err);
    if (status == STATUS_OK && (!e->decoder || e->window != n))
        status = make_decoder(e, n, err);
    if (status != STATUS_OK)
        return status;
    e->tokens = tokens;
    status = team_run(e->team, e->width, eval_window, e);
    if (status != STATUS_OK)
        return error_set(err, status, "evaluation: %s", status_text(status));
    e->packed = true;
    if (e->logits_out && e->windows == 0)
        status = logits_write(e->loaded.model, &e->crew, tokens, n, e->logits_out, err);
    if (status != STATUS_OK)
        return status;
    if (!isfinite(e->window_loss))
        return error_set(err, STATUS_NONFINITE, "the loss of window %" PRIu64 " is not finite; the model is damaged",
                         e->windows);
    e->loss_sum += e->window_loss;
    e->predicted += count;
    e->windows++;
    return STATUS_OK;
}

/* Takes the whole windows out of `pending`; at the end also what is left. */
static enum status take_pending(struct eval *e, bool end, struct error *err)
{
    size_t n = num_ids(&e->pending), at = 0;
    const bool *begins = flags(&e->begins);
    enum status status = STATUS_OK;
    if (n && !e->begun) { /* the first token is given, not predicted: its bytes do not count */
        uint64_t bytes = 0;
        e->begun = true;
        status = token_bytes(e, ids(&e->pending)[0], &bytes, err);
        e->text_bytes -= bytes;
    }
    while (status == STATUS_OK && n - at > e->seq_len && e->predicted < e->max_tokens) {
        status = take_window(e, ids(&e->pending) + at, begins ? begins + at : NULL, e->seq_len, err);
        at += e->seq_len;
    }
    if (status == STATUS_OK && end && n - at > 1 && e->predicted < e->max_tokens) {
        status = take_window(e, ids(&e->pending) + at, begins ? begins + at : NULL, n - at - 1, err);
        at = n - 1;
    }
    if (at) {
        memmove(ids(&e->pending), ids(&e->pending) + at, (n - at) * sizeof(int32_t));
        e->pending.len = (n - at) * sizeof(int32_t);
        if (e->packing != PACKING_NONE) {
            memmove(flags(&e->begins), flags(&e->begins) + at, (n - at) * sizeof(bool));
            e->begins.len = (n - at) * sizeof(bool);
        }
    }
    return status;
}

/* Notes which of a chunk's tokens begin documents. */
static bool note_begins(struct eval *e, const struct token_chunk *chunk)
{
    if (e->packing == PACKING_NONE || chunk->n == 0) {
        e->next_begins |= chunk->num_starts > 0;
        return true;
    }
    if (!buffer_reserve(&e->begins, chunk->n * sizeof(bool)))
        return false;
    bool *to = flags(&e->begins) + e->begins.len / sizeof(bool);
    memset(to, 0, chunk->n * sizeof *to);
    to[0] = e->next_begins;
    e->next_begins = false;
    for (size_t i = 0; i < chunk->num_starts; i++)
        if (chunk->starts[i] < chunk->n)
            to[chunk->starts[i]] = true;
        else
            e->next_begins = true;
    e->begins.len += chunk->n * sizeof(bool);
    return true;
}

static enum status eval_text(struct eval *e, const char *data, struct error *err)
{
    const struct tokenizer *tokenizer = e->loaded.tokenizer;
    if (!tokenizer)
        return error_set(err, STATUS_CONFIG, "%s has no tokenizer.json, so it can be evaluated on .bin shards only",
                         e->loaded.directory.data);
    struct token_source *source = token_source_open(data, tokenizer, e->crew.pool, e->crew.cancel, err);
    enum status status = source ? STATUS_OK : err->status;
    while (status == STATUS_OK && e->predicted < e->max_tokens) {
        struct token_chunk chunk;
        bool more = false;
        status = token_source_next(source, 0, &chunk, &more, err);
        if (status != STATUS_OK || !more)
            break;
        e->text_bytes += chunk.text_bytes;
        buffer_append(&e->pending, chunk.ids, chunk.n * sizeof *chunk.ids);
        if (e->pending.failed || !note_begins(e, &chunk))
            status = error_set(err, STATUS_NOMEM, "no memory for the tokens of %s", data);
        else
            status = take_pending(e, false, err);
    }
    token_source_close(source);
    e->bytes_known = e->max_tokens == UINT64_MAX;
    return status;
}

static enum status count_bytes(struct eval *e, const int32_t *tokens, size_t n, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < n; i++) {
        uint64_t bytes = 0;
        status = token_bytes(e, tokens[i], &bytes, err);
        e->text_bytes += bytes;
    }
    return status;
}

static enum status eval_shards(struct eval *e, const char *data, struct error *err)
{
    enum { CHUNK = 1 << 16 };
    struct tokens *tokens = tokens_open(&data, 1, err);
    if (!tokens)
        return err->status;
    const struct model_config *config = model_config(e->loaded.model);
    struct documents *documents = NULL;
    uint64_t count = tokens_count(tokens);
    enum status status = tokens_check_vocab(tokens, (uint32_t)config->vocab_size, err);
    e->of_shards = true;
    if (status == STATUS_OK && e->packing != PACKING_NONE &&
        !(documents = documents_open(tokens, dataset_marks(e->loaded.tokenizer, config), err)))
        status = err->status;
    for (uint64_t at = 0; status == STATUS_OK && at < count && e->predicted < e->max_tokens; at += CHUNK) {
        size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;
        if (!buffer_reserve(&e->pending, n * sizeof(int32_t)) ||
            (documents && !buffer_reserve(&e->begins, n * sizeof(bool)))) {
            status = error_set(err, STATUS_NOMEM, "no memory for %zu tokens", n);
            break;
        }
        int32_t *to = ids(&e->pending) + num_ids(&e->pending);
        tokens_read(tokens, at, n, to);
        e->pending.len += n * sizeof(int32_t);
        if (documents) {
            documents_begins(documents, at, n, to, flags(&e->begins) + e->begins.len);
            e->begins.len += n * sizeof(bool);
        }
        if (e->loaded.tokenizer)
            status = count_bytes(e, to, n, err);
        if (status == STATUS_OK)
            status = take_pending(e, false, err);
    }
    documents_close(documents);
    tokens_close(tokens);
    e->bytes_known = e->loaded.tokenizer && e->max_tokens == UINT64_MAX;
    return status;
}

static enum status print_result(const struct eval *e, const char *data, double seconds, bool json, struct error *err)
{
    double loss = e->loss_sum / (double)e->predicted;
    bool bytes = e->bytes_known && e->text_bytes > 0;
    double bits_per_byte = bytes ? e->loss_sum / (0.69314718055994530942 * (double)e->text_bytes) : NAN;
    if (json) {
        json_t *object =
            json_pack("{s:s, s:s, s:f, s:f, s:I, s:I, s:I, s:f}", "model", e->loaded.directory.data, "data", data,
                      "loss", loss, "perplexity", exp(loss), "tokens", (json_int_t)e->predicted, "windows",
                      (json_int_t)e->windows, "seq_len", (json_int_t)e->seq_len, "seconds", seconds);
        struct buffer text = {0};
        if (!object)
            return error_set(err, STATUS_FORMAT, "a path is not UTF-8, which JSON must be");
        json_object_set_new(object, "bits_per_byte", bytes ? json_real(bits_per_byte) : json_null());
        json_object_set_new(object, "packing", json_string(packing_name(e->packing)));
        json_object_set_new(object, "bytes", bytes ? json_integer((json_int_t)e->text_bytes) : json_null());
        enum status status = json_write(object, true, &text, err);
        if (status == STATUS_OK)
            fputs(text.data, stdout);
        buffer_release(&text);
        json_decref(object);
        return status;
    }
    struct human a, b;
    printf("loss           %.6f nats per token\n", loss);
    printf("perplexity     %.4f\n", exp(loss));
    if (bytes)
        printf("bits per byte  %.6f\n", bits_per_byte);
    else
        printf("bits per byte  not known: %s\n",
               e->loaded.tokenizer ? "only a part was read" : "the model has no tokenizer");
    printf("over           %s tokens in windows of %zu, %s (%s tokens/s)\n", human_whole(&a, e->predicted), e->seq_len,
           e->loaded.directory.data, human_count(&b, seconds > 0 ? (double)e->predicted / seconds : 0));
    return STATUS_OK;
}

static enum status evaluate(struct eval *e, const char *path, const char *data, bool json, struct error *err)
{
    enum status status = loaded_model_open(&e->loaded, path, err);
    if (e->loaded.warning.len)
        command_say("eval", "warning: %s", e->loaded.warning.data);
    if (status != STATUS_OK)
        return status;
    size_t longest = model_config(e->loaded.model)->n_positions;
    if (e->seq_len == 0)
        e->seq_len = longest;
    if (e->seq_len > longest)
        return error_set(err, STATUS_CONFIG, "--seq-len %zu is more than the model's context, %zu", e->seq_len,
                         longest);
    if (!file_exists(data))
        return error_set(err, STATUS_IO, "--data %s: no such file or directory", data);
    status = crew_start(&e->crew, e->threads, TEAM_PTHREAD, err);
    if (status != STATUS_OK)
        return status;
    uint64_t start = clock_now_ns();
    status = dataset_is_shards(data) ? eval_shards(e, data, err) : eval_text(e, data, err);
    if (status == STATUS_OK)
        status = take_pending(e, true, err);
    if (status == STATUS_OK && e->predicted == 0)
        status = error_set(err, STATUS_FORMAT, "%s has no two tokens that follow each other: there is nothing to predict",
                           data);
    if (status == STATUS_OK)
        status = print_result(e, data, 1e-9 * (double)(clock_now_ns() - start), json, err);
    return status;
}

int cmd_eval(int argc, char **argv)
{
    struct eval e = {.max_tokens = UINT64_MAX};
    const char *data = NULL, *path = NULL, *packing = "none";
    bool json = false;
    struct option_def options[] = {
        OPT_TEXT("data", "FILE", &data, "text, .gz, .jsonl, .bin, or a directory of those"),
        OPT_SIZE("seq-len", &e.seq_len, 1, 1 << 30, "tokens per window; without it the model's whole context"),
        OPT_CHOICE("packing", &packing, packing_names,
                   "documents: attention and loss stay inside each, as in training with it (none)"),
        OPT_U64("max-tokens", &e.max_tokens, 1, OPTION_WHOLE_MAX, "stop after the window that reaches so many tokens"),
        OPT_INT("threads", &e.threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_TEXT("logits-out", "FILE", &e.logits_out, "write tokens and logits of the first window as safetensors"),
        OPT_FLAG("json", &json, "as JSON"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &path, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1 || !data) {
        command_say("eval",
                    found ? "on what? Give --data FILE" : "which model? Give a model directory or a run directory");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct interrupt interrupt;
    packing_parse(packing, &e.packing, &err);
    if (interrupt_begin(&interrupt, true, &err) != STATUS_OK)
        return command_failed("eval", &err);
    e.crew.cancel = interrupt.token;
    code = evaluate(&e, path, data, json, &err) == STATUS_OK ? EXIT_CODE_OK : command_failed("eval", &err);
    code = interrupt_exit_code(&interrupt, code);
    drop_team(&e);
    crew_release(&e.crew);
    interrupt_release(&interrupt);
    buffer_release(&e.pending);
    buffer_release(&e.begins);
    buffer_release(&e.first);
    buffer_release(&e.supervised);
    loaded_model_release(&e.loaded);
    return command_finish_output("eval", code);
}
