/* SPDX-License-Identifier: MIT
 * A sphere that hangs for real: a process trains, and this one stops one of its threads (ptrace), or lets it run into
 * nowhere.  And the watchdog's rule on made-up clocks.
 */
#include "train/fixture.h"

#include "base/clock.h"
#include "runtime/thread.h"
#include "train/saver.h"
#include "train/step_guard_internal.h"
#include "train/threaded_training_internal.h"
#include "train/watchdog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { HASH = 0x717e };

static const uint64_t ms = 1000000;

/* ---- the rule ---- */

struct made_up {
    struct watchdog_rule rule;
    struct watchdog_look look;
};

static struct made_up made_up(double seconds)
{
    struct made_up m = {.rule = watchdog_rule_new(seconds, 7)};
    m.look = (struct watchdog_look){.now_ns = 5000 * ms, .step = 7, .tid = 44, .has_thread = true, .thread = {.state = 'S'}};
    m.look.pulse = (struct team_pulse){.running = true, .run = 1, .beats = 1, .width = 2};
    return m;
}

/* Looks every `period` until it bites, at most for `seconds`; gives the seconds, or -1. */
static double bites_after(struct made_up *m, double seconds, void (*change)(struct made_up *m))
{
    const uint64_t period = watchdog_rule_period_ns(&m->rule), start = m->look.now_ns;
    while (1e-9 * (double)(m->look.now_ns - start) < seconds) {
        m->look.now_ns += period;
        if (change)
            change(m);
        if (watchdog_rule_look(&m->rule, &m->look))
            return 1e-9 * (double)(m->look.now_ns - start);
    }
    return -1;
}

static void step_done(struct made_up *m)
{
    m->look.step++;
    m->look.pulse.run++;
    m->look.pulse.beats += 9;
    ck_assert(!watchdog_rule_look(&m->rule, &m->look));
}

static void robbed(struct made_up *m)
{
    m->look.thread.state = 'R';
    m->look.thread.run_ns += ms;
}

static void computes(struct made_up *m)
{
    m->look.thread.state = 'R';
    m->look.thread.run_ns += 10000 * ms;
}

static void pages(struct made_up *m)
{
    m->look.thread.state = 'D';
    m->look.thread.major_faults++;
}

static void advances(struct made_up *m)
{
    m->look.pulse.beats++;
}

static void rests(struct made_up *m)
{
    m->look.pulse.running = false;
}

START_TEST(silence_counts_where_it_is_the_spheres_own)
{
    struct made_up m = made_up(4);
    const double first = bites_after(&m, 1000, NULL);
    ck_assert_msg(!(first < 120 || first > 121), "before a step was done it bit after %g s", first);
    m = made_up(4);
    step_done(&m);
    double s = bites_after(&m, 1000, NULL);
    ck_assert_msg(!(s < 4 || s > 4.6), "%g s", s);
    struct {
        void (*change)(struct made_up *m);
        bool bites;
    } cases[] = {{robbed, false}, {computes, true}, {pages, false}, {advances, false}, {rests, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        m = made_up(4);
        step_done(&m);
        s = bites_after(&m, 300, cases[i].change);
        ck_assert_msg(cases[i].bites ? !(s < 4 || s > 5) : s < 0, "case %d: %g s", (int)i, s);
    }
    /* An hour in which nobody ran is next to nothing. */
    m = made_up(4);
    step_done(&m);
    ck_assert(bites_after(&m, 3, NULL) < 0);
    m.look.now_ns += 3600000 * ms;
    ck_assert(!watchdog_rule_look(&m.rule, &m.look));
    s = bites_after(&m, 1000, NULL);
    ck_assert_msg(!(s < 0.4 || s > 1.6), "%g s", s);
    /* A thread that is gone. */
    m = made_up(4);
    step_done(&m);
    m.look.has_thread = false;
    ck_assert(bites_after(&m, 5, NULL) > 0);
    /* Ten times the longest silence that was none. */
    m = made_up(4);
    ck_assert(bites_after(&m, 3, NULL) < 0);
    step_done(&m);
    s = bites_after(&m, 1000, NULL);
    ck_assert_msg(!(s < 25 || s > 31), "%g s", s);
}
END_TEST

/* ---- for real ---- */

struct report {
    struct hang hang;
    char text[256];
    uint64_t hash;
    char saved; /* a checkpoint, and it loads to that hash */
};

static int to_parent;
static struct fixture fixture;
static struct fixture_run run;

static void tell(void *ctx, const struct hang *hang)
{
    (void)ctx;
    struct report report = {.hang = *hang};
    struct error err = {0};
    hang_text(hang, report.text, sizeof report.text);
    if (hang->whole) {
        report.hash = training_state_hash(run.training);
        report.saved = checkpoint_save(run.training, fixture.dir, HASH, NULL, 0, NULL, &err) == STATUS_OK;
    }
    report.hang.sphere.phase = NULL;
    if (write(to_parent, &report, sizeof report) != sizeof report)
        _exit(8);
    _exit(7);
}

/* The child: trains for ever, tells its threads once it has made some steps. */
static void train_for_ever(int spheres)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct train_settings s = fixture_settings(3, 2, 1000000, 0);
    struct error err = {0};
    run = fixture_start(&fixture, &s, spheres, TEAM_PTHREAD);
    struct watchdog *w = watchdog_start(run.system, 1, tell, NULL, &err);
    if (!w)
        _exit(9);
    fixture_steps(&run, 5);
    char go = 'g';
    if (write(to_parent, &go, 1) != 1)
        _exit(10);
    fixture_steps(&run, 1000000);
    _exit(11);
}

