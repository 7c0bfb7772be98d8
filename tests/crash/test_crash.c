/* SPDX-License-Identifier: MIT
 * `cllm train` killed, and its files' system calls failing, wherever that can happen: a run that was resumed ends with the
 * bits of one that was left alone.
 *
 * The command itself runs, under ptrace (traced.h).  A kill at the entry of a call that changes a file leaves what all moments
 * since the one before leave, so to kill at each of these is to kill everywhere.  In the suite the calls of one
 * save are each tried and of the others some; CLLM_TEST_CRASH=all tries all, two hundred random moments, and each request
 * for memory, of which CLLM_TEST_CRASH_SLICE=K/N tries the K-th of N parts and FROM:TO those from FROM on that are before TO.
 */
#include "base/buffer.h"
#include "base/file.h"
#include "base/rng.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/traced.h"

#if defined(__x86_64__) && defined(__linux__)
#include <time.h>

static int num_steps = 6; /* three saves after the first, the last of which removes one */
enum { PATH_BYTES = 300 };
static char dir[256], command_path[PATH_MAX], run_path[PATH_BYTES], log_path[PATH_BYTES], whole_path[PATH_BYTES],
    text_path[PATH_BYTES];
static bool thorough;

/* ./cllm beside this build's tests: BUILD/tests/crash/test_crash and BUILD/cllm. */
static bool find_command(const char *self)
{
    char real[PATH_MAX];
    if (!realpath(self, real))
        return false;
    for (int up = 0; up < 3 && strchr(real, '/'); up++)
        *strrchr(real, '/') = 0;
    snprintf(command_path, sizeof command_path, "%.*s/cllm", (int)(sizeof command_path - 8), real);
    return access(command_path, X_OK) == 0;
}

struct arguments {
    char text[32][300];
    char *argv[33];
};

static char *const *arguments(struct arguments *a, const char *const *words)
{
    size_t n = 0;
    for (; words[n]; n++) {
        ck_assert_uint_lt(strlen(words[n]), sizeof a->text[n]);
        strcpy(a->text[n], words[n]);
        a->argv[n] = a->text[n];
    }
    a->argv[n] = NULL;
    return a->argv;
}

static char *const *train(struct arguments *a, const char *out)
{
    char steps[16];
    snprintf(steps, sizeof steps, "%d", num_steps);
    return arguments(a, (const char *const[]){command_path,
                                              "train",
                                              "--preset",
                                              "shakespeare-char-cpu",
                                              "--n-layer",
                                              "1",
                                              "--n-head",
                                              "2",
                                              "--n-embd",
                                              "8",
                                              "--seq-len",
                                              "8",
                                              "--batch-size",
                                              "2",
                                              "--eval-batches",
                                              "1",
                                              "--threads",
                                              "2",
                                              "--tokenizer",
                                              "char",
                                              "--steps",
                                              steps,
                                              "--save-every",
                                              "2",
                                              "--sample-tokens",
                                              "0",
                                              "--quiet",
                                              "--data",
                                              text_path,
                                              "--out",
                                              out,
                                              NULL});
}

static char *const *resume(struct arguments *a)
{
    return arguments(
        a, (const char *const[]){command_path, "train", "--resume", run_path, "--sample-tokens", "0", "--quiet", NULL});
}

static int run_plainly(char *const argv[])
{
    struct traced t = {.below = "/nowhere", .wanted = CALL_CHANGES, .k = -1};
    return traced_run(&t, argv, log_path);
}

static void read_into(struct buffer *out, const char *path)
{
    struct error err = {0};
    buffer_clear(out);
    ck_assert_msg(file_read(path, 1 << 24, out, &err) == STATUS_OK, "%s", err.text);
    buffer_append(out, "", 1);
}

static const char *log_text(void)
{
    static struct buffer text;
    read_into(&text, log_path);
    return text.data;
}

