/* SPDX-License-Identifier: MIT
 * tests/infer/test_generator.c - one sequence: the same for any team, past the end of the context, after new weights.
 */
#include "infer/generator.h"

#include <check.h>
#include <stdlib.h>

enum { POSITIONS = 16, VOCAB = 40, DRAWS = 50 };

static struct model *make_model(uint64_t seed)
{
    struct model_config config = model_config_of(MODEL_GPT2);
    config.vocab_size = VOCAB;
    config.n_positions = POSITIONS;
    config.n_embd = 24;
    config.n_layer = 2;
    config.n_head = 3;
    model_config_complete(&config);
    struct error err = {0};
    struct model *model = model_new(&config, &err);
    ck_assert_msg(model != NULL, "%s", err.text);
    model_init_weights(model, seed, NULL);
    for (size_t i = 0; i < model_size(model); i++)
        model_data(model)[i] *= 8.0f; /* so that the likeliest token depends on the context */
    return model;
}

struct fixture {
    struct model *model;
    struct team *team;
    struct generator *generator;
};

static struct fixture make_with(struct model *model, int spheres, size_t context)
{
    struct error err = {0};
    struct fixture f = {.model = model};
    struct team_options options = {.num_spheres = spheres, .backend = TEAM_PTHREAD,
                                   .scratch_bytes = generator_scratch_bytes(model_config(model), 0)};
    f.team = team_new(&options, &err);
    ck_assert_msg(f.team != NULL, "%s", err.text);
    f.generator = generator_new(model, f.team, context, &err);
    ck_assert_msg(f.generator != NULL, "%s", err.text);
    return f;
}

static struct fixture make(struct model *model, int spheres)
{
    return make_with(model, spheres, 0);
}

static void release(struct fixture *f)
{
    generator_free(f->generator);
    team_free(f->team);
}

static const int32_t prompt[] = {3, 1, 4, 1, 5};

static void draw(struct fixture *f, const struct sampling *sampling, const int32_t *begin, size_t n, int32_t *out,
                 size_t draws)
{
    struct error err = {0};
    ck_assert_int_eq(generator_prompt(f->generator, begin, n, &err), STATUS_OK);
    for (size_t i = 0; i < draws; i++) {
        ck_assert_msg(generator_next(f->generator, sampling, &out[i], &err) == STATUS_OK, "%s", err.text);
        ck_assert(out[i] >= 0 && out[i] < VOCAB);
    }
}

START_TEST(any_team_draws_the_same)
{
    struct model *model = make_model(1);
    struct sampling sampling = {.temperature = 0.9, .top_k = 20, .top_p = 0.95, .seed = 11};
    int32_t first[DRAWS], other[DRAWS];
    static const int teams[] = {1, 2, 3, 13};
    for (size_t t = 0; t < 4; t++) {
        struct fixture f = make(model, teams[t]);
        draw(&f, &sampling, prompt, 5, t ? other : first, DRAWS);
        if (t)
            ck_assert_mem_eq(other, first, sizeof first);
        draw(&f, &sampling, prompt, 5, other, DRAWS); /* and again from the start */
        ck_assert_mem_eq(other, first, sizeof first);
        release(&f);
    }
    struct fixture f = make(model, 1);
    sampling.seed = 12;
    draw(&f, &sampling, prompt, 5, other, DRAWS);
    int same = 0;
    for (size_t i = 0; i < DRAWS; i++)
        same += other[i] == first[i];
    ck_assert_int_lt(same, DRAWS);
    release(&f);
    model_free(model);
}
END_TEST

/* With a full context the older half goes: what follows is what a new sequence of the younger half gives. */
START_TEST(a_full_context_keeps_its_younger_half)
{
    struct model *model = make_model(2);
    struct sampling greedy = {.temperature = 0, .top_p = 1};
    int32_t full[POSITIONS], drawn[3], again[2], rest[POSITIONS];
    for (int i = 0; i < POSITIONS; i++)
        full[i] = (7 * i + 2) % VOCAB;
    struct fixture f = make(model, 2), g = make(model, 1);
    draw(&f, &greedy, full, POSITIONS, drawn, 3);
    size_t kept = POSITIONS / 2;
    for (size_t i = 0; i < kept; i++)
        rest[i] = full[POSITIONS - kept + i];
    rest[kept] = drawn[0];
    draw(&g, &greedy, rest, kept + 1, again, 2);
    ck_assert_int_eq(again[0], drawn[1]);
    ck_assert_int_eq(again[1], drawn[2]);
    release(&f);
    release(&g);
    model_free(model);
}
END_TEST

START_TEST(a_long_prompt_is_as_if_it_had_grown)
{
    struct model *model = make_model(3);
    struct sampling greedy = {.temperature = 0, .top_p = 1};
    struct fixture f = make(model, 1), g = make(model, 1);
    int32_t grown[5 + DRAWS], next;
    for (int i = 0; i < 5; i++)
        grown[i] = prompt[i];
    draw(&f, &greedy, prompt, 5, grown + 5, DRAWS);
    for (size_t n = 5; n < 5 + DRAWS; n += 7) {
        draw(&g, &greedy, grown, n, &next, 1);
        ck_assert_int_eq(next, grown[n]);
    }
    release(&f);
    release(&g);
    model_free(model);
}
END_TEST

