/* SPDX-License-Identifier: MIT */
#include "train/settings.h"

#include <check.h>
#include <string.h>

static struct train_settings preset(const char *name)
{
    struct train_settings s;
    struct error err = {0};
    ck_assert_msg(train_settings_preset(&s, name, &err) == STATUS_OK, "%s", err.text);
    return s;
}

START_TEST(presets_are_what_their_names_promise)
{
    struct train_settings s = preset("shakespeare-char-cpu");
    ck_assert_uint_eq(s.model.n_layer, 4);
    ck_assert_uint_eq(s.model.n_head, 4);
    ck_assert_uint_eq(s.model.n_embd, 128);
    ck_assert_uint_eq(s.seq_len, 64);
    ck_assert_uint_eq(s.batch_size, 12);
    ck_assert_uint_eq(s.steps, 2000);
    ck_assert(s.schedule.lr == 1e-3 && s.schedule.min_lr == 1e-4 && s.schedule.warmup_steps == 100);
    ck_assert(s.beta1 == 0.9 && s.beta2 == 0.99 && s.weight_decay == 0.1 && s.grad_clip == 1.0);
    ck_assert(s.model.resid_pdrop == 0 && s.model.vocab_size == 0 && s.val_fraction == 0.1);
    s = preset("llama-char-cpu");
    ck_assert(s.model.family == MODEL_LLAMA && s.model.n_head == 4 && s.model.n_kv_head == 2 && s.model.head_dim == 32);
    ck_assert(s.model.n_layer == 4 && s.model.n_embd == 128 && s.model.tied && s.seq_len == 64);
    s = preset("shakespeare-char");
    ck_assert(s.model.n_layer == 6 && s.model.n_head == 6 && s.model.n_embd == 384 && s.seq_len == 256);
    ck_assert(s.batch_size == 64 && s.steps == 5000 && s.model.attn_pdrop == 0.2f && s.micro_batch == 64);
    s = preset("gpt2");
    ck_assert(s.model.n_layer == 12 && s.model.n_head == 12 && s.model.n_embd == 768 && s.seq_len == 1024);
    ck_assert(s.model.vocab_size == 50257 && s.beta2 == 0.95 && s.schedule.lr == 6e-4 && s.micro_batch == 4);
    s = preset("gpt2-medium");
    ck_assert(s.model.n_layer == 24 && s.model.n_head == 16 && s.model.n_embd == 1024);
    s = preset("gpt2-large");
    ck_assert(s.model.n_layer == 36 && s.model.n_head == 20 && s.model.n_embd == 1280);
}
END_TEST

START_TEST(an_unknown_preset_is_told_the_names)
{
    struct train_settings s;
    struct error err;
    ck_assert_int_eq(train_settings_preset(&s, "gpt3", &err), STATUS_CONFIG);
    for (const char *const *name = train_preset_names(); *name; name++)
        ck_assert_ptr_nonnull(strstr(err.text, *name));
}
END_TEST

