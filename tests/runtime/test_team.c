/* SPDX-License-Identifier: MIT
 *
 * Teams and their barrier, on each back end.  ThreadSanitizer cannot see into gcc's OpenMP runtime, so its builds
 * leave that back end out; all synchronisation but the start and end of a run is the same code.
 */
#include "runtime/team.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/rng.h"
#include "runtime/pool.h"
#include "runtime/thread.h"
#include "topology/topology.h"

#include <check.h>
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sanitized.h"

#define SHADOW_MEMORY (ASAN || TSAN) /* an address-space limit cannot be set */

enum { NUM_THREADED_BACKENDS = TSAN ? 1 : 2 };
static const enum team_backend THREADED[] = {TEAM_PTHREAD, TEAM_OPENMP};

static struct team *new_team(enum team_backend backend, int num_spheres)
{
    struct error err = {0};
    struct team_options options = {.num_spheres = num_spheres, .backend = backend, .scratch_bytes = 4096};
    struct team *team = team_new(&options, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_int_eq(team_size(team), num_spheres);
    return team;
}

/* Threads of this process that bear a sphere's name. */
static int sphere_threads(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[300], name[16] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = e->d_name[0] != '.' ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        if (fgets(name, sizeof name, f))
            count += strncmp(name, "sphere ", 7) == 0;
        fclose(f);
    }
    closedir(dir);
    return count;
}

