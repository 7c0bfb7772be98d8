/* SPDX-License-Identifier: MIT
 * app/cmd_bench.c - `cllm bench NAME`: how fast it is here.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"

#include <stdio.h>
#include <string.h>

static const struct command benches[] = {
    {"step", bench_step, "whole training steps, beside another trainer when one is given"},
    {"barrier", bench_barrier, "the barrier and the waking of a team, beside libgomp's barrier"},
    {"pool", bench_pool, "tasks and parallel loops, beside libgomp and oneTBB"},
    {"matmul", bench_matmul, "matrix products of given shapes"},
    {"attention", bench_attention, "causal attention, forward and backward"},
    {"norm", bench_norm, "layer norm and RMS norm, forward and backward"},
    {"loss", bench_loss, "softmax cross-entropy and its gradient"},
    {"adamw", bench_adamw, "the optimizers' updates, and the gradients' norm"},
    {"limits", bench_limits, "what this machine's units and memory can do"},
    {"tokenizer", bench_tokenizer, "encoding text, and training a vocabulary"},
    {"save", bench_save, "what checkpoints cost a training, beside it and with it waiting"},
    {"generate", bench_generate, "reading a prompt and writing tokens"},
};

enum { COUNT = sizeof benches / sizeof benches[0] };

int cmd_bench(int argc, char **argv)
{
    const char *names[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        names[i] = benches[i].name;
    const char *word = argc > 1 ? argv[1] : NULL;
    for (size_t i = 0; word && i < COUNT; i++)
        if (strcmp(word, benches[i].name) == 0)
            return command_finish_output("bench", benches[i].run(argc - 1, argv + 1));
    bool help = word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
    if (word && !help) {
        const char *near = option_nearest(word, names, COUNT);
        command_say("bench", "unknown bench '%s'; %s%s", word,
                    near ? "did you mean " : "`cllm bench --help` lists those there are", near ? near : "");
        return EXIT_CODE_USAGE;
    }
    FILE *out = help ? stdout : stderr;
    fprintf(out, "usage: cllm bench NAME [options]\n\nMeasures on this machine, as it is loaded now.\n\n");
    for (size_t i = 0; i < COUNT; i++)
        fprintf(out, "  %-9s %s\n", benches[i].name, benches[i].summary);
    fprintf(out, "\n  --help     this text; `cllm bench NAME --help` tells each one's options\n\nExamples:\n"
                 "  cllm bench step --preset gpt2 --batch-size 4 --seq-len 256\n"
                 "  cllm bench barrier --spheres 2,16\n"
                 "  cllm bench pool\n"
                 "  cllm bench matmul --shape 4096,2304,768\n"
                 "  cllm bench attention --seq-len 256,1024\n");
    return help ? command_finish_output("bench", EXIT_CODE_OK) : EXIT_CODE_USAGE;
}
