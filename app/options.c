/* SPDX-License-Identifier: MIT */
#include "app/options.h"

#include "app/command.h"
#include "base/check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORD = 64, MAX_OPTIONS = 96, HELP_COLUMN = 28, HELP_WIDTH = 100 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance by the two-row recurrence; longer words are cut, which only makes them look nearer. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t la = smaller(strlen(a), MAX_WORD), lb = smaller(strlen(b), MAX_WORD);
    size_t row[MAX_WORD + 1];
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t above = row[j];
            row[j] = smaller(smaller(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[lb];
}

const char *option_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t best_distance = (size_t)-1;
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(word, candidates[i]);
        /* "--batch" is meant for "--batch-size" though five letters are missing. */
        size_t len = strlen(word);
        if (len >= 3 && strncmp(word, candidates[i], len) == 0)
            distance = 1;
        if (distance < best_distance) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best && best_distance <= strlen(word) / 3 + 1 ? best : NULL;
}

static bool is_last(const struct option_def *option)
{
    return !option->name && !option->help;
}

static struct option_def *find(struct option_def *options, const char *name, size_t len)
{
    for (struct option_def *o = options; !is_last(o); o++)
        if (o->name && strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

bool option_given(const struct option_def *options, const char *name)
{
    for (const struct option_def *o = options; !is_last(o); o++)
        if (o->name && strcmp(o->name, name) == 0)
            return o->given;
    CHECK(0 && "no such option");
    return false;
}

static void print_choices(FILE *out, const char *const *choices, const char *between)
{
    for (size_t i = 0; choices[i]; i++)
        fprintf(out, "%s%s", i ? between : "", choices[i]);
}

/* Prints text broken at blanks, with later lines indented to `column`. */
static void print_wrapped(FILE *out, const char *text, int column)
{
    int at = column;
    while (*text) {
        int len = (int)strcspn(text, " \n");
        if (at > column && at + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", len, text);
        at += len;
        text += len;
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

static void print_help(FILE *out, const struct option_def *options, const struct option_usage *usage)
{
    fprintf(out, "usage: %s\n\n", usage->synopsis);
    print_wrapped(out, usage->summary, 0);
    if (options->kind != OPTION_GROUP)
        fprintf(out, "\nOptions:\n");
    for (const struct option_def *o = options; !is_last(o); o++) {
        if (o->kind == OPTION_GROUP) {
            fprintf(out, "\n%s:\n", o->help);
            continue;
        }
        char head[128];
        int len = snprintf(head, sizeof head, "  --%s", o->name);
        if (o->kind == OPTION_CHOICE)
            for (size_t i = 0; o->choices[i] && (size_t)len < sizeof head; i++)
                len += snprintf(head + len, sizeof head - (size_t)len, "%s%s", i ? "|" : " ", o->choices[i]);
        else if (o->value_name)
            len += snprintf(head + len, sizeof head - (size_t)len, " %s", o->value_name);
        fputs(head, out);
        if (len >= HELP_COLUMN - 1)
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        else
            fprintf(out, "%*s", HELP_COLUMN - len, "");
        print_wrapped(out, o->help, HELP_COLUMN);
    }
    fprintf(out, "  --help%*sthis text\n", HELP_COLUMN - 8, "");
    if (usage->examples)
        fprintf(out, "\nExamples:\n%s", usage->examples);
    if (usage->notes)
        fprintf(out, "\n%s", usage->notes);
}

static int say_unknown(const struct option_def *options, const struct option_usage *usage, const char *word)
{
    const char *names[MAX_OPTIONS];
    size_t n = 0, len = strcspn(word, "=");
    for (const struct option_def *o = options; !is_last(o) && n + 1 < MAX_OPTIONS; o++)
        if (o->name)
            names[n++] = o->name;
    names[n++] = "help";
    char bare[MAX_WORD + 1];
    snprintf(bare, sizeof bare, "%.*s", (int)smaller(len, MAX_WORD), word);
    const char *near = option_nearest(bare, names, n);
    if (near)
        command_say(usage->command, "unknown flag --%s; did you mean --%s?", bare, near);
    else
        command_say(usage->command, "unknown flag --%s; `cllm %s --help` lists those there are", bare, usage->command);
    return EXIT_CODE_USAGE;
}

static bool is_whole_kind(enum option_kind kind)
{
    return kind == OPTION_INT || kind == OPTION_U64 || kind == OPTION_SIZE;
}

static int say_bad_number(const struct option_def *o, const struct option_usage *usage, const char *text)
{
    const char *what = is_whole_kind(o->kind) ? "a whole number" : "a number";
    if (isinf(o->max) || o->max >= OPTION_WHOLE_MAX)
        command_say(usage->command, "--%s wants %s of at least %.15g, not '%s'", o->name, what, o->min, text);
    else
        command_say(usage->command, "--%s wants %s from %.15g to %.15g, not '%s'", o->name, what, o->min, o->max, text);
    return EXIT_CODE_USAGE;
}

/* Digits only, or a decimal number of strtod without its hexadecimal, infinite and NaN forms. */
static bool parse_number(const struct option_def *o, const char *text, double *real, uint64_t *whole)
{
    char *end;
    errno = 0;
    if (is_whole_kind(o->kind)) {
        if (!*text || strspn(text, "0123456789") != strlen(text))
            return false;
        *whole = strtoull(text, &end, 10);
        *real = (double)*whole;
        /* A seed may use all 64 bits: the upper bound is tested only where one is meant. */
        return errno == 0 && *real >= o->min && (o->max >= OPTION_WHOLE_MAX || *real <= o->max);
    }
    if (!*text || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    *real = strtod(text, &end);
    return *end == '\0' && isfinite(*real) && *real >= o->min && *real <= o->max;
}

static int set_value(struct option_def *o, const struct option_usage *usage, const char *text)
{
    double real = 0;
    uint64_t whole = 0;
    switch (o->kind) {
    case OPTION_TEXT:
        *(const char **)o->value = text;
        return OPTIONS_GO_ON;
    case OPTION_LIST: {
        struct option_list *list = o->value;
        if (list->n == OPTION_LIST_MAX) {
            command_say(usage->command, "--%s may stand %d times at most", o->name, (int)OPTION_LIST_MAX);
            return EXIT_CODE_USAGE;
        }
        list->text[list->n++] = text;
        return OPTIONS_GO_ON;
    }
    case OPTION_CHOICE:
        for (size_t i = 0; o->choices[i]; i++)
            if (strcmp(text, o->choices[i]) == 0) {
                *(const char **)o->value = o->choices[i];
                return OPTIONS_GO_ON;
            }
        fflush(stdout);
        fprintf(stderr, "cllm %s: --%s is one of ", usage->command, o->name);
        print_choices(stderr, o->choices, ", ");
        fprintf(stderr, "; not '%s'\n", text);
        return EXIT_CODE_USAGE;
    case OPTION_INT:
    case OPTION_U64:
    case OPTION_SIZE:
    case OPTION_REAL:
        if (!parse_number(o, text, &real, &whole))
            return say_bad_number(o, usage, text);
        if (o->kind == OPTION_INT)
            *(int *)o->value = (int)whole;
        else if (o->kind == OPTION_U64)
            *(uint64_t *)o->value = whole;
        else if (o->kind == OPTION_SIZE)
            *(size_t *)o->value = (size_t)whole;
        else
            *(double *)o->value = real;
        return OPTIONS_GO_ON;
    case OPTION_FLAG:
    case OPTION_GROUP:
        break;
    }
    CHECK(0 && "an option without a value was given one");
    return EXIT_CODE_USAGE;
}

int options_parse(int argc, char **argv, struct option_def *options, const struct option_usage *usage,
                  const char **positionals, size_t max_positionals, size_t *num_positionals)
{
    size_t found = 0;
    bool flags_over = false;
    for (struct option_def *o = options; !is_last(o); o++)
        if (o->kind == OPTION_LIST)
            ((struct option_list *)o->value)->n = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (flags_over || word[0] != '-' || word[1] == '\0') {
            if (found == max_positionals) {
                command_say(usage->command, "'%s' is one word too many; usage: %.*s", word,
                            (int)strcspn(usage->synopsis, "\n"), usage->synopsis);
                return EXIT_CODE_USAGE;
            }
            positionals[found++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            flags_over = true;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(stdout, options, usage);
            return command_finish_output(usage->command, EXIT_CODE_OK);
        }
        const char *name = word + 1 + (word[1] == '-');
        size_t len = strcspn(name, "=");
        struct option_def *o = word[1] == '-' ? find(options, name, len) : NULL;
        if (!o)
            return say_unknown(options, usage, name);
        o->given = true;
        if (o->kind == OPTION_FLAG) {
            if (name[len] == '=') {
                command_say(usage->command, "--%s takes no value", o->name);
                return EXIT_CODE_USAGE;
            }
            *(bool *)o->value = true;
            continue;
        }
        const char *text = name[len] == '=' ? name + len + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!text) {
            command_say(usage->command, "--%s wants a value", o->name);
            return EXIT_CODE_USAGE;
        }
        int code = set_value(o, usage, text);
        if (code != OPTIONS_GO_ON)
            return code;
    }
    *num_positionals = found;
    return OPTIONS_GO_ON;
}
