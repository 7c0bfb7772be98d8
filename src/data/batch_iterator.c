/* SPDX-License-Identifier: MIT
 * data/batch_iterator.c - which window is sample g, and a thread that fetches the next batch.
 *
 * Two slots: one is lent to the caller, the other is being filled by the prefetch thread or waits, filled.  Only the
 * prefetch thread fills slots, and only the one it was asked for, so one lock and one request are the whole protocol:
 *     caller:   wait until idle; slot holds the wanted sample?  else ask for it and wait;  lend it; ask for the next
 *     thread:   wait for a request; fill; idle
 */
#include "data/batch_iterator.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/rng.h"
#include "runtime/thread.h"

#include <string.h>

struct slot {
    int32_t *inputs, *targets; /* [B,T] each, one piece of memory */
    uint64_t first_sample;
    bool filled;
};

struct batch_iterator {
    const struct tokens *tokens;
    struct batch_options options;
    uint64_t train_tokens, windows, val_windows; /* the validation part begins at train_tokens */
    uint64_t position;                           /* caller's */

    struct thread *thread;
    struct mutex *mutex;
    struct cond *changed;
    /* guarded by mutex; slot[back] is the thread's while `busy`, else the caller's, as slot[1 - back] always is */
    struct slot slot[2];
    int back;
    bool busy, stop;
};

/* Where window `window` of epoch `epoch` begins. */
static uint64_t window_begin(const struct batch_iterator *it, uint64_t sample)
{
    const uint64_t epoch = sample / it->windows, place = sample % it->windows;
    const uint64_t order_key = rng_key(it->options.seed, RNG_SHUFFLE, epoch, 0);
    const uint64_t offset_key = rng_key(it->options.seed, RNG_SHUFFLE, epoch, 1);
    const struct rng_block block = philox4x32(offset_key, 0, 0);
    const uint64_t drawn = (uint64_t)block.word[1] << 32 | block.word[0];
    const uint64_t spare = it->train_tokens - it->windows * it->options.seq_len; /* >= 1 */
    return drawn % spare + rng_permute(order_key, it->windows, place) * it->options.seq_len;
}

static void read_window(const struct batch_iterator *it, uint64_t begin, int32_t *inputs, int32_t *targets)
{
    const size_t T = it->options.seq_len;
    tokens_read(it->tokens, begin, T, inputs);
    memcpy(targets, inputs + 1, (T - 1) * sizeof *targets);
    tokens_read(it->tokens, begin + T, 1, targets + T - 1);
}

static void fill(const struct batch_iterator *it, const struct slot *slot)
{
    for (size_t b = 0; b < it->options.batch_size; b++)
        read_window(it, window_begin(it, slot->first_sample + b), slot->inputs + b * it->options.seq_len,
                    slot->targets + b * it->options.seq_len);
}

static void prefetch(void *arg)
{
    struct batch_iterator *it = arg;
    mutex_lock(it->mutex);
    for (;;) {
        while (!it->busy && !it->stop)
            cond_wait(it->changed, it->mutex);
        if (it->stop)
            break;
        struct slot *slot = &it->slot[it->back];
        mutex_unlock(it->mutex);
        fill(it, slot);
        mutex_lock(it->mutex);
        slot->filled = true;
        it->busy = false;
        cond_broadcast(it->changed);
    }
    mutex_unlock(it->mutex);
}

/* Under the lock, the thread idle. */
static void ask_for(struct batch_iterator *it, uint64_t sample)
{
    it->slot[it->back].first_sample = sample;
    it->slot[it->back].filled = false;
    it->busy = true;
    cond_broadcast(it->changed);
}

static void wait_idle(struct batch_iterator *it)
{
    while (it->busy)
        cond_wait(it->changed, it->mutex);
}

/* The bytes of one slot; false when they do not fit a size_t. */
static bool slot_bytes(const struct batch_options *options, size_t *bytes)
{
    return size_mul(options->batch_size, options->seq_len, bytes) && size_mul(*bytes, 2 * sizeof(int32_t), bytes);
}

size_t batch_iterator_bytes(const struct batch_options *options)
{
    size_t bytes;
    if (!slot_bytes(options, &bytes) || !size_mul(bytes, 2, &bytes) ||
        !size_add(bytes, sizeof(struct batch_iterator), &bytes))
        return SIZE_MAX;
    return bytes;
}

