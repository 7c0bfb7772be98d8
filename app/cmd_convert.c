/* SPDX-License-Identifier: MIT
 * app/cmd_convert.c - `cllm convert`: a model in another format or type, believed only after it was read back.
 */
#include "app/command.h"
#include "app/convert_proof.h"
#include "app/crew.h"
#include "app/interrupt.h"
#include "app/options.h"
#include "base/file.h"
#include "base/human.h"
#include "model/model_files.h"
#include "runtime/cancel.h"
#include "runtime/sphere.h"
#include "train/checkpoint.h"

#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "convert",
    .synopsis = "cllm convert IN OUT [options]",
    .summary =
        "Writes the model IN as OUT in another format or element type. IN is a Hugging Face directory (one file or "
        "shards), a run directory, a GGUF file or a model file of llm.c, told apart by content. OUT must not exist; "
        "it is written beside its place, read back, compared weight by weight and run on fixed prompts, and only then "
        "gets its name.",
    .examples = "  cllm convert run1 model.gguf                    a checkpoint for llama.cpp, nothing lost\n"
                "  cllm convert run1 model-q8.gguf --dtype q8_0    a quarter of the size\n"
                "  cllm convert SmolLM2-135M smol.gguf --dtype bf16\n"
                "  cllm convert model.gguf model-hf                a directory for transformers, and for cllm train --init\n"
                "  cllm convert gpt2 gpt2-bf16 --dtype bf16        safetensors in half the space\n"
                "  cllm convert gpt2 gpt2_124M.bin --to llmc\n",
    .notes = "What each format can hold and how to run the result elsewhere: docs/formats.md.\n",
};

static const char *const formats[] = {"safetensors", "gguf", "llmc", NULL};
static const char *const types[] = {"f32", "f16", "bf16", "q8_0", NULL};

struct conversion {
    const char *in, *out, *to, *dtype, *name;
    int threads;
    struct crew crew;
    struct buffer model_path, temporary, warning;
    enum model_format format;
    enum tensor_type type;
    struct model_source source;
    struct model *model, *back;
    struct error note;
    struct logits_proof proof;
};

/* A run stands for its newest checkpoint. */
static enum status find_model(struct conversion *c, struct error *err)
{
    struct buffer path = {0};
    enum status st = STATUS_OK;
    if (!file_exists(c->in))
        st = error_set(err, STATUS_IO, "%s: no such file or directory", c->in);
    else if (file_is_directory(c->in) && !file_exists(path_join(&path, c->in, "config.json")) &&
             file_exists(path_join(&path, c->in, "run.json")))
        st = checkpoint_find_latest(c->in, &c->model_path, &c->warning, err);
    else
        buffer_append_text(&c->model_path, c->in);
    buffer_release(&path);
    if (st == STATUS_OK && c->model_path.failed)
        st = error_set(err, STATUS_NOMEM, "no memory for a path");
    if (st == STATUS_OK && c->warning.len)
        command_say("convert", "warning: %s", c->warning.data);
    return st;
}

static bool ends_in(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static void choose_format(struct conversion *c)
{
    c->format = ends_in(c->out, ".gguf") ? MODEL_FORMAT_GGUF
                : ends_in(c->out, ".bin") ? MODEL_FORMAT_LLMC
                                          : MODEL_FORMAT_DIRECTORY;
    for (int i = 0; c->to && formats[i]; i++)
        if (strcmp(c->to, formats[i]) == 0)
            c->format = (enum model_format)i;
}

/* The type asked for; else that of IN, or f32 where OUT's format has not that. */
static void choose_type(struct conversion *c)
{
    c->type = c->source.type;
    if ((c->type == TENSOR_Q8_0 && c->format != MODEL_FORMAT_GGUF) || (c->type == TENSOR_F16 && c->format == MODEL_FORMAT_LLMC))
        c->type = TENSOR_F32;
    if (c->dtype)
        tensor_type_find(c->dtype, &c->type);
}

/* For general.name: the last part of IN's path. */
static const char *base_name(const char *path, struct buffer *out)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    buffer_append(out, path + begin, end - begin);
    return out->failed ? "" : out->data;
}

