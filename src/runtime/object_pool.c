/* SPDX-License-Identifier: MIT
 *
 * A gate lets `capacity` threads have an object at once, so behind it there is always a slot that is idle or empty.
 * A thread that makes, resets or destroys an object has marked the slot as its own and does so without the lock.
 */
#include "runtime/object_pool.h"

#include "base/check.h"
#include "base/memory.h"
#include "runtime/gate.h"
#include "runtime/thread.h"

enum slot_state { EMPTY, IDLE, OUT, OWNED }; /* owned by a thread inside make, reset or destroy */

struct slot {
    void *object;
    enum slot_state state;
};

struct object_pool {
    struct object_pool_options options;
    struct gate *gate;
    struct mutex *mu;
    /* guarded by mu */
    struct slot *slots;
    int *idle; /* numbers of idle slots; the last put back is the last here */
    struct object_pool_stats stats;
    bool drained;
};

static void give_up(struct object_pool *pool)
{
    mutex_free(pool->mu);
    mem_free(pool->slots);
    mem_free(pool->idle);
    mem_free(pool);
}

struct object_pool *object_pool_new(const struct object_pool_options *options, struct error *err)
{
    const int capacity = options->capacity;
    if (capacity < 1 || capacity > OBJECT_POOL_CAPACITY_MAX) {
        error_set(err, STATUS_CONFIG, "an object pool's capacity must be 1 to %d, not %d", OBJECT_POOL_CAPACITY_MAX,
                  capacity);
        return NULL;
    }
    if (!options->make) {
        error_set(err, STATUS_CONFIG, "an object pool needs a function that makes its objects");
        return NULL;
    }
    struct object_pool *pool = mem_calloc(1, sizeof *pool);
    if (pool) {
        pool->options = *options;
        pool->stats.capacity = capacity;
        pool->mu = mutex_new();
        pool->slots = mem_calloc((size_t)capacity, sizeof *pool->slots);
        pool->idle = mem_calloc((size_t)capacity, sizeof *pool->idle);
        pool->gate = gate_new(capacity, NULL);
        if (pool->mu && pool->slots && pool->idle && pool->gate)
            return pool;
        gate_free(pool->gate, NULL);
        give_up(pool);
    }
    error_set(err, STATUS_NOMEM, "no memory for a pool of %d objects", capacity);
    return NULL;
}

/* The slot is this thread's; it is empty afterwards. */
static void destroy(struct object_pool *pool, int slot)
{
    if (pool->options.destroy)
        pool->options.destroy(pool->slots[slot].object, pool->options.context);
    mutex_lock(pool->mu);
    pool->slots[slot] = (struct slot){0};
    pool->stats.destroyed++;
    mutex_unlock(pool->mu);
}

static int take_idle(struct object_pool *pool)
{
    const int slot = pool->idle[--pool->stats.idle];
    pool->slots[slot].state = OWNED;
    return slot;
}

static void destroy_idle(struct object_pool *pool)
{
    for (;;) {
        mutex_lock(pool->mu);
        const int slot = pool->stats.idle > 0 ? take_idle(pool) : -1;
        mutex_unlock(pool->mu);
        if (slot < 0)
            return;
        destroy(pool, slot);
    }
}

void object_pool_drain(struct object_pool *pool)
{
    gate_close(pool->gate);
    mutex_lock(pool->mu);
    pool->drained = true;
    mutex_unlock(pool->mu);
    destroy_idle(pool);
}

enum status object_pool_free(struct object_pool *pool, struct error *err)
{
    if (!pool)
        return STATUS_OK;
    struct gate_stats now;
    gate_get_stats(pool->gate, &now);
    if (gate_free(pool->gate, NULL) != STATUS_OK)
        return error_set(err, STATUS_MISUSE,
                         "an object pool was to be freed with %d objects out and %d threads waiting", now.inside,
                         now.waiting);
    destroy_idle(pool);
    give_up(pool);
    return STATUS_OK;
}

static int take_empty(struct object_pool *pool)
{
    int slot = 0;
    while (pool->slots[slot].state != EMPTY)
        slot++;
    pool->slots[slot].state = OWNED;
    return slot;
}

enum status object_pool_get(struct object_pool *pool, struct cancel *cancel, uint64_t timeout_ns, void **out,
                            struct error *err)
{
    *out = NULL;
    enum status status = gate_enter(pool->gate, cancel, timeout_ns, err);
    if (status == STATUS_MISUSE)
        return error_set(err, status, "the object pool is drained: nothing is given out any more");
    if (status != STATUS_OK)
        return status;

    mutex_lock(pool->mu);
    const bool reuse = pool->stats.idle > 0;
    const int slot = reuse ? take_idle(pool) : take_empty(pool);
    mutex_unlock(pool->mu);

    struct error why = {.status = STATUS_OK};
    void *object = reuse ? pool->slots[slot].object : pool->options.make(pool->options.context, &why);

    mutex_lock(pool->mu);
    pool->slots[slot] = (struct slot){.object = object, .state = object ? OUT : EMPTY};
    pool->stats.out += object != NULL;
    pool->stats.reused += reuse;
    pool->stats.made += object && !reuse;
    mutex_unlock(pool->mu);
    *out = object;
    if (object)
        return STATUS_OK;
    CHECK(gate_leave(pool->gate) == STATUS_OK);
    if (why.status == STATUS_OK)
        return error_set(err, STATUS_NOMEM, "the object pool could not make an object, and its maker did not say why");
    return error_set(err, why.status, "%s", why.text);
}

enum status object_pool_put(struct object_pool *pool, void *object, struct error *err)
{
    mutex_lock(pool->mu);
    int slot = 0;
    while (slot < pool->stats.capacity && (pool->slots[slot].state != OUT || pool->slots[slot].object != object))
        slot++;
    const bool ours = object && slot < pool->stats.capacity;
    if (ours) {
        pool->slots[slot].state = OWNED;
        pool->stats.out--;
    }
    bool keep = !pool->drained;
    mutex_unlock(pool->mu);
    if (!ours)
        return error_set(err, STATUS_MISUSE, "an object was put back that is not out: put twice, or not of this pool");

    if (keep && pool->options.reset)
        keep = pool->options.reset(object, pool->options.context);
    if (keep) {
        mutex_lock(pool->mu);
        keep = !pool->drained;
        if (keep) {
            pool->slots[slot].state = IDLE;
            pool->idle[pool->stats.idle++] = slot;
        }
        mutex_unlock(pool->mu);
    }
    if (!keep)
        destroy(pool, slot);
    CHECK(gate_leave(pool->gate) == STATUS_OK);
    return STATUS_OK;
}

void object_pool_get_stats(const struct object_pool *pool, struct object_pool_stats *out)
{
    mutex_lock(pool->mu);
    *out = pool->stats;
    mutex_unlock(pool->mu);
}
