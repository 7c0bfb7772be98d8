/* SPDX-License-Identifier: MIT
 * app/cmd_inspect.c - `cllm inspect`: what a file or directory says it is, and whether a model can be read from it.
 *
 * All is gathered as one JSON object, which is then printed as such or as text.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/file.h"
#include "base/human.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/model_files.h"

#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "inspect",
    .synopsis = "cllm inspect FILE|DIR [options]",
    .summary = "Says what a model file or directory holds: format, architecture, parameters, keys, tensors, tokenizer; and "
               "whether the model can be read: every tensor there, of the right shape, every value finite; exit code 1 "
               "where not. FILE is GGUF, safetensors or a model of llm.c.",
    .examples = "  cllm inspect model.gguf\n"
                "  cllm inspect gpt2 --json\n"
                "  cllm inspect model-00001-of-00002.safetensors --no-read\n",
};

enum { SHOWN_ITEMS = 5, SHOWN_TEXT = 72 };

/* --- gathering --------------------------------------------------------------------------------------------------- */

static void add_tensor(json_t *list, const char *name, const char *dtype, const uint64_t *shape, size_t rank, bool reverse)
{
    json_t *dims = json_array();
    for (size_t d = 0; d < rank; d++)
        json_array_append_new(dims, json_integer((json_int_t)shape[reverse ? rank - 1 - d : d]));
    json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", name, "dtype", dtype, "shape", dims));
}

static void add_file(json_t *tensors, const struct safetensors *file)
{
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor_view *t = safetensors_at(file, i);
        add_tensor(tensors, t->name, t->dtype, t->shape, t->rank, false);
    }
}

static json_t *item_of(struct gguf_value *value)
{
    struct gguf_text text;
    int64_t whole;
    double real;
    const enum gguf_type type = value->type == GGUF_ARRAY ? value->item : value->type;
    if (type == GGUF_STRING)
        return gguf_next_text(value, &text) ? json_stringn(text.bytes, text.len) : NULL;
    if (type == GGUF_F32 || type == GGUF_F64)
        return gguf_next_float(value, &real) ? json_real(real) : NULL;
    if (!gguf_next_i64(value, &whole))
        return NULL;
    return type == GGUF_BOOL ? json_boolean(whole) : json_integer((json_int_t)whole);
}

/* A value; of an array its type, its length and the first items. */
static json_t *value_of(const struct gguf_value *value)
{
    struct gguf_value walk = *value;
    if (value->type != GGUF_ARRAY)
        return item_of(&walk);
    json_t *first = json_array();
    for (uint64_t i = 0; i < value->count && i < SHOWN_ITEMS; i++)
        json_array_append_new(first, item_of(&walk));
    return json_pack("{s:s, s:I, s:o}", "array_of", gguf_type_name(value->item), "count", (json_int_t)value->count, "first",
                     first);
}

static enum status gather_gguf(const char *path, json_t *out, struct error *err)
{
    struct gguf *file = gguf_open(path, err);
    if (!file)
        return STATUS_FORMAT;
    json_t *keys = json_object(), *tensors = json_array();
    for (size_t i = 0; i < gguf_num_keys(file); i++) {
        const struct gguf_value *value = gguf_key_at(file, i);
        struct buffer key = {0};
        buffer_append(&key, value->key.bytes, value->key.len);
        json_object_set_new(keys, key.data, value_of(value));
        buffer_release(&key);
    }
    for (size_t i = 0; i < gguf_count(file); i++) {
        const struct gguf_tensor *t = gguf_at(file, i);
        add_tensor(tensors, t->name, t->type_name, t->shape, t->rank, true);
    }
    json_object_set_new(out, "keys", keys);
    json_object_set_new(out, "tensors", tensors);
    gguf_close(file);
    return STATUS_OK;
}

static enum status gather_directory(const char *path, json_t *out, struct error *err)
{
    struct safetensors_set *set = safetensors_set_open(path, err);
    if (!set)
        return STATUS_FORMAT;
    json_t *tensors = json_array();
    for (size_t i = 0; i < safetensors_set_files(set); i++)
        add_file(tensors, safetensors_set_file(set, i));
    json_object_set_new(out, "files", json_integer((json_int_t)safetensors_set_files(set)));
    json_object_set_new(out, "tensors", tensors);
    safetensors_set_close(set);
    return STATUS_OK;
}