static enum status write_and_prove(struct conversion *c, struct error *err)
{
    struct buffer name = {0};
    const char *tmp = c->temporary.data;
    enum status st = c->format == MODEL_FORMAT_DIRECTORY ? file_make_directory(tmp, err) : STATUS_OK;
    if (st == STATUS_OK)
        st = model_write(c->model, tmp, c->format, c->type, &c->source.texts, c->name ? c->name : base_name(c->in, &name),
                         err);
    if (st == STATUS_OK)
        st = cancel_error(c->crew.cancel, err);
    if (st == STATUS_OK)
        st = model_verify(c->model, tmp, c->format, c->type, &c->source.texts, &c->back, err);
    if (st == STATUS_OK)
        st = prove_logits(c->model, c->back, &c->crew, &c->proof, err);
    if (st == STATUS_OK)
        st = cancel_error(c->crew.cancel, err);
    if (st == STATUS_OK && c->format == MODEL_FORMAT_DIRECTORY)
        st = file_sync_directory(tmp, err);
    if (st == STATUS_OK)
        st = file_rename(tmp, c->out, err);
    if (st != STATUS_OK) {
        struct error unused;
        file_remove_tree(tmp, &unused);
    }
    buffer_release(&name);
    return st;
}

static enum status convert(struct conversion *c, struct error *err)
{
    size_t end = strlen(c->out);
    while (end > 1 && c->out[end - 1] == '/')
        end--;
    buffer_append(&c->temporary, c->out, end);
    buffer_append_text(&c->temporary, ".tmp");
    if (c->temporary.failed)
        return error_set(err, STATUS_NOMEM, "no memory for a path");
    if (file_exists(c->out))
        return error_set(err, STATUS_IO, "%s exists already; give a name that is free", c->out);
    if (file_exists(c->temporary.data))
        return error_set(err, STATUS_IO, "%s exists, perhaps of a conversion that was interrupted; remove it first",
                         c->temporary.data);
    enum status st = find_model(c, err);
    if (st == STATUS_OK)
        st = crew_start(&c->crew, c->threads, TEAM_PTHREAD, err);
    if (st == STATUS_OK && !(c->model = model_read(c->model_path.data, &c->source, err)))
        st = err->status;
    if (st == STATUS_OK)
        st = cancel_error(c->crew.cancel, err);
    if (st != STATUS_OK)
        return st;
    choose_format(c);
    choose_type(c);
    st = model_can_write(c->model, c->format, c->type, &c->source.texts, &c->note, err);
    return st == STATUS_OK ? write_and_prove(c, err) : error_prefix(err, "%s", c->in);
}

static void report(const struct conversion *c)
{
    struct human a;
    const struct logits_proof *p = &c->proof;
    printf("%s  %s, %s, %s parameters, %s\n", c->in, model_format_name(c->source.format),
           model_family_name(model_config(c->model)->family), human_whole(&a, model_num_parameters(c->model)),
           tensor_type_name(c->source.type));
    printf("%s  %s, %s\n", c->out, model_format_name(c->format), tensor_type_name(c->type));
    if (p->same_weights)
        printf("read back: every weight and, on %zu prompts, every logit the same to the last bit\n", p->prompts);
    else
        printf("read back: every weight as %s rounds it; on %zu prompts logits within %.3g (they spread by %.3g), the same "
               "next token at %zu of %zu positions\n",
               tensor_type_name(c->type), p->prompts, p->largest, p->spread, p->same_choice, p->tokens);
    if (c->note.text[0])
        printf("note: %s\n", c->note.text);
}

int cmd_convert(int argc, char **argv)
{
    struct conversion c = {0};
    const char *paths[2] = {0};
    struct option_def options[] = {
        OPT_CHOICE("to", &c.to, formats, "OUT's format; without it by OUT's name: .gguf, .bin (llmc), else safetensors"),
        OPT_CHOICE("dtype", &c.dtype, types, "element type of the matrices; without it IN's"),
        OPT_TEXT("name", "TEXT", &c.name, "the model's name in a GGUF file; without it IN's"),
        OPT_INT("threads", &c.threads, 0, SPHERES_MAX, "spheres for the proof; 0 = as many as there are cores to use (0)"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, paths, 2, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 2) {
        command_say("convert", found ? "to what? Give OUT, a name that is free" : "what? Give IN and OUT");
        return EXIT_CODE_USAGE;
    }
    c.in = paths[0];
    c.out = paths[1];
    struct error err = {0};
    struct interrupt interrupt;
    if (interrupt_begin(&interrupt, true, &err) != STATUS_OK)
        return command_failed("convert", &err);
    c.crew.cancel = interrupt.token;
    if (convert(&c, &err) == STATUS_OK) {
        report(&c);
        code = EXIT_CODE_OK;
    } else
        code = interrupt_exit_code(&interrupt, command_failed("convert", &err));
    crew_release(&c.crew);
    interrupt_release(&interrupt);
    model_free(c.model);
    model_free(c.back);
    model_source_release(&c.source);
    buffer_release(&c.model_path);
    buffer_release(&c.temporary);
    buffer_release(&c.warning);
    return command_finish_output("convert", code);
}
