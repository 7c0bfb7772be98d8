/* SPDX-License-Identifier: MIT
 * Steps that spike: the rule, an update left out exactly, a rollback that leads where one that left the samples out
 * from the first would be; the same bits for any number of spheres and any place where the run was cut.
 */
#include "train/fixture.h"

#include "base/memory.h"
#include "train/checkpoint_internal.h"
#include "train/metrics_log.h"
#include "train/rollback.h"
#include "train/spike_events.h"
#include "train/training_internal.h"

#include <math.h>

enum { HASH = 0x5717e, STEPS = 60 };

static struct fixture fixture;

/* Counting, easy to learn, with stretches of garbage. */
static void plant_garbage(void)
{
    static int32_t ids[FIXTURE_TOKENS];
    struct error err = {0};
    const char *path = fixture_path(&fixture, "tokens.bin");
    const uint64_t key = rng_key(5, RNG_TEST, 0, 0);
    for (uint32_t i = 0; i < FIXTURE_TOKENS; i++)
        ids[i] = (int32_t)(i % 600 < 560 ? i % FIXTURE_VOCAB : philox4x32(key, 0, i).word[0] % FIXTURE_VOCAB);
    tokens_close(fixture.tokens);
    struct token_writer *writer = token_writer_open(path, 2, &err);
    MADE_OR_SAY(writer, err);
    OK_OR_SAY(token_writer_append(writer, ids, FIXTURE_TOKENS, &err), err);
    OK_OR_SAY(token_writer_commit(writer, &err), err);
    fixture.tokens = tokens_open(&path, 1, &err);
    MADE_OR_SAY(fixture.tokens, err);
}

static void setup(void)
{
    fixture_open(&fixture);
    plant_garbage();
}

static void teardown(void)
{
    fixture_close(&fixture);
}

/* ---- the rule ---- */

START_TEST(the_rule_is_mean_and_deviation)
{
    struct spike_settings s = spike_settings_default();
    struct spike_state *state = mem_calloc(1, sizeof *state);
    double bound, last[5] = {0};
    s.policy = SPIKE_SKIP;
    s.window = 5;
    s.factor = 3;
    for (int i = 0; i < 40; i++) {
        const double loss = 3 - 0.02 * i + 0.1 * (i % 3);
        const enum spike_reason reason = spike__judge(&s, state, loss, 1, &bound);
        ck_assert_int_eq(reason, SPIKE_NONE);
        ck_assert(isnan(bound) == (i < 5));
        if (i >= 5) {
            double mean = 0, squares = 0;
            for (int k = 0; k < 5; k++)
                mean += last[k] / 5;
            for (int k = 0; k < 5; k++)
                squares += last[k] * last[k] / 5;
            const double want = mean + 3 * sqrt(squares - mean * mean);
            ck_assert_msg(!(fabs(bound - want) > 1e-6), "%.17g, not %.17g", bound, want);
            ck_assert_int_eq(spike__judge(&s, state, nextafter(bound, 9), 1, &bound), SPIKE_LOSS_ABOVE);
            ck_assert_int_eq(spike__judge(&s, state, bound, 1, &bound), SPIKE_NONE);
        }
        spike__accept(&s, state, loss);
        memmove(last, last + 1, 4 * sizeof *last);
        last[4] = loss;
    }
    ck_assert_int_eq(spike__judge(&s, state, NAN, 1, &bound), SPIKE_LOSS_NOT_FINITE);
    ck_assert_int_eq(spike__judge(&s, state, 1, INFINITY, &bound), SPIKE_NORM_NOT_FINITE);
    /* A constant loss is no reason to call the smallest rise a spike. */
    for (int i = 0; i < 5; i++)
        spike__accept(&s, state, 2);
    ck_assert_int_eq(spike__judge(&s, state, 2.05, 1, &bound), SPIKE_NONE);
    ck_assert_int_eq(spike__judge(&s, state, 2.07, 1, &bound), SPIKE_LOSS_ABOVE);
    s.policy = SPIKE_IGNORE;
    ck_assert_int_eq(spike__judge(&s, state, 1e9, 1, &bound), SPIKE_NONE);
    ck_assert_int_eq(spike__judge(&s, state, -INFINITY, 1, &bound), SPIKE_LOSS_NOT_FINITE);
    mem_free(state);
}
END_TEST

