/* SPDX-License-Identifier: MIT
 * A tiny training on generated tokens, in a directory of its own that goes away with the test.
 */
#ifndef TESTS_TRAIN_FIXTURE_H
#define TESTS_TRAIN_FIXTURE_H

#include "base/file.h"
#include "base/rng.h"
#include "data/batch_iterator.h"
#include "data/tokens.h"
#include "train/checkpoint.h"
#include "train/threaded_training.h"
#include "train/training.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIXTURE_VOCAB = 67, FIXTURE_TOKENS = 6000 };

/* CLLM_TEST_BACKENDS: the back ends to test, all when not set.  CLLM_TEST_SANITIZED: everything is slow, do less. */
static inline bool fixture_has_backend(enum team_backend backend)
{
    const char *only = getenv("CLLM_TEST_BACKENDS");
    return !only || strstr(only, team_backend_name(backend));
}

static inline bool fixture_sanitized(void)
{
    return getenv("CLLM_TEST_SANITIZED") != NULL;
}

struct fixture {
    char dir[256];
    struct tokens *tokens;
    struct documents *documents; /* of the tokens: token 5 ends one */
};

/* Every call that must work, with its sentence when it does not. */
#define OK_OR_SAY(call, err) ck_assert_msg((call) == STATUS_OK, "%s", (err).text)
#define MADE_OR_SAY(p, err)  ck_assert_msg((p) != NULL, "%s", (err).text)

static inline const char *fixture_path(const struct fixture *f, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

/* Tokens with something to learn: mostly the successor of the token before. */
static inline void fixture_open(struct fixture *f)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(f->dir, sizeof f->dir, "%s/cllm-test-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    static int32_t ids[FIXTURE_TOKENS];
    uint64_t key = rng_key(11, RNG_TEST, 0, 0);
    for (uint32_t i = 0, id = 0; i < FIXTURE_TOKENS; i++) {
        struct rng_block r = philox4x32(key, 0, i);
        id = r.word[0] % 4 ? (id + 1) % FIXTURE_VOCAB : r.word[1] % FIXTURE_VOCAB;
        ids[i] = (int32_t)id;
    }
    struct error err = {0};
    const char *path = fixture_path(f, "tokens.bin");
    struct token_writer *writer = token_writer_open(path, 2, &err);
    MADE_OR_SAY(writer, err);
    OK_OR_SAY(token_writer_append(writer, ids, FIXTURE_TOKENS, &err), err);
    OK_OR_SAY(token_writer_commit(writer, &err), err);
    f->tokens = tokens_open(&path, 1, &err);
    MADE_OR_SAY(f->tokens, err);
    f->documents = documents_open(f->tokens, (struct document_marks){5, -1}, &err);
    MADE_OR_SAY(f->documents, err);
}

static inline void fixture_close(struct fixture *f)
{
    documents_close(f->documents);
    tokens_close(f->tokens);
    file_remove_tree(f->dir, NULL);
}

/* `leaves` micro-batches of `micro` sequences a step. */
static inline struct train_settings fixture_settings(size_t leaves, size_t micro, uint64_t steps, float dropout)
{
    struct train_settings s;
    struct error err = {0};
    OK_OR_SAY(train_settings_preset(&s, "demo", &err), err);
    s.model.vocab_size = FIXTURE_VOCAB;
    s.model.n_positions = s.seq_len = 16;
    s.model.n_embd = 24;
    s.model.n_inner = 96;
    s.model.n_head = s.model.n_kv_head = 3;
    s.model.head_dim = 8;
    s.model.n_layer = 2;
    s.model.embd_pdrop = s.model.attn_pdrop = s.model.resid_pdrop = dropout;
    s.batch_size = leaves * micro;
    s.micro_batch = micro;
    s.val_fraction = 0.1;
    s.seed = 7;
    s.steps = steps;
    s.schedule.warmup_steps = 5;
    return s;
}

/* A training with its iterator and its team. */
struct fixture_run {
    struct training *training;
    struct batch_iterator *iterator;
    struct threaded_training *system;
};

static inline void fixture_iterate(const struct fixture *f, struct fixture_run *r)
{
    const struct train_settings *s = training_settings(r->training);
    struct batch_options options = {.seq_len = s->seq_len,
                                    .batch_size = s->batch_size,
                                    .val_fraction = s->val_fraction,
                                    .seed = s->seed,
                                    .packing = s->packing,
                                    .documents = f->documents};
    struct error err = {0};
    r->iterator = batch_iterator_create(f->tokens, &options, &err);
    MADE_OR_SAY(r->iterator, err);
}

static inline void fixture_team(struct fixture_run *r, int spheres, enum team_backend backend)
{
    struct error err = {0};
    r->system = threaded_training_create_with(
        r->training, r->iterator, &(struct threaded_training_options){.num_threads = spheres, .backend = backend}, &err);
    MADE_OR_SAY(r->system, err);
}

static inline struct fixture_run fixture_start(const struct fixture *f, const struct train_settings *s, int spheres,
                                               enum team_backend backend)
{
    struct fixture_run r = {0};
    struct error err = {0};
    r.training = training_create(s, &err);
    MADE_OR_SAY(r.training, err);
    fixture_iterate(f, &r);
    fixture_team(&r, spheres, backend);
    return r;
}

static inline void fixture_stop(struct fixture_run *r)
{
    threaded_training_free(r->system);
    batch_iterator_free(r->iterator);
    training_free(r->training);
    *r = (struct fixture_run){0};
}

static inline void fixture_steps(struct fixture_run *r, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++)
        ck_assert_msg(threaded_train_step(r->system) == STATUS_OK, "%s", threaded_training_error(r->system));
}

#endif
