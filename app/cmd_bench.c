/* SPDX-License-Identifier: MIT
 * app/cmd_bench.c - `cllm bench step | barrier | matmul`: how fast it is here.
 */
#include "app/bench_peer.h"
#include "app/command.h"
#include "app/options.h"
#include "app/settings_flags.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "model/decoder.h"
#include "ops/matmul.h"
#include "runtime/team.h"
#include "topology/isa.h"
#include "topology/topology.h"
#include "train/threaded_training.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST = 32, MAX_REPEAT = 1000 };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* "1,2,16" */
struct list {
    size_t n;
    uint64_t value[MAX_LIST];
};

static enum status parse_list(const char *flag, const char *text, uint64_t min, uint64_t max, struct list *list,
                              struct error *err)
{
    list->n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        uint64_t value = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || errno || value < min || value > max || list->n == MAX_LIST ||
            (*end != ',' && *end != '\0'))
            return error_set(err, STATUS_CONFIG,
                             "--%s wants whole numbers from %" PRIu64 " to %" PRIu64 " with commas between, not '%s'",
                             flag, min, max, text);
        list->value[list->n++] = value;
        if (*end == '\0')
            return STATUS_OK;
        at = end;
    }
}

static const char *chosen_isa(void)
{
    enum isa isa;
    return isa_choose(&isa, NULL) == STATUS_OK ? isa_name(isa) : "?";
}

/* 1, and as many as there are cores. */
static void default_threads(char *text, size_t size)
{
    struct topology topology;
    topology_read(&topology);
    int n = topology_auto_spheres(&topology);
    if (n > 1)
        snprintf(text, size, "1,%d", n);
    else
        snprintf(text, size, "1");
}

/* ---- step ---- */

static const struct option_usage step_usage = {
    .command = "bench step",
    .synopsis = "cllm bench step [options]",
    .summary =
        "Tokens per second of whole training steps on random tokens: pack, forward, backward, norm, update. The median "
        "of "
        "--repeat steps after one that warms up. With --peer a trainer that reads and prints what llm.c's train_gpt2 "
        "does is timed beside it, in the same shapes.",
    .examples = "  cllm bench step\n"
                "  cllm bench step --preset gpt2 --batch-size 4 --seq-len 256,1024 --threads 1,2\n"
                "  cllm bench step --seq-len 64 --peer ../llm.c/train_gpt2 --repeat 5\n"
                "  cllm bench step --preset shakespeare-char-cpu --vocab-size 65 --batch-size 12 --seq-len 64 --csv\n",
};

struct step_bench {
    struct settings_flags flags;
    struct list threads, seq_lens;
    size_t repeat;
    const char *peer;
    bool csv;
    char scratch[256];
};

struct step_figures {
    double ms, peer_ms, wait_share;
};

static enum status write_random_tokens(const char *path, size_t n, size_t vocab, struct error *err)
{
    enum { CHUNK = 4096 };
    int32_t ids[CHUNK];
    struct token_writer *writer = token_writer_open(path, vocab > 65536 ? 4 : 2, err);
    enum status status = writer ? STATUS_OK : err->status;
    for (size_t at = 0; status == STATUS_OK && at < n; at += CHUNK) {
        size_t now = n - at < CHUNK ? n - at : CHUNK;
        for (size_t i = 0; i < now; i++)
            ids[i] = (int32_t)(philox4x32(7, 0, at + i).word[0] % vocab);
        status = token_writer_append(writer, ids, now, err);
    }
    if (status == STATUS_OK)
        return token_writer_commit(writer, err);
    token_writer_abort(writer);
    return status;
}

static double share_of_waiting(struct threaded_training *system)
{
    uint64_t compute = 0, wait = 0;
    for (int i = 0; i < threaded_training_width(system); i++) {
        struct sphere_stats stats;
        if (threaded_training_get_sphere_stats(system, i, &stats) == STATUS_OK) {
            compute += stats.compute_ns;
            wait += stats.wait_ns;
        }
    }
    return compute + wait ? (double)wait / (double)(compute + wait) : 0;
}

