/* SPDX-License-Identifier: MIT
 * Training with packing: the loss is the mean over the targets of the whole step that count, whatever the micro-batch;
 * the bits are those of any number of spheres; a step allocates nothing.
 */
#include "base/memory.h"
#include "model/decoder.h"
#include "train/fixture.h"

#include <math.h>

static struct fixture fixture;

static void setup(void)
{
    fixture_open(&fixture);
}

static void teardown(void)
{
    fixture_close(&fixture);
}

static struct train_settings packed_settings(size_t leaves, size_t micro, uint64_t steps, float dropout)
{
    struct train_settings s = fixture_settings(leaves, micro, steps, dropout);
    s.packing = PACKING_DOCUMENTS;
    s.documents_crc32 = documents_crc32(fixture.documents);
    return s;
}

struct trace {
    uint64_t hash;
    double loss, grad_norm, val_loss;
};

static struct trace train(const struct train_settings *s, int spheres)
{
    struct fixture_run r = fixture_start(&fixture, s, spheres, spheres == 1 ? TEAM_SERIAL : TEAM_PTHREAD);
    fixture_steps(&r, s->steps);
    struct trace t = {training_state_hash(r.training), training_last_loss(r.training),
                      training_last_grad_norm(r.training), NAN};
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &t.val_loss), STATUS_OK);
    ck_assert(isfinite(t.val_loss));
    fixture_stop(&r);
    return t;
}

START_TEST(same_bits_for_any_number_of_spheres)
{
    struct train_settings s = packed_settings(_i ? 3 : 1, _i ? 2 : 5, 5, 0.1f);
    s.dtype = _i == 2 ? DTYPE_BF16 : DTYPE_F32;
    const struct trace serial = train(&s, 1);
    static const int counts[] = {2, 3, 7, 13};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const struct trace t = train(&s, counts[i]);
        ck_assert_msg(memcmp(&t, &serial, sizeof t) == 0, "%d spheres: loss %.17g, not %.17g", counts[i], t.loss,
                      serial.loss);
    }
    s.recompute = 1; /* a layer whose activations are made again */
    const struct trace again = train(&s, 2);
    ck_assert(memcmp(&again, &serial, sizeof again) == 0);
    s.packing = PACKING_NONE;
    const struct trace plain = train(&s, 1);
    ck_assert(plain.hash != serial.hash && plain.val_loss != serial.val_loss);
}
END_TEST

/* Leaves have different numbers of targets that count; the mean is over the step. */
START_TEST(the_mean_is_over_the_whole_step)
{
    struct train_settings s = packed_settings(1, 12, 1, 0);
    const struct trace whole = train(&s, 2);
    static const size_t micro[] = {1, 3, 4};
    for (size_t i = 0; i < sizeof micro / sizeof *micro; i++) {
        s.micro_batch = micro[i];
        const struct trace t = train(&s, 2);
        ck_assert_msg(!!(fabs(t.loss - whole.loss) <= 1e-12 * whole.loss), "micro-batch %zu: %.17g, not %.17g",
                      micro[i], t.loss, whole.loss);
        ck_assert_msg(!!(fabs(t.grad_norm - whole.grad_norm) <= 1e-5 * whole.grad_norm),
                      "micro-batch %zu: %.9g, not %.9g", micro[i], t.grad_norm, whole.grad_norm);
        ck_assert_msg(!!(fabs(t.val_loss - whole.val_loss) <= 1e-5 * whole.val_loss), "micro-batch %zu: %.9g, not %.9g",
                      micro[i], t.val_loss, whole.val_loss);
    }
}
END_TEST

struct eval {
    struct decoder *decoder;
    struct leaf leaf;
    double loss;
};

static void eval_team(struct sphere *me, void *arg)
{
    struct eval *e = arg;
    decoder_pack(me, e->decoder);
    decoder_eval_leaf(me, e->decoder, &e->leaf, &e->loss);
}

/* Loss of the first step and of validation, added up window by window with nothing of train/. */
START_TEST(the_loss_counts_what_it_says)
{
    struct train_settings s = packed_settings(2, 7, 1, 0);
    struct error err = {0};
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct decoder *d = decoder_new(training_model(r.training), DECODER_EVAL, DTYPE_F32, 1, s.seq_len, &err);
    struct team *team =
        team_new(&(struct team_options){.num_spheres = 1, .backend = TEAM_SERIAL, .scratch_bytes = 1 << 20}, &err);
    struct batch_iterator *it = batch_iterator_create(fixture.tokens, batch_iterator_options(r.iterator), &err);
    ck_assert_msg(d && team && it, "%s", err.text);
    struct batch batch;
    ck_assert_int_eq(batch_iterator_next(it, &batch, &err), STATUS_OK);
    double sum = 0, val = 0;
    size_t count = 0, val_count = 0;
    for (size_t b = 0; b < s.batch_size; b++) {
        const size_t at = b * s.seq_len;
        struct eval e = {d,
                         {.inputs = batch.inputs + at,
                          .targets = batch.targets + at,
                          .first = batch.first + at,
                          .supervised = batch.supervised + at},
                         0};
        team_run(team, 1, eval_team, &e);
        sum += e.loss;
        for (size_t t = 0; t < s.seq_len; t++)
            count += batch.supervised[at + t];
    }
    ck_assert(count == batch.num_supervised && count < s.batch_size * s.seq_len);
    int32_t inputs[16], targets[16], first[16];
    bool supervised[16];
    ck_assert_uint_ne(batch_iterator_val_windows(it) % s.micro_batch, 0); /* the last leaf is filled up */
    for (uint64_t w = 0; w < batch_iterator_val_windows(it); w++) {
        batch_iterator_val_window(it, w, &(struct window){inputs, targets, first, supervised});
        struct eval e = {d, {.inputs = inputs, .targets = targets, .first = first, .supervised = supervised}, 0};
        team_run(team, 1, eval_team, &e);
        val += e.loss;
        for (size_t t = 0; t < s.seq_len; t++)
            val_count += supervised[t];
    }
    double got;
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &got), STATUS_OK);
    ck_assert_msg(!!(fabs(got - val / (double)val_count) <= 1e-12 * got), "validation %.17g, not %.17g", got,
                  val / (double)val_count);
    const uint64_t before = mem_request_count();
    fixture_steps(&r, 1);
    ck_assert_uint_eq(mem_request_count(), before);
    got = training_last_loss(r.training);
    ck_assert_msg(!!(fabs(got - sum / (double)count) <= 1e-12 * got), "loss %.17g, not %.17g", got,
                  sum / (double)count);
    batch_iterator_free(it);
    team_free(team);
    decoder_free(d);
    fixture_stop(&r);
}
END_TEST

