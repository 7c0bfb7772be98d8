/* SPDX-License-Identifier: MIT
 * seeds.h - small good files for every parser, made here; each goes to seed(), which the includer has.
 */
#ifndef FUZZ_SEEDS_H
#define FUZZ_SEEDS_H

#include "fuzz/parsers.h"

static void seed(const char *name, const void *bytes, size_t size);

static void seed_file(const char *name, const char *path)
{
    struct buffer bytes = {0};
    struct error err;
    if (file_read(path, SIZE_MAX, &bytes, &err) != STATUS_OK)
        fail(err.text);
    seed(name, bytes.data, bytes.len);
    buffer_release(&bytes);
}

/* A good configuration or tokenizer, which must be accepted: else it would be no seed.  ` stands for ". */
static void seed_json(const char *name, const char *text)
{
    struct error err = {0};
    struct buffer quoted = {0};
    buffer_append_text(&quoted, text);
    for (size_t i = 0; i < quoted.len; i++)
        if (quoted.data[i] == '`')
            quoted.data[i] = '"';
    if (strcmp(name, "config") == 0) {
        static struct model_config read;
        model_config_read(put("config.json", (const uint8_t *)quoted.data, quoted.len), &read, &err);
    } else {
        tokenizer_free(tokenizer_from_text(quoted.data, quoted.len, "a seed", &err));
    }
    if (err.status != STATUS_OK)
        fail(err.text);
    seed(name, quoted.data, quoted.len);
    buffer_release(&quoted);
}

/* Configurations with little more than they need */
static const char *const small_configs[] = {
    "{`model_type`:`gpt2`,`vocab_size`:9,`n_positions`:8,`n_embd`:6,`n_layer`:2,`n_head`:3,`n_inner`:null,`eos_token_"
    "id`:8}",
    "{`model_type`:`llama`,`vocab_size`:9,`max_position_embeddings`:8,`hidden_size`:6,`intermediate_size`:7,"
    "`num_hidden_layers`:2,`num_attention_heads`:3,`num_key_value_heads`:1,`head_dim`:4,`rms_norm_eps`:1e-5,"
    "`rope_theta`:1e4,`rope_scaling`:{`rope_type`:`llama3`,`factor`:8.0,`low_freq_factor`:1,`high_freq_factor`:4,"
    "`original_max_position_embeddings`:4},`eos_token_id`:[1,2],`tie_word_embeddings`:true}",
    "{`model_type`:`mistral`,`vocab_size`:9,`max_position_embeddings`:8,`hidden_size`:4,`intermediate_size`:7,"
    "`num_hidden_layers`:1,`num_attention_heads`:2,`num_key_value_heads`:1,`sliding_window`:3,`rope_parameters`:{`rope_"
    "type`:`linear`,`factor`:"
    "2,"
    "`rope_theta`:10}}",
    "{`model_type`:`qwen2`,`vocab_size`:9,`max_position_embeddings`:8,`hidden_size`:4,`intermediate_size`:7,"
    "`num_hidden_layers`:2,`num_attention_heads`:2,`num_key_value_heads`:2,`use_sliding_window`:true,`sliding_window`:"
    "3,`max_window_layers`:1}",
    "{`model_type`:`smollm3`,`vocab_size`:9,`max_position_embeddings`:8,`hidden_size`:4,`intermediate_size`:7,"
    "`num_hidden_layers`:2,`num_attention_heads`:2,`num_key_value_heads`:2,`no_rope_layers`:[1,0],`layer_types`:["
    "`full_attention`,`sliding_attention`],`sliding_window`:2}",
};

static enum status zeros(void *ctx, size_t i, size_t first, size_t n, float *out, struct error *err)
{
    (void)ctx, (void)first, (void)err;
    memset(out, 0, n * (i ? 1 : 32) * sizeof *out);
    return STATUS_OK;
}

