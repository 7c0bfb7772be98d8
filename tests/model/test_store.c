/* SPDX-License-Identifier: MIT
 * test_store.c - models of every family through every format and back.
 */
#include "model/model_files.h"

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "scratch.h"

#include <math.h>

static const char *const fixtures[] = {"gpt2",  "llama", "llama-bias", "mistral", "qwen2", "qwen3", "smollm3"};
enum { FIXTURES = sizeof fixtures / sizeof *fixtures };

static struct error err;

/* The fixture; without the windows and missing rotations that llama.cpp has no equal for. */
static struct model *fixture(int which)
{
    char path[128];
    snprintf(path, sizeof path, "tests/fixtures/%s-tiny", fixtures[which]);
    struct model *model = model_load(path, &err);
    ck_assert_msg(model != NULL, "%s", err.text);
    struct model_config c = *model_config(model);
    if (c.family == MODEL_QWEN2 || c.family == MODEL_SMOLLM3) {
        c.window = 0;
        for (size_t l = 0; l < c.n_layer; l++)
            c.layer_kind[l] = c.family == MODEL_SMOLLM3 && (l + 1) % 4 == 0 ? LAYER_NO_ROPE : 0;
    }
    struct model *plain = model_new(&c, &err);
    ck_assert_msg(plain != NULL, "%s", err.text);
    ck_assert_uint_eq(model_size(plain), model_size(model));
    memcpy(model_data(plain), model_data(model), model_size(model) * sizeof(float));
    model_free(model);
    return plain;
}

/* What makes the model: all but dropout and how weights begin, which not every format keeps. */
static void same_model(const struct model *a, const struct model *b)
{
    struct model_config x = *model_config(a), y = *model_config(b);
    x.embd_pdrop = x.attn_pdrop = x.resid_pdrop = y.embd_pdrop = y.attn_pdrop = y.resid_pdrop = 0;
    x.initializer_range = y.initializer_range = 0;
    x.bos_token_id = y.bos_token_id = x.pad_token_id = y.pad_token_id = 0;
    x.num_eos = y.num_eos = 0;
    memset(x.eos_token_ids, 0, sizeof x.eos_token_ids);
    memset(y.eos_token_ids, 0, sizeof y.eos_token_ids);
    struct buffer left = {0}, right = {0};
    ck_assert_int_eq(model_config_json(&x, &left, &err), STATUS_OK);
    ck_assert_int_eq(model_config_json(&y, &right, &err), STATUS_OK);
    ck_assert_str_eq(left.data, right.data);
    buffer_release(&left);
    buffer_release(&right);
    ck_assert_uint_eq(model_size(a), model_size(b));
    ck_assert_mem_eq(model_data_const(a), model_data_const(b), model_size(a) * sizeof(float));
}

static const char *write_model(const struct model *model, const char *name, enum model_format format, enum tensor_type type)
{
    const struct text_files none = {0};
    const char *path = scratch_path(name);
    if (format == MODEL_FORMAT_DIRECTORY)
        ck_assert_int_eq(mkdir(path, 0755), 0);
    const enum status st = model_write(model, path, format, type, &none, "a name", &err);
    ck_assert_msg(st == STATUS_OK, "%s", err.text);
    return path;
}

static struct model *read_model(const char *path, enum tensor_type type)
{
    struct model_source source;
    struct model *model = model_read(path, &source, &err);
    ck_assert_msg(model != NULL, "%s", err.text);
    ck_assert_int_eq(source.type, type);
    model_source_release(&source);
    return model;
}

/* Hugging Face to GGUF to Hugging Face: the same bits. */
START_TEST(there_and_back)
{
    struct model *model = fixture(_i);
    struct model *from_gguf = read_model(write_model(model, "x.gguf", MODEL_FORMAT_GGUF, TENSOR_F32), TENSOR_F32);
    same_model(model, from_gguf);
    struct model *again = read_model(write_model(from_gguf, "back", MODEL_FORMAT_DIRECTORY, TENSOR_F32), TENSOR_F32);
    same_model(model, again);
    model_free(again);
    model_free(from_gguf);
    model_free(model);
}
END_TEST

