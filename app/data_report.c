/* SPDX-License-Identifier: MIT
 * app/data_report.c - windows and figures of a survey for people and programs.
 *
 * Text comes from anybody, so what a terminal might obey is shown as \n, \t or \xNN.  Bytes of a character may be
 * spread over tokens: neighbours that look alike are written together.
 */
#include "app/data_report.h"

#include "base/buffer.h"
#include "base/human.h"
#include "base/utf8.h"
#include "formats/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BAR = 40 };

/* Appends bytes so that they can be shown. */
static void show_bytes(struct buffer *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint32_t c = 0;
        const int len = utf8_decode(text + at, n - at, &c);
        const bool control = len < 1 || c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 ||
                             (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
        if (!control)
            buffer_append(out, text + at, (size_t)len);
        else if (c == '\n' && len == 1)
            buffer_append_text(out, "\\n");
        else if (c == '\t' && len == 1)
            buffer_append_text(out, "\\t");
        else
            for (int i = 0; i < (len < 1 ? 1 : len); i++)
                buffer_printf(out, "\\x%02x", (unsigned char)text[at + (size_t)i]);
        at += len < 1 ? 1 : (size_t)len;
    }
}

/* The text of tokens, or their numbers where they have none. */
static enum status show_tokens(const struct data_report *r, const int32_t *ids, size_t n, struct buffer *out,
                               struct error *err)
{
    struct buffer text = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        const size_t old = text.len;
        if (r->tokenizer && (uint32_t)ids[i] < tokenizer_vocab_size(r->tokenizer))
            status = tokenizer_decode(r->tokenizer, ids[i], &text, err);
        if (text.len == old && r->tokenizer && ids[i] == r->options.end_of_text)
            buffer_append_text(&text, "<end of text>");
        else if (text.len == old && r->tokenizer)
            buffer_printf(&text, "<%d>", (int)ids[i]);
        else if (text.len == old)
            buffer_printf(&text, i ? " %d" : "%d", (int)ids[i]);
    }
    show_bytes(out, text.data ? text.data : "", text.len);
    if (text.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the text of a window");
    buffer_release(&text);
    return status;
}

/* Whether token i of a window is one that does not count as a target; the first is none. */
static bool is_masked(const struct survey_window *w, size_t i)
{
    return i > 0 && !w->supervised[i - 1];
}

static enum status show_window(const struct data_report *r, const struct survey_window *w, bool color,
                               struct buffer *out, struct error *err)
{
    static const int colors[] = {36, 33, 32, 35, 34, 31};
    const size_t n = r->options.seq_len + 1;
    enum status status = STATUS_OK;
    for (size_t i = 0, end; i < n && status == STATUS_OK; i = end) {
        const bool begins = i == 0 || w->document[i] != w->document[i - 1], masked = is_masked(w, i);
        for (end = i + 1; end < n && w->document[end] == w->document[i] && is_masked(w, end) == masked; end++)
            ;
        const bool ends = end == n || w->document[end] != w->document[i];
        if (color)
            buffer_printf(out, "\033[%s%dm", masked ? "7;" : "", colors[w->document[i] % 6]);
        else
            buffer_append_text(out, begins ? masked ? "[{" : "[" : masked ? "{" : "");
        status = show_tokens(r, w->ids + i, end - i, out, err);
        if (color)
            buffer_append_text(out, "\033[0m");
        else
            buffer_append_text(out, masked ? ends ? "}]" : "}" : ends ? "]" : "");
        if (!r->tokenizer && end < n)
            buffer_append_text(out, " ");
    }
    buffer_append_text(out, "\n");
    return status;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void lengths(const struct survey_figures *f, struct buffer *out)
{
    uint64_t most = 0;
    size_t first = SURVEY_BINS, last = 0;
    buffer_append_text(out, "lengths        ");
    for (size_t i = 0; i < SURVEY_QUANTILES; i++)
        buffer_printf(out, "%.0f %%: %" PRIu64 "   ", 100 * survey_quantiles[i], f->quantile[i]);
    buffer_printf(out, "(shortest %" PRIu64 ", longest %" PRIu64 ", mean %.1f)\n", f->shortest, f->longest, f->mean);
    for (size_t i = 0; i < SURVEY_BINS; i++)
        if (f->bins[i]) {
            most = f->bins[i] > most ? f->bins[i] : most;
            first = first < i ? first : i;
            last = i;
        }
    for (size_t i = first; i <= last && most; i++) {
        char range[48];
        const uint64_t low = i ? (uint64_t)1 << (i - 1) : 0, high = i ? 2 * low - 1 : 0;
        if (low == high)
            snprintf(range, sizeof range, "%" PRIu64, low);
        else if (i == SURVEY_BINS - 1)
            snprintf(range, sizeof range, "%" PRIu64 " and more", low);
        else
            snprintf(range, sizeof range, "%" PRIu64 " to %" PRIu64, low, high);
        buffer_printf(out, "%29s %10" PRIu64 "%s", range, f->bins[i], f->bins[i] ? "  " : "");
        for (uint64_t k = 0; k < f->bins[i] * BAR / most + (f->bins[i] != 0); k++)
            buffer_append_text(out, "#");
        buffer_append_text(out, "\n");
    }
}

static enum status runs(const struct data_report *r, const struct survey_figures *f, struct buffer *out,
                        struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < f->num_runs && status == STATUS_OK; i++) {
        const struct survey_run *run = &f->runs[i];
        buffer_append_text(out, i ? "               " : "longest runs   ");
        if (r->tokenizer) {
            buffer_append_text(out, "\"");
            status = show_tokens(r, &run->token, 1, out, err);
            buffer_append_text(out, "\" ");
        }
        buffer_printf(out, "(token %d) %" PRIu64 " times, in document %" PRIu64 " from token %" PRIu64 "\n",
                      (int)run->token, run->length, run->document, run->begin);
    }
    return status;
}

