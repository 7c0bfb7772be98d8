/* SPDX-License-Identifier: MIT
 * app/bench_save.c - `cllm bench save`: what a checkpoint costs a training.
 *
 * A step's time without saving is the median of some steps.  Then, `repeat` times, a save begins between two steps and steps are
 * made until it is over; what these took beyond their number of medians is what the save cost, whatever it did to them: the
 * copy, memory and a core taken from the spheres.  The same save with training waiting, and the writer's parts alone (checksum,
 * writing, syncing), show where it goes.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "app/random_tokens.h"
#include "app/settings_flags.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/human.h"
#include "base/memory.h"
#include "train/saver.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "bench save",
    .synopsis = "cllm bench save [options]",
    .summary =
        "What a checkpoint costs a training on random tokens: written beside it from a copy, and with it waiting. The "
        "cost is "
        "the time of the steps made meanwhile beyond that of as many steps without; its share is at one save a minute.",
    .examples = "  cllm bench save --preset gpt2 --batch-size 4 --seq-len 256 --dir /data/scratch\n"
                "  cllm bench save --preset shakespeare-char --vocab-size 65 --threads 2 --repeat 5 --csv\n",
};

struct save_bench {
    struct settings_flags flags;
    const char *dir;
    int threads;
    size_t repeat, steps;
    bool csv;
};

struct bench_training {
    struct tokens *tokens;
    struct batch_iterator *iterator;
    struct training *training;
    struct threaded_training *system;
    struct saver *saver;
};

struct save_figures {
    double step_s, snapshot_s, write_s, lost_s; /* medians; of a save beside the steps */
    double steps;                               /* made meanwhile */
    double blocking_s;
    double crc_s, file_s; /* the checkpoint's bytes: summed; written and synced, summing included */
};

static enum status timed_steps(struct bench_training *b, size_t n, double *seconds, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t start = clock_now_ns();
        const enum status status = threaded_train_step(b->system);
        if (status != STATUS_OK)
            return error_set(err, status, "%s", threaded_training_error(b->system));
        seconds[i] = 1e-9 * (double)(clock_now_ns() - start);
    }
    return STATUS_OK;
}

static enum status take(struct bench_training *b, struct save_outcome *o, struct error *err)
{
    saver_wait(b->saver);
    if (!saver_take(b->saver, o))
        return error_set(err, STATUS_MISUSE, "no save was under way");
    buffer_release(&o->path);
    return o->status == STATUS_OK ? STATUS_OK : error_set(err, o->status, "%s", o->error.text);
}

/* One save beside the steps. */
static enum status one_overlapped(struct bench_training *b, double step_s, struct save_outcome *o, double *lost_s,
                                  size_t *steps, struct error *err)
{
    enum status status = STATUS_OK;
    const uint64_t start = clock_now_ns();
    double ignored;
    saver_begin(b->saver, true);
    for (*steps = 0; status == STATUS_OK && !saver_take(b->saver, o); ++*steps)
        status = timed_steps(b, 1, &ignored, err);
    if (status != STATUS_OK)
        return status;
    *lost_s = 1e-9 * (double)(clock_now_ns() - start) - (double)*steps * step_s;
    buffer_release(&o->path);
    return o->status == STATUS_OK ? STATUS_OK : error_set(err, o->status, "%s", o->error.text);
}

/* The writer's parts: as many bytes summed, then written to a file as a checkpoint's are. */
static enum status time_writer(const char *dir, size_t bytes, struct save_figures *out, struct error *err)
{
    enum { PIECE = 32 << 20 };
    struct buffer path = {0};
    unsigned char *piece = mem_map(PIECE);
    if (!piece)
        return error_set(err, STATUS_NOMEM, "no memory for 32 MiB");
    memset(piece, 1, PIECE);
    uint64_t start = clock_now_ns();
    uint32_t crc = 0;
    for (size_t at = 0; at < bytes; at += PIECE)
        crc = crc32_ieee(crc, piece, bytes - at < PIECE ? bytes - at : PIECE);
    out->crc_s = 1e-9 * (double)(clock_now_ns() - start);
    start = clock_now_ns();
    struct file_writer *writer = file_writer_open(path_join(&path, dir, "writer"), err);
    enum status status = writer ? STATUS_OK : STATUS_IO;
    uint32_t sum = 0;
    if (writer) {
        for (size_t at = 0; at < bytes; at += PIECE)
            file_writer_write(writer, piece, bytes - at < PIECE ? bytes - at : PIECE);
        status = file_writer_close(writer, true, NULL, &sum, err);
    }
    out->file_s = 1e-9 * (double)(clock_now_ns() - start);
    if (status == STATUS_OK && sum != crc)
        status = error_set(err, STATUS_IO, "the sums of the same bytes differ");
    file_discard(path.data ? path.data : "");
    buffer_release(&path);
    mem_unmap(piece, PIECE);
    return status;
}

