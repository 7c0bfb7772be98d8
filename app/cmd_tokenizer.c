/* SPDX-License-Identifier: MIT
 * app/cmd_tokenizer.c - `cllm tokenizer train|encode|decode`.
 */
#include "app/command.h"
#include "app/options.h"
#include "app/tokenizer_commands.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct command parts[] = {
    {"train", tokenizer_command_train, "make a byte-level BPE vocabulary from text"},
    {"encode", tokenizer_command_encode, "text to token shards, or one text to ids"},
    {"decode", tokenizer_command_decode, "token shards, or ids, to text"},
};

enum { COUNT = sizeof parts / sizeof parts[0] };

int cmd_tokenizer(int argc, char **argv)
{
    const char *names[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        names[i] = parts[i].name;
    const char *word = argc > 1 ? argv[1] : NULL;
    for (size_t i = 0; word && i < COUNT; i++)
        if (strcmp(word, parts[i].name) == 0)
            return command_finish_output("tokenizer", parts[i].run(argc - 1, argv + 1));
    const bool help = word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
    if (word && !help) {
        const char *near = option_nearest(word, names, COUNT);
        command_say("tokenizer", "unknown part '%s'; %s%s", word,
                    near ? "did you mean " : "`cllm tokenizer --help` lists those there are", near ? near : "");
        return EXIT_CODE_USAGE;
    }
    FILE *out = help ? stdout : stderr;
    fprintf(out, "usage: cllm tokenizer train|encode|decode [options]\n\n"
                 "Hugging Face's tokenizer.json: made, and applied to text and tokens.\n\n");
    for (size_t i = 0; i < COUNT; i++)
        fprintf(out, "  %-8s %s\n", parts[i].name, parts[i].summary);
    fprintf(out, "\n  --help     this text; `cllm tokenizer PART --help` tells each one's options\n\nExamples:\n"
                 "  cllm tokenizer train --vocab-size 32000 --data texts --out tokenizer.json\n"
                 "  cllm tokenizer encode --tokenizer tokenizer.json --data texts --out shards\n"
                 "  cllm tokenizer decode --tokenizer tokenizer.json shards\n");
    return help ? command_finish_output("tokenizer", EXIT_CODE_OK) : EXIT_CODE_USAGE;
}
