/* SPDX-License-Identifier: MIT
 *
 * The policies on whatever machine this is; and, where hwloc is told of two nodes (HWLOC_SYNTHETIC) that the kernel then
 * does or does not have, what becomes of a refusal.
 */
#include "runtime/numa_memory.h"

#include "base/memory.h"
#include "runtime/crowd.h"
#include "runtime/team.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20 };

static struct numa *new_numa(void)
{
    struct error err = {0};
    struct numa *numa = numa_new(&err);
    ck_assert_msg(numa != NULL, "%s", err.text);
    return numa;
}

/* This machine with two nodes, of which the kernel has the first. */
static struct numa *two_nodes(bool this_system)
{
    setenv("HWLOC_SYNTHETIC", "node:2 core:1 pu:1", 1);
    setenv("HWLOC_THISSYSTEM", this_system ? "1" : "0", 1);
    struct numa *numa = new_numa();
    ck_assert_int_eq(numa_count(numa), 2);
    return numa;
}

static void fill(struct numa_memory *m)
{
    for (size_t i = 0; i < m->size_bytes; i++)
        if (m->base[i] != 0)
            ck_abort_msg("byte %zu is %d", i, m->base[i]);
    memset(m->base, 0xa5, m->size_bytes);
}

START_TEST(every_policy_gives_memory)
{
    struct numa *numa = new_numa();
    const int node = numa_node(numa, 0);
    ck_assert_int_ge(node, 0);
    ck_assert_int_eq(numa_node(numa, -1), -1);
    ck_assert_int_eq(numa_node(numa, numa_count(numa)), -1);
    for (int policy = NUMA_LOCAL; policy <= NUMA_BIND; policy++) {
        struct error err = {0};
        struct numa_memory m;
        const struct numa_memory_options options = {.policy = (enum numa_policy)policy, .node = node};
        ck_assert_msg(numa_memory_init(&m, numa, 3 * MIB + 17, &options, &err) == STATUS_OK, "%s", err.text);
        ck_assert_uint_eq((uintptr_t)m.base % mem_page_bytes(), 0);
        fill(&m);
        if (numa_count(numa) == 1) {
            char note[128];
            snprintf(note, sizeof note, "there is one NUMA node, so policy %s is plain memory",
                     numa_policy_name((enum numa_policy)policy));
            ck_assert_str_eq(m.note, note);
            ck_assert(!m.placed);
        }
        const int where = numa_node_of(numa, m.base);
        ck_assert(where == -1 || (policy < NUMA_PREFERRED ? where >= 0 : where == node));
        numa_memory_release(&m);
        numa_memory_release(&m);
    }
    numa_free(numa);
    numa_free(NULL);
}
END_TEST

START_TEST(absurd_wishes_are_refused)
{
    struct numa *numa = new_numa();
    struct numa_memory m;
    static const int NODES[] = {-1, INT_MIN, 4096, INT_MAX};
    for (int policy = NUMA_PREFERRED; policy <= NUMA_BIND; policy++)
        for (size_t i = 0; i < sizeof NODES / sizeof NODES[0]; i++) {
            struct error err = {0};
            const struct numa_memory_options options = {.policy = (enum numa_policy)policy, .node = NODES[i]};
            ck_assert_int_eq(numa_memory_init(&m, numa, MIB, &options, &err), STATUS_CONFIG);
            ck_assert_ptr_nonnull(strstr(err.text, "is not one whose memory this process may use; there"));
            ck_assert_ptr_null(m.base);
        }
    struct error err = {0};
    ck_assert_int_eq(numa_memory_init(&m, numa, 0, &(struct numa_memory_options){0}, &err), STATUS_CONFIG);
    ck_assert_int_eq(
        numa_memory_init(&m, numa, MIB, &(struct numa_memory_options){.policy = (enum numa_policy)9}, &err),
        STATUS_CONFIG);
    static const size_t SIZES[] = {SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        ck_assert_int_eq(numa_memory_init(&m, numa, SIZES[i], &(struct numa_memory_options){.huge_pages = true}, &err),
                         STATUS_NOMEM);
        ck_assert_ptr_null(m.base);
    }
    mem_fail_at(0);
    ck_assert_int_eq(numa_memory_init(&m, numa, MIB, &(struct numa_memory_options){0}, &err), STATUS_NOMEM);
    numa_free(numa);
    mem_fail_at(0);
    ck_assert_ptr_null(numa_new(&err));
}
END_TEST

START_TEST(policies_have_names)
{
    struct error err = {0};
    enum numa_policy policy;
    for (int i = NUMA_LOCAL; i <= NUMA_BIND; i++) {
        ck_assert_int_eq(numa_policy_parse(numa_policy_name((enum numa_policy)i), &policy, &err), STATUS_OK);
        ck_assert_int_eq(policy, i);
    }
    ck_assert_int_eq(numa_policy_parse("nearby", &policy, &err), STATUS_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "\"nearby\""));
    ck_assert_str_eq(numa_policy_name((enum numa_policy)77), "unknown");
}
END_TEST

START_TEST(huge_pages_are_asked_for_or_the_note_says_why_not)
{
    struct numa *numa = new_numa();
    struct numa_memory m;
    struct error err = {0};
    const size_t huge = mem_huge_page_bytes();
    ck_assert_int_eq(numa_memory_init(&m, numa, 5 * MIB, &(struct numa_memory_options){.huge_pages = true}, &err),
                     STATUS_OK);
    ck_assert_int_eq(m.huge, huge > 0);
    ck_assert_uint_eq(m.page_bytes, huge ? huge : mem_page_bytes());
    ck_assert_uint_eq((uintptr_t)m.base % m.page_bytes, 0);
    ck_assert_int_eq(strstr(m.note, "no huge pages") != NULL, huge == 0);
    fill(&m);
    numa_memory_release(&m);
    numa_free(numa);
}
END_TEST

