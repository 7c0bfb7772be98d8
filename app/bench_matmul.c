/* SPDX-License-Identifier: MIT
 * app/bench_matmul.c - `cllm bench matmul`: matrix products of given shapes.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "ops/matmul.h"
#include "runtime/team.h"

#include <stdio.h>
#include <string.h>

static const struct option_usage matmul_usage = {
    .command = "bench matmul",
    .synopsis = "cllm bench matmul [options]",
    .summary =
        "GFLOP/s of C [M,N] = A [M,K] B [K,N] in f32, B packed beforehand as a step has it, the rows shared by the "
        "spheres. The median of --repeat.",
    .examples = "  cllm bench matmul --shape 4096,2304,768\n"
                "  cllm bench matmul --shapes data/bench-shapes.txt --threads 2 --csv\n",
};

struct product {
    size_t m, n, k;
    float *a, *b, *c, *packed;
    struct packed pack;
};

static void pack_b(struct sphere *me, void *arg)
{
    struct product *p = arg;
    matmul_pack(me, &p->pack, p->b, p->n, 1);
}

static void multiply(struct sphere *me, void *arg)
{
    struct product *p = arg;
    struct share rows = sphere_share(me, p->m);
    if (rows.end > rows.begin)
        matmul_rows(me, p->c + rows.begin * p->n, p->n, p->a + rows.begin * p->k, p->k, rows.end - rows.begin, &p->pack,
                    NULL, NULL, 0);
}

static enum status bench_product(size_t m, size_t n, size_t k, const char *name, int threads, size_t repeat, bool csv,
                                 struct error *err)
{
    struct product p = {.m = m, .n = n, .k = k};
    size_t floats_a, floats_b, floats_c;
    struct team *team = NULL;
    enum status status = STATUS_OK;
    double ms[BENCH_MAX_REPEAT];
    if (!size_mul(m, k, &floats_a) || !size_mul(k, n, &floats_b) || !size_mul(m, n, &floats_c))
        return error_set(err, STATUS_CONFIG, "a product of %zu x %zu x %zu is more than sizes can count", m, n, k);
    size_t packed_size = packed_bytes(k, n);
    p.a = mem_calloc(floats_a, sizeof(float));
    p.b = mem_calloc(floats_b, sizeof(float));
    p.c = mem_calloc(floats_c, sizeof(float));
    p.packed = mem_map(packed_size);
    p.pack = (struct packed){.data = p.packed, .k = k, .n = n};
    if (!p.a || !p.b || !p.c || !p.packed)
        status = error_set(err, STATUS_NOMEM, "no memory for a product of %zu x %zu x %zu", m, n, k);
    struct team_options options = {.num_spheres = threads, .backend = TEAM_PTHREAD, .scratch_bytes = 1 << 24};
    if (status == STATUS_OK && !(team = team_new(&options, err)))
        status = err->status;
    if (status == STATUS_OK) {
        for (size_t i = 0; i < floats_a; i++)
            p.a[i] = (float)(i % 17) - 8.0f;
        for (size_t i = 0; i < floats_b; i++)
            p.b[i] = (float)(i % 13) - 6.0f;
        team_run(team, team_size(team), pack_b, &p);
        team_run(team, team_size(team), multiply, &p);
        for (size_t i = 0; i < repeat; i++) {
            uint64_t start = clock_now_ns();
            team_run(team, team_size(team), multiply, &p);
            ms[i] = 1e-6 * (double)(clock_now_ns() - start);
        }
        double took = bench_median(ms, repeat), gflops = 2e-6 * (double)m * (double)n * (double)k / took;
        printf(csv ? "%s,%s,%s,%d,%zu,%zu,%zu,%.4f,%.1f\n"
                   : "%.0s%.0s%-20s %7d  %6zu %6zu %6zu  %10.3f ms  %8.1f GFLOP/s\n",
               CLLM_VERSION, bench_isa(), name, team_size(team), m, n, k, took, gflops);
        fflush(stdout);
    }
    team_free(team);
    if (p.packed)
        mem_unmap(p.packed, packed_size);
    mem_free(p.c);
    mem_free(p.b);
    mem_free(p.a);
    return status;
}

/* Lines "M N K name"; '#' begins a comment. */
static enum status bench_shapes(const char *path, int threads, size_t repeat, bool csv, struct error *err)
{
    struct buffer text = {0};
    enum status status = file_read(path, 1 << 20, &text, err);
    int number = 0;
    for (char *line = text.data; status == STATUS_OK && line && *line;) {
        char *end = strchr(line, '\n'), name[64] = "";
        size_t m, n, k;
        if (end)
            *end = '\0';
        number++;
        line += strspn(line, " \t\r");
        if (*line && *line != '#') {
            if (sscanf(line, "%zu %zu %zu %63s", &m, &n, &k, name) < 3 || m < 1 || n < 1 || k < 1)
                status =
                    error_set(err, STATUS_FORMAT, "%s:%d: 'M N K name' is wanted, not '%.60s'", path, number, line);
            else
                status = bench_product(m, n, k, name, threads, repeat, csv, err);
        }
        line = end ? end + 1 : NULL;
    }
    buffer_release(&text);
    return status;
}

int bench_matmul(int argc, char **argv)
{
    const char *shape = NULL, *shapes = NULL;
    int threads = 0;
    size_t repeat = 5;
    bool csv = false;
    struct option_def options[] = {
        OPT_TEXT("shape", "M,N,K", &shape, "one shape (4096,2304,768)"),
        OPT_TEXT("shapes", "FILE", &shapes, "a file of lines 'M N K name'"),
        OPT_INT("threads", &threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_SIZE("repeat", &repeat, 1, BENCH_MAX_REPEAT, "products timed (5)"),
        OPT_FLAG("csv", &csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    struct bench_list mnk;
    size_t found = 0;
    int code = options_parse(argc, argv, options, &matmul_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    enum status status = bench_parse_list("shape", shape ? shape : "4096,2304,768", 1, 1 << 28, &mnk, &err);
    if (status != STATUS_OK || mnk.n != 3) {
        command_say("bench matmul", "--shape wants M,N,K, three whole numbers, not '%s'", shape);
        return EXIT_CODE_USAGE;
    }
    if (csv)
        printf("version,isa,name,threads,m,n,k,ms,gflops\n");
    if (shapes)
        status = bench_shapes(shapes, threads, repeat, csv, &err);
    else
        status = bench_product((size_t)mnk.value[0], (size_t)mnk.value[1], (size_t)mnk.value[2], "product", threads,
                               repeat, csv, &err);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed("bench matmul", &err);
}
