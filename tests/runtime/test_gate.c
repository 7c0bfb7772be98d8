/* SPDX-License-Identifier: MIT */
#include "runtime/gate.h"

#include "base/memory.h"
#include "runtime/crowd.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

enum { MS = 1000000 };

static struct gate *new_gate(int limit)
{
    struct error err = {0};
    struct gate *gate = gate_new(limit, &err);
    ck_assert_msg(gate != NULL, "%s", err.text);
    return gate;
}

static struct gate_stats stats_of(const struct gate *gate)
{
    struct gate_stats stats;
    gate_get_stats(gate, &stats);
    return stats;
}

static void enter(struct gate *gate)
{
    struct error err = {0};
    ck_assert_msg(gate_enter(gate, NULL, WAIT_FOREVER, &err) == STATUS_OK, "%s", err.text);
}

START_TEST(absurd_limits_are_refused)
{
    static const int LIMITS[] = {0, -1, INT_MIN, INT_MAX, GATE_LIMIT_MAX + 1};
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        struct error err = {0};
        ck_assert_ptr_null(gate_new(LIMITS[i], &err));
        ck_assert_int_eq(err.status, STATUS_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "1 to 1048576"));
    }
    ck_assert_int_eq(gate_free(new_gate(GATE_LIMIT_MAX), NULL), STATUS_OK);
    ck_assert_int_eq(gate_free(NULL, NULL), STATUS_OK);
}
END_TEST

START_TEST(misuse_is_a_status)
{
    struct error err = {0};
    struct gate *gate = new_gate(2);
    ck_assert_int_eq(gate_leave(gate), STATUS_MISUSE);
    enter(gate);
    ck_assert_int_eq(gate_free(gate, &err), STATUS_MISUSE);
    ck_assert_str_eq(err.text, "a gate was to be freed with 1 inside and 0 waiting");
    gate_close(gate);
    gate_close(gate);
    ck_assert_int_eq(gate_enter(gate, NULL, 0, &err), STATUS_MISUSE);
    ck_assert_int_eq(gate_enter(gate, NULL, WAIT_FOREVER, &err), STATUS_MISUSE);
    ck_assert_ptr_nonnull(strstr(err.text, "closed"));
    ck_assert_int_eq(gate_leave(gate), STATUS_OK);
    ck_assert_int_eq(gate_leave(gate), STATUS_MISUSE);
    ck_assert_int_eq(gate_free(gate, &err), STATUS_OK);
}
END_TEST

START_TEST(a_full_gate_times_out)
{
    struct error err = {0};
    struct gate *gate = new_gate(1);
    enter(gate);
    ck_assert_int_eq(gate_enter(gate, NULL, 0, &err), STATUS_TIMEOUT);
    ck_assert_str_eq(err.text, "no place became free in time: 1 of 1 are taken");
    const uint64_t begin = clock_now_ns();
    ck_assert_int_eq(gate_enter(gate, NULL, 20 * MS, &err), STATUS_TIMEOUT);
    ck_assert_uint_ge(clock_now_ns() - begin, 20 * MS);
    ck_assert_uint_eq(stats_of(gate).timed_out, 2);
    ck_assert_int_eq(stats_of(gate).waiting, 0);
    gate_leave(gate);
    ck_assert_int_eq(gate_enter(gate, NULL, 0, &err), STATUS_OK);
    gate_leave(gate);
    gate_free(gate, NULL);
}
END_TEST

struct queue {
    struct gate *gate;
    atomic_int arrivals;         /* in order */
    int order[CROWD_MAX], count; /* guarded by the gate, whose limit is 1 */
};

static void wait_in_line(struct crowd_member *me, void *arg)
{
    struct queue *q = arg;
    while (q->arrivals != me->id || stats_of(q->gate).waiting != me->id)
        sched_yield();
    q->arrivals++;
    enter(q->gate);
    q->order[q->count++] = me->id;
    ck_assert_int_eq(gate_leave(q->gate), STATUS_OK);
}

