/* SPDX-License-Identifier: MIT
 * What the spheres of a training could do at the best, and what share of that a speed is.
 *
 * It is measured by a team of its own, so that no statistics of the training count it: of as many members as there are cores to
 * use, for more spheres than that share them.
 */
#include "ops/peak.h"

#include "model/decoder.h"
#include "runtime/pool.h"
#include "topology/topology.h"
#include "train/threaded_training_internal.h"

enum status threaded_training_measure_peak(struct threaded_training *s, struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    const int cores = topology_auto_spheres(&topology), spheres = threaded_training_get_num_workers(s);
    const struct team_options options = {
        .num_spheres = spheres < cores ? spheres : cores, .backend = team_backend(s->team), .pool = s->pool};
    s->peak_gflops = 0;
    struct team *team = team_new(&options, err);
    if (!team)
        return err->status;
    s->peak_gflops = peak_quick(team, team_size(team), peak_kernel_in_use(s->training->settings.dtype == DTYPE_BF16));
    team_free(team);
    return STATUS_OK;
}

double threaded_training_peak_share(const struct threaded_training *s, double tokens_per_s)
{
    const struct train_settings *settings = &s->training->settings;
    const double flops_per_token =
        decoder_train_flops_per_token(&settings->model, settings->seq_len) +
        decoder_recompute_flops_per_token(&settings->model, settings->seq_len, settings->recompute);
    return s->peak_gflops > 0 ? 1e-9 * tokens_per_s * flops_per_token / s->peak_gflops : 0;
}
