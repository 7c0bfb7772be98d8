/* SPDX-License-Identifier: MIT
 *
 * Making, starting, resizing, stopping a pool, and putting tasks in.
 */
#include "runtime/pool.h"

#include "base/check.h"
#include "base/memory.h"
#include "runtime/futex_internal.h"
#include "runtime/machine_internal.h"
#include "runtime/pool_internal.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEFAULT_STACK_BYTES = 1 << 20, DEFAULT_CAPACITY = 4096, CAPACITY_MAX = 1 << 24 };

/* --- making ------------------------------------------------------------------------------------------------------- */

struct pool_options pool_options_default(void)
{
    return (struct pool_options){
        .stack_size_bytes = DEFAULT_STACK_BYTES, .queue_capacity = DEFAULT_CAPACITY, .work_stealing = true};
}

static void __attribute__((format(printf, 2, 3))) note(struct pool *pool, const char *format, ...)
{
    const size_t len = strlen(pool->note);
    const char *between = len ? "; " : "";
    snprintf(pool->note + len, sizeof pool->note - len, "%s", between);
    va_list ap;
    va_start(ap, format);
    vsnprintf(pool->note + strlen(pool->note), sizeof pool->note - strlen(pool->note), format, ap);
    va_end(ap);
}

static enum status take_threads(struct pool *pool, struct error *err)
{
    struct topology topology;
    machine__read(&topology);
    int *wanted = &pool->options.num_threads;
    if (*wanted < 0 || *wanted > POOL_THREADS_MAX)
        return error_set(err, STATUS_CONFIG, "num_threads must be 0 (auto-detect) or 1 to %d, not %d",
                         POOL_THREADS_MAX, *wanted);
    if (*wanted == 0) {
        *wanted = topology_auto_spheres(&topology);
        *wanted = *wanted > POOL_THREADS_MAX ? POOL_THREADS_MAX : *wanted;
        note(pool, "0 threads is %d here (%s)", *wanted, topology.limited_by);
    }
    pool->cores = machine__cores(&topology);
    pool->quota = machine__has_quota(&topology);
    pool->nodes = topology.numa_nodes;
    return STATUS_OK;
}

/* Where the system does not place memory, pool_note says so and first touch has to do. */
static enum status take_numa(struct pool *pool, struct error *err)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct error why = {0};
    if (pool__read_map(pool, err) != STATUS_OK)
        return STATUS_NOMEM;
    if (!pool->options.numa_aware)
        return STATUS_OK;
    if (!pool->options.pin_threads)
        note(pool, "numa_aware changes nothing without pin_threads");
    else if (pool->nodes < 2)
        note(pool, "numa_aware changes nothing on a machine of one node");
    if (!pool->options.pin_threads || pool->nodes < 2)
        return STATUS_OK;
    void *probe = mem_map(page);
    pool->numa = probe ? numa_new(err) : NULL;
    if (!pool->numa) {
        if (probe)
            mem_unmap(probe, page);
        return error_set(err, STATUS_NOMEM, "no memory to find the nodes of the machine");
    }
    if (!pool__near_memory(pool, 0, probe, page, &why)) {
        note(pool, "the workers' memory is placed by first touch alone (%s)", why.text);
        numa_free(pool->numa);
        pool->numa = NULL;
    }
    mem_unmap(probe, page);
    return STATUS_OK;
}

static enum status take_gangs(struct pool *pool, struct error *err)
{
    const int wanted = pool->options.gang_threads;
    atomic_store(&pool->gang_threads, wanted);
    if (wanted < 0 || wanted > POOL_THREADS_MAX)
        return error_set(err, STATUS_CONFIG, "gang_threads must be 0 to %d, not %d", POOL_THREADS_MAX, wanted);
    if (!pool->options.thread_name)
        pool->options.thread_name = "worker";
    return pool->options.pin_threads ? STATUS_OK : pool__gang_places(pool, err);
}

