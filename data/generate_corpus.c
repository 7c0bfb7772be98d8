/* SPDX-License-Identifier: MIT
 * data/generate_corpus.c - English-like text without end from a small grammar.
 *
 *     generate_corpus MEGABYTES [SEED [GRAMMAR]] > FILE        (defaults: seed 1, data/grammar.txt)
 *
 * For the demo where no real text can be had, and for tests that want much text.  Output is a function of the three
 * arguments: MEGABYTES * 1000000 bytes, give or take the end of a paragraph; choice number i is number i of the key
 * (seed, RNG_CORPUS).  The grammar, one rule a line:
 *
 *     name: alternative | 3* alternative          chosen evenly, "3*" counts as three; # starts a comment line
 *     <name>  what a rule gives     <^name>  with its first letter a capital
 *     <@name>, <^@name>  drawn once a paragraph, then the same: a story keeps its hero
 *
 * The first rule makes one paragraph.  Spaces between words are kept as one; "\n" begins a new line.
 */
#include "base/memory.h"
#include "base/rng.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 256, MAX_ALTERNATIVES = 4096, MAX_DEPTH = 40, MAX_GRAMMAR_BYTES = 1 << 20, MAX_DRAWN = 256 };

struct alternative {
    const char *text;
    uint32_t weight;
};

struct rule {
    const char *name;
    size_t first, count; /* alternatives */
    uint32_t weight;     /* of all of them */
    char drawn[MAX_DRAWN]; /* what <@name> is in this paragraph; "" = not yet */
};

struct grammar {
    struct rule rules[MAX_RULES];
    struct alternative alternatives[MAX_ALTERNATIVES];
    size_t num_rules, num_alternatives;
};

struct writer {
    FILE *file;
    uint64_t key, draws, bytes;
};

static int fail(const char *where, size_t line, const char *what)
{
    if (line)
        fprintf(stderr, "generate_corpus: %s:%zu: %s\n", where, line, what);
    else
        fprintf(stderr, "generate_corpus: %s: %s\n", where, what);
    return 1;
}

static struct rule *find(struct grammar *grammar, const char *name, size_t len)
{
    for (size_t i = 0; i < grammar->num_rules; i++)
        if (strlen(grammar->rules[i].name) == len && memcmp(grammar->rules[i].name, name, len) == 0)
            return &grammar->rules[i];
    return NULL;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len && isspace((unsigned char)text[len - 1]))
        text[--len] = 0;
    return text;
}

/* One line "name: a | 3* b", cut up in place. */
static const char *parse_rule(struct grammar *grammar, char *line)
{
    char *colon = strchr(line, ':');
    if (!colon)
        return "a rule is \"name: alternative | alternative\"";
    *colon = 0;
    char *name = trim(line);
    if (!*name || strpbrk(name, "<>@^|"))
        return "a rule's name is a word without < > @ ^ |";
    if (find(grammar, name, strlen(name)))
        return "this rule is there already";
    if (grammar->num_rules == MAX_RULES)
        return "too many rules";
    struct rule *rule = &grammar->rules[grammar->num_rules++];
    *rule = (struct rule){.name = name, .first = grammar->num_alternatives};
    for (char *next = colon + 1; next;) {
        char *text = next;
        next = strchr(text, '|');
        if (next)
            *next++ = 0;
        text = trim(text);
        uint32_t weight = 1;
        char *end;
        unsigned long number = strtoul(text, &end, 10);
        if (end != text && *end == '*') {
            if (number < 1 || number > 1000)
                return "a weight is 1 to 1000";
            weight = (uint32_t)number;
            text = trim(end + 1);
        }
        if (grammar->num_alternatives == MAX_ALTERNATIVES)
            return "too many alternatives";
        grammar->alternatives[grammar->num_alternatives++] = (struct alternative){text, weight};
        rule->count++;
        rule->weight += weight;
    }
    return NULL;
}

/* The rule that "<^@name>" at `text` means; *end is past the bracket. */
static struct rule *reference(struct grammar *grammar, const char *text, bool *capital, bool *kept, const char **end)
{
    *capital = *kept = false;
    *end = text + 1;
    const char *close = strchr(text, '>');
    if (!close)
        return NULL;
    const char *name = text + 1;
    *capital = *name == '^';
    name += *capital;
    *kept = *name == '@';
    name += *kept;
    *end = close + 1;
    return find(grammar, name, (size_t)(close - name));
}

/* Every <name> has a rule, and every rule comes to an end: `depth` bounds the shortest way down. */
static const char *check(struct grammar *grammar, const char **culprit)
{
    size_t shortest[MAX_RULES];
    for (size_t i = 0; i < grammar->num_rules; i++)
        shortest[i] = SIZE_MAX;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < grammar->num_rules; i++) {
            struct rule *rule = &grammar->rules[i];
            *culprit = rule->name;
            for (size_t a = rule->first; a < rule->first + rule->count; a++) {
                size_t depth = 1;
                for (const char *c = grammar->alternatives[a].text; *c;) {
                    if (*c != '<') {
                        c++;
                        continue;
                    }
                    bool capital, kept;
                    struct rule *below = reference(grammar, c, &capital, &kept, &c);
                    if (!below)
                        return "an alternative names a rule that is not there, or a '<' is not closed";
                    size_t steps = shortest[below - grammar->rules];
                    depth = steps == SIZE_MAX || depth == SIZE_MAX ? SIZE_MAX : depth > steps + 1 ? depth : steps + 1;
                }
                if (depth < shortest[i]) {
                    shortest[i] = depth;
                    changed = true;
                }
            }
        }
    }
    for (size_t i = 0; i < grammar->num_rules; i++) {
        *culprit = grammar->rules[i].name;
        if (shortest[i] > MAX_DEPTH)
            return "this rule never comes to an end";
    }
    return NULL;
}

