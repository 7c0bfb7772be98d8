/* SPDX-License-Identifier: MIT
 *
 * What a worker does: find, run, search, sleep.  pool_internal.h has the protocol and its argument.
 */
#include "runtime/pool_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "runtime/futex_internal.h"
#include "runtime/thread_internal.h"

#include <errno.h>
#include <fenv.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    FAIR_TURNS = 64,      /* so often the batch FIFO comes before the worker's own deque */
    DESCENT_MAX = 64,     /* generations looked through for an ancestor */
    SEARCH_NS = 50000,    /* of searching before sleep; about what a waking costs */
    SEARCH_PAUSES = 64,   /* at most between two looks: a look takes the line that the victim works on away from it */
    LIGHT_NS = 200,       /* a stolen task that took less was not worth the stealing ... */
    RESTRAINT_NS = 8192,  /* ... and the thief waits longer and longer before the next, up to this */
    PARK_NS = 100000000,  /* a worker above the limit waits so long to be wanted again */
    DEQUE_CAPACITY = 1024 /* 8 KiB; what is more goes to the FIFO */
};


static _Thread_local struct worker *self;

struct worker *pool__self(const struct pool *pool)
{
    return self && (!pool || self->pool == pool) ? self : NULL;
}

static void count(_Atomic uint64_t *figure, uint64_t more)
{
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + more, memory_order_relaxed);
}

/* Books the time since the last booking. */
static uint64_t book(struct worker *worker, _Atomic uint64_t *figure)
{
    const uint64_t now_ns = clock_now_ns();
    count(figure, now_ns - worker->since_ns);
    worker->since_ns = now_ns;
    return now_ns;
}

static struct worker *worker_at(const struct pool *pool, int id)
{
    return atomic_load_explicit(&((struct pool *)pool)->workers[id], memory_order_acquire);
}

bool pool__raise_word(_Atomic uint32_t *word, uint32_t bit)
{
    const bool slept = atomic_fetch_or_explicit(word, bit, memory_order_acq_rel) & WORD_SLEEPING;
    if (slept)
        futex_wake(word, 1);
    return slept;
}

void pool__take_word(_Atomic uint32_t *word, uint32_t bit, uint64_t timeout_ns)
{
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);
    while (!(seen & bit)) {
        if (!(seen & WORD_SLEEPING) &&
            !atomic_compare_exchange_weak_explicit(word, &seen, seen | WORD_SLEEPING, memory_order_acquire,
                                                   memory_order_acquire))
            continue;
        if (timeout_ns) {
            futex_wait_for(word, seen | WORD_SLEEPING, timeout_ns);
            break;
        }
        futex_wait(word, seen | WORD_SLEEPING);
        seen = atomic_load_explicit(word, memory_order_acquire);
    }
    atomic_exchange_explicit(word, 0, memory_order_acq_rel);
}

/* --- sleeping and waking ------------------------------------------------------------------------------------------ */

static bool some_work(const struct pool *pool)
{
    if (fifo_some(&pool->interactive) || fifo_some(&pool->batch))
        return true;
    if (!pool->options.work_stealing)
        return false;
    const int reach = atomic_load(&((struct pool *)pool)->reach);
    for (int i = 0; i < reach; i++)
        if (deque_some(&worker_at(pool, i)->deque))
            return true;
    return false;
}

static bool clear_idle(struct pool *pool, int id)
{
    const uint64_t bit = (uint64_t)1 << id % 64;
    return atomic_fetch_and(&pool->idle[id / 64], ~bit) & bit;
}

/* The system likes to wake a thread where its waker runs, and then leaves two on one processor for milliseconds while
 * another stands idle (seen on Linux 6.18 with two CPUs: a wait of 1 to 4 ms in most wakings, none so).  Where every
 * worker can have a core, one that is woken for a task is therefore kept off its waker's; a call to the system only when
 * that is another than last time. */
static void keep_apart(struct worker *worker)
{
    const struct pool *pool = worker->pool;
    const int here = sched_getcpu();
    if (!pool->spin || pool->options.pin_threads || pool->places.count < 2 || here < 0 || worker->kept_off == here)
        return;
    worker->kept_off = here;
    place_apart(&pool->places, worker->thread, here);
}

void pool__end_keeping_apart(struct worker *worker)
{
    if (worker->kept_off >= 0)
        place_here(&worker->pool->places, PLACE_ANYWHERE);
    worker->kept_off = -1;
}

/* The worker's bit was cleared by the caller. */
static void wake(struct worker *worker)
{
    atomic_fetch_add(&worker->pool->active, 1);
    atomic_fetch_add(&worker->pool->searching, 1);
    pool__raise_word(&worker->word, WORD_WOKEN);
}