static enum status take_stack(struct pool *pool, struct error *err)
{
    const size_t least = (size_t)PTHREAD_STACK_MIN, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t *bytes = &pool->options.stack_size_bytes;
    if (*bytes < least || *bytes > SIZE_MAX / 2)
        return error_set(err, STATUS_CONFIG, "stack_size_bytes must be at least %zu, not %zu; %d would be right", least,
                         *bytes, DEFAULT_STACK_BYTES);
    const size_t rounded = (*bytes + page - 1) / page * page;
    if (rounded != *bytes)
        note(pool, "the stack of %zu bytes was rounded up to %zu, whole pages", *bytes, rounded);
    *bytes = rounded;
    return STATUS_OK;
}

static enum status take_capacity(struct pool *pool, struct error *err)
{
    const size_t wanted = pool->options.queue_capacity;
    if (wanted < 1 || wanted > CAPACITY_MAX)
        return error_set(err, STATUS_CONFIG, "queue_capacity must be 1 to %d, not %zu; %d would be right", CAPACITY_MAX,
                         wanted, DEFAULT_CAPACITY);
    size_t rounded = 2;
    while (rounded < wanted)
        rounded *= 2;
    if (rounded != wanted)
        note(pool, "the queue capacity of %zu was rounded up to %zu, a power of two", wanted, rounded);
    pool->options.queue_capacity = rounded;
    return STATUS_OK;
}

static enum status take_cpus(struct pool *pool, struct error *err)
{
    const int *cpus = pool->options.cpus;
    const int count = pool->options.num_cpus;
    pool->options.cpus = NULL;
    pool->options.num_cpus = 0;
    if (places_init(&pool->places, err) != STATUS_OK)
        return STATUS_NOMEM;
    if (!pool->options.pin_threads)
        return STATUS_OK;
    if (pool->places.count == 0)
        return error_set(err, STATUS_SYSTEM, "the system does not say which CPUs this process may use, so the pool's "
                                             "threads cannot be pinned");
    if (!cpus)
        return STATUS_OK;
    if (count < 1 || count > POOL_THREADS_MAX)
        return error_set(err, STATUS_CONFIG, "num_cpus must be 1 to %d, not %d", POOL_THREADS_MAX, count);
    for (int i = 0; i < count; i++) {
        bool ours = false;
        for (int k = 0; k < pool->places.count; k++)
            ours = ours || pool->places.cpus[k] == cpus[i];
        if (!ours)
            return error_set(err, STATUS_CONFIG,
                             "CPU %d to pin to is not one that this process may use; those are %d to %d, %d in all",
                             cpus[i], pool->places.cpus[0], pool->places.cpus[pool->places.count - 1],
                             pool->places.count);
    }
    int *copy = mem_calloc((size_t)count, sizeof *copy);
    if (!copy)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %d CPUs", count);
    memcpy(copy, cpus, (size_t)count * sizeof *copy);
    mem_free(pool->places.cpus);
    pool->places = (struct places){copy, count};
    return STATUS_OK;
}

static void destroy(struct pool *pool)
{
    for (int i = 0; i < atomic_load(&pool->slots); i++) {
        struct worker *worker = atomic_load(&pool->workers[i]);
        records_flush(pool->store, &worker->cache);
        deque_release(&worker->deque);
        mem_free(worker->victims);
        mem_unmap(worker, sizeof *worker);
    }
    records_abandon(pool->store);
    fifo_release(&pool->interactive);
    fifo_release(&pool->batch);
    places_release(&pool->places);
    places_release(&pool->gang_places);
    cpu_map_release(&pool->map);
    numa_free(pool->numa);
    pthread_mutex_destroy(&pool->gang_mu);
    pthread_mutex_destroy(&pool->mu);
    mem_unmap(pool, sizeof *pool);
}

