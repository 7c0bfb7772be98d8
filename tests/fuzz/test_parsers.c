/* SPDX-License-Identifier: MIT
 * test_parsers.c - hostile bytes for every parser of foreign files, in two ways of building:
 *
 *     cc    test_parsers.c        a test: for each parser small good files, all their truncations and many changes to
 *                                 them, and what fuzzers found (corpora/PARSER.gz); with arguments
 *                                     PARSER FILE…             those files (a replay of what a fuzzer found)
 *                                     --seeds DIR PARSER       writes the parser's good files and its corpus to DIR
 *                                     --pack OUT FILE…         makes a corpus of files
 *     clang -fsanitize=fuzzer -DFUZZ=PARSER test_parsers.c     libFuzzer's entry for one parser: `make fuzz TARGET=PARSER`
 *
 * PARSER is one of the functions of parsers.h, which says what is held.  A corpus is gzip of records: u32 little-endian length, bytes.
 */
#include "fuzz/parsers.h"

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FUZZ(data, size);
    return 0;
}

#else

#include "fuzz/seeds.h"

#include "base/rng.h"

static const struct parser {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
} parsers[] = {
#define X(name) {#name, name},
    PARSERS(X)
#undef X
};

/* Runs the bytes as they are, cut anywhere (of long ones, at some places), and changed a little in many ways. */
static void run_seed(const struct parser *parser, const void *bytes, size_t size)
{
    enum { CHANGES = 600, MAX_CUTS = 400 };
    static const uint8_t favourites[] = {0,   1,   0x7f, 0x80, 0xff, '0', '9', '-',
                                         '"', '{', '}',  '[',  ']',  ',', '.', '\\'};
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        fail("no memory");
    parser->run(bytes, size);
    for (size_t n = 0; n < size; n += 1 + size / MAX_CUTS)
        parser->run(bytes, n);
    for (uint64_t i = 0; i < CHANGES && size; i++) {
        memcpy(copy, bytes, size);
        const struct rng_block r = philox4x32(rng_key(1, RNG_TEST, size, 0), 0, i);
        size_t n = size;
        const size_t at = r.word[0] % size, other = r.word[1] % size;
        switch (i % 4) {
        case 0:
            copy[at] ^= (uint8_t)(1u << r.word[2] % 8);
            break;
        case 1:
            copy[at] = favourites[r.word[2] % sizeof favourites];
            copy[other] = favourites[r.word[3] % sizeof favourites];
            break;
        case 2: /* a byte gone */
            memmove(copy + at, copy + at + 1, size - at - 1);
            n--;
            break;
        default: /* a piece twice */
            memmove(copy + at, bytes + other, size - (at > other ? at : other));
        }
        parser->run(copy, n);
    }
    free(copy);
}

static const struct parser *find_parser(const char *name)
{
    for (size_t i = 0; i < sizeof parsers / sizeof *parsers; i++)
        if (strcmp(parsers[i].name, name) == 0)
            return &parsers[i];
    fail("no parser of this name");
    return NULL;
}

/* When seeds are only to be written: those of this parser, to this directory. */
static struct {
    const char *directory, *parser;
    unsigned num;
} dump;

static void write_seed(const void *bytes, size_t size)
{
    struct buffer path = {0};
    char name[24];
    struct error err;
    snprintf(name, sizeof name, "seed-%04u", dump.num++);
    if (file_replace(path_join(&path, dump.directory, name), bytes, size, &err) != STATUS_OK)
        fail(err.text);
    buffer_release(&path);
}

static void seed(const char *name, const void *bytes, size_t size)
{
    if (!dump.directory)
        run_seed(find_parser(name), bytes, size);
    else if (strcmp(dump.parser, name) == 0)
        write_seed(bytes, size);
}

static void run_file(const struct parser *parser, const char *path)
{
    struct buffer bytes = {0};
    struct error err;
    if (file_read(path, SIZE_MAX, &bytes, &err) != STATUS_OK)
        fail(err.text);
    parser->run((const uint8_t *)bytes.data, bytes.len);
    buffer_release(&bytes);
}

/* What fuzzers found for the parser, if anything: each as it is. */
static void corpus_of(const struct parser *parser)
{
    enum { MAX_RECORD_BYTES = 1 << 20 };
    char path[100];
    uint32_t size;
    snprintf(path, sizeof path, "tests/fuzz/corpora/%s.gz", parser->name);
    if (!file_exists(path))
        return;
    gzFile z = gzopen(path, "rb");
    uint8_t *bytes = malloc(MAX_RECORD_BYTES);
    if (!z || !bytes)
        fail("cannot read a corpus");
    int got;
    while ((got = gzread(z, &size, sizeof size)) == sizeof size) {
        if (size > MAX_RECORD_BYTES || gzread(z, bytes, size) != (int)size)
            fail("a damaged corpus");
        if (dump.directory)
            write_seed(bytes, size);
        else
            parser->run(bytes, size);
    }
    if (got != 0 || gzclose(z) != Z_OK)
        fail("a damaged corpus");
    free(bytes);
}

static void pack(const char *out, char **files, int n)
{
    gzFile z = gzopen(out, "wb9");
    for (int i = 0; i < n; i++) {
        struct buffer bytes = {0};
        struct error err;
        if (file_read(files[i], UINT32_MAX, &bytes, &err) != STATUS_OK)
            fail(err.text);
        const uint32_t size = (uint32_t)bytes.len;
        if (gzwrite(z, &size, sizeof size) != sizeof size || gzwrite(z, bytes.data, size) != (int)size)
            fail("cannot write the corpus");
        buffer_release(&bytes);
    }
    if (gzclose(z) != Z_OK)
        fail("cannot write the corpus");
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--pack") == 0) {
        pack(argv[2], argv + 3, argc - 3);
    } else if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        dump.directory = argv[2];
        dump.parser = argv[3];
        all_seeds();
        corpus_of(find_parser(argv[3]));
    } else if (argc == 1) {
        all_seeds();
        for (size_t i = 0; i < sizeof parsers / sizeof *parsers; i++)
            corpus_of(&parsers[i]);
    } else if (argc == 2) {
        fprintf(stderr, "use: %s [PARSER FILE... | --seeds DIR PARSER | --pack OUT FILE...]\n", argv[0]);
        return 2;
    } else {
        for (int i = 2; i < argc; i++)
            run_file(find_parser(argv[1]), argv[i]);
    }
    struct error err;
    if (directory[0] && file_remove_tree(directory, &err) != STATUS_OK)
        fail(err.text);
    printf("parsers: done\n");
    return EXIT_SUCCESS;
}

#endif