START_TEST(every_preset_checks_and_survives_json)
{
    for (const char *const *name = train_preset_names(); *name; name++) {
        struct train_settings s = preset(*name), back;
        struct error err = {0};
        if (s.model.vocab_size == 0) {
            ck_assert_int_eq(train_settings_check(&s, &err), STATUS_CONFIG);
            s.model.vocab_size = 65;
        }
        s.epochs = 1.0 / 3;
        const bool odd = strlen(*name) % 2;
        s.keep_every = 12;
        s.save_every = odd ? 7 : 0;
        s.save_seconds = odd ? 0 : 600;
        s.save_mode = odd ? SAVE_BLOCKING : SAVE_OVERLAPPED;
        ck_assert_msg(train_settings_check(&s, &err) == STATUS_OK, "%s", err.text);
        struct buffer text = {0};
        json_t *object = train_settings_json(&s);
        ck_assert_int_eq(json_write(object, true, &text, &err), STATUS_OK);
        json_t *again = json_loads(text.data, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(train_settings_from_json(&back, again, "here", &err) == STATUS_OK, "%s", err.text);
        char difference[128];
        ck_assert(!train_settings_differ(&s, &back, difference, sizeof difference));
        ck_assert_uint_eq(train_settings_hash(&s, 1, 2), train_settings_hash(&back, 1, 2));
        ck_assert_str_eq(s.preset, back.preset);
        ck_assert(s.epochs == back.epochs && s.keep == back.keep && s.eval_every == back.eval_every);
        ck_assert(s.eval_batches == back.eval_batches && s.save_every == back.save_every);
        ck_assert(s.save_seconds == back.save_seconds && s.keep_every == back.keep_every && s.save_mode == back.save_mode);
        ck_assert(s.model.bos_token_id == back.model.bos_token_id && s.model.num_eos == back.model.num_eos &&
                  (s.model.num_eos == 0 || s.model.eos_token_ids[0] == back.model.eos_token_ids[0]));
        json_decref(object);
        json_decref(again);
        buffer_release(&text);
    }
}
END_TEST

START_TEST(the_hash_sees_what_reaches_the_weights_and_nothing_else)
{
    struct train_settings a = preset("gpt2"), b = a;
    uint32_t hash = train_settings_hash(&a, 1, 2);
    char text[128];
    ck_assert(!train_settings_differ(&a, &b, text, sizeof text));
    b.eval_every = b.save_every = b.sample_every = b.eval_batches = 77;
    b.keep = 9;
    b.keep_every = 3;
    b.save_seconds = 60;
    b.save_mode = SAVE_BLOCKING;
    b.epochs = 3;
    strcpy(b.preset, "mine");
    ck_assert(!train_settings_differ(&a, &b, text, sizeof text));
    ck_assert_uint_eq(train_settings_hash(&b, 1, 2), hash);
    ck_assert_uint_ne(train_settings_hash(&a, 2, 2), hash);
    ck_assert_uint_ne(train_settings_hash(&a, 1, 3), hash);
#define SEEN(change, key)                                                                                              \
    do {                                                                                                               \
        b = a;                                                                                                         \
        change;                                                                                                        \
        ck_assert(train_settings_differ(&a, &b, text, sizeof text));                                                   \
        ck_assert_msg(strncmp(text, key ":", sizeof key) == 0, "%s", text);                                            \
        ck_assert_uint_ne(train_settings_hash(&b, 1, 2), hash);                                                        \
    } while (0)
    SEEN(b.model.vocab_size++, "vocab_size");
    SEEN(b.model.n_head = 6, "n_head");
    SEEN(b.model.resid_pdrop = 0.1f, "resid_pdrop");
    SEEN(b.model.family = MODEL_LLAMA, "model_type");
    SEEN(b.micro_batch = 8, "micro_batch");
    SEEN(b.seed++, "seed");
    SEEN(b.steps++, "steps");
    SEEN(b.val_fraction = 0.06, "val_fraction");
    SEEN(b.schedule.kind = SCHEDULE_WSD, "schedule");
    SEEN(b.schedule.lr = 3e-4, "lr");
    SEEN(b.schedule.warmup_steps--, "warmup_steps");
    SEEN(b.beta2 = 0.99, "beta2");
    SEEN(b.grad_clip = 0, "grad_clip");
    SEEN(b.optimizer = OPTIMIZER_LION, "optimizer");
    b = a;
    b.muon_lr = 0.01; /* reaches nothing but Muon */
    ck_assert_uint_eq(train_settings_hash(&b, 1, 2), hash);
    a.optimizer = OPTIMIZER_MUON;
    hash = train_settings_hash(&a, 1, 2);
    SEEN(b.muon_lr = 0.01, "muon_lr");
    SEEN(b.muon_momentum = 0.9, "muon_momentum");
    /* what is done about spikes, where it reaches the weights */
    a = b = preset("gpt2");
    hash = train_settings_hash(&a, 1, 2);
    b.spikes.policy = SPIKE_STOP;
    b.spikes.factor = 2;
    ck_assert_uint_eq(train_settings_hash(&b, 1, 2), hash);
    ck_assert(!train_settings_differ(&a, &b, text, sizeof text));
    a.spikes.policy = SPIKE_SKIP;
    ck_assert_uint_ne(train_settings_hash(&a, 1, 2), hash);
    hash = train_settings_hash(&a, 1, 2);
    SEEN(b.spikes.policy = SPIKE_ROLLBACK, "on_spike");
    SEEN(b.spikes.policy = SPIKE_STOP, "on_spike");
    SEEN(b.spikes.factor = 7, "spike_factor");
    SEEN(b.spikes.window = 65, "spike_window");
    b = a;
    b.spikes.margin = 9;
    b.spikes.limit = 2;
    ck_assert_uint_eq(train_settings_hash(&b, 1, 2), hash);
    a.spikes.policy = SPIKE_ROLLBACK;
    hash = train_settings_hash(&a, 1, 2);
    SEEN(b.spikes.margin = 9, "spike_margin");
    /* what only the other families have */
    a = preset("llama-char-cpu");
    hash = train_settings_hash(&a, 1, 2);
    SEEN(b.model.n_kv_head = 1, "n_kv_head");
    SEEN(b.model.rope_theta = 5e5f, "rope_theta");
    SEEN(b.model.tied = false, "tie_word_embeddings");
    SEEN(b.model.layer_kind[3] = LAYER_NO_ROPE, "layer_types");
    SEEN(b.model.rope = ROPE_LINEAR, "rope_type");
    a = b = preset("gpt2");
    b.schedule.lr = 3e-4;
    train_settings_differ(&a, &b, text, sizeof text);
    ck_assert_str_eq(text, "lr: 0.0006, 0.0003");
}
END_TEST

START_TEST(what_is_done_about_spikes_is_recorded)
{
    struct error err = {0};
    for (int policy = 0; policy < SPIKE_POLICIES; policy++) {
        struct train_settings s = preset("gpt2"), back;
        s.spikes = (struct spike_settings){(enum spike_policy)policy, 2.5, 33, 4, 5};
        json_t *object = train_settings_json(&s);
        ck_assert_str_eq(json_string_value(json_object_get(object, "on_spike")), spike_policy_names[policy]);
        ck_assert((json_object_get(object, "spike_factor") != NULL) == (policy != SPIKE_IGNORE));
        ck_assert_msg(train_settings_from_json(&back, object, "run.json", &err) == STATUS_OK, "%s", err.text);
        ck_assert(back.spikes.policy == s.spikes.policy);
        ck_assert_uint_eq(train_settings_hash(&s, 1, 2), train_settings_hash(&back, 1, 2));
        if (policy != SPIKE_IGNORE) {
            ck_assert(back.spikes.factor == 2.5 && back.spikes.window == 33);
            ck_assert(back.spikes.margin == 4 && back.spikes.limit == 5);
            json_object_set_new(object, "spike_window", json_integer(1));
            ck_assert_int_eq(train_settings_from_json(&back, object, "run.json", &err), STATUS_CONFIG);
            ck_assert_msg(strstr(err.text, "spike_window is 1") != NULL, "%s", err.text);
        }
        json_decref(object);
    }
}
END_TEST

/* A record of before there were others says nothing of an optimizer; Muon's alone says what it has beside. */
START_TEST(the_optimizer_is_recorded)
{
    struct error err = {0};
    for (int kind = 0; kind < OPTIMIZERS; kind++) {
        struct train_settings s = preset("gpt2"), back;
        optimizer_adapt(&s, (enum optimizer_kind)kind);
        s.muon_lr = 0.02;
        json_t *object = train_settings_json(&s);
        ck_assert_str_eq(json_string_value(json_object_get(object, "optimizer")), optimizer_names[kind]);
        ck_assert((json_object_get(object, "muon_lr") != NULL) == (kind == OPTIMIZER_MUON));
        ck_assert_msg(train_settings_from_json(&back, object, "run.json", &err) == STATUS_OK, "%s", err.text);
        ck_assert(back.optimizer == s.optimizer && back.muon_momentum == 0.95);
        ck_assert(back.muon_lr == (kind == OPTIMIZER_MUON ? 0.02 : 0));
        ck_assert(back.schedule.lr == (kind == OPTIMIZER_LION ? 6e-4 / 5 : 6e-4));
        ck_assert_uint_eq(train_settings_hash(&s, 1, 2), train_settings_hash(&back, 1, 2));
        json_object_set_new(object, "optimizer", json_string("sgd"));
        ck_assert_int_eq(train_settings_from_json(&back, object, "run.json", &err), STATUS_CONFIG);
        ck_assert_msg(strstr(err.text, "run.json") && strstr(err.text, "sgd"), "%s", err.text);
        json_object_del(object, "optimizer");
        ck_assert_int_eq(train_settings_from_json(&back, object, "run.json", &err), STATUS_OK);
        ck_assert_int_eq((int)back.optimizer, OPTIMIZER_ADAMW);
        json_decref(object);
    }
}
END_TEST

START_TEST(what_is_wrong_is_named)
{
    struct train_settings good = preset("gpt2"), s;
    struct error err;
#define REFUSED(change, word)                                                                                          \
    do {                                                                                                               \
        s = good;                                                                                                      \
        change;                                                                                                        \
        err = (struct error){0};                                                                                       \
        ck_assert_int_eq(train_settings_check(&s, &err), STATUS_CONFIG);                                               \
        ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);                                                 \
    } while (0)
    REFUSED(s.model.n_head = 7, "head");
    REFUSED(s.seq_len = 1025, "seq_len");
    REFUSED(s.seq_len = 0, "seq_len");
    REFUSED(s.batch_size = 0, "batch_size");
    REFUSED(s.micro_batch = 0, "micro_batch");
    REFUSED(s.micro_batch = 7, "micro_batch");
    REFUSED(s.micro_batch = 960, "micro_batch");
    REFUSED(s.val_fraction = 0.6, "val_fraction");
    REFUSED(s.val_fraction = 0.0 / 0.0, "val_fraction");
    REFUSED(s.steps = 0, "steps");
    REFUSED(s.steps = UINT64_MAX, "steps");
    REFUSED(s.schedule.lr = -1, "lr");
    REFUSED(s.schedule.lr = 0.0 / 0.0, "lr");
    REFUSED(s.schedule.min_lr = 1, "min_lr");
    REFUSED(s.beta1 = 1, "beta1");
    REFUSED(s.beta2 = -0.1, "beta2");
    REFUSED(s.eps = 0, "eps");
    REFUSED(s.weight_decay = -1, "weight_decay");
    REFUSED(s.grad_clip = -1, "grad_clip");
    REFUSED(s.keep = 1, "keep");
    REFUSED(s.save_every = s.save_seconds = 1, "save_seconds");
    REFUSED(s.save_seconds = INT64_MAX, "save_seconds");
    REFUSED(s.save_mode = (enum save_mode)2, "save_mode");
    REFUSED(s.optimizer = OPTIMIZERS, "optimizer");
    REFUSED(s.muon_lr = -1, "muon_lr");
    REFUSED(s.muon_momentum = 1, "muon_momentum");
    REFUSED(s.spikes.factor = NAN, "spike_factor");
    REFUSED(s.spikes.window = 1025, "spike_window");
    REFUSED(s.spikes.limit = 0, "spike_limit");
    REFUSED(s.seed = UINT64_MAX, "seed");
    REFUSED((s.model.n_embd = 1 << 30, s.model.n_head = s.model.n_kv_head = 1, s.model.head_dim = 1 << 29, s.model.n_embd = 1 << 29, s.model.n_inner = 1 << 30), "beyond");
}
END_TEST