struct pool *pool_init(const struct pool_options *options, struct error *err)
{
    if (!options) {
        error_set(err, STATUS_MISUSE, "a pool wants options; pool_options_default gives some");
        return NULL;
    }
    struct pool *pool = mem_map(sizeof *pool);
    if (!pool) {
        error_set(err, STATUS_NOMEM, "no memory for a pool");
        return NULL;
    }
    pool->options = *options;
    CHECK(pthread_mutex_init(&pool->mu, NULL) == 0 && pthread_mutex_init(&pool->gang_mu, NULL) == 0);
    if (take_threads(pool, err) != STATUS_OK || take_stack(pool, err) != STATUS_OK ||
        take_capacity(pool, err) != STATUS_OK || take_cpus(pool, err) != STATUS_OK ||
        take_numa(pool, err) != STATUS_OK || take_gangs(pool, err) != STATUS_OK) {
        destroy(pool);
        return NULL;
    }
    pool->spin = pool->options.num_threads <= pool->cores;
    atomic_store(&pool->wanted, pool->options.num_threads);
    atomic_store(&pool->limit, pool->options.num_threads);
    pool->store = records_new(pool);
    if (pool->store && fifo_init(&pool->interactive, pool->options.queue_capacity) == STATUS_OK &&
        fifo_init(&pool->batch, pool->options.queue_capacity) == STATUS_OK)
        return pool;
    error_set(err, STATUS_NOMEM, "no memory for the queues of a pool (%zu tasks each)", pool->options.queue_capacity);
    destroy(pool);
    return NULL;
}

/* --- starting and stopping ---------------------------------------------------------------------------------------- */

static void lock(pthread_mutex_t *mu)
{
    CHECK(pthread_mutex_lock(mu) == 0);
}

static void unlock(pthread_mutex_t *mu)
{
    CHECK(pthread_mutex_unlock(mu) == 0);
}

static void set_state(struct pool *pool, enum pool_state state)
{
    atomic_store(&pool->state, state);
    futex_wake(&pool->state, INT_MAX);
}

/* All threads see that the pool is ending, and are joined. */
static void end_threads(struct pool *pool)
{
    lock(&pool->mu);
    set_state(pool, POOL_ENDING);
    const int slots = atomic_load(&pool->slots);
    for (int i = 0; i < slots; i++)
        pool__rouse(atomic_load(&pool->workers[i]));
    unlock(&pool->mu); /* who parks wants it */
    for (int i = 0; i < slots; i++) {
        struct worker *worker = atomic_load(&pool->workers[i]);
        lock(&pool->mu);
        const bool there = worker->presence != WORKER_ABSENT;
        unlock(&pool->mu);
        if (there)
            CHECK(pthread_join(worker->thread, NULL) == 0);
        worker->presence = WORKER_ABSENT;
    }
}

enum status pool_start(struct pool *pool, struct error *err)
{
    lock(&pool->mu);
    uint32_t state = POOL_MADE;
    if (!atomic_compare_exchange_strong(&pool->state, &state, POOL_STARTING)) {
        unlock(&pool->mu);
        return error_set(err, STATUS_MISUSE, state >= POOL_DRAINING ? "the pool was stopped and is over; make another"
                                                                    : "the pool was started already");
    }
    enum status status = STATUS_OK;
    const int wanted = atomic_load(&pool->wanted), threads = pool_gang_size(pool);
    int started = 0;
    while (started < threads && status == STATUS_OK) {
        status = pool__start_worker(pool, started, started < wanted, err);
        started += status == STATUS_OK;
    }
    if (status == STATUS_OK)
        set_state(pool, POOL_RUNNING);
    unlock(&pool->mu);
    if (status != STATUS_OK) {
        error_prefix(err, "%d %s threads wanted, %d started", threads, pool->options.thread_name, started);
        end_threads(pool);
        for (int i = 0; i < atomic_load(&pool->slots); i++)
            atomic_store(&atomic_load(&pool->workers[i])->word, 0);
        atomic_store(&pool->active, 0);
        atomic_store(&pool->state, POOL_MADE);
    }
    return status;
}

/* No thread of ours is left: what is still queued never runs. */
static void sweep(struct fifo *fifo)
{
    while (!fifo_empty(fifo)) {
        struct future *task = fifo_pop(fifo);
        if (!task)
            sched_yield(); /* it is being put in */
        else if (pool__take(NULL, task))
            pool__finish(task, STATUS_CANCELLED, NULL);
    }
}