/* What is a function of the settings in metrics.jsonl. */
static void settled_metrics(struct buffer *out, const char *run)
{
    struct buffer text = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    read_into(&text, path);
    buffer_clear(out);
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (strstr(line, "\"event\"") || !*line)
            continue;
        char *times = strstr(line, ", \"tokens_per_s\"");
        times = times ? times : strstr(line, ", \"elapsed_s\"");
        ck_assert_msg(times != NULL, "%s: %s", path, line);
        *times = 0;
        buffer_append_text(out, line);
        buffer_append_text(out, "\n");
    }
    buffer_append(out, "", 1);
    buffer_release(&text);
}

/* The run is that which was left alone: last checkpoint, metrics; and nothing temporary is left. */
static void expect_whole(const char *what)
{
    static const char *const files[] = {"model.safetensors", "training_state.safetensors", "trainer_state.json",
                                        "manifest.json"};
    struct buffer a = {0}, b = {0};
    char path[400];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/checkpoints/latest/%s", whole_path, files[i]);
        read_into(&a, path);
        snprintf(path, sizeof path, "%s/checkpoints/latest/%s", run_path, files[i]);
        read_into(&b, path);
        ck_assert_msg(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "%s: %s is another", what, path);
    }
    settled_metrics(&a, whole_path);
    settled_metrics(&b, run_path);
    ck_assert_msg(strcmp(a.data, b.data) == 0, "%s: metrics are\n%snot\n%s", what, b.data, a.data);
    snprintf(path, sizeof path, "%s/checkpoints", run_path);
    DIR *checkpoints = opendir(path);
    ck_assert_ptr_nonnull(checkpoints);
    for (struct dirent *e; (e = readdir(checkpoints));)
        ck_assert_msg(!strstr(e->d_name, ".tmp-"), "%s: %s is left", what, e->d_name);
    closedir(checkpoints);
    buffer_release(&a);
    buffer_release(&b);
}

static bool has_checkpoint(void)
{
    char path[400];
    snprintf(path, sizeof path, "%s/checkpoints/step-00000000", run_path);
    bool has = file_is_directory(path);
    for (int step = 2; step <= num_steps && !has; step += 2) {
        snprintf(path, sizeof path, "%s/checkpoints/step-%08d", run_path, step);
        has = file_is_directory(path);
    }
    return has;
}

static void expect_a_sentence(int status, const char *what)
{
    const char *text = log_text();
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 1, "%s: wait status %x: %s", what, (unsigned)status,
                  text);
    int sentences = 0; /* that say why it ended, beside what was said of it while it went on */
    for (const char *said = text; (said = strstr(said, "cllm train: ")); said++) {
        const char *end = strchrnul(said, '\n');
        sentences +=
            strncmp(said, "cllm train: warning", 19) != 0 && !memmem(said, (size_t)(end - said), "NOT SAVED", 9);
    }
    ck_assert_msg(sentences == 1, "%s: %d sentences, not one: %s", what, sentences, text);
}

/* A run that goes on tells what it could not do. */
static void expect_told(const char *what)
{
    struct buffer metrics = {0};
    char path[400];
    snprintf(path, sizeof path, "%s/metrics.jsonl", run_path);
    read_into(&metrics, path);
    buffer_append(&metrics, "", 1);
    if (strstr(metrics.data, "checkpoint_failed"))
        ck_assert_msg(strstr(log_text(), "NOT SAVED") != NULL, "%s: a save failed and it was not said: %s", what,
                      log_text());
    buffer_release(&metrics);
}

/* Goes on with whatever the run was left as, to its end. */
static void go_on(const char *what)
{
    struct arguments a;
    if (has_checkpoint()) {
        const int status = run_plainly(resume(&a));
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: resuming gave wait status %x: %s", what,
                      (unsigned)status, log_text());
    } else { /* set-up was not over: there is no run to go on with, and that is said */
        if (file_is_directory(run_path))
            expect_a_sentence(run_plainly(resume(&a)), what);
        file_remove_tree(run_path, NULL);
        ck_assert_int_eq(run_plainly(train(&a, run_path)), 0);
    }
    expect_whole(what);
}

