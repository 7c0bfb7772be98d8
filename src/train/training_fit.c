/* SPDX-License-Identifier: MIT */
#include "train/training_fit.h"

#include "base/human.h"
#include "topology/topology.h"
#include "train/training_internal.h"

size_t training_fit_available(void)
{
    struct topology topology;
    topology_read(&topology);
    return topology.memory_available_bytes - topology.memory_available_bytes / 16;
}

static enum status plan(const struct train_settings *s, int num_spheres, struct training_memory *out, struct error *err)
{
    return training__plan(s, num_spheres, TRAINING_FIT_PROGRAM_BYTES, out, err);
}

/* With s->micro_batch: everything kept if that fits, else no copy for checkpoints, else the fewest layers run again that
 * will do, or all where none does; each one more takes less. */
static enum status fit_one(struct train_settings *s, int num_spheres, size_t bytes, const struct training_fit *choose,
                           struct training_memory *out, struct error *err)
{
    const size_t most = s->model.n_layer - 1;
    if (choose->recompute)
        s->recompute = 0;
    enum status status = plan(s, num_spheres, out, err);
    if (status != STATUS_OK || out->total_bytes <= bytes)
        return status;
    if (choose->save_mode)
        s->save_mode = SAVE_BLOCKING;
    size_t low = 0, high = most;
    while (choose->recompute && low < high && status == STATUS_OK) {
        s->recompute = low + (high - low) / 2;
        status = plan(s, num_spheres, out, err);
        if (out->total_bytes <= bytes)
            high = s->recompute;
        else
            low = s->recompute + 1;
    }
    if (choose->recompute)
        s->recompute = high;
    return status == STATUS_OK ? plan(s, num_spheres, out, err) : status;
}

static enum status nothing_fits(const struct train_settings *s, const struct training_memory *m, size_t bytes,
                                bool micro_given, struct error *err)
{
    struct human given, least, weights, learned, working, program;
    return error_set(
        err, STATUS_NOMEM,
        "nothing fits %s: the least is %s, with a micro-batch of %zu%s and %zu of %zu layers run again (weights %s, "
        "gradients and "
        "moments %s, activations and work space %s, the program and its data %s); it takes %sa shorter sequence, "
        "another "
        "optimizer or a smaller model",
        human_bytes(&given, bytes), human_bytes(&least, m->total_bytes), s->micro_batch, micro_given ? " as given" : "",
        s->recompute < s->model.n_layer ? s->recompute : s->model.n_layer - 1, s->model.n_layer,
        human_bytes(&weights, m->weights_bytes), human_bytes(&learned, m->gradients_bytes + m->moments_bytes),
        human_bytes(&working, m->packed_bytes + m->activation_bytes + m->shared_bytes + m->scratch_bytes),
        human_bytes(&program, m->sphere_bytes + m->data_bytes + m->snapshot_bytes + m->sampling_bytes + m->program_bytes),
        micro_given && s->micro_batch > 1 ? "a smaller micro-batch, " : "");
}

enum status training_fit(struct train_settings *settings, int num_spheres, size_t bytes,
                         const struct training_fit *choose, struct training_memory *planned, struct error *err)
{
    struct training_memory memory, least = {.total_bytes = SIZE_MAX};
    struct train_settings tried = *settings, at_least = *settings;
    enum status status = train_settings_check(settings, err);
    if (status != STATUS_OK)
        return status;
    if (num_spheres == 0) {
        struct topology topology;
        topology_read(&topology);
        num_spheres = topology_auto_spheres(&topology);
        num_spheres = num_spheres < SPHERES_MAX ? num_spheres : SPHERES_MAX;
    }
    const size_t smallest = choose->micro_batch ? 1 : settings->micro_batch;
    for (size_t micro = settings->micro_batch; micro >= smallest; micro--) {
        if (settings->batch_size % micro != 0)
            continue;
        tried.micro_batch = micro;
        tried.recompute = settings->recompute;
        tried.save_mode = settings->save_mode;
        status = fit_one(&tried, num_spheres, bytes, choose, &memory, err);
        if (status != STATUS_OK)
            return status;
        if (memory.total_bytes <= bytes) {
            *settings = tried;
            if (planned)
                *planned = memory;
            return STATUS_OK;
        }
        if (memory.total_bytes < least.total_bytes) {
            least = memory;
            at_least = tried;
        }
    }
    return nothing_fits(&at_least, &least, bytes, !choose->micro_batch, err);
}
