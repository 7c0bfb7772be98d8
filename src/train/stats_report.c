/* SPDX-License-Identifier: MIT */
#include "train/stats_report.h"

#include "base/human.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHOW_ALL_UP_TO = 24, MAX_FILE_BYTES = 16 << 20 };

void stats_report_release(struct stats_report *report)
{
    mem_free(report->spheres);
    mem_free(report->workers);
    *report = (struct stats_report){0};
}

enum status stats_report_add_pool(struct stats_report *report, const struct pool *pool, struct error *err)
{
    struct pool_stats one;
    if (!pool)
        return STATUS_OK;
    pool_stats(pool, -1, &report->pool);
    const int count = pool_stats_count(pool);
    int last = pool_size(pool);
    for (int i = last; i < count; i++) /* spare ones that had something to do */
        if (pool_stats(pool, i, &one) == STATUS_OK && one.run + one.cancelled > 0)
            last = i + 1;
    report->workers = mem_calloc((size_t)last, sizeof *report->workers);
    if (!report->workers)
        return error_set(err, STATUS_NOMEM, "out of memory for the figures of %d workers", last);
    report->num_workers = last;
    for (int i = 0; i < last; i++)
        pool_stats(pool, i, &report->workers[i]);
    return STATUS_OK;
}

/* Figures of some spheres together. */
struct rollup {
    int spheres;
    uint64_t sequences, tokens, flops, compute_ns, wait_ns, barriers, scratch_peak_bytes, robbed_ns;
};

static void add(struct rollup *r, const struct sphere_stats *s)
{
    r->spheres++;
    r->sequences += s->sequences;
    r->tokens += s->tokens;
    r->flops += s->flops;
    r->compute_ns += s->compute_ns;
    r->wait_ns += s->wait_ns;
    r->barriers += s->barriers;
    r->scratch_peak_bytes += s->scratch_peak_bytes;
    r->robbed_ns += s->robbed_ns;
}

struct rollups {
    struct rollup whole, level[4], group[SPHERE_FANOUT];
    int levels;
};

static struct rollups roll_up(const struct stats_report *report)
{
    struct rollups r = {.levels = sphere_levels(report->num_spheres)};
    for (int i = 0; i < report->num_spheres; i++) {
        add(&r.whole, &report->spheres[i]);
        add(&r.level[sphere_level(i)], &report->spheres[i]);
        add(&r.group[sphere_group(i)], &report->spheres[i]);
    }
    return r;
}

static double wait_share(const struct rollup *r)
{
    double all = (double)r->compute_ns + (double)r->wait_ns;
    return all > 0 ? (double)r->wait_ns / all : 0;
}

/* The columns that a sphere and a rollup share. */
static void figures(struct buffer *out, const struct rollup *r)
{
    struct human tokens, sequences, compute, wait, robbed, scratch;
    buffer_printf(out, "  %9s  %8s  %10.*f  %9s  %9s  %5.1f%%  %9s  %9s\n", human_count(&sequences, (double)r->sequences),
                  human_count(&tokens, (double)r->tokens), (double)r->flops < 1e11 ? 2 : 0, (double)r->flops * 1e-9,
                  human_seconds(&compute, (double)r->compute_ns * 1e-9),
                  human_seconds(&wait, (double)r->wait_ns * 1e-9), 100 * wait_share(r),
                  human_seconds(&robbed, (double)r->robbed_ns * 1e-9), human_bytes(&scratch, r->scratch_peak_bytes));
}

static const char figures_head[] = "  sequences    tokens       GFLOP    compute       wait    wait     robbed    scratch\n";

static void rollup_row(struct buffer *out, const char *what, int index, const struct rollup *r)
{
    char name[32];
    if (index < 0)
        snprintf(name, sizeof name, "%s", what);
    else
        snprintf(name, sizeof name, "%s %d", what, index);
    buffer_printf(out, "%-9s %7d", name, r->spheres);
    figures(out, r);
}