static enum status figures(const struct data_report *r, struct buffer *out, struct error *err)
{
    const struct survey_figures *f = survey_figures(r->survey);
    struct human a, b, c;
    buffer_printf(out, "documents      %s, %s of them empty", human_whole(&a, f->documents), human_whole(&b, f->empty));
    if (r->documents_by)
        buffer_printf(out, " (by the %s)\n", r->documents_by);
    else
        buffer_append_text(
            out, " (no index, and no token that ends texts is known: --tokenizer or --end-of-text would say)\n");
    buffer_printf(out, "tokens         %s, %s of them end texts (%s tokens/s)\n", human_whole(&a, f->tokens),
                  human_whole(&b, f->ends), human_count(&c, r->seconds > 0 ? (double)f->tokens / r->seconds : 0));
    lengths(f, out);
    buffer_printf(out, "duplicates     %s documents (%.1f %%), %s tokens (%.1f %%)\n", human_whole(&a, f->duplicates),
                  percent(f->duplicates, f->documents), human_whole(&b, f->duplicate_tokens),
                  percent(f->duplicate_tokens, f->tokens));
    for (size_t i = 0; i < f->num_named; i++)
        buffer_printf(out, "               document %" PRIu64 " is document %" PRIu64 " again\n", f->named[i].document,
                      f->named[i].of);
    const enum status status = runs(r, f, out, err);
    buffer_printf(out, "windows        %s of %zu tokens, packing %s\n", human_whole(&a, f->windows), r->options.seq_len,
                  packing_name(r->options.packing));
    buffer_printf(out, "supervised     %s of their targets (%.1f %%)\n", human_whole(&a, f->supervised),
                  percent(f->supervised, f->windows * r->options.seq_len));
    buffer_printf(out, "attention      %.1f %% of the pairs of a query and a key at or before it\n",
                  percent(f->pairs_kept, f->pairs));
    if (r->options.vocab_size)
        buffer_printf(out, "outside        %s tokens outside the vocabulary of %u", human_whole(&a, f->outside),
                      r->options.vocab_size);
    else
        buffer_append_text(out, "outside        not known: --tokenizer or --vocab-size would say");
    if (f->outside)
        buffer_printf(out, ", the first at token %" PRIu64, f->first_outside);
    if (r->invalid_known)
        buffer_printf(out, "\ninvalid UTF-8  %s bytes\n", human_whole(&a, r->invalid_bytes));
    else
        buffer_append_text(out, "\ninvalid UTF-8  not known: these are tokens, not text\n");
    return status;
}

enum status data_report_text(const struct data_report *r, bool color, struct error *err)
{
    struct buffer out = {0};
    enum status status = STATUS_OK;
    const size_t n = survey_num_windows(r->survey);
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        const struct survey_window w = survey_window(r->survey, i);
        buffer_printf(&out, "window %" PRIu64 "\n", w.number);
        status = show_window(r, &w, color, &out, err);
    }
    if (n)
        buffer_printf(&out, color ? "(a colour for each document; in reverse what does not count as a target)\n\n"
                                  : "([a document] {does not count as a target})\n\n");
    if (status == STATUS_OK)
        status = figures(r, &out, err);
    if (status == STATUS_OK && out.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the report");
    if (status == STATUS_OK)
        fwrite(out.data, 1, out.len, stdout);
    buffer_release(&out);
    return status;
}

/* ---- JSON ---- */

