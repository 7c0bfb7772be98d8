/* SPDX-License-Identifier: MIT */
#include "train/fixture.h"

#include "base/memory.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "train/training_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { HASH = 0x1234abcd };

static struct fixture fixture;
static struct train_settings settings;
static struct fixture_run run;
static char run_path[300];

static void setup(void)
{
    fixture_open(&fixture);
    settings = fixture_settings(3, 1, 30, 0);
    run = fixture_start(&fixture, &settings, 2, TEAM_PTHREAD);
    snprintf(run_path, sizeof run_path, "%s/run", fixture.dir);
    struct error err = {0};
    OK_OR_SAY(file_make_directory(run_path, &err), err);
}

static void teardown(void)
{
    fixture_stop(&run);
    fixture_close(&fixture);
}

static const char *inside(const char *format, int step, const char *name)
{
    static char path[600], tail[200];
    snprintf(tail, sizeof tail, format, step, name);
    snprintf(path, sizeof path, "%s/checkpoints/%s", run_path, tail);
    return path;
}

static const char *file_of(int step, const char *name)
{
    return inside("step-%08d/%s", step, name);
}

static void save(void)
{
    struct error err = {0};
    OK_OR_SAY(checkpoint_save(run.training, run_path, HASH, NULL, 0, NULL, &err), err);
}

/* A training of the same settings with other weights, and what loading made of it. */
static enum status load(struct training **out, struct buffer *warning, struct error *err)
{
    *out = training_create(&settings, err);
    MADE_OR_SAY(*out, *err);
    return checkpoint_load_latest(*out, run_path, HASH, warning, err);
}

