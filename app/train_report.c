/* SPDX-License-Identifier: MIT
 * app/train_report.c - what `cllm train` says of a run before and after it.
 */
#include "app/command.h"
#include "app/train_run.h"
#include "base/file.h"
#include "base/human.h"
#include "topology/topology.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

void train_print_header(struct train_run *r)
{
    const struct train_settings *s = &r->info.settings;
    const struct model_config *m = &s->model;
    struct topology topology;
    struct human a, b, c;
    struct buffer text = {0};
    topology_read(&topology);
    buffer_printf(&text, "model    %s%s", s->preset, s->preset[0] ? ": " : "");
    model_config_describe(m, &text);
    buffer_printf(&text, ": %s parameters\n", human_whole(&a, model_config_num_parameters(m)));
    buffer_printf(&text, "data     %s: %s tokens, vocabulary %zu (%s); %s windows an epoch, %s for validation\n",
                  r->info.data_path, human_whole(&a, tokens_count(r->tokens)), m->vocab_size,
                  r->tokenizer ? r->info.tokenizer_kind : "as the shards have it",
                  human_whole(&b, batch_iterator_windows(r->iterator)),
                  human_whole(&c, batch_iterator_val_windows(r->iterator)));
    buffer_printf(&text, "steps    %" PRIu64 " of %zu x %zu tokens, micro-batch %zu; AdamW, lr %g to %g, %s, %" PRIu64
                  " steps of warm-up\n", s->steps, s->batch_size, s->seq_len, s->micro_batch, s->schedule.lr,
                  s->schedule.min_lr, schedule_name(s->schedule.kind), s->schedule.warmup_steps);
    buffer_printf(&text, "spheres  %d (%s), %s, %s; this machine: %s\n", threaded_training_get_num_workers(r->system),
                  r->flags->backend, r->info.isa, r->info.dtype, topology.limited_by);
    buffer_printf(&text, "memory   %s planned, %s more available", human_bytes(&a, training_planned(r->training)->total_bytes),
                  human_bytes(&b, topology.memory_available_bytes));
    if (s->recompute)
        buffer_printf(&text, "; %zu of %zu layers run again", s->recompute < m->n_layer ? s->recompute : m->n_layer - 1,
                      m->n_layer);
    if (r->flags->s.fit && r->fresh && s->micro_batch != r->flags->s.settings.micro_batch)
        buffer_printf(&text, "; micro-batch %zu, not %zu, to fit %s", s->micro_batch, r->flags->s.settings.micro_batch,
                      r->flags->s.fit);
    buffer_append_text(&text, "\n");
    if (training_short_of_snapshot(r->training))
        buffer_append_text(&text, "saving   training waits while a checkpoint is written: memory is short of the copy it could "
                                  "be written from (--save-mode blocking)\n");
    buffer_printf(&text, "run      %s", run_directory_path(r->run));
    if (!r->fresh)
        buffer_printf(&text, ", resumed at step %" PRIu64, training_step(r->training));
    buffer_append_text(&text, "\n");
    if (text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
}

void train_print_stats(struct train_run *r)
{
    struct stats_report report;
    struct buffer text = {0};
    struct error err;
    if (threaded_training_report(r->system, &report, &err) != STATUS_OK) {
        command_say("train", "%s", err.text);
        return;
    }
    buffer_append_text(&text, "\n");
    stats_report_table(&report, r->flags->spheres, &text);
    if (text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
    stats_report_release(&report);
}

void train_print_summary(struct train_run *r, const struct training_result *result)
{
    const struct train_settings *s = &r->info.settings;
    struct human a, b, c;
    struct buffer text = {0};
    bool finished = result->last_step >= s->steps;
    buffer_printf(&text, "\n%s at step %" PRIu64 " of %" PRIu64 "\n",
                  finished ? "done" : result->status != STATUS_OK ? "ended" : "stopped", result->last_step, s->steps);
    buffer_printf(&text, "  trained     %" PRIu64 " steps, %s tokens in %s (%s tokens/s in steps)\n",
                  result->last_step - result->first_step, human_whole(&a, result->tokens),
                  human_duration(&b, result->seconds),
                  human_count(&c, result->step_seconds > 0 ? (double)result->tokens / result->step_seconds : 0));
    if (!isnan(result->loss))
        buffer_printf(&text, "  train loss  %.4f in the last step\n", result->loss);
    if (!isnan(result->val_loss))
        buffer_printf(&text, "  val loss    %.4f at step %" PRIu64 "\n", result->val_loss, result->val_step);
    buffer_printf(&text, "  checkpoint  %s\n",
                  result->checkpoint.len ? result->checkpoint.data : "none from this session");
    if (result->saving.saved + result->saving.failed > 0) {
        buffer_append_text(&text, "  saving      ");
        stats_saving_text(&result->saving, &text);
        buffer_append_text(&text, "\n");
    }
    if (!finished)
        buffer_printf(&text, "  go on with  cllm train --resume %s\n", run_directory_path(r->run));
    if (text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
}

static enum status write_text(struct train_run *r, const char *name, struct buffer *text, struct error *err)
{
    struct buffer path = {0};
    enum status status = text->failed ? error_set(err, STATUS_NOMEM, "no memory for the text of %s", name) : STATUS_OK;
    if (status == STATUS_OK)
        status = file_replace(path_join(&path, run_directory_path(r->run), name), text->data, text->len, err);
    buffer_release(&path);
    buffer_release(text);
    return status;
}

enum status train_profile_write(struct train_run *r, struct error *err)
{
    const struct step_profile *profile = threaded_training_profiled(r->system);
    struct buffer table = {0}, trace = {0};
    step_profile_table(profile, 0, true, &table);
    step_profile_trace(profile, &trace);
    const enum status status = write_text(r, "profile.txt", &table, err), traced = write_text(r, "trace.json", &trace, err);
    return status == STATUS_OK ? traced : status;
}
