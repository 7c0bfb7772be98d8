/* SPDX-License-Identifier: MIT
 *
 * The deque and the FIFO of the pool: order, capacity, and every item once under stress with random delays.
 */
#include "base/rng.h"
#include "runtime/deque_internal.h"
#include "runtime/fifo_internal.h"
#include "runtime/thread.h"

#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { ITEMS = 20000, THIEVES = 3 };

static uintptr_t number(void *item)
{
    return (uintptr_t)item;
}

static void *item_of(uintptr_t i)
{
    return (void *)i; /* never dereferenced */
}

START_TEST(owner_takes_the_newest_and_thieves_the_oldest)
{
    struct deque deque;
    ck_assert_int_eq(deque_init(&deque, 4), STATUS_OK);
    ck_assert_ptr_null(deque_pop(&deque));
    void *got = NULL;
    ck_assert_int_eq(deque_steal(&deque, NULL, NULL, &got), DEQUE_EMPTY);
    for (uintptr_t round = 0; round < 10; round++) { /* slots are used again */
        for (uintptr_t i = 1; i <= 4; i++)
            ck_assert(deque_push(&deque, item_of(i)));
        ck_assert(!deque_push(&deque, item_of(5)));
        ck_assert(deque_some(&deque));
        ck_assert_int_eq(deque_steal(&deque, NULL, NULL, &got), DEQUE_STOLEN);
        ck_assert_uint_eq(number(got), 1);
        ck_assert_uint_eq(number(deque_pop(&deque)), 4);
        ck_assert_uint_eq(number(deque_pop(&deque)), 3);
        ck_assert_int_eq(deque_steal(&deque, NULL, NULL, &got), DEQUE_STOLEN);
        ck_assert_uint_eq(number(got), 2);
        ck_assert_ptr_null(deque_pop(&deque));
        ck_assert(!deque_some(&deque));
    }
    deque_release(&deque);
}
END_TEST

static bool is_even(const void *item, const void *ctx)
{
    (void)ctx;
    return (uintptr_t)item % 2 == 0;
}

START_TEST(a_thief_may_be_choosy)
{
    struct deque deque;
    ck_assert_int_eq(deque_init(&deque, 4), STATUS_OK);
    ck_assert(deque_push(&deque, item_of(2)) && deque_push(&deque, item_of(3)));
    void *got = NULL;
    ck_assert_int_eq(deque_steal(&deque, is_even, NULL, &got), DEQUE_STOLEN);
    ck_assert_uint_eq(number(got), 2);
    ck_assert_int_eq(deque_steal(&deque, is_even, NULL, &got), DEQUE_UNFIT);
    ck_assert_uint_eq(number(deque_pop(&deque)), 3);
    deque_release(&deque);
}
END_TEST

/* A delay that differs from call to call and thread to thread, none most of the time. */
static void stagger(uint64_t key, uint64_t i)
{
    const uint32_t r = philox4x32(key, 0, i).word[0];
    if (r % 16 == 0)
        sched_yield();
    for (volatile uint32_t k = r % 64; k > 0; k--)
        ;
}

struct stress {
    struct deque deque;
    struct fifo fifo;
    _Atomic int taken[ITEMS + 1];
    _Atomic int left;
};

struct role {
    struct stress *stress;
    uint64_t key;
    int index;
};

static void taken(struct stress *s, void *item)
{
    atomic_fetch_add(&s->taken[number(item)], 1);
    atomic_fetch_sub(&s->left, 1);
}

static void thief(void *arg)
{
    struct role *role = arg;
    struct stress *s = role->stress;
    uintptr_t last = 0;
    for (uint64_t i = 0; atomic_load(&s->left) > 0; i++) {
        void *item;
        stagger(role->key, i);
        if (deque_steal(&s->deque, NULL, NULL, &item) == DEQUE_STOLEN) {
            ck_assert_uint_gt(number(item), last); /* oldest first */
            last = number(item);
            taken(s, item);
        }
    }
}

static void check_all_once(const struct stress *s)
{
    for (int i = 1; i <= ITEMS; i++)
        ck_assert_msg(atomic_load((_Atomic int *)&s->taken[i]) == 1, "item %d was taken %d times", i,
                      atomic_load((_Atomic int *)&s->taken[i]));
}