static enum status measure(const struct save_bench *bench, struct bench_training *b, const char *dir,
                           struct save_figures *out, struct error *err)
{
    double seconds[BENCH_MAX_REPEAT], snapshot[BENCH_MAX_REPEAT], write[BENCH_MAX_REPEAT], lost[BENCH_MAX_REPEAT];
    double blocking[BENCH_MAX_REPEAT], steps[BENCH_MAX_REPEAT];
    enum status status = timed_steps(b, 1, seconds, err); /* touches memory for the first time */
    for (size_t i = 0; status == STATUS_OK && i < bench->repeat; i++) {
        /* Steps without, again each time: a machine has its moods. */
        status = timed_steps(b, bench->steps, seconds, err);
        struct save_outcome o;
        size_t n = 0;
        if (status == STATUS_OK)
            status = one_overlapped(b, bench_median(seconds, bench->steps), &o, &lost[i], &n, err);
        snapshot[i] = o.snapshot_s;
        write[i] = o.write_s;
        steps[i] = (double)n;
        out->step_s = bench_median(seconds, bench->steps);
        if (status == STATUS_OK) /* another step, as one that is saved already is not written again */
            status = timed_steps(b, 1, seconds, err);
        if (status == STATUS_OK) {
            saver_begin(b->saver, false);
            status = take(b, &o, err);
            blocking[i] = o.write_s;
        }
    }
    if (status != STATUS_OK)
        return status;
    out->snapshot_s = bench_median(snapshot, bench->repeat);
    out->write_s = bench_median(write, bench->repeat);
    out->lost_s = bench_median(lost, bench->repeat);
    out->steps = bench_median(steps, bench->repeat);
    out->blocking_s = bench_median(blocking, bench->repeat);
    return time_writer(dir, (size_t)training_planned(b->training)->checkpoint_bytes, out, err);
}

static void print(const struct save_bench *bench, const struct bench_training *b, const struct save_figures *f)
{
    const struct train_settings *s = training_settings(b->training);
    const uint64_t bytes = training_planned(b->training)->checkpoint_bytes;
    const int spheres = threaded_training_get_num_workers(b->system);
    struct human size;
    if (bench->csv) {
        printf("version,isa,dtype,preset,batch_size,seq_len,threads,checkpoint_bytes,step_ms,snapshot_ms,write_ms,"
               "steps_meanwhile,"
               "lost_ms,lost_share,blocking_ms,crc32_ms,file_ms\n%s,%s,%s,%s,%zu,%zu,%d,%" PRIu64
               ",%.3f,%.3f,%.3f,%.0f,%.3f,%.5f,%.3f,%.3f,%.3f\n",
               CLLM_VERSION, bench_isa(), dtype_name(s->dtype), s->preset, s->batch_size, s->seq_len, spheres, bytes,
               1e3 * f->step_s, 1e3 * f->snapshot_s, 1e3 * f->write_s, f->steps, 1e3 * f->lost_s, f->lost_s / 60,
               1e3 * f->blocking_s, 1e3 * f->crc_s, 1e3 * f->file_s);
        return;
    }
    printf("%s, a checkpoint of %s, %d spheres, %s %s, medians of %zu saves\n", s->preset[0] ? s->preset : "model",
           human_bytes(&size, bytes), spheres, bench_isa(), dtype_name(s->dtype), bench->repeat);
    printf("  a step without saving         %10.1f ms\n", 1e3 * f->step_s);
    printf("  the copy                      %10.1f ms\n", 1e3 * f->snapshot_s);
    printf("  written beside the steps in   %10.1f ms, %.0f steps\n", 1e3 * f->write_s, f->steps);
    printf("  training lost                 %10.1f ms: %.2f %% at one save a minute\n", 1e3 * f->lost_s,
           100 * f->lost_s / 60);
    printf("  lost with training waiting    %10.1f ms: %.2f %%\n", 1e3 * f->blocking_s, 100 * f->blocking_s / 60);
    printf("  of the writer: crc32          %10.1f ms\n", 1e3 * f->crc_s);
    printf("  crc32, writing and syncing    %10.1f ms\n", 1e3 * f->file_s);
}