START_TEST(first_come_first_served)
{
    enum { THREADS = 12 };
    struct crowd_member members[THREADS];
    struct queue q = {.gate = new_gate(1)};
    enter(q.gate);
    crowd_start(members, THREADS, wait_in_line, &q);
    while (stats_of(q.gate).waiting < THREADS)
        sched_yield();
    ck_assert_int_eq(gate_enter(q.gate, NULL, 0, NULL), STATUS_TIMEOUT);
    gate_leave(q.gate);
    crowd_join(members, THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(q.order[i], i);
    ck_assert_uint_eq(stats_of(q.gate).waited, THREADS);
    ck_assert_int_eq(gate_free(q.gate, NULL), STATUS_OK);
}
END_TEST

struct wait {
    struct gate *gate;
    struct cancel *cancel;
    enum status want;
};

static void wait_and_be_told(struct crowd_member *me, void *arg)
{
    (void)me;
    struct wait *w = arg;
    struct error err = {0};
    ck_assert_int_eq(gate_enter(w->gate, w->cancel, WAIT_FOREVER, &err), w->want);
    ck_assert_int_eq(err.status, w->want);
    ck_assert_uint_gt(strlen(err.text), 0);
}

START_TEST(a_token_or_its_parent_or_its_deadline_ends_the_wait)
{
    struct error err = {0};
    for (int way = 0; way < 3; way++) {
        struct crowd_member members[3];
        struct cancel *top = cancel_new(NULL, &err);
        struct wait w = {.gate = new_gate(1), .cancel = cancel_new(top, &err), .want = STATUS_CANCELLED};
        enter(w.gate);
        crowd_start(members, 3, wait_and_be_told, &w);
        while (stats_of(w.gate).waiting < 3)
            sched_yield();
        if (way == 2)
            cancel_set_timeout(top, MS);
        else
            cancel_request(way ? top : w.cancel, "enough");
        crowd_join(members, 3);
        ck_assert_int_eq(stats_of(w.gate).waiting, 0);
        ck_assert_uint_eq(stats_of(w.gate).cancelled, 3);
        ck_assert_int_eq(gate_enter(w.gate, w.cancel, 0, &err), STATUS_CANCELLED);
        gate_leave(w.gate);
        ck_assert_int_eq(gate_enter(w.gate, w.cancel, 0, &err), STATUS_CANCELLED); /* though there is a place */
        ck_assert_int_eq(gate_free(w.gate, &err), STATUS_OK);
        ck_assert_int_eq(cancel_free(w.cancel), STATUS_OK);
        ck_assert_int_eq(cancel_free(top), STATUS_OK);
    }
}
END_TEST

START_TEST(closing_sends_away_who_waits)
{
    struct crowd_member members[4];
    struct wait w = {.gate = new_gate(1), .want = STATUS_MISUSE};
    enter(w.gate);
    crowd_start(members, 4, wait_and_be_told, &w);
    while (stats_of(w.gate).waiting < 4)
        sched_yield();
    ck_assert_int_eq(gate_free(w.gate, NULL), STATUS_MISUSE);
    gate_close(w.gate);
    crowd_join(members, 4);
    gate_leave(w.gate);
    ck_assert_int_eq(gate_free(w.gate, NULL), STATUS_OK);
}
END_TEST

/* Threads enter with short timeouts and tokens that others cancel: never more than the limit inside, none is lost. */
struct stress {
    struct gate *gate;
    struct cancel *top;
    int limit, rounds;
    atomic_int inside, most;
    atomic_llong entered, refused;
    int alone; /* plain, guarded by the gate when its limit is 1 */
};

static void come_and_go(struct crowd_member *me, void *arg)
{
    struct stress *s = arg;
    struct error err = {0};
    for (int i = 0; i < s->rounds; i++) {
        struct cancel *cancel = crowd_random(me) % 3 ? cancel_new(s->top, &err) : NULL;
        if (cancel && crowd_random(me) % 2)
            cancel_set_timeout(cancel, crowd_random(me) % 100000);
        const uint64_t way = crowd_random(me) % 3;
        enum status status = gate_enter(s->gate, cancel,
                                        way == 0   ? WAIT_FOREVER
                                        : way == 1 ? crowd_random(me) % 100000
                                                   : 0,
                                        &err);
        if (status == STATUS_OK) {
            const int now = ++s->inside;
            ck_assert_int_le(now, s->limit);
            if (s->limit == 1)
                s->alone++;
            crowd_dawdle(me);
            s->inside--;
            s->entered++;
            ck_assert_int_eq(gate_leave(s->gate), STATUS_OK);
        } else {
            ck_assert(status == STATUS_TIMEOUT || status == STATUS_CANCELLED);
            s->refused++;
        }
        ck_assert_int_eq(cancel_free(cancel), STATUS_OK);
    }
}

START_TEST(stress)
{
    enum { THREADS = 8 };
    struct crowd_member members[THREADS];
    struct error err = {0};
    for (int limit = 1; limit <= 4; limit++) {
        struct stress s = {
            .gate = new_gate(limit), .top = cancel_new(NULL, &err), .limit = limit, .rounds = crowd_rounds(1500)};
        crowd_start(members, THREADS, come_and_go, &s);
        crowd_join(members, THREADS);
        const struct gate_stats now = stats_of(s.gate);
        ck_assert_int_eq(now.inside, 0);
        ck_assert_int_eq(now.waiting, 0);
        ck_assert_int_le(now.most_inside, limit);
        ck_assert_uint_eq(now.entered, (uint64_t)s.entered);
        ck_assert_uint_eq(now.timed_out + now.cancelled, (uint64_t)s.refused);
        ck_assert_int_eq(s.entered + s.refused, THREADS * s.rounds);
        if (limit == 1)
            ck_assert_int_eq(s.alone, s.entered);
        ck_assert_int_eq(gate_free(s.gate, NULL), STATUS_OK);
        ck_assert_int_eq(cancel_free(s.top), STATUS_OK);
    }
}
END_TEST

START_TEST(without_memory_there_is_an_error)
{
    for (int i = 0; i < 2; i++) {
        struct error err = {0};
        mem_fail_at(i);
        ck_assert_ptr_null(gate_new(1, &err));
        ck_assert_int_eq(err.status, STATUS_NOMEM);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("gate");
    tcase_add_test(tc, absurd_limits_are_refused);
    tcase_add_test(tc, misuse_is_a_status);
    tcase_add_test(tc, a_full_gate_times_out);
    tcase_add_test(tc, first_come_first_served);
    tcase_add_test(tc, a_token_or_its_parent_or_its_deadline_ends_the_wait);
    tcase_add_test(tc, closing_sends_away_who_waits);
    tcase_add_test(tc, stress);
    tcase_add_test(tc, without_memory_there_is_an_error);
    return crowd_suite("gate", tc);
}
