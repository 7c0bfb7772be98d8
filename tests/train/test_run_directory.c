/* SPDX-License-Identifier: MIT */
#include "train/run_directory.h"

#include "train/fixture.h"

#include <sys/stat.h>
#include <sys/wait.h>

static struct fixture fixture;
static char path[600];

static void setup(void)
{
    fixture_open(&fixture);
    snprintf(path, sizeof path, "%s", fixture_path(&fixture, "run"));
}

static void teardown(void)
{
    fixture_close(&fixture);
}

static struct run_info *some_info(void)
{
    static struct run_info info;
    info = (struct run_info){.settings = fixture_settings(5, 2, 30, 0.1f),
                             .threads = 12,
                             .backend = "pthread",
                             .data_path = "some/text.txt",
                             .data_crc32 = 0xfedcba98,
                             .tokenizer_kind = "char",
                             .tokenizer_crc32 = 7,
                             .tokens_file = "tokens.bin"};
    return &info;
}

START_TEST(what_is_written_reads_back)
{
    struct error err = {0};
    struct run_directory *run = run_directory_create(path, &err);
    MADE_OR_SAY(run, err);
    struct run_info *info = some_info();
    static struct run_info back;
    OK_OR_SAY(run_directory_write_info(run, info, &err), err);
    run_directory_close(run);
    run = run_directory_open(path, &back, &err);
    MADE_OR_SAY(run, err);
    ck_assert_str_eq(run_directory_path(run), path);
    char text[128];
    ck_assert_msg(!train_settings_differ(&info->settings, &back.settings, text, sizeof text), "%s", text);
    ck_assert_str_eq(back.version, CLLM_VERSION);
    ck_assert_str_eq(back.dtype, "f32");
    ck_assert_str_eq(back.isa, info->isa);
    ck_assert_str_ne(back.isa, "");
    ck_assert_str_eq(back.backend, "pthread");
    ck_assert_int_eq(back.threads, 12);
    ck_assert_str_eq(back.data_path, info->data_path);
    ck_assert_uint_eq(back.data_crc32, info->data_crc32);
    ck_assert_str_eq(back.tokenizer_kind, "char");
    ck_assert_uint_eq(back.tokenizer_crc32, 7);
    ck_assert_str_eq(back.tokens_file, "tokens.bin");
    ck_assert_str_eq(back.init_directory, "");
    run_directory_close(run);
}
END_TEST

START_TEST(an_existing_directory_is_refused)
{
    struct error err = {0};
    ck_assert_ptr_null(run_directory_create(fixture.dir, &err));
    ck_assert_msg(strstr(err.text, fixture.dir) && strstr(err.text, "exists"), "%s", err.text);
    ck_assert_ptr_null(run_directory_create(fixture_path(&fixture, "none/run"), &err));
    ck_assert_ptr_nonnull(strstr(err.text, "none/run"));
    ck_assert(!file_exists(fixture_path(&fixture, "none")));
}
END_TEST

START_TEST(a_directory_that_is_not_writable_is_refused)
{
    if (geteuid() == 0) {
        printf("skipped: root may write everywhere\n");
        return;
    }
    struct error err = {0};
    chmod(fixture.dir, 0555);
    ck_assert_ptr_null(run_directory_create(path, &err));
    chmod(fixture.dir, 0755);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
}
END_TEST