/* After the first rounding a type loses nothing more, in any format that has it. */
START_TEST(each_type_keeps_its_values)
{
    struct model *model = fixture(_i);
    const struct text_files none = {0};
    for (enum tensor_type type = TENSOR_F16; type <= TENSOR_Q8_0; type++) {
        const char *path = write_model(model, tensor_type_name(type), MODEL_FORMAT_GGUF, type);
        struct model *back = NULL;
        ck_assert_msg(model_verify(model, path, MODEL_FORMAT_GGUF, type, &none, &back, &err) == STATUS_OK, "%s", err.text);
        ck_assert(memcmp(model_data(model), model_data(back), model_size(model) * sizeof(float)) != 0);
        if (type != TENSOR_Q8_0) {
            char name[32];
            snprintf(name, sizeof name, "%s-directory", tensor_type_name(type));
            path = write_model(model, name, MODEL_FORMAT_DIRECTORY, type);
            ck_assert_msg(model_verify(model, path, MODEL_FORMAT_DIRECTORY, type, &none, NULL, &err) == STATUS_OK, "%s",
                          err.text);
            model_free(read_model(path, type));
        }
        model_free(back);
    }
    model_free(model);
}
END_TEST

START_TEST(llmc_there_and_back)
{
    struct model *model = fixture(0);
    struct model *back = read_model(write_model(model, "x.bin", MODEL_FORMAT_LLMC, TENSOR_F32), TENSOR_F32);
    same_model(model, back);
    model_free(back);
    const struct text_files none = {0};
    const char *path = write_model(model, "bf16.bin", MODEL_FORMAT_LLMC, TENSOR_BF16);
    ck_assert_msg(model_verify(model, path, MODEL_FORMAT_LLMC, TENSOR_BF16, &none, NULL, &err) == STATUS_OK, "%s", err.text);
    struct model *llama = fixture(1);
    ck_assert_int_eq(model_can_write(llama, MODEL_FORMAT_LLMC, TENSOR_F32, &none, NULL, &err), STATUS_CONFIG);
    ck_assert_int_eq(model_can_write(model, MODEL_FORMAT_LLMC, TENSOR_F16, &none, NULL, &err), STATUS_CONFIG);
    model_free(llama);
    model_free(model);
}
END_TEST

/* Where the elements of a GPT-2's files lie, against the formats' definitions and not against our reader. */
START_TEST(orders_of_gpt2)
{
    struct model *model = fixture(0);
    const size_t V = model_config(model)->vocab_size, C = model_config(model)->n_embd, T = model_config(model)->n_positions;
    size_t n;
    const struct param *params = model_params(model, &n), *qkv = NULL;
    for (size_t i = 0; i < n; i++)
        if (strcmp(params[i].name, "h.1.attn.c_attn.weight") == 0)
            qkv = &params[i];
    const float *ours = model_data(model) + qkv->offset; /* [C,3C] */
    const char *path = write_model(model, "x.gguf", MODEL_FORMAT_GGUF, TENSOR_F32);
    struct gguf *file = gguf_open(path, &err);
    ck_assert_msg(file != NULL, "%s", err.text);
    const struct gguf_tensor *t = gguf_find(file, "blk.1.attn_qkv.weight");
    ck_assert(t && t->rank == 2 && t->shape[0] == C && t->shape[1] == 3 * C);
    float *theirs = malloc(t->size_bytes);
    ck_assert_int_eq(gguf_read(file, t, 0, theirs, t->size_bytes, &err), STATUS_OK);
    for (size_t r = 0; r < 3 * C; r++)
        for (size_t c = 0; c < C; c++)
            ck_assert(theirs[r * C + c] == ours[c * 3 * C + r]);
    free(theirs);

    /* llama.cpp's older editions want the tied head spelled out. */
    const struct gguf_tensor *const tied[2] = {gguf_find(file, "token_embd.weight"), gguf_find(file, "output.weight")};
    ck_assert(tied[0] && tied[1] && tied[1]->shape[0] == C && tied[1]->shape[1] == V);
    float *const twice[2] = {malloc(tied[0]->size_bytes), malloc(tied[1]->size_bytes)};
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(gguf_read(file, tied[i], 0, twice[i], tied[i]->size_bytes, &err), STATUS_OK);
    ck_assert(tied[0]->size_bytes == V * C * 4 && memcmp(twice[0], twice[1], V * C * 4) == 0);
    free(twice[0]);
    free(twice[1]);
    gguf_close(file);

    struct buffer bytes = {0};
    ck_assert_int_eq(file_read(write_model(model, "x.bin", MODEL_FORMAT_LLMC, TENSOR_F32), SIZE_MAX, &bytes, &err), STATUS_OK);
    int32_t head[8];
    memcpy(head, bytes.data, sizeof head);
    const size_t padded = (V + 127) / 128 * 128;
    ck_assert(head[0] == 20240326 && head[1] == 3 && head[2] == (int32_t)T && head[3] == (int32_t)V && head[7] == (int32_t)padded);
    const size_t L = (size_t)head[4];
    size_t at = 1024 + 4 * V * C; /* rows of padding */
    for (size_t i = 0; i < (padded - V) * C * 4; i++)
        ck_assert(bytes.data[at + i] == 0);
    at = 1024 + 4 * (padded * C + T * C + 2 * L * C + 3 * C * C); /* wte wpe ln1w ln1b, then layer 1 of qkvw */
    float x;
    for (size_t r = 0; r < 3 * C; r++)
        for (size_t c = 0; c < C; c++) {
            memcpy(&x, bytes.data + at + 4 * (r * C + c), 4);
            ck_assert(x == ours[c * 3 * C + r]);
        }
    buffer_release(&bytes);
    model_free(model);
}
END_TEST