/* The thread that is sphere `id` of the process. */
static int thread_of(pid_t pid, int id)
{
    char command[256];
    snprintf(command, sizeof command, "grep -lx 'sphere %d' /proc/%d/task/*/comm 2>/dev/null", id, (int)pid);
    FILE *f = popen(command, "r");
    char path[256] = "";
    if (!fgets(path, sizeof path, f))
        path[0] = 0;
    pclose(f);
    int tid = 0;
    sscanf(path, "/proc/%*d/task/%d/", &tid);
    return tid;
}

static pid_t begin(int spheres, int *from_child)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        to_parent = ends[1];
        train_for_ever(spheres);
    }
    close(ends[1]);
    *from_child = ends[0];
    char go;
    ck_assert_int_eq(read(ends[0], &go, 1), 1);
    return pid;
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

/* Ends the child and all of its threads that this process traces. */
static void end(pid_t pid, int fd, int want_code)
{
    int status;
    pid_t who;
    close(fd);
    if (want_code < 0)
        kill(pid, SIGKILL);
    while ((who = waitpid(-1, &status, __WALL)) > 0 && (who != pid || WIFSTOPPED(status)))
        ;
    ck_assert_int_eq(who, pid);
    if (want_code >= 0)
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == want_code, "status %x", (unsigned)status);
}