/* A GGUF file that is no model: a key of each kind, two tensors. */
static void small_gguf(const struct buffer *path)
{
    struct error err = {0};
    struct gguf_writer *writer = gguf_writer_new(&err);
    const uint64_t shape[2] = {32, 1};
    if (!writer)
        fail(err.text);
    gguf_set_text(writer, "general.architecture", "gpt2", 4);
    gguf_set_u32(writer, "general.alignment", 32);
    gguf_set_float(writer, "f", 1.5f);
    gguf_set_bool(writer, "b", true);
    gguf_set_array(writer, "t", GGUF_STRING, 2);
    gguf_item_text(writer, "a", 1);
    gguf_item_text(writer, "", 0);
    gguf_set_array(writer, "i", GGUF_I32, 1);
    gguf_item_i32(writer, -1);
    if (gguf_add_tensor(writer, "x", 2, shape, TENSOR_Q8_0, &err) != STATUS_OK ||
        gguf_add_tensor(writer, "y", 1, shape + 1, TENSOR_F32, &err) != STATUS_OK ||
        gguf_write(writer, path->data, zeros, NULL, &err) != STATUS_OK)
        fail(err.text);
    gguf_writer_free(writer);
    seed_file("gguf", path->data);
}

/* A tokenizer of each kind, as small as it can be. */
static const char *const small_tokenizers[] = {
    "{`model`:{`type`:`BPE`,`vocab`:{`a`:0,`b`:1,`ab`:2,`Ġ`:3},`merges`:[[`a`,`b`]]},`added_tokens`:[{`id`:4,`content`:"
    "`<e>`,"
    "`single_word`:false,`lstrip`:true,`rstrip`:true,`normalized`:false,`special`:true},{`id`:5,`content`:`lone`,"
    "`single_word`:true,`lstrip`:false,`rstrip`:false,`normalized`:true,`special`:false}],`pre_tokenizer`:{`type`:"
    "`ByteLevel`,`add_prefix_space`:true,`trim_offsets`:true,`use_regex`:true},`post_processor`:{`type`:`"
    "TemplateProcessing`,"
    "`single`:[{`SpecialToken`:{`id`:`<e>`,`type_id`:0}},{`Sequence`:{`id`:`A`,`type_id`:0}}],`pair`:[],`special_"
    "tokens`:"
    "{`<e>`:{`id`:`<e>`,`ids`:[4],`tokens`:[`<e>`]}}},`decoder`:{`type`:`ByteLevel`}}",
    "{`model`:{`type`:`BPE`,`dropout`:null,`ignore_merges`:true,`vocab`:{`a`:0,`b`:1,`1`:2,`ab1`:3},`merges`:[]},"
    "`pre_tokenizer`:{`type`:`Sequence`,`pretokenizers`:[{`type`:`Split`,`pattern`:{`Regex`:`(?i:'s|'t|'re|'ve|'m|'ll|'"
    "d)|"
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+`},"
    "`behavior`:`Isolated`,`invert`:false},{`type`:`ByteLevel`,`add_prefix_space`:false,`use_regex`:false}]},`decoder`:"
    "{`type`:`ByteLevel`}}",
    "{`normalizer`:{`type`:`NFC`},`model`:{`type`:`BPE`,`vocab`:{`Ã`:0,`©`:1,`Ã©`:2},`merges`:[`Ã ©`]},`pre_tokenizer`:"
    "{`type`:`Sequence`,`pretokenizers`:[{`type`:`Digits`,`individual_digits`:true},{`type`:`ByteLevel`,`add_prefix_"
    "space`:"
    "false}]},`decoder`:{`type`:`ByteLevel`}}",
    "{`normalizer`:{`type`:`Sequence`,`normalizers`:[{`type`:`Prepend`,`prepend`:`▁`},{`type`:`Replace`,`pattern`:{`"
    "String`:"
    "` `},`content`:`▁`}]},`model`:{`type`:`BPE`,`unk_token`:`?`,`fuse_unk`:true,`byte_fallback`:true,`vocab`:{`?`:0,"
    "`<0x41>`:1,`▁`:2,`a`:3,`▁a`:4,`▁▁`:5},`merges`:[`▁ a`,`▁ "
    "▁`]},`decoder`:{`type`:`Sequence`,`decoders`:[{`type`:`Replace`,"
    "`pattern`:{`String`:`▁`},`content`:` `},{`type`:`ByteFallback`},{`type`:`Fuse`},{`type`:`Strip`,`content`:` "
    "`,`start`:1,"
    "`stop`:0}]}}",
    "{`pre_tokenizer`:{`type`:`Metaspace`,`replacement`:`▁`,`prepend_scheme`:`first`,`split`:false},`model`:{`type`:`"
    "BPE`,"
    "`unk_token`:`?`,`vocab`:{`?`:0,`▁`:1,`a`:2,`▁a`:3},`merges`:[`▁ "
    "a`]},`decoder`:{`type`:`Metaspace`,`replacement`:`▁`,"
    "`prepend_scheme`:`first`,`split`:false}}",
};

