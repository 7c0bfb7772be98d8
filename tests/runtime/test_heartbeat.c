/* SPDX-License-Identifier: MIT
 * Signs of life: who is behind in a run that stands still, and who was robbed of its core.
 */
#include "base/clock.h"
#include "runtime/heartbeat.h"
#include "runtime/profile.h"
#include "runtime/team.h"
#include "runtime/thread.h"
#include "runtime/team_internal.h"
#include "runtime/thread_state.h"

#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SPHERES = 15 };

static struct team *make(int spheres)
{
    struct error err = {0};
    const struct team_options options = {.num_spheres = spheres, .backend = TEAM_PTHREAD};
    struct team *team = team_new(&options, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    return team;
}

struct stuck {
    struct team *team;
    int id, barriers; /* it hangs when it crossed so many */
    atomic_bool seen;
    struct heartbeat laggard;
};

static void hang_once(struct sphere *me, void *arg)
{
    struct stuck *s = arg;
    sphere_phase(me, "first");
    for (int i = 0; i < 3; i++) {
        if (me->id == s->id && i == s->barriers) {
            sphere_phase(me, "stuck");
            while (!atomic_load(&s->seen))
                usleep(1000);
        }
        sphere_barrier(me);
    }
    sphere_phase(me, "last");
}

/* Looks until nothing has moved for long, as a watchdog does. */
static void find(void *arg)
{
    struct stuck *s = arg;
    struct team_pulse before = {0}, now;
    for (uint64_t still_since = clock_now_ns();;) {
        team_pulse(s->team, &now);
        if (!now.running || now.run != before.run || now.beats != before.beats)
            still_since = clock_now_ns();
        before = now;
        /* Not by time alone: all others are at the barrier that it has yet to come to. */
        int there = 0;
        struct heartbeat h;
        for (int id = 0; team_heartbeat(s->team, id, &h); id++)
            there += h.state == MEMBER_WAITING && h.arrivals == (uint64_t)s->barriers + 1;
        if (there == SPHERES - 1 && clock_now_ns() - still_since > 20000000u)
            break;
        usleep(1000);
    }
    ck_assert(team_laggard(s->team, &s->laggard));
    atomic_store(&s->seen, true);
}

START_TEST(who_is_behind_is_found)
{
    struct error err = {0};
    struct stuck s = {.team = make(SPHERES), .id = (int[]){0, 1, 7, 14}[_i / 3], .barriers = _i % 3};
    ck_assert(!team_laggard(s.team, &s.laggard));
    struct thread *finder = thread_start("finder", find, &s, &err);
    ck_assert_int_eq(team_run(s.team, SPHERES, hang_once, &s), STATUS_OK);
    thread_join(finder);
    ck_assert_int_eq(s.laggard.id, s.id);
    ck_assert_str_eq(s.laggard.phase, "stuck");
    ck_assert_int_eq(s.laggard.state, MEMBER_WORKING);
    ck_assert_uint_eq(s.laggard.arrivals, (uint64_t)s.barriers);
    ck_assert_int_gt(s.laggard.tid, 0);
    ck_assert(!team_laggard(s.team, &s.laggard));
    team_free(s.team);
}
END_TEST

/* Stopped on its way out of a barrier that the others have left behind. */
START_TEST(who_waits_at_an_older_barrier_is_behind)
{
    struct team *team = make(5);
    struct heartbeat h;
    team->running = true;
    team->runs = 1;
    team->width = 5;
    for (int id = 0; id < 5; id++) {
        struct sphere_pulse *p = &team->members[id].sphere.pulse;
        p->run = 1;
        p->state = MEMBER_WAITING;
        p->arrivals = 4;
        p->phase = "x";
    }
    team->members[3].sphere.pulse.arrivals = 3;
    ck_assert(team_laggard(team, &h) && h.id == 3);
    team->members[4].sphere.pulse.run = 0; /* has not even begun */
    ck_assert(team_laggard(team, &h) && h.id == 4 && h.state == MEMBER_NOT_BEGUN);
    team->members[4].sphere.pulse.run = 1;
    team->members[3].sphere.pulse.state = MEMBER_DONE;
    team->members[2].sphere.pulse.state = MEMBER_WORKING;
    team->members[2].sphere.pulse.arrivals = 3; /* the fourth is its next */
    ck_assert(team_laggard(team, &h) && h.id == 2);
    team->running = false;
    team_free(team);
}
END_TEST

static void compute_a_while(struct sphere *me, void *arg)
{
    (void)me;
    (void)arg;
    for (const uint64_t start = clock_now_ns(); clock_now_ns() - start < 60000000u;)
        ;
}

/* Two at work on one core: each of them waits for it at some time. */
START_TEST(who_is_robbed_of_its_core_is_seen)
{
    struct thread_state own;
    ck_assert(thread_state_read((int)getpid(), &own));
    ck_assert(own.state == 'R' && own.cpu >= 0);
    ck_assert(!thread_state_read(1 << 30, &own));
    if (access("/proc/self/schedstat", R_OK) != 0) {
        printf("skipped: this kernel does not count the time on the run queue\n");
        return;
    }
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    int first = 0;
    while (!CPU_ISSET(first, &set))
        first++;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    ck_assert_int_eq(sched_setaffinity(0, sizeof set, &set), 0);
    struct team *team = make(2);
    ck_assert_uint_eq(team_robbed_ns(team, 0), 0);
    ck_assert_int_eq(team_run(team, 2, compute_a_while, NULL), STATUS_OK);
    ck_assert_uint_gt(team_robbed_ns(team, 0) + team_robbed_ns(team, 1), 10000000u);
    team_free(team);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heartbeat");
    TCase *tc = tcase_create("heartbeat");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, who_is_behind_is_found, 0, 12);
    tcase_add_test(tc, who_waits_at_an_older_barrier_is_behind);
    tcase_add_test(tc, who_is_robbed_of_its_core_is_seen);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
