/* SPDX-License-Identifier: MIT
 * formats/model_config.c - what the families are by default, and what a configuration may say.
 */
#include "formats/model_config.h"

#include "model_config_internal.h"

#include <math.h>
#include <string.h>

const struct family model_families[MODEL_FAMILIES] = {
    [MODEL_GPT2] = {"gpt2", "GPT2LMHeadModel", 50257, 1024, 768, 0, 12, 12, 0, 0, 0, 50256, 50256, -1},
    [MODEL_LLAMA] = {"llama", "LlamaForCausalLM", 32000, 2048, 4096, 11008, 32, 32, 0, 0, 0, 1, 2, -1},
    [MODEL_MISTRAL] = {"mistral", "MistralForCausalLM", 32000, 131072, 4096, 14336, 32, 32, 8, 0, 4096, 1, 2, -1},
    [MODEL_QWEN2] = {"qwen2", "Qwen2ForCausalLM", 151936, 32768, 4096, 22016, 32, 32, 32, 0, 4096, -1, -1, -1},
    [MODEL_QWEN3] = {"qwen3", "Qwen3ForCausalLM", 151936, 32768, 4096, 22016, 32, 32, 32, 128, 4096, -1, -1, -1},
    [MODEL_SMOLLM3] = {"smollm3", "SmolLM3ForCausalLM", 128256, 32768, 2048, 11008, 36, 16, 4, 0, 0, 128000, 128001,
                       128004},
};

const char *model_family_name(enum model_family family)
{
    return (unsigned)family < MODEL_FAMILIES ? model_families[family].model_type : "unknown";
}

struct model_config model_config_of(enum model_family family)
{
    struct model_config c = {.family = family, .initializer_range = 0.02f, .bos_token_id = -1, .pad_token_id = -1};
    if (family == MODEL_GPT2) {
        c.norm = NORM_LAYER;
        c.mlp = MLP_GELU;
        c.qkv_bias = c.out_bias = c.mlp_bias = c.tied = true;
        c.rope = ROPE_NONE;
        c.norm_epsilon = 1e-5f;
        return c;
    }
    c.norm = NORM_RMS;
    c.mlp = MLP_SWIGLU;
    c.qkv_bias = family == MODEL_QWEN2;
    c.qk_norm = family == MODEL_QWEN3;
    c.tied = family == MODEL_SMOLLM3;
    c.rope = ROPE_DEFAULT;
    c.rope_theta = family == MODEL_SMOLLM3 ? 2000000.0f : 10000.0f;
    c.norm_epsilon = 1e-6f;
    return c;
}

void model_config_describe(const struct model_config *c, struct buffer *out)
{
    if (c->family != MODEL_GPT2)
        buffer_printf(out, "%s, ", model_family_name(c->family));
    buffer_printf(out, "%zu layers, %zu heads", c->n_layer, c->n_head);
    if (c->n_kv_head != c->n_head)
        buffer_printf(out, " (%zu of keys and values)", c->n_kv_head);
    buffer_printf(out, ", %zu wide, context %zu", c->n_embd, c->n_positions);
}

void model_config_complete(struct model_config *c)
{
    if (c->n_kv_head == 0)
        c->n_kv_head = c->n_head;
    if (c->head_dim == 0 && c->n_head)
        c->head_dim = c->n_embd / c->n_head;
    if (c->n_inner == 0 && c->mlp == MLP_GELU)
        c->n_inner = 4 * c->n_embd;
}

void model_config_set_end_of_text(struct model_config *c, int32_t id)
{
    c->bos_token_id = c->eos_token_ids[0] = id;
    c->num_eos = id >= 0;
}

bool model_config_is_eos(const struct model_config *c, int32_t id)
{
    for (size_t i = 0; i < c->num_eos; i++)
        if (c->eos_token_ids[i] == id)
            return true;
    return false;
}

static enum status check_size(const char *name, size_t value, size_t max, struct error *err)
{
    if (value < 1 || value > max)
        return error_set(err, STATUS_CONFIG, "%s is %zu, outside 1 … %zu", name, value, max);
    return STATUS_OK;
}

