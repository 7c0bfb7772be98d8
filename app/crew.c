/* SPDX-License-Identifier: MIT */
#include "app/crew.h"

#include "topology/topology.h"

enum { QUEUE_CAPACITY = 256 };

enum status crew_start(struct crew *crew, int threads, enum team_backend backend, struct error *err)
{
    crew->threads = threads;
    crew->backend = backend;
    crew->pool = NULL;
    if (backend != TEAM_PTHREAD)
        return STATUS_OK;
    struct topology topology;
    topology_read(&topology);
    const int automatic = topology_auto_spheres(&topology);
    struct pool_options options = pool_options_default();
    options.num_threads = threads > automatic ? automatic : threads;
    options.gang_threads = threads;
    options.stack_size_bytes = TEAM_STACK_BYTES;
    options.queue_capacity = QUEUE_CAPACITY;
    options.thread_name = "sphere";
    crew->pool = pool_init(&options, err);
    return crew->pool ? pool_start(crew->pool, err) : err->status;
}

void crew_release(struct crew *crew)
{
    pool_free(crew->pool);
    crew->pool = NULL;
}
