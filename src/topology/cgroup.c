/* SPDX-License-Identifier: MIT
 *
 * What the cgroups of this process leave it, v1 and v2, also both at once.  /proc/self/cgroup says which groups we
 * are in, /proc/self/mountinfo where their hierarchies are mounted; a limit of any ancestor binds, so each directory
 * from our group up to the mount point is read.  Formats: the kernel's admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst,
 * scheduler/sched-bwc.rst and proc(5).  What does not parse sets no limit.
 */
#include "topology/topology_internal.h"

#include "base/buffer.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE_MAX = 1 << 20, VALUE_MAX = 256, STAT_MAX = 8192 };
enum { DEFAULT_PERIOD_US = 100000 };

/* A non-negative decimal number at *p, which moves past it. */
static bool take_number(const char **p, unsigned long long *out)
{
    char *end;
    while (**p == ' ')
        ++*p;
    if (!isdigit((unsigned char)**p))
        return false;
    errno = 0;
    *out = strtoull(*p, &end, 10);
    *p = end;
    return errno == 0;
}

static bool at_end(const char *p)
{
    return p[strspn(p, " \n")] == 0;
}

static bool read_number(unsigned long long *out, const char *directory, const char *file)
{
    char text[VALUE_MAX];
    const char *p = text;
    return read_text(text, sizeof text, "%s/%s", directory, file) && take_number(&p, out) && at_end(p);
}

static bool list_has(const char *list, const char *name) /* comma-separated */
{
    const size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == 0))
            return true;
    }
    return false;
}

static void lower_quota(unsigned long long quota_us, unsigned long long period_us, const char *directory,
                        const char *file, struct topology *out)
{
    if (period_us == 0 || quota_us == 0)
        return;
    const double cpus = (double)quota_us / (double)period_us;
    if (out->quota_cpus > 0 && out->quota_cpus <= cpus)
        return;
    out->quota_cpus = cpus;
    snprintf(out->quota_source, sizeof out->quota_source, "%s/%s", directory, file);
}

/* The page cache of the group's files is in its usage and can be had back. */
static void lower_memory(unsigned long long limit, unsigned long long used, const char *stat, const char *key,
                         struct topology *out)
{
    if (limit < out->memory_bytes)
        out->memory_bytes = (size_t)limit;
    const char *line = strstr(stat, key), *p = line ? line + strlen(key) : "";
    unsigned long long reclaimable = 0;
    if (take_number(&p, &reclaimable))
        used -= reclaimable < used ? reclaimable : used;
    const unsigned long long left = used < limit ? limit - used : 0;
    if (left < out->memory_available_bytes)
        out->memory_available_bytes = (size_t)left;
}

static void read_v2(const char *directory, struct topology *out)
{
    char text[VALUE_MAX], stat[STAT_MAX];
    const char *p = text;
    unsigned long long quota, period, limit, used = 0;
    if (read_text(text, sizeof text, "%s/cpu.max", directory) && take_number(&p, &quota)) { /* "max …" is no limit */
        if (!take_number(&p, &period))
            period = DEFAULT_PERIOD_US;
        if (at_end(p))
            lower_quota(quota, period, directory, "cpu.max", out);
    }
    if (read_number(&limit, directory, "memory.max")) {
        read_number(&used, directory, "memory.current");
        read_text(stat, sizeof stat, "%s/memory.stat", directory);
        lower_memory(limit, used, stat, "\ninactive_file", out);
    }
}

static void read_v1_cpu(const char *directory, struct topology *out)
{
    unsigned long long quota, period;
    if (read_number(&quota, directory, "cpu.cfs_quota_us") && /* -1 is no limit */
        read_number(&period, directory, "cpu.cfs_period_us"))
        lower_quota(quota, period, directory, "cpu.cfs_quota_us", out);
}

static void read_v1_memory(const char *directory, struct topology *out)
{
    char stat[STAT_MAX];
    unsigned long long limit, used = 0;
    if (!read_number(&limit, directory, "memory.limit_in_bytes"))
        return;
    read_number(&used, directory, "memory.usage_in_bytes");
    read_text(stat, sizeof stat, "%s/memory.stat", directory);
    lower_memory(limit, used, stat, "\ntotal_inactive_file", out);
}

/* A controller's hierarchy, as the two tables of /proc/self name it. */
static const struct hierarchy {
    const char *fstype, *controller; /* controller "" is v2 */
    void (*read)(const char *directory, struct topology *out);
} HIERARCHIES[] = {
    {"cgroup2", "", read_v2},
    {"cgroup", "cpu", read_v1_cpu},
    {"cgroup", "memory", read_v1_memory},
};