static void sphere_row(struct buffer *out, const struct sphere_stats *s)
{
    char parent[16] = "-", children[32] = "-", cpu[16] = "-";
    if (s->parent >= 0)
        snprintf(parent, sizeof parent, "%d", s->parent);
    if (s->num_children == 1)
        snprintf(children, sizeof children, "%d", s->first_child);
    else if (s->num_children > 1)
        snprintf(children, sizeof children, "%d-%d", s->first_child, s->first_child + s->num_children - 1);
    if (s->cpu >= 0)
        snprintf(cpu, sizeof cpu, "%d", s->cpu);
    struct rollup r = {0};
    add(&r, s);
    buffer_printf(out, "%6d  %5d  %6s  %9s  %5d  %4s", s->id, s->level, parent, children, s->group, cpu);
    figures(out, &r);
}

static void pool_row(struct buffer *out, const char *name, const struct pool_stats *s)
{
    struct human created, run, stolen, gangs, busy, idle, asleep;
    buffer_printf(out, "%-9s  %8s  %8s  %8s  %5.1f%%  %8s  %9s  %9s  %9s\n", name,
                  human_count(&created, (double)s->created), human_count(&run, (double)s->run),
                  human_count(&stolen, (double)s->stolen), 100 * s->steal_ratio, human_count(&gangs, (double)s->gangs),
                  human_seconds(&busy, (double)s->busy_ns * 1e-9), human_seconds(&idle, (double)s->idle_ns * 1e-9),
                  human_seconds(&asleep, (double)s->asleep_ns * 1e-9));
}

static void pool_table(const struct stats_report *report, bool all, struct buffer *out)
{
    if (report->num_workers == 0)
        return;
    buffer_printf(out, "\npool        created       run    stolen   ratio     gangs       busy       idle     asleep\n");
    pool_row(out, "whole", &report->pool);
    if (!all && report->num_workers > SHOW_ALL_UP_TO)
        return;
    for (int i = 0; i < report->num_workers; i++) {
        char name[24];
        snprintf(name, sizeof name, "worker %d", i);
        pool_row(out, name, &report->workers[i]);
    }
}

static void sphere_table(const struct stats_report *report, bool all, struct buffer *out)
{
    if (!all && report->num_spheres > SHOW_ALL_UP_TO)
        return;
    buffer_printf(out, "\nsphere  level  parent   children  group   cpu%s", figures_head);
    for (int i = 0; i < report->num_spheres; i++)
        sphere_row(out, &report->spheres[i]);
}

void stats_saving_text(const struct stats_saving *s, struct buffer *out)
{
    struct human a, b, c, d;
    buffer_printf(out, "%" PRIu64 " checkpoint%s", s->saved, s->saved == 1 ? "" : "s");
    if (s->failed)
        buffer_printf(out, " (%" PRIu64 " more failed)", s->failed);
    if (s->session_s > 0)
        buffer_printf(out, ", %.2f %% or %s of training lost", 100 * s->lost_s / s->session_s, human_seconds(&a, s->lost_s));
    buffer_printf(out, ", %s of writing (the last %s, the longest %s), %s in all", human_seconds(&a, s->write_s),
                  human_seconds(&b, s->last_write_s), human_seconds(&c, s->longest_write_s), human_bytes(&d, s->bytes));
}

void stats_report_table(const struct stats_report *report, bool all, struct buffer *out)
{
    struct rollups r = roll_up(report);
    struct human steps, tokens, seconds, rate, flops;
    double per_second = report->seconds > 0 ? 1 / report->seconds : 0;
    buffer_printf(out, "%d sphere%s on %d level%s, %d at work, back end %s; step %s, %s tokens; %s since the start\n",
                  report->num_spheres, report->num_spheres == 1 ? "" : "s", r.levels, r.levels == 1 ? "" : "s",
                  report->width, report->backend, human_count(&steps, (double)report->step),
                  human_count(&tokens, (double)report->tokens), human_seconds(&seconds, report->seconds));
    buffer_printf(out, "%s tokens/s and %sFLOP/s on average since then",
                  human_count(&rate, (double)r.whole.tokens * per_second),
                  human_count(&flops, (double)r.whole.flops * per_second));
    if (report->peak_gflops > 0)
        buffer_printf(out, ", %.1f %% of the %sFLOP/s that the spheres' units could do",
                      100e-9 * (double)r.whole.flops * per_second / report->peak_gflops,
                      human_count(&flops, 1e9 * report->peak_gflops));
    buffer_append_text(out, "\n");
    struct human planned, peak;
    if (report->planned_bytes && report->peak_bytes)
        buffer_printf(out, "%s of memory planned, %s used at the most\n", human_bytes(&planned, report->planned_bytes),
                      human_bytes(&peak, report->peak_bytes));
    if (report->saving.saved + report->saving.failed > 0) {
        buffer_append_text(out, "saving: ");
        stats_saving_text(&report->saving, out);
        buffer_append_text(out, "\n");
    }
    buffer_append_text(out, "\n");

    buffer_printf(out, "          spheres%s", figures_head);
    rollup_row(out, "whole", -1, &r.whole);
    for (int i = 0; i < r.levels; i++)
        rollup_row(out, "level", i, &r.level[i]);
    for (int i = 0; i < SPHERE_FANOUT; i++)
        if (r.group[i].spheres)
            rollup_row(out, "group", i, &r.group[i]);
    sphere_table(report, all, out);
    pool_table(report, all, out);
}