static enum status split(struct batch_iterator *it, struct error *err)
{
    const struct batch_options *o = &it->options;
    if (o->seq_len < 1 || o->batch_size < 1)
        return error_set(err, STATUS_CONFIG, "a batch of %zu sequences of %zu tokens: both should be at least 1",
                         o->batch_size, o->seq_len);
    if (!(o->val_fraction >= 0 && o->val_fraction <= 0.5))
        return error_set(err, STATUS_CONFIG, "a validation part of %g of the data: should be between 0 and 0.5",
                         o->val_fraction);
    const uint64_t count = tokens_count(it->tokens);
    const uint64_t val = (uint64_t)((double)count * o->val_fraction), train = count - val;
    if (train <= o->seq_len)
        return error_set(err, STATUS_CONFIG,
                         "the data is too short: its training part has %llu tokens, and one window of sequence length "
                         "%zu needs %llu; give more text or a shorter sequence length",
                         (unsigned long long)train, o->seq_len, (unsigned long long)o->seq_len + 1);
    if (o->val_fraction > 0 && val <= o->seq_len)
        return error_set(err, STATUS_CONFIG,
                         "the data is too short: its validation part, %g of it, has %llu tokens, and one window of "
                         "sequence length %zu needs %llu; give more text, a shorter sequence length, a larger fraction, "
                         "or 0 for none",
                         o->val_fraction, (unsigned long long)val, o->seq_len, (unsigned long long)o->seq_len + 1);
    it->train_tokens = train;
    it->windows = (train - o->seq_len) / o->seq_len;
    if (it->windows == 0)
        it->windows = 1;
    it->val_windows = val ? (val - 1) / o->seq_len : 0;
    return STATUS_OK;
}

struct batch_iterator *batch_iterator_create(const struct tokens *tokens, const struct batch_options *options,
                                             struct error *err)
{
    if (!tokens) { /* they could not be opened: *err says so already */
        if (err && err->status == STATUS_OK)
            error_set(err, STATUS_MISUSE, "a batch iterator needs tokens");
        return NULL;
    }
    struct batch_iterator *it = mem_calloc(1, sizeof *it);
    if (!it) {
        error_set(err, STATUS_NOMEM, "no memory for a batch iterator");
        return NULL;
    }
    it->tokens = tokens;
    it->options = *options;
    if (split(it, err) != STATUS_OK)
        goto fail;
    size_t bytes;
    for (int i = 0; i < 2; i++) {
        if (!slot_bytes(options, &bytes) || !(it->slot[i].inputs = mem_alloc(bytes))) {
            error_set(err, STATUS_NOMEM, "no memory for two batches of %zu sequences of %zu tokens", options->batch_size,
                      options->seq_len);
            goto fail;
        }
        it->slot[i].targets = it->slot[i].inputs + options->batch_size * options->seq_len;
    }
    it->mutex = mutex_new();
    it->changed = cond_new();
    if (!it->mutex || !it->changed) {
        error_set(err, STATUS_NOMEM, "no memory for a lock");
        goto fail;
    }
    it->slot[0].first_sample = 0;
    it->busy = true;
    it->thread = thread_start("cllm-prefetch", prefetch, it, err);
    if (it->thread)
        return it;
fail:
    batch_iterator_free(it);
    return NULL;
}

void batch_iterator_free(struct batch_iterator *it)
{
    if (!it)
        return;
    if (it->thread) {
        mutex_lock(it->mutex);
        it->stop = true;
        cond_broadcast(it->changed);
        mutex_unlock(it->mutex);
        thread_join(it->thread);
    }
    if (it->changed)
        cond_free(it->changed);
    if (it->mutex)
        mutex_free(it->mutex);
    mem_free(it->slot[0].inputs);
    mem_free(it->slot[1].inputs);
    mem_free(it);
}

enum status batch_iterator_next(struct batch_iterator *it, struct batch *out, struct error *err)
{
    (void)err; /* nothing can fail once the tokens are mapped and the buffers are there */
    mutex_lock(it->mutex);
    wait_idle(it);
    if (!it->slot[it->back].filled || it->slot[it->back].first_sample != it->position) {
        ask_for(it, it->position);
        wait_idle(it);
    }
    const struct slot *slot = &it->slot[it->back];
    it->back = 1 - it->back;
    it->position += it->options.batch_size;
    ask_for(it, it->position);
    mutex_unlock(it->mutex);
    *out = (struct batch){slot->inputs, slot->targets, it->options.batch_size, it->options.seq_len, slot->first_sample};
    return STATUS_OK;
}

void batch_iterator_seek(struct batch_iterator *it, uint64_t sample)
{
    it->position = sample;
    mutex_lock(it->mutex);
    wait_idle(it);
    if (it->slot[it->back].first_sample != sample)
        ask_for(it, sample);
    mutex_unlock(it->mutex);
}

uint64_t batch_iterator_position(const struct batch_iterator *it)
{
    return it->position;
}

const struct batch_options *batch_iterator_options(const struct batch_iterator *it)
{
    return &it->options;
}

const struct tokens *batch_iterator_tokens(const struct batch_iterator *it)
{
    return it->tokens;
}

uint64_t batch_iterator_windows(const struct batch_iterator *it)
{
    return it->windows;
}

uint64_t batch_iterator_val_windows(const struct batch_iterator *it)
{
    return it->val_windows;
}

void batch_iterator_val_window(const struct batch_iterator *it, uint64_t window, int32_t *inputs, int32_t *targets)
{
    CHECK(window < it->val_windows);
    read_window(it, it->train_tokens + window * it->options.seq_len, inputs, targets);
}