/* One that was joined may take a moment to vanish from /proc. */
static void check_no_sphere_threads(void)
{
    for (int i = 0; i < 2000 && sphere_threads() > 0; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    ck_assert_int_eq(sphere_threads(), 0);
}

/* Each member writes its number of the round, crosses, and looks at all the others: plain memory, so that a barrier
 * that orders nothing is a race ThreadSanitizer sees, and one that lets a member ahead a wrong number. */
struct rounds {
    int rounds;
    bool delays;
    int *at; /* [width] */
    atomic_int wrong;
};

static void delay(int id, int round)
{
    struct rng_block r = philox4x32(7, (uint64_t)id, (uint64_t)round);
    if (r.word[0] % 8 == 0)
        nanosleep(&(struct timespec){0, r.word[1] % 100000}, NULL);
    else if (r.word[0] % 8 == 1)
        sched_yield();
}

static void keep_in_step(struct sphere *me, void *arg)
{
    struct rounds *r = arg;
    for (int round = 1; round <= r->rounds; round++) {
        if (r->delays)
            delay(me->id, round);
        r->at[me->id] = round;
        if (sphere_barrier(me) != STATUS_OK)
            r->wrong++;
        for (int id = 0; id < me->width; id++)
            if (r->at[id] != round)
                r->wrong++;
        if (sphere_barrier(me) != STATUS_OK)
            r->wrong++;
    }
}

static void check_in_step(struct team *team, int width, int rounds, bool delays)
{
    struct rounds r = {.rounds = rounds, .delays = delays, .at = calloc((size_t)width, sizeof(int))};
    ck_assert_ptr_nonnull(r.at);
    ck_assert_int_eq(team_run(team, width, keep_in_step, &r), STATUS_OK);
    ck_assert_int_eq(r.wrong, 0);
    for (int id = 0; id < width; id++)
        ck_assert_int_eq(r.at[id], rounds);
    free(r.at);
}

static const struct {
    int num_spheres, rounds;
} STRESS[] = {{1, 1000}, {2, 1000}, {3, 300}, {7, 200}, {12, 100}, {13, 100}, {64, 30}, {157, 10}};
enum { NUM_STRESS = sizeof STRESS / sizeof STRESS[0] };

START_TEST(no_member_runs_ahead)
{
    for (int b = 0; b < NUM_THREADED_BACKENDS; b++) {
        struct team *team = new_team(THREADED[b], STRESS[_i].num_spheres);
        check_in_step(team, STRESS[_i].num_spheres, STRESS[_i].rounds, false);
        check_in_step(team, STRESS[_i].num_spheres, STRESS[_i].rounds / (TSAN ? 10 : 5) + 1, true);
        team_free(team);
    }
}
END_TEST

START_TEST(the_first_systems_limit_works)
{
    struct team *team = new_team(THREADED[_i], 1741);
    check_in_step(team, 1741, TSAN ? 1 : 3, false);
    check_in_step(team, 1, 2, false);
    check_in_step(team, 1700, 1, false);
    team_free(team);
}
END_TEST

START_TEST(widths_vary_from_run_to_run)
{
    for (int b = 0; b < NUM_THREADED_BACKENDS; b++) {
        struct team *team = new_team(THREADED[b], 40);
        for (uint64_t i = 0; i < 200; i++) {
            struct rng_block r = philox4x32(3, 0, i);
            check_in_step(team, 1 + (int)(r.word[0] % 40), (int)(r.word[1] % 4), false);
        }
        team_free(team);
    }
}
END_TEST

START_TEST(serial_is_the_caller)
{
    struct team *team = new_team(TEAM_SERIAL, 1);
    check_in_step(team, 1, 100, false);
    check_no_sphere_threads();
    team_free(team);
}
END_TEST

struct failing {
    int round_of[64]; /* the round in which the member fails, 0 = never */
    enum status status_of[64];
    enum status seen[64][4]; /* by member and round */
};

static void fail_in_round(struct sphere *me, void *arg)
{
    struct failing *f = arg;
    for (int round = 1; round <= 3; round++) {
        if (f->round_of[me->id] == round) {
            sphere_fail(me, f->status_of[me->id]);
            sphere_fail(me, STATUS_PEER); /* a member's first counts */
        }
        f->seen[me->id][round] = sphere_barrier(me);
    }
}

START_TEST(the_verdict_is_common_and_the_first_in_order_of_ids)
{
    for (int b = 0; b < NUM_THREADED_BACKENDS; b++) {
        struct team *team = new_team(THREADED[b], 64);
        struct failing f = {0};
        f.round_of[63] = 2, f.status_of[63] = STATUS_IO;
        f.round_of[5] = 2, f.status_of[5] = STATUS_NONFINITE;
        f.round_of[13] = 2, f.status_of[13] = STATUS_NOMEM;
        f.round_of[0] = 3, f.status_of[0] = STATUS_FORMAT;
        ck_assert_int_eq(team_run(team, 64, fail_in_round, &f), STATUS_NONFINITE);
        for (int id = 0; id < 64; id++) {
            ck_assert_int_eq(f.seen[id][1], STATUS_OK);
            ck_assert_int_eq(f.seen[id][2], STATUS_NONFINITE);
            ck_assert_int_eq(f.seen[id][3], STATUS_NONFINITE);
        }
        struct failing none = {0};
        ck_assert_int_eq(team_run(team, 64, fail_in_round, &none), STATUS_OK);
        team_free(team);
    }
}
END_TEST

static void fail_at_the_end(struct sphere *me, void *arg)
{
    sphere_barrier(me);
    if (me->id >= *(int *)arg)
        sphere_fail(me, me->id == *(int *)arg ? STATUS_CANCELLED : STATUS_IO);
}

START_TEST(a_failure_after_the_last_barrier_is_the_runs_verdict)
{
    for (int b = 0; b < NUM_THREADED_BACKENDS; b++) {
        struct team *team = new_team(THREADED[b], 30);
        int from = 17;
        ck_assert_int_eq(team_run(team, 30, fail_at_the_end, &from), STATUS_CANCELLED);
        ck_assert_int_eq(team_run(team, 17, fail_at_the_end, &from), STATUS_OK);
        team_free(team);
    }
    struct team *team = new_team(TEAM_SERIAL, 1);
    int from = 0;
    ck_assert_int_eq(team_run(team, 1, fail_at_the_end, &from), STATUS_CANCELLED);
    team_free(team);
}
END_TEST

static void sum_up(struct sphere *me, void *arg)
{
    for (int i = 0; i < 20; i++) {
        atomic_fetch_add((atomic_int *)arg, me->id);
        sphere_barrier(me);
    }
}

struct sharer {
    struct team *team;
    atomic_int sum;
};

static void run_twenty(void *arg)
{
    struct sharer *s = arg;
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(team_run(s->team, team_size(s->team), sum_up, &s->sum), STATUS_OK);
}

static enum status count_task(struct future *me, void *arg)
{
    (void)me;
    atomic_fetch_add((atomic_int *)arg, 1);
    return STATUS_OK;
}

/* Two teams of a pool, driven by two threads, and tasks in between: no thread but the pool's. */
START_TEST(teams_share_the_threads_of_a_pool)
{
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.num_threads = 2;
    options.gang_threads = 30;
    options.thread_name = "sphere";
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool && pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    struct team_options wide = {.num_spheres = 30, .pool = pool}, narrow = {.pool = pool};
    struct sharer a = {.team = team_new(&wide, &err)}, b = {.team = team_new(&narrow, &err)};
    ck_assert_msg(a.team && b.team, "%s", err.text);
    ck_assert_int_eq(sphere_threads(), 30);
    atomic_int tasks = 0;
    struct thread *threads[2] = {thread_start("a", run_twenty, &a, &err), thread_start("b", run_twenty, &b, &err)};
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(pool_submit(pool, POOL_BATCH, count_task, &tasks, NULL), STATUS_OK);
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    const int n = team_size(b.team);
    ck_assert_int_eq(a.sum, 20 * 20 * 30 * 29 / 2);
    ck_assert_int_eq(b.sum, 20 * 20 * n * (n - 1) / 2);
    wide.num_spheres = 31;
    ck_assert_ptr_null(team_new(&wide, &err));
    ck_assert_str_eq(err.text, "31 spheres do not fit a pool of 30 threads");
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(tasks, 100);
    ck_assert_int_eq(team_run(a.team, 30, sum_up, &a.sum), STATUS_MISUSE);
    team_free(a.team);
    team_free(b.team);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}
END_TEST

static void count_call(struct sphere *me, void *arg)
{
    (void)me;
    atomic_fetch_add((atomic_int *)arg, 1);
}

START_TEST(teams_come_and_go)
{
    for (int b = 0; b < NUM_THREADED_BACKENDS; b++)
        for (int i = 0; i < 60; i++) {
            atomic_int calls = 0;
            struct team *team = new_team(THREADED[b], 1 + i % 20);
            for (int run = 0; run < i % 3; run++)
                team_run(team, team_size(team), count_call, &calls);
            ck_assert_int_eq(calls, i % 3 * team_size(team));
            team_free(team);
        }
    team_free(NULL);
}
END_TEST

static void nothing(struct sphere *me, void *arg)
{
    (void)me;
    (void)arg;
}

START_TEST(a_run_allocates_nothing)
{
    struct team *team = new_team(TEAM_PTHREAD, 14);
    ck_assert_int_eq(sphere_threads(), 14);
    uint64_t before = mem_request_count();
    check_in_step(team, 14, 5, false);
    ck_assert_int_eq(team_run(team, 9, nothing, NULL), STATUS_OK);
    ck_assert_uint_eq(mem_request_count(), before);
    team_free(team);
}
END_TEST

START_TEST(every_refused_request_is_an_error_and_no_leak)
{
    struct team_options options = {.num_spheres = 5, .scratch_bytes = 100};
    struct error err = {0};
    uint64_t requests = mem_request_count();
    team_free(team_new(&options, &err));
    requests = mem_request_count() - requests;
    int refused = 0;
    for (uint64_t n = 0; n < requests; n++) {
        err = (struct error){0};
        mem_fail_at((int64_t)n);
        struct team *team = team_new(&options, &err);
        mem_fail_at(-1);
        if (team) { /* topology can do without */
            team_free(team);
            continue;
        }
        refused++;
        ck_assert_int_eq(err.status, STATUS_NOMEM);
        ck_assert_uint_gt(strlen(err.text), 0);
        check_no_sphere_threads();
    }
    ck_assert_int_ge(refused, 5 + 4); /* scratch of each; team, lock, barrier, members */
}
END_TEST

static void check_refused(int num_spheres, enum team_backend backend, enum status want, const char *says)
{
    struct error err = {0};
    struct team_options options = {.num_spheres = num_spheres, .backend = backend};
    ck_assert_ptr_null(team_new(&options, &err));
    ck_assert_int_eq(err.status, want);
    ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
}

START_TEST(counts_out_of_range_are_refused)
{
    check_refused(-1, TEAM_PTHREAD, STATUS_CONFIG, "1 to 1885, not -1");
    check_refused(1886, TEAM_PTHREAD, STATUS_CONFIG, "1 to 1885, not 1886");
    check_refused(2, TEAM_SERIAL, STATUS_CONFIG, "one sphere");
    check_refused(1, (enum team_backend)7, STATUS_CONFIG, "back end");
}
END_TEST

START_TEST(refused_threads_leave_none_behind)
{
    if (SHADOW_MEMORY)
        return;
    struct rlimit limit = {(rlim_t)256 << 20, (rlim_t)256 << 20};
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    check_refused(1500, THREADED[_i], STATUS_SYSTEM, "1500 sphere threads wanted, ");
    check_refused(1500, THREADED[_i], STATUS_SYSTEM, "ulimit -v");
    check_no_sphere_threads();
    struct team *team = new_team(TEAM_PTHREAD, 3); /* and the system is as it was */
    check_in_step(team, 3, 3, false);
    team_free(team);
}
END_TEST

START_TEST(auto_detection_sees_the_affinity_mask)
{
    unsetenv("OMP_NUM_THREADS");
    cpu_set_t mask, one;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &mask))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    struct error err = {0};
    struct team *team = team_new(&(struct team_options){0}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_int_eq(team_size(team), 1);
    team_free(team);

    team = new_team(TEAM_PTHREAD, 13); /* thirteen on one core: nobody may spin for long */
    uint64_t begin = clock_now_ns();
    check_in_step(team, 13, 100, false);
    ck_assert_uint_lt(clock_now_ns() - begin, 5000000000u);
    team_free(team);
}
END_TEST

