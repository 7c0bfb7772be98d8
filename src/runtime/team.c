/* SPDX-License-Identifier: MIT
 *
 * What is common to the back ends: making, running, booking time.
 *
 * Time.  A run lasts from team_run's call to the last member's return.  What a sphere does not spend computing of
 * the runs' time, its own or others', is waiting, so waiting is not summed but taken as the difference: a sphere
 * that sleeps through a run writes nothing.
 */
#include "runtime/team_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/memory.h"
#include "runtime/heartbeat_internal.h"
#include "runtime/machine_internal.h"
#include "runtime/pool.h"
#include "runtime/profile_internal.h"
#include "runtime/thread.h"

#include <fenv.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
    const char *name;
    const struct team_ops *ops;
} BACKENDS[] = {
    [TEAM_PTHREAD] = {"pthread", &team__pthread},
    [TEAM_OPENMP] = {"openmp", &team__openmp},
    [TEAM_SERIAL] = {"serial", &team__serial},
};
enum { NUM_BACKENDS = sizeof BACKENDS / sizeof BACKENDS[0] };

static struct member *member_of(struct sphere *me)
{
    return (struct member *)me;
}

static enum status choose_size(const struct team_options *options, const struct topology *topology, int *out,
                               struct error *err)
{
    const int wanted = options->num_spheres;
    const enum team_backend backend = options->backend;
    if ((unsigned)backend >= NUM_BACKENDS)
        return error_set(err, STATUS_CONFIG, "unknown back end %d", (int)backend);
    if (wanted < 0 || wanted > SPHERES_MAX)
        return error_set(err, STATUS_CONFIG, "the number of spheres must be 0 (auto-detect) or 1 to %d, not %d",
                         SPHERES_MAX, wanted);
    if (backend == TEAM_SERIAL && wanted > 1)
        return error_set(err, STATUS_CONFIG, "the serial back end has one sphere; %d were asked for", wanted);
    *out = backend == TEAM_SERIAL ? 1 : wanted ? wanted : topology_auto_spheres(topology);
    if (*out > SPHERES_MAX)
        *out = SPHERES_MAX;
    if (!wanted && options->pool && backend == TEAM_PTHREAD && *out > pool_gang_size(options->pool))
        *out = pool_gang_size(options->pool);
    return STATUS_OK;
}

static enum status members_init(struct team *team, size_t scratch_bytes, struct error *err)
{
    team->members_bytes = (size_t)team->num_spheres * sizeof *team->members;
    team->members = mem_map(team->members_bytes);
    if (!team->members)
        return error_set(err, STATUS_NOMEM, "no memory for %d spheres (%zu bytes)", team->num_spheres,
                         team->members_bytes);
    for (int id = 0; id < team->num_spheres; id++) {
        struct member *m = &team->members[id];
        m->sphere.id = id;
        m->sphere.team = team;
        m->sphere.stats = (struct sphere_stats){.id = id,
                                                .level = sphere_level(id),
                                                .parent = sphere_parent(id),
                                                .first_child = sphere_first_child(id),
                                                .num_children = sphere_num_children(id, team->num_spheres),
                                                .group = sphere_group(id),
                                                .cpu = -1};
        atomic_store_explicit(&m->shown.cpu, -1, memory_order_relaxed);
        if (arena_init(&m->sphere.scratch, scratch_bytes, err) != STATUS_OK)
            {
            error_prefix(err, "scratch of sphere %d of %d", id, team->num_spheres);
            return STATUS_NOMEM;
        }
    }
    return STATUS_OK;
}

