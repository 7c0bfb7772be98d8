/* SPDX-License-Identifier: MIT
 * infer/sampler.c - one token out of the logits.
 *
 * Top-k and top-p both keep the likeliest tokens, so both come down to one pair: the smallest logit kept, and how
 * many of those equal to it (in order of index).  A heap gives the logits in falling order only as far as needed:
 * O(V + m log V) for m tokens kept.  Exponentials are base/detmath.h's and sums go in order of index, so a draw has
 * the same result everywhere.
 */
#include "base/check.h"
#include "base/detmath.h"
#include "infer/generator.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

enum status sampling_check(const struct sampling *sampling, struct error *err)
{
    if (!(sampling->temperature >= 0 && sampling->temperature <= 1e6))
        return error_set(err, STATUS_CONFIG, "the temperature is %g; it must be 0 (greedy) or more, at most 1e6",
                         sampling->temperature);
    if (!(sampling->top_p > 0 && sampling->top_p <= 1))
        return error_set(err, STATUS_CONFIG, "top-p is %g; it must be above 0 and at most 1 (1 = off)",
                         sampling->top_p);
    if (!(sampling->min_p >= 0 && sampling->min_p <= 1))
        return error_set(err, STATUS_CONFIG, "min-p is %g; it must be from 0 (off) to 1", sampling->min_p);
    if (!(sampling->repetition_penalty >= 0 && sampling->repetition_penalty <= 1e6))
        return error_set(err, STATUS_CONFIG, "the repetition penalty is %g; it must be above 0, at most 1e6 (1 = off)",
                         sampling->repetition_penalty);
    return STATUS_OK;
}

void sampling_penalize(float *logits, const bool *seen, size_t vocab_size, double penalty)
{
    const float by = (float)penalty;
    if (!(by > 0) || by == 1)
        return;
    for (size_t i = 0; i < vocab_size; i++)
        if (seen[i]) {
            const float value = logits[i] < 0 ? logits[i] * by : logits[i] / by;
            logits[i] = fmaxf(-FLT_MAX, fminf(value, FLT_MAX));
        }
}

static void sift_down(float *heap, size_t n, size_t at)
{
    float value = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (!(heap[child] > value))
            break;
        heap[at] = heap[child];
    }
    heap[at] = value;
}

static float pop_largest(float *heap, size_t *n)
{
    float largest = heap[0];
    heap[0] = heap[--*n];
    if (*n)
        sift_down(heap, *n, 0);
    return largest;
}

static double weight(float logit, float largest, double temperature)
{
    return det_exp(((double)logit - (double)largest) / temperature);
}

struct cut {
    float smallest; /* logits below are out */
    size_t equal;   /* so many of those equal to it are in */
};

/* The likeliest tokens: at most top_k of them, and of these no more than it takes to reach top_p of their weight. */
static struct cut find_cut(const float *logits, size_t n, const struct sampling *sampling, float largest, float *heap)
{
    size_t left = n, limit = sampling->top_k && sampling->top_k < n ? sampling->top_k : n;
    for (size_t i = 0; i < n; i++)
        heap[i] = logits[i];
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);

    double wanted = INFINITY;
    if (sampling->top_p < 1) {
        /* The weight of the top_k, from a first walk down; the heap is then built again. */
        double total = 0;
        if (limit < n) {
            for (size_t i = 0; i < limit; i++)
                total += weight(pop_largest(heap, &left), largest, sampling->temperature);
            left = n;
            for (size_t i = 0; i < n; i++)
                heap[i] = logits[i];
            for (size_t i = n / 2; i-- > 0;)
                sift_down(heap, n, i);
        } else {
            for (size_t i = 0; i < n; i++)
                total += weight(logits[i], largest, sampling->temperature);
        }
        wanted = sampling->top_p * total;
    }

    struct cut cut = {.smallest = largest};
    double sum = 0;
    for (size_t taken = 0; taken < limit && (taken == 0 || sum < wanted); taken++) {
        float logit = pop_largest(heap, &left);
        cut.equal = logit < cut.smallest ? 1 : cut.equal + 1;
        cut.smallest = logit;
        if (sampling->top_p < 1)
            sum += weight(logit, largest, sampling->temperature);
    }
    return cut;
}

int32_t sample_token(const float *logits, size_t vocab_size, const struct sampling *sampling, double u, float *scratch)
{
    CHECK(vocab_size > 0);
    size_t best = 0;
    for (size_t i = 1; i < vocab_size; i++)
        if (logits[i] > logits[best])
            best = i;
    if (!(sampling->temperature > 0))
        return (int32_t)best;

    float largest = logits[best];
    bool cuts = sampling->top_p < 1 || (sampling->top_k && sampling->top_k < vocab_size);
    struct cut cut = {.smallest = -INFINITY, .equal = vocab_size};
    if (cuts)
        cut = find_cut(logits, vocab_size, sampling, largest, scratch);

    double total = 0;
    for (size_t i = 0; i < vocab_size; i++) {
        bool in = logits[i] > cut.smallest;
        if (logits[i] == cut.smallest && cut.equal) {
            cut.equal--;
            in = true;
        }
        const double w = in ? weight(logits[i], largest, sampling->temperature) : 0; /* the likeliest has 1 */
        scratch[i] = w < sampling->min_p ? 0.0f : (float)w;
        total += (double)scratch[i];
    }
    double target = u * total, sum = 0;
    size_t drawn = best;
    for (size_t i = 0; i < vocab_size; i++) {
        if (!(scratch[i] > 0.0f))
            continue;
        drawn = i;
        sum += (double)scratch[i];
        if (sum > target)
            break;
    }
    return (int32_t)drawn;
}