/* llama.cpp rotates neighbours: source row h D + s D/2 + j is row h D + 2 j + s of the file. */
START_TEST(order_of_q_and_k)
{
    struct model *model = fixture(1);
    const struct model_config *c = model_config(model);
    size_t n;
    const struct param *params = model_params(model, &n);
    struct gguf *file = gguf_open(write_model(model, "x.gguf", MODEL_FORMAT_GGUF, TENSOR_F32), &err);
    ck_assert_ptr_nonnull(file);
    for (size_t i = 0; i < n; i++) {
        const bool q = strcmp(params[i].name, "model.layers.0.self_attn.q_proj.weight") == 0;
        const bool k = strcmp(params[i].name, "model.layers.0.self_attn.k_proj.weight") == 0;
        if (!q && !k)
            continue;
        const struct gguf_tensor *t = gguf_find(file, q ? "blk.0.attn_q.weight" : "blk.0.attn_k.weight");
        const float *ours = model_data(model) + params[i].offset;
        const size_t C = c->n_embd, D = c->head_dim;
        float *theirs = malloc(t->size_bytes);
        ck_assert_int_eq(gguf_read(file, t, 0, theirs, t->size_bytes, &err), STATUS_OK);
        for (size_t h = 0; h < (q ? c->n_head : c->n_kv_head); h++)
            for (size_t s = 0; s < 2; s++)
                for (size_t j = 0; j < D / 2; j++)
                    ck_assert_mem_eq(theirs + (h * D + 2 * j + s) * C, ours + (h * D + s * D / 2 + j) * C, C * sizeof(float));
        free(theirs);
    }
    gguf_close(file);
    model_free(model);
}
END_TEST

/* --- reading directories ----------------------------------------------------------------------------------------- */

static void copy_config(int which, const char *directory)
{
    char path[128];
    struct buffer text = {0}, out = {0};
    snprintf(path, sizeof path, "tests/fixtures/%s-tiny/config.json", fixtures[which]);
    ck_assert_int_eq(file_read(path, SIZE_MAX, &text, &err), STATUS_OK);
    ck_assert_int_eq(file_replace(path_join(&out, directory, "config.json"), text.data, text.len, &err), STATUS_OK);
    buffer_release(&text);
    buffer_release(&out);
}

