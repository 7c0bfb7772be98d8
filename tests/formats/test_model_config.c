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

/* What the hub says of one model of each family, as it was first published (transformers 4) … */
static const char LLAMA[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,\"attention_dropout\":0.0,"
    "\"bos_token_id\":128000,\"eos_token_id\":[128001,128008,128009],\"head_dim\":64,\"hidden_act\":\"silu\","
    "\"hidden_size\":2048,\"initializer_range\":0.02,\"intermediate_size\":8192,\"max_position_embeddings\":131072,"
    "\"mlp_bias\":false,\"model_type\":\"llama\",\"num_attention_heads\":32,\"num_hidden_layers\":16,"
    "\"num_key_value_heads\":8,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,\"rope_scaling\":{\"factor\":32.0,"
    "\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,\"original_max_position_embeddings\":8192,"
    "\"rope_type\":\"llama3\"},\"rope_theta\":500000.0,\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.45.0.dev0\",\"use_cache\":true,\"vocab_size\":128256}";
static const char MISTRAL[] =
    "{\"architectures\":[\"MistralForCausalLM\"],\"bos_token_id\":1,\"eos_token_id\":2,\"hidden_act\":\"silu\","
    "\"hidden_size\":4096,\"initializer_range\":0.02,\"intermediate_size\":14336,\"max_position_embeddings\":32768,"
    "\"model_type\":\"mistral\",\"num_attention_heads\":32,\"num_hidden_layers\":32,\"num_key_value_heads\":8,"
    "\"rms_norm_eps\":1e-05,\"rope_theta\":10000.0,\"sliding_window\":4096,\"tie_word_embeddings\":false,"
    "\"torch_dtype\":\"bfloat16\",\"use_cache\":true,\"vocab_size\":32000}";
static const char QWEN2[] =
    "{\"architectures\":[\"Qwen2ForCausalLM\"],\"attention_dropout\":0.0,\"bos_token_id\":151643,"
    "\"eos_token_id\":151645,\"hidden_act\":\"silu\",\"hidden_size\":896,\"initializer_range\":0.02,"
    "\"intermediate_size\":4864,\"max_position_embeddings\":32768,\"max_window_layers\":21,\"model_type\":\"qwen2\","
    "\"num_attention_heads\":14,\"num_hidden_layers\":24,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-06,"
    "\"rope_theta\":1000000.0,\"sliding_window\":32768,\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\","
    "\"use_cache\":true,\"use_sliding_window\":false,\"vocab_size\":151936}";
static const char QWEN3[] =
    "{\"architectures\":[\"Qwen3ForCausalLM\"],\"attention_bias\":false,\"attention_dropout\":0.0,"
    "\"bos_token_id\":151643,\"eos_token_id\":151645,\"head_dim\":128,\"hidden_act\":\"silu\",\"hidden_size\":1024,"
    "\"initializer_range\":0.02,\"intermediate_size\":3072,\"max_position_embeddings\":40960,"
    "\"max_window_layers\":28,\"model_type\":\"qwen3\",\"num_attention_heads\":16,\"num_hidden_layers\":28,"
    "\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":1000000,"
    "\"sliding_window\":null,\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\",\"use_cache\":true,"
    "\"use_sliding_window\":false,\"vocab_size\":151936}";
static const char SMOLLM2[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,\"bos_token_id\":0,\"eos_token_id\":0,"
    "\"hidden_act\":\"silu\",\"hidden_size\":576,\"initializer_range\":0.041666666666666664,\"intermediate_size\":1536,"
    "\"is_llama_config\":true,\"max_position_embeddings\":8192,\"model_type\":\"llama\",\"num_attention_heads\":9,"
    "\"num_hidden_layers\":30,\"num_key_value_heads\":3,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,"
    "\"rope_interleaved\":false,\"rope_scaling\":null,\"rope_theta\":100000,\"tie_word_embeddings\":true,"
    "\"torch_dtype\":\"bfloat16\",\"vocab_size\":49152}";
/* … and as transformers 5 writes it. */
static const char SMOLLM3[] =
    "{\"architectures\":[\"SmolLM3ForCausalLM\"],\"attention_bias\":false,\"bos_token_id\":null,"
    "\"dtype\":\"bfloat16\",\"eos_token_id\":128012,\"hidden_act\":\"silu\",\"hidden_size\":2048,"
    "\"intermediate_size\":11008,\"max_position_embeddings\":65536,\"mlp_bias\":false,\"model_type\":\"smollm3\","
    "\"no_rope_layer_interval\":4,\"num_attention_heads\":16,\"num_hidden_layers\":36,\"num_key_value_heads\":4,"
    "\"pad_token_id\":128004,\"rms_norm_eps\":1e-06,\"rope_parameters\":{\"rope_theta\":5000000.0,"
    "\"rope_type\":\"default\"},\"use_cache\":false,\"use_sliding_window\":false,\"sliding_window\":null,"
    "\"vocab_size\":128256}";

static struct model_config read_text(const char *text)
{
    struct model_config c;
    const enum status st = model_config_read(scratch_text("config.json", text), &c, &err);
    ck_assert_msg(st == STATUS_OK, "%s", err.text);
    return c;
}

/* `base` with the keys of `change` in place of its own; a null in `change` stays a null. */
static struct model_config read_changed(const char *base, const char *change)
{
    json_t *object = json_loads(base, 0, NULL), *changes = json_loads(change, 0, NULL);
    struct buffer text = {0};
    ck_assert_msg(object && changes, "%s", change);
    json_object_update(object, changes);
    ck_assert_int_eq(json_write(object, true, &text, &err), STATUS_OK);
    const struct model_config c = read_text(text.data);
    json_decref(object);
    json_decref(changes);
    buffer_release(&text);
    return c;
}

START_TEST(the_families)
{
    struct model_config c = read_text(LLAMA);
    ck_assert(c.family == MODEL_LLAMA && c.vocab_size == 128256 && c.n_positions == 131072 && c.n_embd == 2048);
    ck_assert(c.n_layer == 16 && c.n_head == 32 && c.n_kv_head == 8 && c.head_dim == 64 && c.n_inner == 8192);
    ck_assert(c.norm == NORM_RMS && c.mlp == MLP_SWIGLU && c.tied && !c.qkv_bias && !c.qk_norm && c.window == 0);
    ck_assert(c.rope == ROPE_LLAMA3 && c.rope_theta == 500000.0f && c.rope_factor == 32 && c.rope_low_freq_factor == 1);
    ck_assert(c.rope_high_freq_factor == 4 && c.rope_original_positions == 8192 && c.norm_epsilon == 1e-5f);
    ck_assert(c.num_eos == 3 && c.eos_token_ids[2] == 128009 && c.bos_token_id == 128000 && c.pad_token_id == -1);
    ck_assert(model_config_is_eos(&c, 128008) && !model_config_is_eos(&c, 128000));
    c = read_text(MISTRAL);
    ck_assert(c.family == MODEL_MISTRAL && c.head_dim == 128 && c.n_kv_head == 8 && !c.tied && c.window == 4096);
    ck_assert(c.layer_kind[0] == LAYER_WINDOW && c.layer_kind[31] == LAYER_WINDOW && c.rope == ROPE_DEFAULT);
    c = read_text(QWEN2);
    ck_assert(c.family == MODEL_QWEN2 && c.qkv_bias && !c.out_bias && c.head_dim == 64 && c.tied && c.window == 0);
    ck_assert(c.layer_kind[23] == 0 && c.rope_theta == 1e6f);
    c = read_text(QWEN3);
    ck_assert(c.family == MODEL_QWEN3 && c.qk_norm && c.head_dim == 128 && c.n_embd == 1024 && c.n_head == 16);
    c = read_text(SMOLLM2);
    ck_assert(c.family == MODEL_LLAMA && c.head_dim == 64 && c.rope_theta == 1e5f && c.tied && c.n_kv_head == 3);
    c = read_text(SMOLLM3);
    ck_assert(c.family == MODEL_SMOLLM3 && c.tied && c.rope_theta == 5e6f && c.pad_token_id == 128004);
    ck_assert(c.layer_kind[0] == 0 && c.layer_kind[3] == LAYER_NO_ROPE && c.layer_kind[35] == LAYER_NO_ROPE);
    c = read_text("{\"model_type\":\"llama\"}");
    ck_assert(c.n_embd == 4096 && c.n_kv_head == 32 && c.head_dim == 128 && c.rope_theta == 10000.0f && !c.tied);
    ck_assert(c.bos_token_id == 1 && c.num_eos == 1 && c.eos_token_ids[0] == 2);
}
END_TEST

/* Both forms of the positions, and which of them counts; nulls; layers. */
START_TEST(forms_of_keys)
{
    struct model_config old = read_text(LLAMA);
    struct model_config c = read_changed(
        LLAMA, "{\"rope_theta\":null,\"rope_scaling\":null,\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":32,"
               "\"rope_theta\":500000,\"low_freq_factor\":1,\"high_freq_factor\":4,"
               "\"original_max_position_embeddings\":8192}}");
    ck_assert(same(&c, &old));
    c = read_changed(QWEN3, "{\"rope_theta\":10000.0,\"rope_parameters\":{\"rope_theta\":77.0}}");
    ck_assert(c.rope_theta == 77 && c.rope == ROPE_DEFAULT);
    c = read_changed(QWEN3, "{\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.5}}");
    ck_assert(c.rope == ROPE_LINEAR && c.rope_factor == 2.5f && c.rope_theta == 1e6f);
    c = read_changed(LLAMA,
                     "{\"num_key_value_heads\":null,\"head_dim\":null,\"eos_token_id\":[null,5],\"pad_token_id\":-1}");
    ck_assert(c.n_kv_head == 32 && c.head_dim == 64 && c.num_eos == 1 && c.pad_token_id == -1);
    c = read_changed(MISTRAL, "{\"sliding_window\":null}");
    ck_assert(c.window == 0 && c.layer_kind[0] == 0);
    c = read_changed(QWEN2, "{\"use_sliding_window\":true}");
    ck_assert(c.window == 32768 && c.layer_kind[20] == 0 && c.layer_kind[21] == LAYER_WINDOW);
    c = read_changed(SMOLLM3, "{\"num_hidden_layers\":3,\"no_rope_layers\":[1,0,1],\"use_sliding_window\":true,"
                              "\"sliding_window\":128}");
    ck_assert(c.layer_kind[0] == 0 && c.layer_kind[1] == (LAYER_NO_ROPE | LAYER_WINDOW) && c.layer_kind[2] == 0);
    c = read_changed(SMOLLM3,
                     "{\"num_hidden_layers\":2,\"use_sliding_window\":true,\"sliding_window\":128,"
                     "\"layer_types\":[\"sliding_attention\",\"full_attention\"],\"no_rope_layers\":[true,false]}");
    ck_assert(c.layer_kind[0] == LAYER_WINDOW && c.layer_kind[1] == LAYER_NO_ROPE);
}
END_TEST

START_TEST(families_round_trip)
{
    const struct model_config all[] = {
        read_text(LLAMA),
        read_text(MISTRAL),
        read_text(QWEN2),
        read_text(QWEN3),
        read_text(SMOLLM2),
        read_text(SMOLLM3),
        read_changed(LLAMA, "{\"attention_bias\":true,\"mlp_bias\":true,\"attention_dropout\":0.25}"),
        read_changed(MISTRAL, "{\"sliding_window\":null}"),
        read_changed(QWEN2, "{\"use_sliding_window\":true,\"max_window_layers\":3}"),
        read_changed(QWEN3, "{\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2.5}}"),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buffer text = {0};
        ck_assert_int_eq(model_config_json(&all[i], &text, &err), STATUS_OK);
        const struct model_config back = read_text(text.data);
        ck_assert_msg(same(&all[i], &back), "%zu: %s", i, text.data);
        ck_assert_ptr_nonnull(strstr(text.data, "\"rope_parameters\": {"));
        ck_assert_ptr_nonnull(strstr(text.data, "\"rope_theta\": "));
        ck_assert_ptr_nonnull(strstr(text.data, "\"torch_dtype\": \"float32\""));
        /* an old reader finds all it needs, a new one too */
        const char *less[] = {"{\"rope_parameters\":null}", "{\"rope_theta\":null,\"rope_scaling\":null}"};
        for (int j = 0; j < 2; j++) {
            const struct model_config one = read_changed(text.data, less[j]);
            ck_assert_msg(same(&all[i], &one), "%zu without %s", i, less[j]);
        }
        buffer_release(&text);
    }
    struct model_config c = read_text(LLAMA);
    struct buffer text = {0};
    ck_assert_int_eq(generation_config_json(&c, &text, &err), STATUS_OK);
    c.num_eos = 1;
    ck_assert_int_eq(generation_config_read(scratch_text("generation_config.json", text.data), &c, &err), STATUS_OK);
    ck_assert(c.num_eos == 3 && c.eos_token_ids[0] == 128001 && c.eos_token_ids[2] == 128009);
    ck_assert_int_eq(generation_config_read(scratch_path("absent.json"), &c, &err), STATUS_OK);
    ck_assert_int_eq(
        generation_config_read(scratch_text("generation_config.json", "{\"eos_token_id\":\"x\"}"), &c, &err),
        STATUS_FORMAT);
    ck_assert(c.num_eos == 3);
    buffer_release(&text);
}
END_TEST

static const struct {
    const char *base, *change;
    enum status status;
    const char *words;
} REFUSED[] = {
    {LLAMA, "{\"model_type\":\"mixtral\"}", STATUS_CONFIG, "mixtral"},
    {LLAMA, "{\"architectures\":[\"LlamaForSequenceClassification\"]}", STATUS_CONFIG,
     "LlamaForSequenceClassification"},
    {LLAMA, "{\"hidden_act\":\"gelu\"}", STATUS_CONFIG, "\"gelu\""},
    {LLAMA, "{\"quantization_config\":{\"bits\":4}}", STATUS_CONFIG, "quantization_config"},
    {LLAMA, "{\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0}}", STATUS_CONFIG, "\"yarn\""},
    {LLAMA, "{\"rope_scaling\":{\"type\":\"dynamic\",\"rope_type\":null}}", STATUS_CONFIG, "\"dynamic\""},
    {LLAMA, "{\"rope_parameters\":{\"rope_type\":\"longrope\"}}", STATUS_CONFIG, "\"longrope\""},
    {LLAMA, "{\"rope_parameters\":[]}", STATUS_FORMAT, "rope_parameters"},
    {LLAMA, "{\"rope_scaling\":{\"rope_type\":\"linear\"}}", STATUS_CONFIG, "factor"},
    {LLAMA, "{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", STATUS_CONFIG, "low_freq_factor"},
    {LLAMA, "{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":1}}",
     STATUS_CONFIG, "high_freq_factor"},
    {LLAMA, "{\"rope_theta\":-1}", STATUS_CONFIG, "rope_theta"},
    {LLAMA, "{\"rope_theta\":1e300}", STATUS_CONFIG, "rope_theta"},
    {LLAMA, "{\"partial_rotary_factor\":0.5}", STATUS_CONFIG, "partial_rotary_factor"},
    {LLAMA, "{\"head_dim\":63}", STATUS_CONFIG, "head_dim"},
    {LLAMA, "{\"head_dim\":1073741824}", STATUS_CONFIG, "too wide"},
    {LLAMA, "{\"head_dim\":null,\"num_attention_heads\":24}", STATUS_CONFIG, "not divisible"},
    {LLAMA, "{\"num_key_value_heads\":5}", STATUS_CONFIG, "multiple"},
    {LLAMA, "{\"num_key_value_heads\":0}", STATUS_OK, ""}, /* as null */
    {LLAMA, "{\"num_hidden_layers\":1025}", STATUS_CONFIG, "num_hidden_layers"},
    {LLAMA, "{\"num_attention_heads\":0,\"head_dim\":null}", STATUS_CONFIG, "n_head"},
    {LLAMA, "{\"intermediate_size\":null,\"hidden_size\":-4}", STATUS_FORMAT, "hidden_size"},
    {LLAMA, "{\"attention_dropout\":1.5}", STATUS_CONFIG, "attn_pdrop"},
    {LLAMA, "{\"rms_norm_eps\":0}", STATUS_CONFIG, "rms_norm_eps"},
    {LLAMA, "{\"eos_token_id\":{}}", STATUS_FORMAT, "eos_token_id"},
    {MISTRAL, "{\"sliding_window\":0}", STATUS_CONFIG, "sliding_window"},
    {MISTRAL, "{\"sliding_window\":\"4k\"}", STATUS_FORMAT, "sliding_window"},
    {QWEN2, "{\"layer_types\":[\"full_attention\"]}", STATUS_FORMAT, "layer_types"},
    {SMOLLM3, "{\"num_hidden_layers\":1,\"layer_types\":[\"linear_attention\"]}", STATUS_CONFIG, "linear_attention"},
    {SMOLLM3, "{\"no_rope_layers\":[1,0]}", STATUS_FORMAT, "no_rope_layers"},
    {SMOLLM3, "{\"num_hidden_layers\":1,\"no_rope_layers\":[\"1\"]}", STATUS_FORMAT, "no_rope_layers"},
    {SMOLLM3, "{\"no_rope_layer_interval\":0}", STATUS_CONFIG, "no_rope_layer_interval"},
};

