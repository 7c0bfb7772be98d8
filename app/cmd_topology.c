/* SPDX-License-Identifier: MIT
 * app/cmd_topology.c - `cllm topology`: what machine this is, how much of it we may use and why, and how N spheres
 * would sit on it.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/buffer.h"
#include "base/human.h"
#include "base/memory.h"
#include "formats/json.h"
#include "runtime/place.h"
#include "runtime/sphere.h"
#include "topology/cpu_map.h"
#include "topology/isa.h"
#include "topology/topology.h"

#include <stdio.h>
#include <stdlib.h>

static const struct option_usage usage = {
    .command = "topology",
    .synopsis = "cllm topology [options]",
    .summary =
        "Says what machine this is, how much of it this process may use and what limits it, which instruction set is "
        "chosen, and draws how the spheres would be arranged.",
    .examples = "  cllm topology\n"
                "  cllm topology --threads 157\n"
                "  taskset -c 0 cllm topology --json\n"
                "  OMP_NUM_THREADS=1 cllm topology\n"
                "  CLLM_ISA=portable cllm topology\n",
};

static void isa_reason(char *text, size_t size)
{
    const char *wish = getenv("CLLM_ISA");
    const enum isa best = isa_best();
    const enum isa next = best + 1 < ISA_COUNT ? best + 1 : best;
    int n = wish && *wish ? snprintf(text, size, "CLLM_ISA says so; the best here is %s", isa_name(best))
                          : snprintf(text, size, "the best this CPU and system can do");
    if (next != best && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, "; not %s: %s", isa_name(next), isa_missing(next));
}

static int level_begin(int level)
{
    static const int begins[] = {0, 1, 13, 157, SPHERES_MAX};
    return begins[level];
}

static int level_count(int level, int n)
{
    int begin = level_begin(level), end = level_begin(level + 1);
    return (n < end ? n : end) - begin;
}

/* The first levels as a tree; what repeats is told by its number. */
static void draw_spheres(int n)
{
    printf("\nspheres: %d in %d level%s\n", n, sphere_levels(n), sphere_levels(n) == 1 ? "" : "s");
    printf("  sphere 0                             the root\n");
    for (int i = 1; i < n && i <= SPHERE_FANOUT; i++) {
        bool last = i == SPHERE_FANOUT || i + 1 == n;
        int children = sphere_num_children(i, n), first = sphere_first_child(i);
        printf("  %s sphere %-4d group %-3d", last ? "`-" : "|-", i, sphere_group(i));
        if (children > 0) {
            int grandchildren = 0;
            for (int c = first; c < first + children; c++)
                grandchildren += sphere_num_children(c, n);
            printf("          children %d-%d", first, first + children - 1);
            if (grandchildren > 0)
                printf(", and %d below them", grandchildren);
        }
        printf("\n");
    }
    printf("\n  level   spheres\n");
    for (int level = 0; level < sphere_levels(n); level++)
        printf("  %5d   %7d   (%d-%d)\n", level, level_count(level, n), level_begin(level),
               level_begin(level) + level_count(level, n) - 1);
    printf("\n  group   spheres of it (id mod %d)\n ", SPHERE_FANOUT);
    for (int g = 0; g < SPHERE_FANOUT; g++)
        printf(" %d:%d", g, g < n ? (n - g + SPHERE_FANOUT - 1) / SPHERE_FANOUT : 0);
    printf("\n");
}

/* "0-3,8": the numbers i of 0 … n-1 that are in, cut after whole ranges when there are too many for the text. */
struct ranges {
    char text[72];
    int count;
};

static const char *list_ranges(struct ranges *out, int n, bool (*in)(int i, const void *context), const void *context)
{
    size_t used = 0;
    bool cut = false;
    *out = (struct ranges){.count = 0};
    for (int i = 0; i < n; i++) {
        if (!in(i, context))
            continue;
        int last = i;
        while (last + 1 < n && in(last + 1, context))
            last++;
        char range[32];
        const int len = snprintf(range, sizeof range, last > i ? "%s%d-%d" : "%s%d", used ? "," : "", i, last);
        cut = cut || used + (size_t)len + sizeof ",…" > sizeof out->text;
        if (!cut)
            used += (size_t)snprintf(out->text + used, sizeof out->text - used, "%s", range);
        out->count += last - i + 1;
        i = last;
    }
    if (cut)
        snprintf(out->text + used, sizeof out->text - used, ",…");
    return out->text;
}

