/* SPDX-License-Identifier: MIT
 * app/bench_matmul.c - `cllm bench matmul`: matrix products of given shapes, as a share of the machine's peak and beside
 * other libraries where the build has them (`make cllm-bench`).
 *
 * All contenders make a product in turn, go by go, on the same operands; each one's time is the median of its goes, and some
 * elements of what it made are compared with sums in double.
 */
#include "app/bench.h"
#include "app/bench_gemm.h"
#include "app/command.h"
#include "app/options.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "runtime/team.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct option_usage matmul_usage = {
    .command = "bench matmul",
    .synopsis = "cllm bench matmul [options]",
    .summary =
        "GFLOP/s of matrix products in f32 and in bf16, and their share of what the units can do. C [M,N] = A [M,K] B "
        "[K,N] with B a weight packed beforehand as a step has it; a shape whose name ends in .dw is the gradient of a "
        "matrix, C = A' B with A [K,M] and B [K,N], where packing counts.",
    .examples = "  cllm bench matmul --shape 4096,2304,768\n"
                "  cllm bench matmul --shapes data/gemm_shapes.txt --only gpt2.fc --threads 1,2\n"
                "  cllm bench matmul --shapes data/gemm_shapes.txt --dtype bf16 --csv\n",
};

enum { MAX_CONTENDERS = 8, MAX_GOES = 1000, SAMPLES = 24, PAUSE_NS = 10000000 };

struct tally { /* of one dtype and one number of spheres, over the shapes */
    double log_share, log_ratio[MAX_CONTENDERS], log_best, worst;
    char worst_name[64];
    size_t shapes, ratios[MAX_CONTENDERS], bests;
};

struct matmul_bench {
    struct bench_list threads;
    const char *dtype, *only;
    double seconds;
    size_t goes;
    bool csv;
    struct gemm_contender who[MAX_CONTENDERS]; /* ours first, those wanted alone */
    size_t num_who;
    double peak[BENCH_MAX_LIST][2];
    struct tally tally[BENCH_MAX_LIST][2];
};

/* ---- one product ---- */

static void fill(float *x, bf16 *x16, size_t n, uint32_t seed)
{
    uint32_t s = seed;
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x16[i] = bf16_of_f32((float)(int32_t)s * 0x1p-31f);
        x[i] = f32_of_bf16(x16[i]); /* the same numbers for all */
    }
}

static void release_case(struct gemm_case *c)
{
    const size_t a = c->m * c->k, b = c->k * c->n;
    if (c->a)
        mem_unmap(c->a, a * sizeof *c->a);
    if (c->b)
        mem_unmap(c->b, b * sizeof *c->b);
    if (c->c)
        mem_unmap(c->c, c->m * c->n * sizeof *c->c);
    if (c->a16)
        mem_unmap(c->a16, a * sizeof *c->a16);
    if (c->b16)
        mem_unmap(c->b16, b * sizeof *c->b16);
}

static enum status make_case(struct gemm_case *c, struct error *err)
{
    size_t a, b, out, bytes;
    if (!size_mul(c->m, c->k, &a) || !size_mul(c->k, c->n, &b) || !size_mul(c->m, c->n, &out) ||
        !size_mul(a, sizeof(float), &bytes) || !size_mul(b, sizeof(float), &bytes) ||
        !size_mul(out, sizeof(float), &bytes))
        return error_set(err, STATUS_CONFIG, "a product of %zu x %zu x %zu is more than sizes can count", c->m, c->n,
                         c->k);
    c->a = mem_map(a * sizeof *c->a);
    c->b = mem_map(b * sizeof *c->b);
    c->c = mem_map(out * sizeof *c->c);
    c->a16 = mem_map(a * sizeof *c->a16);
    c->b16 = mem_map(b * sizeof *c->b16);
    if (!c->a || !c->b || !c->c || !c->a16 || !c->b16) {
        release_case(c);
        return error_set(err, STATUS_NOMEM, "no memory for a product of %zu x %zu x %zu", c->m, c->n, c->k);
    }
    fill(c->a, c->a16, a, 1);
    fill(c->b, c->b16, b, 2);
    return STATUS_OK;
}

