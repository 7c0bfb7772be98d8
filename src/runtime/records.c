/* SPDX-License-Identifier: MIT */
#include "runtime/records_internal.h"

#include "base/check.h"
#include "base/memory.h"

enum { CACHE_MAX = 128, BATCH = 64, CHUNK_BYTES = 65536 };

struct record_chunk {
    alignas(CACHE_LINE) struct record_chunk *next;
    int used;
    struct future records[];
};

enum { CHUNK_RECORDS = (CHUNK_BYTES - sizeof(struct record_chunk)) / sizeof(struct future) };

/* Which of the outside caches this thread uses. */
static int outside_slot(void)
{
    static _Atomic uint32_t next;
    static _Thread_local int slot = -1;
    if (slot < 0)
        slot = (int)(atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % OUTSIDE_CACHES);
    return slot;
}

static void lock(pthread_mutex_t *mu)
{
    CHECK(pthread_mutex_lock(mu) == 0);
}

static void unlock(pthread_mutex_t *mu)
{
    CHECK(pthread_mutex_unlock(mu) == 0);
}

static struct future *cache_take(struct record_cache *cache)
{
    struct future *record = cache->head;
    if (record) {
        cache->head = record->next;
        cache->count--;
    }
    return record;
}

static void cache_give(struct record_cache *cache, struct future *record)
{
    record->next = cache->head;
    cache->head = record;
    cache->count++;
}

struct records *records_new(struct pool *pool)
{
    struct records *store = mem_map(sizeof *store);
    if (!store)
        return NULL;
    store->pool = pool;
    CHECK(pthread_mutex_init(&store->mu, NULL) == 0);
    for (int i = 0; i < OUTSIDE_CACHES; i++)
        CHECK(pthread_mutex_init(&store->outside[i].mu, NULL) == 0);
    return store;
}

static void destroy(struct records *store)
{
    for (struct record_chunk *chunk = store->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        mem_unmap(chunk, CHUNK_BYTES);
    }
    pthread_mutex_destroy(&store->mu);
    for (int i = 0; i < OUTSIDE_CACHES; i++)
        pthread_mutex_destroy(&store->outside[i].mu);
    mem_unmap(store, sizeof *store);
}

/* Up to BATCH records from the common list or from new memory; none when there is none. */
static void refill(struct records *store, struct record_cache *cache)
{
    lock(&store->mu);
    while (cache->count < BATCH) {
        struct future *record = cache_take(&store->free);
        if (!record) {
            if (!store->chunks || store->chunks->used == CHUNK_RECORDS) {
                struct record_chunk *chunk = mem_map(CHUNK_BYTES);
                if (!chunk)
                    break;
                chunk->next = store->chunks;
                store->chunks = chunk;
            }
            record = &store->chunks->records[store->chunks->used++];
            record->store = store;
            store->made++;
        }
        cache_give(cache, record);
    }
    unlock(&store->mu);
}

static void spill(struct records *store, struct record_cache *cache, int keep)
{
    lock(&store->mu);
    while (cache->count > keep)
        cache_give(&store->free, cache_take(cache));
    unlock(&store->mu);
}

struct future *records_get(struct records *store, struct record_cache *cache)
{
    pthread_mutex_t *mu = NULL;
    if (!cache) {
        const int slot = outside_slot();
        mu = &store->outside[slot].mu;
        cache = &store->outside[slot].cache;
        lock(mu);
    }
    if (!cache->head)
        refill(store, cache);
    struct future *record = cache_take(cache);
    if (mu)
        unlock(mu);
    if (record) /* before the parent, stored with release: who sees the new parent sees the new serial */
        atomic_store_explicit(&record->serial, atomic_load_explicit(&record->serial, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    return record;
}

void records_put(struct future *record, struct record_cache *cache)
{
    struct records *store = record->store;
    mem_free(record->error);
    record->error = NULL;
    if (cache) {
        cache_give(cache, record);
        if (cache->count > CACHE_MAX)
            spill(store, cache, CACHE_MAX - BATCH);
        return;
    }
    const int slot = outside_slot();
    struct record_cache *ours = &store->outside[slot].cache;
    lock(&store->outside[slot].mu);
    if (store->pool) {
        cache_give(ours, record);
        if (ours->count > CACHE_MAX)
            spill(store, ours, CACHE_MAX - BATCH);
        unlock(&store->outside[slot].mu);
        return;
    }
    unlock(&store->outside[slot].mu);
    lock(&store->mu);
    const bool last = --store->orphans == 0;
    unlock(&store->mu);
    if (last)
        destroy(store);
}

void records_flush(struct records *store, struct record_cache *cache)
{
    spill(store, cache, 0);
}

void records_abandon(struct records *store)
{
    if (!store)
        return;
    for (int i = 0; i < OUTSIDE_CACHES; i++)
        lock(&store->outside[i].mu);
    lock(&store->mu);
    store->orphans = store->made - store->free.count;
    for (int i = 0; i < OUTSIDE_CACHES; i++)
        store->orphans -= store->outside[i].cache.count;
    store->pool = NULL;
    const bool last = store->orphans == 0;
    unlock(&store->mu);
    for (int i = 0; i < OUTSIDE_CACHES; i++)
        unlock(&store->outside[i].mu);
    if (last)
        destroy(store);
}