/* What `cllm topology` shows: the CPUs, and which of them are whose. */
struct picture {
    struct topology topology;
    struct cpu_map map;
    struct places places;
    enum isa isa;
    int spheres;
    bool asked;
};

struct spheres_on {
    const struct picture *picture;
    int cpu;
};

static bool sits_on(int id, const void *context)
{
    const struct spheres_on *on = context;
    return place_of(&on->picture->places, id, on->picture->spheres) == on->cpu;
}

struct sharers {
    const struct cpu_map *map;
    int level, lowest; /* level 0: of the core; else of the data cache */
};

static bool shares(int cpu, const void *context)
{
    const struct sharers *s = context;
    for (int i = 0; i < s->map->count; i++)
        if (s->map->cpus[i].cpu == cpu)
            return (s->level ? s->map->cpus[i].cache[s->level - 1] : s->map->cpus[i].core) == s->lowest;
    return false;
}

static int cpus_end(const struct cpu_map *map)
{
    int end = 0;
    for (int i = 0; i < map->count; i++)
        end = map->cpus[i].cpu >= end ? map->cpus[i].cpu + 1 : end;
    return end;
}

/* "L3 0-7 | 8-15": who shares; the first few. */
static void print_sharing(const struct cpu_map *map, const char *name, int level)
{
    enum { FEW = 8 };
    int groups = 0, alone = 0;
    for (int i = 0; i < map->count; i++) {
        const struct cpu_info *c = &map->cpus[i];
        const struct sharers sharers = {map, level, level ? c->cache[level - 1] : c->core};
        if (sharers.lowest != c->cpu)
            continue;
        struct ranges list;
        list_ranges(&list, cpus_end(map), shares, &sharers);
        alone += list.count == 1;
        if (groups++ < FEW)
            printf("%s%s", groups == 1 ? name : " | ", list.text);
    }
    if (groups > FEW)
        printf(" | … %d in all", groups);
    if (groups > 0)
        printf("%s\n", alone < groups ? "" : level ? " (one CPU each)" : " (one hardware thread a core, no siblings)");
}

static void print_ours(const struct cpu_info *c, const struct picture *p)
{
    struct ranges list;
    const struct spheres_on on = {p, c->cpu};
    list_ranges(&list, p->spheres, sits_on, &on);
    if (!c->ours)
        printf("not ours\n");
    else if (list.count == 0)
        printf("free\n");
    else
        printf("sphere%s %s%s", list.count == 1 ? "" : "s", list.text, list.count < 3 ? "\n" : "");
    if (c->ours && list.count >= 3)
        printf("  (%d)\n", list.count);
}

/* Package, node, L3, core, CPU, and the spheres on each: the hierarchy laid along the machine. */
static void draw_places(const struct picture *p)
{
    printf("\nplaces, near ones beside each other:\n");
    const struct cpu_info *before = NULL;
    for (int i = 0; i < p->map.count; before = &p->map.cpus[i++]) {
        const struct cpu_info *c = &p->map.cpus[i];
        const bool package = !before || c->package != before->package, node = package || c->node != before->node;
        const bool l3 = c->cache[2] >= 0 && (node || c->cache[2] != before->cache[2]);
        if (package && c->package >= 0)
            printf("  package %d\n", c->package);
        if (node && c->node >= 0)
            printf("    NUMA node %d\n", c->node);
        struct ranges list;
        const struct sharers sharers = {&p->map, 3, c->cache[2]};
        if (l3)
            printf("      L3 of CPUs %s\n", list_ranges(&list, cpus_end(&p->map), shares, &sharers));
        if (!before || c->core != before->core || node)
            printf("        core %-4d", c->core);
        else
            printf("             %4s", "");
        printf(" CPU %-4d ", c->cpu);
        print_ours(c, p);
    }
    if (place_slot(0, p->spheres, p->places.count) == PLACE_ANYWHERE)
        printf("  The system may move them: so few spheres a CPU are not pinned.\n");
    else if (p->topology.quota_cpus > 0)
        printf("  Under a CPU quota, which names no CPUs, spheres are not pinned.\n");
    else
        printf("  So many spheres a CPU are pinned like this.\n");
}