/* Some elements, the last of all among them, against sums in double. */
static enum status check_result(const struct gemm_case *c, const char *who, struct error *err)
{
    for (size_t s = 0; s < SAMPLES; s++) {
        const size_t i = s == 0 ? c->m - 1 : s * 7919 % c->m, j = s == 0 ? c->n - 1 : s * 104729 % c->n;
        double want = 0, size = 0;
        for (size_t p = 0; p < c->k; p++) {
            const double t = (double)c->a[c->gradient ? p * c->m + i : i * c->k + p] * (double)c->b[p * c->n + j];
            want += t;
            size += fabs(t);
        }
        const double got = (double)c->c[i * c->n + j];
        if (!(fabs(got - want) <= 0x1p-24 * (double)(c->k + 2) * size))
            return error_set(err, STATUS_NONFINITE, "%s of %s: element %zu,%zu is %g, should be %g", c->name, who, i, j,
                             got, want);
    }
    return STATUS_OK;
}

/* One that was asked for a product. */
struct asked {
    const struct gemm_contender *who;
    void *self; /* NULL: a library that does not make such a product here */
    double each[MAX_GOES];
};

/* Ready and checked.  What a library refuses is left out; we ourselves may not fail. */
static enum status ask(struct asked *a, const struct gemm_contender *who, struct gemm_case *c, int threads,
                       struct error *err)
{
    a->who = who;
    memset(c->c, 0xff, c->m * c->n * sizeof *c->c); /* NaN: nobody inherits a result */
    a->self = who->prepare(c, threads, err);
    if (!a->self)
        return who->peer && err->status == STATUS_SYSTEM ? STATUS_OK : err->status;
    who->run(a->self);
    return check_result(c, who->name, err);
}

/* All in turn, so that what else the machine does meets all alike.  Before each there is a pause, for the threads of a library
 * spin for some milliseconds after its product.  ms: medians, 0 for who was left out. */
static enum status time_product(const struct matmul_bench *b, struct gemm_case *c, int threads, double *ms,
                                struct error *err)
{
    struct asked *asked = mem_calloc(b->num_who, sizeof *asked);
    if (!asked)
        return error_set(err, STATUS_NOMEM, "no memory for the times of a product");
    enum status status = STATUS_OK;
    for (size_t w = 0; status == STATUS_OK && w < b->num_who; w++)
        status = ask(&asked[w], &b->who[w], c, threads, err);
    size_t n = 0;
    for (double total = 0; status == STATUS_OK && n < b->goes && (n < 3 || total < 1e3 * b->seconds); n++) {
        double longest = 0;
        for (size_t w = 0; w < b->num_who; w++) {
            if (!asked[w].self)
                continue;
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
            const uint64_t start = clock_now_ns();
            asked[w].who->run(asked[w].self);
            asked[w].each[n] = 1e-6 * (double)(clock_now_ns() - start);
            longest = asked[w].each[n] > longest ? asked[w].each[n] : longest;
        }
        total += longest;
    }
    for (size_t w = 0; w < b->num_who; w++) {
        if (asked[w].self)
            asked[w].who->finish(asked[w].self);
        ms[w] = asked[w].self && status == STATUS_OK ? bench_median(asked[w].each, n) : 0;
    }
    mem_free(asked);
    return status;
}

/* ---- lines and sums ---- */

static void print_csv(const struct matmul_bench *b, const struct gemm_case *c, size_t t, size_t w, double ms)
{
    const bool bf16_operands = b->who[w].bf16_operands;
    const double gflops = 2e-6 * (double)c->m * (double)c->n * (double)c->k / ms;
    printf("%s,%s,%s,%d,%zu,%zu,%zu,%s,%s,%.4f,%.1f,%.4f\n", CLLM_VERSION, bench_isa(), c->name,
           (int)b->threads.value[t], c->m, c->n, c->k, bf16_operands ? "bf16" : "f32", b->who[w].name, ms, gflops,
           gflops / b->peak[t][bf16_operands]);
}