START_TEST(every_item_is_taken_once)
{
    struct stress *s = calloc(1, sizeof *s);
    atomic_store(&s->left, ITEMS);
    ck_assert_int_eq(deque_init(&s->deque, (size_t)2 << _i), STATUS_OK); /* a small one is empty or full all the time */
    struct role roles[THIEVES];
    struct thread *threads[THIEVES];
    for (int i = 0; i < THIEVES; i++) {
        roles[i] = (struct role){s, rng_key(42, RNG_TEST, (uint64_t)_i, (uint64_t)i), i};
        threads[i] = thread_start("thief", thief, &roles[i], NULL);
        ck_assert_ptr_nonnull(threads[i]);
    }
    const uint64_t key = rng_key(42, RNG_TEST, (uint64_t)_i, THIEVES);
    uint64_t turn = 0;
    for (uintptr_t next = 1; next <= ITEMS; turn++) {
        stagger(key, turn);
        if (philox4x32(key, 1, turn).word[0] % 3 != 0)
            next += deque_push(&s->deque, item_of(next));
        else {
            void *item = deque_pop(&s->deque);
            if (item)
                taken(s, item);
        }
    }
    for (void *item; (item = deque_pop(&s->deque));)
        taken(s, item);
    for (int i = 0; i < THIEVES; i++)
        thread_join(threads[i]);
    ck_assert_int_eq(atomic_load(&s->left), 0);
    check_all_once(s);
    deque_release(&s->deque);
    free(s);
}
END_TEST

START_TEST(fifo_keeps_order_and_says_when_it_is_full)
{
    struct fifo fifo;
    ck_assert_int_eq(fifo_init(&fifo, 4), STATUS_OK);
    for (int round = 0; round < 5; round++) {
        ck_assert(fifo_empty(&fifo) && !fifo_some(&fifo));
        ck_assert_ptr_null(fifo_pop(&fifo));
        for (uintptr_t i = 1; i <= 4; i++)
            ck_assert_int_eq(fifo_push(&fifo, item_of(i), false), STATUS_OK);
        ck_assert_int_eq(fifo_push(&fifo, item_of(5), false), STATUS_QUEUE_FULL);
        ck_assert(fifo_some(&fifo) && fifo_crowded(&fifo));
        for (uintptr_t i = 1; i <= 4; i++)
            ck_assert_uint_eq(number(fifo_pop(&fifo)), i);
    }
    ck_assert_int_eq(fifo_push(&fifo, item_of(1), false), STATUS_OK);
    fifo_close(&fifo);
    ck_assert_int_eq(fifo_push(&fifo, item_of(2), false), STATUS_MISUSE);
    ck_assert_int_eq(fifo_push(&fifo, item_of(3), true), STATUS_OK);
    ck_assert_uint_eq(number(fifo_pop(&fifo)), 1);
    ck_assert_uint_eq(number(fifo_pop(&fifo)), 3);
    ck_assert(fifo_empty(&fifo));
    fifo_release(&fifo);
}
END_TEST

static void put(void *arg)
{
    struct role *role = arg;
    for (uintptr_t i = 1 + (uintptr_t)role->index; i <= ITEMS; i += 2) {
        stagger(role->key, i);
        while (fifo_push(&role->stress->fifo, item_of(i), false) != STATUS_OK)
            sched_yield();
    }
}

static void get(void *arg)
{
    struct role *role = arg;
    uintptr_t last[2] = {0, 0};
    for (uint64_t i = 0; atomic_load(&role->stress->left) > 0; i++) {
        stagger(role->key, i);
        void *item = fifo_pop(&role->stress->fifo);
        if (!item)
            continue;
        ck_assert_uint_gt(number(item), last[number(item) % 2]); /* what one thread put in comes out in order */
        last[number(item) % 2] = number(item);
        taken(role->stress, item);
    }
}

START_TEST(fifo_gives_every_item_once)
{
    struct stress *s = calloc(1, sizeof *s);
    atomic_store(&s->left, ITEMS);
    ck_assert_int_eq(fifo_init(&s->fifo, (size_t)2 << _i), STATUS_OK);
    struct role roles[4];
    struct thread *threads[4];
    for (int i = 0; i < 4; i++) {
        roles[i] = (struct role){s, rng_key(7, RNG_TEST, (uint64_t)_i, (uint64_t)i), i % 2};
        threads[i] = thread_start("stress", i < 2 ? put : get, &roles[i], NULL);
        ck_assert_ptr_nonnull(threads[i]);
    }
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    check_all_once(s);
    ck_assert(fifo_empty(&s->fifo));
    fifo_release(&s->fifo);
    free(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("deque");
    TCase *tc = tcase_create("deque");
    tcase_add_test(tc, owner_takes_the_newest_and_thieves_the_oldest);
    tcase_add_test(tc, a_thief_may_be_choosy);
    tcase_add_loop_test(tc, every_item_is_taken_once, 0, 8);
    tcase_add_test(tc, fifo_keeps_order_and_says_when_it_is_full);
    tcase_add_loop_test(tc, fifo_gives_every_item_once, 0, 5);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
