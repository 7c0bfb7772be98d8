/* SPDX-License-Identifier: MIT */
#include "formats/model_config.h"

#include "formats/json.h"
#include "scratch.h"

#include <math.h>

static struct error err;

/* What the gpt2 repository on the Hugging Face hub says, in its keys. */
static const char HUB[] = "{\"activation_function\":\"gelu_new\",\"architectures\":[\"GPT2LMHeadModel\"],"
                          "\"attn_pdrop\":0.1,\"bos_token_id\":50256,\"embd_pdrop\":0.1,\"eos_token_id\":50256,"
                          "\"initializer_range\":0.02,\"layer_norm_epsilon\":1e-05,\"model_type\":\"gpt2\","
                          "\"n_ctx\":1024,\"n_embd\":768,\"n_head\":12,\"n_layer\":12,\"n_positions\":1024,"
                          "\"resid_pdrop\":0.1,\"summary_activation\":null,\"summary_use_proj\":true,"
                          "\"task_specific_params\":{\"text-generation\":{\"do_sample\":true,\"max_length\":50}},"
                          "\"vocab_size\":50257}";

static struct model_config small(void)
{
    struct model_config c = model_config_of(MODEL_GPT2);
    c.vocab_size = 257;
    c.n_positions = 64;
    c.n_embd = 48;
    c.n_layer = 3;
    c.n_head = 4;
    c.n_inner = 100;
    c.embd_pdrop = 0.1f;
    c.resid_pdrop = 0.25f;
    model_config_complete(&c);
    c.eos_token_ids[c.num_eos++] = 256;
    return c;
}

static bool same(const struct model_config *a, const struct model_config *b)
{
    return a->family == b->family && a->vocab_size == b->vocab_size && a->n_positions == b->n_positions &&
           a->n_embd == b->n_embd && a->n_layer == b->n_layer && a->n_head == b->n_head &&
           a->n_kv_head == b->n_kv_head && a->head_dim == b->head_dim && a->n_inner == b->n_inner &&
           a->norm == b->norm && a->mlp == b->mlp && a->qkv_bias == b->qkv_bias && a->out_bias == b->out_bias &&
           a->mlp_bias == b->mlp_bias && a->qk_norm == b->qk_norm && a->tied == b->tied && a->rope == b->rope &&
           a->rope_theta == b->rope_theta && a->rope_factor == b->rope_factor &&
           a->rope_low_freq_factor == b->rope_low_freq_factor && a->rope_high_freq_factor == b->rope_high_freq_factor &&
           a->rope_original_positions == b->rope_original_positions && a->window == b->window &&
           memcmp(a->layer_kind, b->layer_kind, sizeof a->layer_kind) == 0 && a->norm_epsilon == b->norm_epsilon &&
           a->initializer_range == b->initializer_range && a->embd_pdrop == b->embd_pdrop &&
           a->attn_pdrop == b->attn_pdrop && a->resid_pdrop == b->resid_pdrop && a->bos_token_id == b->bos_token_id &&
           a->pad_token_id == b->pad_token_id && a->num_eos == b->num_eos &&
           memcmp(a->eos_token_ids, b->eos_token_ids, a->num_eos * sizeof *a->eos_token_ids) == 0;
}

START_TEST(round_trip)
{
    struct model_config in = small(), out;
    for (int i = 0; i < 2; i++) {
        struct buffer text = {0};
        ck_assert_int_eq(model_config_json(&in, &text, &err), STATUS_OK);
        const enum status st = model_config_read(scratch_text("config.json", text.data), &out, &err);
        ck_assert_msg(st == STATUS_OK, "%s", err.text);
        ck_assert(same(&in, &out));
        ck_assert_ptr_nonnull(strstr(text.data, "\"layer_norm_epsilon\": 1e-05,\n"));
        ck_assert_ptr_nonnull(strstr(text.data, i ? "\"n_inner\": null" : "\"n_inner\": 100"));
        buffer_release(&text);
        in.n_inner = 4 * in.n_embd;
    }
    struct buffer text = {0};
    ck_assert_int_eq(generation_config_json(&in, &text, &err), STATUS_OK);
    ck_assert_str_eq(text.data, "{\n  \"_from_model_config\": true,\n  \"eos_token_id\": 256\n}\n");
    buffer_release(&text);
}
END_TEST

START_TEST(what_others_write)
{
    struct model_config c;
    enum status st = model_config_read(scratch_text("config.json", HUB), &c, &err);
    ck_assert_msg(st == STATUS_OK, "%s", err.text);
    ck_assert(c.vocab_size == 50257 && c.n_positions == 1024 && c.n_embd == 768 && c.n_layer == 12 && c.n_head == 12);
    ck_assert(c.n_inner == 3072 && c.resid_pdrop == 0.1f && c.num_eos == 1 && c.eos_token_ids[0] == 50256 &&
              c.bos_token_id == 50256);
    st = model_config_read(scratch_text("config.json", "{\"model_type\":\"gpt2\"}"), &c, &err);
    ck_assert_msg(st == STATUS_OK && c.vocab_size == 50257 && c.n_inner == 3072, "%s", err.text);
    /* transformers' default end of text in a vocabulary too small for it */
    st = model_config_read(
        scratch_text("config.json",
                     "{\"model_type\":\"gpt2\",\"vocab_size\":50,\"bos_token_id\":50256,\"eos_token_id\":null}"),
        &c, &err);
    ck_assert_msg(st == STATUS_OK && c.bos_token_id == -1 && c.num_eos == 0, "%s", err.text);
}
END_TEST

