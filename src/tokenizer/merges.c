/* SPDX-License-Identifier: MIT */
#include "tokenizer/merges_internal.h"

#include "base/memory.h"

#include <stdbool.h>
#include <string.h>

enum { SCAN_MAX = 48 }; /* symbols; measured: from here on the heap is faster */

enum status merges_init(struct merges *merges, size_t count, struct error *err)
{
    size_t size = 16, twice, bytes;
    *merges = (struct merges){.count = count};
    bool fits = size_mul(count, 2, &twice);
    while (fits && size < twice)
        fits = size_mul(size, 2, &size);
    if (fits && size_mul(size, sizeof *merges->slots, &bytes))
        merges->slots = mem_alloc(bytes);
    if (!merges->slots)
        return error_set(err, STATUS_NOMEM, "no memory for %zu merges", count);
    memset(merges->slots, 0xff, bytes);
    merges->mask = size - 1;
    return STATUS_OK;
}

void merges_release(struct merges *merges)
{
    mem_free(merges->slots);
    *merges = (struct merges){0};
}

void merges_add(struct merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    struct merge_slot *slot = (struct merge_slot *)(uintptr_t)merges_find(merges, left, right);
    if (!slot) {
        const uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
        size_t i = (h ^ h >> 29) >> 15 & merges->mask;
        while (merges->slots[i].left >= 0)
            i = (i + 1) & merges->mask;
        slot = &merges->slots[i];
    }
    *slot = (struct merge_slot){left, right, rank, id};
}

static void scan(const struct merges *merges, int32_t *ids, size_t *count)
{
    uint32_t rank[SCAN_MAX]; /* of the pair i, i+1; UINT32_MAX where no rule joins it */
    int32_t joined[SCAN_MAX];
    size_t n = *count;
    const struct merge_slot *rule;
    for (size_t i = 0; i + 1 < n; i++) {
        rule = merges_find(merges, ids[i], ids[i + 1]);
        rank[i] = rule ? rule->rank : UINT32_MAX;
        joined[i] = rule ? rule->id : -1;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == UINT32_MAX)
            break;
        ids[best] = joined[best];
        n--;
        for (size_t i = best + 1; i < n; i++)
            ids[i] = ids[i + 1];
        for (size_t i = best; i + 1 < n; i++) {
            rank[i] = rank[i + 1];
            joined[i] = joined[i + 1];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            rule = merges_find(merges, ids[i], ids[i + 1]);
            rank[i] = rule ? rule->rank : UINT32_MAX;
            joined[i] = rule ? rule->id : -1;
        }
    }
    *count = n;
}

/* A pair that could be joined when it was noted; it is stale when its symbols are others by now. */
struct candidate {
    uint32_t rank, at;
    int32_t left, right;
};

struct heap {
    struct candidate *items;
    size_t n;
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void sink(struct heap *heap, size_t i, struct candidate item)
{
    for (size_t child; (child = 2 * i + 1) < heap->n; i = child) {
        if (child + 1 < heap->n && before(&heap->items[child + 1], &heap->items[child]))
            child++;
        if (!before(&heap->items[child], &item))
            break;
        heap->items[i] = heap->items[child];
    }
    heap->items[i] = item;
}

static void push(struct heap *heap, struct candidate item)
{
    size_t i = heap->n++;
    for (; i > 0 && before(&item, &heap->items[(i - 1) / 2]); i = (i - 1) / 2)
        heap->items[i] = heap->items[(i - 1) / 2];
    heap->items[i] = item;
}

static struct candidate pop(struct heap *heap)
{
    const struct candidate top = heap->items[0];
    const struct candidate last = heap->items[--heap->n];
    if (heap->n)
        sink(heap, 0, last);
    return top;
}

static void note(const struct merges *merges, struct heap *heap, const int32_t *ids, size_t at, size_t next)
{
    const struct merge_slot *rule = merges_find(merges, ids[at], ids[next]);
    if (rule)
        push(heap, (struct candidate){rule->rank, (uint32_t)at, ids[at], ids[next]});
}

/* `next` and `previous` link the symbols that are left; a joined one lies where its left part lay. */
static size_t merge_by_heap(const struct merges *merges, int32_t *ids, size_t n, uint32_t *next, uint32_t *previous,
                            struct heap *heap)
{
    const uint32_t none = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        next[i] = i + 1 < n ? (uint32_t)i + 1 : none;
        previous[i] = i ? (uint32_t)i - 1 : none;
        const struct merge_slot *rule = i + 1 < n ? merges_find(merges, ids[i], ids[i + 1]) : NULL;
        if (rule)
            heap->items[heap->n++] = (struct candidate){rule->rank, (uint32_t)i, ids[i], ids[i + 1]};
    }
    for (size_t i = heap->n / 2; i-- > 0;)
        sink(heap, i, heap->items[i]);
    while (heap->n) {
        const struct candidate top = pop(heap);
        const uint32_t right = ids[top.at] == top.left ? next[top.at] : none;
        if (right == none || ids[right] != top.right)
            continue;
        ids[top.at] = merges_find(merges, top.left, top.right)->id;
        ids[right] = -1;
        next[top.at] = next[right];
        if (next[right] != none) {
            previous[next[right]] = top.at;
            note(merges, heap, ids, top.at, next[right]);
        }
        if (previous[top.at] != none)
            note(merges, heap, ids, previous[top.at], top.at);
    }
    size_t left = 0;
    for (uint32_t i = 0; i != none; i = next[i])
        ids[left++] = ids[i];
    return left;
}

enum status merges_apply(const struct merges *merges, int32_t *ids, size_t *n, struct error *err)
{
    if (*n <= SCAN_MAX) {
        scan(merges, ids, n);
        return STATUS_OK;
    }
    /* Every join takes one candidate out and puts at most two in. */
    const size_t symbol_bytes = 2 * sizeof(uint32_t) + 2 * sizeof(struct candidate);
    size_t bytes;
    if (*n >= UINT32_MAX || !size_mul(*n, symbol_bytes, &bytes))
        return error_set(err, STATUS_FORMAT, "a word of %zu symbols; at most 2^32 - 2 can be merged", *n);
    unsigned char *memory = mem_alloc(bytes);
    if (!memory)
        return error_set(err, STATUS_NOMEM, "no memory to merge a word of %zu symbols", *n);
    struct heap heap = {(struct candidate *)(void *)memory, 0};
    uint32_t *next = (uint32_t *)(void *)(heap.items + 2 * *n);
    *n = merge_by_heap(merges, ids, *n, next, next + *n, &heap);
    mem_free(memory);
    return STATUS_OK;
}
