/* SPDX-License-Identifier: MIT
 *
 * Memory, arenas and buffers: sizes, alignment, marks, and every request refused in turn.
 */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/memory.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sanitized.h"

#define SANITIZED (ASAN || TSAN)

START_TEST(sizes_do_not_wrap)
{
    size_t out = 7;
    ck_assert(!size_mul(SIZE_MAX / 2 + 1, 2, &out) && !size_add(SIZE_MAX, 1, &out));
    ck_assert_uint_eq(out, 7);
    ck_assert(size_mul(SIZE_MAX / 2, 2, &out) && out == SIZE_MAX - 1);
    ck_assert(size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    ck_assert(size_mul(0, SIZE_MAX, &out) && out == 0);
    ck_assert_ptr_null(mem_calloc(SIZE_MAX / 2, 3));
}
END_TEST

START_TEST(size_0_is_a_pointer)
{
    void *p[] = {mem_alloc(0), mem_calloc(0, 8), mem_realloc(NULL, 0), mem_strdup("")};
    for (size_t i = 0; i < sizeof p / sizeof p[0]; i++) {
        ck_assert_ptr_nonnull(p[i]);
        mem_free(p[i]);
    }
    void *map = mem_map(0);
    ck_assert_ptr_nonnull(map);
    mem_unmap(map, 0);
    mem_free(NULL);
    mem_unmap(NULL, 0);
}
END_TEST

START_TEST(requests_are_counted_and_the_nth_fails_once)
{
    uint64_t before = mem_request_count();
    mem_fail_at(2);
    void *a = mem_alloc(8), *b = mem_calloc(1, 8), *c = mem_map(8), *d = mem_strdup("x");
    ck_assert(a && b && !c && d);
    ck_assert_uint_eq(mem_request_count() - before, 4);
    mem_free(a);
    mem_free(b);
    mem_free(d);
    mem_fail_at(0);
    mem_fail_at(-1);
    a = mem_alloc(1);
    ck_assert_ptr_nonnull(a);
    mem_free(a);
}
END_TEST

START_TEST(a_refused_realloc_keeps_the_old)
{
    char *p = mem_strdup("kept");
    mem_fail_at(0);
    ck_assert_ptr_null(mem_realloc(p, 1000));
    ck_assert_str_eq(p, "kept");
    mem_free(p);
}
END_TEST

/* The address space in use, in pages; without taking memory.  0 under valgrind, which maps memory of its own in the
 * same process whenever it likes. */
static size_t pages_mapped(void)
{
    if (getenv("CLLM_TEST_VALGRIND"))
        return 0;
    char text[128] = {0};
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
    close(fd);
    return (size_t)strtoull(text, NULL, 10);
}

START_TEST(an_aligned_map_takes_no_more_than_its_pages)
{
    const size_t page = mem_page_bytes();
    static const size_t SIZES[] = {0, 1, 4096, 4097, 65536, 3000000};
    static const unsigned TIMES[] = {1, 2, 16, 512, 1 << 18};
    for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++)
        for (size_t a = 0; a < sizeof TIMES / sizeof TIMES[0]; a++) {
            const size_t before = pages_mapped(), bytes = SIZES[s] ? SIZES[s] : 1;
            unsigned char *p = mem_map_aligned(SIZES[s], TIMES[a] * page);
            const size_t with = pages_mapped();
            ck_assert_ptr_nonnull(p);
            ck_assert_uint_eq((uintptr_t)p % (TIMES[a] * page), 0);
            ck_assert(p[0] == 0 && p[bytes - 1] == 0);
            p[0] = p[bytes - 1] = 1;
            mem_unmap(p, SIZES[s]);
            ck_assert_uint_eq(pages_mapped(), before);
            if (before)
                ck_assert_uint_eq(with - before, (bytes - 1) / page + 1);
        }
    ck_assert_ptr_null(mem_map_aligned(SIZE_MAX, page));
    ck_assert_ptr_null(mem_map_aligned(SIZE_MAX - page, 2 * page));
    mem_fail_at(0);
    ck_assert_ptr_null(mem_map_aligned(1, page));
}
END_TEST