static enum status time_steps(struct training *training, struct batch_iterator *iterator, int threads, size_t repeat,
                              struct step_figures *out, struct error *err)
{
    struct threaded_training *system = threaded_training_create_with(training, iterator, threads, TEAM_PTHREAD, err);
    if (!system)
        return err->status;
    double ms[MAX_REPEAT];
    enum status status = threaded_train_step(system);
    for (size_t i = 0; status == STATUS_OK && i < repeat; i++) {
        uint64_t start = clock_now_ns();
        status = threaded_train_step(system);
        ms[i] = 1e-6 * (double)(clock_now_ns() - start);
    }
    if (status != STATUS_OK)
        error_set(err, status, "%s", threaded_training_error(system));
    else
        out->ms = median(ms, repeat);
    out->wait_share = share_of_waiting(system);
    threaded_training_free(system);
    return status;
}

static void print_step(const struct step_bench *b, size_t seq_len, int threads, const struct step_figures *f)
{
    const struct train_settings *s = &b->flags.settings;
    double tokens = (double)(s->batch_size * seq_len);
    double gflops = 1e-6 * decoder_train_flops_per_token(&s->model, seq_len) * tokens / f->ms;
    if (b->csv) {
        printf("%s,%s,%s,%zu,%zu,%zu,%d,%.3f,%.1f,%.1f,%.4f", CLLM_VERSION, chosen_isa(), s->preset, s->batch_size,
               s->micro_batch, seq_len, threads, f->ms, 1e3 * tokens / f->ms, gflops, f->wait_share);
        if (b->peer)
            printf(",%.3f,%.1f,%.4f", f->peer_ms, 1e3 * tokens / f->peer_ms, f->peer_ms / f->ms);
        printf("\n");
    } else {
        printf("%5zu  %7d  %11.1f  %10.0f  %8.1f  %4.0f%%", seq_len, threads, f->ms, 1e3 * tokens / f->ms, gflops,
               100 * f->wait_share);
        if (b->peer)
            printf("  %11.1f  %10.0f  %9.2f", f->peer_ms, 1e3 * tokens / f->peer_ms, f->peer_ms / f->ms);
        printf("\n");
    }
    fflush(stdout);
}

static enum status bench_length(struct step_bench *b, size_t seq_len, struct error *err)
{
    struct train_settings s = b->flags.settings;
    s.seq_len = seq_len;
    s.val_fraction = 0;
    s.steps = 1000000;
    if (seq_len > s.model.n_positions)
        s.model.n_positions = seq_len;
    struct buffer path = {0};
    path_join(&path, b->scratch, "tokens.bin");
    struct tokens *tokens = NULL;
    struct batch_iterator *iterator = NULL;
    struct training *training = NULL;
    struct batch_options options = {.seq_len = seq_len, .batch_size = s.batch_size, .seed = s.seed};
    const char *file = path.data;
    enum status status = train_settings_check(&s, err);
    if (status == STATUS_OK)
        status = write_random_tokens(file, (4 * s.batch_size + 1) * seq_len + 1, s.model.vocab_size, err);
    if (status == STATUS_OK && (!(tokens = tokens_open(&file, 1, err)) ||
                                !(iterator = batch_iterator_create(tokens, &options, err)) ||
                                !(training = training_create(&s, err))))
        status = err->status;
    for (size_t i = 0; status == STATUS_OK && i < b->threads.n; i++) {
        struct step_figures figures = {0};
        int threads = (int)b->threads.value[i];
        status = time_steps(training, iterator, threads, b->repeat, &figures, err);
        double ms[MAX_REPEAT];
        if (status == STATUS_OK && b->peer) {
            status = bench_peer_run(b->peer, b->scratch, threads, s.batch_size * seq_len, b->repeat, ms, err);
            if (status == STATUS_OK)
                figures.peer_ms = median(ms, b->repeat);
        }
        if (status == STATUS_OK)
            print_step(b, seq_len, threads, &figures);
    }
    training_free(training);
    batch_iterator_free(iterator);
    tokens_close(tokens);
    buffer_release(&path);
    return status;
}