/* One dtype's line of the table, and its part in the sums. */
static void print_dtype(struct matmul_bench *b, const struct gemm_case *c, size_t t, bool bf16_operands,
                        const double *ms)
{
    const double flops = 2 * (double)c->m * (double)c->n * (double)c->k;
    struct tally *tally = &b->tally[t][bf16_operands];
    double ours = 0, best = 0;
    for (size_t w = 0; w < b->num_who; w++) {
        if (b->who[w].bf16_operands != bf16_operands)
            continue;
        if (!(ms[w] > 0)) {
            if (!b->csv)
                printf("   %s %8s %5s ", b->who[w].name, "-", "-");
            continue;
        }
        const double gflops = 1e-6 * flops / ms[w];
        if (!b->who[w].peer) {
            ours = ms[w];
            tally->log_share += log(gflops / b->peak[t][bf16_operands]);
            if (!b->csv)
                printf("%-20s %6zu %6zu %6zu %7d  %-4s  %8.1f  %4.0f%%", c->name, c->m, c->n, c->k,
                       (int)b->threads.value[t], bf16_operands ? "bf16" : "f32", gflops,
                       100 * gflops / b->peak[t][bf16_operands]);
        } else {
            tally->log_ratio[w] += log(ms[w] / ours);
            tally->ratios[w]++;
            best = best > 0 && best < ms[w] ? best : ms[w];
            if (!b->csv)
                printf("   %s %8.1f %5.2fx", b->who[w].name, gflops, ms[w] / ours);
        }
        if (b->csv)
            print_csv(b, c, t, w, ms[w]);
    }
    if (!b->csv)
        printf("\n");
    fflush(stdout);
    if (best > 0) {
        tally->log_best += log(best / ours);
        if (tally->bests++ == 0 || best / ours < tally->worst) {
            tally->worst = best / ours;
            snprintf(tally->worst_name, sizeof tally->worst_name, "%s", c->name);
        }
    }
    tally->shapes++;
}

static void print_sums(const struct matmul_bench *b)
{
    for (size_t t = 0; t < b->threads.n; t++)
        for (int d = 0; d < 2; d++) {
            const struct tally *y = &b->tally[t][d];
            const double n = (double)y->shapes;
            if (y->shapes < 2)
                continue;
            printf("geometric mean of %zu, %s, %d sphere%s: %.0f%% of %.1f GFLOP/s", y->shapes, d ? "bf16" : "f32",
                   (int)b->threads.value[t], b->threads.value[t] == 1 ? "" : "s", 100 * exp(y->log_share / n),
                   b->peak[t][d]);
            size_t peers = 0;
            for (size_t w = 0; w < b->num_who; w++)
                if (y->ratios[w] > 0) {
                    printf("; %.2fx %s", exp(y->log_ratio[w] / (double)y->ratios[w]), b->who[w].name);
                    peers++;
                }
            if (peers > 1)
                printf("; %.2fx the better one", exp(y->log_best / (double)y->bests));
            if (peers)
                printf("; least %.2fx (%s)", y->worst, y->worst_name);
            printf("\n");
        }
}

static enum status bench_shape(struct matmul_bench *b, struct gemm_case *c, struct error *err)
{
    if (b->only && !strstr(c->name, b->only))
        return STATUS_OK;
    const size_t length = strlen(c->name);
    c->gradient = length > 3 && strcmp(c->name + length - 3, ".dw") == 0;
    enum status status = make_case(c, err);
    if (status != STATUS_OK)
        return status;
    for (size_t t = 0; status == STATUS_OK && t < b->threads.n; t++) {
        double ms[MAX_CONTENDERS] = {0};
        status = time_product(b, c, (int)b->threads.value[t], ms, err);
        for (int d = 0; status == STATUS_OK && d < 2; d++)
            if (strcmp(b->dtype, d ? "f32" : "bf16") != 0)
                print_dtype(b, c, t, d == 1, ms);
    }
    release_case(c);
    return status;
}