START_TEST(a_sphere_that_hangs_is_named_and_the_last_step_saved)
{
    const int id = _i % 3;
    int fd;
    const pid_t pid = begin(3, &fd);
    const int tid = thread_of(pid, id);
    ck_assert_int_ne(tid, 0);
    usleep((useconds_t)(1000 * (7 + 13 * _i)));
    ck_assert_int_eq(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
    ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
    const uint64_t start = clock_now_ns();
    struct report report;
    ck_assert(readable(fd, 60000));
    ck_assert_int_eq(read(fd, &report, sizeof report), sizeof report);
    ck_assert_msg(clock_now_ns() - start > 800 * ms, "bit too soon: %s", report.text);
    ck_assert_msg(report.hang.sphere.id == id, "not sphere %d: %s", id, report.text);
    char name[40];
    snprintf(name, sizeof name, "sphere %d hangs in \"", id);
    ck_assert_msg(strstr(report.text, name) && strstr(report.text, "stopped") && report.hang.has_thread, "%s", report.text);
    ck_assert_int_eq(report.hang.sphere.tid, tid);
    end(pid, fd, 7);
    if (!report.hang.whole)
        return; /* it was stopped in the middle of an update */
    ck_assert(report.saved);
    struct train_settings s = fixture_settings(3, 2, 1000000, 0);
    struct fixture_run whole = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    struct error err = {0};
    struct training *loaded = training_create(&s, &err);
    MADE_OR_SAY(loaded, err);
    OK_OR_SAY(checkpoint_load_latest(loaded, fixture.dir, HASH, NULL, &err), err);
    ck_assert_uint_eq(training_step(loaded), report.hang.step);
    ck_assert(training_state_hash(loaded) == report.hash);
    if (report.hang.step < 4000) {
        fixture_steps(&whole, report.hang.step);
        ck_assert(training_state_hash(whole.training) == report.hash);
    }
    training_free(loaded);
    fixture_stop(&whole);
}
END_TEST

/* Stopped as a whole for longer than the limit, again and again: that is no hang. */
START_TEST(a_process_that_is_stopped_does_not_hang)
{
    int fd;
    const pid_t pid = begin(2, &fd);
    for (int i = 0; i < 2; i++) {
        kill(pid, SIGSTOP);
        usleep(1700000);
        kill(pid, SIGCONT);
        ck_assert(!readable(fd, 300));
    }
    end(pid, fd, -1);
}
END_TEST

/* ---- what is not a step ---- */

static struct held {
    struct mutex *mu;
    struct cond *changed;
    bool held, there; /* guarded by mu */
    char text[256];
    struct hang hang;
    int calls;
} held;

static void hold(void)
{
    held = (struct held){.mu = mutex_new(), .changed = cond_new(), .held = true};
}

static void let_go(void)
{
    mutex_lock(held.mu);
    held.held = false;
    cond_broadcast(held.changed);
    mutex_unlock(held.mu);
}

static void stay(void)
{
    mutex_lock(held.mu);
    held.there = true;
    while (held.held)
        cond_wait(held.changed, held.mu);
    mutex_unlock(held.mu);
}

static void stay_if_second(struct sphere *me, void *arg)
{
    (void)arg;
    if (me->id == 1)
        stay();
    sphere_barrier(me);
}

static void note_hang(void *ctx, const struct hang *hang)
{
    (void)ctx;
    hang_text(hang, held.text, sizeof held.text);
    held.hang = *hang;
    held.calls++;
    let_go();
}

/* The team of a sample, which runs between two steps: named as any sphere, the weights are whole, and the training goes on. */
START_TEST(a_sample_that_hangs_is_named)
{
    struct train_settings s = fixture_settings(3, 2, 1000, 0);
    struct error err = {0};
    run = fixture_start(&fixture, &s, 1, TEAM_PTHREAD);
    hold();
    struct team *team = team_new(&(struct team_options){.num_spheres = 2, .backend = TEAM_PTHREAD}, &err);
    MADE_OR_SAY(team, err);
    struct watchdog *w = watchdog_start(run.system, 0.25, note_hang, NULL, &err);
    MADE_OR_SAY(w, err);
    fixture_steps(&run, 3);
    usleep(300000); /* a look that sees them */
    threaded_training_watch_also(run.system, team);
    ck_assert_int_eq(team_run(team, 2, stay_if_second, NULL), STATUS_OK);
    threaded_training_watch_also(run.system, NULL);
    ck_assert_int_eq(held.calls, 1);
    ck_assert_msg(strstr(held.text, "sphere 1 hangs in \"start\" of a sample") && held.hang.whole && held.hang.step == 3, "%s",
                  held.text);
    fixture_steps(&run, 3);
    watchdog_stop(w);
    team_free(team);
    fixture_stop(&run);
    cond_free(held.changed);
    mutex_free(held.mu);
}
END_TEST

static enum status stay_before(void *ctx, struct error *err)
{
    (void)ctx;
    (void)err;
    stay();
    return STATUS_OK;
}

static void note_stall(void *ctx, const struct save_stall *stall)
{
    (void)ctx;
    save_stall_text(stall, held.text, sizeof held.text);
    held.calls++;
    let_go();
}

static void never(void *ctx, const struct hang *hang)
{
    (void)ctx;
    hang_text(hang, held.text, sizeof held.text);
    held.calls += 100;
}

/* Beside the training (0) and with the training waiting (1): it is said, once, and nothing ends. */
START_TEST(a_checkpoint_that_is_not_written_is_said)
{
    struct train_settings s = fixture_settings(3, 2, 1000, 0);
    s.save_every = 100;
    s.save_mode = _i == 0 ? SAVE_OVERLAPPED : SAVE_BLOCKING;
    struct error err = {0};
    run = fixture_start(&fixture, &s, 1, TEAM_PTHREAD);
    hold();
    struct saver *saver = saver_new(&(struct saver_options){.training = run.training, .system = run.system,
                                                            .run_directory = fixture.dir, .settings_hash = HASH,
                                                            .before = stay_before}, &err);
    MADE_OR_SAY(saver, err);
    struct watchdog *w = watchdog_start(run.system, 0.25, never, NULL, &err);
    MADE_OR_SAY(w, err);
    watchdog_watch_saver(w, saver, note_stall);
    fixture_steps(&run, 3);
    saver_begin(saver, true);
    saver_wait(saver);
    struct save_outcome o;
    ck_assert(saver_take(saver, &o));
    OK_OR_SAY(o.status, o.error);
    ck_assert_int_eq(held.calls, 1);
    ck_assert_msg(strstr(held.text, "the checkpoint of step 3 is not getting written: no sign of life for 0.") &&
                      strstr(held.text, "its thread sleeps"), "%s", held.text);
    struct save_pulse pulse;
    saver_pulse(saver, &pulse);
    ck_assert(!pulse.writing && pulse.saves == 1 && pulse.beats > 0); /* files were synced */
    buffer_release(&o.path);
    watchdog_stop(w);
    saver_free(saver);
    fixture_stop(&run);
    cond_free(held.changed);
    mutex_free(held.mu);
}
END_TEST

/* ---- the command ---- */

/* build/CONFIG/cllm, from build/CONFIG/tests/train/test_watchdog. */
static const char *command_path(void)
{
    static char path[600];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    for (int up = 0; up < 3; up++)
        while (n > 0 && path[--n] != '/')
            ;
    snprintf(path + (n > 0 ? n : 0), 16, "/cllm");
    return path;
}

static bool file_has(const char *path, const char *text)
{
    struct buffer all = {0};
    struct error err;
    const bool has = file_exists(path) && file_read(path, 1 << 24, &all, &err) == STATUS_OK && all.len &&
                     memmem(all.data, all.len, text, strlen(text));
    buffer_release(&all);
    return has;
}

START_TEST(the_command_says_saves_and_ends)
{
    const char *cllm = command_path();
    if (access(cllm, X_OK) != 0) {
        printf("skipped: %s is not built\n", cllm);
        return;
    }
    char data[300], dir[300], said[300], metrics[400];
    snprintf(data, sizeof data, "%s/text.txt", fixture.dir);
    snprintf(dir, sizeof dir, "%s/run", fixture.dir);
    snprintf(said, sizeof said, "%s/said", fixture.dir);
    snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", dir);
    FILE *f = fopen(data, "w");
    for (int i = 0; i < 4000; i++)
        fprintf(f, "line %d of %d\n", i * 7919 % 1000, i);
    fclose(f);
    const pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen(said, "w", stderr))
            _exit(12);
        execl(cllm, "cllm", "train", "--data", data, "--out", dir, "--steps", "1000000", "--watchdog", "1", "--threads", "3",
              "--n-layer", "1", "--n-embd", "32", "--n-head", "2", "--seq-len", "32", "--batch-size", "4", "--quiet", (char *)NULL);
        _exit(13);
    }
    for (int i = 0; i < 600 && !file_has(metrics, "{\"step\": 9,"); i++)
        usleep(50000);
    const int tid = thread_of(pid, 2);
    ck_assert_int_ne(tid, 0);
    ck_assert_int_eq(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
    ck_assert_int_eq(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
    int fd = open("/dev/null", O_RDONLY);
    end(pid, fd, 1);
    ck_assert(file_has(said, "cllm train: sphere 2 hangs in \""));
    const bool whole = file_has(said, "is saved as");
    ck_assert(whole || file_has(said, "in the middle of an update"));
    ck_assert(file_has(metrics, "\"event\": \"hang\"") && file_has(metrics, "\"sphere\": 2"));
    struct buffer path = {0};
    struct error err = {0};
    OK_OR_SAY(checkpoint_find_latest(dir, &path, NULL, &err), err);
    ck_assert_msg((strstr(path.data, "step-00000000") == NULL) == whole, "%s", path.data);
    buffer_release(&path);
}
END_TEST

/* ---- what is held while it bites ---- */

START_TEST(weights_that_are_seized_are_not_updated)
{
    struct train_settings s = fixture_settings(3, 2, 30, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    fixture_steps(&r, 3);
    bool whole;
    uint64_t step;
    ck_assert(!threaded_training__seize(r.system, 1, 1, &whole, &step)); /* no run is on: nothing is held */
    fixture_steps(&r, 1);
    struct step_guard guard = {0};
    struct mutex *mu = mutex_new();
    struct cond *changed = cond_new();
    ck_assert(step_guard__may_update(&guard));
    ck_assert(!step_guard__seize(&guard, mu));
    step_guard__release(&guard, mu, changed);
    step_guard__run_ended(&guard, mu, changed);
    ck_assert(step_guard__seize(&guard, mu));
    ck_assert(!step_guard__may_update(&guard));
    step_guard__release(&guard, mu, changed);
    ck_assert(step_guard__may_update(&guard));
    cond_free(changed);
    mutex_free(mu);
    fixture_stop(&r);
}
END_TEST

static void setup(void)
{
    fixture_open(&fixture);
}

static void teardown(void)
{
    fixture_close(&fixture);
}

int main(void)
{
    Suite *suite = suite_create("watchdog");
    TCase *tc = tcase_create("watchdog");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, silence_counts_where_it_is_the_spheres_own);
    tcase_add_loop_test(tc, a_sphere_that_hangs_is_named_and_the_last_step_saved, 0, fixture_sanitized() ? 1 : 4);
    tcase_add_test(tc, a_process_that_is_stopped_does_not_hang);
    tcase_add_test(tc, a_sample_that_hangs_is_named);
    tcase_add_loop_test(tc, a_checkpoint_that_is_not_written_is_said, 0, 2);
    tcase_add_test(tc, the_command_says_saves_and_ends);
    tcase_add_test(tc, weights_that_are_seized_are_not_updated);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