static enum status run(struct save_bench *bench, struct bench_training *b, const char *dir, struct error *err)
{
    struct train_settings s = bench->flags.settings;
    s.val_fraction = 0;
    s.steps = 1000000;
    s.save_every = 1000; /* on the way, so that there is a copy */
    s.save_seconds = s.keep_every = 0;
    s.save_mode = SAVE_OVERLAPPED;
    struct buffer path = {0};
    const char *file = path_join(&path, dir, "tokens.bin");
    const struct batch_options options = {.seq_len = s.seq_len, .batch_size = s.batch_size, .seed = s.seed};
    const struct threaded_training_options threads = {.num_threads = bench->threads};
    enum status status = train_settings_check(&s, err);
    if (status == STATUS_OK)
        status = random_tokens_write(file, (4 * s.batch_size + 1) * s.seq_len + 1, s.model.vocab_size, err);
    if (status == STATUS_OK && (!(b->tokens = tokens_open(&file, 1, err)) ||
                                !(b->iterator = batch_iterator_create(b->tokens, &options, err)) ||
                                !(b->training = training_create(&s, err)) ||
                                !(b->system = threaded_training_create_with(b->training, b->iterator, &threads, err))))
        status = err->status;
    if (status == STATUS_OK && training_short_of_snapshot(b->training))
        status = error_set(err, STATUS_NOMEM, "memory is short of the copy that checkpoints are written from");
    if (status == STATUS_OK &&
        !(b->saver = saver_new(
              &(struct saver_options){
                  .training = b->training, .system = b->system, .run_directory = dir, .settings_hash = 1},
              err)))
        status = err->status;
    struct save_figures figures = {0};
    if (status == STATUS_OK)
        status = measure(bench, b, dir, &figures, err);
    if (status == STATUS_OK)
        print(bench, b, &figures);
    buffer_release(&path);
    return status;
}

int bench_save(int argc, char **argv)
{
    struct save_bench bench = {.repeat = 3, .steps = 5};
    struct train_settings *s = &bench.flags.settings;
    struct option_def options[] = {
        SETTINGS_MODEL_FLAGS(&bench.flags),
        SETTINGS_SHAPE_FLAGS(&bench.flags),
        SETTINGS_OPTIMIZER_FLAG(&bench.flags),
        OPT_INT("threads", &bench.threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_TEXT("dir", "DIR", &bench.dir, "a directory on the disk to save to; without it below TMPDIR"),
        OPT_SIZE("repeat", &bench.repeat, 1, BENCH_MAX_REPEAT, "saves of each kind (3)"),
        OPT_SIZE("steps", &bench.steps, 1, BENCH_MAX_REPEAT, "steps without saving before each (5)"),
        OPT_FLAG("csv", &bench.csv, "as CSV"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (!bench.flags.preset && !bench.flags.config)
        bench.flags.preset = "gpt2";
    enum status status = settings_flags_base(&bench.flags, &err);
    if (status == STATUS_OK && strcmp(s->preset, "gpt2") == 0) {
        s->batch_size = s->micro_batch = bench.flags.base.batch_size = bench.flags.base.micro_batch = 4;
        s->seq_len = 256;
    }
    if (status == STATUS_OK && options_parse(argc, argv, options, &usage, NULL, 0, &found) == OPTIONS_GO_ON)
        status = settings_flags_finish(&bench.flags, options, &err);
    if (s->model.vocab_size == 0)
        s->model.vocab_size = 257;
    char dir[4096] = "";
    if (status == STATUS_OK && bench.dir)
        status = strlen(bench.dir) < sizeof dir - 16 ? STATUS_OK
                                                     : error_set(&err, STATUS_CONFIG, "--dir: the path is too long");
    if (status == STATUS_OK && bench.dir) {
        snprintf(dir, sizeof dir, "%.4000s/cllm-bench", bench.dir);
        status = file_make_directory(dir, &err);
        if (status != STATUS_OK)
            dir[0] = 0; /* it is not ours to remove */
    } else if (status == STATUS_OK) {
        status = bench_scratch(dir, sizeof dir, &err);
    }
    struct bench_training b = {0};
    if (status == STATUS_OK)
        status = run(&bench, &b, dir, &err);
    saver_free(b.saver);
    threaded_training_free(b.system);
    training_free(b.training);
    batch_iterator_free(b.iterator);
    tokens_close(b.tokens);
    if (dir[0])
        file_remove_tree(dir, NULL);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed("bench save", &err);
}