static enum status make_scratch(char *path, size_t size, struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(path, size, "%s/cllm-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= size || !mkdtemp(path)) {
        path[0] = '\0';
        return error_set(err, STATUS_IO, "no scratch directory below %s: %s", tmp && *tmp ? tmp : "/tmp",
                         strerror(errno));
    }
    return STATUS_OK;
}

static enum status bench_steps(struct step_bench *b, struct error *err)
{
    enum status status = make_scratch(b->scratch, sizeof b->scratch, err);
    if (status != STATUS_OK)
        return status;
    struct model_config config = b->flags.settings.model;
    for (size_t i = 0; i < b->seq_lens.n; i++)
        if (config.n_positions < b->seq_lens.value[i])
            config.n_positions = b->seq_lens.value[i];
    if (b->peer)
        status = bench_peer_prepare(b->scratch, &config, err);
    const struct train_settings *s = &b->flags.settings;
    if (status == STATUS_OK && b->csv)
        printf(
            "version,isa,preset,batch_size,micro_batch,seq_len,threads,ms_per_step,tokens_per_s,gflops,wait_share%s\n",
            b->peer ? ",peer_ms_per_step,peer_tokens_per_s,ratio" : "");
    else if (status == STATUS_OK)
        printf("%s, %" PRIu64 " parameters, batch %zu in micro-batches of %zu, %s, median of %zu steps\n"
               "    T  threads  ms per step    tokens/s   GFLOP/s   wait%s\n",
               s->preset[0] ? s->preset : "model", model_config_num_parameters(&s->model), s->batch_size,
               s->micro_batch, chosen_isa(), b->repeat, b->peer ? "    peer's ms    tokens/s  ours/peer" : "");
    for (size_t i = 0; status == STATUS_OK && i < b->seq_lens.n; i++)
        status = bench_length(b, (size_t)b->seq_lens.value[i], err);
    struct error ignored;
    file_remove_tree(b->scratch, &ignored);
    return status;
}