struct team *team_new(const struct team_options *options, struct error *err)
{
    struct topology topology;
    machine__read(&topology);
    int num_spheres = 0;
    if (choose_size(options, &topology, &num_spheres, err) != STATUS_OK)
        return NULL;
    struct team *team = mem_calloc(1, sizeof *team);
    if (!team) {
        error_set(err, STATUS_NOMEM, "no memory for a team of %d spheres", num_spheres);
        return NULL;
    }
    team->num_spheres = num_spheres;
    team->cores = machine__cores(&topology);
    team->backend = options->backend;
    team->ops = BACKENDS[options->backend].ops;
    team->lent_pool = options->backend == TEAM_PTHREAD ? options->pool : NULL;
    team->stack_bytes = options->stack_bytes ? options->stack_bytes : TEAM_STACK_BYTES;
    team->mu = mutex_new();
    if (!team->mu)
        error_set(err, STATUS_NOMEM, "no memory for a team of %d spheres", num_spheres);
    else if (barrier_init(&team->barrier, num_spheres, err) == STATUS_OK &&
             members_init(team, options->scratch_bytes, err) == STATUS_OK && team->ops->start(team, err) == STATUS_OK)
        return team;
    team_free(team);
    return NULL;
}

void team_free(struct team *team)
{
    if (!team)
        return;
    team->ops->stop(team);
    for (int id = 0; team->members && id < team->num_spheres; id++)
        arena_release(&team->members[id].sphere.scratch);
    mem_unmap(team->members, team->members_bytes);
    mem_unmap(team->profiles, team->profiles_bytes);
    barrier_release(&team->barrier);
    mutex_free(team->mu);
    mem_free(team);
}

int team_size(const struct team *team)
{
    return team->num_spheres;
}

enum team_backend team_backend(const struct team *team)
{
    return team->backend;
}

const char *team_backend_name(enum team_backend backend)
{
    return (unsigned)backend < NUM_BACKENDS ? BACKENDS[backend].name : "unknown";
}

enum status team_backend_parse(const char *name, enum team_backend *out, struct error *err)
{
    for (int i = 0; i < NUM_BACKENDS; i++)
        if (strcmp(name, BACKENDS[i].name) == 0) {
            *out = (enum team_backend)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "unknown back end \"%s\": pthread, openmp or serial would be right", name);
}

enum status team_run(struct team *team, int width, void (*fn)(struct sphere *me, void *arg), void *arg)
{
    CHECK(width >= 1 && width <= team->num_spheres);
    mutex_lock(team->mu);
    CHECK(!team->running);
    team->running = true;
    team->runs++;
    team->width = width;
    team->run_start_ns = clock_now_ns();
    mutex_unlock(team->mu);
    team->fn = fn;
    team->arg = arg;
    barrier_begin(&team->barrier, width, width <= team->cores);

    enum status started = team->ops->run(team);

    const uint64_t end_ns = clock_now_ns();
    if (started == STATUS_OK && team->profile_mode != PROFILE_OFF)
        profile__run_ended(team, end_ns);
    mutex_lock(team->mu);
    team->running = false;
    team->past_ns += end_ns - team->run_start_ns;
    mutex_unlock(team->mu);
    return started != STATUS_OK ? started : team->barrier.verdict;
}

/* Books the sphere's figures as of `now_ns` and shows them to readers. */
static void show(struct member *m, uint64_t now_ns)
{
    struct sphere_stats *s = &m->sphere.stats;
    const struct team *team = m->sphere.team;
    s->wait_ns = team->past_ns + (now_ns - team->run_start_ns) - s->compute_ns;
    s->scratch_peak_bytes = m->sphere.scratch.peak_bytes;
    atomic_store_explicit(&m->shown.sequences, s->sequences, memory_order_relaxed);
    atomic_store_explicit(&m->shown.tokens, s->tokens, memory_order_relaxed);
    atomic_store_explicit(&m->shown.flops, s->flops, memory_order_relaxed);
    atomic_store_explicit(&m->shown.compute_ns, s->compute_ns, memory_order_relaxed);
    atomic_store_explicit(&m->shown.wait_ns, s->wait_ns, memory_order_relaxed);
    atomic_store_explicit(&m->shown.barriers, s->barriers, memory_order_relaxed);
    atomic_store_explicit(&m->shown.scratch_peak_bytes, s->scratch_peak_bytes, memory_order_relaxed);
    atomic_store_explicit(&m->shown.cpu, s->cpu, memory_order_relaxed);
}