enum status pool_stop(struct pool *pool, enum pool_stop how)
{
    if (!pool || pool__self(pool))
        return STATUS_MISUSE;
    lock(&pool->gang_mu);
    lock(&pool->mu);
    const uint32_t before = atomic_load(&pool->state);
    const bool may = before == POOL_MADE || before == POOL_RUNNING;
    if (may)
        set_state(pool, how == POOL_DRAIN && before == POOL_RUNNING ? POOL_DRAINING : POOL_CANCELLING);
    unlock(&pool->mu);
    unlock(&pool->gang_mu);
    if (!may)
        return STATUS_MISUSE;
    fifo_close(&pool->interactive);
    fifo_close(&pool->batch);
    while (before == POOL_RUNNING) {
        const uint32_t active = atomic_load(&pool->active);
        if (active != 0)
            futex_wait(&pool->active, active);
        else if (fifo_empty(&pool->interactive) && fifo_empty(&pool->batch))
            break;
        else
            sched_yield(); /* a submission that came before the closing is being put in, and wakes somebody */
    }
    end_threads(pool);
    sweep(&pool->interactive);
    sweep(&pool->batch);
    atomic_store(&pool->state, POOL_OVER);
    return STATUS_OK;
}

enum status pool_free(struct pool *pool)
{
    if (!pool)
        return STATUS_OK;
    if (pool__self(pool))
        return STATUS_MISUSE;
    if (atomic_load(&pool->state) != POOL_OVER && pool_stop(pool, POOL_CANCEL) != STATUS_OK)
        return STATUS_MISUSE; /* somebody stops it just now */
    destroy(pool);
    return STATUS_OK;
}

/* --- putting tasks in --------------------------------------------------------------------------------------------- */

enum status pool_submit(struct pool *pool, enum pool_priority priority, pool_task fn, void *arg, struct future **out)
{
    if (out)
        *out = NULL;
    if (!pool || !fn)
        return STATUS_MISUSE;
    struct worker *worker = pool__self(pool);
    const uint32_t state = atomic_load_explicit(&pool->state, memory_order_relaxed);
    if (state == POOL_CANCELLING)
        return STATUS_CANCELLED;
    if (state > POOL_DRAINING || (state == POOL_DRAINING && !worker))
        return STATUS_MISUSE;
    struct record_cache *cache = worker ? &worker->cache : NULL;
    struct future *task = records_get(pool->store, cache);
    if (!task)
        return STATUS_NOMEM;
    struct future *parent = worker && worker->frame ? worker->frame->task : NULL;
    task->fn = fn;
    task->arg = arg;
    task->result = NULL;
    atomic_store_explicit(&task->parent, parent, memory_order_release);
    atomic_store_explicit(&task->parent_serial,
                          parent ? atomic_load_explicit(&parent->serial, memory_order_relaxed) : 0,
                          memory_order_release);
    atomic_store_explicit(&task->state, TASK_QUEUED | TASK_ENTERED | (out ? TASK_HELD : 0), memory_order_relaxed);