void pool__notify(struct pool *pool)
{
    if (atomic_load(&pool->searching) > 0)
        return;
    const int words = (atomic_load(&pool->reach) + 63) / 64;
    for (int i = 0; i < words; i++)
        for (uint64_t idle; (idle = atomic_load(&pool->idle[i])) != 0;) {
            const int id = i * 64 + __builtin_ctzll(idle);
            if (clear_idle(pool, id)) {
                keep_apart(worker_at(pool, id));
                wake(worker_at(pool, id));
                return;
            }
        }
}

bool pool__rouse(struct worker *worker)
{
    const bool announced = atomic_load(&worker->pool->idle[worker->id / 64]) >> worker->id % 64 & 1;
    if (!announced || !clear_idle(worker->pool, worker->id))
        return pool__raise_word(&worker->word, WORD_NUDGED);
    wake(worker);
    return true;
}

/* No longer searching.  What was put in meanwhile woke nobody because this one searched: pass it on. */
static void end_search(struct pool *pool)
{
    if (atomic_fetch_sub(&pool->searching, 1) == 1 && some_work(pool))
        pool__notify(pool);
}

static void become_inactive(struct pool *pool)
{
    if (atomic_fetch_sub(&pool->active, 1) == 1 && atomic_load(&pool->state) > POOL_RUNNING)
        futex_wake(&pool->active, INT_MAX);
}

/* --- finding ------------------------------------------------------------------------------------------------------ */

static struct future *steal(struct worker *worker, bool (*fit)(const void *item, const void *ctx), const void *ctx)
{
    struct pool *pool = worker->pool;
    if (!pool->options.work_stealing)
        return NULL;
    const int reach = atomic_load(&pool->reach);
    for (int k = 1; k < reach; k++) {
        struct worker *victim = worker_at(pool, pool__victim(worker, k, reach));
        void *item;
        for (enum deque_steal how; (how = deque_steal(&victim->deque, fit, ctx, &item)) != DEQUE_EMPTY;) {
            if (how == DEQUE_UNFIT)
                break;
            if (how == DEQUE_STOLEN && pool__take(worker, item)) {
                count(&worker->shown.stolen, 1);
                return item;
            }
        }
    }
    return NULL;
}

static struct future *from_fifo(struct worker *worker, struct fifo *fifo)
{
    struct future *task;
    while ((task = fifo_pop(fifo)) && !pool__take(worker, task))
        ;
    return task;
}

static struct future *from_own(struct worker *worker)
{
    struct future *task;
    while ((task = deque_pop(&worker->deque)) && !pool__take(worker, task))
        ;
    return task;
}

/* A thief that finds nothing but very light tasks would cost their owner more than it helps. */
static struct future *steal_with_restraint(struct worker *worker)
{
    if (worker->restraint_ns && clock_now_ns() < worker->not_before_ns)
        return NULL;
    struct future *task = steal(worker, NULL, NULL);
    worker->stole = task != NULL;
    return task;
}

static void judge_theft(struct worker *worker, uint64_t took_ns)
{
    if (took_ns >= LIGHT_NS)
        worker->restraint_ns = 0;
    else if (worker->restraint_ns < RESTRAINT_NS)
        worker->restraint_ns = worker->restraint_ns ? 2 * worker->restraint_ns : LIGHT_NS;
    worker->not_before_ns = clock_now_ns() + worker->restraint_ns;
}

/* last_look: before sleeping, when nothing may be overlooked. */
static struct future *find(struct worker *worker, bool last_look)
{
    struct pool *pool = worker->pool;
    struct future *task = NULL;
    if (worker->interactive_run < POOL_INTERACTIVE_RUN && (task = from_fifo(worker, &pool->interactive))) {
        worker->interactive_run++;
        return task;
    }
    worker->interactive_run = 0;
    if (++worker->turns % FAIR_TURNS == 0)
        task = from_fifo(worker, &pool->batch);
    if (!task && pool->options.work_stealing)
        task = from_own(worker);
    if (!task)
        task = from_fifo(worker, &pool->batch);
    if (!task)
        task = last_look ? steal(worker, NULL, NULL) : steal_with_restraint(worker);
    if (!task)
        task = from_fifo(worker, &pool->interactive);
    return task;
}

