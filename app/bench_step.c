/* SPDX-License-Identifier: MIT
 * app/bench_step.c - `cllm bench step`: whole training steps, beside another trainer when one is given.
 */
#include "app/bench.h"
#include "app/bench_peer.h"
#include "app/command.h"
#include "app/options.h"
#include "app/random_tokens.h"
#include "app/settings_flags.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/decoder.h"
#include "train/threaded_training.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_usage step_usage = {
    .command = "bench step",
    .synopsis = "cllm bench step [options]",
    .summary =
        "Tokens per second of whole training steps on random tokens: pack, forward, backward, norm, update. The median "
        "of "
        "--repeat steps after one that warms up. --phases adds where their time went. With --peer a trainer that reads and prints what llm.c's train_gpt2 "
        "does is timed beside it, in the same shapes.",
    .examples = "  cllm bench step\n"
                "  cllm bench step --preset gpt2 --batch-size 4 --seq-len 256,1024 --threads 1,2\n"
                "  cllm bench step --phases --seq-len 256 --threads 2\n"
                "  cllm bench step --seq-len 64 --peer ../llm.c/train_gpt2 --repeat 5\n"
                "  cllm bench step --preset shakespeare-char-cpu --vocab-size 65 --batch-size 12 --seq-len 64 --csv\n",
};

struct step_bench {
    struct settings_flags flags;
    struct bench_list threads, seq_lens;
    size_t repeat;
    const char *peer;
    bool csv, phases;
    char scratch[256];
};

struct step_figures {
    double ms, peer_ms, wait_share;
    double barriers; /* a step */
    struct buffer phases; /* their table, or lines of CSV; empty when not asked for */
};

static double share_of_waiting(struct threaded_training *system, size_t steps, double *barriers)
{
    uint64_t compute = 0, wait = 0;
    *barriers = 0;
    for (int i = 0; i < threaded_training_width(system); i++) {
        struct sphere_stats stats;
        if (threaded_training_get_sphere_stats(system, i, &stats) == STATUS_OK) {
            compute += stats.compute_ns;
            wait += stats.wait_ns;
            if (i == 0)
                *barriers = (double)stats.barriers / (double)steps;
        }
    }
    return compute + wait ? (double)wait / (double)(compute + wait) : 0;
}

/* What the units of the dtype do on registers alone, as `cllm bench limits` has it. */
static enum status measure_peak(int threads, enum dtype dtype, double *gflops, struct error *err)
{
    struct team *team = team_new(&(struct team_options){.num_spheres = threads, .backend = TEAM_PTHREAD}, err);
    if (!team)
        return err->status;
    *gflops = bench_peak_gflops(team, dtype == DTYPE_BF16);
    team_free(team);
    return STATUS_OK;
}

/* Version to threads, the columns that both kinds of CSV begin with. */
static void csv_head(const struct train_settings *s, int threads, struct buffer *out)
{
    buffer_printf(out, "%s,%s,%s,%s,%zu,%zu,%zu,%d", CLLM_VERSION, bench_isa(), dtype_name(s->dtype), s->preset,
                  s->batch_size, s->micro_batch, s->seq_len, threads);
}

static void csv_phases(const struct train_settings *s, int threads, const struct step_profile *profile, double peak,
                       struct buffer *out)
{
    struct phase_total phases[PROFILE_MAX_PHASES];
    const int n = step_profile_phases(profile, phases);
    const double sphere_steps = (double)profile->steps * profile->width;
    for (int i = 0; i < n; i++) {
        const double gflops = step_profile_gflops(profile, &phases[i]);
        csv_head(s, threads, out);
        buffer_printf(out, ",\"%s\",%.4f,%.4f,%.4f,%.1f,%.1f,%.4f\n", phases[i].name,
                      1e-6 * (double)phases[i].busy_ns / sphere_steps, step_profile_share(profile, phases[i].busy_ns),
                      1e-6 * (double)phases[i].wait_ns / sphere_steps, (double)phases[i].barriers / sphere_steps,
                      gflops, gflops / peak);
    }
}