    enum status status = STATUS_OK;
    if (priority == POOL_INTERACTIVE)
        status = fifo_push(&pool->interactive, task, worker != NULL);
    else if (!worker || !worker->deque.slots || !deque_push(&worker->deque, task))
        status = fifo_push(&pool->batch, task, worker != NULL);
    if (status != STATUS_OK) {
        records_put(task, cache);
        return status;
    }
    if (worker)
        atomic_store_explicit(&worker->shown.created,
                              atomic_load_explicit(&worker->shown.created, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&pool->created_outside, 1, memory_order_relaxed);
    if (out)
        *out = task;
    pool__notify(pool);
    return STATUS_OK;
}

/* --- size, gang, figures ------------------------------------------------------------------------------------------ */

enum status pool_resize(struct pool *pool, int num_threads, struct error *err)
{
    if (num_threads < 1 || num_threads > POOL_THREADS_MAX)
        return error_set(err, STATUS_CONFIG, "a pool has 1 to %d workers, not %d", POOL_THREADS_MAX, num_threads);
    /* A task must not wait for a gang: its worker may be one the gang waits for. */
    const bool inside = pool__self(pool) != NULL;
    if (inside ? pthread_mutex_trylock(&pool->gang_mu) != 0 : (lock(&pool->gang_mu), false))
        return error_set(err, STATUS_MISUSE, "a task cannot resize the pool while a gang runs");
    lock(&pool->mu);
    enum status status = STATUS_OK;
    const int before = atomic_load(&pool->wanted);
    if (atomic_load(&pool->state) != POOL_RUNNING) {
        status = error_set(err, STATUS_MISUSE, "only a pool that runs can be resized");
    } else {
        pool->spin = num_threads <= pool->cores;
        atomic_store(&pool->wanted, num_threads);
        const int limit = atomic_fetch_add(&pool->limit, num_threads - before) + num_threads - before;
        for (int id = 0; id < limit && status == STATUS_OK; id++) {
            status = pool__start_worker(pool, id, true, err);
            if (status == STATUS_OK && id >= before)
                pool__rouse(atomic_load(&pool->workers[id]));
        }
        if (status != STATUS_OK) {
            atomic_store(&pool->wanted, before);
            atomic_fetch_sub(&pool->limit, num_threads - before);
            error_prefix(err, "from %d to %d workers", before, num_threads);
        }
        for (int id = atomic_load(&pool->limit); id < atomic_load(&pool->slots); id++)
            pool__rouse(atomic_load(&pool->workers[id]));
    }
    unlock(&pool->mu);
    unlock(&pool->gang_mu);
    return status;
}

/* Threads that are too many find out in park, and end there. */
enum status pool_resize_gangs(struct pool *pool, int gang_threads, struct error *err)
{
    if (gang_threads < 0 || gang_threads > POOL_THREADS_MAX)
        return error_set(err, STATUS_CONFIG, "gang_threads must be 0 to %d, not %d", POOL_THREADS_MAX, gang_threads);
    if (pool__self(pool))
        return error_set(err, STATUS_MISUSE, "a task cannot resize the gangs of its pool");
    lock(&pool->gang_mu);
    lock(&pool->mu);
    enum status status = STATUS_OK;
    if (atomic_load(&pool->state) != POOL_RUNNING)
        status = error_set(err, STATUS_MISUSE, "only a pool that runs can be resized");
    const int before = atomic_load(&pool->gang_threads);
    atomic_store(&pool->gang_threads, gang_threads); /* before they start: who sees itself beyond it ends */
    for (int id = 0; id < gang_threads && status == STATUS_OK; id++)
        status = pool__start_worker(pool, id, false, err);
    if (status != STATUS_OK) {
        atomic_store(&pool->gang_threads, before);
        error_prefix(err, "gangs of %d threads in place of %d", gang_threads, before);
    }
    for (int id = atomic_load(&pool->gang_threads); id < atomic_load(&pool->slots); id++)
        pool__rouse(atomic_load(&pool->workers[id]));
    unlock(&pool->mu);
    unlock(&pool->gang_mu);
    return status;
}

int pool_size(const struct pool *pool)
{
    return atomic_load(&((struct pool *)pool)->wanted);
}

int pool_gang_size(const struct pool *pool)
{
    const int size = pool_size(pool), gangs = atomic_load(&((struct pool *)pool)->gang_threads);
    return size > gangs ? size : gangs;
}

const char *pool_note(const struct pool *pool)
{
    return pool->note;
}

int pool_stats_count(const struct pool *pool)
{
    return atomic_load(&((struct pool *)pool)->slots);
}

static uint64_t shown(const _Atomic uint64_t *figure)
{
    return atomic_load_explicit((_Atomic uint64_t *)figure, memory_order_relaxed);
}

enum status pool_stats(const struct pool *pool, int id, struct pool_stats *out)
{
    *out = (struct pool_stats){0};
    const int slots = pool_stats_count(pool);
    if (id < -1 || id >= slots)
        return STATUS_MISUSE;
    for (int i = id < 0 ? 0 : id; i < (id < 0 ? slots : id + 1); i++) {
        const struct worker *worker = atomic_load(&((struct pool *)pool)->workers[i]);
        out->created += shown(&worker->shown.created);
        out->run += shown(&worker->shown.run);
        out->stolen += shown(&worker->shown.stolen);
        out->cancelled += shown(&worker->shown.cancelled);
        out->busy_ns += shown(&worker->shown.busy_ns);
        out->idle_ns += shown(&worker->shown.idle_ns);
        out->asleep_ns += shown(&worker->shown.asleep_ns);
        out->sleeps += shown(&worker->shown.sleeps);
        out->gangs += shown(&worker->shown.gangs);
    }
    if (id < 0)
        out->created += shown(&pool->created_outside);
    out->steal_ratio = out->run ? (double)out->stolen / (double)out->run : 0.0;
    return STATUS_OK;
}