/* ---- JSON ---- */

static json_t *rollup_json(const struct rollup *r)
{
    return json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I}", "spheres", r->spheres, "sequences",
                     (json_int_t)r->sequences, "tokens", (json_int_t)r->tokens, "flops", (json_int_t)r->flops,
                     "compute_ns", (json_int_t)r->compute_ns, "wait_ns", (json_int_t)r->wait_ns, "wait_share",
                     wait_share(r), "barriers", (json_int_t)r->barriers, "scratch_peak_bytes",
                     (json_int_t)r->scratch_peak_bytes, "robbed_ns", (json_int_t)r->robbed_ns);
}

static json_t *sphere_json(const struct sphere_stats *s)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", s->id, "level",
                     s->level, "parent", s->parent, "first_child", s->first_child, "num_children", s->num_children,
                     "group", s->group, "cpu", s->cpu, "sequences", (json_int_t)s->sequences, "tokens",
                     (json_int_t)s->tokens, "flops", (json_int_t)s->flops, "compute_ns", (json_int_t)s->compute_ns,
                     "wait_ns", (json_int_t)s->wait_ns, "barriers", (json_int_t)s->barriers, "scratch_peak_bytes",
                     (json_int_t)s->scratch_peak_bytes, "robbed_ns", (json_int_t)s->robbed_ns);
}

/* The keys of a worker's figures, and where they are. */
#define POOL_FIGURES(X) X(created) X(run) X(stolen) X(cancelled) X(gangs) X(busy_ns) X(idle_ns) X(asleep_ns) X(sleeps)