static enum status add_phases(const struct step_bench *b, const struct train_settings *s, int threads,
                              const struct step_profile *profile, struct buffer *out, struct error *err)
{
    double peak = 0;
    enum status status = measure_peak(threads, s->dtype, &peak, err);
    if (status != STATUS_OK)
        return status;
    if (b->csv) {
        csv_phases(s, threads, profile, peak, out);
    } else {
        buffer_append_text(out, "\n");
        step_profile_table(profile, peak, false, out);
        buffer_append_text(out, "\n");
    }
    return out->failed ? error_set(err, STATUS_NOMEM, "no memory for the table of phases") : STATUS_OK;
}

static enum status time_steps(const struct step_bench *b, struct training *training, struct batch_iterator *iterator,
                              int threads, struct step_figures *out, struct error *err)
{
    const size_t repeat = b->repeat;
    struct threaded_training *system = threaded_training_create_with(
        training, iterator, &(struct threaded_training_options){.num_threads = threads}, err);
    if (!system)
        return err->status;
    double ms[BENCH_MAX_REPEAT];
    enum status status = b->phases ? threaded_training_profile(system, 1, 0, err) : STATUS_OK;
    if (status != STATUS_OK) {
        threaded_training_free(system);
        return status;
    }
    status = threaded_train_step(system);
    for (size_t i = 0; status == STATUS_OK && i < repeat; i++) {
        uint64_t start = clock_now_ns();
        status = threaded_train_step(system);
        ms[i] = 1e-6 * (double)(clock_now_ns() - start);
    }
    if (status != STATUS_OK)
        error_set(err, status, "%s", threaded_training_error(system));
    else
        out->ms = bench_median(ms, repeat);
    out->wait_share = share_of_waiting(system, repeat + 1, &out->barriers);
    if (status == STATUS_OK && b->phases)
        status = add_phases(b, training_settings(training), threads, threaded_training_profiled(system), &out->phases, err);
    threaded_training_free(system);
    return status;
}

static void print_step(const struct step_bench *b, size_t seq_len, int threads, const struct step_figures *f)
{
    const struct train_settings *s = &b->flags.settings;
    double tokens = (double)(s->batch_size * seq_len);
    double gflops = 1e-6 * decoder_train_flops_per_token(&s->model, seq_len) * tokens / f->ms;
    if (b->csv && b->phases) {
        printf("%s", f->phases.data);
    } else if (b->csv) {
        struct buffer head = {0};
        struct train_settings at = *s;
        at.seq_len = seq_len;
        csv_head(&at, threads, &head);
        printf("%s,%.3f,%.1f,%.1f,%.4f,%.1f", head.data ? head.data : "", f->ms, 1e3 * tokens / f->ms, gflops,
               f->wait_share, f->barriers);
        buffer_release(&head);
        if (b->peer)
            printf(",%.3f,%.1f,%.4f", f->peer_ms, 1e3 * tokens / f->peer_ms, f->peer_ms / f->ms);
        printf("\n");
    } else {
        printf("%5zu  %7d  %11.1f  %10.0f  %8.1f  %4.0f%%  %8.0f", seq_len, threads, f->ms, 1e3 * tokens / f->ms, gflops,
               100 * f->wait_share, f->barriers);
        if (b->peer)
            printf("  %11.1f  %10.0f  %9.2f", f->peer_ms, 1e3 * tokens / f->peer_ms, f->peer_ms / f->ms);
        printf("\n");
        if (f->phases.len)
            printf("%s", f->phases.data);
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
        status = random_tokens_write(file, (4 * s.batch_size + 1) * seq_len + 1, s.model.vocab_size, err);
    if (status == STATUS_OK && (!(tokens = tokens_open(&file, 1, err)) ||
                                !(iterator = batch_iterator_create(tokens, &options, err)) ||
                                !(training = training_create(&s, err))))
        status = err->status;
    for (size_t i = 0; status == STATUS_OK && i < b->threads.n; i++) {
        struct step_figures figures = {0};
        int threads = (int)b->threads.value[i];
        status = time_steps(b, training, iterator, threads, &figures, err);
        double ms[BENCH_MAX_REPEAT];
        if (status == STATUS_OK && b->peer) {
            status = bench_peer_run(b->peer, b->scratch, threads, s.batch_size * seq_len, b->repeat, ms, err);
            if (status == STATUS_OK)
                figures.peer_ms = bench_median(ms, b->repeat);
        }
        if (status == STATUS_OK)
            print_step(b, seq_len, threads, &figures);
        buffer_release(&figures.phases);
    }
    training_free(training);
    batch_iterator_free(iterator);
    tokens_close(tokens);
    buffer_release(&path);
    return status;
}

enum status bench_scratch(char *path, size_t size, struct error *err)
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
    enum status status = bench_scratch(b->scratch, sizeof b->scratch, err);
    if (status != STATUS_OK)
        return status;
    struct model_config config = b->flags.settings.model;
    for (size_t i = 0; i < b->seq_lens.n; i++)
        if (config.n_positions < b->seq_lens.value[i])
            config.n_positions = b->seq_lens.value[i];
    if (b->peer)
        status = bench_peer_prepare(b->scratch, &config, err);
    const struct train_settings *s = &b->flags.settings;
    if (status == STATUS_OK && b->csv && b->phases)
        printf("version,isa,dtype,preset,batch_size,micro_batch,seq_len,threads,phase,ms_per_step,share,wait_ms,barriers,"
               "gflops,share_of_peak\n");
    else if (status == STATUS_OK && b->csv)
        printf("version,isa,dtype,preset,batch_size,micro_batch,seq_len,threads,ms_per_step,tokens_per_s,gflops,wait_share,"
               "barriers_per_step%s\n",
            b->peer ? ",peer_ms_per_step,peer_tokens_per_s,ratio" : "");
    else if (status == STATUS_OK)
        printf("%s, %" PRIu64 " parameters, batch %zu in micro-batches of %zu, %s %s, median of %zu steps\n"
               "    T  threads  ms per step    tokens/s   GFLOP/s   wait  barriers%s\n",
               s->preset[0] ? s->preset : "model", model_config_num_parameters(&s->model), s->batch_size,
               s->micro_batch, bench_isa(), dtype_name(s->dtype), b->repeat, b->peer ? "    peer's ms    tokens/s  ours/peer" : "");
    for (size_t i = 0; status == STATUS_OK && i < b->seq_lens.n; i++)
        status = bench_length(b, (size_t)b->seq_lens.value[i], err);
    struct error ignored;
    file_remove_tree(b->scratch, &ignored);
    return status;
}