START_TEST(an_alignment_that_is_no_power_of_two_is_a_bug)
{
    mem_map_aligned(1, 3 * mem_page_bytes());
}
END_TEST

START_TEST(an_alignment_below_a_page_is_a_bug)
{
    mem_map_aligned(1, mem_page_bytes() / 2);
}
END_TEST

START_TEST(advice_is_for_mapped_memory)
{
    const size_t huge = mem_huge_page_bytes(), bytes = huge ? huge : mem_page_bytes();
    unsigned char *p = mem_map_aligned(bytes, bytes);
    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(mem_advise_huge(p, bytes), huge > 0);
    ck_assert(!mem_advise_huge(p + 1, bytes));
    mem_unmap(p, bytes);
}
END_TEST

START_TEST(an_arena_holds_the_sum_of_its_pieces)
{
    static const size_t SIZES[] = {1, 63, 64, 65, 0, 4096, 100};
    enum { PIECES = sizeof SIZES / sizeof SIZES[0] };
    size_t sum = 0;
    for (int i = 0; i < PIECES; i++)
        sum += arena_piece_bytes(SIZES[i]);
    struct arena arena;
    struct error err = {0};
    ck_assert_int_eq(arena_init(&arena, sum, &err), STATUS_OK);
    unsigned char *pieces[PIECES];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PIECES; i++) {
            pieces[i] = arena_alloc(&arena, SIZES[i]);
            ck_assert_uint_eq((uintptr_t)pieces[i] % 64, 0);
            for (size_t k = 0; round == 0 && k < SIZES[i]; k++)
                ck_assert_uint_eq(pieces[i][k], 0);
            memset(pieces[i], i + 1, SIZES[i]);
        }
        for (int i = 0; i < PIECES; i++)
            for (size_t k = 0; k < SIZES[i]; k++)
                ck_assert_uint_eq(pieces[i][k], i + 1);
        ck_assert_uint_eq(arena.used_bytes, sum);
        arena_reset(&arena, 0);
    }
    ck_assert_uint_eq(arena.peak_bytes, sum);
    arena_release(&arena);
    arena_release(&arena);
}
END_TEST

START_TEST(a_mark_gives_back_what_came_after)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 10000, NULL), STATUS_OK);
    char *kept = arena_alloc(&arena, 10);
    strcpy(kept, "kept");
    size_t mark = arena_mark(&arena);
    void *first = arena_alloc(&arena, 1000);
    arena_reset(&arena, mark);
    ck_assert_ptr_eq(arena_alloc(&arena, 10), first);
    arena_touch(&arena);
    ck_assert_str_eq(kept, "kept");
    ck_assert_uint_eq(arena_mark(&arena), mark + arena_piece_bytes(10));
    arena_release(&arena);
}
END_TEST

/* Parts together give every page, the first and the last of a range that begins and ends anywhere, and change nothing. */
START_TEST(parts_of_memory_are_given_and_keep_what_they_hold)
{
    enum { PAGES = 9 };
    const size_t page = mem_page_bytes();
    static const size_t begins[] = {0, 1, 100}, ends[] = {0, 1, 4000};
    for (size_t parts = 1; parts < 12; parts++)
        for (size_t i = 0; i < 9; i++) {
            const size_t begin = begins[i % 3] + page, end = PAGES * page - ends[i / 3];
            unsigned char *p = mem_map(PAGES * page), given[PAGES];
            ck_assert_ptr_nonnull(p);
            p[begin] = 7;
            for (size_t part = 0; part < parts; part++)
                mem_touch(p + begin, end - begin, part, parts);
            ck_assert_int_eq(mincore(p, PAGES * page, given), 0);
            for (size_t k = 0; k < PAGES; k++)
                ck_assert_int_eq(given[k] & 1, k > 0);
            ck_assert_int_eq(p[begin], 7);
            mem_unmap(p, PAGES * page);
        }
    mem_touch(NULL, 0, 0, 1);
}
END_TEST

