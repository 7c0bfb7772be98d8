/* SPDX-License-Identifier: MIT */
#include "runtime/object_pool.h"

#include "base/memory.h"
#include "runtime/crowd.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>

struct factory {
    atomic_int alive, most;
    bool broken, silent, wary;
};

struct object {
    int uses; /* plain: the pool hands it from thread to thread */
    atomic_int users;
};

static void *make(void *context, struct error *err)
{
    struct factory *f = context;
    if (f->broken) {
        if (!f->silent)
            error_set(err, STATUS_IO, "the factory is on strike");
        return NULL;
    }
    const int alive = ++f->alive;
    for (int most = f->most; alive > most && !atomic_compare_exchange_weak(&f->most, &most, alive);)
        ;
    return mem_calloc(1, sizeof(struct object));
}

static bool reset(void *object, void *context)
{
    struct factory *f = context;
    return !f->wary || ((struct object *)object)->uses % 5 != 0;
}

static void destroy(void *object, void *context)
{
    struct factory *f = context;
    f->alive--;
    mem_free(object);
}

static struct object_pool *new_pool(struct factory *f, int capacity)
{
    struct error err = {0};
    struct object_pool *pool = object_pool_new(
        &(struct object_pool_options){
            .capacity = capacity, .make = make, .reset = reset, .destroy = destroy, .context = f},
        &err);
    ck_assert_msg(pool != NULL, "%s", err.text);
    return pool;
}

static void *get(struct object_pool *pool)
{
    struct error err = {0};
    void *object = NULL;
    ck_assert_msg(object_pool_get(pool, NULL, 0, &object, &err) == STATUS_OK, "%s", err.text);
    ck_assert_ptr_nonnull(object);
    return object;
}

static void put(struct object_pool *pool, void *object)
{
    struct error err = {0};
    ck_assert_msg(object_pool_put(pool, object, &err) == STATUS_OK, "%s", err.text);
}

START_TEST(absurd_options_are_refused)
{
    static const int CAPACITIES[] = {0, -1, INT_MIN, INT_MAX, OBJECT_POOL_CAPACITY_MAX + 1};
    struct error err = {0};
    for (size_t i = 0; i < sizeof CAPACITIES / sizeof CAPACITIES[0]; i++) {
        err = (struct error){0};
        ck_assert_ptr_null(
            object_pool_new(&(struct object_pool_options){.capacity = CAPACITIES[i], .make = make}, &err));
        ck_assert_int_eq(err.status, STATUS_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "1 to 4096"));
    }
    ck_assert_ptr_null(object_pool_new(&(struct object_pool_options){.capacity = 1}, &err));
    ck_assert_int_eq(err.status, STATUS_CONFIG);
    ck_assert_int_eq(object_pool_free(NULL, NULL), STATUS_OK);
}
END_TEST

START_TEST(objects_are_made_when_wanted_and_reused_warm)
{
    struct factory f = {0};
    struct object_pool *pool = new_pool(&f, 3);
    ck_assert_int_eq(f.alive, 0);
    void *a = get(pool), *b = get(pool);
    ck_assert_ptr_ne(a, b);
    put(pool, a);
    put(pool, b);
    ck_assert_ptr_eq(get(pool), b);
    ck_assert_ptr_eq(get(pool), a);
    void *c = get(pool);
    ck_assert_int_eq(f.alive, 3);
    struct error err = {0};
    void *none = &f;
    ck_assert_int_eq(object_pool_get(pool, NULL, 0, &none, &err), STATUS_TIMEOUT);
    ck_assert_ptr_null(none);
    put(pool, a);
    put(pool, b);
    put(pool, c);
    struct object_pool_stats stats;
    object_pool_get_stats(pool, &stats);
    ck_assert_int_eq(stats.idle, 3);
    ck_assert_int_eq(stats.out, 0);
    ck_assert_uint_eq(stats.made, 3);
    ck_assert_uint_eq(stats.reused, 2);
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_OK);
    ck_assert_int_eq(f.alive, 0);
}
END_TEST

START_TEST(misuse_is_a_status)
{
    struct factory f = {0};
    struct error err = {0};
    struct object_pool *pool = new_pool(&f, 2);
    int foreign;
    void *a = get(pool);
    ck_assert_int_eq(object_pool_put(pool, &foreign, &err), STATUS_MISUSE);
    ck_assert_int_eq(object_pool_put(pool, NULL, &err), STATUS_MISUSE);
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_MISUSE);
    ck_assert_str_eq(err.text, "an object pool was to be freed with 1 objects out and 0 threads waiting");
    put(pool, a);
    ck_assert_int_eq(object_pool_put(pool, a, &err), STATUS_MISUSE);
    ck_assert_ptr_eq(get(pool), a); /* it is there once */
    void *b = get(pool);
    ck_assert_ptr_ne(b, a);
    put(pool, a);
    put(pool, b);
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_OK);
}
END_TEST