/* Up to its end a bounded context changes nothing. */
START_TEST(a_bounded_context_draws_the_same_until_it_is_full)
{
    struct model *model = make_model(7);
    struct sampling sampling = {.temperature = 1, .top_p = 1, .seed = 2};
    struct fixture f = make(model, 2), g = make_with(model, 2, 9);
    int32_t whole[8], bounded[8];
    ck_assert_uint_eq(generator_context(f.generator), POSITIONS);
    ck_assert_uint_eq(generator_context(g.generator), 9);
    draw(&f, &sampling, prompt, 5, whole, 8);
    draw(&g, &sampling, prompt, 5, bounded, 8);
    ck_assert_mem_eq(whole, bounded, 5 * sizeof *whole); /* the fifth is drawn with nine in the context */
    release(&f);
    release(&g);
    struct error err = {0};
    struct team_options options = {.num_spheres = 1, .backend = TEAM_PTHREAD, .scratch_bytes = 1 << 20};
    struct team *team = team_new(&options, &err);
    ck_assert(generator_new(model, team, POSITIONS + 1, &err) == NULL);
    ck_assert_int_eq(err.status, STATUS_CONFIG);
    team_free(team);
    model_free(model);
}
END_TEST

/* With a penalty so large that no positive logit is left above those of unseen tokens, greedy takes each token once. */
START_TEST(a_penalty_counts_prompt_and_drawn_tokens)
{
    struct model *model = make_model(8);
    struct sampling greedy = {.temperature = 0, .top_p = 1, .repetition_penalty = 1e6};
    struct fixture f = make(model, 1);
    for (int again = 0; again < 2; again++) { /* a new prompt forgets what was seen */
        int32_t drawn[8];
        bool seen[VOCAB] = {false};
        for (size_t i = 0; i < 5; i++)
            seen[prompt[i]] = true;
        draw(&f, &greedy, prompt, 5, drawn, 8);
        for (size_t i = 0; i < 8; i++) {
            ck_assert(!seen[drawn[i]]);
            seen[drawn[i]] = true;
        }
    }
    release(&f);
    model_free(model);
}
END_TEST

START_TEST(new_weights_are_taken_after_refresh)
{
    struct model *model = make_model(4), *other = make_model(5);
    struct sampling sampling = {.temperature = 1, .top_p = 1, .seed = 1};
    int32_t before[DRAWS], after[DRAWS], expected[DRAWS];
    struct fixture f = make(model, 2), g = make(other, 2);
    draw(&f, &sampling, prompt, 5, before, DRAWS);
    draw(&g, &sampling, prompt, 5, expected, DRAWS);
    for (size_t i = 0; i < model_size(model); i++)
        model_data(model)[i] = model_data(other)[i];
    generator_refresh(f.generator);
    draw(&f, &sampling, prompt, 5, after, DRAWS);
    ck_assert_mem_eq(after, expected, sizeof after);
    ck_assert(memcmp(after, before, sizeof after) != 0);
    release(&f);
    release(&g);
    model_free(model);
    model_free(other);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
    struct model *model = make_model(6);
    struct fixture f = make(model, 1);
    struct sampling sampling = {.temperature = 1, .top_p = 1};
    struct error err = {0};
    int32_t token, beyond[] = {1, VOCAB}, negative[] = {-1};
    ck_assert_int_eq(generator_next(f.generator, &sampling, &token, &err), STATUS_MISUSE);
    ck_assert_int_eq(generator_prompt(f.generator, prompt, 0, &err), STATUS_CONFIG);
    ck_assert_int_eq(generator_prompt(f.generator, beyond, 2, &err), STATUS_CONFIG);
    ck_assert_int_eq(generator_prompt(f.generator, negative, 1, &err), STATUS_CONFIG);
    ck_assert_int_eq(generator_prompt(f.generator, prompt, 5, &err), STATUS_OK);
    sampling.top_p = 0;
    ck_assert_int_eq(generator_next(f.generator, &sampling, &token, &err), STATUS_CONFIG);
    sampling.top_p = 1;
    for (size_t i = 0; i < model_size(model); i++)
        model_data(model)[i] = 0.0f / 0.0f;
    ck_assert_int_eq(generator_next(f.generator, &sampling, &token, &err), STATUS_NONFINITE);
    release(&f);
    model_free(model);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("generator");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, any_team_draws_the_same);
    tcase_add_test(cases, a_full_context_keeps_its_younger_half);
    tcase_add_test(cases, a_long_prompt_is_as_if_it_had_grown);
    tcase_add_test(cases, a_bounded_context_draws_the_same_until_it_is_full);
    tcase_add_test(cases, a_penalty_counts_prompt_and_drawn_tokens);
    tcase_add_test(cases, new_weights_are_taken_after_refresh);
    tcase_add_test(cases, bad_requests_are_refused);
    Suite *suite = suite_create("infer/generator");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