START_TEST(on_two_nodes_policies_are_set)
{
    struct numa *numa = two_nodes(true);
    static const enum numa_policy WORK[] = {NUMA_LOCAL, NUMA_INTERLEAVE, NUMA_PREFERRED, NUMA_BIND};
    for (size_t i = 0; i < sizeof WORK / sizeof WORK[0]; i++) {
        struct error err = {0};
        struct numa_memory m;
        ck_assert_msg(numa_memory_init(&m, numa, MIB, &(struct numa_memory_options){.policy = WORK[i]}, &err) ==
                          STATUS_OK,
                      "%s", err.text);
        ck_assert_msg(m.placed || strstr(m.note, "Operation not permitted") || strstr(m.note, "not implemented"), "%s",
                      m.note);
        ck_assert(!m.placed || m.note[0] == 0);
        fill(&m);
        numa_memory_release(&m);
    }
    numa_free(numa);
}
END_TEST

START_TEST(a_node_that_the_kernel_lacks_is_a_note_or_for_bind_an_error)
{
    struct numa *real = new_numa();
    const bool one = numa_count(real) == 1;
    numa_free(real);
    if (!one)
        return;
    struct numa *numa = two_nodes(true);
    struct numa_memory m;
    struct error err = {0};
    struct numa_memory_options options = {.policy = NUMA_PREFERRED, .node = 1};
    ck_assert_int_eq(numa_memory_init(&m, numa, MIB, &options, &err), STATUS_OK);
    ck_assert(!m.placed);
    ck_assert_ptr_nonnull(strstr(m.note, "the system refused the memory policy preferred"));
    ck_assert_ptr_nonnull(strstr(m.note, "so it is plain memory"));
    fill(&m);
    numa_memory_release(&m);
    options.policy = NUMA_BIND;
    ck_assert_int_eq(numa_memory_init(&m, numa, MIB, &options, &err), STATUS_SYSTEM);
    ck_assert_ptr_nonnull(strstr(err.text, "the system refused the memory policy bind"));
    ck_assert_ptr_null(m.base);
    numa_free(numa);
}
END_TEST

START_TEST(another_machines_nodes_are_not_believed)
{
    struct numa *numa = two_nodes(false);
    struct numa_memory m;
    struct error err = {0};
    ck_assert_int_eq(numa_memory_init(&m, numa, MIB, &(struct numa_memory_options){.policy = NUMA_INTERLEAVE}, &err),
                     STATUS_OK);
    ck_assert_ptr_nonnull(strstr(m.note, "hwloc does not show this machine"));
    ck_assert_int_eq(numa_node_of(numa, m.base), -1);
    numa_memory_release(&m);
    ck_assert_int_eq(numa_memory_init(&m, numa, MIB, &(struct numa_memory_options){.policy = NUMA_BIND}, &err),
                     STATUS_SYSTEM);
    numa_free(numa);
}
END_TEST

struct touch {
    struct numa_memory memory;
    atomic_size_t bytes;
};

static void touch(struct sphere *me, void *arg)
{
    struct touch *t = arg;
    const struct share mine = numa_memory_share(me, &t->memory);
    ck_assert(mine.begin % t->memory.page_bytes == 0 || mine.begin == t->memory.size_bytes);
    t->bytes += mine.end - mine.begin;
    numa_memory_touch(me, &t->memory);
    sphere_barrier(me);
    for (size_t i = mine.begin; i < mine.end; i++)
        t->memory.base[i]++;
}

START_TEST(every_owner_touches_its_own_pages_and_all_are_owned)
{
    struct error err = {0};
    struct numa *numa = new_numa();
    struct team *team = team_new(&(struct team_options){.num_spheres = 13}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    static const size_t SIZES[] = {1, 4096, 100000, 5 * MIB + 1};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
        for (int huge = 0; huge < 2; huge++) {
            struct touch t = {.bytes = 0};
            const struct numa_memory_options options = {.policy = NUMA_LOCAL, .huge_pages = huge};
            ck_assert_int_eq(numa_memory_init(&t.memory, numa, SIZES[i], &options, &err), STATUS_OK);
            ck_assert_int_eq(team_run(team, 13, touch, &t), STATUS_OK);
            ck_assert_uint_eq(t.bytes, SIZES[i]);
            size_t wrong = 0;
            for (size_t k = 0; k < SIZES[i]; k++)
                wrong += t.memory.base[k] != 1;
            ck_assert_uint_eq(wrong, 0);
            numa_memory_release(&t.memory);
        }
    team_free(team);
    numa_free(numa);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("numa_memory");
    tcase_add_test(tc, every_policy_gives_memory);
    tcase_add_test(tc, absurd_wishes_are_refused);
    tcase_add_test(tc, policies_have_names);
    tcase_add_test(tc, huge_pages_are_asked_for_or_the_note_says_why_not);
    tcase_add_test(tc, on_two_nodes_policies_are_set);
    tcase_add_test(tc, a_node_that_the_kernel_lacks_is_a_note_or_for_bind_an_error);
    tcase_add_test(tc, another_machines_nodes_are_not_believed);
    tcase_add_test(tc, every_owner_touches_its_own_pages_and_all_are_owned);
    return crowd_suite("numa_memory", tc);
}
