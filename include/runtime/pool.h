/* SPDX-License-Identifier: MIT
 * runtime/pool.h - a work-stealing pool: independent tasks of uneven size on a number of worker threads.
 *
 * Each worker has a deque: what a task submits goes to the end that its own worker takes from, newest first, and other
 * workers steal from the other end, oldest first, near victims before far ones.  What threads outside submit goes to a
 * FIFO that all workers take from.  Interactive tasks have a FIFO of their own that is looked at before everything
 * else; after every POOL_INTERACTIVE_RUN of them in a row a worker takes a batch task if there is one, so neither
 * starves.  A worker with nothing to do looks around for some tens of microseconds and then sleeps in the kernel.
 *
 * A pool is made (pool_init), may be given tasks already, is started, and is stopped once: then it is over.  Any
 * thread may call anything but pool_free, tasks too, unless it says otherwise.
 *
 * A gang, that is calls that must run at the same time because they meet at barriers, runs on the same threads with
 * pool_gang_run; the sphere team of runtime/team.h is one.  So a process needs one pool and has one set of threads,
 * however many kinds of work it has.  Gangs may be wider than it is good to have workers (gang_threads): the threads
 * that are too many sleep between gangs, take no tasks, and stand in for workers that wait inside a task.
 */
#ifndef RUNTIME_POOL_H
#define RUNTIME_POOL_H

#include "base/status.h"
#include "runtime/future.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_THREADS_MAX = 1885, POOL_INTERACTIVE_RUN = 16 };

struct pool;

struct pool_options {
    int num_threads;         /* workers; 0 = auto-detect (topology_auto_spheres), 1 … POOL_THREADS_MAX */
    int gang_threads;        /* 0 … POOL_THREADS_MAX: so many threads there are at least, those that are no workers for
                              * gangs alone */
    size_t stack_size_bytes; /* of each worker, at least PTHREAD_STACK_MIN; rounded up to whole pages */
    size_t queue_capacity;   /* of each FIFO, rounded up to a power of two, 2 … 2^24 */
    bool work_stealing;      /* false: no deques, all tasks go through the FIFOs in order */
    bool numa_aware;         /* where the pool is pinned and there are several nodes: victims in the worker's own node
                              * before others as near, and its own state and deque in that node's memory */
    bool pin_threads;        /* worker i stays on the i-th CPU, round and round; victims are then taken by the caches
                              * and the core that they share with it */
    const int *cpus;         /* the CPUs to pin to, num_cpus of them; NULL = those of the affinity mask */
    int num_cpus;
    const char *thread_name; /* what ps and gdb show before the thread's number, at most 10 bytes; NULL = "worker" */
};

/* 0 threads (auto), none for gangs alone, 1 MiB of stack, FIFOs of 4096, stealing, neither NUMA nor pinning. */
struct pool_options pool_options_default(void);

/* Makes a pool whose threads are not there yet; copies what it needs of the options.  NULL with *err: STATUS_CONFIG
 * for a value out of its range or a CPU that this process may not use, STATUS_NOMEM. */
struct pool *pool_init(const struct pool_options *options, struct error *err);

/* Starts the threads; no task begins before all are there.  STATUS_SYSTEM or STATUS_NOMEM when the system refuses
 * one (how many were wanted, how many came, which limit it is likely to be): those already started have then been
 * joined, and starting may be tried again.  STATUS_MISUSE: second start. */
enum status pool_start(struct pool *pool, struct error *err);

enum pool_stop { POOL_DRAIN, POOL_CANCEL };

/* Ends the pool and joins its threads.  POOL_DRAIN runs all that was submitted, and what that submits; POOL_CANCEL
 * tells running tasks (future_is_cancelled) and lets no other begin: their futures are cancelled.  A pool that was
 * never started cancels.  STATUS_MISUSE: called by a task of this pool, or stopped before. */
enum status pool_stop(struct pool *pool, enum pool_stop how);