static enum status check_probability(const char *name, float value, struct error *err)
{
    if (!(value >= 0 && value < 1))
        return error_set(err, STATUS_CONFIG, "%s is %g, where a probability of at least 0 and below 1 should be", name,
                         (double)value);
    return STATUS_OK;
}

static enum status check_positive(const char *name, float value, struct error *err)
{
    if (!(value > 0 && isfinite(value)))
        return error_set(err, STATUS_CONFIG, "%s is %g, where a positive number should be", name, (double)value);
    return STATUS_OK;
}

static enum status check_token(const char *name, int32_t id, size_t vocab_size, struct error *err)
{
    if (id < -1 || (id >= 0 && (size_t)id >= vocab_size))
        return error_set(err, STATUS_CONFIG, "%s is %d, outside the vocabulary of %zu (-1 is none)", name, (int)id,
                         vocab_size);
    return STATUS_OK;
}

static enum status check_sizes(const struct model_config *c, struct error *err)
{
    const struct {
        const char *name;
        size_t value, max;
    } sizes[] = {{"vocab_size", c->vocab_size, MAX_SIZE}, {"n_positions", c->n_positions, MAX_SIZE},
                 {"n_embd", c->n_embd, MAX_SIZE},         {"n_layer", c->n_layer, MODEL_LAYERS_MAX},
                 {"n_head", c->n_head, MAX_SIZE},         {"n_kv_head", c->n_kv_head, MAX_SIZE},
                 {"head_dim", c->head_dim, MAX_SIZE},     {"n_inner", c->n_inner, MAX_SIZE}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const enum status st = check_size(sizes[i].name, sizes[i].value, sizes[i].max, err);
        if (st != STATUS_OK)
            return st;
    }
    if (c->n_head % c->n_kv_head)
        return error_set(err, STATUS_CONFIG,
                         "n_head = %zu is not a multiple of n_kv_head = %zu, the heads of keys and values", c->n_head,
                         c->n_kv_head);
    if (c->head_dim > MAX_SIZE / (c->n_head + 2 * c->n_kv_head))
        return error_set(err, STATUS_CONFIG, "%zu heads of %zu channels are too wide", c->n_head, c->head_dim);
    if (c->family == MODEL_GPT2 && (c->n_head * c->head_dim != c->n_embd || c->n_kv_head != c->n_head)) {
        if (c->n_embd % c->n_head)
            return error_set(err, STATUS_CONFIG, "the width n_embd = %zu is not divisible by n_head = %zu", c->n_embd,
                             c->n_head);
        return error_set(err, STATUS_CONFIG,
                         "%zu heads of %zu channels and %zu of keys and values in a gpt2 of width n_embd = %zu; its "
                         "heads are all alike and make up the width",
                         c->n_head, c->head_dim, c->n_kv_head, c->n_embd);
    }
    return STATUS_OK;
}

/* Whether config.json of this family can say it, and so whether others would run the model as we do. */
static enum status check_family(const struct model_config *c, struct error *err)
{
    const bool gpt2 = c->family == MODEL_GPT2, rope = c->rope != ROPE_NONE;
    const struct model_config usual = model_config_of(c->family);
    bool windows = false, without_rope = false, all_windows = true;
    for (size_t l = 0; l < c->n_layer; l++) {
        windows |= c->layer_kind[l] & LAYER_WINDOW;
        all_windows &= (c->layer_kind[l] & LAYER_WINDOW) != 0;
        without_rope |= c->layer_kind[l] & LAYER_NO_ROPE;
    }
    const bool can_have_bias = c->family == MODEL_LLAMA || c->family == MODEL_QWEN3 || c->family == MODEL_SMOLLM3;
    const struct {
        bool wrong;
        const char *what;
    } cases[] = {
        {c->norm != usual.norm, "another norm"},
        {c->mlp != usual.mlp, "another MLP"},
        {c->qk_norm != usual.qk_norm, "norms of queries and keys otherwise"},
        {rope == gpt2, "positions of another kind"},
        {gpt2 && !c->tied, "a head of its own"},
        {!can_have_bias && (c->qkv_bias != usual.qkv_bias || c->out_bias != usual.out_bias),
         "biases in attention otherwise"},
        {can_have_bias && c->qkv_bias != c->out_bias, "biases in one part of attention only"},
        {c->mlp_bias != usual.mlp_bias && c->family != MODEL_LLAMA && c->family != MODEL_SMOLLM3,
         "biases in the MLP otherwise"},
        {without_rope && c->family != MODEL_SMOLLM3, "layers without rotation"},
        {windows && (gpt2 || c->family == MODEL_LLAMA), "a sliding window"},
        {c->window && !all_windows && c->family == MODEL_MISTRAL, "a sliding window in some layers"},
        {windows && !c->window, "layers with a sliding window but no size for it"},
        {!gpt2 && (c->embd_pdrop != 0 || c->resid_pdrop != 0), "dropout outside attention"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].wrong)
            return error_set(err, STATUS_CONFIG, "%s, which a %s does not have", cases[i].what,
                             model_family_name(c->family));
    return STATUS_OK;
}