START_TEST(json_that_is_wrong_is_refused)
{
    static const char *const wrong[] = {"[]", "{}", "{\"model\": {}}", "{\"model\": {\"model_type\": \"bert\"}}",
                                        "{\"model\": {\"model_type\": \"gpt2\"}}"};
    struct train_settings s;
    struct error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *object = json_loads(wrong[i], 0, NULL);
        err = (struct error){0};
        ck_assert_int_ne(train_settings_from_json(&s, object, "run.json", &err), STATUS_OK);
        ck_assert_msg(strstr(err.text, "run.json") != NULL, "%s", err.text);
        json_decref(object);
    }
    struct train_settings good = preset("gpt2");
    static const char *const keys[] = {"steps", "lr", "schedule", "micro_batch", "beta1"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *object = train_settings_json(&good);
        json_object_set_new(object, keys[i], json_integer(-3));
        ck_assert_int_ne(train_settings_from_json(&s, object, "run.json", &err), STATUS_OK);
        ck_assert_msg(strstr(err.text, keys[i]) != NULL, "%s", err.text);
        json_decref(object);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("settings");
    TCase *tc = tcase_create("settings");
    tcase_add_test(tc, presets_are_what_their_names_promise);
    tcase_add_test(tc, an_unknown_preset_is_told_the_names);
    tcase_add_test(tc, every_preset_checks_and_survives_json);
    tcase_add_test(tc, the_hash_sees_what_reaches_the_weights_and_nothing_else);
    tcase_add_test(tc, the_optimizer_is_recorded);
    tcase_add_test(tc, what_is_done_about_spikes_is_recorded);
    tcase_add_test(tc, what_is_wrong_is_named);
    tcase_add_test(tc, json_that_is_wrong_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