/* The fixture's tensors in two shards and an index; `index` may change its text. */
static const char *make_shards(const char *name, const char *(*index)(const char *))
{
    static char weight_map[8192];
    const char *directory = scratch_path(name);
    struct buffer path = {0};
    struct safetensors *file = safetensors_open_whole("tests/fixtures/llama-tiny/model.safetensors", &err);
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(mkdir(directory, 0755), 0);
    copy_config(1, directory);
    const size_t n = safetensors_count(file);
    struct tensor_view views[2][64];
    size_t counts[2] = {0, 0};
    strcpy(weight_map, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    for (size_t i = 0; i < n; i++) {
        const struct tensor_view *t = safetensors_at(file, i);
        views[i % 2][counts[i % 2]++] = *t;
        snprintf(weight_map + strlen(weight_map), 200, "%s\"%s\":\"model-0000%zu-of-00002.safetensors\"", i ? "," : "", t->name,
                 i % 2 + 1);
    }
    strcat(weight_map, "}}");
    for (size_t s = 0; s < 2; s++) {
        char shard[64];
        snprintf(shard, sizeof shard, "model-0000%zu-of-00002.safetensors", s + 1);
        ck_assert_int_eq(safetensors_write(path_join(&path, directory, shard), views[s], counts[s], NULL, NULL, &err), STATUS_OK);
    }
    const char *text = index ? index(weight_map) : weight_map;
    ck_assert_int_eq(file_replace(path_join(&path, directory, "model.safetensors.index.json"), text, strlen(text), &err),
                     STATUS_OK);
    buffer_release(&path);
    safetensors_close(file);
    return directory;
}

START_TEST(shards)
{
    struct model *whole = model_load("tests/fixtures/llama-tiny", &err);
    struct model *model = model_load(make_shards("good", NULL), &err);
    ck_assert_msg(model != NULL, "%s", err.text);
    ck_assert_mem_eq(model_data(model), model_data(whole), model_size(model) * sizeof(float));
    model_free(model);
    model_free(whole);
}
END_TEST

static char changed[8192];

static const char *replace(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    ck_assert_ptr_nonnull(at);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    return changed;
}

static const char *outside(const char *text) { return replace(text, "\"model-00001-of", "\"../model-00001-of"); }
static const char *absolute(const char *text) { return replace(text, "\"model-00001-of", "\"/etc/model-00001-of"); }
static const char *other_shard(const char *text) { return replace(text, "model-00001", "model-00002"); }
static const char *no_shard(const char *text) { return replace(text, "model-00001", "model-00003"); }
static const char *a_number(const char *text) { return replace(text, "\"model-00001-of-00002.safetensors\"", "1"); }
static const char *twice(const char *text)
{
    return replace(text, "\"weight_map\":{", "\"weight_map\":{\"lm_head.weight\":\"model-00001-of-00002.safetensors\",");
}
static const char *empty(const char *text) { return (void)text, "{\"weight_map\":{}}"; }
static const char *no_map(const char *text) { return (void)text, "{\"weight_map\":[]}"; }
static const char *cut(const char *text) { return (void)text, "{\"weight_map\":{\"a\":"; }

START_TEST(bad_shards)
{
    static const struct {
        const char *(*index)(const char *);
        const char *words;
    } bad[] = {{outside, "same directory"}, {absolute, "same directory"}, {other_shard, "should be in"},
               {no_shard, "No such file"},  {a_number, "same directory"}, {empty, "names 0 files"},
               {no_map, "weight_map"},      {cut, "not valid JSON"},      {twice, "duplicate"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char name[16];
        snprintf(name, sizeof name, "bad%zu", i);
        err = (struct error){0};
        ck_assert_ptr_null(model_load(make_shards(name, bad[i].index), &err));
        ck_assert_msg(strstr(err.text, bad[i].words), "\"%s\" does not say \"%s\"", err.text, bad[i].words);
    }
}
END_TEST

/* A tensor changed: missing, of another shape or type, not finite, cut short. */
START_TEST(bad_tensors)
{
    struct safetensors *file = safetensors_open_whole("tests/fixtures/gpt2-tiny/model.safetensors", &err);
    ck_assert_ptr_nonnull(file);
    const size_t n = safetensors_count(file);
    struct tensor_view views[64], good[64];
    ck_assert(n < 64);
    for (size_t i = 0; i < n; i++)
        good[i] = *safetensors_at(file, i);
    for (size_t i = 0; i < n; i++)
        if (strstr(good[i].name, "ln_f.weight")) {
            const struct tensor_view first = good[0];
            good[0] = good[i];
            good[i] = first;
        }
    float *values = malloc(good[0].size_bytes);
    struct buffer path = {0};
    static const char *const words[] = {"is missing", "config.json wants", "F32, BF16 and F16", "not finite", "not finite", NULL};
    for (int i = 0; words[i]; i++) {
        char name[16];
        snprintf(name, sizeof name, "bad%d", i);
        const char *directory = scratch_path(name);
        ck_assert_int_eq(mkdir(directory, 0755), 0);
        copy_config(0, directory);
        memcpy(views, good, sizeof views);
        memcpy(values, good[0].data, good[0].size_bytes);
        if (i == 1) {
            views[0].shape[1] = 1;
            views[0].rank = 2;
        } else if (i == 2)
            views[0].dtype = "I32";
        else if (i >= 3) {
            values[3] = i == 3 ? NAN : -INFINITY;
            views[0].data = values;
        }
        ck_assert_int_eq(safetensors_write(path_join(&path, directory, "model.safetensors"), views + (i == 0), n - (i == 0),
                                           NULL, NULL, &err), STATUS_OK);
        ck_assert_ptr_null(model_load(directory, &err));
        ck_assert_msg(strstr(err.text, words[i]), "\"%s\" does not say \"%s\"", err.text, words[i]);
    }
    free(values);
    buffer_release(&path);
    safetensors_close(file);
}
END_TEST

/* A file that is cut short after its header was read: a sentence, no signal. */
START_TEST(file_that_shrinks)
{
    struct model *model = fixture(0);
    const char *directory = write_model(model, "model", MODEL_FORMAT_DIRECTORY, TENSOR_F32);
    const char *gguf_path = write_model(model, "x.gguf", MODEL_FORMAT_GGUF, TENSOR_F32);
    struct buffer path = {0};
    path_join(&path, directory, "model.safetensors");
    struct safetensors *file = safetensors_open(path.data, &err);
    struct gguf *gguf = gguf_open(gguf_path, &err);
    ck_assert(file && gguf);
    ck_assert_int_eq(truncate(path.data, 5000), 0);
    ck_assert_int_eq(truncate(gguf_path, 5000), 0);
    float x[16];
    const struct tensor_view *t = safetensors_find(file, "ln_f.weight");
    ck_assert_int_eq(safetensors_read(file, t, 0, x, sizeof x, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, "became shorter");
    ck_assert_int_eq(gguf_read(gguf, gguf_find(gguf, "output_norm.weight"), 0, x, sizeof x, &err), STATUS_IO);
    expect_error(&err, STATUS_IO, "became shorter");
    safetensors_close(file);
    gguf_close(gguf);
    buffer_release(&path);
    model_free(model);
}
END_TEST

START_TEST(llmc_refused)
{
    struct model *model = fixture(0);
    struct buffer bytes = {0};
    ck_assert_int_eq(file_read(write_model(model, "x.bin", MODEL_FORMAT_LLMC, TENSOR_BF16), SIZE_MAX, &bytes, &err), STATUS_OK);
    static const struct {
        int word;
        int32_t value;
    } bad[] = {{1, 4}, {2, 0}, {2, -1}, {3, 0}, {3, INT32_MAX}, {4, 0}, {4, INT32_MAX}, {4, 1025}, {5, 0}, {5, 7},
               {6, INT32_MAX}, {6, -5}, {6, 8}, {7, 1}, {7, INT32_MAX}, {7, 0}};
    struct model_source source;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t old;
        memcpy(&old, bytes.data + 4 * bad[i].word, 4);
        memcpy(bytes.data + 4 * bad[i].word, &bad[i].value, 4);
        err = (struct error){0};
        const char *path = scratch_file("bad.bin", bytes.data, bytes.len);
        ck_assert_msg(!model_read(path, &source, &err), "word %d = %d was taken", bad[i].word, bad[i].value);
        ck_assert_msg(strstr(err.text, path), "%s", err.text);
        memcpy(bytes.data + 4 * bad[i].word, &old, 4);
    }
    for (size_t n = 0; n < bytes.len; n += n < 1100 ? 1 : 997)
        ck_assert_ptr_null(model_read(scratch_file("cut.bin", bytes.data, n), &source, &err));
    buffer_append(&bytes, "x", 1);
    ck_assert_ptr_null(model_read(scratch_file("long.bin", bytes.data, bytes.len), &source, &err));
    buffer_release(&bytes);
    model_free(model);
}
END_TEST

/* A value that F16 cannot hold stops the export, by name. */
START_TEST(too_large_for_f16)
{
    struct model *model = fixture(1);
    const struct text_files none = {0};
    model_data(model)[5] = 70000;
    ck_assert_int_eq(model_write(model, scratch_path("x.gguf"), MODEL_FORMAT_GGUF, TENSOR_F16, &none, "", &err), STATUS_CONFIG);
    expect_error(&err, STATUS_CONFIG, "token_embd.weight");
    ck_assert(!file_exists(scratch_path("x.gguf")));
    ck_assert_int_eq(mkdir(scratch_path("d"), 0755), 0);
    ck_assert_int_eq(model_write(model, scratch_path("d"), MODEL_FORMAT_DIRECTORY, TENSOR_F16, &none, "", &err), STATUS_CONFIG);
    expect_error(&err, STATUS_CONFIG, "model.embed_tokens.weight");
    model_free(model);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("store");
    tcase_set_timeout(cases, 30);
    tcase_add_loop_test(cases, there_and_back, 0, FIXTURES);
    tcase_add_loop_test(cases, each_type_keeps_its_values, 0, FIXTURES);
    tcase_add_test(cases, llmc_there_and_back);
    tcase_add_test(cases, orders_of_gpt2);
    tcase_add_test(cases, order_of_q_and_k);
    tcase_add_test(cases, shards);
    tcase_add_test(cases, bad_shards);
    tcase_add_test(cases, bad_tensors);
    tcase_add_test(cases, file_that_shrinks);
    tcase_add_test(cases, llmc_refused);
    tcase_add_test(cases, too_large_for_f16);
    return run_suite("model/store", cases);
}
