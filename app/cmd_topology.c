/* SPDX-License-Identifier: MIT
 * app/cmd_topology.c - `cllm topology`: what machine this is, how much of it we may use and why, and how N spheres
 * would sit on it.
 */
#include "app/command.h"
#include "app/figures.h"
#include "app/options.h"
#include "formats/json.h"
#include "runtime/sphere.h"
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
                "  CLLM_ISA=portable cllm topology\n",
};

static void isa_reason(enum isa chosen, char *text, size_t size)
{
    const char *wish = getenv("CLLM_ISA");
    if (wish && *wish)
        snprintf(text, size, "CLLM_ISA says so; the best this CPU and system can do is %s", isa_name(isa_best()));
    else
        snprintf(text, size, "the best this CPU and system can do%s",
                 chosen + 1 < ISA_COUNT ? "" : " and the best there is here");
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

static void print_caches(const struct topology *t)
{
    struct figure a;
    for (int i = 0; i < TOPOLOGY_MAX_CACHE_LEVEL; i++)
        if (t->data_cache[i].size_bytes)
            printf("%s L%d%s %s x %d, shared by %d", i ? ";" : "caches      ", i + 1, i ? "" : "d",
                   figure_bytes(&a, t->data_cache[i].size_bytes), t->data_cache[i].instances,
                   t->data_cache[i].shared_by);
    printf("; lines of %zu bytes\n", t->line_bytes);
}

static void print_text(const struct topology *t, enum isa isa, int spheres, bool asked)
{
    struct figure a, b;
    char reason[160];
    isa_reason(isa, reason, sizeof reason);
    printf("cpu          %s\n", t->cpu_model[0] ? t->cpu_model : "unknown");
    printf("installed    %d package%s, %d cores, %d hardware threads, %d NUMA node%s (as %s says)\n", t->packages,
           t->packages == 1 ? "" : "s", t->cores, t->hardware_threads, t->numa_nodes, t->numa_nodes == 1 ? "" : "s",
           t->source);
    print_caches(t);
    printf("memory       %s, %s available\n", figure_bytes(&a, t->memory_bytes),
           figure_bytes(&b, t->memory_available_bytes));
    printf("affinity     %d hardware threads on %d cores\n", t->affinity_threads, t->affinity_cores);
    if (t->quota_cpus > 0)
        printf("quota        %.2f CPUs (%s)\n", t->quota_cpus, t->quota_source);
    else
        printf("quota        none\n");
    if (t->omp_num_threads > 0)
        printf("environment  OMP_NUM_THREADS=%d\n", t->omp_num_threads);
    printf("usable       %d: %s\n", t->usable, t->limited_by);
    printf("isa          %s: %s\n", isa_name(isa), reason);
    printf("spheres      %d, %s\n", spheres,
           asked ? "as asked for"
           : topology_auto_spheres(t) < t->usable
               ? "one usable core is kept for the application thread"
               : "one for each usable core");
    if (spheres > t->usable)
        printf("             more than there are cores to use: they sleep at barriers instead of spinning\n");
    draw_spheres(spheres);
}

static json_t *topology_json(const struct topology *t, enum isa isa, int spheres)
{
    char reason[160];
    isa_reason(isa, reason, sizeof reason);
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
    json_object_set_new(object, "caches", caches);
    json_object_set_new(
        object, "isa",
        json_pack("{s:s, s:s, s:s}", "chosen", isa_name(isa), "best", isa_name(isa_best()), "why", reason));
    json_object_set_new(object, "spheres", json_pack("{s:i, s:i, s:o, s:o}", "count", spheres, "auto",
                                                     topology_auto_spheres(t), "levels", levels, "groups", groups));
    return object;
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
    struct topology topology;
    enum isa isa;
    topology_read(&topology);
    if (isa_choose(&isa, &err) != STATUS_OK)
        return command_failed("topology", &err);
    int spheres = threads ? threads : topology_auto_spheres(&topology);
    if (json) {
        json_t *object = topology_json(&topology, isa, spheres);
        struct buffer text = {0};
        enum status status = object ? json_write(object, true, &text, &err)
                                    : error_set(&err, STATUS_NOMEM, "no memory for the figures");
        if (status == STATUS_OK)
            fputs(text.data, stdout);
        else
            code = command_failed("topology", &err);
        buffer_release(&text);
        json_decref(object);
    } else {
        print_text(&topology, isa, spheres, threads > 0);
    }
    return command_finish_output("topology", code == OPTIONS_GO_ON ? EXIT_CODE_OK : code);
}
