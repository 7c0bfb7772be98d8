/* SPDX-License-Identifier: MIT
 * One bit of a checkpoint is another: the file is named and the generation before is used, whichever file it is and whichever
 * bit.  And whatever `latest` has become, loading does not mind and the next save mends it.
 */
#include "train/fixture.h"

#include "train/checkpoint.h"

#include <dirent.h>
#include <sys/stat.h>

enum { HASH = 0x1234abcd };

static struct fixture fixture;
static struct train_settings settings;
static struct fixture_run run;
static char run_path[300];

static const struct checkpoint_extra extras[] = {{"tokenizer.json", "{\"a\": 1}\n", 9}, {"tokenizer_config.json", "{}\n", 3}};

static void save(void)
{
    struct error err = {0};
    OK_OR_SAY(checkpoint_save(run.training, run_path, HASH, extras, 2, NULL, &err), err);
}

static void setup(void)
{
    fixture_open(&fixture);
    settings = fixture_settings(1, 1, 30, 0);
    run = fixture_start(&fixture, &settings, 1, TEAM_PTHREAD);
    snprintf(run_path, sizeof run_path, "%s/run", fixture.dir);
    struct error err = {0};
    OK_OR_SAY(file_make_directory(run_path, &err), err);
    save();
    fixture_steps(&run, 1);
    save();
}

static void teardown(void)
{
    fixture_stop(&run);
    fixture_close(&fixture);
}

static const char *in_newest(const char *name)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/checkpoints/step-00000001/%s", run_path, name);
    return path;
}

static void flip(const char *path, uint64_t bit)
{
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, (long)(bit / 8), SEEK_SET), 0);
    const int byte = fgetc(file);
    ck_assert_int_ne(byte, EOF);
    ck_assert_int_eq(fseek(file, (long)(bit / 8), SEEK_SET), 0);
    ck_assert_int_ne(fputc(byte ^ 1 << bit % 8, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

/* The generation before is found, and a file of the newest is named: `name`, or any for NULL. */
static void expect_passed_over(const char *name, uint64_t bit)
{
    struct error err = {0};
    struct buffer path = {0}, warning = {0};
    ck_assert_msg(checkpoint_find_latest(run_path, &path, &warning, &err) == STATUS_OK, "bit %d of %s: %s", (int)bit, name, err.text);
    ck_assert_msg(strstr(path.data, "step-00000000") != NULL, "bit %d of %s: %s is used", (int)bit, name, path.data);
    ck_assert_msg(warning.data && strstr(warning.data, in_newest(name ? name : "")), "bit %d of %s: %s", (int)bit, name,
                  warning.data ? warning.data : "no warning");
    buffer_release(&path);
    buffer_release(&warning);
}

START_TEST(a_flipped_bit_of_any_file_is_named)
{
    int files = 0;
    DIR *dir = opendir(in_newest(""));
    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        ck_assert_int_eq(stat(in_newest(e->d_name), &st), 0);
        const uint64_t bits = 8 * (uint64_t)st.st_size;
        const bool manifest = strcmp(e->d_name, "manifest.json") == 0;
        /* Both ends, and eleven places between them; of the manifest, which nothing sums up, each bit in its turn. */
        const uint64_t by = manifest ? (fixture_sanitized() ? 101 : 3) : bits / 11 ? bits / 11 : 1;
        for (uint64_t bit = 0; bit < bits; bit = bit + by < bits || bit == bits - 1 ? bit + by : bits - 1) {
            flip(in_newest(e->d_name), bit);
            expect_passed_over(manifest ? NULL : e->d_name, bit);
            flip(in_newest(e->d_name), bit);
        }
        files++;
    }
    closedir(dir);
    ck_assert_int_eq(files, 8);
    struct error err = {0};
    struct buffer path = {0};
    OK_OR_SAY(checkpoint_find_latest(run_path, &path, NULL, &err), err);
    ck_assert_ptr_nonnull(strstr(path.data, "step-00000001")); /* all is as it was */
    buffer_release(&path);
}
END_TEST

START_TEST(loading_uses_the_one_before)
{
    struct error err = {0};
    struct buffer warning = {0};
    flip(in_newest("training_state.safetensors"), 12345);
    struct training *t = training_create(&settings, &err);
    MADE_OR_SAY(t, err);
    OK_OR_SAY(checkpoint_load_latest(t, run_path, HASH, &warning, &err), err);
    ck_assert_uint_eq(training_step(t), 0);
    ck_assert_ptr_nonnull(strstr(warning.data, "training_state.safetensors"));
    buffer_release(&warning);
    training_free(t);
}
END_TEST

START_TEST(latest_may_have_become_anything)
{
    struct error err = {0};
    struct buffer path = {0};
    char latest[320], target[64], inside[340];
    snprintf(latest, sizeof latest, "%s/checkpoints/latest", run_path);
    snprintf(inside, sizeof inside, "%s/x", latest);
    ck_assert_int_eq(unlink(latest), 0);
    switch (_i) {
    case 0: /* gone */
        break;
    case 1: /* dangling */
        ck_assert_int_eq(symlink("step-00000077", latest), 0);
        break;
    case 2: /* a loop */
        ck_assert_int_eq(symlink("latest", latest), 0);
        break;
    case 3: /* a file */
        OK_OR_SAY(file_replace(latest, "x", 1, &err), err);
        break;
    case 4: /* a directory: a copy that followed links */
        OK_OR_SAY(file_make_directory(latest, &err), err);
        OK_OR_SAY(file_replace(inside, "x", 1, &err), err);
        break;
    default: /* of the other generation */
        ck_assert_int_eq(symlink("step-00000000", latest), 0);
        break;
    }
    OK_OR_SAY(checkpoint_find_latest(run_path, &path, NULL, &err), err);
    ck_assert_ptr_nonnull(strstr(path.data, "step-00000001"));
    OK_OR_SAY(checkpoint_tidy(run.training, run_path, &err), err);
    const ssize_t n = readlink(latest, target, sizeof target - 1);
    ck_assert_int_gt(n, 0);
    target[n] = 0;
    ck_assert_str_eq(target, "step-00000001");
    buffer_release(&path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("damage");
    TCase *tc = tcase_create("damage");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_flipped_bit_of_any_file_is_named);
    tcase_add_test(tc, loading_uses_the_one_before);
    tcase_add_loop_test(tc, latest_may_have_become_anything, 0, 6);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
