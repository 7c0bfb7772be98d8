/* SPDX-License-Identifier: MIT */
#include "runtime/fifo_internal.h"

#include "base/memory.h"

enum { CLOSED = 1, POSITION_SHIFT = 1 };

enum status fifo_init(struct fifo *fifo, size_t capacity)
{
    *fifo = (struct fifo){.mask = capacity - 1};
    fifo->slots = mem_map(capacity * sizeof *fifo->slots);
    return fifo->slots ? STATUS_OK : STATUS_NOMEM;
}

void fifo_release(struct fifo *fifo)
{
    if (fifo->slots)
        mem_unmap(fifo->slots, (fifo->mask + 1) * sizeof *fifo->slots);
    *fifo = (struct fifo){0};
}

enum status fifo_push(struct fifo *fifo, void *item, bool insider)
{
    uint64_t tail = atomic_load(&fifo->tail);
    for (;;) {
        if (tail & CLOSED && !insider)
            return STATUS_MISUSE;
        const uint64_t at = tail >> POSITION_SHIFT, index = at & fifo->mask;
        struct fifo_slot *slot = &fifo->slots[index];
        const int64_t ahead = (int64_t)(atomic_load_explicit(&slot->turn, memory_order_acquire) + index - at);
        if (ahead == 0) {
            if (atomic_compare_exchange_weak(&fifo->tail, &tail, tail + (1u << POSITION_SHIFT))) {
                slot->item = item;
                atomic_store(&slot->turn, at + 1 - index); /* sequentially consistent: see pool__notify */
                return STATUS_OK;
            }
        } else if (ahead < 0) {
            return STATUS_QUEUE_FULL;
        } else {
            tail = atomic_load(&fifo->tail);
        }
    }
}

void *fifo_pop(struct fifo *fifo)
{
    uint64_t at = atomic_load(&fifo->head);
    for (;;) {
        const uint64_t index = at & fifo->mask;
        struct fifo_slot *slot = &fifo->slots[index];
        const int64_t ahead = (int64_t)(atomic_load(&slot->turn) + index - (at + 1));
        if (ahead == 0) {
            if (atomic_compare_exchange_weak(&fifo->head, &at, at + 1)) {
                void *item = slot->item;
                atomic_store_explicit(&slot->turn, at + fifo->mask + 1 - index, memory_order_release);
                return item;
            }
        } else if (ahead < 0) {
            return NULL;
        } else {
            at = atomic_load(&fifo->head);
        }
    }
}

bool fifo_some(const struct fifo *fifo)
{
    for (;;) {
        const uint64_t at = atomic_load(&fifo->head), index = at & fifo->mask;
        const int64_t ahead = (int64_t)(atomic_load(&fifo->slots[index].turn) + index - (at + 1));
        if (ahead <= 0)
            return ahead == 0;
    }
}

void fifo_close(struct fifo *fifo)
{
    atomic_fetch_or(&fifo->tail, CLOSED);
}

bool fifo_empty(const struct fifo *fifo)
{
    const uint64_t head = atomic_load(&fifo->head);
    return atomic_load(&fifo->tail) >> POSITION_SHIFT == head;
}

bool fifo_crowded(const struct fifo *fifo)
{
    const uint64_t head = atomic_load(&fifo->head);
    return (atomic_load(&fifo->tail) >> POSITION_SHIFT) - head > fifo->mask / 2;
}