START_TEST(the_history_is_read_as_it_was_written)
{
    struct error err = {0};
    struct spike_settings s = spike_settings_default();
    struct spike_state *state = mem_calloc(1, sizeof *state), *back = mem_calloc(1, sizeof *back);
    s.policy = SPIKE_ROLLBACK;
    for (int i = 0; i < 100; i++)
        spike__accept(&s, state, 1.0 / (i + 3));
    state->skipped = 7, state->in_a_row = 2, state->rollbacks = 3, state->num_left_out = 2;
    for (uint64_t i = 0; i < 2; i++)
        state->left_out[i] = (struct rollback){
            .spike = {SPIKE_LOSS_ABOVE, 20 + i, 0.1, 0.7, NAN, 100, 107}, .number = i + 1, .after_step = 10 + i, .first_sample = 80, .last_sample = 107};
    json_t *object = spike__json(state);
    struct buffer text = {0};
    OK_OR_SAY(json_write(object, true, &text, &err), err);
    json_t *read = json_read_text(text.data, text.len, "x", &err);
    OK_OR_SAY(spike__from_json(back, read, "x", &err), err);
    ck_assert_uint_eq(back->num_losses, 64);
    ck_assert(memcmp(back->losses, state->losses, 64 * sizeof(double)) == 0);
    ck_assert(back->skipped == 7 && back->in_a_row == 2 && back->rollbacks == 3 && back->num_left_out == 2);
    ck_assert(back->left_out[1].after_step == 11 && back->left_out[1].spike.loss == 0.1 && isnan(back->left_out[1].spike.bound));
    /* and what is not one is refused */
    json_array_append_new(json_object_get(read, "losses"), json_string("1"));
    ck_assert_int_eq(spike__from_json(back, read, "x", &err), STATUS_FORMAT);
    json_object_set_new(object, "in_a_row", json_integer(8));
    ck_assert_int_eq(spike__from_json(back, object, "x", &err), STATUS_FORMAT);
    json_object_set_new(object, "in_a_row", json_integer(0));
    json_array_append(json_object_get(object, "left_out"), json_array_get(json_object_get(object, "left_out"), 0));
    ck_assert_int_eq(spike__from_json(back, object, "x", &err), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "order"));
    json_decref(object);
    json_decref(read);
    buffer_release(&text);
    mem_free(state);
    mem_free(back);
}
END_TEST

/* ---- an update left out ---- */

static struct train_settings settings_of(enum spike_policy policy)
{
    struct train_settings s = fixture_settings(2, 2, STEPS, 0.1f);
    s.schedule.lr = s.schedule.min_lr = 5e-3;
    s.spikes.policy = policy;
    s.spikes.factor = 3;
    s.spikes.window = 6;
    s.spikes.margin = 3;
    s.spikes.limit = SPIKE_LIMIT_MAX;
    return s;
}

START_TEST(a_skip_leaves_everything_but_the_place_in_the_data)
{
    struct train_settings s = settings_of(SPIKE_SKIP);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct training *t = r.training;
    uint64_t skips = 0;
    while (training_step(t) < STEPS) {
        const uint64_t before = training_state_hash(t), step = training_step(t);
        fixture_steps(&r, 1);
        const struct spike *spike = training_last_spike(t);
        const bool skipped = spike->reason != SPIKE_NONE;
        skips += skipped;
        ck_assert((training_state_hash(t) == before) == skipped);
        ck_assert_uint_eq(training_step(t), step + 1);
        ck_assert_uint_eq(t->sample, 4 * (step + 1));
        ck_assert_uint_eq(training_tokens(t), 4 * 16 * (step + 1));
        if (skipped)
            ck_assert(spike->step == step + 1 && spike->first_sample == 4 * step && spike->last_sample == 4 * step + 3 &&
                      spike->loss == training_last_loss(t) && spike->loss > spike->bound);
    }
    ck_assert_uint_eq(training_skipped(t), skips);
    ck_assert_msg(skips >= 2 && skips < STEPS / 2, "%d steps were skipped", (int)skips);
    fixture_stop(&r);
}
END_TEST