static enum status gather_safetensors(const char *path, json_t *out, struct error *err)
{
    struct safetensors *file = safetensors_open(path, err);
    if (!file)
        return STATUS_FORMAT;
    json_t *tensors = json_array();
    add_file(tensors, file);
    json_object_set_new(out, "tensors", tensors);
    safetensors_close(file);
    return STATUS_OK;
}

static void add_config(json_t *out, const struct model *model)
{
    const struct model_config *c = model_config(model);
    json_object_set_new(
        out, "model",
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "family", model_family_name(c->family), "parameters",
                  (json_int_t)model_num_parameters(model), "vocab_size", (json_int_t)c->vocab_size, "context",
                  (json_int_t)c->n_positions, "layers", (json_int_t)c->n_layer, "width", (json_int_t)c->n_embd, "heads",
                  (json_int_t)c->n_head, "kv_heads", (json_int_t)c->n_kv_head, "mlp", (json_int_t)c->n_inner, "tied",
                  (int)c->tied));
}

/* The kind of tokenizer.json, as its own words have it. */
static void add_tokenizer(json_t *out, const struct text_files *texts)
{
    const struct buffer *text = text_files_find(texts, "tokenizer.json");
    struct error unused;
    json_t *file = text && text->len ? json_read_text(text->data, text->len, "tokenizer.json", &unused) : NULL;
    const json_t *model = json_object_get(file, "model");
    if (file)
        json_object_set_new(out, "tokenizer",
                            json_pack("{s:s, s:I, s:I, s:I}", "model",
                                      json_is_string(json_object_get(model, "type"))
                                          ? json_string_value(json_object_get(model, "type")) : "unknown",
                                      "vocabulary", (json_int_t)json_object_size(json_object_get(model, "vocab")), "merges",
                                      (json_int_t)json_array_size(json_object_get(model, "merges")), "added",
                                      (json_int_t)json_array_size(json_object_get(file, "added_tokens"))));
    json_decref(file);
}

/* Reads the whole model: whatever stands against it becomes a sentence of the report. */
static void add_check(json_t *out, const char *path)
{
    struct error why = {0};
    struct model_source source;
    struct model *model = model_read(path, &source, &why);
    if (model) {
        add_config(out, model);
        add_tokenizer(out, &source.texts);
        json_object_set_new(out, "dtype", json_string(tensor_type_name(source.type)));
        json_object_set_new(out, "check", json_pack("{s:b, s:s}", "readable", 1, "text",
                                                    "every tensor is there, in its shape, and every value is finite"));
    } else
        json_object_set_new(out, "check", json_pack("{s:b, s:s}", "readable", 0, "text", why.text));
    model_free(model);
    model_source_release(&source);
}

