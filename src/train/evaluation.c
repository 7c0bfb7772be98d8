/* SPDX-License-Identifier: MIT
 * The loss of the validation part is one run of the team: leaf after leaf of micro_batch windows, read by their owners and put
 * through the decoder by all; the root adds the leaves' losses in order.
 */
#include "train/threaded_training.h"

#include "train/threaded_training_internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct evaluation {
    struct threaded_training *system;
    uint64_t leaves;     /* whole ones */
    size_t rest;         /* windows of one more leaf, < micro_batch */
    double loss;         /* sum over tokens */
    uint64_t supervised; /* how many of them count */
};

/* Loss of micro_batch windows, the first `fresh` of them new ones from `window`, the others that of the last. */
static enum status eval_leaf(struct sphere *me, struct evaluation *e, uint64_t window, size_t fresh, double *loss)
{
    struct training *t = e->system->training;
    const size_t T = t->settings.seq_len;
    struct share own = sphere_share(me, t->settings.micro_batch);
    const bool packed = t->settings.packing != PACKING_NONE;
    for (size_t b = own.begin; b < own.end; b++) {
        const struct window out = {t->val.inputs + b * T, t->val.targets + b * T, packed ? t->val.first + b * T : NULL,
                                   packed ? t->val.supervised + b * T : NULL};
        batch_iterator_val_window(e->system->iterator, window + (b < fresh ? b : fresh - 1), &out);
        if (packed && b >= fresh)
            memset(out.supervised, 0, T * sizeof *out.supervised);
    }
    if (me->id == 0 && training__is_stopped(e->system))
        sphere_fail(me, STATUS_CANCELLED);
    enum status st = training__verdict(me, e->system);
    if (st != STATUS_OK)
        return st;
    const struct leaf leaf = {
        .inputs = t->val.inputs, .targets = t->val.targets, .first = t->val.first, .supervised = t->val.supervised};
    decoder_eval_leaf(me, t->decoder, &leaf, loss);
    for (size_t i = 0; me->id == 0 && i < fresh * T; i++)
        e->supervised += !packed || t->val.supervised[i];
    return sphere_barrier(me); /* all have read the windows */
}

static void evaluate_team(struct sphere *me, void *arg)
{
    struct evaluation *e = arg;
    const size_t B = e->system->training->settings.micro_batch;
    double sum = 0, loss = 0; /* the root's count */
    decoder_pack(me, e->system->training->decoder);
    for (uint64_t i = 0; i < e->leaves; i++) {
        if (eval_leaf(me, e, i * B, B, &loss) != STATUS_OK)
            return;
        sum += loss;
    }
    if (e->rest && e->system->training->settings.packing != PACKING_NONE) {
        /* A leaf is always micro_batch windows: fill up with copies of the last one, of which no target counts. */
        if (eval_leaf(me, e, e->leaves * B, e->rest, &loss) != STATUS_OK)
            return;
        sum += loss;
    } else if (e->rest) {
        /* A leaf is always micro_batch windows: fill up with copies of the last one, and take out what they added,
         * known from a leaf of nothing else. */
        double copies = 0;
        uint64_t first = e->leaves * B;
        if (eval_leaf(me, e, first, e->rest, &loss) != STATUS_OK ||
            eval_leaf(me, e, first + e->rest - 1, 1, &copies) != STATUS_OK)
            return;
        sum += loss - copies * ((double)(B - e->rest) / (double)B);
    }
    if (me->id == 0)
        e->loss = sum;
}

enum status threaded_training_evaluate(struct threaded_training *s, uint64_t batches, double *val_loss)
{
    const struct train_settings *settings = &s->training->settings;
    uint64_t windows = batch_iterator_val_windows(s->iterator);
    *val_loss = NAN;
    if (windows == 0)
        return STATUS_OK;
    struct evaluation e = {
        .system = s, .leaves = windows / settings->micro_batch, .rest = (size_t)(windows % settings->micro_batch)};
    if (batches > 0 && batches <= e.leaves) {
        e.leaves = batches;
        e.rest = 0;
    }
    enum status st = training__run_team(s, evaluate_team, &e);
    if (st != STATUS_OK)
        return error_set(&s->error, st, "evaluation after step %" PRIu64 ": %s", s->training->step, status_text(st));
    const double tokens = (double)(e.leaves * settings->micro_batch + e.rest) * (double)settings->seq_len;
    *val_loss = settings->packing == PACKING_NONE ? e.loss / tokens : e.loss / (double)e.supervised;
    return STATUS_OK;
}
