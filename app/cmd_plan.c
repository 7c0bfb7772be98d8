/* SPDX-License-Identifier: MIT
 * app/cmd_plan.c - `cllm plan`: what a run would take, without running it.
 */
#include "app/command.h"
#include "app/interrupt.h"
#include "app/options.h"
#include "app/plan_measure.h"
#include "app/settings_flags.h"
#include "app/text_source.h"
#include "base/file.h"
#include "base/human.h"
#include "formats/json.h"
#include "infer/generator.h"
#include "model/decoder.h"
#include "topology/topology.h"
#include "train/training.h"

#include <inttypes.h>
#include <stdio.h>

static const struct option_usage usage = {
    .command = "plan",
    .synopsis = "cllm plan [options]",
    .summary = "Says what a training run would take: memory by part, disk, parameters and arithmetic, beside what this "
               "machine has. "
               "--measure adds the time, from three real steps on random tokens, an evaluation's micro-batch, a sample "
               "where some are asked for, and a checkpoint; "
               "without it nothing is allocated. The flags are those of `cllm train`.",
    .examples =
        "  cllm plan --preset gpt2 --batch-size 32 --micro-batch 4 --seq-len 1024\n"
        "  cllm plan --preset shakespeare-char --vocab-size 65 --threads 8\n"
        "  cllm plan --preset gpt2 --batch-size 32 --seq-len 1024 --fit 3.5G --steps 2000 --tokens 10000000 --measure\n"
        "  cllm plan --config model/config.json --batch-size 8 --seq-len 256 --json\n",
};

struct plan {
    struct train_settings settings;
    struct training_memory memory;
    struct topology topology;
    int spheres, width;
    uint64_t parameters, checkpoints, disk_bytes; /* at a time, at the most */
    double flops_per_token, flops_per_step;       /* what is run again included */
    double again_per_token;
    uint64_t disk_free_bytes;
    const char *out;      /* directory whose disk it is */
    uint64_t val_windows; /* 0: not known */
    bool measured;
    struct time_measured time;
    struct time_plan time_plan;
    uint64_t generation_bytes; /* beyond the weights: packed weights, cache, work space */
};

static const struct part {
    const char *key, *text;
    size_t offset;
} parts[] = {
#define PART(member, words)                                                                                            \
    {                                                                                                                  \
#member, words, offsetof(struct training_memory, member)                                                       \
    }
    PART(weights_bytes, "weights"),
    PART(gradients_bytes, "gradients"),
    PART(moments_bytes, "moments"),
    PART(snapshot_bytes, "copy that checkpoints are written from"),
    PART(packed_bytes, "weights packed for the products"),
    PART(activation_bytes, "activations of a micro-batch"),
    PART(shared_bytes, "shared between spheres"),
    PART(scratch_bytes, "scratch of the spheres"),
    PART(sphere_bytes, "stacks and contexts of the spheres"),
    PART(data_bytes, "batches"),
    PART(sampling_bytes, "a sample between steps"),
    PART(program_bytes, "the program itself"),
#undef PART
};
enum { NUM_PARTS = sizeof parts / sizeof parts[0] };

static size_t part_bytes(const struct training_memory *memory, const struct part *part)
{
    return *(const size_t *)(const void *)((const char *)memory + part->offset);
}

static enum status make_plan(struct plan *p, int threads, struct error *err)
{
    const struct train_settings *s = &p->settings;
    topology_read(&p->topology);
    p->spheres = threads ? threads : topology_auto_spheres(&p->topology);
    enum status status = training_plan(s, p->spheres, &p->memory, err);
    if (status != STATUS_OK)
        return status;
    int widest = decoder_plan_training(&s->model, s->dtype, s->micro_batch, s->seq_len, s->recompute).max_width;
    p->width = p->spheres < widest ? p->spheres : widest;
    const int few = topology_few_spheres(&p->topology, p->spheres);
    const struct decoder_memory generation =
        decoder_plan(&s->model, DECODER_GENERATE, DTYPE_F32, 1, s->model.n_positions);
    p->generation_bytes =
        generation.packed_bytes + generation.activation_bytes + generation.shared_bytes +
        generation.sphere_scratch_bytes * (size_t)(few < generation.max_width ? few : generation.max_width);
    p->parameters = model_config_num_parameters(&s->model);
    p->checkpoints = time_plan_checkpoints(s);
    if (__builtin_mul_overflow(p->checkpoints, p->memory.checkpoint_bytes, &p->disk_bytes))
        p->disk_bytes = UINT64_MAX;
    status = file_free_space(p->out, &p->disk_free_bytes, err);
    if (status != STATUS_OK)
        return status;
    p->again_per_token = decoder_recompute_flops_per_token(&s->model, s->seq_len, s->recompute);
    p->flops_per_token = decoder_train_flops_per_token(&s->model, s->seq_len) + p->again_per_token;
    p->flops_per_step = p->flops_per_token * (double)s->batch_size * (double)s->seq_len;
    return STATUS_OK;
}