/* Two small models as GGUF with a tokenizer each, and one as llm.c has it. */
static void model_seeds(const struct buffer *path)
{
    static const char pieces[] =
        "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"byte_fallback\":true,\"vocab\":{\"?\":0,\"<0x0A>\":1,\"a\":"
        "2,"
        "\"b\":3,\"ab\":4},\"merges\":[\"a b\"]},\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
        "\"content\":\"\u2581\"}}";
    static const char bytes[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[[\"a\",\"b\"]]},"
        "\"added_tokens\":[{\"id\":3,\"content\":\"<e>\",\"special\":true}],\"pre_tokenizer\":{\"type\":"
        "\"ByteLevel\",\"add_prefix_space\":false}}";
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        struct model_config c = model_config_of(i ? MODEL_LLAMA : MODEL_GPT2);
        struct text_files texts = {0};
        struct buffer tokenizer = {0};
        c.vocab_size = 6;
        c.n_positions = c.n_embd = 4;
        c.n_layer = 1;
        c.n_head = 2;
        c.n_inner = 16;
        model_config_complete(&c);
        struct model *model = model_new(&c, &err);
        if (!model)
            fail(err.text);
        model_init_weights(model, 1, NULL);
        buffer_append_text(&tokenizer, i ? pieces : bytes);
        if (text_files_put(&texts, "tokenizer.json", &tokenizer, &err) != STATUS_OK ||
            model_write(model, path->data, MODEL_FORMAT_GGUF, TENSOR_F32, &texts, "x", &err) != STATUS_OK)
            fail(err.text);
        seed_file("gguf", path->data);
        if (i == 0 && model_write(model, path->data, MODEL_FORMAT_LLMC, TENSOR_BF16, &texts, "x", &err) != STATUS_OK)
            fail(err.text);
        if (i == 0)
            seed_file("llmc", path->data);
        text_files_release(&texts);
        model_free(model);
    }
}

static void all_seeds(void)
{
    struct error err = {0};
    struct buffer text = {0}, path = {0};
    put("seed", (const uint8_t *)"", 0); /* makes the directory */
    path_join(&path, directory, "seed");

    static const char log_lines[] = "{\"step\": 1, \"tokens\": 8, \"loss\": 2.5, \"lr\": 0.001, \"grad_norm\": null}\n"
                                    "{\"step\": 1, \"val_loss\": 2.25, \"elapsed_s\": 1.0}\n"
                                    "{\"step\": 1, \"event\": \"sample\", \"text\": \"a\\n\"}\n"
                                    "{\"step\": 2, \"tokens\": 16, \"loss\": 2e1, \"lr\": 0.001, \"grad_norm\": 1.5}\n";
    static const uint64_t starts[] = {0, 7, 7, 31, 64, 100};
    seed("documents", starts, sizeof starts);
    seed("metrics", log_lines, sizeof log_lines - 1);

    static const char event_lines[] = "{\"step\": 1, \"event\": \"lr\", \"factor\": 0.5}\n{\"step\": 1, \"event\": "
                                      "\"sample\", \"text\": \"\\u0000\"}\n"
                                      "{\"step\": 2, \"event\": \"skip\", \"loss\": null}\n{\"step\": 2, \"event\": \"lr\", \"factor\": 2}\n";
    seed("events", event_lines, sizeof event_lines - 1);
    static const char trainer_text[] =
        "{\"format\": 1, \"step\": 30, \"tokens\": 240, \"epoch\": 0, \"sample\": 30, \"seed\": 7, \"optimizer\": \"adamw\","
        "\"settings_hash\": \"0123abcd\", \"loss\": 2.5, \"grad_norm\": null, \"lr\": 0.001, \"lr_factor\": 1.0, \"spikes\":"
        "{\"skipped\": 3, \"in_a_row\": 1, \"rollbacks\": 1, \"losses\": [2.5, 2.25], \"left_out\": [{\"number\": 1,"
        "\"after_step\": 9, \"first_sample\": 9, \"last_sample\": 17, \"reason\": 3, \"step\": 18, \"loss\": 7.5,"
        "\"grad_norm\": null, \"bound\": 5.0, \"spike_first_sample\": 17, \"spike_last_sample\": 17}]}}";
    seed("trainer", trainer_text, sizeof trainer_text - 1);
    static const char *const requests[] = {
        "{\"command\": \"status\"}", "{\"command\": \"sample\", \"prompt\": \"a\\u00e9\\n\", \"timeout_s\": 2.5}",
        "{\"command\": \"lr\", \"factor\": 0.25}", "{\"command\": \"spheres\", \"spheres\": 64}"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        seed("control", requests[i], strlen(requests[i]));

    const float x[7] = {1, 2, 3, 4, 5, 6, 7};
    const struct tensor_view views[] = {
        {"h.0.ln_1.weight", "F32", 2, {2, 3}, x, 24}, {"b", "F32", 0, {0}, x, 4}, {"e", "F32", 1, {0}, x, 0}};
    if (safetensors_write(path.data, views, 3, NULL, NULL, &err) != STATUS_OK)
        fail(err.text);
    seed_file("safetensors", path.data);

    static const char weight_map[] =
        "{\"metadata\": {\"total_size\": 12}, \"weight_map\": {\"a\": \"1.safetensors\", \"b\": "
        "\"2.safetensors\"}}";
    seed("shards", weight_map, sizeof weight_map - 1);
    small_gguf(&path);
    model_seeds(&path);
    for (size_t i = 0; i < sizeof small_configs / sizeof *small_configs; i++)
        seed_json("config", small_configs[i]);

    struct model_config c = model_config_of(MODEL_GPT2);
    c.vocab_size = 50257;
    c.n_positions = 1024;
    c.n_embd = 768;
    c.n_layer = c.n_head = 12;
    c.embd_pdrop = c.attn_pdrop = c.resid_pdrop = 0.1f;
    model_config_complete(&c);
    model_config_set_end_of_text(&c, 50256);
    model_config_json(&c, &text, &err);
    seed("config", text.data, text.len);
    for (enum model_family family = MODEL_LLAMA; family <= MODEL_SMOLLM3; family++) {
        struct model_config f = model_config_of(family);
        f.vocab_size = f.n_positions = f.n_embd = f.n_inner = 64;
        f.n_layer = f.n_head = 4;
        f.n_kv_head = 2;
        f.window = family == MODEL_LLAMA ? 0 : 9;
        for (size_t l = family == MODEL_MISTRAL ? 0 : 2; l < 4 && f.window; l++)
            f.layer_kind[l] = LAYER_WINDOW;
        f.rope = family % 2 ? ROPE_LLAMA3 : ROPE_DEFAULT;
        f.rope_factor = f.rope_high_freq_factor = 4;
        f.rope_low_freq_factor = 1;
        f.rope_original_positions = 32;
        model_config_complete(&f);
        model_config_set_end_of_text(&f, 2);
        f.eos_token_ids[f.num_eos++] = 3;
        buffer_clear(&text);
        if (model_config_check(&f, &err) != STATUS_OK || model_config_json(&f, &text, &err) != STATUS_OK)
            fail(err.text);
        seed("config", text.data, text.len);
    }

    static const uint32_t characters[] = {'\n', '"', 'a', 0xe9, 0x1f600};
    struct tokenizer *made[] = {tokenizer_new_chars(characters, 5, true, &err), tokenizer_new_bytes(&err)};
    for (int i = 0; i < 2; i++) {
        buffer_clear(&text);
        tokenizer_json(made[i], &text, &err);
        seed("tokenizer", text.data, text.len);
        tokenizer_free(made[i]);
    }

    for (size_t i = 0; i < sizeof small_tokenizers / sizeof *small_tokenizers; i++)
        seed_json("tokenizer", small_tokenizers[i]);
    static const char *const kinds[] = {"gpt2", "llama3", "llama2", "metaspace"};
    for (int i = 0; i < 4; i++) {
        char fixture[100];
        snprintf(fixture, sizeof fixture, "tests/fixtures/tokenizers/%s.json", kinds[i]);
        seed_file("tokenizer", fixture);
    }
    static const char hostile[] = "I'll DON'T x\xC5\xBFy  12345 \r\n\n \xE2\x96\x81"
                                  "a <|endoftext|> lone<tool> [MASK] \xE2\x82 e\xCC\x81 "
                                  "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD\xff\x80 \xE6\x97\xA5\xE6\x9C\xAC\t"
                                  "end";
    for (int i = 0; i < NUM_ENCODERS; i++) {
        const char kind = (char)i;
        buffer_clear(&text);
        buffer_append(&text, &kind, 1);
        buffer_append(&text, hostile, sizeof hostile - 1);
        seed("encoder", text.data, text.len);
    }
    static const char *const templates[] = {
        "{\"chat_template\": \"<|im_start|>system\\nBe kind.<|im_end|> split('</think>')[-1].lstrip('\\\\n') "
        "<|im_start|>assistant\"}",
        "{\"bos_token\": {\"content\": \"<b>\"}, \"chat_template\": [{\"name\": \"default\", \"template\": \"{{ "
        "bos_token }}"
        "<|start_header_id|><|end_header_id|>message['content'] | trim<|eot_id|>\"}]}",
        "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"chat_template\": \"{{ bos_token }} loop.last and "
        "system_message "
        "' [INST] ' '[/INST]' ' ' + message['content']|trim + eos_token\"}",
    };
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        seed("chat", templates[i], strlen(templates[i]));

    static const char lines[] = "{\"text\": \"one\\u00e9 €\"}\n\n{\"id\": 1, \"text\": \"\"}\n{\"text\": \"3\"}";
    seed("corpus", lines, sizeof lines - 1);
    gzFile z = gzopen(path.data, "wb");
    gzwrite(z, lines, sizeof lines - 1);
    gzclose(z);
    z = gzopen(path.data, "ab"); /* a second member */
    gzwrite(z, "\n{\"text\":\"\"}", 12);
    gzclose(z);
    seed_file("corpus", path.data);

    static const int32_t ids[] = {0, 1, 999, 65535};
    for (int width = 2; width <= 4; width += 2) {
        struct token_writer *writer = token_writer_open(path.data, width, &err);
        if (!writer || token_writer_append(writer, ids, 4, &err) != STATUS_OK ||
            token_writer_commit(writer, &err) != STATUS_OK)
            fail(err.text);
        seed_file("shard", path.data);
    }
    buffer_release(&text);
    buffer_release(&path);
}

#endif