/* Reads records that others may end and use anew meanwhile: a serial that has changed tells. */
static bool is_descendant(const struct future *task, const struct future *of)
{
    if (!of)
        return false;
    for (int i = 0; i < DESCENT_MAX; i++) {
        const uint32_t serial = atomic_load_explicit(&((struct future *)task)->serial, memory_order_acquire);
        const struct future *parent = atomic_load_explicit(&((struct future *)task)->parent, memory_order_acquire);
        const uint32_t parent_serial =
            atomic_load_explicit(&((struct future *)task)->parent_serial, memory_order_acquire);
        if (!parent || atomic_load_explicit(&((struct future *)task)->serial, memory_order_relaxed) != serial ||
            atomic_load_explicit(&((struct future *)parent)->serial, memory_order_acquire) != parent_serial)
            return false;
        if (parent == of)
            return true;
        task = parent;
    }
    return false;
}

struct kin {
    const struct future *awaited, *in_hand;
};

static bool is_kin(const void *item, const void *ctx)
{
    const struct kin *kin = ctx;
    return is_descendant(item, kin->awaited) || is_descendant(item, kin->in_hand);
}

struct future *pool__help_self(struct worker *worker, const struct future *awaited)
{
    const struct kin kin = {awaited, worker->frame ? worker->frame->task : NULL};
    if (!worker->pool->options.work_stealing)
        return NULL;
    for (struct future *task; (task = deque_pop(&worker->deque));) {
        if (task != awaited && !is_kin(task, &kin)) {
            CHECK(deque_push(&worker->deque, task));
            break;
        }
        if (pool__take(worker, task))
            return task;
    }
    return NULL;
}