static int entries(void)
{
    DIR *dir = opendir(inside("", 0, ""));
    ck_assert_ptr_nonnull(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void flip_byte(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(c ^ 0x10, file);
    fclose(file);
}

START_TEST(what_is_loaded_is_what_was_saved)
{
    save(); /* step 0 is a checkpoint too */
    fixture_steps(&run, 4);
    struct checkpoint_extra extras[] = {{"tokenizer.json", "{}\n", 3}, {"tokenizer_config.json", "{ }\n", 4}};
    struct buffer path = {0}, found = {0};
    struct error err = {0};
    OK_OR_SAY(checkpoint_save(run.training, run_path, HASH, extras, 2, &path, &err), err);
    OK_OR_SAY(checkpoint_find_latest(run_path, &found, NULL, &err), err);
    ck_assert_str_eq(path.data, found.data);
    static const char *const names[] = {"config.json",        "generation_config.json", "model.safetensors",
                                        "tokenizer.json",     "tokenizer_config.json",  "training_state.safetensors",
                                        "trainer_state.json", "manifest.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(file_exists(file_of(4, names[i])), "%s is missing", names[i]);
    char target[64] = "";
    ck_assert_int_gt(readlink(inside("latest", 0, ""), target, sizeof target - 1), 0);
    ck_assert_str_eq(target, "step-00000004");

    struct training *loaded;
    OK_OR_SAY(load(&loaded, NULL, &err), err);
    ck_assert(training_state_hash(loaded) == training_state_hash(run.training));
    ck_assert_uint_eq(training_step(loaded), 4);
    ck_assert_uint_eq(training_tokens(loaded), 4 * 3 * 16);
    ck_assert(training_last_loss(loaded) == training_last_loss(run.training));
    ck_assert(training_last_grad_norm(loaded) == training_last_grad_norm(run.training));
    ck_assert(training_last_lr(loaded) == training_last_lr(run.training));
    training_free(loaded);
    buffer_release(&path);
    buffer_release(&found);
}
END_TEST

START_TEST(the_newest_stay)
{
    for (int step = 0; step < 5; step++) {
        save();
        fixture_steps(&run, 1);
    }
    ck_assert(!file_exists(file_of(2, "")) && file_exists(file_of(3, "")) && file_exists(file_of(4, "")));
    ck_assert_int_eq(entries(), 3); /* two and `latest` */
}
END_TEST

START_TEST(saving_the_same_step_again_is_fine)
{
    fixture_steps(&run, 1);
    save();
    save();
    ck_assert_int_eq(entries(), 2);
    flip_byte(file_of(1, "model.safetensors"), -1);
    save(); /* replaces the damaged one */
    struct training *loaded;
    struct error err = {0};
    OK_OR_SAY(load(&loaded, NULL, &err), err);
    training_free(loaded);
}
END_TEST

/* Damage of every kind to every file: named, and the one before is used. */
START_TEST(a_damaged_one_is_named_and_the_one_before_used)
{
    static const char *const names[] = {"config.json", "model.safetensors", "training_state.safetensors",
                                        "trainer_state.json", "manifest.json"};
    const char *name = names[_i % 5];
    fixture_steps(&run, 1);
    save();
    uint64_t hash = training_state_hash(run.training);
    fixture_steps(&run, 1);
    save();
    const char *path = file_of(2, name);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    switch (_i / 5) {
    case 0:
        flip_byte(path, st.st_size / 2);
        break;
    case 1:
        ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
        break;
    case 2:
        ck_assert_int_eq(truncate(path, 0), 0);
        break;
    case 3:
        ck_assert_int_eq(unlink(path), 0);
        break;
    }
    struct training *loaded;
    struct buffer warning = {0};
    struct error err = {0};
    OK_OR_SAY(load(&loaded, &warning, &err), err);
    ck_assert(training_state_hash(loaded) == hash);
    ck_assert_uint_eq(training_step(loaded), 1);
    ck_assert_msg(strstr(warning.data, "step-00000002") && strstr(warning.data, _i == 4 ? "step" : name) &&
                      strchr(warning.data, '\n') == warning.data + warning.len - 1,
                  "%s", warning.data);
    training_free(loaded);
    buffer_release(&warning);
}
END_TEST

START_TEST(when_none_is_whole_that_is_said)
{
    struct training *loaded;
    struct error err = {0};
    ck_assert_int_eq(load(&loaded, NULL, &err), STATUS_IO);
    training_free(loaded);
    save();
    flip_byte(file_of(0, "model.safetensors"), -1);
    ck_assert_int_ne(load(&loaded, NULL, &err), STATUS_OK);
    ck_assert_msg(strstr(err.text, "model.safetensors") && strstr(err.text, "none"), "%s", err.text);
    training_free(loaded);
}
END_TEST

START_TEST(other_settings_are_refused_not_passed_over)
{
    save();
    fixture_steps(&run, 1);
    struct error err = {0};
    OK_OR_SAY(checkpoint_save(run.training, run_path, HASH + 1, NULL, 0, NULL, &err), err);
    struct training *loaded;
    ck_assert_int_eq(load(&loaded, NULL, &err), STATUS_CONFIG);
    ck_assert_msg(strstr(err.text, "step-00000001"), "%s", err.text);
    training_free(loaded);
}
END_TEST

/* A manifest may not lead out of its directory. */
START_TEST(names_in_a_manifest_are_plain)
{
    save();
    static const char *const names[] = {"../run.json", "/etc/passwd", "", ".hidden", "a/b"};
    struct error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *manifest = json_read_file(file_of(0, "manifest.json"), 1 << 20, &err);
        MADE_OR_SAY(manifest, err);
        json_t *files = json_object_get(manifest, "files");
        json_array_append_new(files,
                              json_pack("{s:s, s:i, s:s}", "name", names[i], "size_bytes", 1, "crc32", "00000000"));
        struct buffer text = {0};
        OK_OR_SAY(json_write(manifest, true, &text, &err), err);
        char saved[600];
        snprintf(saved, sizeof saved, "%s", file_of(0, "manifest.json"));
        struct buffer original = {0};
        OK_OR_SAY(file_read(saved, 1 << 20, &original, &err), err);
        OK_OR_SAY(file_replace(saved, text.data, text.len, &err), err);
        ck_assert_int_ne(checkpoint_find_latest(run_path, NULL, NULL, &err), STATUS_OK);
        ck_assert_msg(strstr(err.text, "plain"), "%s", err.text);
        OK_OR_SAY(file_replace(saved, original.data, original.len, &err), err);
        json_decref(manifest);
        buffer_release(&text);
        buffer_release(&original);
    }
    OK_OR_SAY(checkpoint_find_latest(run_path, NULL, NULL, &err), err);
    struct checkpoint_extra extra = {"../x", "", 0};
    ck_assert_int_eq(checkpoint_save(run.training, run_path, HASH, &extra, 1, NULL, &err), STATUS_MISUSE);
}
END_TEST

START_TEST(a_full_disk_is_seen_before_anything_is_written)
{
    save();
    fixture_steps(&run, 1);
    run.training->memory.checkpoint_bytes = UINT64_MAX / 2;
    struct error err = {0};
    ck_assert_int_eq(checkpoint_save(run.training, run_path, HASH, NULL, 0, NULL, &err), STATUS_IO);
    ck_assert_msg(strstr(err.text, "needs") && strstr(err.text, "free"), "%s", err.text);
    ck_assert_int_eq(entries(), 2);
}
END_TEST

/* A write fails in the middle, as on a disk that fills up meanwhile. */
START_TEST(a_failed_write_leaves_nothing_behind)
{
    static const rlim_t limits[] = {0, 100, 700, 20000, 66000, 100000};
    save();
    uint64_t hash = training_state_hash(run.training);
    fixture_steps(&run, 1);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    getrlimit(RLIMIT_FSIZE, &before);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit = {limits[i], before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
        struct error err = {0};
        enum status st = checkpoint_save(run.training, run_path, HASH, NULL, 0, NULL, &err);
        setrlimit(RLIMIT_FSIZE, &before);
        ck_assert_msg(st == STATUS_IO, "limit %d: %s", (int)limits[i], err.text);
        ck_assert_int_eq(entries(), 2);
    }
    struct training *loaded;
    struct error err = {0};
    OK_OR_SAY(load(&loaded, NULL, &err), err);
    ck_assert(training_state_hash(loaded) == hash);
    training_free(loaded);
    save();
}
END_TEST

/* The n-th request for memory fails, for every n until none does. */
START_TEST(no_memory_anywhere_is_an_error_and_nothing_else)
{
    save();
    fixture_steps(&run, 1);
    struct error err = {0};
    enum status st = STATUS_NOMEM;
    for (int n = 0; st != STATUS_OK; n++) {
        ck_assert_int_lt(n, 2000);
        err = (struct error){0};
        mem_fail_at(n);
        st = checkpoint_save(run.training, run_path, HASH, NULL, 0, NULL, &err);
        mem_fail_at(-1);
        ck_assert(st == STATUS_OK || *err.text);
    }
    uint64_t hash = training_state_hash(run.training);
    st = STATUS_NOMEM;
    for (int n = 0; st != STATUS_OK; n++) {
        ck_assert_int_lt(n, 2000);
        struct training *loaded = training_create(&settings, &err);
        MADE_OR_SAY(loaded, err);
        err = (struct error){0};
        mem_fail_at(n);
        st = checkpoint_load_latest(loaded, run_path, HASH, NULL, &err);
        mem_fail_at(-1);
        ck_assert(st == STATUS_OK || *err.text);
        if (st == STATUS_OK && training_step(loaded) == 1)
            ck_assert(training_state_hash(loaded) == hash);
        else
            st = STATUS_NOMEM;
        training_free(loaded);
    }
}
END_TEST

START_TEST(what_dead_processes_left_goes)
{
    save();
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    usleep(1000);
    struct error err = {0};
    char dead[600], alive[600];
    /* Not yet waited for, it still counts as alive. */
    snprintf(dead, sizeof dead, "%s", inside("step-%08d.tmp-%s", 7, "999999999"));
    snprintf(alive, sizeof alive, "%s/checkpoints/step-00000008.tmp-%d", run_path, (int)child);
    OK_OR_SAY(file_make_directory(dead, &err), err);
    OK_OR_SAY(file_make_directory(alive, &err), err);
    fixture_steps(&run, 1);
    save();
    ck_assert(!file_exists(dead));
    ck_assert(file_exists(alive));
    /* Neither is taken for a checkpoint. */
    struct buffer path = {0};
    OK_OR_SAY(checkpoint_find_latest(run_path, &path, NULL, &err), err);
    ck_assert_ptr_nonnull(strstr(path.data, "step-00000001"));
    buffer_release(&path);
    waitpid(child, NULL, 0);
}
END_TEST

/* Damaged later ones do not push out what a resume stands on. */
START_TEST(pruning_counts_from_the_present_step)
{
    fixture_steps(&run, 2);
    save();
    fixture_steps(&run, 3);
    save(); /* 2 and 5 */
    flip_byte(file_of(5, "model.safetensors"), -1);
    struct error err = {0};
    OK_OR_SAY(checkpoint_load_latest(run.training, run_path, HASH, NULL, &err), err);
    ck_assert_uint_eq(training_step(run.training), 2);
    fixture_steps(&run, 1);
    save(); /* 3 */
    ck_assert(file_exists(file_of(2, "")) && file_exists(file_of(3, "")));
    fixture_steps(&run, 1);
    save(); /* 4: now 2 goes */
    ck_assert(!file_exists(file_of(2, "")) && file_exists(file_of(3, "")) && file_exists(file_of(4, "")));
    fixture_steps(&run, 1);
    save(); /* 5: written again */
    struct training *loaded;
    OK_OR_SAY(load(&loaded, NULL, &err), err);
    ck_assert_uint_eq(training_step(loaded), 5);
    training_free(loaded);
}
END_TEST

START_TEST(moments_are_named_as_the_parameters)
{
    fixture_steps(&run, 1);
    save();
    struct error err = {0};
    struct safetensors *file = safetensors_open(file_of(1, "training_state.safetensors"), &err);
    MADE_OR_SAY(file, err);
    size_t n;
    model_params(training_model(run.training), &n);
    ck_assert_uint_eq(safetensors_count(file), 2 * n);
    ck_assert_ptr_nonnull(safetensors_find(file, "exp_avg.h.1.mlp.c_fc.weight"));
    ck_assert_ptr_nonnull(safetensors_find(file, "exp_avg_sq.wte.weight"));
    safetensors_close(file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tc = tcase_create("checkpoint");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, what_is_loaded_is_what_was_saved);
    tcase_add_test(tc, the_newest_stay);
    tcase_add_test(tc, saving_the_same_step_again_is_fine);
    tcase_add_loop_test(tc, a_damaged_one_is_named_and_the_one_before_used, 0, 20);
    tcase_add_test(tc, when_none_is_whole_that_is_said);
    tcase_add_test(tc, other_settings_are_refused_not_passed_over);
    tcase_add_test(tc, names_in_a_manifest_are_plain);
    tcase_add_test(tc, a_full_disk_is_seen_before_anything_is_written);
    tcase_add_test(tc, a_failed_write_leaves_nothing_behind);
    tcase_add_test(tc, no_memory_anywhere_is_an_error_and_nothing_else);
    tcase_add_test(tc, what_dead_processes_left_goes);
    tcase_add_test(tc, pruning_counts_from_the_present_step);
    tcase_add_test(tc, moments_are_named_as_the_parameters);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
