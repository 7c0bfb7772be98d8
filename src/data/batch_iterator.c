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
    struct window all; /* [B,T] each, one piece of memory */
    size_t num_supervised;
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

static void read_window(const struct batch_iterator *it, uint64_t begin, const struct window *out)
{
    const size_t T = it->options.seq_len;
    tokens_read(it->tokens, begin, T, out->inputs);
    memcpy(out->targets, out->inputs + 1, (T - 1) * sizeof *out->targets);
    tokens_read(it->tokens, begin + T, 1, out->targets + T - 1);
    if (it->options.packing == PACKING_NONE)
        return;
    documents_begins(it->options.documents, begin + 1, T, out->targets, out->supervised);
    packing_mask(out->supervised, T, out->first, out->supervised);
}

static void fill(const struct batch_iterator *it, struct slot *slot)
{
    const size_t T = it->options.seq_len, B = it->options.batch_size;
    const bool packed = it->options.packing != PACKING_NONE;
    for (size_t b = 0; b < B; b++) {
        const struct window window = {slot->all.inputs + b * T, slot->all.targets + b * T,
                                      packed ? slot->all.first + b * T : NULL,
                                      packed ? slot->all.supervised + b * T : NULL};
        read_window(it, window_begin(it, slot->first_sample + b), &window);
    }
    slot->num_supervised = packed ? 0 : B * T;
    for (size_t i = 0; packed && i < B * T; i++)
        slot->num_supervised += slot->all.supervised[i];
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
    const size_t token = options->packing == PACKING_NONE ? 2 * sizeof(int32_t) : 3 * sizeof(int32_t) + sizeof(bool);
    return size_mul(options->batch_size, options->seq_len, bytes) && size_mul(*bytes, token, bytes);
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
        return error_set(
            err, STATUS_CONFIG,
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
    if (options->packing != PACKING_NONE && !options->documents) {
        error_set(err, STATUS_MISUSE, "a batch iterator that packs documents needs to know where they begin");
        goto fail;
    }
    size_t bytes;
    for (int i = 0; i < 2; i++) {
        if (!slot_bytes(options, &bytes) || !(it->slot[i].all.inputs = mem_alloc(bytes))) {
            error_set(err, STATUS_NOMEM, "no memory for two batches of %zu sequences of %zu tokens",
                      options->batch_size, options->seq_len);
            goto fail;
        }
        const size_t n = options->batch_size * options->seq_len;
        struct window *all = &it->slot[i].all;
        all->targets = all->inputs + n;
        if (options->packing != PACKING_NONE) {
            all->first = all->targets + n;
            all->supervised = (bool *)(all->first + n);
        }
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
    mem_free(it->slot[0].all.inputs);
    mem_free(it->slot[1].all.inputs);
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
    *out = (struct batch){.inputs = slot->all.inputs,
                          .targets = slot->all.targets,
                          .first = slot->all.first,
                          .supervised = slot->all.supervised,
                          .num_supervised = slot->num_supervised,
                          .batch_size = it->options.batch_size,
                          .seq_len = it->options.seq_len,
                          .first_sample = slot->first_sample};
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

/* Whether one of the tokens from..to-1 begins no document, and so counts as a target. */
static bool any_counts(const struct batch_iterator *it, uint64_t from, uint64_t to)
{
    enum { AT_ONCE = 1024 };
    int32_t ids[AT_ONCE];
    bool begins[AT_ONCE];
    if (it->options.packing == PACKING_NONE)
        return from < to;
    for (uint64_t at = from; at < to; at += AT_ONCE) {
        const size_t n = to - at < AT_ONCE ? (size_t)(to - at) : AT_ONCE;
        tokens_read(it->tokens, at, n, ids);
        documents_begins(it->options.documents, at, n, ids, begins);
        if (memchr(begins, false, n))
            return true;
    }
    return false;
}

bool batch_iterator_trains_any(const struct batch_iterator *it)
{
    return any_counts(it, 1, it->train_tokens);
}

bool batch_iterator_validates_any(const struct batch_iterator *it)
{
    const uint64_t first = it->train_tokens + 1;
    return any_counts(it, first, first + it->val_windows * it->options.seq_len);
}

void batch_iterator_val_window(const struct batch_iterator *it, uint64_t number, const struct window *out)
{
    CHECK(number < it->val_windows);
    read_window(it, it->train_tokens + number * it->options.seq_len, out);
}
