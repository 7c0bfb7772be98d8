/* SPDX-License-Identifier: MIT */
#include "train/run_events.h"

#include "train/fixture.h"

static char run[256];

static void setup(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(run, sizeof run, "%s/cllm-test-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(run));
}

static void teardown(void)
{
    file_remove_tree(run, NULL);
}

static struct run_events parsed(const char *text)
{
    struct run_events out;
    struct error err = {0};
    OK_OR_SAY(run_events_parse(text, strlen(text), "FILE", &out, &err), err);
    return out;
}

static const char *place(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", run, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(place(name), "w");
    ck_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* "lr 0.5 from step 4; …" */
static void expect(const struct run_events *list, const char *want)
{
    struct buffer text = {0};
    buffer_append_text(&text, "");
    for (size_t i = 0; i < list->n; i++) {
        buffer_append_text(&text, i ? "; " : "");
        run_event_text(&list->items[i], &text);
    }
    ck_assert_str_eq(text.data ? text.data : "", want);
    buffer_release(&text);
}

#define LR(step, factor) "{\"step\": " #step ", \"event\": \"lr\", \"factor\": " #factor "}\n"
#define STEP(n)          "{\"step\": " #n ", \"tokens\": 8, \"loss\": 2.5, \"lr\": 0.001, \"grad_norm\": 1.0}\n"
#define SKIP(n)          "{\"step\": " #n ", \"event\": \"skip\", \"reason\": \"the loss is above its range\"}\n"
#define SAMPLE(n)        "{\"step\": " #n ", \"event\": \"sample\", \"text\": \"\\\"event\\\": \\\"lr\\\"\"}\n"

START_TEST(events_that_reach_weights_are_found_in_order)
{
    struct run_events e = parsed(STEP(1) LR(1, 0.5) SAMPLE(1) LR(1, 0.25) STEP(2) STEP(3) SKIP(3) LR(
        3, 2) "{\"step\": 3, \"event\": \"rollback\", \"from_step\": 9}\n{\"step\": 3, \"event\": \"lr\", \"fac");
    expect(&e, "lr 0.5 from step 2; lr 0.25 from step 2; lr 2 from step 4");
    ck_assert_uint_eq(e.num_damaged, 0);
    ck_assert_uint_eq(e.items[2].step, 3);
    run_events_release(&e);
}
END_TEST

START_TEST(an_event_without_what_it_needs_is_refused_by_file_and_line)
{
    static const struct {
        const char *text, *want;
    } wrong[] = {
        {STEP(1) "{\"step\": 1, \"event\": \"lr\"}\n", "FILE, line 2"},
        {LR(1, "much"), "factor"},
        {LR(1, -0.5), "from 0 to"},
        {LR(1, 1e300), "from 0 to"},
        {"{\"step\": -4, \"event\": \"lr\", \"factor\": 1}\n", "step"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct run_events e;
        struct error err = {0};
        ck_assert_int_eq(run_events_parse(wrong[i].text, strlen(wrong[i].text), "FILE", &e, &err), STATUS_FORMAT);
        ck_assert_msg(strstr(err.text, wrong[i].want) != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(damaged_lines_are_counted_and_the_rest_is_there)
{
    struct run_events e = parsed(STEP(1) "\n{\"step\": 2, \"event\": \"lr\", \"factor: 1}\nxx\n" LR(3, 2));
    ck_assert_uint_eq(e.num_damaged, 3);
    ck_assert_msg(strstr(e.damage, "FILE, line 2") != NULL, "%s", e.damage);
    expect(&e, "lr 2 from step 4");
    run_events_release(&e);
}
END_TEST

START_TEST(each_event_is_merged_once)
{
    static const struct {
        const char *metrics, *waiting, *want;
    } cases[] = {
        {"", "", ""},
        {LR(3, 2), "", "lr 2 from step 4"},
        {"", LR(3, 2), "lr 2 from step 4"},
        {LR(3, 2), LR(3, 2), "lr 2 from step 4"},
        /* stopped in the middle of applying again */
        {LR(3, 2), LR(3, 2) LR(3, 4), "lr 2 from step 4; lr 4 from step 4"},
        /* applied again, and one that came after */
        {LR(3, 2) LR(3, 4) LR(3, 8), LR(3, 2) LR(3, 4), "lr 2 from step 4; lr 4 from step 4; lr 8 from step 4"},
        {LR(1, 2) LR(5, 1), LR(3, 2) LR(7, 3), "lr 2 from step 2; lr 2 from step 4; lr 1 from step 6; lr 3 from step 8"},
        {LR(2, 2) LR(3, 1), LR(2, 2), "lr 2 from step 3; lr 1 from step 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run_events m = parsed(cases[i].metrics), w = parsed(cases[i].waiting), out = {0};
        struct error err = {0};
        OK_OR_SAY(run_events_merge(&m, &w, &out, &err), err);
        expect(&out, cases[i].want);
        run_events_release(&m);
        run_events_release(&w);
        run_events_release(&out);
    }
}
END_TEST

/* Resumes at `step`, lets the metrics be cut, and tells both lists. */
static uint64_t lives; /* rollbacks so far */

static void resume(uint64_t step, const char *want_now, const char *want_waiting)
{
    struct run_events now, waiting;
    struct buffer warning = {0};
    struct error err = {0};
    OK_OR_SAY(run_events_resume(run, step, lives, &now, &waiting, &warning, &err), err);
    expect(&now, want_now);
    expect(&waiting, want_waiting);
    ck_assert_uint_eq(warning.len, 0);
    ck_assert_int_eq(file_exists(place("replay.jsonl")), *want_waiting != 0);
    run_events_release(&now);
    run_events_release(&waiting);
    struct metrics *m = metrics_open(place("metrics.jsonl"), step, &err);
    MADE_OR_SAY(m, err);
    metrics_close(m);
}

START_TEST(a_run_may_be_killed_anywhere_and_loses_no_event)
{
    put("metrics.jsonl", STEP(1) LR(1, 0.5) STEP(2) LR(2, 0.25) STEP(3) LR(3, 4) STEP(4) SKIP(4) LR(4, 2) STEP(5) LR(5, 8));
    resume(2, "lr 0.25 from step 3", "lr 4 from step 4; lr 2 from step 5; lr 8 from step 6");
    /* Killed at once, twice, before anything was written. */
    resume(2, "lr 0.25 from step 3", "lr 4 from step 4; lr 2 from step 5; lr 8 from step 6");
    /* An older checkpoint had to be used. */
    resume(1, "lr 0.5 from step 2", "lr 0.25 from step 3; lr 4 from step 4; lr 2 from step 5; lr 8 from step 6");
    /* It went on to step 3, and another came. */
    put("metrics.jsonl", STEP(1) LR(1, 0.5) STEP(2) LR(2, 0.25) STEP(3) LR(3, 4) LR(3, 16));
    resume(3, "lr 4 from step 4; lr 16 from step 4", "lr 2 from step 5; lr 8 from step 6");
    resume(2, "lr 0.25 from step 3", "lr 4 from step 4; lr 16 from step 4; lr 2 from step 5; lr 8 from step 6");
}
END_TEST

#define LATER(step, factor, rollbacks)                                                                                 \
    "{\"step\": " #step ", \"event\": \"lr\", \"factor\": " #factor ", \"rollbacks\": " #rollbacks "}\n"

START_TEST(what_came_after_a_rollback_waits_for_it)
{
    struct error err = {0};
    /* A run that is replayed: 8 came before the rollback, 16 after it. */
    put("replay.jsonl", LATER(3, 16, 1) LR(4, 8));
    put("metrics.jsonl", "");
    resume(0, "", "lr 16 from step 4; lr 8 from step 5");
    /* It is at step 5, and has what came before. */
    put("metrics.jsonl", STEP(1) STEP(2) STEP(3) STEP(4) LR(4, 8) STEP(5));
    resume(5, "", "lr 16 from step 4");
    /* It goes back to step 2: nothing is lost with the lines. */
    OK_OR_SAY(run_events_keep(run, &err), err);
    put("metrics.jsonl", STEP(1) STEP(2));
    lives = 1;
    resume(2, "", "lr 16 from step 4; lr 8 from step 5");
    put("metrics.jsonl", STEP(1) STEP(2) STEP(3) LATER(3, 16, 1));
    resume(3, "lr 16 from step 4", "lr 8 from step 5");
    lives = 0;
}
END_TEST

START_TEST(what_waits_goes_when_it_is_done_and_damage_is_told)
{
    struct run_events now, waiting;
    struct buffer warning = {0};
    struct error err = {0};
    put("metrics.jsonl", STEP(1) "{\"step\": 2\n" STEP(2) LR(2, 2));
    OK_OR_SAY(run_events_resume(run, 1, 0, &now, &waiting, &warning, &err), err);
    ck_assert_msg(strstr(warning.data, "metrics.jsonl, line 2") != NULL, "%s", warning.data);
    ck_assert(file_exists(place("replay.jsonl")));
    run_events_release(&now);
    run_events_release(&waiting);
    OK_OR_SAY(run_events_done(run, &err), err);
    ck_assert(!file_exists(place("replay.jsonl")));
    OK_OR_SAY(run_events_done(run, &err), err);
    ck_assert_int_eq(run_events_replay(run, run, &waiting, &err), STATUS_FORMAT);
    ck_assert_msg(strstr(err.text, "cannot be replayed") != NULL, "%s", err.text);
    run_events_release(&waiting);
    buffer_release(&warning);
}
END_TEST

START_TEST(an_event_is_recorded_as_it_is_read)
{
    struct error err = {0};
    struct metrics *m = metrics_open(place("metrics.jsonl"), 0, &err);
    const struct run_event events[] = {
        {.step = 1, .kind = RUN_EVENT_LR, .factor = 0.1},
        {.step = 2, .kind = RUN_EVENT_LR, .factor = 3},
    };
    MADE_OR_SAY(m, err);
    for (size_t i = 0; i < 2; i++)
        OK_OR_SAY(run_event_record(m, &events[i], &err), err);
    metrics_close(m);
    struct run_events back;
    OK_OR_SAY(run_events_replay(run, run, &back, &err), err);
    ck_assert_uint_eq(back.n, 2);
    ck_assert(back.items[0].factor == 0.1 && back.items[0].kind == RUN_EVENT_LR);
    ck_assert(back.items[1].step == 2 && back.items[1].factor == 3);
    run_events_release(&back);
    struct buffer text = {0};
    OK_OR_SAY(file_read(place("metrics.jsonl"), 4096, &text, &err), err);
    ck_assert_msg(strncmp(text.data, LR(1, 0.1), strlen(LR(1, 0.1))) == 0, "%s", text.data);
    buffer_release(&text);
}
END_TEST

/* ---- the factor itself ---- */

static struct fixture fixture;

static uint64_t hash_after(const struct train_settings *s, double factor, bool cut)
{
    struct fixture_run r = fixture_start(&fixture, s, 2, TEAM_PTHREAD);
    struct error err = {0};
    fixture_steps(&r, 3);
    const double full = training_last_lr(r.training);
    training_set_lr_factor(r.training, factor);
    fixture_steps(&r, 3);
    if (factor == 0)
        ck_assert(training_last_lr(r.training) == 0 && full > 0);
    if (cut) { /* through a checkpoint */
        OK_OR_SAY(checkpoint_save(r.training, fixture.dir, 7, NULL, 0, NULL, &err), err);
        fixture_stop(&r);
        r = fixture_start(&fixture, s, 1, TEAM_PTHREAD);
        OK_OR_SAY(checkpoint_load_latest(r.training, fixture.dir, 7, NULL, &err), err);
        ck_assert(training_lr_factor(r.training) == factor);
    }
    fixture_steps(&r, 3);
    const uint64_t hash = training_state_hash(r.training);
    fixture_stop(&r);
    return hash;
}

START_TEST(the_factor_reaches_the_weights_and_goes_through_a_checkpoint)
{
    fixture_open(&fixture);
    struct train_settings s = fixture_settings(2, 2, 12, 0);
    for (int muon = 0; muon < 2; muon++) {
        if (muon) {
            s.optimizer = OPTIMIZER_MUON;
            s.muon_lr = 0.02;
            file_remove_tree(fixture_path(&fixture, "checkpoints"), NULL);
        }
        const uint64_t plain = hash_after(&s, 1, false), half = hash_after(&s, 0.5, false);
        ck_assert(plain != half);
        ck_assert(hash_after(&s, 0.5, true) == half);
        ck_assert(hash_after(&s, 0, false) != half);
    }
    fixture_close(&fixture);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_events");
    TCase *tc = tcase_create("run_events");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, events_that_reach_weights_are_found_in_order);
    tcase_add_test(tc, an_event_without_what_it_needs_is_refused_by_file_and_line);
    tcase_add_test(tc, damaged_lines_are_counted_and_the_rest_is_there);
    tcase_add_test(tc, each_event_is_merged_once);
    tcase_add_test(tc, a_run_may_be_killed_anywhere_and_loses_no_event);
    tcase_add_test(tc, what_came_after_a_rollback_waits_for_it);
    tcase_add_test(tc, what_waits_goes_when_it_is_done_and_damage_is_told);
    tcase_add_test(tc, an_event_is_recorded_as_it_is_read);
    tcase_add_test(tc, the_factor_reaches_the_weights_and_goes_through_a_checkpoint);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
