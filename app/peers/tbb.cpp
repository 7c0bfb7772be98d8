/* SPDX-License-Identifier: MIT
 * app/peers/tbb.cpp - oneTBB as a peer; only in the benchmark's own build.
 */
#include "app/peers/peers.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <atomic>

namespace {

tbb::task_arena *arena;
tbb::global_control *control;

void start(int threads)
{
    control = new tbb::global_control(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(threads));
    arena = new tbb::task_arena(threads);
    arena->initialize();
}

void stop()
{
    delete arena;
    delete control;
}

void outside(size_t n)
{
    std::atomic<size_t> left{n};
    for (size_t i = 0; i < n; i++)
        arena->enqueue([&left] { left.fetch_sub(1, std::memory_order_release); });
    while (left.load(std::memory_order_acquire) != 0)
        __builtin_ia32_pause();
}

void inside(size_t n, size_t block)
{
    arena->execute([=] {
        for (size_t done = 0; done < n; done += block) {
            tbb::task_group group;
            for (size_t i = 0; i < block; i++)
                group.run([] {});
            group.wait();
        }
    });
}

void branch(int depth)
{
    if (depth == 0)
        return;
    tbb::task_group group;
    group.run([=] { branch(depth - 1); });
    group.run([=] { branch(depth - 1); });
    group.wait();
}

void tree(int depth)
{
    arena->execute([=] { branch(depth); });
}

void loop(enum peer_schedule, size_t n, peer_body *body, void *arg)
{
    arena->execute([=] {
        tbb::parallel_for(tbb::blocked_range<size_t>(0, n),
                          [=](const tbb::blocked_range<size_t> &r) { body(r.begin(), r.end(), arg); });
    });
}

} // namespace

extern "C" const struct pool_peer peer_tbb = {"oneTBB", {nullptr, "oneTBB"}, start, stop, outside, inside, tree, loop};