START_TEST(auto_detection_sees_omp_num_threads)
{
    setenv("OMP_NUM_THREADS", "1", 1);
    struct error err = {0};
    struct team *team = team_new(&(struct team_options){0}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_int_eq(team_size(team), 1);
    team_free(team);
    unsetenv("OMP_NUM_THREADS");
    struct topology t;
    topology_read(&t);
    team = team_new(&(struct team_options){0}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_int_eq(team_size(team), topology_auto_spheres(&t));
    team_free(team);
}
END_TEST

static void work_two_ms_if_first(struct sphere *me, void *arg)
{
    (void)arg;
    arena_alloc(&me->scratch, 1000 + (size_t)me->id);
    arena_reset(&me->scratch, 0);
    uint64_t until = clock_now_ns() + 2000000;
    while (me->id == 0 && clock_now_ns() < until)
        ;
    me->stats.tokens += 10;
    me->stats.sequences += 1;
    sphere_count_flops(me, 100);
    sphere_barrier(me);
}

START_TEST(statistics_tell_what_was_done)
{
    struct team *team = new_team(TEAM_PTHREAD, 14);
    struct sphere_stats s;
    ck_assert_int_eq(team_stats(team, 13, &s), STATUS_OK);
    ck_assert(s.cpu == -1 && s.wait_ns == 0 && s.level == 2 && s.parent == 1 && s.group == 1);
    uint64_t begin = clock_now_ns();
    for (int run = 0; run < 5; run++)
        team_run(team, 3, work_two_ms_if_first, NULL);
    uint64_t lasted = clock_now_ns() - begin;
    for (int id = 0; id < 14; id++) {
        ck_assert_int_eq(team_stats(team, id, &s), STATUS_OK);
        bool member = id < 3;
        ck_assert_int_eq(s.id, id);
        ck_assert_uint_eq(s.tokens, member ? 50 : 0);
        ck_assert_uint_eq(s.sequences, member ? 5 : 0);
        ck_assert_uint_eq(s.flops, member ? 500 : 0);
        ck_assert_uint_eq(s.barriers, member ? 5 : 0);
        ck_assert_uint_eq(s.scratch_peak_bytes >= 1000, member);
        ck_assert_int_eq(s.cpu >= 0, member);
        ck_assert_uint_ge(s.compute_ns + s.wait_ns, 10000000);
        ck_assert_uint_le(s.compute_ns + s.wait_ns, lasted);
        if (id == 0)
            ck_assert_uint_ge(s.compute_ns, 10000000);
        if (!member)
            ck_assert_uint_eq(s.compute_ns, 0);
    }
    ck_assert_int_eq(team_stats(team, -1, &s), STATUS_MISUSE);
    ck_assert_int_eq(team_stats(team, 14, &s), STATUS_MISUSE);
    team_free(team);
}
END_TEST

struct watch {
    struct team *team;
    atomic_bool stop;
    atomic_int backwards;
};

static void watch_statistics(void *arg)
{
    struct watch *w = arg;
    struct sphere_stats old[14] = {0};
    while (!w->stop)
        for (int id = 0; id < 14; id++) {
            struct sphere_stats s;
            team_stats(w->team, id, &s);
            w->backwards += s.tokens < old[id].tokens || s.barriers < old[id].barriers ||
                            s.compute_ns < old[id].compute_ns || s.flops < old[id].flops;
            old[id] = s;
        }
}

static void count_work(struct sphere *me, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        me->stats.tokens++;
        sphere_count_flops(me, 3);
        sphere_barrier(me);
    }
}

START_TEST(statistics_may_be_read_during_a_run)
{
    struct error err = {0};
    struct watch w = {.team = new_team(TEAM_PTHREAD, 14)};
    struct thread *watcher = thread_start("watcher", watch_statistics, &w, &err);
    ck_assert_msg(watcher != NULL, "%s", err.text);
    for (int run = 0; run < 20; run++)
        team_run(w.team, 1 + run % 14, count_work, NULL);
    w.stop = true;
    thread_join(watcher);
    ck_assert_int_eq(w.backwards, 0);
    team_free(w.team);
}
END_TEST

static void look_at_signals(struct sphere *me, void *arg)
{
    (void)me;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGTERM) || sigismember(&blocked, SIGSEGV))
        atomic_fetch_add((atomic_int *)arg, 1);
}