static enum status gather(const char *path, bool read, json_t *out, struct error *err)
{
    struct buffer config = {0};
    enum model_format format = MODEL_FORMAT_DIRECTORY;
    struct error mine = {0};
    enum status st = model_format_detect(path, &format, &mine);
    const size_t n = strlen(path);
    const bool alone = st == STATUS_FORMAT && n > 12 && strcmp(path + n - 12, ".safetensors") == 0;
    json_object_set_new(out, "path", json_string(path));
    json_object_set_new(out, "format", json_string(model_format_name(format)));
    if (alone)
        return gather_safetensors(path, out, err);
    if (st != STATUS_OK) {
        *err = mine;
        return st;
    }
    if (format == MODEL_FORMAT_GGUF)
        st = gather_gguf(path, out, err);
    else if (format == MODEL_FORMAT_DIRECTORY)
        st = file_exists(path_join(&config, path, "config.json"))
                 ? gather_directory(path, out, err)
                 : error_set(err, STATUS_FORMAT, "%s is no model directory: it has no config.json", path);
    if (st == STATUS_OK && read)
        add_check(out, path);
    buffer_release(&config);
    return st;
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long whole_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* Foreign text on one line of a terminal: short, without control characters. */
static void print_short(const char *text)
{
    size_t n = 0;
    for (; text[n] && n < SHOWN_TEXT; n++)
        putchar((unsigned char)text[n] < 0x20 || text[n] == 0x7f ? ' ' : text[n]);
    if (text[n])
        printf(" ...");
}

static void print_value(const json_t *value)
{
    if (json_is_string(value))
        print_short(json_string_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    else if (json_is_boolean(value))
        printf("%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_object(value)) {
        const json_t *first = json_object_get(value, "first");
        printf("%lld of %s:", whole_of(value, "count"), text_of(value, "array_of"));
        for (size_t i = 0; i < json_array_size(first); i++) {
            putchar(' ');
            print_value(json_array_get(first, i));
        }
    }
}

static void print_text(const json_t *report)
{
    const json_t *model = json_object_get(report, "model"), *tokenizer = json_object_get(report, "tokenizer");
    const json_t *check = json_object_get(report, "check"), *tensors = json_object_get(report, "tensors");
    json_t *keys = json_object_get(report, "keys");
    struct human a;
    printf("%s  %s", text_of(report, "path"), text_of(report, "format"));
    if (whole_of(report, "files") > 1)
        printf(" in %lld files", whole_of(report, "files"));
    printf("\n");
    if (model)
        printf("model      %s, %s parameters, %s: %lld layers, %lld wide, %lld heads (%lld of keys and values), MLP %lld, "
               "context %lld, vocabulary %lld%s\n",
               text_of(model, "family"), human_whole(&a, (uint64_t)whole_of(model, "parameters")), text_of(report, "dtype"),
               whole_of(model, "layers"), whole_of(model, "width"), whole_of(model, "heads"), whole_of(model, "kv_heads"),
               whole_of(model, "mlp"), whole_of(model, "context"), whole_of(model, "vocab_size"),
               json_is_true(json_object_get(model, "tied")) ? ", the head is the embedding" : "");
    if (tokenizer)
        printf("tokenizer  %s, %lld tokens, %lld merges, %lld added\n", text_of(tokenizer, "model"),
               whole_of(tokenizer, "vocabulary"), whole_of(tokenizer, "merges"), whole_of(tokenizer, "added"));
    else if (model)
        printf("tokenizer  none\n");
    if (check)
        printf("check      %s%s\n", json_is_true(json_object_get(check, "readable")) ? "" : "cannot be read: ",
               text_of(check, "text"));
    if (keys)
        printf("keys\n");
    for (void *it = json_object_iter(keys); it; it = json_object_iter_next(keys, it)) {
        printf("  %-44s ", json_object_iter_key(it));
        print_value(json_object_iter_value(it));
        printf("\n");
    }
    if (tensors)
        printf("tensors\n");
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i), *shape = json_object_get(t, "shape");
        printf("  %-44s %-5s [", text_of(t, "name"), text_of(t, "dtype"));
        for (size_t d = 0; d < json_array_size(shape); d++)
            printf("%s%lld", d ? "," : "", (long long)json_integer_value(json_array_get(shape, d)));
        printf("]\n");
    }
}

int cmd_inspect(int argc, char **argv)
{
    const char *path = NULL;
    bool json = false, no_read = false;
    struct option_def options[] = {
        OPT_FLAG("no-read", &no_read, "only what the head of the file says; the weights are not read"),
        OPT_FLAG("json", &json, "as JSON"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &path, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1) {
        command_say("inspect", "what? Give a model file or a model directory");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct buffer text = {0};
    json_t *report = json_object();
    enum status st = gather(path, !no_read, report, &err);
    if (st == STATUS_OK && json && (st = json_write(report, true, &text, &err)) == STATUS_OK)
        fputs(text.data, stdout);
    else if (st == STATUS_OK)
        print_text(report);
    const json_t *check = json_object_get(report, "check");
    if (st == STATUS_OK && check && !json_is_true(json_object_get(check, "readable")))
        st = error_set(&err, STATUS_FORMAT, "%s cannot be read as a model: %s", path, text_of(check, "text"));
    code = st == STATUS_OK ? EXIT_CODE_OK : command_failed("inspect", &err);
    json_decref(report);
    buffer_release(&text);
    return command_finish_output("inspect", code);
}