static json_t *whole(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *window_json(const struct data_report *r, const struct survey_window *w, struct error *err)
{
    json_t *object = json_object(), *ids = json_array(), *documents = json_array(), *supervised = json_array();
    struct buffer text = {0};
    int failed = show_tokens(r, w->ids, r->options.seq_len + 1, &text, err) != STATUS_OK || text.failed;
    for (size_t i = 0; i <= r->options.seq_len; i++) {
        failed |= json_array_append_new(ids, json_integer(w->ids[i]));
        failed |= json_array_append_new(documents, whole(w->document[i]));
        if (i)
            failed |= json_array_append_new(supervised, json_boolean(w->supervised[i - 1]));
    }
    failed |= json_object_set_new(object, "window", whole(w->number));
    failed |= json_object_set_new(object, "text", json_string(text.data ? text.data : ""));
    failed |= json_object_set_new(object, "tokens", ids);
    failed |= json_object_set_new(object, "documents", documents);
    failed |= json_object_set_new(object, "supervised", supervised);
    buffer_release(&text);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *lengths_json(const struct survey_figures *f)
{
    json_t *object = json_pack("{s:I, s:I, s:f}", "shortest", (json_int_t)f->shortest, "longest",
                               (json_int_t)f->longest, "mean", f->mean);
    json_t *bins = json_array();
    int failed = !object || !bins;
    for (size_t i = 0; i < SURVEY_QUANTILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%.0f", 100 * survey_quantiles[i]);
        failed |= json_object_set_new(object, name, whole(f->quantile[i]));
    }
    for (size_t i = 0; i < SURVEY_BINS; i++)
        if (f->bins[i])
            failed |= json_array_append_new(bins, json_pack("{s:I, s:I}", "from",
                                                            (json_int_t)(i ? (uint64_t)1 << (i - 1) : 0), "documents",
                                                            (json_int_t)f->bins[i]));
    failed |= json_object_set_new(object, "histogram", bins);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static int set_lists(json_t *object, const struct survey_figures *f)
{
    json_t *named = json_array(), *longest = json_array();
    int failed = 0;
    for (size_t i = 0; i < f->num_named; i++)
        failed |= json_array_append_new(named, json_pack("{s:I, s:I}", "document", (json_int_t)f->named[i].document,
                                                         "of", (json_int_t)f->named[i].of));
    for (size_t i = 0; i < f->num_runs; i++)
        failed |= json_array_append_new(longest, json_pack("{s:i, s:I, s:I, s:I}", "token", (int)f->runs[i].token,
                                                           "times", (json_int_t)f->runs[i].length, "document",
                                                           (json_int_t)f->runs[i].document, "begin",
                                                           (json_int_t)f->runs[i].begin));
    failed |= json_object_set_new(object, "first_duplicates", named);
    failed |= json_object_set_new(object, "longest_runs", longest);
    return failed;
}

enum status data_report_json(const struct data_report *r, struct error *err)
{
    const struct survey_figures *f = survey_figures(r->survey);
    const bool vocab = r->options.vocab_size != 0;
    json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:f}", "data", r->path,
                               "documents", (json_int_t)f->documents, "empty", (json_int_t)f->empty, "tokens",
                               (json_int_t)f->tokens, "end_of_text", (json_int_t)f->ends, "duplicates",
                               (json_int_t)f->duplicates, "duplicate_tokens", (json_int_t)f->duplicate_tokens,
                               "seq_len", (json_int_t)r->options.seq_len, "windows", (json_int_t)f->windows, "packing",
                               packing_name(r->options.packing), "supervised", (json_int_t)f->supervised,
                               "attention_share", f->pairs ? (double)f->pairs_kept / (double)f->pairs : 0);
    json_t *samples = json_array();
    if (!object) {
        json_decref(samples);
        return error_set(err, STATUS_FORMAT, "a path is not UTF-8, which JSON must be");
    }
    int failed = json_object_set_new(object, "lengths", lengths_json(f)) | set_lists(object, f);
    failed |= json_object_set_new(object, "documents_by", r->documents_by ? json_string(r->documents_by) : json_null());
    failed |= json_object_set_new(object, "outside_vocabulary", vocab ? whole(f->outside) : json_null());
    failed |=
        json_object_set_new(object, "invalid_utf8_bytes", r->invalid_known ? whole(r->invalid_bytes) : json_null());
    for (size_t i = 0; i < survey_num_windows(r->survey); i++) {
        const struct survey_window w = survey_window(r->survey, i);
        failed |= json_array_append_new(samples, window_json(r, &w, err));
    }
    failed |= json_object_set_new(object, "samples", samples);
    struct buffer text = {0};
    enum status status =
        failed ? error_set(err, STATUS_NOMEM, "no memory for the report") : json_write(object, true, &text, err);
    if (status == STATUS_OK)
        fputs(text.data, stdout);
    buffer_release(&text);
    json_decref(object);
    return status;
}