static void print_caches(const struct topology *t)
{
    struct human a;
    for (int i = 0; i < TOPOLOGY_MAX_CACHE_LEVEL; i++)
        if (t->data_cache[i].size_bytes)
            printf("%s L%d%s %s x %d, shared by %d", i ? ";" : "caches      ", i + 1, i ? "" : "d",
                   human_bytes(&a, t->data_cache[i].size_bytes), t->data_cache[i].instances,
                   t->data_cache[i].shared_by);
    printf("; lines of %zu bytes\n", t->line_bytes);
}

static void print_limits(const struct topology *t, int automatic)
{
    printf("affinity     %d hardware threads on %d cores\n", t->affinity_threads, t->affinity_cores);
    if (t->quota_cpus > 0)
        printf("quota        %.2f CPUs (%s)\n", t->quota_cpus, t->quota_source);
    else
        printf("quota        none\n");
    if (t->omp_ignored[0])
        printf("environment  OMP_NUM_THREADS is \"%s\", not a positive number: ignored\n", t->omp_ignored);
    else if (t->omp_num_threads > t->usable)
        printf("environment  OMP_NUM_THREADS=%d, more than there is: no effect\n", t->omp_num_threads);
    else if (t->omp_num_threads > 0)
        printf("environment  OMP_NUM_THREADS=%d\n", t->omp_num_threads);
    printf("usable       %d: %s\n", t->usable, t->limited_by);
    printf("0 threads    means %d sphere%s: %s\n", automatic, automatic == 1 ? "" : "s",
           automatic < t->usable ? "one usable core is kept for the application thread" : "one for each usable core");
}

static void print_text(const struct picture *p)
{
    const struct topology *t = &p->topology;
    struct human a, b;
    char reason[160];
    isa_reason(reason, sizeof reason);
    printf("cpu          %s\n", t->cpu_model[0] ? t->cpu_model : "unknown");
    printf("installed    %d package%s, %d cores, %d hardware threads, %d NUMA node%s (as %s says)\n", t->packages,
           t->packages == 1 ? "" : "s", t->cores, t->hardware_threads, t->numa_nodes, t->numa_nodes == 1 ? "" : "s",
           t->source);
    print_caches(t);
    print_sharing(&p->map, "siblings     CPUs ", 0);
    static const char *const NAMES[] = {"", "", "L2 shared by CPUs ", "L3 shared by CPUs ", "L4 shared by CPUs "};
    for (int level = 2; level <= TOPOLOGY_MAX_CACHE_LEVEL; level++)
        print_sharing(&p->map, NAMES[level], level);
    printf("memory       %s, %s available", human_bytes(&a, t->memory_bytes),
           human_bytes(&b, t->memory_available_bytes));
    const size_t huge_bytes = mem_huge_page_bytes();
    if (huge_bytes)
        printf("; huge pages of %s by advice\n", human_bytes(&a, huge_bytes));
    else
        printf("; no huge pages by advice\n");
    print_limits(t, topology_auto_spheres(t));
    printf("isa          %s: %s\n", isa_name(p->isa), reason);
    printf("spheres      %d, %s\n", p->spheres, p->asked ? "as asked for" : "as 0 threads means");
    if (p->spheres > t->usable)
        printf("             more than there are cores to use: they sleep at barriers instead of spinning\n");
    draw_spheres(p->spheres);
    draw_places(p);
}

static json_t *cpus_json(const struct picture *p)
{
    json_t *cpus = json_array();
    for (int i = 0; i < p->map.count; i++) {
        const struct cpu_info *c = &p->map.cpus[i];
        json_t *caches = json_array(), *spheres = json_array();
        for (int level = 0; level < TOPOLOGY_MAX_CACHE_LEVEL; level++)
            if (c->cache[level] >= 0)
                json_array_append_new(caches,
                                      json_pack("{s:i, s:i}", "level", level + 1, "shared_from", c->cache[level]));
        for (int id = 0; id < p->spheres; id++)
            if (place_of(&p->places, id, p->spheres) == c->cpu)
                json_array_append_new(spheres, json_integer(id));
        json_array_append_new(cpus, json_pack("{s:i, s:i, s:i, s:i, s:i, s:b, s:o, s:o}", "cpu", c->cpu, "core",
                                              c->core, "thread", c->thread, "package", c->package, "node", c->node,
                                              "ours", (int)c->ours, "caches", caches, "spheres", spheres));
    }
    return cpus;
}