static const char *choose(const struct grammar *grammar, const struct rule *rule, struct writer *writer)
{
    struct rng_block block = philox4x32(writer->key, 0, writer->draws++);
    uint32_t at = (uint32_t)(rng_uniform(&block, 0) * rule->weight);
    size_t a = rule->first;
    while (at >= grammar->alternatives[a].weight)
        at -= grammar->alternatives[a++].weight;
    return grammar->alternatives[a].text;
}

struct text {
    char data[16384];
    size_t len;
};

static void put(struct text *out, char c, bool *capital)
{
    if (c == ' ' && (out->len == 0 || out->data[out->len - 1] == ' ' || out->data[out->len - 1] == '\n'))
        return;
    if (out->len + 1 < sizeof out->data)
        out->data[out->len++] = *capital ? (char)toupper((unsigned char)c) : c;
    *capital = false;
}

static bool expand(struct grammar *grammar, struct rule *rule, bool capital, int depth, struct writer *writer,
                   struct text *out)
{
    if (depth > MAX_DEPTH)
        return false;
    for (const char *c = choose(grammar, rule, writer); *c;) {
        if (c[0] == '\\' && c[1] == 'n') {
            while (out->len && out->data[out->len - 1] == ' ')
                out->len--;
            bool no = false;
            put(out, '\n', &no);
            c += 2;
        } else if (*c != '<') {
            put(out, *c++, &capital);
        } else {
            bool raise, kept;
            struct rule *below = reference(grammar, c, &raise, &kept, &c);
            raise = raise || capital;
            capital = false;
            if (kept) {
                if (!below->drawn[0]) {
                    struct text once = {.len = 0};
                    if (!expand(grammar, below, false, depth + 1, writer, &once))
                        return false;
                    size_t len = once.len < MAX_DRAWN - 1 ? once.len : MAX_DRAWN - 1;
                    memcpy(below->drawn, once.data, len);
                    below->drawn[len] = 0;
                }
                for (const char *d = below->drawn; *d; d++)
                    put(out, *d, &raise);
            } else if (!expand(grammar, below, raise, depth + 1, writer, out)) {
                return false;
            }
        }
    }
    return true;
}

/* A paragraph that runs deeper than MAX_DEPTH is dropped and the next one drawn; false when none of many is fit. */
static bool paragraph(struct grammar *grammar, struct writer *writer, struct text *out)
{
    for (int tries = 0; tries < 1000; tries++) {
        for (size_t i = 0; i < grammar->num_rules; i++)
            grammar->rules[i].drawn[0] = 0;
        out->len = 0;
        if (expand(grammar, &grammar->rules[0], false, 0, writer, out) && out->len)
            return true;
    }
    return false;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value > max)
        return false;
    *out = value;
    return true;
}

static int generate(struct grammar *grammar, char *source, const char *path, uint64_t megabytes, uint64_t seed)
{
    size_t line_number = 0;
    for (char *line = source, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line_number++;
        line = trim(line);
        const char *wrong = *line && *line != '#' ? parse_rule(grammar, line) : NULL;
        if (wrong)
            return fail(path, line_number, wrong);
    }
    if (!grammar->num_rules)
        return fail(path, 0, "no rule in it");
    const char *culprit = "";
    const char *wrong = check(grammar, &culprit);
    if (wrong) {
        fprintf(stderr, "generate_corpus: %s: rule \"%s\": %s\n", path, culprit, wrong);
        return 1;
    }

    struct writer writer = {stdout, rng_key(seed, RNG_CORPUS, 0, 0), 0, 0};
    while (writer.bytes < megabytes * 1000000) {
        struct text text;
        if (!paragraph(grammar, &writer, &text))
            return fail(path, 0, "its rules nest too deep, or give nothing");
        if (fwrite(text.data, 1, text.len, stdout) != text.len || fputs("\n\n", stdout) < 0)
            return fail("standard output", 0, strerror(errno));
        writer.bytes += text.len + 2;
    }
    return fflush(stdout) ? fail("standard output", 0, strerror(errno)) : 0;
}

int main(int argc, char **argv)
{
    uint64_t megabytes, seed = 1;
    if (argc < 2 || argc > 4 || !number(argv[1], 100000, &megabytes) || (argc > 2 && !number(argv[2], UINT64_MAX, &seed))) {
        fprintf(stderr, "usage: generate_corpus MEGABYTES [SEED [GRAMMAR]] > FILE\n");
        return 2;
    }
    const char *path = argc > 3 ? argv[3] : "data/grammar.txt";
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(path, 0, strerror(errno));
    char *source = mem_calloc(1, MAX_GRAMMAR_BYTES + 1);
    struct grammar *grammar = mem_calloc(1, sizeof *grammar);
    int result = 1;
    if (!source || !grammar)
        fail(path, 0, "out of memory");
    else if (fread(source, 1, MAX_GRAMMAR_BYTES + 1, file) > MAX_GRAMMAR_BYTES)
        fail(path, 0, "longer than a grammar may be (1 MiB)");
    else if (ferror(file))
        fail(path, 0, strerror(errno));
    else
        result = generate(grammar, source, path, megabytes, seed);
    fclose(file);
    mem_free(grammar);
    mem_free(source);
    return result;
}