START_TEST(draining_ends_it)
{
    struct factory f = {0};
    struct error err = {0};
    struct object_pool *pool = new_pool(&f, 3);
    void *a = get(pool), *b = get(pool), *none;
    put(pool, a);
    object_pool_drain(pool);
    object_pool_drain(pool);
    ck_assert_int_eq(f.alive, 1); /* b is out */
    ck_assert_int_eq(object_pool_get(pool, NULL, WAIT_FOREVER, &none, &err), STATUS_MISUSE);
    ck_assert_ptr_nonnull(strstr(err.text, "drained"));
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_MISUSE);
    put(pool, b);
    ck_assert_int_eq(f.alive, 0);
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_OK);
}
END_TEST

START_TEST(a_maker_that_fails_leaves_the_place_free)
{
    struct factory f = {.broken = true};
    struct error err = {0};
    struct object_pool *pool = new_pool(&f, 1);
    void *a;
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(object_pool_get(pool, NULL, 0, &a, &err), STATUS_IO);
        ck_assert_str_eq(err.text, "the factory is on strike");
    }
    f.silent = true;
    ck_assert_int_eq(object_pool_get(pool, NULL, 0, &a, &err), STATUS_NOMEM);
    f.broken = false;
    put(pool, get(pool));
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_OK);
}
END_TEST

START_TEST(a_token_ends_the_wait)
{
    struct factory f = {0};
    struct error err = {0};
    struct object_pool *pool = new_pool(&f, 1);
    struct cancel *cancel = cancel_new(NULL, &err);
    void *a = get(pool), *none;
    cancel_set_timeout(cancel, 5000000);
    ck_assert_int_eq(object_pool_get(pool, cancel, WAIT_FOREVER, &none, &err), STATUS_CANCELLED);
    ck_assert_str_eq(err.text, "cancelled: the deadline has passed");
    put(pool, a);
    ck_assert_int_eq(object_pool_free(pool, &err), STATUS_OK);
    cancel_free(cancel);
}
END_TEST

struct stress {
    struct object_pool *pool;
    int rounds;
    atomic_llong uses;
};

static void borrow(struct crowd_member *me, void *arg)
{
    struct stress *s = arg;
    struct error err = {0};
    for (int i = 0; i < s->rounds; i++) {
        void *p = NULL;
        enum status status = object_pool_get(s->pool, NULL, crowd_random(me) % 2 ? WAIT_FOREVER : 20000, &p, &err);
        if (status == STATUS_MISUSE)
            return; /* drained */
        if (status == STATUS_TIMEOUT)
            continue;
        ck_assert_int_eq(status, STATUS_OK);
        struct object *object = p;
        ck_assert_int_eq(object->users++, 0);
        object->uses++;
        crowd_dawdle(me);
        object->users--;
        s->uses++;
        ck_assert_int_eq(object_pool_put(s->pool, object, &err), STATUS_OK);
    }
}

START_TEST(stress)
{
    enum { THREADS = 8 };
    struct crowd_member members[THREADS];
    for (int capacity = 1; capacity <= 4; capacity++) {
        struct factory f = {.wary = true};
        struct stress s = {.pool = new_pool(&f, capacity), .rounds = crowd_rounds(1000)};
        crowd_start(members, THREADS, borrow, &s);
        if (capacity == 3) {
            sleep_ms(20);
            object_pool_drain(s.pool);
        }
        crowd_join(members, THREADS);
        ck_assert_int_le(f.most, capacity);
        struct object_pool_stats stats;
        object_pool_get_stats(s.pool, &stats);
        ck_assert_int_eq(stats.out, 0);
        ck_assert_uint_eq(stats.made + stats.reused, (uint64_t)s.uses);
        ck_assert_int_eq((int)(stats.made - stats.destroyed), stats.idle);
        ck_assert_int_eq(object_pool_free(s.pool, NULL), STATUS_OK);
        ck_assert_int_eq(f.alive, 0);
    }
}
END_TEST

START_TEST(without_memory_there_is_an_error)
{
    struct factory f = {0};
    for (int i = 0; i < 6; i++) {
        struct error err = {0};
        mem_fail_at(i);
        ck_assert_ptr_null(
            object_pool_new(&(struct object_pool_options){.capacity = 2, .make = make, .context = &f}, &err));
        ck_assert_int_eq(err.status, STATUS_NOMEM);
    }
    mem_fail_at(-1);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("object_pool");
    tcase_add_test(tc, absurd_options_are_refused);
    tcase_add_test(tc, objects_are_made_when_wanted_and_reused_warm);
    tcase_add_test(tc, misuse_is_a_status);
    tcase_add_test(tc, draining_ends_it);
    tcase_add_test(tc, a_maker_that_fails_leaves_the_place_free);
    tcase_add_test(tc, a_token_ends_the_wait);
    tcase_add_test(tc, stress);
    tcase_add_test(tc, without_memory_there_is_an_error);
    return crowd_suite("object_pool", tc);
}