START_TEST(one_process_at_a_time)
{
    struct error err = {0};
    static struct run_info info;
    struct run_directory *run = run_directory_create(path, &err);
    MADE_OR_SAY(run, err);
    OK_OR_SAY(run_directory_write_info(run, some_info(), &err), err);
    pid_t child = fork();
    if (child == 0) {
        struct run_directory *second = run_directory_open(path, &info, &err);
        char pid[24];
        snprintf(pid, sizeof pid, "%d", (int)getppid());
        _exit(!second && strstr(err.text, "another process") && strstr(err.text, pid) ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    run_directory_close(run);
    run = run_directory_open(path, &info, &err);
    MADE_OR_SAY(run, err);
    run_directory_close(run);
}
END_TEST

START_TEST(a_full_disk_is_told_with_figures)
{
    struct error err = {0};
    struct run_directory *run = run_directory_create(path, &err);
    MADE_OR_SAY(run, err);
    struct train_settings s;
    OK_OR_SAY(train_settings_preset(&s, "demo", &err), err);
    s.steps = 1000;
    s.keep = 3;
    s.save_every = 100;
    s.val_fraction = 0;
    OK_OR_SAY(run_directory_check_space(run, &s, 0, 1000, &err), err);
    ck_assert_int_eq(run_directory_check_space(run, &s, 0, (uint64_t)1 << 58, &err), STATUS_IO);
    ck_assert_msg(strstr(err.text, "4 checkpoints of 256 PiB"), "%s", err.text);
    char there[300];
    for (int i = 0; i < 3; i++) { /* what is there already needs no room again */
        snprintf(there, sizeof there, i ? "%s/checkpoints/step-0000010%d" : "%s/checkpoints", path, i);
        OK_OR_SAY(file_make_directory(there, &err), err);
    }
    ck_assert_int_eq(run_directory_check_space(run, &s, 100, (uint64_t)1 << 58, &err), STATUS_IO);
    ck_assert_msg(strstr(err.text, "2 checkpoints of 256 PiB"), "%s", err.text);
    s.save_every = 0; /* those of step 0 and of the end */
    ck_assert_int_eq(run_directory_check_space(run, &s, 0, (uint64_t)1 << 60, &err), STATUS_IO);
    ck_assert_msg(strstr(err.text, "1024 PiB") && strstr(err.text, "free"), "%s", err.text);
    s.steps = INT64_MAX;
    ck_assert_int_eq(run_directory_check_space(run, &s, 0, UINT64_MAX, &err), STATUS_IO);
    run_directory_discard(run);
    ck_assert(!file_exists(path));
}
END_TEST

START_TEST(a_wrong_run_json_is_refused)
{
    static struct run_info info;
    static const char *const wrong[] = {"", "{", "[]", "{}", "{\"data\": {}, \"tokenizer\": {}, \"format\": 99}"};
    struct error err = {0};
    struct run_directory *run = run_directory_create(path, &err);
    MADE_OR_SAY(run, err);
    ck_assert_int_ne(run_info_read(path, &info, &err), STATUS_OK);
    ck_assert_ptr_nonnull(strstr(err.text, "run.json"));
    char file[700];
    snprintf(file, sizeof file, "%s/run.json", path);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        OK_OR_SAY(file_replace(file, wrong[i], strlen(wrong[i]), &err), err);
        ck_assert_int_ne(run_info_read(path, &info, &err), STATUS_OK);
        ck_assert_ptr_nonnull(strstr(err.text, "run.json"));
    }
    /* Settings that were edited no longer match their hash. */
    OK_OR_SAY(run_directory_write_info(run, some_info(), &err), err);
    json_t *object = json_read_file(file, 1 << 20, &err);
    MADE_OR_SAY(object, err);
    json_object_set_new(json_object_get(object, "settings"), "lr", json_real(0.5));
    struct buffer text = {0};
    OK_OR_SAY(json_write(object, true, &text, &err), err);
    OK_OR_SAY(file_replace(file, text.data, text.len, &err), err);
    ck_assert_int_eq(run_info_read(path, &info, &err), STATUS_FORMAT);
    ck_assert_msg(strstr(err.text, "settings_hash") != NULL, "%s", err.text);
    json_decref(object);
    buffer_release(&text);
    run_directory_close(run);
    ck_assert_ptr_null(run_directory_open(fixture_path(&fixture, "tokens.bin"), &info, &err));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run directory");
    TCase *tc = tcase_create("run directory");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_is_written_reads_back);
    tcase_add_test(tc, an_existing_directory_is_refused);
    tcase_add_test(tc, a_directory_that_is_not_writable_is_refused);
    tcase_add_test(tc, one_process_at_a_time);
    tcase_add_test(tc, a_full_disk_is_told_with_figures);
    tcase_add_test(tc, a_wrong_run_json_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