static void print_time(const struct plan *p)
{
    struct human a;
    const struct time_plan *t = &p->time_plan;
    char text[96];
    printf("time, measured on this machine as it is now\n");
    printf("  %-36s %12s\n", "a step", human_seconds(&a, p->time.step));
    printf("  %-36s %12s\n", "a micro-batch of an evaluation", human_seconds(&a, p->time.eval_leaf));
    if (p->settings.sample_every > 0) {
        snprintf(text, sizeof text, "a sample of %d tokens", (int)SAMPLE_TOKENS);
        printf("  %-36s %12s\n", text, human_seconds(&a, p->time.sample));
    }
    printf("  %-36s %12s\n", "a checkpoint", human_seconds(&a, p->time.save));
    snprintf(text, sizeof text, "%" PRIu64 " steps", t->steps);
    printf("  %-36s %12s\n", text, human_duration(&a, t->step_s));
    snprintf(text, sizeof text, "%" PRIu64 " evaluations of %" PRIu64, t->evaluations, t->eval_leaves);
    if (p->val_windows || p->settings.eval_batches)
        printf("  %-36s %12s\n", text, human_duration(&a, t->eval_s));
    snprintf(text, sizeof text, "%" PRIu64 " sample%s", t->samples, t->samples == 1 ? "" : "s");
    if (p->settings.sample_every > 0)
        printf("  %-36s %12s\n", text, human_duration(&a, t->sample_s));
    snprintf(text, sizeof text, "%s%" PRIu64 " checkpoints%s", p->settings.save_best ? "at most " : "", t->saves,
             p->settings.save_mode == SAVE_OVERLAPPED ? ", all but one beside it" : "");
    printf("  %-36s %12s\n", text, human_duration(&a, t->save_s));
    printf("  %-36s %12s\n", "in all", human_duration(&a, t->total_s));
    if (!p->val_windows && !p->settings.eval_batches && p->settings.val_fraction > 0)
        printf("  without evaluations, whose length depends on the data: --tokens N, or --eval-batches N\n");
}

