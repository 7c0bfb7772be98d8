/* SPDX-License-Identifier: MIT */
#include "runtime/machine_internal.h"

#include "base/check.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a reading depends on. */
struct key {
    unsigned char mask[1024];
    char omp_num_threads[64];
};

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static bool have;             /* guarded by mu, as are the two below */
static struct key key;
static struct topology known;

void machine__read(struct topology *out)
{
    struct key now;
    memset(&now, 0, sizeof now);
    const bool readable = sched_getaffinity(0, sizeof now.mask, (cpu_set_t *)(void *)now.mask) == 0;
    const char *omp = getenv("OMP_NUM_THREADS");
    const int len = snprintf(now.omp_num_threads, sizeof now.omp_num_threads, "%s", omp ? omp : "");
    CHECK(pthread_mutex_lock(&mu) == 0);
    if (!have || !readable || len >= (int)sizeof now.omp_num_threads || memcmp(&now, &key, sizeof key) != 0) {
        topology_read(&known);
        key = now;
        have = true;
    }
    *out = known;
    CHECK(pthread_mutex_unlock(&mu) == 0);
}

int machine__cores(const struct topology *topology)
{
    const int cores = topology->affinity_cores > 0 ? topology->affinity_cores : topology->affinity_threads;
    return topology->quota_cpus > 0 && topology->quota_cpus < cores ? (int)topology->quota_cpus : cores;
}

bool machine__has_quota(const struct topology *topology)
{
    return topology->quota_cpus > 0 && topology->quota_cpus < topology->affinity_threads;
}