/* Lines "M N K name"; '#' begins a comment. */
static enum status bench_shapes(struct matmul_bench *b, const char *path, struct error *err)
{
    struct buffer text = {0};
    enum status status = file_read(path, 1 << 20, &text, err);
    int number = 0;
    for (char *line = text.data; status == STATUS_OK && line && *line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        number++;
        line += strspn(line, " \t\r");
        if (*line && *line != '#') {
            struct gemm_case c = {0};
            if (sscanf(line, "%zu %zu %zu %63s", &c.m, &c.n, &c.k, c.name) < 3 || c.m < 1 || c.n < 1 || c.k < 1)
                status =
                    error_set(err, STATUS_FORMAT, "%s:%d: 'M N K name' is wanted, not '%.60s'", path, number, line);
            else
                status = bench_shape(b, &c, err);
        }
        line = end ? end + 1 : NULL;
    }
    buffer_release(&text);
    return status;
}

/* ---- the command ---- */

static void choose_contenders(struct matmul_bench *b)
{
    for (size_t i = 0; i < 2 + bench_gemm_num_peers; i++) {
        const struct gemm_contender *who = i < 2 ? &bench_gemm_ours[i] : &bench_gemm_peers[i - 2];
        if (strcmp(b->dtype, who->bf16_operands ? "f32" : "bf16") != 0 && b->num_who < MAX_CONTENDERS)
            b->who[b->num_who++] = *who;
    }
}

static enum status measure_peaks(struct matmul_bench *b, struct error *err)
{
    for (size_t t = 0; t < b->threads.n; t++) {
        struct team_options options = {.num_spheres = (int)b->threads.value[t], .backend = TEAM_PTHREAD};
        struct team *team = team_new(&options, err);
        if (!team)
            return err->status;
        for (int d = 0; d < 2; d++)
            b->peak[t][d] = bench_peak_gflops(team, d == 1);
        team_free(team);
    }
    return STATUS_OK;
}

int bench_matmul(int argc, char **argv)
{
    static const char *const dtypes[] = {"f32", "bf16", "both", NULL};
    char all[32];
    bench_default_threads(all, sizeof all);
    struct matmul_bench b = {.dtype = "both", .seconds = 0.2, .goes = 20};
    const char *shape = NULL, *shapes = NULL, *threads = all;
    struct option_def options[] = {
        OPT_TEXT("shape", "M,N,K", &shape, "one shape (4096,2304,768)"),
        OPT_TEXT("shapes", "FILE", &shapes, "a file of lines 'M N K name'"),
        OPT_TEXT("only", "TEXT", &b.only, "of those the ones with TEXT in their names"),
        OPT_CHOICE("dtype", &b.dtype, dtypes, "f32, bf16 or both (both)"),
        OPT_TEXT("threads", "LIST", &threads, "numbers of spheres (1, and all)"),
        OPT_REAL("seconds", &b.seconds, 0, 60, "of goes for each product, three goes at least (0.2)"),
        OPT_SIZE("repeat", &b.goes, 1, MAX_GOES, "goes at most (20)"),
        OPT_FLAG("csv", &b.csv, "as CSV"),
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
    if (bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err) != STATUS_OK) {
        command_say("bench matmul", "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    choose_contenders(&b);
    status = measure_peaks(&b, &err);
    if (status == STATUS_OK && b.csv)
        printf("version,isa,name,threads,m,n,k,dtype,who,ms,gflops,share_of_peak\n");
    else if (status == STATUS_OK)
        printf("%s; %s\nname                      M      N      K spheres  dtype  GFLOP/s  peak\n", bench_isa(),
               bench_gemm_peers_line());
    if (status == STATUS_OK && shapes) {
        status = bench_shapes(&b, shapes, &err);
    } else if (status == STATUS_OK) {
        struct gemm_case c = {
            .name = "product", .m = (size_t)mnk.value[0], .n = (size_t)mnk.value[1], .k = (size_t)mnk.value[2]};
        status = bench_shape(&b, &c, &err);
    }
    if (status == STATUS_OK && !b.csv)
        print_sums(&b);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed("bench matmul", &err);
}
