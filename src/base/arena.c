/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include "base/check.h"
#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#define REDZONE 64
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define REDZONE 64
#endif
#endif

#ifdef REDZONE
void __asan_poison_memory_region(void const volatile *, size_t);
void __asan_unpoison_memory_region(void const volatile *, size_t);
#define POISON(p, n) __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define REDZONE 0
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

enum { LINE = 64, HUGE_FROM_BYTES = 8 << 20 };

enum status arena_init(struct arena *arena, size_t size_bytes, struct error *err)
{
    *arena = (struct arena){0};
    if (size_bytes == 0)
        return STATUS_OK;
    arena->base = mem_map(size_bytes);
    if (!arena->base)
        return error_set(err, STATUS_NOMEM, "the system refused %zu bytes of memory", size_bytes);
    arena->size_bytes = size_bytes;
    POISON(arena->base, size_bytes);
    return STATUS_OK;
}

void arena_release(struct arena *arena)
{
    if (arena->base) {
        UNPOISON(arena->base, arena->size_bytes);
        mem_unmap(arena->base, arena->size_bytes);
    }
    *arena = (struct arena){0};
}

size_t arena_piece_bytes(size_t size_bytes)
{
    return (size_bytes + LINE - 1) / LINE * LINE + REDZONE;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    size_t piece = arena_piece_bytes(size_bytes);
    CHECK(piece >= size_bytes && piece <= arena->size_bytes - arena->used_bytes);
    unsigned char *p = arena->base + arena->used_bytes;
    arena->used_bytes += piece;
    if (arena->used_bytes > arena->peak_bytes)
        arena->peak_bytes = arena->used_bytes;
    UNPOISON(p, size_bytes);
    return p;
}

size_t arena_mark(const struct arena *arena)
{
    return arena->used_bytes;
}

void arena_reset(struct arena *arena, size_t mark)
{
    CHECK(mark <= arena->used_bytes);
    if (arena->base)
        POISON(arena->base + mark, arena->used_bytes - mark);
    arena->used_bytes = mark;
}

void arena_expect(struct arena *arena)
{
    if (arena->size_bytes >= HUGE_FROM_BYTES)
        mem_advise_huge(arena->base, arena->size_bytes);
}

void arena_touch(struct arena *arena)
{
    arena_expect(arena);
    mem_touch(arena->base, arena->size_bytes, 0, 1);
}