static int bench_step(int argc, char **argv)
{
    char all[32];
    default_threads(all, sizeof all);
    struct step_bench b = {.repeat = 5};
    struct train_settings *s = &b.flags.settings;
    const char *threads = all, *seq_lens = NULL;
    struct option_def options[] = {
        SETTINGS_MODEL_FLAGS(&b.flags),
        OPT_SIZE("batch-size", &s->batch_size, 1, 1 << 20, "sequences per step (4)"),
        OPT_SIZE("micro-batch", &s->micro_batch, 1, 1 << 20, "sequences computed together; without it the whole batch"),
        OPT_TEXT("seq-len", "LIST", &seq_lens,
                 "tokens per sequence, one or more (256,1024 for gpt2, else the preset's)"),
        OPT_TEXT("threads", "LIST", &threads, "numbers of spheres (1, and all)"),
        OPT_SIZE("repeat", &b.repeat, 1, MAX_REPEAT, "steps timed (5)"),
        OPT_TEXT("peer", "CMD", &b.peer,
                 "a trainer to run beside ours, such as llm.c's train_gpt2 built with the same B and T; it must print "
                 "line by "
                 "line into a pipe, as under `stdbuf -oL`"),
        OPT_FLAG("csv", &b.csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &step_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (!b.flags.preset && !b.flags.config)
        b.flags.preset = "gpt2";
    enum status status = settings_flags_base(&b.flags, &err);
    char length[24];
    bool gpt2 = b.flags.preset && strcmp(b.flags.preset, "gpt2") == 0;
    snprintf(length, sizeof length, "%zu", s->seq_len);
    if (gpt2)
        s->batch_size = 4;
    s->micro_batch = 0;
    if (status == STATUS_OK && options_parse(argc, argv, options, &step_usage, NULL, 0, &found) == OPTIONS_GO_ON)
        status = STATUS_OK;
    if (status == STATUS_OK) {
        b.flags.base.micro_batch = b.flags.base.batch_size; /* alone, a batch is one micro-batch */
        if (s->micro_batch == 0)
            s->micro_batch = s->batch_size;
        status = settings_flags_finish(&b.flags, options, &err);
    }
    if (status == STATUS_OK && s->model.vocab_size == 0)
        s->model.vocab_size = 257;
    if (status == STATUS_OK)
        status = parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err);
    if (status == STATUS_OK)
        status = parse_list("seq-len", seq_lens ? seq_lens : gpt2 ? "256,1024" : length, 1, 1 << 24, &b.seq_lens, &err);
    if (status != STATUS_OK) {
        command_say("bench step", "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    status = bench_steps(&b, &err);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed("bench step", &err);
}

/* ---- barrier ---- */

static const struct option_usage barrier_usage = {
    .command = "bench barrier",
    .synopsis = "cllm bench barrier [options]",
    .summary =
        "Nanoseconds of one crossing of the 12-ary barrier, and of an empty run of a whole team (waking it and waiting "
        "for "
        "it), for the pthread and the OpenMP back end. OpenMP's run is a parallel region of its own, with its own "
        "barrier at the end; its spheres then cross ours.",
    .examples = "  cllm bench barrier\n"
                "  cllm bench barrier --spheres 2,12,144 --csv\n",
};

struct crossings {
    size_t n;
    double seconds;
};

static void cross(struct sphere *me, void *arg)
{
    struct crossings *c = arg;
    sphere_barrier(me); /* all are awake */
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < c->n; i++)
        sphere_barrier(me);
    if (me->id == 0)
        c->seconds = 1e-9 * (double)(clock_now_ns() - start);
}

static void nothing(struct sphere *me, void *arg)
{
    (void)me;
    (void)arg;
}

/* So many that they take about a fifth of a second, from the time of three. */
static size_t enough(double seconds_of_three)
{
    double n = 0.6 / (seconds_of_three > 1e-9 ? seconds_of_three : 1e-9);
    return n < 3 ? 3 : n > 200000 ? 200000 : (size_t)n;
}

static enum status time_barrier(enum team_backend backend, int n, double *crossing_ns, double *run_ns,
                                struct error *err)
{
    struct team_options options = {.num_spheres = n, .backend = backend};
    struct team *team = team_new(&options, err);
    if (!team)
        return err->status;
    struct crossings c = {.n = 3};
    enum status status = team_run(team, n, cross, &c);
    c.n = enough(c.seconds);
    if (status == STATUS_OK)
        status = team_run(team, n, cross, &c);
    *crossing_ns = 1e9 * c.seconds / (double)c.n;
    uint64_t start = clock_now_ns();
    for (int i = 0; status == STATUS_OK && i < 3; i++)
        status = team_run(team, n, nothing, NULL);
    size_t runs = enough(1e-9 * (double)(clock_now_ns() - start));
    start = clock_now_ns();
    for (size_t i = 0; status == STATUS_OK && i < runs; i++)
        status = team_run(team, n, nothing, NULL);
    *run_ns = (double)(clock_now_ns() - start) / (double)runs;
    team_free(team);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "a team of %d: %s", n, status_text(status));
}

static int bench_barrier(int argc, char **argv)
{
    const char *spheres = "2,16,157,1741";
    bool csv = false;
    struct option_def options[] = {
        OPT_TEXT("spheres", "LIST", &spheres, "sizes of teams (2,16,157,1741)"),
        OPT_FLAG("csv", &csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    struct list sizes;
    size_t found = 0;
    int code = options_parse(argc, argv, options, &barrier_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (parse_list("spheres", spheres, 1, SPHERES_MAX, &sizes, &err) != STATUS_OK) {
        command_say("bench barrier", "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    printf(csv ? "version,spheres,backend,crossing_ns,run_ns\n" : "spheres  back end   crossing       empty run\n");
    for (size_t i = 0; i < sizes.n; i++)
        for (int backend = TEAM_PTHREAD; backend <= TEAM_OPENMP; backend++) {
            double crossing = 0, run = 0;
            int n = (int)sizes.value[i];
            const char *name = team_backend_name((enum team_backend)backend);
            if (time_barrier((enum team_backend)backend, n, &crossing, &run, &err) != STATUS_OK)
                return command_failed("bench barrier", &err);
            if (csv)
                printf("%s,%d,%s,%.0f,%.0f\n", CLLM_VERSION, n, name, crossing, run);
            else
                printf("%7d  %-8s  %9.2f us  %11.2f us\n", n, name, 1e-3 * crossing, 1e-3 * run);
            fflush(stdout);
        }
    return EXIT_CODE_OK;
}

/* ---- matmul ---- */

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
    double ms[MAX_REPEAT];
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
        double took = median(ms, repeat), gflops = 2e-6 * (double)m * (double)n * (double)k / took;
        printf(csv ? "%s,%s,%s,%d,%zu,%zu,%zu,%.4f,%.1f\n"
                   : "%.0s%.0s%-20s %7d  %6zu %6zu %6zu  %10.3f ms  %8.1f GFLOP/s\n",
               CLLM_VERSION, chosen_isa(), name, team_size(team), m, n, k, took, gflops);
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

static int bench_matmul(int argc, char **argv)
{
    const char *shape = NULL, *shapes = NULL;
    int threads = 0;
    size_t repeat = 5;
    bool csv = false;
    struct option_def options[] = {
        OPT_TEXT("shape", "M,N,K", &shape, "one shape (4096,2304,768)"),
        OPT_TEXT("shapes", "FILE", &shapes, "a file of lines 'M N K name'"),
        OPT_INT("threads", &threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_SIZE("repeat", &repeat, 1, MAX_REPEAT, "products timed (5)"),
        OPT_FLAG("csv", &csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    struct list mnk;
    size_t found = 0;
    int code = options_parse(argc, argv, options, &matmul_usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    enum status status = parse_list("shape", shape ? shape : "4096,2304,768", 1, 1 << 28, &mnk, &err);
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

int cmd_bench(int argc, char **argv)
{
    static const struct command benches[] = {
        {"step", bench_step, "whole training steps, beside another trainer when one is given"},
        {"barrier", bench_barrier, "the barrier and the waking of a team"},
        {"matmul", bench_matmul, "matrix products of given shapes"},
    };
    static const char *const names[] = {"step", "barrier", "matmul"};
    const char *word = argc > 1 ? argv[1] : NULL;
    for (size_t i = 0; word && i < 3; i++)
        if (strcmp(word, benches[i].name) == 0)
            return command_finish_output("bench", benches[i].run(argc - 1, argv + 1));
    bool help = word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
    if (word && !help) {
        const char *near = option_nearest(word, names, 3);
        command_say("bench", "unknown bench '%s'; %s%s", word,
                    near ? "did you mean " : "there are step, barrier and matmul", near ? near : "");
        return EXIT_CODE_USAGE;
    }
    FILE *out = help ? stdout : stderr;
    fprintf(out, "usage: cllm bench NAME [options]\n\nMeasures on this machine, as it is loaded now.\n\n");
    for (size_t i = 0; i < 3; i++)
        fprintf(out, "  %-8s %s\n", benches[i].name, benches[i].summary);
    fprintf(out, "\n  --help     this text; `cllm bench NAME --help` tells each one's options\n\nExamples:\n"
                 "  cllm bench step --preset gpt2 --batch-size 4 --seq-len 256\n"
                 "  cllm bench barrier --spheres 2,16\n"
                 "  cllm bench matmul --shape 4096,2304,768\n");
    return help ? command_finish_output("bench", EXIT_CODE_OK) : EXIT_CODE_USAGE;
}