START_TEST(refused_of_families)
{
    json_t *object = json_loads(REFUSED[_i].base, 0, NULL), *change = json_loads(REFUSED[_i].change, 0, NULL);
    struct buffer text = {0};
    struct model_config c = small(), before = c;
    ck_assert_ptr_nonnull(change);
    json_object_update(object, change);
    ck_assert_int_eq(json_write(object, true, &text, &err), STATUS_OK);
    const enum status st = model_config_read(scratch_text("config.json", text.data), &c, &err);
    ck_assert_msg(st == REFUSED[_i].status, "%s: %s", REFUSED[_i].change, err.text);
    if (st != STATUS_OK) {
        expect_error(&err, REFUSED[_i].status, REFUSED[_i].words);
        expect_error(&err, REFUSED[_i].status, "config.json");
        ck_assert(same(&c, &before));
    }
    json_decref(object);
    json_decref(change);
    buffer_release(&text);
}
END_TEST

/* What no config.json of the family can say. */
START_TEST(not_of_the_family)
{
    const struct model_config llama = read_text(SMOLLM2);
    struct model_config c;
#define NOT(change, word)                                                                                              \
    do {                                                                                                               \
        c = llama;                                                                                                     \
        change;                                                                                                        \
        ck_assert_int_eq(model_config_check(&c, &err), STATUS_CONFIG);                                                 \
        expect_error(&err, STATUS_CONFIG, word);                                                                       \
    } while (0)
    NOT(c.norm = NORM_LAYER, "norm");
    NOT(c.qk_norm = true, "norms of queries and keys");
    NOT(c.qkv_bias = true, "biases");
    NOT(c.resid_pdrop = 0.1f, "dropout");
    NOT(c.rope = ROPE_NONE, "positions");
    NOT((c.window = 4, c.layer_kind[0] = LAYER_WINDOW), "sliding window");
    NOT(c.layer_kind[1] = LAYER_NO_ROPE, "without rotation");
    NOT((c.family = MODEL_GPT2), "gpt2");
    NOT((c.family = MODEL_MISTRAL, c.window = 4, c.layer_kind[0] = LAYER_WINDOW), "some layers");
    NOT((c.family = MODEL_QWEN2, c.qkv_bias = true, c.layer_kind[0] = LAYER_WINDOW), "no size");
    NOT(c.n_layer = 1025, "n_layer");
#undef NOT
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
    tcase_add_test(cases, the_families);
    tcase_add_test(cases, forms_of_keys);
    tcase_add_test(cases, families_round_trip);
    tcase_add_loop_test(cases, refused_of_families, 0, sizeof REFUSED / sizeof *REFUSED);
    tcase_add_test(cases, not_of_the_family);
    tcase_add_test(cases, checked);
    return run_suite("formats/model_config", cases);
}
