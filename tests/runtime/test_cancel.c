/* SPDX-License-Identifier: MIT */
#include "runtime/cancel.h"

#include "base/memory.h"
#include "runtime/crowd.h"
#include "runtime/team.h"

#include <stdatomic.h>
#include <string.h>

enum { MS = 1000000 };

static struct cancel *token(struct cancel *parent)
{
    struct error err = {0};
    struct cancel *c = cancel_new(parent, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

START_TEST(a_request_is_seen_with_its_first_reason)
{
    struct error err = {0};
    struct cancel *c = token(NULL);
    ck_assert_int_eq(cancel_check(c), STATUS_OK);
    ck_assert_int_eq(cancel_error(c, &err), STATUS_OK);
    ck_assert_str_eq(cancel_reason(c), "");
    ck_assert(cancel_request(c, "the client went away"));
    ck_assert(!cancel_request(c, "again"));
    ck_assert_int_eq(cancel_check(c), STATUS_CANCELLED);
    ck_assert_int_eq(cancel_error(c, &err), STATUS_CANCELLED);
    ck_assert_str_eq(err.text, "cancelled: the client went away");
    ck_assert_int_eq(cancel_wait(c, WAIT_FOREVER), STATUS_CANCELLED);
    ck_assert_int_eq(cancel_free(c), STATUS_OK);
}
END_TEST

START_TEST(no_token_is_never_cancelled)
{
    ck_assert_int_eq(cancel_check(NULL), STATUS_OK);
    ck_assert_str_eq(cancel_reason(NULL), "");
    ck_assert_int_eq(cancel_wait(NULL, 1), STATUS_TIMEOUT);
    ck_assert_int_eq(cancel_free(NULL), STATUS_OK);
}
END_TEST

START_TEST(a_long_reason_is_cut_and_none_is_fine)
{
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    struct cancel *a = token(NULL), *b = token(NULL);
    cancel_request(a, text);
    cancel_request(b, NULL);
    ck_assert_uint_eq(strlen(cancel_reason(a)), CANCEL_REASON_BYTES - 1);
    ck_assert_str_eq(cancel_reason(b), "");
    cancel_free(a);
    cancel_free(b);
}
END_TEST

START_TEST(a_request_reaches_the_whole_tree_below)
{
    struct cancel *all[1 + 3 + 9] = {token(NULL)}; /* each of the first four has three children */
    for (int i = 1; i < 13; i++)
        all[i] = token(all[(i - 1) / 3]);
    ck_assert(cancel_request(all[2], "a branch"));
    for (int i = 0; i < 13; i++)
        ck_assert_str_eq(cancel_reason(all[i]), i == 2 || (i - 1) / 3 == 2 ? "a branch" : "");
    ck_assert(cancel_request(all[0], "all"));
    for (int i = 0; i < 13; i++)
        ck_assert_str_eq(cancel_reason(all[i]), i == 2 || (i - 1) / 3 == 2 ? "a branch" : "all");
    for (int i = 0; i < 13; i++)
        ck_assert_int_eq(cancel_free(all[i]), STATUS_OK);
}
END_TEST

START_TEST(children_follow_their_parent_and_not_each_other)
{
    struct cancel *server = token(NULL), *one = token(server), *two = token(server), *part = token(one);
    ck_assert(cancel_request(one, "first"));
    ck_assert_int_eq(cancel_check(part), STATUS_CANCELLED);
    ck_assert_int_eq(cancel_check(two), STATUS_OK);
    ck_assert_int_eq(cancel_check(server), STATUS_OK);
    struct cancel *late = token(one);
    ck_assert_str_eq(cancel_reason(late), "first");
    ck_assert(cancel_request(server, "second"));
    ck_assert_str_eq(cancel_reason(part), "first");
    ck_assert_str_eq(cancel_reason(two), "second");
    struct cancel *all[] = {server, one, two, part, late}; /* in an order that leaves children without a parent */
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        ck_assert_int_eq(cancel_free(all[i]), STATUS_OK);
}
END_TEST

START_TEST(a_child_hears_of_those_above_a_parent_that_is_gone)
{
    struct cancel *top = token(NULL), *middle = token(top), *leaf = token(middle);
    ck_assert_int_eq(cancel_free(middle), STATUS_OK);
    cancel_request(top, "over");
    ck_assert_str_eq(cancel_reason(leaf), "over");
    ck_assert_int_eq(cancel_free(leaf), STATUS_OK);
    ck_assert_int_eq(cancel_free(top), STATUS_OK);
}
END_TEST

START_TEST(a_deadline_reaches_below_only_comes_nearer_and_stays)
{
    struct cancel *top = token(NULL), *leaf = token(top);
    cancel_set_timeout(top, WAIT_FOREVER);
    cancel_set_timeout(leaf, WAIT_FOREVER - 1);
    ck_assert_int_eq(cancel_check(leaf), STATUS_OK);
    cancel_set_timeout(leaf, 3600ull * 1000 * MS);
    ck_assert_int_eq(cancel_wait(leaf, MS), STATUS_TIMEOUT);
    const uint64_t begin = clock_now_ns();
    cancel_set_timeout(top, 20 * MS);
    cancel_set_timeout(top, 3600ull * 1000 * MS); /* later: ignored */
    struct cancel *late = token(leaf);
    ck_assert_int_eq(cancel_wait(late, WAIT_FOREVER), STATUS_CANCELLED);
    ck_assert_uint_ge(clock_now_ns() - begin, 20 * MS);
    ck_assert_int_eq(cancel_check(top), STATUS_CANCELLED);
    ck_assert_str_eq(cancel_reason(leaf), "the deadline has passed");
    ck_assert(!cancel_request(top, "too late"));
    ck_assert_str_eq(cancel_reason(top), "the deadline has passed");
    cancel_free(late);
    cancel_free(leaf);
    cancel_free(top);
}
END_TEST

START_TEST(a_request_after_a_childs_deadline_leaves_its_reason)
{
    struct cancel *top = token(NULL), *leaf = token(top);
    cancel_set_timeout(leaf, 0);
    ck_assert_int_eq(cancel_check(leaf), STATUS_CANCELLED);
    ck_assert(cancel_request(top, "stop"));
    ck_assert_str_eq(cancel_reason(leaf), "the deadline has passed");
    ck_assert_str_eq(cancel_reason(top), "stop");
    cancel_free(leaf);
    cancel_free(top);
}
END_TEST

START_TEST(a_chain_of_ten_thousand)
{
    enum { LONG = 10000 };
    static struct cancel *chain[LONG];
    for (int i = 0; i < LONG; i++)
        chain[i] = token(i ? chain[i - 1] : NULL);
    cancel_request(chain[0], "all");
    ck_assert_str_eq(cancel_reason(chain[LONG - 1]), "all");
    for (int i = 0; i < LONG; i++)
        ck_assert_int_eq(cancel_free(chain[i]), STATUS_OK);
}
END_TEST

static void wait_long(struct crowd_member *me, void *arg)
{
    (void)me;
    ck_assert_int_eq(cancel_wait(arg, WAIT_FOREVER), STATUS_CANCELLED);
}

START_TEST(who_waits_is_woken_and_the_token_is_not_freed_under_it)
{
    struct crowd_member waiters[4];
    struct cancel *top = token(NULL), *leaf = token(top);
    crowd_start(waiters, 4, wait_long, leaf);
    sleep_ms(50); /* longer than it takes a thread to get to its wait */
    ck_assert_int_eq(cancel_free(leaf), STATUS_MISUSE);
    cancel_request(top, "go");
    crowd_join(waiters, 4);
    ck_assert_int_eq(cancel_free(leaf), STATUS_OK);
    ck_assert_int_eq(cancel_free(top), STATUS_OK);
}
END_TEST

START_TEST(a_nearer_deadline_wakes_who_sleeps_to_a_later_one)
{
    struct crowd_member waiter;
    struct cancel *c = token(NULL);
    cancel_set_timeout(c, 3600ull * 1000 * MS);
    crowd_start(&waiter, 1, wait_long, c);
    sleep_ms(20);
    cancel_set_timeout(c, MS);
    crowd_join(&waiter, 1);
    cancel_free(c);
}
END_TEST

/* Tokens come, wait, are cancelled by their parent, by themselves or by time, and go, all at once. */
struct stress {
    struct cancel *top;
    atomic_int firsts, told;
    int message; /* written before the request, read after the check: a race if the order is not kept */
};

static void come_and_go(struct crowd_member *me, void *arg)
{
    struct stress *s = arg;
    for (;;) {
        struct cancel *mine = token(s->top), *part = token(mine);
        crowd_dawdle(me);
        const uint64_t way = crowd_random(me) % 4;
        if (way == 0)
            cancel_request(mine, "by itself");
        else if (way == 1)
            cancel_set_timeout(mine, crowd_random(me) % 50000);
        else
            cancel_wait(part, crowd_random(me) % 50000);
        if (way < 2)
            ck_assert_int_eq(cancel_wait(part, WAIT_FOREVER), STATUS_CANCELLED);
        const bool parent_first = crowd_random(me) % 2;
        ck_assert_int_eq(cancel_free(parent_first ? mine : part), STATUS_OK);
        ck_assert_int_eq(cancel_free(parent_first ? part : mine), STATUS_OK);
        if (cancel_check(s->top) != STATUS_OK)
            break;
    }
    ck_assert_int_eq(s->message, 42);
    s->told++;
    s->firsts += cancel_request(s->top, "second");
}

START_TEST(stress)
{
    enum { THREADS = 6 };
    struct crowd_member members[THREADS];
    for (int round = 0; round < crowd_rounds(10); round++) {
        struct stress s = {.top = token(NULL)};
        crowd_start(members, THREADS, come_and_go, &s);
        sleep_ms(10);
        s.message = 42;
        s.firsts += cancel_request(s.top, "first");
        crowd_join(members, THREADS);
        ck_assert_int_eq(s.firsts, 1);
        ck_assert_int_eq(s.told, THREADS);
        ck_assert_str_eq(cancel_reason(s.top), "first");
        ck_assert_int_eq(cancel_free(s.top), STATUS_OK);
    }
}
END_TEST

struct long_run {
    struct cancel *cancel;
    atomic_int rounds[13];
};

static void work_until_cancelled(struct sphere *me, void *arg)
{
    struct long_run *run = arg;
    do {
        run->rounds[me->id]++;
        if (me->id == 7 && run->rounds[7] == 100)
            cancel_request(run->cancel, "sphere 7 has seen enough");
    } while (cancel_check_team(me, run->cancel) == STATUS_OK);
}

START_TEST(a_team_stops_as_one)
{
    struct error err = {0};
    struct team *team = team_new(&(struct team_options){.num_spheres = 13}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    struct long_run run = {.cancel = token(NULL)};
    ck_assert_int_eq(team_run(team, 13, work_until_cancelled, &run), STATUS_CANCELLED);
    for (int i = 0; i < 13; i++)
        ck_assert_int_eq(run.rounds[i], run.rounds[0]);
    ck_assert_int_ge(run.rounds[0], 100);
    team_free(team);
    cancel_free(run.cancel);
}
END_TEST

START_TEST(without_memory_there_is_an_error)
{
    struct cancel *top = token(NULL);
    for (int i = 0; i < 4; i++) {
        struct error err = {0};
        mem_fail_at(i);
        struct cancel *c = cancel_new(i == 3 ? top : NULL, &err);
        mem_fail_at(-1);
        ck_assert_int_eq(c != NULL, i == 3);
        ck_assert_int_eq(err.status, i == 3 ? STATUS_OK : STATUS_NOMEM);
        cancel_free(c);
    }
    cancel_free(top);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("cancel");
    tcase_add_test(tc, a_request_is_seen_with_its_first_reason);
    tcase_add_test(tc, no_token_is_never_cancelled);
    tcase_add_test(tc, a_long_reason_is_cut_and_none_is_fine);
    tcase_add_test(tc, a_request_reaches_the_whole_tree_below);
    tcase_add_test(tc, children_follow_their_parent_and_not_each_other);
    tcase_add_test(tc, a_child_hears_of_those_above_a_parent_that_is_gone);
    tcase_add_test(tc, a_deadline_reaches_below_only_comes_nearer_and_stays);
    tcase_add_test(tc, a_request_after_a_childs_deadline_leaves_its_reason);
    tcase_add_test(tc, a_chain_of_ten_thousand);
    tcase_add_test(tc, who_waits_is_woken_and_the_token_is_not_freed_under_it);
    tcase_add_test(tc, a_nearer_deadline_wakes_who_sleeps_to_a_later_one);
    tcase_add_test(tc, stress);
    tcase_add_test(tc, a_team_stops_as_one);
    tcase_add_test(tc, without_memory_there_is_an_error);
    return crowd_suite("cancel", tc);
}
