/* SPDX-License-Identifier: MIT */
#include "runtime/deque_internal.h"

#include "base/memory.h"

enum status deque_init(struct deque *deque, size_t capacity)
{
    *deque = (struct deque){.mask = (int64_t)capacity - 1};
    deque->slots = mem_map(capacity * sizeof *deque->slots);
    return deque->slots ? STATUS_OK : STATUS_NOMEM;
}

void deque_release(struct deque *deque)
{
    if (deque->slots)
        mem_unmap(deque->slots, (size_t)(deque->mask + 1) * sizeof *deque->slots);
    *deque = (struct deque){0};
}

bool deque_push(struct deque *deque, void *item)
{
    const int64_t b = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    if (b - deque->top_seen > deque->mask) {
        deque->top_seen = atomic_load(&deque->top);
        if (b - deque->top_seen > deque->mask)
            return false;
    }
    atomic_store_explicit(&deque->slots[b & deque->mask], item, memory_order_relaxed);
    atomic_store(&deque->bottom, b + 1); /* pairs with the thief's load of bottom, which publishes the slot */
    return true;
}

void *deque_pop(struct deque *deque)
{
    const int64_t b = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;
    if (atomic_load_explicit(&deque->top, memory_order_relaxed) > b)
        return NULL; /* top only grows: it was empty, and stays so until the owner pushes */
    atomic_store(&deque->bottom, b);
    int64_t t = atomic_load(&deque->top);
    void *item = NULL;
    if (t <= b)
        item = atomic_load_explicit(&deque->slots[b & deque->mask], memory_order_relaxed);
    if (t < b)
        return item;
    /* The last one, or none: who moves top has it. */
    if (t == b && !atomic_compare_exchange_strong(&deque->top, &t, t + 1))
        item = NULL;
    atomic_store(&deque->bottom, b + 1);
    return item;
}

enum deque_steal deque_steal(struct deque *deque, bool (*fit)(const void *item, const void *ctx), const void *ctx,
                             void **out)
{
    int64_t t = atomic_load(&deque->top);
    if (t >= atomic_load(&deque->bottom))
        return DEQUE_EMPTY;
    void *item = atomic_load_explicit(&deque->slots[t & deque->mask], memory_order_relaxed);
    if (fit && !fit(item, ctx))
        return DEQUE_UNFIT;
    if (!atomic_compare_exchange_strong(&deque->top, &t, t + 1))
        return DEQUE_LOST;
    *out = item;
    return DEQUE_STOLEN;
}

bool deque_some(const struct deque *deque)
{
    const int64_t t = atomic_load(&deque->top);
    return t < atomic_load(&deque->bottom);
}
