/* SPDX-License-Identifier: MIT */
#include "app/plan_measure.h"

#include "app/crew.h"
#include "app/random_tokens.h"
#include "app/text_source.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "data/batch_iterator.h"
#include "train/checkpoint.h"
#include "train/threaded_training.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct measuring {
    struct train_settings settings;
    struct crew crew;
    struct buffer scratch, shard;
    struct tokens *tokens;
    struct documents *documents; /* with packing */
    struct batch_iterator *iterator;
    struct training *training;
    struct threaded_training *system;
};

static double seconds_since(uint64_t start)
{
    return 1e-9 * (double)(clock_now_ns() - start);
}

static enum status make_scratch(struct measuring *m, const char *directory, struct error *err)
{
    path_join(&m->scratch, directory, "cllm-plan-XXXXXX");
    if (m->scratch.failed)
        return error_set(err, STATUS_NOMEM, "no memory for a path");
    if (mkdtemp(m->scratch.data))
        return STATUS_OK;
    const enum status status =
        error_set(err, STATUS_IO, "cannot make a directory for a checkpoint in %s: %s", directory, strerror(errno));
    buffer_release(&m->scratch);
    return status;
}

/* As many tokens as three steps and an evaluation's leaf want, half of them for validation. */
static enum status make_data(struct measuring *m, struct error *err)
{
    const struct train_settings *s = &m->settings;
    struct batch_options options = {.seq_len = s->seq_len,
                                    .batch_size = s->batch_size,
                                    .val_fraction = s->val_fraction,
                                    .seed = s->seed,
                                    .packing = s->packing};
    const char *file = path_join(&m->shard, m->scratch.data, "tokens.bin");
    enum status status = random_tokens_write(file, 2 * (s->batch_size + 2) * s->seq_len, s->model.vocab_size, err);
    if (status == STATUS_OK && !(m->tokens = tokens_open(&file, 1, err)))
        status = err->status;
    /* One token in a vocabulary ends a document: the time is that of long ones, the most there is to do. */
    if (status == STATUS_OK && s->packing != PACKING_NONE &&
        !(m->documents = documents_open(m->tokens, (struct document_marks){0, -1}, err)))
        status = err->status;
    options.documents = m->documents;
    if (status == STATUS_OK && !(m->iterator = batch_iterator_create(m->tokens, &options, err)))
        status = err->status;
    return status;
}

static enum status make_system(struct measuring *m, int threads, const struct cancel *stop, struct error *err)
{
    enum status status = crew_start(&m->crew, threads, TEAM_PTHREAD, err);
    if (status != STATUS_OK)
        return status;
    m->crew.cancel = stop;
    const struct threaded_training_options options = {
        .num_threads = threads, .pool = m->crew.pool, .stop = stop, .cancel = stop};
    if (!(m->training = training_create_on(&m->settings, m->crew.pool, err)) ||
        !(m->system = threaded_training_create_with(m->training, m->iterator, &options, err)))
        return err->status;
    return STATUS_OK;
}

static enum status measure(struct measuring *m, const struct cancel *stop, struct time_measured *out, struct error *err)
{
    double loss, steps[3];
    uint64_t start = clock_now_ns();
    enum status status = threaded_training_evaluate(m->system, 1, &loss);
    out->eval_leaf = seconds_since(start);
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        start = clock_now_ns();
        status = threaded_train_step(m->system);
        steps[i] = seconds_since(start);
    }
    if (status != STATUS_OK)
        return error_set(err, status, "%s", threaded_training_error(m->system));
    out->step = time_plan_median(steps);
    if (m->settings.sample_every > 0) {
        const struct sampling sampling = {.temperature = 0.8, .top_p = 1, .seed = m->settings.seed};
        struct buffer text = {0};
        start = clock_now_ns();
        status = sample_of_model(training_model(m->training), NULL, &m->crew, NULL, NULL, &sampling, SAMPLE_TOKENS, &text, err);
        out->sample = seconds_since(start);
        buffer_release(&text);
        if (status != STATUS_OK)
            return status;
    }
    file_writer_stop_when(cancel_wanted, stop);
    start = clock_now_ns();
    status = checkpoint_save(m->training, m->scratch.data, 0, NULL, 0, NULL, err);
    out->save = seconds_since(start);
    file_writer_stop_when(NULL, NULL);
    return status;
}

enum status plan_measure(const struct train_settings *settings, int threads, const char *directory,
                         const struct cancel *stop, struct time_measured *out, struct error *err)
{
    struct measuring m = {.settings = *settings};
    m.settings.packing = PACKING_NONE;
    m.settings.val_fraction = 0.5;
    *out = (struct time_measured){0};
    enum status status = make_scratch(&m, directory, err);
    if (status != STATUS_OK)
        return status;
    status = make_data(&m, err);
    if (status == STATUS_OK)
        status = make_system(&m, threads, stop, err);
    if (status == STATUS_OK)
        status = measure(&m, stop, out, err);
    threaded_training_free(m.system);
    training_free(m.training);
    batch_iterator_free(m.iterator);
    documents_close(m.documents);
    tokens_close(m.tokens);
    crew_release(&m.crew);
    struct error ignored;
    file_remove_tree(m.scratch.data, &ignored);
    buffer_release(&m.shard);
    buffer_release(&m.scratch);
    return status;
}
