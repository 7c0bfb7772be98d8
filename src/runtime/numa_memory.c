/* SPDX-License-Identifier: MIT */
#include "runtime/numa_memory.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static void add_note(struct numa_memory *memory, const char *text)
{
    const size_t used = strlen(memory->note);
    snprintf(memory->note + used, sizeof memory->note - used, "%s%s", used ? "; " : "", text);
}

static enum status place(struct numa_memory *m, const struct numa *numa, const struct numa_memory_options *options,
                         struct error *err)
{
    char text[128];
    if (numa_count(numa) == 1) {
        snprintf(text, sizeof text, "there is one NUMA node, so policy %s is plain memory",
                 numa_policy_name(options->policy));
        add_note(m, text);
        return STATUS_OK;
    }
    struct error why = {0};
    enum status status = numa_set_policy(numa, m->base, m->size_bytes, options->policy, options->node, &why);
    m->placed = status == STATUS_OK;
    if (status == STATUS_OK)
        return STATUS_OK;
    if (options->policy == NUMA_BIND || status == STATUS_NOMEM)
        return error_set(err, status, "%s", why.text);
    snprintf(text, sizeof text, "%.90s, so it is plain memory", why.text);
    add_note(m, text);
    return STATUS_OK;
}

static enum status check(const struct numa *numa, size_t size_bytes, const struct numa_memory_options *options,
                         struct error *err)
{
    if (size_bytes == 0)
        return error_set(err, STATUS_CONFIG, "memory of 0 bytes was asked for; 1 or more would be right");
    if ((unsigned)options->policy > NUMA_BIND)
        return error_set(err, STATUS_CONFIG, "unknown memory policy %d", (int)options->policy);
    return options->policy == NUMA_PREFERRED || options->policy == NUMA_BIND ? numa_check_node(numa, options->node, err)
                                                                             : STATUS_OK;
}

enum status numa_memory_init(struct numa_memory *out, const struct numa *numa, size_t size_bytes,
                             const struct numa_memory_options *options, struct error *err)
{
    *out = (struct numa_memory){0};
    enum status status = check(numa, size_bytes, options, err);
    if (status != STATUS_OK)
        return status;
    const size_t huge_bytes = options->huge_pages ? mem_huge_page_bytes() : 0;
    struct numa_memory m = {.size_bytes = size_bytes, .page_bytes = huge_bytes ? huge_bytes : mem_page_bytes()};
    m.base = mem_map_aligned(size_bytes, m.page_bytes);
    if (!m.base)
        return error_set(err, STATUS_NOMEM, "the system refused %zu bytes of memory", size_bytes);
    status = place(&m, numa, options, err);
    if (status != STATUS_OK) {
        mem_unmap(m.base, size_bytes);
        return status;
    }
    m.huge = huge_bytes && mem_advise_huge(m.base, size_bytes);
    if (options->huge_pages && !m.huge)
        add_note(&m, "the system gives no huge pages by advice, so it is in small ones");
    if (!m.huge)
        m.page_bytes = mem_page_bytes();
    *out = m;
    return STATUS_OK;
}

void numa_memory_release(struct numa_memory *memory)
{
    mem_unmap(memory->base, memory->size_bytes);
    *memory = (struct numa_memory){0};
}

struct share numa_memory_share(const struct sphere *me, const struct numa_memory *memory)
{
    const size_t page = memory->page_bytes, pages = (memory->size_bytes - 1) / page + 1;
    struct share share = sphere_share(me, pages);
    share.begin *= page;
    share.end *= page;
    if (share.begin > memory->size_bytes)
        share.begin = memory->size_bytes;
    if (share.end > memory->size_bytes)
        share.end = memory->size_bytes;
    return share;
}

void numa_memory_touch(struct sphere *me, const struct numa_memory *memory)
{
    const struct share mine = numa_memory_share(me, memory);
    mem_touch((unsigned char *)memory->base + mine.begin, mine.end - mine.begin, 0, 1);
}