/* Stops with POOL_CANCEL if that was not done, and frees.  Futures still held stay valid until released.  NULL is
 * fine.  STATUS_MISUSE, and nothing done, when called by a task of this pool. */
enum status pool_free(struct pool *pool);

enum pool_priority { POOL_BATCH, POOL_INTERACTIVE };

/* A task: returns a status and may say more through its future `me`, which is borrowed for the call. */
typedef enum status (*pool_task)(struct future *me, void *arg);

/* Has fn(me, arg) run once.  *out, when `out` is not NULL, is the future, owed a future_release.  Never waits:
 * STATUS_QUEUE_FULL when the queue has no room, STATUS_NOMEM, STATUS_MISUSE after pool_stop, STATUS_CANCELLED while a
 * stop with POOL_CANCEL is under way; nothing was then submitted. */
enum status pool_submit(struct pool *pool, enum pool_priority priority, pool_task fn, void *arg, struct future **out);

/* Changes the number of workers, 1 … POOL_THREADS_MAX, while work goes on.  Workers too many end after the task they
 * have in hand; nothing is lost, and this does not wait for them.  STATUS_SYSTEM or STATUS_NOMEM: a thread was
 * refused, the pool is as it was.  STATUS_MISUSE when not started or stopped. */
enum status pool_resize(struct pool *pool, int num_threads, struct error *err);

/* Changes gang_threads, 0 … POOL_THREADS_MAX, between two gangs.  Threads too many end after a while.  Where gangs sit was
 * read when the pool was made, for gangs as wide as were wanted then; wider ones of 16 members a CPU and more may have
 * neighbours of the heap on CPUs that are no neighbours.  STATUS_SYSTEM or STATUS_NOMEM: a thread was refused, the pool is
 * as it was.  STATUS_MISUSE: by a task, or when not running. */
enum status pool_resize_gangs(struct pool *pool, int gang_threads, struct error *err);

/* Calls fn(id, arg) once on each of `width` threads at the same time, id 0 … width-1 and always the same thread for an
 * id, and returns when all are back, so that the members may wait for each other.  A worker joins after the task it
 * has in hand, and has a look for tasks before it joins another gang; while all workers are in a gang, tasks wait.
 * Members are woken along the 12-ary tree of runtime/sphere.h, and from 16 of them a CPU on each keeps to one CPU for
 * the time (place_slot), unless the pool is pinned otherwise.  One gang at a time; further callers wait.
 * STATUS_MISUSE: called by a thread of this pool, not running, or more than pool_gang_size. */
enum status pool_gang_run(struct pool *pool, int width, void (*fn)(int id, void *arg), void *arg);

int pool_size(const struct pool *pool);      /* workers wanted */
int pool_gang_size(const struct pool *pool); /* the widest gang: pool_size or gang_threads, whichever is more */

/* What the pool made of its options, "" when it took them as they were: one phrase for each change, e.g. that a
 * capacity was rounded, or how many threads 0 was and why.  Borrowed until pool_free. */
const char *pool_note(const struct pool *pool);

/* One thread's figures since the pool was started; a copy, each figure by itself a recent value. */
struct pool_stats {
    uint64_t created;      /* tasks submitted by tasks that ran here */
    uint64_t run;          /* tasks run */
    uint64_t stolen;       /* of these, taken from another worker */
    uint64_t cancelled;    /* tasks that came up here and had been cancelled */
    uint64_t busy_ns;      /* with a task or a gang's call in hand, waiting inside it included */
    uint64_t idle_ns;      /* looking for work */
    uint64_t asleep_ns;    /* in the kernel for want of work */
    uint64_t sleeps;
    uint64_t gangs;        /* calls of gangs */
    double steal_ratio;    /* stolen / run; 0 when nothing was run */
};

/* Worker `id`, or all together and the tasks created outside for id -1.  STATUS_MISUSE: no such worker so far. */
enum status pool_stats(const struct pool *pool, int id, struct pool_stats *out);
int pool_stats_count(const struct pool *pool); /* threads that there ever were, those for gangs alone included */

#endif