/* AdamW's bias correction counts updates: the next one is that of a training that never met the spike. */
START_TEST(the_bias_correction_counts_updates)
{
    struct train_settings s = settings_of(SPIKE_SKIP);
    s.schedule.kind = SCHEDULE_CONSTANT;
    s.schedule.warmup_steps = 0;
    s.model.embd_pdrop = s.model.attn_pdrop = s.model.resid_pdrop = 0;
    struct fixture_run a = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    while (training_last_spike(a.training)->reason == SPIKE_NONE)
        fixture_steps(&a, 1);
    const uint64_t sample = a.training->sample;
    do
        fixture_steps(&a, 1);
    while (training_last_spike(a.training)->reason != SPIKE_NONE);
    const uint64_t updates = training_step(a.training) - training_skipped(a.training);
    s.spikes.policy = SPIKE_IGNORE;
    struct fixture_run b = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    fixture_steps(&b, updates - 1);
    b.training->sample = sample + 4 * (training_skipped(a.training) - 1);
    fixture_steps(&b, 1);
    ck_assert(training_state_hash(a.training) == training_state_hash(b.training));
    fixture_stop(&a);
    fixture_stop(&b);
}
END_TEST

START_TEST(stop_names_the_step_and_changes_nothing)
{
    struct train_settings s = settings_of(SPIKE_STOP);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    uint64_t hash;
    enum status st;
    do
        hash = training_state_hash(r.training);
    while ((st = threaded_train_step(r.system)) == STATUS_OK);
    ck_assert_int_eq(st, STATUS_NONFINITE);
    const char *text = threaded_training_error(r.system);
    ck_assert_msg(strstr(text, "above its range") && strstr(text, "samples"), "%s", text);
    ck_assert(training_state_hash(r.training) == hash);
    const uint64_t step = training_step(r.training);
    fixture_stop(&r);
    s.spikes.policy = SPIKE_IGNORE; /* and on the way there nothing was different */
    r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    fixture_steps(&r, step);
    ck_assert(training_state_hash(r.training) == hash);
    fixture_stop(&r);
}
END_TEST

START_TEST(the_limit_stops_a_run_that_only_skips)
{
    struct train_settings s = settings_of(SPIKE_SKIP);
    s.spikes.limit = 3;
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    fixture_steps(&r, 2);
    model_data(training_model(r.training))[5] = NAN;
    fixture_steps(&r, 3);
    ck_assert_int_eq(training_last_spike(r.training)->reason, SPIKE_LOSS_NOT_FINITE);
    ck_assert_int_eq(threaded_train_step(r.system), STATUS_NONFINITE);
    const char *text = threaded_training_error(r.system);
    ck_assert_msg(strstr(text, "step 6") && strstr(text, "3 steps before") && strstr(text, "--spike-limit"), "%s", text);
    ck_assert_uint_eq(training_step(r.training), 5);
    fixture_stop(&r);
}
END_TEST

/* ---- a run, as the application thread makes one ---- */

struct life {
    char path[300];
    struct train_settings settings;
    struct fixture_run run;
    struct metrics *metrics;
    uint64_t rollbacks, skips, after;
};

static void open_metrics(struct life *l)
{
    struct error err = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/metrics.jsonl", l->path);
    l->metrics = metrics_open(path, training_step(l->run.training), &err);
    MADE_OR_SAY(l->metrics, err);
}

static void save(struct life *l)
{
    struct error err = {0};
    OK_OR_SAY(checkpoint_save(l->run.training, l->path, HASH, NULL, 0, NULL, &err), err);
}

static void begin(struct life *l, const char *name, const struct train_settings *s, int spheres)
{
    struct error err = {0};
    *l = (struct life){.settings = *s};
    snprintf(l->path, sizeof l->path, "%s/%s", fixture.dir, name);
    OK_OR_SAY(file_make_directory(l->path, &err), err);
    l->run = fixture_start(&fixture, s, spheres, spheres == 1 ? TEAM_SERIAL : TEAM_PTHREAD);
    open_metrics(l);
    save(l);
}