START_TEST(sphere_threads_block_signals_and_ours_does_not)
{
    atomic_int wrong = 0;
    struct team *team = new_team(TEAM_PTHREAD, 3);
    team_run(team, 3, look_at_signals, &wrong);
    ck_assert_int_eq(wrong, 0);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    ck_assert(!sigismember(&blocked, SIGTERM));
    team_free(team);
}
END_TEST

#ifdef __x86_64__
enum { MXCSR_DEFAULT_CONTROL = 0x1f80, MXCSR_CONTROL = 0xffc0, MXCSR_FLUSHES_AND_ROUNDS_UP = 0xdfc0 };

static void look_at_mxcsr(struct sphere *me, void *arg)
{
    (void)me;
    if ((__builtin_ia32_stmxcsr() & MXCSR_CONTROL) != MXCSR_DEFAULT_CONTROL)
        atomic_fetch_add((atomic_int *)arg, 1);
    __builtin_ia32_ldmxcsr(MXCSR_FLUSHES_AND_ROUNDS_UP); /* a bad guest; the next run must not see it */
}

START_TEST(every_run_begins_in_the_default_floating_point_environment)
{
    static const enum team_backend ALL[] = {TEAM_SERIAL, TEAM_PTHREAD, TEAM_OPENMP};
    for (int b = 0; b < 1 + NUM_THREADED_BACKENDS; b++) {
        atomic_int wrong = 0;
        struct team *team = new_team(ALL[b], ALL[b] == TEAM_SERIAL ? 1 : 5);
        __builtin_ia32_ldmxcsr(MXCSR_FLUSHES_AND_ROUNDS_UP);
        team_run(team, team_size(team), look_at_mxcsr, &wrong);
        team_run(team, team_size(team), look_at_mxcsr, &wrong);
        unsigned after = __builtin_ia32_stmxcsr() & MXCSR_CONTROL;
        __builtin_ia32_ldmxcsr(MXCSR_DEFAULT_CONTROL);
        ck_assert_int_eq(wrong, 0);
        ck_assert_uint_eq(after, MXCSR_FLUSHES_AND_ROUNDS_UP & MXCSR_CONTROL); /* the caller's own is left alone */
        team_free(team);
    }
}
END_TEST
#endif

