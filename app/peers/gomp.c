/* SPDX-License-Identifier: MIT
 * app/peers/gomp.c - the compiler's OpenMP runtime as a peer: its schedules, tasks and barrier.
 */
#include "app/peers/peers.h"

#include "base/clock.h"

static int team = 1;

static void start(int threads)
{
    team = threads;
}

static void stop(void)
{
}

/* An empty task is no task at all to the compiler, unless it calls what it cannot see through. */
static __attribute__((noinline)) void nothing(void)
{
    __asm__ volatile("");
}

static void inside(size_t n, size_t block)
{
#pragma omp parallel num_threads(team)
#pragma omp single
    for (size_t done = 0; done < n; done += block) {
        for (size_t i = 0; i < block; i++) {
#pragma omp task
            nothing();
        }
#pragma omp taskwait
    }
}

static void branch(int depth)
{
    if (depth == 0)
        return;
#pragma omp task
    branch(depth - 1);
#pragma omp task
    branch(depth - 1);
#pragma omp taskwait
}

static void tree(int depth)
{
#pragma omp parallel num_threads(team)
#pragma omp single
    branch(depth);
}

static void loop(enum peer_schedule schedule, size_t n, peer_body *body, void *arg)
{
    if (schedule == PEER_STATIC) {
        /* What schedule(static) gives each thread, handed over in one call. */
        const size_t threads = (size_t)team;
#pragma omp parallel for schedule(static) num_threads(team)
        for (size_t i = 0; i < threads; i++)
            body(n * i / threads, n * (i + 1) / threads, arg);
    } else {
#pragma omp parallel for schedule(dynamic) num_threads(team)
        for (size_t i = 0; i < n; i++)
            body(i, i + 1, arg);
    }
}

const struct pool_peer peer_gomp = {
    .name = "libgomp",
    .loop_name = {"OpenMP static", "OpenMP dynamic"},
    .start = start,
    .stop = stop,
    .inside = inside,
    .tree = tree,
    .loop = loop,
};

double peer_gomp_barrier_ns(int n, size_t crossings)
{
    double ns = 0;
#pragma omp parallel num_threads(n)
    {
        for (int i = 0; i < 3; i++) {
#pragma omp barrier
        }
        const uint64_t start_ns = clock_now_ns();
        for (size_t i = 0; i < crossings; i++) {
#pragma omp barrier
        }
#pragma omp master
        ns = (double)(clock_now_ns() - start_ns) / (double)crossings;
    }
    return ns;
}