bool team__member(struct team *team, int id)
{
    struct member *m = &team->members[id];
    struct sphere *me = &m->sphere;
    me->width = team->width;
    me->stats.cpu = sched_getcpu();
    m->crossing = 0;
    m->failure = BARRIER_NO_FAILURE;

    /* Round to nearest, subnormals kept, whatever the thread that made us or lends itself to us has set. */
    fenv_t lent;
    fegetenv(&lent);
    fesetenv(FE_DFL_ENV);
    heartbeat__begins(me, team->runs);
    m->resumed_ns = clock_now_ns();
    profile__run_begins(me, team->run_start_ns, m->resumed_ns);
    team->fn(me, team->arg);
    uint64_t now_ns = clock_now_ns();
    if (me->profile)
        profile__waits(me, now_ns);
    fesetenv(&lent);

    me->stats.compute_ns += now_ns - m->resumed_ns;
    me->stats.cpu = sched_getcpu();
    show(m, now_ns);
    heartbeat__is_done(me);
    return barrier_arrive(&team->barrier, id, m->failure);
}

enum status sphere_barrier(struct sphere *me)
{
    struct member *m = member_of(me);
    struct barrier *barrier = &me->team->barrier;
    const uint64_t arrived_ns = clock_now_ns();
    me->stats.compute_ns += arrived_ns - m->resumed_ns;
    if (me->profile)
        profile__waits(me, arrived_ns);
    heartbeat__waits(me);
    barrier_cross(barrier, me->id, &m->crossing, m->failure);
    heartbeat__goes_on(me);
    m->failure = BARRIER_NO_FAILURE;
    me->stats.barriers++;
    m->resumed_ns = clock_now_ns();
    if (me->profile)
        profile__goes_on(me, m->resumed_ns);
    show(m, m->resumed_ns);
    return barrier->verdict;
}

void sphere_fail(struct sphere *me, enum status status)
{
    struct member *m = member_of(me);
    if (status != STATUS_OK && m->failure == BARRIER_NO_FAILURE)
        m->failure = (uint32_t)me->id << 8 | (uint32_t)status;
}

enum status team_stats(const struct team *team, int id, struct sphere_stats *out)
{
    if (id < 0 || id >= team->num_spheres)
        return STATUS_MISUSE;
    const struct member *m = &team->members[id];
    *out = (struct sphere_stats){
        .id = id,
        .level = sphere_level(id),
        .parent = sphere_parent(id),
        .first_child = sphere_first_child(id),
        .num_children = sphere_num_children(id, team->num_spheres),
        .group = sphere_group(id),
        .cpu = atomic_load_explicit(&m->shown.cpu, memory_order_relaxed),
        .sequences = atomic_load_explicit(&m->shown.sequences, memory_order_relaxed),
        .tokens = atomic_load_explicit(&m->shown.tokens, memory_order_relaxed),
        .flops = atomic_load_explicit(&m->shown.flops, memory_order_relaxed),
        .compute_ns = atomic_load_explicit(&m->shown.compute_ns, memory_order_relaxed),
        .wait_ns = atomic_load_explicit(&m->shown.wait_ns, memory_order_relaxed),
        .barriers = atomic_load_explicit(&m->shown.barriers, memory_order_relaxed),
        .scratch_peak_bytes = atomic_load_explicit(&m->shown.scratch_peak_bytes, memory_order_relaxed),
    };
    /* What passed since it last showed its figures was waiting: all of the runs that are over, and of the present
     * one only where it has no part. */
    mutex_lock(team->mu);
    uint64_t lasted_ns = team->past_ns;
    if (team->running && id >= team->width)
        lasted_ns += clock_now_ns() - team->run_start_ns;
    mutex_unlock(team->mu);
    if (lasted_ns > out->compute_ns + out->wait_ns)
        out->wait_ns = lasted_ns - out->compute_ns;
    return STATUS_OK;
}
