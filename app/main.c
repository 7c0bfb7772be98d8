/* SPDX-License-Identifier: MIT
 * app/main.c - the command: finds the subcommand and hands it the words after its name.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/memory.h"
#include "formats/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
    {"train", cmd_train, "train a model on text, go on from a model, or resume a run"},
    {"generate", cmd_generate, "write text with a model"},
    {"eval", cmd_eval, "loss, perplexity and bits per byte of a model on a text"},
    {"convert", cmd_convert, "a model as safetensors, GGUF or llm.c's file, in another element type"},
    {"inspect", cmd_inspect, "what a model file or directory holds, and whether it is sound"},
    {"stats", cmd_stats, "what each sphere of a run did"},
    {"ctl", cmd_ctl, "ask and steer a training while it goes on"},
    {"report", cmd_report, "a run as one HTML page: curves, spheres, samples, settings"},
    {"compare", cmd_compare, "where the results of two runs part, and which settings differ"},
    {"export", cmd_export, "the metrics of a run as CSV or for TensorBoard"},
    {"plan", cmd_plan, "memory, disk and arithmetic of a run before it starts"},
    {"tokenizer", cmd_tokenizer, "make a tokenizer from text; text to token shards and back"},
    {"data", cmd_data, "look at data before training on it: documents, windows, what counts"},
    {"topology", cmd_topology, "what machine this is, and how N spheres would sit on it"},
    {"bench", cmd_bench, "measure steps, barriers and products"},
};
enum { NUM_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *out)
{
    fprintf(out, "usage: cllm COMMAND [options]\n\n"
                 "Trains and runs GPT-2-style language models on CPUs, with N worker threads (spheres) and the same\n"
                 "bits for any number of them.\n\nCommands:\n");
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "\n  --help     this text; `cllm COMMAND --help` tells each command's options\n"
                 "  --version  the version\n"
                 "\nExamples:\n"
                 "  cllm train --preset demo --data book.txt --tokenizer char --out run1\n"
                 "  cllm generate run1 --prompt \"Once upon\"\n"
                 "  cllm train --resume run1\n"
                 "  cllm stats run1\n"
                 "  cllm convert run1 model.gguf\n"
                 "\nExit codes: 0 done, 1 failed, 2 bad usage, 130 and 143 stopped by SIGINT and SIGTERM.\n");
}

static int unknown(const char *word, const char *const *candidates, size_t n, const char *what)
{
    const char *near = option_nearest(word, candidates, n);
    if (near)
        fprintf(stderr, "cllm: unknown %s '%s'; did you mean '%s'?\n", what, word, near);
    else
        fprintf(stderr, "cllm: unknown %s '%s'; `cllm --help` lists those there are\n", what, word);
    return EXIT_CODE_USAGE;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

/* All memory but hwloc's and the C library's comes through base/memory.h.  CLLM_FAIL_ALLOCATION=N, for tests: request N of it
 * (from 0) is refused, and that there was none such is said. */
static int run_command(const struct command *command, int argc, char **argv)
{
    const char *fail_at = getenv("CLLM_FAIL_ALLOCATION");
    json_set_alloc_funcs(mem_alloc, mem_free);
    if (fail_at)
        mem_fail_at(strtoll(fail_at, NULL, 10));
    const int code = command->run(argc, argv);
    if (fail_at && mem_request_count() <= strtoull(fail_at, NULL, 10))
        fprintf(stderr, "cllm: there were only %llu requests for memory\n", (unsigned long long)mem_request_count());
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_CODE_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        const struct command *of = argc > 2 ? find(argv[2]) : NULL;
        if (of) {
            char help[] = "--help", *words[] = {argv[2], help, NULL};
            return of->run(2, words);
        }
        print_help(stdout);
        return command_finish_output("help", EXIT_CODE_OK);
    }
    if (strcmp(word, "--version") == 0) {
        printf("cllm %s\n", CLLM_VERSION);
        return command_finish_output("--version", EXIT_CODE_OK);
    }
    const struct command *command = find(word);
    if (command)
        return run_command(command, argc - 1, argv + 1);
    if (word[0] == '-') {
        static const char *const flags[] = {"--help", "--version"};
        return unknown(word, flags, 2, "flag");
    }
    const char *names[NUM_COMMANDS];
    for (size_t i = 0; i < NUM_COMMANDS; i++)
        names[i] = commands[i].name;
    return unknown(word, names, NUM_COMMANDS, "command");
}