static void print_table(const struct plan *p)
{
    const struct train_settings *s = &p->settings;
    const struct model_config *m = &s->model;
    struct human a, b;
    struct buffer shape = {0};
    model_config_describe(m, &shape);
    printf("model        %s, vocabulary %zu\n", shape.data ? shape.data : "", m->vocab_size);
    buffer_release(&shape);
    printf("parameters   %s\n", human_whole(&a, p->parameters));
    printf("step         %zu sequences of %zu tokens, %zu at a time: %s tokens\n", s->batch_size, s->seq_len,
           s->micro_batch, human_whole(&a, s->batch_size * s->seq_len));
    printf("products     %s operands\n", dtype_name(s->dtype));
    printf("layers       %zu, of which %zu run again in the backward\n", m->n_layer,
           s->recompute < m->n_layer ? s->recompute : m->n_layer - 1);
    printf("spheres      %d, of which %d find work in this model; this machine: %s\n\n", p->spheres, p->width,
           p->topology.limited_by);
    printf("memory\n");
    for (size_t i = 0; i < NUM_PARTS; i++)
        printf("  %-36s %12s\n", parts[i].text, human_bytes(&a, part_bytes(&p->memory, &parts[i])));
    printf("  %-36s %12s\n", "in all", human_bytes(&a, p->memory.total_bytes));
    printf("  %-36s %12s\n", "available on this machine", human_bytes(&a, p->topology.memory_available_bytes));
    printf("  %-36s %12s\n", "installed", human_bytes(&a, p->topology.memory_bytes));
    if (s->sample_every == 0)
        printf("  %-36s %12s\n", "more while a sample is asked for", human_bytes(&a, p->generation_bytes));
    printf("disk\n");
    printf("  %-36s %12s\n", "a checkpoint", human_bytes(&a, p->memory.checkpoint_bytes));
    char kept[96];
    if (s->keep_every)
        snprintf(kept, sizeof kept, "%" PRIu64 " + %" PRIu64 " kept, at most %" PRIu64 " at a time", s->keep,
                 s->steps / s->keep_every, p->checkpoints);
    else
        snprintf(kept, sizeof kept, "%" PRIu64 " kept, at most %" PRIu64 " at a time", s->keep, p->checkpoints);
    printf("  %-36s %12s\n", kept, human_bytes(&a, p->disk_bytes));
    printf("  %-36s %12s\n", "free there", human_bytes(&a, p->disk_free_bytes));
    printf("arithmetic\n");
    printf("  %-36s %12s\n", "operations per token", human_count(&a, p->flops_per_token));
    if (s->recompute)
        printf("  %-36s %12s\n", "  of those by running layers again", human_count(&a, p->again_per_token));
    printf("  %-36s %12s\n", "operations per step", human_count(&a, p->flops_per_step));
    printf("  %-36s %12s\n", "operations of the run", human_count(&a, p->flops_per_step * (double)s->steps));
    if (p->measured)
        print_time(p);
    if (p->disk_bytes > p->disk_free_bytes)
        printf("\nThe disk of %s is too full: %s are needed and %s free. --keep and --keep-every say how many "
               "checkpoints stay.\n",
               p->out, human_bytes(&a, p->disk_bytes), human_bytes(&b, p->disk_free_bytes));
    if (p->topology.memory_available_bytes && p->memory.total_bytes > p->topology.memory_available_bytes)
        printf(
            "\nThis does not fit: %s are needed and %s available. --fit auto finds what does (--recompute, a smaller "
            "--micro-batch).\n",
            human_bytes(&a, p->memory.total_bytes), human_bytes(&b, p->topology.memory_available_bytes));
}

static enum status print_json(const struct plan *p, struct error *err)
{
    json_t *object = json_object(), *memory = json_object();
    for (size_t i = 0; i < NUM_PARTS; i++)
        json_object_set_new(memory, parts[i].key, json_integer((json_int_t)part_bytes(&p->memory, &parts[i])));
    json_object_set_new(memory, "total_bytes", json_integer((json_int_t)p->memory.total_bytes));
    json_object_set_new(memory, "available_bytes", json_integer((json_int_t)p->topology.memory_available_bytes));
    json_object_set_new(memory, "installed_bytes", json_integer((json_int_t)p->topology.memory_bytes));
    json_object_set_new(memory, "sample_on_request_bytes", json_integer((json_int_t)p->generation_bytes));
    json_object_set_new(object, "memory", memory);
    json_object_set_new(object, "settings", train_settings_json(&p->settings));
    json_object_set_new(object, "spheres", json_integer(p->spheres));
    json_object_set_new(object, "width", json_integer(p->width));
    json_object_set_new(object, "parameters", json_integer((json_int_t)p->parameters));
    json_object_set_new(object, "checkpoint_bytes", json_integer((json_int_t)p->memory.checkpoint_bytes));
    json_object_set_new(object, "disk_bytes", json_integer((json_int_t)p->disk_bytes));
    json_object_set_new(object, "checkpoints", json_integer((json_int_t)p->checkpoints));
    json_object_set_new(object, "disk_free_bytes", json_integer((json_int_t)p->disk_free_bytes));
    json_object_set_new(object, "limited_by", json_string(p->topology.limited_by));
    if (p->measured) {
        const struct time_plan *t = &p->time_plan;
        json_object_set_new(object, "time",
                            json_pack("{s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}",
                                      "step_s", p->time.step, "eval_leaf_s", p->time.eval_leaf, "checkpoint_s",
                                      p->time.save, "sample_s", p->time.sample, "steps", (json_int_t)t->steps,
                                      "evaluations", (json_int_t)t->evaluations, "eval_leaves",
                                      (json_int_t)t->eval_leaves, "saves", (json_int_t)t->saves, "samples",
                                      (json_int_t)t->samples, "steps_s", t->step_s, "evaluations_s", t->eval_s,
                                      "saves_s", t->save_s, "samples_s", t->sample_s, "total_s", t->total_s));
    }
    json_object_set_new(object, "flops_per_token", json_real(p->flops_per_token));
    json_object_set_new(object, "recompute_flops_per_token", json_real(p->again_per_token));
    json_object_set_new(object, "flops_per_step", json_real(p->flops_per_step));
    struct buffer text = {0};
    enum status status = json_write(object, true, &text, err);
    if (status == STATUS_OK)
        fputs(text.data, stdout);
    buffer_release(&text);
    json_decref(object);
    return status;
}