static void leave(struct life *l)
{
    metrics_close(l->metrics);
    fixture_stop(&l->run);
}

static void resume(struct life *l, int spheres)
{
    struct error err = {0};
    leave(l);
    l->run.training = training_create(&l->settings, &err);
    MADE_OR_SAY(l->run.training, err);
    OK_OR_SAY(checkpoint_load_latest(l->run.training, l->path, HASH, NULL, &err), err);
    const struct spike_state *spikes = &l->run.training->spikes;
    l->after = spikes->num_left_out ? spikes->left_out[spikes->num_left_out - 1].after_step : 0;
    fixture_iterate(&fixture, &l->run);
    fixture_team(&l->run, spheres, TEAM_PTHREAD);
    open_metrics(l);
}

/* One step and what is to be done after it; true when the run was rolled back. */
static bool step(struct life *l, uint64_t save_every)
{
    struct training *t = l->run.training;
    struct error err = {0};
    struct buffer said = {0};
    fixture_steps(&l->run, 1);
    const struct metrics_step line = {.step = training_step(t),
                                      .tokens = training_tokens(t),
                                      .loss = training_last_loss(t),
                                      .lr = training_last_lr(t),
                                      .grad_norm = training_last_grad_norm(t)};
    OK_OR_SAY(metrics_write_rollback(l->metrics, t, &err), err);
    OK_OR_SAY(metrics_write_step(l->metrics, &line, &err), err);
    OK_OR_SAY(metrics_write_skip(l->metrics, t, &said, &err), err);
    ck_assert((said.len > 0) == (training_last_spike(t)->reason != SPIKE_NONE));
    l->skips += said.len > 0;
    buffer_release(&said);
    if (training_wants_rollback(t)) {
        uint64_t loaded = 0, after = 0;
        const uint64_t spiked = training_step(t), margin = l->settings.spikes.margin, last = l->after;
        OK_OR_SAY(training_roll_back(t, l->path, HASH, l->metrics, &loaded, &after, NULL, &err), err);
        l->rollbacks++;
        const uint64_t plain = spiked - 1 > margin ? spiked - 1 - margin : 0;
        ck_assert_uint_eq(after, plain > last ? plain : last);
        l->after = after;
        ck_assert(training_step(t) == loaded && loaded <= after);
        return true;
    }
    if (training_step(t) % save_every == 0)
        save(l);
    return false;
}

static void finish(struct life *l, uint64_t save_every)
{
    while (training_step(l->run.training) < l->settings.steps)
        step(l, save_every);
}

static void read_log(const struct life *l, const char *name, struct metrics_log *out)
{
    struct error err = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/%s", l->path, name);
    OK_OR_SAY(metrics_log_read(path, out, &err), err);
    ck_assert_msg(out->num_damaged == 0 && !out->torn, "%s", out->damage.data);
}

/* Both logs are whole, rise, and say the same. */
static void same_logs(const struct life *a, const struct life *b)
{
    struct metrics_log x, y;
    read_log(a, "metrics.jsonl", &x);
    read_log(b, "metrics.jsonl", &y);
    ck_assert(x.num_steps == y.num_steps && x.num_events == y.num_events);
    ck_assert_uint_eq(x.num_steps, a->settings.steps);
    for (size_t i = 0; i < x.num_steps; i++)
        ck_assert(x.steps[i].step == i + 1 && x.steps[i].loss == y.steps[i].loss &&
                  x.steps[i].grad_norm == y.steps[i].grad_norm);
    for (size_t i = 0; i < x.num_events; i++)
        ck_assert(x.events[i].step == y.events[i].step && strcmp(x.events[i].name, y.events[i].name) == 0);
    metrics_log_release(&x);
    metrics_log_release(&y);
}

