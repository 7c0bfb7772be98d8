/* SPDX-License-Identifier: MIT
 * app/tokenizer_decode.c - `cllm tokenizer decode`.
 */
#include "app/command.h"
#include "app/options.h"
#include "app/tokenizer_commands.h"
#include "data/tokens.h"
#include "tokenizer/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct option_usage usage = {
    .command = "tokenizer decode",
    .synopsis = "cllm tokenizer decode --tokenizer PATH SHARD|DIR... | --ids \"1 2 3\" [options]",
    .summary = "Prints the text of token shards, or of ids, byte for byte.",
    .examples = "  cllm tokenizer decode --tokenizer tokenizer.json shards > text\n"
                "  cllm tokenizer decode --tokenizer tokenizer.json --ids \"262 995\"\n",
};

enum { MAX_PATHS = 64, BLOCK = 4096 };

static enum status put_block(const struct tokenizer *tokenizer, struct text_stream *stream, const int32_t *ids,
                             size_t n, struct buffer *text, struct error *err)
{
    buffer_clear(text);
    for (size_t i = 0; i < n; i++) {
        const enum status status = text_stream_push(stream, tokenizer, ids[i], text, err);
        if (status != STATUS_OK)
            return status;
    }
    fwrite(text->data ? text->data : "", 1, text->len, stdout);
    return STATUS_OK;
}

static enum status put_shards(const struct tokenizer *tokenizer, struct text_stream *stream, const char *const *paths,
                              size_t num_paths, struct buffer *text, struct error *err)
{
    struct tokens *tokens = tokens_open(paths, num_paths, err);
    if (!tokens)
        return err->status;
    enum status status = STATUS_OK;
    const uint64_t count = tokens_count(tokens);
    for (uint64_t at = 0; at < count && status == STATUS_OK; at += BLOCK) {
        int32_t ids[BLOCK];
        const size_t n = count - at < BLOCK ? (size_t)(count - at) : BLOCK;
        tokens_read(tokens, at, n, ids);
        status = put_block(tokenizer, stream, ids, n, text, err);
    }
    tokens_close(tokens);
    return status;
}

static enum status put_ids(const struct tokenizer *tokenizer, struct text_stream *stream, const char *list,
                           struct buffer *text, struct error *err)
{
    for (const char *at = list; *at;) {
        char *end;
        errno = 0;
        const long value = strtol(at, &end, 10);
        if (end == at || errno || value < 0 || value > INT32_MAX)
            return error_set(err, STATUS_CONFIG, "--ids \"%.100s\": numbers with spaces or commas between are wanted",
                             list);
        const int32_t id = (int32_t)value;
        const enum status status = put_block(tokenizer, stream, &id, 1, text, err);
        if (status != STATUS_OK)
            return status;
        for (at = end; *at == ' ' || *at == ',';)
            at++;
    }
    return STATUS_OK;
}

int tokenizer_command_decode(int argc, char **argv)
{
    const char *path = NULL, *list = NULL, *shards[MAX_PATHS];
    struct text_stream stream = {0};
    struct option_def options[] = {
        OPT_TEXT("tokenizer", "PATH", &path, "a tokenizer.json, or a directory with one"),
        OPT_TEXT("ids", "LIST", &list, "ids to decode instead of shards"),
        OPT_FLAG("special", &stream.with_special, "show special tokens by their text"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, shards, MAX_PATHS, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (!path || (list != NULL) == (found > 0)) {
        command_say(usage.command, "--tokenizer is needed, and either shards or --ids");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct buffer text = {0};
    struct tokenizer *tokenizer = tokenizer_load(path, &err);
    enum status status = tokenizer ? STATUS_OK : err.status;
    if (status == STATUS_OK)
        status = list ? put_ids(tokenizer, &stream, list, &text, &err)
                      : put_shards(tokenizer, &stream, shards, found, &text, &err);
    if (status == STATUS_OK) { /* what is left of a character is a byte that was there */
        fwrite(stream.held, 1, stream.num_held, stdout);
        if (list)
            putchar('\n');
    }
    buffer_release(&text);
    tokenizer_free(tokenizer);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(usage.command, &err);
}