static json_t *pool_json(const struct pool_stats *s)
{
    json_t *object = json_object();
    int failed = 0;
#define SET(key) failed |= json_object_set_new(object, #key, json_integer((json_int_t)s->key));
    POOL_FIGURES(SET)
#undef SET
    failed |= json_object_set_new(object, "steal_ratio", json_real(s->steal_ratio));
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

/* The pool as a whole, with its workers; null where there is none. */
static json_t *whole_pool_json(const struct stats_report *report)
{
    if (report->num_workers == 0)
        return json_null();
    json_t *object = pool_json(&report->pool), *workers = json_array();
    int failed = !object;
    for (int i = 0; i < report->num_workers; i++)
        failed |= json_array_append_new(workers, pool_json(&report->workers[i]));
    failed |= json_object_set_new(object, "workers", workers);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static enum status read_pool_figures(const json_t *object, struct pool_stats *out, const char *where, struct error *err)
{
    enum status st = STATUS_OK;
#define GET(key)                                                                                                       \
    if (st == STATUS_OK)                                                                                               \
        st = json_get_u64(object, #key, true, INT64_MAX, &out->key, where, err);
    POOL_FIGURES(GET)
#undef GET
    if (st == STATUS_OK)
        st = json_get_double(object, "steal_ratio", true, &out->steal_ratio, where, err);
    return st;
}

/* Runs from before there was a pool, and those of other back ends, have none. */
static enum status read_pool(const json_t *object, struct stats_report *out, const char *path, struct error *err)
{
    char where[512];
    if (!object || json_is_null(object))
        return STATUS_OK;
    snprintf(where, sizeof where, "%s, pool", path);
    enum status st = read_pool_figures(object, &out->pool, where, err);
    const json_t *workers = json_object_get(object, "workers");
    const size_t n = json_array_size(workers);
    if (st == STATUS_OK && (n < 1 || n > 2 * POOL_THREADS_MAX))
        st = error_set(err, STATUS_FORMAT, "%s: \"workers\" must be an array of 1 to %d objects", where,
                       2 * POOL_THREADS_MAX);
    if (st == STATUS_OK && !(out->workers = mem_calloc(n, sizeof *out->workers)))
        st = error_set(err, STATUS_NOMEM, "%s: out of memory for %zu workers", path, n);
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        snprintf(where, sizeof where, "%s, worker %zu", path, i);
        st = read_pool_figures(json_array_get(workers, i), &out->workers[i], where, err);
    }
    if (st == STATUS_OK)
        out->num_workers = (int)n;
    return st;
}

#define SAVING_COUNTS(X) X(saved) X(failed) X(bytes) X(last_bytes)
#define SAVING_TIMES(X) X(lost_s) X(write_s) X(last_write_s) X(longest_write_s) X(session_s)

static json_t *saving_json(const struct stats_saving *s)
{
    json_t *object = json_object();
    int failed = json_object_set_new(object, "lost_share", json_real(s->session_s > 0 ? s->lost_s / s->session_s : 0));
#define SET(key) failed |= json_object_set_new(object, #key, json_integer((json_int_t)s->key));
    SAVING_COUNTS(SET)
#undef SET
#define SET(key) failed |= json_object_set_new(object, #key, json_real(s->key));
    SAVING_TIMES(SET)
#undef SET
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

json_t *stats_report_json(const struct stats_report *report)
{
    struct rollups r = roll_up(report);
    json_t *levels = json_array(), *groups = json_array(), *spheres = json_array();
    int failed = 0;
    for (int i = 0; i < r.levels; i++)
        failed |= json_array_append_new(levels, rollup_json(&r.level[i]));
    for (int i = 0; i < SPHERE_FANOUT; i++)
        failed |= json_array_append_new(groups, rollup_json(&r.group[i]));
    for (int i = 0; i < report->num_spheres; i++)
        failed |= json_array_append_new(spheres, sphere_json(&report->spheres[i]));
    json_t *object =
        json_pack("{s:s, s:i, s:i, s:I, s:I, s:f, s:o, s:o, s:o, s:o, s:o}", "backend", report->backend, "num_spheres",
                  report->num_spheres, "width", report->width, "step", (json_int_t)report->step, "tokens",
                  (json_int_t)report->tokens, "seconds", report->seconds, "whole", rollup_json(&r.whole), "levels",
                  levels, "groups", groups, "spheres", spheres, "pool", whole_pool_json(report));
    failed |= json_object_set_new(object, "planned_bytes", json_integer((json_int_t)report->planned_bytes));
    failed |= json_object_set_new(object, "peak_bytes", json_integer((json_int_t)report->peak_bytes));
    if (report->peak_gflops > 0)
        failed |= json_object_set_new(object, "peak_gflops", json_real(report->peak_gflops));
    if (report->saving.session_s > 0)
        failed |= json_object_set_new(object, "saving", saving_json(&report->saving));
    if (failed) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* A run from before this was told has none. */
static enum status read_saving(const json_t *object, struct stats_saving *out, const char *path, struct error *err)
{
    char where[512];
    const json_t *saving = json_object_get(object, "saving");
    if (!saving)
        return STATUS_OK;
    snprintf(where, sizeof where, "%s, saving", path);
    if (!json_is_object(saving))
        return error_set(err, STATUS_FORMAT, "%s: should be an object", where);
    enum status st = STATUS_OK;
#define GET(key)                                                                                                       \
    if (st == STATUS_OK)                                                                                               \
        st = json_get_u64(saving, #key, true, INT64_MAX, &out->key, where, err);
    SAVING_COUNTS(GET)
#undef GET
#define GET(key)                                                                                                       \
    if (st == STATUS_OK)                                                                                               \
        st = json_get_double(saving, #key, true, &out->key, where, err);
    SAVING_TIMES(GET)
#undef GET
    return st;
}

static enum status get_int(const json_t *object, const char *key, int min, int max, int *out, const char *where,
                           struct error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" must be an integer from %d to %d", where, key, min, max);
    *out = (int)json_integer_value(value);
    return STATUS_OK;
}

/* What follows from the id is computed, not read. */
static enum status read_sphere(const json_t *object, int id, int num_spheres, struct sphere_stats *out,
                               const char *where, struct error *err)
{
    struct {
        const char *key;
        uint64_t *to;
    } counts[] = {
        {"sequences", &out->sequences},
        {"tokens", &out->tokens},
        {"flops", &out->flops},
        {"compute_ns", &out->compute_ns},
        {"wait_ns", &out->wait_ns},
        {"barriers", &out->barriers},
        {"scratch_peak_bytes", &out->scratch_peak_bytes},
    };
    *out = (struct sphere_stats){.id = id,
                                 .level = sphere_level(id),
                                 .parent = sphere_parent(id),
                                 .first_child = sphere_first_child(id),
                                 .num_children = sphere_num_children(id, num_spheres),
                                 .group = sphere_group(id)};
    int stored;
    enum status st = get_int(object, "id", id, id, &stored, where, err);
    if (st == STATUS_OK)
        st = get_int(object, "cpu", -1, INT32_MAX, &out->cpu, where, err);
    for (size_t i = 0; i < sizeof counts / sizeof *counts && st == STATUS_OK; i++)
        st = json_get_u64(object, counts[i].key, true, INT64_MAX, counts[i].to, where, err);
    if (st == STATUS_OK) /* a run of before does not say */
        st = json_get_u64(object, "robbed_ns", false, INT64_MAX, &out->robbed_ns, where, err);
    return st;
}

static enum status read_report(const json_t *object, struct stats_report *out, const char *path, struct error *err)
{
    const char *backend = "";
    enum status st = json_get_text(object, "backend", true, &backend, path, err);
    if (st == STATUS_OK)
        st = get_int(object, "num_spheres", 1, SPHERES_MAX, &out->num_spheres, path, err);
    if (st == STATUS_OK)
        st = get_int(object, "width", 1, out->num_spheres, &out->width, path, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "step", true, INT64_MAX, &out->step, path, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "tokens", true, INT64_MAX, &out->tokens, path, err);
    if (st == STATUS_OK)
        st = json_get_double(object, "seconds", true, &out->seconds, path, err);
    if (st == STATUS_OK) /* where a run of before does not say: 0 */
        st = json_get_u64(object, "planned_bytes", false, INT64_MAX, &out->planned_bytes, path, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "peak_bytes", false, INT64_MAX, &out->peak_bytes, path, err);
    if (st == STATUS_OK)
        st = json_get_double(object, "peak_gflops", false, &out->peak_gflops, path, err);
    if (st == STATUS_OK)
        st = read_saving(object, &out->saving, path, err);
    if (st != STATUS_OK)
        return st;
    snprintf(out->backend, sizeof out->backend, "%s", backend);
    const json_t *spheres = json_object_get(object, "spheres");
    if (!json_is_array(spheres) || json_array_size(spheres) != (size_t)out->num_spheres)
        return error_set(err, STATUS_FORMAT, "%s: \"spheres\" must be an array of %d objects", path, out->num_spheres);
    out->spheres = mem_calloc((size_t)out->num_spheres, sizeof *out->spheres);
    if (!out->spheres)
        return error_set(err, STATUS_NOMEM, "%s: out of memory for %d spheres", path, out->num_spheres);
    for (int i = 0; i < out->num_spheres && st == STATUS_OK; i++) {
        char where[512];
        snprintf(where, sizeof where, "%s, sphere %d", path, i);
        st = read_sphere(json_array_get(spheres, (size_t)i), i, out->num_spheres, &out->spheres[i], where, err);
    }
    return st == STATUS_OK ? read_pool(json_object_get(object, "pool"), out, path, err) : st;
}

enum status stats_report_read(const char *path, struct stats_report *out, struct error *err)
{
    *out = (struct stats_report){0};
    json_t *object = json_read_file(path, MAX_FILE_BYTES, err);
    if (!object)
        return err ? err->status : STATUS_FORMAT;
    enum status st = read_report(object, out, path, err);
    json_decref(object);
    if (st != STATUS_OK)
        stats_report_release(out);
    return st;
}