/* Three steps, and what follows from them. */
static enum status measure(struct plan *p, int threads, struct interrupt *interrupt, struct error *err)
{
    enum status status = interrupt_begin(interrupt, true, err);
    if (status == STATUS_OK)
        status = plan_measure(&p->settings, threads, p->out, interrupt->token, &p->time, err);
    interrupt_end(interrupt);
    if (status != STATUS_OK)
        return status;
    p->measured = true;
    time_plan_make(&p->time_plan, &p->settings, 0, p->val_windows, &p->time);
    return STATUS_OK;
}

/* Windows of the validation part of so many tokens, as data/batch_iterator.h cuts them. */
static uint64_t val_windows(const struct train_settings *s, uint64_t tokens)
{
    const uint64_t val = (uint64_t)((double)tokens * s->val_fraction);
    return val ? (val - 1) / s->seq_len : 0;
}

int cmd_plan(int argc, char **argv)
{
    struct settings_flags flags = {0};
    struct train_settings *s = &flags.settings;
    int threads = 0;
    uint64_t tokens = 0;
    bool json = false, measured = false;
    struct plan plan = {.out = "."};
    struct interrupt interrupt = {0};
    struct option_def options[] = {
        SETTINGS_MODEL_FLAGS(&flags),
        SETTINGS_SHAPE_FLAGS(&flags),
        SETTINGS_OPTIMIZER_FLAG(&flags),
        OPT_U64("steps", &s->steps, 1, OPTION_WHOLE_MAX, "optimizer steps"),
        SETTINGS_EVAL_FLAGS(&flags),
        SETTINGS_SAMPLE_EVERY_FLAG(&flags),
        SETTINGS_VAL_FRACTION_FLAG(&flags),
        SETTINGS_SAVE_FLAGS(&flags),
        OPT_INT("threads", &threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_TEXT("out", "DIR", &plan.out, "an existing directory on the disk of the run (.)"),
        OPT_U64("tokens", &tokens, 0, OPTION_WHOLE_MAX,
                "tokens of the data, for the length of evaluations; 0 = not known"),
        OPT_FLAG(
            "measure", &measured,
            "train three steps on random tokens, evaluate a micro-batch, write a checkpoint to --out and remove it, "
            "and say how long the run would take"),
        OPT_FLAG("json", &json, "as JSON"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    enum status status = settings_flags_base(&flags, &err);
    if (status == STATUS_OK && options_parse(argc, argv, options, &usage, NULL, 0, &found) == OPTIONS_GO_ON)
        status = settings_flags_finish(&flags, options, &err);
    bool assumed = s->model.vocab_size == 0;
    if (status == STATUS_OK) {
        if (assumed)
            s->model.vocab_size = 257; /* --tokenizer byte */
        status = settings_flags_fit(&flags, options, true, threads, s, &err);
        plan.settings = *s;
    }
    if (status == STATUS_OK) {
        plan.val_windows = val_windows(s, tokens);
        status = make_plan(&plan, threads, &err);
    }
    if (status == STATUS_OK && measured)
        status = measure(&plan, threads, &interrupt, &err);
    if (status == STATUS_OK && json)
        status = print_json(&plan, &err);
    else if (status == STATUS_OK) {
        print_table(&plan);
        if (assumed)
            printf("\nThe vocabulary is that of --tokenizer byte; --vocab-size N takes another.\n");
    }
    code = status == STATUS_OK ? EXIT_CODE_OK : command_failed("plan", &err);
    code = interrupt_exit_code(&interrupt, code);
    interrupt_release(&interrupt);
    return command_finish_output("plan", code);
}