int bench_step(int argc, char **argv)
{
    char all[32];
    bench_default_threads(all, sizeof all);
    struct step_bench b = {.repeat = 5};
    struct train_settings *s = &b.flags.settings;
    const char *threads = all, *seq_lens = NULL;
    struct option_def options[] = {
        SETTINGS_MODEL_FLAGS(&b.flags),
        OPT_CHOICE("dtype", &b.flags.dtype, dtype_choices, "operands of the products: f32, bf16, or auto (auto)"),
        OPT_SIZE("batch-size", &s->batch_size, 1, 1 << 20, "sequences per step (4)"),
        OPT_SIZE("micro-batch", &s->micro_batch, 1, 1 << 20, "sequences computed together; without it the whole batch"),
        SETTINGS_RECOMPUTE_FLAG(&b.flags),
        OPT_TEXT("seq-len", "LIST", &seq_lens,
                 "tokens per sequence, one or more (256,1024 for gpt2, else the preset's)"),
        OPT_TEXT("threads", "LIST", &threads, "numbers of spheres (1, and all)"),
        OPT_SIZE("repeat", &b.repeat, 1, BENCH_MAX_REPEAT, "steps timed (5)"),
        OPT_TEXT("peer", "CMD", &b.peer,
                 "a trainer to run beside ours, such as llm.c's train_gpt2 built with the same B and T; it must print "
                 "line by "
                 "line into a pipe, as under `stdbuf -oL`"),
        OPT_FLAG("phases", &b.phases,
                 "where a step's time goes: for each phase its time, waiting, GFLOP/s, share of the peak that is measured "
                 "on registers alone; with --csv in place of the steps"),
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
        status = bench_parse_list("threads", threads, 1, SPHERES_MAX, &b.threads, &err);
    if (status == STATUS_OK)
        status = bench_parse_list("seq-len", seq_lens ? seq_lens : gpt2 ? "256,1024" : length, 1, 1 << 24, &b.seq_lens, &err);
    if (status != STATUS_OK) {
        command_say("bench step", "%s", err.text);
        return EXIT_CODE_USAGE;
    }
    status = bench_steps(&b, &err);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed("bench step", &err);
}