static void setup(void)
{
    struct error err = {0};
    /* In memory where that can be: a kill loses nothing that was written, so that syncing a disk shows nothing here. */
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/cllm-crash-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(run_path, sizeof run_path, "%s/run", dir);
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    snprintf(whole_path, sizeof whole_path, "%s/whole", dir);
    snprintf(text_path, sizeof text_path, "%s/text", dir);
    struct buffer text = {0};
    for (int i = 0; i < 300; i++)
        buffer_printf(&text, "%d the old moon sees a river\n", i * i);
    ck_assert_msg(file_replace(text_path, text.data, text.len, &err) == STATUS_OK, "%s", err.text);
    buffer_release(&text);
    struct arguments a;
    ck_assert_msg(run_plainly(train(&a, whole_path)) == 0, "%s", log_text());
}

static void teardown(void)
{
    file_remove_tree(dir, NULL);
}

static struct traced tracing(int wanted, enum traced_action action, long k)
{
    return (struct traced){.below = run_path, .wanted = wanted, .action = action, .k = k};
}

static int start_over(struct traced *t)
{
    struct arguments a;
    file_remove_tree(run_path, NULL);
    return traced_run(t, train(&a, run_path), log_path);
}

static long count_calls(int wanted, const char *thread)
{
    struct traced t = tracing(wanted, TRACED_COUNT, -1);
    t.thread = thread;
    ck_assert_msg(start_over(&t) == 0, "%s", log_text());
    expect_whole("a traced run");
    ck_assert_int_gt(t.calls, 50);
    return t.calls;
}

/* The step through `calls` that tries `some` of them; 1 when all are wanted. */
static long stride(long calls, long some)
{
    return thorough || calls <= some ? 1 : calls / some;
}

static void kill_at(long k, const char *thread)
{
    struct traced t = tracing(CALL_CHANGES, TRACED_KILL, k);
    t.thread = thread;
    char what[PATH_MAX + 128];
    const int status = start_over(&t);
    snprintf(what, sizeof what, "killed at call %ld, %s", k, t.met);
    /* The last calls may come in another order, or fewer of them, in a run that is no twin in time. */
    ck_assert_msg(WIFSIGNALED(status) || (status == 0 && t.calls <= k), "%s: wait status %x: %s", what,
                  (unsigned)status, log_text());
    go_on(what);
}

/* The saves beside the steps: two of them, of which the last calls remove the oldest checkpoint. */
START_TEST(killed_at_every_call_of_a_save)
{
    const long calls = count_calls(CALL_CHANGES, "saving");
    const long by = getenv("CLLM_TEST_SANITIZED") ? 15 : 1; /* slow, and about memory: files are looked at without */
    for (long k = thorough ? 0 : calls / 2 - 2; k < calls; k += by)
        kill_at(k, "saving");
}
END_TEST

START_TEST(killed_at_calls_of_the_whole_run)
{
    const long calls = count_calls(CALL_CHANGES, NULL), by = stride(calls, 6);
    for (long k = 0; k < calls; k += by)
        kill_at(k, NULL);
}
END_TEST

static void pause_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* Starts argv and kills it after a time; false when it had ended. */
static bool kill_after(char *const argv[], uint64_t ns)
{
    const pid_t pid = fork();
    if (pid == 0) {
        const int out = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0666), in = open("/dev/null", O_RDONLY);
        dup2(in, 0);
        dup2(out, 1);
        dup2(out, 2);
        execv(argv[0], argv);
        _exit(126);
    }
    ck_assert_int_gt(pid, 0);
    pause_ns(ns);
    kill(pid, SIGKILL);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) || status == 0, "it ended by itself, with wait status %x: %s", (unsigned)status,
                  log_text());
    return WIFSIGNALED(status);
}