static json_t *topology_json(const struct picture *p)
{
    const struct topology *t = &p->topology;
    const enum isa isa = p->isa;
    const int spheres = p->spheres;
    char reason[160];
    isa_reason(reason, sizeof reason);
    json_t *caches = json_array(), *levels = json_array(), *groups = json_array();
    for (int i = 0; i < TOPOLOGY_MAX_CACHE_LEVEL; i++)
        if (t->data_cache[i].size_bytes)
            json_array_append_new(caches,
                                  json_pack("{s:i, s:I, s:i, s:i}", "level", i + 1, "size_bytes",
                                            (json_int_t)t->data_cache[i].size_bytes, "shared_by",
                                            t->data_cache[i].shared_by, "instances", t->data_cache[i].instances));
    for (int level = 0; level < sphere_levels(spheres); level++)
        json_array_append_new(levels, json_integer(level_count(level, spheres)));
    for (int g = 0; g < SPHERE_FANOUT; g++)
        json_array_append_new(groups,
                              json_integer(g < spheres ? (spheres - g + SPHERE_FANOUT - 1) / SPHERE_FANOUT : 0));
    json_t *object = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:i, s:i, s:s, s:I, s:I, s:I}", "source", t->source,
        "cpu_model", t->cpu_model, "packages", t->packages, "numa_nodes", t->numa_nodes, "cores", t->cores,
        "hardware_threads", t->hardware_threads, "affinity_threads", t->affinity_threads, "affinity_cores",
        t->affinity_cores, "quota_cpus", t->quota_cpus, "quota_source", t->quota_source, "omp_num_threads",
        t->omp_num_threads, "usable", t->usable, "limited_by", t->limited_by, "line_bytes", (json_int_t)t->line_bytes,
        "memory_bytes", (json_int_t)t->memory_bytes, "memory_available_bytes", (json_int_t)t->memory_available_bytes);
    json_object_set_new(object, "omp_num_threads_ignored",
                        t->omp_ignored[0] ? json_string(t->omp_ignored) : json_null());
    json_object_set_new(object, "huge_page_bytes", json_integer((json_int_t)mem_huge_page_bytes()));
    json_object_set_new(object, "caches", caches);
    json_object_set_new(object, "cpus", cpus_json(p));
    json_object_set_new(
        object, "isa",
        json_pack("{s:s, s:s, s:s}", "chosen", isa_name(isa), "best", isa_name(isa_best()), "why", reason));
    json_object_set_new(object, "spheres",
                        json_pack("{s:i, s:i, s:o, s:o}", "count", spheres, "auto", topology_auto_spheres(t), "levels",
                                  levels, "groups", groups));
    return object;
}

static int show(const struct picture *p, bool json)
{
    if (!json) {
        print_text(p);
        return EXIT_CODE_OK;
    }
    struct error err = {0};
    struct buffer text = {0};
    int code = EXIT_CODE_OK;
    json_t *object = topology_json(p);
    enum status status =
        object ? json_write(object, true, &text, &err) : error_set(&err, STATUS_NOMEM, "no memory for the figures");
    if (status == STATUS_OK)
        fputs(text.data, stdout);
    else
        code = command_failed("topology", &err);
    buffer_release(&text);
    json_decref(object);
    return code;
}

int cmd_topology(int argc, char **argv)
{
    int threads = 0;
    bool json = false;
    struct option_def options[] = {
        OPT_INT("threads", &threads, 0, SPHERES_MAX, "spheres to draw; 0 = as many as there are cores to use (0)"),
        OPT_FLAG("json", &json, "as JSON"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    struct error err = {0};
    struct picture p = {.asked = threads > 0};
    topology_read(&p.topology);
    p.spheres = threads ? threads : topology_auto_spheres(&p.topology);
    if (isa_choose(&p.isa, &err) != STATUS_OK || cpu_map_read(&p.map, &err) != STATUS_OK ||
        places_init(&p.places, &err) != STATUS_OK) {
        code = command_failed("topology", &err);
    } else {
        places_order(&p.places, &p.map);
        code = show(&p, json);
    }
    places_release(&p.places);
    cpu_map_release(&p.map);
    return command_finish_output("topology", code);
}