static const struct {
    const char *change; /* merged over HUB */
    enum status status;
    const char *words;
} BAD[] = {
    {"{\"model_type\":\"bert\"}", STATUS_CONFIG, "\"bert\""},
    {"{\"model_type\":\"llama\"}", STATUS_CONFIG, "GPT2LMHeadModel"},
    {"{\"model_type\":null}", STATUS_FORMAT, "missing"},
    {"{\"model_type\":3}", STATUS_FORMAT, "string"},
    {"{\"architectures\":[\"GPT2DoubleHeadsModel\"]}", STATUS_CONFIG, "GPT2DoubleHeadsModel"},
    {"{\"architectures\":\"GPT2LMHeadModel\"}", STATUS_CONFIG, "architectures"},
    {"{\"activation_function\":\"relu\"}", STATUS_CONFIG, "\"relu\""},
    {"{\"tie_word_embeddings\":false}", STATUS_CONFIG, "tie_word_embeddings"},
    {"{\"scale_attn_weights\":false}", STATUS_CONFIG, "scale_attn_weights"},
    {"{\"scale_attn_by_inverse_layer_idx\":true}", STATUS_CONFIG, "inverse_layer"},
    {"{\"reorder_and_upcast_attn\":true}", STATUS_CONFIG, "upcast"},
    {"{\"add_cross_attention\":true}", STATUS_CONFIG, "cross_attention"},
    {"{\"vocab_size\":0}", STATUS_CONFIG, "vocab_size is 0"},
    {"{\"vocab_size\":-5}", STATUS_FORMAT, "-5"},
    {"{\"vocab_size\":2147483648}", STATUS_FORMAT, "2147483648"},
    {"{\"vocab_size\":9223372036854775808}", STATUS_FORMAT, "integer"},
    {"{\"n_embd\":768.0}", STATUS_FORMAT, "real"},
    {"{\"n_embd\":770}", STATUS_CONFIG, "n_embd = 770 is not divisible by n_head = 12"},
    {"{\"n_embd\":2147483640}", STATUS_CONFIG, "n_inner"},
    {"{\"n_head\":0}", STATUS_CONFIG, "n_head"},
    {"{\"n_layer\":\"12\"}", STATUS_FORMAT, "a string, where an integer"},
    {"{\"n_inner\":0}", STATUS_CONFIG, "n_inner"},
    {"{\"resid_pdrop\":1.0}", STATUS_CONFIG, "resid_pdrop"},
    {"{\"attn_pdrop\":-0.1}", STATUS_CONFIG, "attn_pdrop"},
    {"{\"embd_pdrop\":\"x\"}", STATUS_FORMAT, "embd_pdrop"},
    {"{\"layer_norm_epsilon\":0}", STATUS_CONFIG, "layer_norm_epsilon"},
    {"{\"layer_norm_epsilon\":1e300}", STATUS_CONFIG, "layer_norm_epsilon"},
    {"{\"initializer_range\":-1}", STATUS_CONFIG, "initializer_range"},
    {"{\"eos_token_id\":[50256,\"end\"]}", STATUS_FORMAT, "eos_token_id"},
    {"{\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}", STATUS_CONFIG, "eos_token_id"},
    {"{\"quantization_config\":{}}", STATUS_CONFIG, "quantization_config"},
    {"{\"bos_token_id\":-2}", STATUS_FORMAT, "bos_token_id"},
};

START_TEST(refused)
{
    json_t *object = json_loads(HUB, 0, NULL), *change = json_loads(BAD[_i].change, 0, NULL);
    struct buffer text = {0};
    struct model_config c = small(), before = c;
    if (!change) { /* what jansson refuses to read at all */
        ck_assert_int_eq(model_config_read(scratch_text("config.json", BAD[_i].change), &c, &err), BAD[_i].status);
    } else {
        json_object_update(object, change);
        ck_assert_int_eq(json_write(object, true, &text, &err), STATUS_OK);
        ck_assert_int_eq(model_config_read(scratch_text("config.json", text.data), &c, &err), BAD[_i].status);
    }
    expect_error(&err, BAD[_i].status, BAD[_i].words);
    expect_error(&err, BAD[_i].status, "config.json");
    ck_assert(same(&c, &before)); /* untouched */
    json_decref(object);
    json_decref(change);
    buffer_release(&text);
}
END_TEST

START_TEST(checked)
{
    struct model_config c = small();
    ck_assert_int_eq(model_config_check(&c, &err), STATUS_OK);
    c.embd_pdrop = NAN;
    ck_assert_int_eq(model_config_check(&c, &err), STATUS_CONFIG);
    c = small();
    c.norm_epsilon = INFINITY;
    ck_assert_int_eq(model_config_check(&c, &err), STATUS_CONFIG);
    c = small();
    c.eos_token_ids[0] = 257;
    ck_assert_int_eq(model_config_check(&c, &err), STATUS_CONFIG);
    c = small();
    c.n_layer = (size_t)INT32_MAX + 1;
    ck_assert_int_eq(model_config_check(&c, &err), STATUS_CONFIG);
    ck_assert_int_eq(model_config_read(scratch_path("absent"), &c, &err), STATUS_IO);
    ck_assert_int_eq(model_config_read(scratch_text("list", "[]"), &c, &err), STATUS_FORMAT);
    ck_assert_int_eq(model_config_read(scratch_text("list", "[]"), &c, NULL), STATUS_FORMAT);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("model_config");
    tcase_add_test(cases, round_trip);
    tcase_add_test(cases, what_others_write);
    tcase_add_loop_test(cases, refused, 0, sizeof BAD / sizeof *BAD);
    tcase_add_test(cases, checked);
    return run_suite("formats/model_config", cases);
}