START_TEST(killed_at_random_moments)
{
    struct arguments a;
    struct timespec begin, end;
    file_remove_tree(run_path, NULL);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    ck_assert_int_eq(run_plainly(train(&a, run_path)), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const uint64_t whole =
        (uint64_t)(end.tv_sec - begin.tv_sec) * 1000000000u + (uint64_t)end.tv_nsec - (uint64_t)begin.tv_nsec;
    const int times = thorough ? 200 : getenv("CLLM_TEST_SANITIZED") ? 5 : 25;
    const uint64_t key = rng_key(3, RNG_TEST, 0, 0);
    for (int i = 0; i < times; i++) {
        const struct rng_block r = philox4x32(key, 0, (uint64_t)i);
        char what[64];
        snprintf(what, sizeof what, "killed at random moment %d", i);
        file_remove_tree(run_path, NULL);
        kill_after(train(&a, run_path), whole * (r.word[0] % 1024) / 1024);
        /* And once or twice while it goes on. */
        for (uint32_t again = r.word[1] % 3; again && has_checkpoint(); again--)
            kill_after(resume(&a), whole * (r.word[1 + again] / 3 % 1024) / 1536);
        go_on(what);
    }
}
END_TEST

static const struct {
    int error;
    long more;
} kinds[] = {{EIO, 0}, {ENOSPC, 0}, {ENOSPC, 20}, {EIO, 1000000}, {ENOSPC, 1000000}};
enum { FAILURES = sizeof kinds / sizeof *kinds };

/* An error at one call, or at it and the twenty that follow: the run ends with a sentence or goes on. */
START_TEST(calls_that_fail)
{
    const long calls = count_calls(CALL_CHANGES, NULL), by = stride(calls, 3);
    for (long k = _i % by; k < calls; k += by) {
        struct traced t = tracing(CALL_CHANGES, TRACED_FAIL, k);
        t.fail_with = kinds[_i].error;
        t.more = kinds[_i].more;
        char what[PATH_MAX + 128];
        const int status = start_over(&t);
        snprintf(what, sizeof what, "call %ld and %ld more failed with %s, %s", k, kinds[_i].more,
                 strerror(kinds[_i].error), t.met);
        if (status != 0)
            expect_a_sentence(status, what);
        else
            expect_told(what);
        go_on(what);
    }
}
END_TEST

/* Interrupted, or given less than asked for: nobody is to notice, be it at one call, at every one, or (interrupted)
 * at every other, so that each is made at last. */
START_TEST(calls_that_are_cut_short)
{
    const int wanted = _i % 2 ? CALL_COUNTS : CALL_INTERRUPTED;
    const long calls = count_calls(wanted, NULL), by = _i < 2 ? stride(calls, 6) : calls;
    for (long k = 0; k < calls; k += by) {
        struct traced t = tracing(wanted, wanted == CALL_COUNTS ? TRACED_SHORT : TRACED_FAIL, k);
        t.fail_with = EINTR;
        t.more = _i < 2 ? 0 : 1000000;
        t.alternate = wanted == CALL_INTERRUPTED;
        char what[PATH_MAX + 128];
        const int status = start_over(&t);
        snprintf(what, sizeof what, "call %ld %s, %s", k, wanted == CALL_COUNTS ? "was short" : "was interrupted",
                 t.met);
        ck_assert_msg(status == 0, "%s: wait status %x: %s", what, (unsigned)status, log_text());
        ck_assert_msg(!*log_text(), "%s: it says %s", what, log_text());
        expect_whole(what);
    }
}
END_TEST

/* A run whose request n for memory is refused, jansson's among them; its wait status. */
static int refuse(long n)
{
    struct arguments a;
    char number[32];
    snprintf(number, sizeof number, "%ld", n);
    setenv("CLLM_FAIL_ALLOCATION", number, 1);
    file_remove_tree(run_path, NULL);
    const int status = run_plainly(train(&a, run_path));
    unsetenv("CLLM_FAIL_ALLOCATION");
    return status;
}

/* How many requests the run that was refused none has made; -1 when it was refused one. */
static long requests_made(void)
{
    static const char said[] = "there were only ";
    const char *at = strstr(log_text(), said);
    return at ? strtol(at + sizeof said - 1, NULL, 10) : -1;
}

/* The requests to try, of about `count`, which differs by a few from run to run: all, or CLLM_TEST_CRASH_SLICE. */
enum { OVERLAP = 10 };
static void choose_requests(long count, long *from, long *to)
{
    const char *slice = getenv("CLLM_TEST_CRASH_SLICE");
    long a = 1, b = 1;
    char sign = '/', more;
    if (slice)
        ck_assert_msg(sscanf(slice, "%ld%c%ld%c", &a, &sign, &b, &more) == 3 && a >= 0 &&
                          (sign == ':' ? a < b : sign == '/' && a >= 1 && a <= b),
                      "CLLM_TEST_CRASH_SLICE is '%s', not K/N with 1 <= K <= N or FROM:TO", slice);
    *from = sign == ':' ? a : count * (a - 1) / b;
    *to = sign == ':' ? b : a == b ? LONG_MAX : count * a / b + OVERLAP;
}

static void memory_setup(void)
{
    num_steps = 4; /* the saves that follow are no others */
    setup();
}

/* Each request for memory refused in turn, from the command's first on. */
START_TEST(memory_that_is_refused)
{
    ck_assert_int_eq(refuse(1000000000), 0);
    const long count = requests_made();
    expect_whole("a run refused no memory");
    ck_assert_int_gt(count, 1000);
    long from = 0, to = LONG_MAX, ended = 0, went_on = 0, tried = 0;
    if (thorough)
        choose_requests(count, &from, &to);
    for (long n = from, by = 1; n < to; n += by) {
        char what[64];
        snprintf(what, sizeof what, "request %ld for memory was refused", n);
        const int status = refuse(n);
        if (requests_made() >= 0) { /* there is no request n: all were tried */
            ck_assert_int_eq(status, 0);
            ck_assert_int_ge(n, count - count / 20);
            expect_whole(what);
            break;
        }
        tried++;
        ended += status != 0;
        went_on += status == 0;
        ck_assert_msg(!strstr(log_text(), "not valid JSON"), "%s: %s", what, log_text());
        if (status != 0)
            expect_a_sentence(status, what);
        else
            expect_told(what);
        go_on(what);
        if (thorough && tried % 50 == 0) {
            printf("request %ld of about %ld: %ld refused in turn, %ld runs ended with a sentence, %ld went on\n", n,
                   count, tried, ended, went_on);
            fflush(stdout);
        }
        by = thorough ? 1 : 1 + n / 2; /* the later ones are of saves and statistics, hundreds alike */
    }
    ck_assert_int_gt(tried, 0);
    if (thorough)
        printf("requests %ld to %ld: %ld refused in turn, %ld runs ended with a sentence, %ld went on\n", from,
               from + tried - 1, tried, ended, went_on);
    fflush(stdout);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    const char *how = getenv("CLLM_TEST_CRASH");
    thorough = how && strcmp(how, "all") == 0;
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* LeakSanitizer wants to trace by itself */
    if (!find_command(argv[0])) {
        printf("skipped: there is no %s to be killed\n", command_path);
        return EXIT_SUCCESS;
    }
    if (!traced_supported()) {
        printf("skipped: this system lets no process be traced (ptrace, seccomp)\n");
        return EXIT_SUCCESS;
    }
    /* CK_RUN_CASE chooses one. */
    const struct {
        const char *name;
        const TTest *test;
        int begin, end;
        SFun setup;
    } cases[] = {{"kill-save", killed_at_every_call_of_a_save, 0, 1, setup},
                 {"kill-run", killed_at_calls_of_the_whole_run, 0, 1, setup},
                 {"kill-random", killed_at_random_moments, 0, 1, setup},
                 {"fail-once", calls_that_fail, 0, 2, setup},
                 {"fail-a-while", calls_that_fail, 2, 3, setup},
                 {"fail-for-good", calls_that_fail, 3, FAILURES, setup},
                 {"short", calls_that_are_cut_short, 0, 4, setup},
                 {"memory", memory_that_is_refused, 0, 1, memory_setup}};
    Suite *suite = suite_create("crash");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TCase *tc = tcase_create(cases[i].name);
        tcase_add_checked_fixture(tc, cases[i].setup, teardown);
        tcase_set_timeout(tc, thorough ? 3600 : 120);
        tcase_add_loop_test(tc, cases[i].test, cases[i].begin, cases[i].end);
        suite_add_tcase(suite, tc);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#else
int main(void)
{
    printf("skipped: system calls are met on x86-64 Linux only\n");
    return EXIT_SUCCESS;
}
#endif