struct future *pool__help_others(struct worker *worker, const struct future *awaited)
{
    const struct kin kin = {awaited, worker->frame ? worker->frame->task : NULL};
    return steal(worker, is_kin, &kin);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

bool pool__claim(struct future *task)
{
    uint32_t state = atomic_load_explicit(&task->state, memory_order_acquire);
    while ((state & TASK_PHASE) == TASK_QUEUED)
        if (atomic_compare_exchange_weak_explicit(&task->state, &state, state | TASK_RUNNING, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

bool pool__take(struct worker *worker, struct future *task)
{
    uint32_t state = atomic_load_explicit(&task->state, memory_order_acquire);
    if ((state & (TASK_PHASE | TASK_HELD)) == TASK_QUEUED) { /* nobody else can come at it */
        atomic_store_explicit(&task->state, TASK_RUNNING, memory_order_relaxed);
        return true;
    }
    for (;;) {
        const bool queued = (state & TASK_PHASE) == TASK_QUEUED;
        const uint32_t next = (queued ? state | TASK_RUNNING : state) & ~(uint32_t)TASK_ENTERED;
        if (!atomic_compare_exchange_weak_explicit(&task->state, &state, next, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        if (queued)
            return true;
        if ((state & TASK_PHASE) == TASK_CANCELLED && worker)
            count(&worker->shown.cancelled, 1);
        if ((state & TASK_PHASE) >= TASK_DONE && !(state & TASK_HELD))
            records_put(task, worker ? &worker->cache : NULL);
        return false;
    }
}

void pool__finish(struct future *task, enum status status, struct record_cache *cache)
{
    task->status = status;
    if (!(atomic_load_explicit(&task->state, memory_order_acquire) & (TASK_HELD | TASK_ENTERED))) {
        records_put(task, cache);
        return;
    }
    const uint32_t change = TASK_RUNNING ^ (status == STATUS_CANCELLED ? TASK_CANCELLED : TASK_DONE);
    const uint32_t before = atomic_fetch_xor_explicit(&task->state, change, memory_order_acq_rel);
    /* From here on the record may be another task's: a wake-up too many is the worst of it. */
    if (before & TASK_WAITED)
        futex_wake(&task->state, INT_MAX);
    if (!(before & (TASK_HELD | TASK_ENTERED)))
        records_put(task, cache);
}

void pool__run(struct worker *worker, struct future *task)
{
    enum status status = STATUS_CANCELLED;
    if (atomic_load_explicit(&worker->pool->state, memory_order_relaxed) == POOL_CANCELLING) {
        count(&worker->shown.cancelled, 1);
    } else {
        struct frame frame = {task, worker->frame};
        worker->frame = &frame;
        status = task->fn(task, task->arg);
        worker->frame = frame.below;
        count(&worker->shown.run, 1);
    }
    pool__finish(task, status, &worker->cache);
}

/* --- the worker --------------------------------------------------------------------------------------------------- */

/* Something else than a task. */
static bool is_called(const struct worker *worker)
{
    return atomic_load(&((struct worker *)worker)->gang) || worker->id >= atomic_load(&worker->pool->limit) ||
           atomic_load(&worker->pool->state) == POOL_ENDING;
}

/* Found nothing: searches, then sleeps, until there is a task (returned) or the worker is called. */
static struct future *idle(struct worker *worker)
{
    struct pool *pool = worker->pool;
    struct future *task;
    uint64_t until_ns = book(worker, &worker->shown.busy_ns) + SEARCH_NS;
    int pauses = 1;
    bool spin = pool->spin && !worker->crowded; /* others of a wide gang want our core */
    worker->crowded = false;
    atomic_fetch_add(&pool->searching, 1);
    for (;;) {
        if ((task = find(worker, false)) || is_called(worker)) {
            end_search(pool);
            break;
        }
        if (spin) {
            for (int i = 0; i < pauses; i++)
                cpu_pause();
            pauses = pauses < SEARCH_PAUSES ? 2 * pauses : SEARCH_PAUSES;
            if (clock_now_ns() < until_ns)
                continue;
        }
        if (!pool->spin)
            pool__end_keeping_apart(worker);
        atomic_fetch_or(&pool->idle[worker->id / 64], (uint64_t)1 << worker->id % 64);
        atomic_fetch_sub(&pool->searching, 1);
        if ((task = find(worker, true)) || is_called(worker)) {
            if (!clear_idle(pool, worker->id)) { /* somebody wakes us just now, and has counted us twice */
                pool__take_word(&worker->word, WORD_WOKEN, 0);
                atomic_fetch_sub(&pool->active, 1);
                end_search(pool);
            } else if (some_work(pool)) {
                pool__notify(pool);
            }
            break;
        }
        book(worker, &worker->shown.idle_ns);
        count(&worker->shown.sleeps, 1);
        become_inactive(pool);
        pool__take_word(&worker->word, WORD_WOKEN, 0); /* by who has cleared our bit and counted us */
        until_ns = book(worker, &worker->shown.asleep_ns) + SEARCH_NS;
        pauses = 1;
        spin = pool->spin;
    }
    book(worker, &worker->shown.idle_ns);
    return task;
}

/* Above the limit: waits to be wanted again, for gangs as long as it takes, else a while.  False: the thread ends. */
static bool park(struct worker *worker)
{
    struct pool *pool = worker->pool;
    bool stays;
    book(worker, &worker->shown.busy_ns);
    if (some_work(pool))
        pool__notify(pool);
    become_inactive(pool);
    do {
        stays = worker->id < atomic_load(&pool->gang_threads);
        pool__take_word(&worker->word, WORD_NUDGED, stays ? 0 : PARK_NS);
        book(worker, &worker->shown.asleep_ns);
        if (atomic_load(&worker->gang)) {
            pool__join_gang(worker);
            book(worker, &worker->shown.busy_ns);
        }
    } while (stays && worker->id >= atomic_load(&pool->limit) && atomic_load(&pool->state) != POOL_ENDING);
    if (atomic_load(&pool->state) == POOL_ENDING)
        return false;
    CHECK(pthread_mutex_lock(&pool->mu) == 0);
    const bool ends = worker->id >= atomic_load(&pool->gang_threads) && worker->id >= atomic_load(&pool->limit);
    if (ends)
        worker->presence = WORKER_ENDED;
    else
        atomic_fetch_add(&pool->active, 1); /* one that stays comes back here at once when it is not wanted after all */
    CHECK(pthread_mutex_unlock(&pool->mu) == 0);
    return !ends;
}

void *pool__worker_main(void *arg)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;
    self = worker;
    fesetenv(FE_DFL_ENV); /* whatever the thread that started us has set */
    if (pool->options.pin_threads)
        place_here(&pool->places, worker->id % pool->places.count);
    while (atomic_load(&pool->state) == POOL_STARTING && worker->id < atomic_load(&pool->limit))
        futex_wait(&pool->state, POOL_STARTING);
    worker->since_ns = clock_now_ns();
    for (;;) {
        struct future *task = NULL;
        if (atomic_load_explicit(&worker->gang, memory_order_acquire)) {
            pool__join_gang(worker);
        } else if (atomic_load(&pool->state) == POOL_ENDING) {
            break;
        } else if (worker->id >= atomic_load_explicit(&pool->limit, memory_order_relaxed)) {
            if (!park(worker))
                break;
        } else if ((task = find(worker, false)) || (task = idle(worker))) {
            const uint64_t start_ns = worker->stole ? clock_now_ns() : 0;
            if (worker->slot != PLACE_ANYWHERE)
                pool__leave_place(worker);
            pool__run(worker, task);
            if (start_ns)
                judge_theft(worker, clock_now_ns() - start_ns);
            worker->stole = false;
        }
    }
    return NULL;
}

/* Workers 0 … id exist, with or without a thread. */
static enum status make_workers(struct pool *pool, int id, struct error *err)
{
    for (int i = atomic_load(&pool->slots); i <= id; i++) {
        struct worker *worker = mem_map(sizeof *worker);
        if (!worker)
            return error_set(err, STATUS_NOMEM, "no memory for thread %d of the pool", i);
        if (pool->numa)
            pool__near_memory(pool, i, worker, sizeof *worker, NULL);
        worker->pool = pool;
        worker->id = i;
        worker->kept_off = -1;
        worker->slot = PLACE_ANYWHERE;
        atomic_store(&pool->workers[i], worker);
        atomic_store(&pool->slots, i + 1);
    }
    return STATUS_OK;
}

/* Which limit it was, most likely. */
static enum status refused(int id, const char *name, int why, struct error *err)
{
    struct rlimit processes = {0}, address_space = {0};
    getrlimit(RLIMIT_NPROC, &processes);
    getrlimit(RLIMIT_AS, &address_space);
    char limit[160];
    if (address_space.rlim_cur != RLIM_INFINITY)
        snprintf(limit, sizeof limit, "the address space that the threads' stacks take (ulimit -v: %llu KiB)",
                 (unsigned long long)address_space.rlim_cur / 1024);
    else if (processes.rlim_cur != RLIM_INFINITY)
        snprintf(limit, sizeof limit, "the number of processes (ulimit -u: %llu, or pids.max of the cgroup)",
                 (unsigned long long)processes.rlim_cur);
    else
        snprintf(limit, sizeof limit, "pids.max of the cgroup or /proc/sys/kernel/threads-max");
    return error_set(err, STATUS_SYSTEM, "the system refused the thread of %s %d (%s); the limit is likely %s", name, id,
                     strerror(why), limit);
}

enum status pool__start_worker(struct pool *pool, int id, bool tasks, struct error *err)
{
    if (make_workers(pool, id, err) != STATUS_OK)
        return STATUS_NOMEM;
    for (int i = atomic_load(&pool->reach); tasks && i <= id; i++) {
        if (pool->options.work_stealing && deque_init(&worker_at(pool, i)->deque, DEQUE_CAPACITY) != STATUS_OK)
            return error_set(err, STATUS_NOMEM, "no memory for worker %d of the pool", i);
        if (pool->numa && pool->options.work_stealing)
            pool__near_memory(pool, i, worker_at(pool, i)->deque.slots, DEQUE_CAPACITY * sizeof(void *), NULL);
        atomic_store(&pool->reach, i + 1);
    }
    struct worker *worker = worker_at(pool, id);
    if (worker->presence == WORKER_ALIVE)
        return STATUS_OK;
    if (worker->presence == WORKER_ENDED)
        CHECK(pthread_join(worker->thread, NULL) == 0);
    worker->presence = WORKER_ABSENT;
    worker->kept_off = -1;
    atomic_store(&worker->word, 0);
    char name[16];
    snprintf(name, sizeof name, "%.10s %d", pool->options.thread_name, id);
    atomic_fetch_add(&pool->active, 1);
    const int why =
        thread__create(&worker->thread, name, pool->options.stack_size_bytes, pool__worker_main, worker);
    if (why != 0) {
        become_inactive(pool);
        return refused(id, pool->options.thread_name, why, err);
    }
    worker->presence = WORKER_ALIVE;
    return STATUS_OK;
}

bool pool__lend(struct pool *pool)
{
    int lent = atomic_load(&pool->lent);
    do {
        if (lent >= atomic_load(&pool->wanted))
            return false;
    } while (!atomic_compare_exchange_weak(&pool->lent, &lent, lent + 1));
    CHECK(pthread_mutex_lock(&pool->mu) == 0);
    const int id = atomic_fetch_add(&pool->limit, 1);
    const bool ending = atomic_load(&pool->state) == POOL_ENDING;
    const bool started = !ending && pool__start_worker(pool, id, true, NULL) == STATUS_OK;
    if (started)
        pool__rouse(worker_at(pool, id));
    CHECK(pthread_mutex_unlock(&pool->mu) == 0);
    if (!started)
        pool__unlend(pool);
    return started;
}

void pool__unlend(struct pool *pool)
{
    const int limit = atomic_fetch_sub(&pool->limit, 1) - 1;
    atomic_fetch_sub(&pool->lent, 1);
    for (int id = limit; id < atomic_load(&pool->reach); id++) /* asleep for want of work they would not see it */
        if (clear_idle(pool, id))
            wake(worker_at(pool, id));
}