/* Left in peace on one sphere; cut at every step and resumed on others, saved at other steps. */
START_TEST(a_cut_run_decides_as_a_whole_one)
{
    const enum spike_policy policy = _i ? SPIKE_ROLLBACK : SPIKE_SKIP;
    struct train_settings s = settings_of(policy);
    struct life whole, cut;
    begin(&whole, "whole", &s, 1);
    finish(&whole, 10);
    ck_assert(policy == SPIKE_SKIP ? whole.skips >= 2 : whole.rollbacks >= 2);
    const uint64_t hash = training_state_hash(whole.run.training);
    begin(&cut, "cut", &s, 2);
    const int spheres[] = {2, fixture_sanitized() ? 1 : 7, fixture_sanitized() ? 2 : 3};
    for (uint64_t n = 0; training_step(cut.run.training) < s.steps; n++) {
        ck_assert_uint_lt(n, 40 * STEPS);
        const bool back = step(&cut, 4);
        /* A process dies: after some of the steps, and right after each second rollback, before it saved again. */
        if (back ? cut.rollbacks % 4 == 1 : n % 23 == 5)
            resume(&cut, spheres[n % 3]);
    }
    ck_assert(training_state_hash(cut.run.training) == hash);
    ck_assert_uint_eq(training_skipped(cut.run.training), training_skipped(whole.run.training));
    ck_assert_uint_eq(cut.run.training->sample, whole.run.training->sample);
    same_logs(&whole, &cut);
    leave(&whole);
    leave(&cut);
}
END_TEST

/* The first rollback by hand: no rule, and the samples left out as the event says. */
START_TEST(a_rollback_is_a_run_without_the_samples)
{
    struct train_settings s = settings_of(SPIKE_ROLLBACK);
    struct life l;
    begin(&l, "run", &s, 2);
    while (!step(&l, 5))
        ;
    const struct rollback r = l.run.training->spikes.left_out[0];
    ck_assert_uint_eq(r.last_sample - r.first_sample + 1, 4 * (s.spikes.margin + 1));
    ck_assert_uint_eq(r.first_sample, 4 * r.after_step);
    const uint64_t until = r.after_step + 2;
    while (training_step(l.run.training) < until && !step(&l, 5))
        ;
    ck_assert_uint_eq(training_step(l.run.training), until);
    ck_assert_uint_eq(l.rollbacks, 1);
    struct train_settings plain = s;
    plain.spikes.policy = SPIKE_IGNORE;
    struct fixture_run by_hand = fixture_start(&fixture, &plain, 1, TEAM_SERIAL);
    fixture_steps(&by_hand, r.after_step);
    by_hand.training->sample = r.last_sample + 1;
    fixture_steps(&by_hand, 2);
    ck_assert(training_state_hash(by_hand.training) == training_state_hash(l.run.training));
    /* The truth has one line a step; what was given up lies beside it, the spike with its event. */
    struct metrics_log log, aside;
    read_log(&l, "metrics.jsonl", &log);
    read_log(&l, "metrics.rolled-back-1.jsonl", &aside);
    ck_assert_uint_eq(log.num_steps, until);
    ck_assert_uint_eq(log.num_events, 1);
    ck_assert_str_eq(log.events[0].name, "rollback");
    ck_assert_uint_eq(log.events[0].step, r.after_step + 1);
    ck_assert_uint_eq(aside.num_steps, s.spikes.margin + 1);
    ck_assert_uint_eq(aside.steps[0].step, r.after_step + 1);
    ck_assert_str_eq(aside.events[0].name, "spike");
    ck_assert_uint_eq(aside.events[0].step, r.spike.step);
    metrics_log_release(&log);
    metrics_log_release(&aside);
    fixture_stop(&by_hand);
    leave(&l);
}
END_TEST

static void damage(const struct life *l, uint64_t step)
{
    char path[500];
    snprintf(path, sizeof path, "%s/checkpoints/step-%08d/model.safetensors", l->path, (int)step);
    FILE *f = fopen(path, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, -1, SEEK_END);
    const int c = fgetc(f);
    fseek(f, -1, SEEK_END);
    fputc(c ^ 1, f);
    fclose(f);
}

