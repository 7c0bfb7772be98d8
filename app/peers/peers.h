/* SPDX-License-Identifier: MIT
 * app/peers/peers.h - other runtimes that `cllm bench pool` and `cllm bench barrier` hold ours against.
 *
 * libgomp is always there, for the OpenMP back end is linked with it.  oneTBB is in the benchmark's own build
 * (`make cllm-bench`) where it is installed, and never in the command people install; what is not linked in is NULL.
 * The functions of a peer are called by one thread, the same one throughout.
 */
#ifndef APP_PEERS_PEERS_H
#define APP_PEERS_PEERS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum peer_schedule { PEER_STATIC, PEER_DYNAMIC, PEER_SCHEDULES };

/* Elements begin … end-1. */
typedef void peer_body(size_t begin, size_t end, void *arg);

struct pool_peer {
    const char *name;
    const char *loop_name[PEER_SCHEDULES]; /* NULL: has no such schedule */
    void (*start)(int threads); /* the caller counts as one */
    void (*stop)(void);
    void (*outside)(size_t n);             /* n empty tasks from a thread that is no worker; NULL: has no such thing */
    void (*inside)(size_t n, size_t block); /* n empty tasks by one task, which waits after each block */
    void (*tree)(int depth);               /* a task makes two, each makes two, … 2^depth leaves */
    void (*loop)(enum peer_schedule schedule, size_t n, peer_body *body, void *arg);
};

extern const struct pool_peer peer_gomp;
extern const struct pool_peer peer_tbb __attribute__((weak));

/* Nanoseconds of one crossing of libgomp's barrier by n threads; `crossings` after three that warm up. */
double peer_gomp_barrier_ns(int n, size_t crossings);

#ifdef __cplusplus
}
#endif

#endif