START_TEST(an_empty_arena_and_a_refused_one)
{
    struct arena arena;
    struct error err = {0};
    ck_assert_int_eq(arena_init(&arena, 0, &err), STATUS_OK);
    arena_touch(&arena);
    arena_release(&arena);
    mem_fail_at(0);
    ck_assert_int_eq(arena_init(&arena, 12345, &err), STATUS_NOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "12345"));
    arena_release(&arena);
}
END_TEST

START_TEST(a_piece_that_does_not_fit_is_a_bug)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, arena_piece_bytes(100), NULL), STATUS_OK);
    arena_alloc(&arena, 1);
    arena_alloc(&arena, 100); /* aborts */
}
END_TEST

START_TEST(a_wrapping_piece_is_a_bug)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 1000, NULL), STATUS_OK);
    arena_alloc(&arena, SIZE_MAX - 10); /* aborts */
}
END_TEST

START_TEST(a_buffer_grows_and_always_ends_in_0)
{
    struct buffer b = {0};
    ck_assert_ptr_null(b.data);
    for (int i = 0; i < 1000; i++) {
        buffer_printf(&b, "%d,", i);
        ck_assert_int_eq(b.data[b.len], 0);
    }
    buffer_append_text(&b, "end");
    buffer_append(&b, "\0x", 2);
    buffer_append(&b, NULL, 0);
    ck_assert(!b.failed);
    ck_assert_uint_eq(b.len, 10 * 2 + 90 * 3 + 900 * 4 + 3 + 2);
    ck_assert_mem_eq(b.data, "0,1,2,3,", 8);
    ck_assert_mem_eq(b.data + b.len - 8, "99,end\0x", 8);
    size_t capacity = b.capacity;
    buffer_clear(&b);
    ck_assert(b.len == 0 && b.capacity == capacity && b.data[0] == 0);
    buffer_release(&b);
    ck_assert(b.data == NULL && b.capacity == 0);
    buffer_clear(&b);
    buffer_append_text(&b, "again");
    ck_assert_str_eq(b.data, "again");
    buffer_release(&b);
}
END_TEST

START_TEST(a_buffer_remembers_a_refusal)
{
    struct buffer b = {0};
    buffer_append_text(&b, "kept");
    mem_fail_at(0);
    buffer_printf(&b, "%01000d", 1);
    ck_assert(b.failed);
    buffer_append_text(&b, "x");
    ck_assert_str_eq(b.data, "kept");
    ck_assert(!buffer_reserve(&b, 0));
    buffer_clear(&b);
    ck_assert(!b.failed && !buffer_reserve(&b, SIZE_MAX) && b.failed);
    buffer_release(&b);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("memory");
    tcase_add_test(tc, sizes_do_not_wrap);
    tcase_add_test(tc, size_0_is_a_pointer);
    tcase_add_test(tc, requests_are_counted_and_the_nth_fails_once);
    tcase_add_test(tc, a_refused_realloc_keeps_the_old);
    tcase_add_test(tc, an_aligned_map_takes_no_more_than_its_pages);
    tcase_add_test(tc, advice_is_for_mapped_memory);
    tcase_add_test(tc, an_arena_holds_the_sum_of_its_pieces);
    tcase_add_test(tc, a_mark_gives_back_what_came_after);
    tcase_add_test(tc, parts_of_memory_are_given_and_keep_what_they_hold);
    tcase_add_test(tc, an_empty_arena_and_a_refused_one);
    if (!SANITIZED) {
        tcase_add_test_raise_signal(tc, a_piece_that_does_not_fit_is_a_bug, SIGABRT);
        tcase_add_test_raise_signal(tc, an_alignment_that_is_no_power_of_two_is_a_bug, SIGABRT);
        tcase_add_test_raise_signal(tc, an_alignment_below_a_page_is_a_bug, SIGABRT);
        tcase_add_test_raise_signal(tc, a_wrapping_piece_is_a_bug, SIGABRT);
    }
    tcase_add_test(tc, a_buffer_grows_and_always_ends_in_0);
    tcase_add_test(tc, a_buffer_remembers_a_refusal);
    Suite *suite = suite_create("memory");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