static enum status check_rope(const struct model_config *c, struct error *err)
{
    enum status st;
    if (c->rope == ROPE_NONE)
        return STATUS_OK;
    if ((unsigned)c->rope > ROPE_LLAMA3)
        return error_set(err, STATUS_CONFIG, "unknown scaling of positions %d", (int)c->rope);
    if (c->head_dim % 2)
        return error_set(err, STATUS_CONFIG, "head_dim is %zu; rotation by position takes an even one", c->head_dim);
    if ((st = check_positive("rope_theta", c->rope_theta, err)) != STATUS_OK)
        return st;
    if (c->rope != ROPE_DEFAULT &&
        (st = check_positive("the factor of rope_scaling", c->rope_factor, err)) != STATUS_OK)
        return st;
    if (c->rope != ROPE_LLAMA3)
        return STATUS_OK;
    if ((st = check_positive("low_freq_factor", c->rope_low_freq_factor, err)) != STATUS_OK ||
        (st = check_positive("high_freq_factor", c->rope_high_freq_factor, err)) != STATUS_OK)
        return st;
    if (!(c->rope_high_freq_factor > c->rope_low_freq_factor))
        return error_set(err, STATUS_CONFIG, "high_freq_factor is %g, not above low_freq_factor, %g",
                         (double)c->rope_high_freq_factor, (double)c->rope_low_freq_factor);
    return check_size("original_max_position_embeddings", c->rope_original_positions, MAX_SIZE, err);
}

enum status model_config_check(const struct model_config *c, struct error *err)
{
    enum status st;
    if ((unsigned)c->family >= MODEL_FAMILIES)
        return error_set(err, STATUS_CONFIG, "unknown model family %d", (int)c->family);
    if ((st = check_sizes(c, err)) != STATUS_OK || (st = check_family(c, err)) != STATUS_OK ||
        (st = check_rope(c, err)) != STATUS_OK ||
        (st = check_probability("embd_pdrop", c->embd_pdrop, err)) != STATUS_OK ||
        (st = check_probability("attn_pdrop", c->attn_pdrop, err)) != STATUS_OK ||
        (st = check_probability("resid_pdrop", c->resid_pdrop, err)) != STATUS_OK ||
        (st = check_positive(c->norm == NORM_RMS ? "rms_norm_eps" : "layer_norm_epsilon", c->norm_epsilon, err)) !=
            STATUS_OK)
        return st;
    if (c->window > MAX_SIZE)
        return error_set(err, STATUS_CONFIG, "the sliding window is %zu, beyond %d", c->window, (int)MAX_SIZE);
    if (!(c->initializer_range >= 0 && isfinite(c->initializer_range)))
        return error_set(err, STATUS_CONFIG, "initializer_range is %g, where 0 or a positive number should be",
                         (double)c->initializer_range);
    if (c->num_eos > MODEL_EOS_MAX)
        return error_set(err, STATUS_CONFIG, "%zu tokens that end a text; at most %d can be kept", c->num_eos,
                         (int)MODEL_EOS_MAX);
    if ((st = check_token("bos_token_id", c->bos_token_id, c->vocab_size, err)) != STATUS_OK ||
        (st = check_token("pad_token_id", c->pad_token_id, c->vocab_size, err)) != STATUS_OK)
        return st;
    for (size_t i = 0; i < c->num_eos && st == STATUS_OK; i++)
        st = check_token("eos_token_id", c->eos_token_ids[i], c->vocab_size, err);
    return st;
}