/* One line of mountinfo: "36 35 98:0 /root /mount/point options [optional …] - fstype source super,options".
 * Cuts it up in place.  Spaces within a path are written as octal escapes, undone here. */
struct mount {
    char *root, *point, *fstype, *super_options;
};

static void unescape(char *text)
{
    char *out = text;
    for (const char *p = text; *p; out++)
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
            *out = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 4;
        } else
            *out = *p++;
    *out = 0;
}

static bool parse_mount(char *line, struct mount *out)
{
    char *after = strstr(line, " - ");
    if (!after)
        return false;
    *after = 0;
    char *save, *word = strtok_r(line, " ", &save);
    for (int field = 0; word && field < 5; field++, word = strtok_r(NULL, " ", &save)) {
        if (field == 3)
            out->root = word;
        if (field == 4)
            out->point = word;
    }
    if (!word)
        return false;
    out->fstype = strtok_r(after + 3, " ", &save);
    if (!out->fstype || !strtok_r(NULL, " ", &save))
        return false;
    out->super_options = strtok_r(NULL, " ", &save);
    if (!out->super_options)
        return false;
    unescape(out->root);
    unescape(out->point);
    return true;
}

/* Our group in the hierarchy, from "7:cpu,cpuacct:/path" or "0::/path"; false when the table has no such line. */
static bool find_group(const char *table, const struct hierarchy *h, char *path, size_t size)
{
    for (const char *line = table, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        next = next ? next + 1 : NULL;
        const char *end = line + strcspn(line, "\n"), *list = memchr(line, ':', (size_t)(end - line));
        const char *group = list ? memchr(list + 1, ':', (size_t)(end - list - 1)) : NULL;
        if (!group || group[1] != '/')
            continue;
        char controllers[VALUE_MAX];
        if ((size_t)(group - list - 1) >= sizeof controllers || (size_t)(end - group - 1) >= size)
            continue;
        snprintf(controllers, sizeof controllers, "%.*s", (int)(group - list - 1), list + 1);
        if (*h->controller ? !list_has(controllers, h->controller) : *controllers != 0)
            continue;
        snprintf(path, size, "%.*s", (int)(end - group - 1), group + 1);
        return true;
    }
    return false;
}

/* The part of `path` below the mount's root.  A group outside it (another namespace's) cannot be seen: then the mount
 * point itself is all there is to read. */
static const char *below_root(const char *path, const char *root)
{
    const size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, n) == 0 && (path[n] == '/' || path[n] == 0) && !strstr(path, "/.."))
        return path + n;
    return "";
}

static void read_hierarchy(const struct hierarchy *h, const struct mount *mount, const char *group,
                           const char *sys_root, struct topology *out)
{
    char directory[PATH_MAX];
    const size_t stop = strlen(sys_root) + strlen(mount->point);
    int n = snprintf(directory, sizeof directory, "%s%s%s", sys_root, mount->point, below_root(group, mount->root));
    if (n < 0 || (size_t)n >= sizeof directory)
        return;
    for (size_t len = (size_t)n; len >= stop; len--) {
        if (directory[len] != 0 && directory[len] != '/')
            continue;
        directory[len] = 0;
        if (len > 0 && directory[len - 1] != '/')
            h->read(directory, out);
        if (len == 0)
            break;
    }
}

static bool read_table(struct buffer *out, const char *proc_root, const char *name)
{
    if (!buffer_reserve(out, TABLE_MAX) || !read_text(out->data, TABLE_MAX, "%s/proc/self/%s", proc_root, name))
        return false;
    out->len = strlen(out->data);
    return true;
}

void topology__cgroup(const char *proc_root, const char *sys_root, struct topology *out)
{
    struct buffer groups = {0}, mounts = {0};
    char group[PATH_MAX], *save;
    if (read_table(&groups, proc_root, "cgroup") && read_table(&mounts, proc_root, "mountinfo"))
        for (char *line = strtok_r(mounts.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            struct mount mount = {0};
            if (!parse_mount(line, &mount))
                continue;
            for (size_t i = 0; i < sizeof HIERARCHIES / sizeof HIERARCHIES[0]; i++) {
                const struct hierarchy *h = &HIERARCHIES[i];
                if (strcmp(mount.fstype, h->fstype) == 0 &&
                    (!*h->controller || list_has(mount.super_options, h->controller)) &&
                    find_group(groups.data, h, group, sizeof group))
                    read_hierarchy(h, &mount, group, sys_root, out);
            }
        }
    buffer_release(&groups);
    buffer_release(&mounts);
}
