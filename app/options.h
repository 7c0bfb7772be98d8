/* SPDX-License-Identifier: MIT
 * app/options.h - command-line flags from a table.
 *
 * An array of `struct option_def` says a flag's name, its kind, its range, where its value goes and what it means; one
 * function fills the variables, one prints the help.  A flag is written --name VALUE or --name=VALUE; "--" ends the
 * flags.  Parsing the same words twice is fine and useful: the first pass tells the preset, then the preset's values
 * are set, and the second pass lays the flags over them.
 */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_GROUP, /* a heading in the help; `help` is its text */
    OPTION_FLAG,  /* bool, no value */
    OPTION_TEXT,  /* const char *, borrowed from argv */
    OPTION_INT,   /* int */
    OPTION_U64,   /* uint64_t */
    OPTION_SIZE,  /* size_t */
    OPTION_REAL,  /* double */
    OPTION_CHOICE, /* const char *, one of `choices` */
    OPTION_LIST    /* struct option_list; the flag may stand several times */
};

enum { OPTION_LIST_MAX = 16 };

struct option_list {
    const char *text[OPTION_LIST_MAX]; /* borrowed from argv */
    size_t n;
};

struct option_def {
    enum option_kind kind;
    const char *name;  /* without "--" */
    const char *value_name;
    void *value;
    double min, max;   /* both included */
    const char *const *choices; /* NULL-terminated */
    const char *help;
    bool given;        /* set by options_parse */
};

/* clang-format off: one row, one brace */
#define OPT_GROUP(text) {.kind = OPTION_GROUP, .help = (text)}
#define OPT_FLAG(flag, var, text) {.kind = OPTION_FLAG, .name = (flag), .value = (bool *){(var)}, .help = (text)}
#define OPT_TEXT(flag, arg, var, text)                                                                                 \
    {.kind = OPTION_TEXT, .name = (flag), .value_name = (arg), .value = (const char **){(var)}, .help = (text)}
#define OPT_LIST(flag, arg, var, text)                                                                                 \
    {.kind = OPTION_LIST, .name = (flag), .value_name = (arg), .value = (struct option_list *){(var)}, .help = (text)}
#define OPT_INT(flag, var, lo, hi, text)                                                                               \
    {.kind = OPTION_INT, .name = (flag), .value_name = "N", .value = (int *){(var)}, .min = (lo), .max = (hi),         \
     .help = (text)}
#define OPT_U64(flag, var, lo, hi, text)                                                                               \
    {.kind = OPTION_U64, .name = (flag), .value_name = "N", .value = (uint64_t *){(var)}, .min = (lo), .max = (hi),    \
     .help = (text)}
#define OPT_SIZE(flag, var, lo, hi, text)                                                                              \
    {.kind = OPTION_SIZE, .name = (flag), .value_name = "N", .value = (size_t *){(var)}, .min = (lo), .max = (hi),     \
     .help = (text)}
#define OPT_REAL(flag, var, lo, hi, text)                                                                              \
    {.kind = OPTION_REAL, .name = (flag), .value_name = "X", .value = (double *){(var)}, .min = (lo), .max = (hi),     \
     .help = (text)}
#define OPT_CHOICE(flag, var, list, text)                                                                              \
    {.kind = OPTION_CHOICE, .name = (flag), .value = (const char **){(var)}, .choices = (list), .help = (text)}
#define OPT_END {.name = NULL}
/* clang-format on */

/* The largest whole number a flag takes where nothing smaller applies: exact in a double. */
#define OPTION_WHOLE_MAX 9007199254740992.0

struct option_usage {
    const char *command;  /* "train" */
    const char *synopsis; /* lines after "usage: " */
    const char *summary;  /* one or two sentences */
    const char *examples; /* lines, indented by two */
    const char *notes;    /* printed last; may be NULL */
};

/* What the caller is to do next: go on, or return this exit code. */
enum { OPTIONS_GO_ON = -1 };

/* Fills the variables from argv[1 …].  Words that are not flags go to positionals[0 … max_positionals), their count
 * to *num_positionals; one too many is an error.  --help prints the help and gives 0.  An error is said in one
 * sentence and gives the usage exit code. */
int options_parse(int argc, char **argv, struct option_def *options, const struct option_usage *usage,
                  const char **positionals, size_t max_positionals, size_t *num_positionals);

/* Whether the flag stood on the command line. */
bool option_given(const struct option_def *options, const char *name);

/* The candidate nearest to `word` by edit distance, or NULL when none is near enough to be meant. */
const char *option_nearest(const char *word, const char *const *candidates, size_t n);

#endif