/* A damaged checkpoint costs time: the one before it leads to the same place. */
START_TEST(a_damaged_checkpoint_changes_no_bit)
{
    struct train_settings s = settings_of(SPIKE_ROLLBACK);
    struct life good, bad;
    s.keep = 50;
    begin(&good, "good", &s, 2);
    finish(&good, 1);
    const uint64_t first = good.run.training->spikes.left_out[0].after_step;
    ck_assert_uint_gt(first, 1);
    begin(&bad, "bad", &s, 2);
    while (training_step(bad.run.training) < first)
        ck_assert(!step(&bad, 1));
    damage(&bad, first);
    damage(&bad, first - 1);
    finish(&bad, 1);
    ck_assert(training_state_hash(good.run.training) == training_state_hash(bad.run.training));
    same_logs(&good, &bad);
    leave(&good);
    leave(&bad);
}
END_TEST

START_TEST(without_a_way_back_the_run_says_so)
{
    struct train_settings s = settings_of(SPIKE_ROLLBACK);
    struct life l;
    begin(&l, "run", &s, 1);
    damage(&l, 0);
    struct training *t = l.run.training;
    while (!training_wants_rollback(t))
        fixture_steps(&l.run, 1);
    struct error err = {0};
    uint64_t loaded, after;
    ck_assert_int_eq(training_roll_back(t, l.path, HASH, l.metrics, &loaded, &after, NULL, &err), STATUS_FORMAT);
    ck_assert_msg(strstr(err.text, "none of the checkpoints") && strstr(err.text, "model.safetensors"), "%s", err.text);
    leave(&l);
}
END_TEST

START_TEST(the_limit_stops_a_run_that_only_goes_back)
{
    struct train_settings s = settings_of(SPIKE_ROLLBACK);
    struct life l;
    s.spikes.limit = 1;
    begin(&l, "run", &s, 2);
    while (!step(&l, 5))
        ;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && training_step(l.run.training) < s.steps)
        st = threaded_train_step(l.run.system);
    ck_assert_int_eq(st, STATUS_NONFINITE);
    const char *text = threaded_training_error(l.run.system);
    ck_assert_msg(strstr(text, "rolled back 1 times") && strstr(text, "--spike-limit"), "%s", text);
    leave(&l);
}
END_TEST

/* Checkpoints as they are saved: where the next step's spike would lead back to, there is one up to it, however few are kept. */
START_TEST(a_way_back_is_never_pruned)
{
    struct train_settings s = settings_of(SPIKE_ROLLBACK);
    struct life l;
    s.spikes.factor = 1e6; /* no spike */
    s.spikes.margin = 11;
    s.keep = 2;
    begin(&l, "run", &s, 2);
    while (training_step(l.run.training) < STEPS) {
        ck_assert(!step(&l, 3));
        struct error err = {0};
        struct buffer checkpoints = {0};
        uint64_t *steps;
        size_t n;
        path_join(&checkpoints, l.path, "checkpoints");
        OK_OR_SAY(checkpoint__list(checkpoints.data, &steps, &n, &err), err);
        const uint64_t now = training_step(l.run.training), target = now > 11 ? now - 11 : 0;
        ck_assert_uint_le(steps[n - 1], target);
        ck_assert_uint_le(n, 3 + 4);
        mem_free(steps);
        buffer_release(&checkpoints);
    }
    leave(&l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spike");
    TCase *tc = tcase_create("spike");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, the_rule_is_mean_and_deviation);
    tcase_add_test(tc, the_history_is_read_as_it_was_written);
    tcase_add_test(tc, a_skip_leaves_everything_but_the_place_in_the_data);
    tcase_add_test(tc, the_bias_correction_counts_updates);
    tcase_add_test(tc, stop_names_the_step_and_changes_nothing);
    tcase_add_test(tc, the_limit_stops_a_run_that_only_skips);
    tcase_add_loop_test(tc, a_cut_run_decides_as_a_whole_one, 0, 2);
    tcase_add_test(tc, a_rollback_is_a_run_without_the_samples);
    tcase_add_test(tc, without_a_way_back_the_run_says_so);
    if (!fixture_sanitized()) { /* long ones, with nothing in them that the others have not */
        tcase_add_test(tc, a_damaged_checkpoint_changes_no_bit);
        tcase_add_test(tc, the_limit_stops_a_run_that_only_goes_back);
        tcase_add_test(tc, a_way_back_is_never_pruned);
    }
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