/* One token in each document: nothing to learn from, and nothing breaks. */
START_TEST(nothing_counts)
{
    static const uint64_t starts[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    static const int32_t ids[] = {5, 6, 7, 8, 9, 10, 11, 12};
    struct error err = {0};
    const char *path = fixture_path(&fixture, "single.bin");
    struct token_writer *writer = token_writer_open(path, 2, &err);
    OK_OR_SAY(token_writer_append(writer, ids, 8, &err), err);
    OK_OR_SAY(token_writer_commit(writer, &err), err);
    struct fixture single = fixture;
    path = fixture_path(&fixture, "single.bin");
    single.tokens = tokens_open(&path, 1, &err);
    MADE_OR_SAY(single.tokens, err);
    OK_OR_SAY(file_replace(fixture_path(&fixture, "single.idx"), starts, sizeof starts, &err), err);
    single.documents = documents_open(single.tokens, (struct document_marks){-1, -1}, &err);
    MADE_OR_SAY(single.documents, err);
    struct train_settings s = packed_settings(2, 1, 1, 0);
    s.val_fraction = 0;
    s.seq_len = 4;
    struct fixture_run r = fixture_start(&single, &s, 2, TEAM_PTHREAD);
    fixture_steps(&r, 1);
    ck_assert(training_last_loss(r.training) == 0 && training_last_grad_norm(r.training) == 0);
    fixture_stop(&r);
    documents_close(single.documents);
    tokens_close(single.tokens);
}
END_TEST

START_TEST(the_iterator_packs_as_the_training_does)
{
    struct train_settings s = packed_settings(1, 2, 1, 0);
    struct error err = {0};
    struct training *training = training_create(&s, &err);
    MADE_OR_SAY(training, err);
    const struct batch_options plain = {.seq_len = s.seq_len, .batch_size = s.batch_size, .seed = s.seed};
    struct batch_iterator *it = batch_iterator_create(fixture.tokens, &plain, &err);
    MADE_OR_SAY(it, err);
    ck_assert_ptr_null(threaded_training_create(training, it, 1));
    ck_assert_msg(strstr(threaded_training_create_error(), "packs none, the training wants documents") != NULL, "%s",
                  threaded_training_create_error());
    batch_iterator_free(it);
    training_free(training);
}
END_TEST

START_TEST(the_hash_knows_packing)
{
    struct train_settings s = fixture_settings(1, 2, 1, 0), packed = packed_settings(1, 2, 1, 0), back;
    struct error err = {0};
    char text[128];
    ck_assert_uint_ne(train_settings_hash(&s, 1, 2), train_settings_hash(&packed, 1, 2));
    const uint32_t hash = train_settings_hash(&s, 1, 2);
    s.documents_crc32 = 77; /* of no meaning without packing */
    ck_assert_uint_eq(train_settings_hash(&s, 1, 2), hash);
    s.documents_crc32 = 0;
    json_t *object = train_settings_json(&packed);
    OK_OR_SAY(train_settings_from_json(&back, object, "test", &err), err);
    ck_assert(back.packing == PACKING_DOCUMENTS && back.documents_crc32 == packed.documents_crc32);
    ck_assert_uint_eq(train_settings_hash(&back, 1, 2), train_settings_hash(&packed, 1, 2));
    back.documents_crc32 ^= 1;
    ck_assert_uint_ne(train_settings_hash(&back, 1, 2), train_settings_hash(&packed, 1, 2));
    ck_assert(train_settings_differ(&packed, &back, text, sizeof text) && strstr(text, "documents_crc32"));
    ck_assert(train_settings_differ(&packed, &s, text, sizeof text));
    ck_assert_str_eq(text, "packing: documents, none");
    json_decref(object);
    object = train_settings_json(&s);
    ck_assert_ptr_null(json_object_get(object, "documents_crc32"));
    json_object_del(object, "packing"); /* a run of before does not say */
    OK_OR_SAY(train_settings_from_json(&back, object, "test", &err), err);
    ck_assert_uint_eq(train_settings_hash(&back, 1, 2), hash);
    json_object_set_new(object, "packing", json_string("tight"));
    ck_assert_int_eq(train_settings_from_json(&back, object, "test", &err), STATUS_CONFIG);
    json_decref(object);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("packed_training");
    TCase *t = tcase_create("packed_training");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, same_bits_for_any_number_of_spheres, 0, 3);
    tcase_add_test(t, the_mean_is_over_the_whole_step);
    tcase_add_test(t, the_loss_counts_what_it_says);
    tcase_add_test(t, nothing_counts);
    tcase_add_test(t, the_iterator_packs_as_the_training_does);
    tcase_add_test(t, the_hash_knows_packing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