START_TEST(back_ends_have_names)
{
    struct error err = {0};
    enum team_backend backend;
    for (int b = TEAM_PTHREAD; b <= TEAM_SERIAL; b++) {
        ck_assert_int_eq(team_backend_parse(team_backend_name((enum team_backend)b), &backend, &err), STATUS_OK);
        ck_assert_int_eq((int)backend, b);
    }
    ck_assert_int_eq(team_backend_parse("tbb", &backend, &err), STATUS_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "pthread, openmp or serial"));
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("team");
    tcase_set_timeout(tc, TSAN ? 240 : 60);
    tcase_add_loop_test(tc, no_member_runs_ahead, 0, NUM_STRESS);
    tcase_add_loop_test(tc, the_first_systems_limit_works, 0, NUM_THREADED_BACKENDS);
    tcase_add_test(tc, widths_vary_from_run_to_run);
    tcase_add_test(tc, serial_is_the_caller);
    tcase_add_test(tc, the_verdict_is_common_and_the_first_in_order_of_ids);
    tcase_add_test(tc, a_failure_after_the_last_barrier_is_the_runs_verdict);
    tcase_add_test(tc, teams_share_the_threads_of_a_pool);
    tcase_add_test(tc, teams_come_and_go);
    tcase_add_test(tc, a_run_allocates_nothing);
    tcase_add_test(tc, every_refused_request_is_an_error_and_no_leak);
    tcase_add_test(tc, counts_out_of_range_are_refused);
    tcase_add_loop_test(tc, refused_threads_leave_none_behind, 0, NUM_THREADED_BACKENDS);
    tcase_add_test(tc, auto_detection_sees_the_affinity_mask);
    tcase_add_test(tc, auto_detection_sees_omp_num_threads);
    tcase_add_test(tc, statistics_tell_what_was_done);
    tcase_add_test(tc, statistics_may_be_read_during_a_run);
    tcase_add_test(tc, sphere_threads_block_signals_and_ours_does_not);
#ifdef __x86_64__
    tcase_add_test(tc, every_run_begins_in_the_default_floating_point_environment);
#endif
    tcase_add_test(tc, back_ends_have_names);
    Suite *suite = suite_create("team");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
