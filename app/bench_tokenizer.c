/* SPDX-License-Identifier: MIT
 * app/bench_tokenizer.c - `cllm bench tokenizer`: encoding on several numbers of threads, and training.
 */
#include "app/bench.h"
#include "app/command.h"
#include "app/options.h"
#include "app/token_source.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "runtime/parallel.h"
#include "tokenizer/train.h"

#include <stdio.h>
#include <string.h>

static const struct option_usage usage = {
    .command = "bench tokenizer",
    .synopsis = "cllm bench tokenizer --data FILE [options]",
    .summary =
        "MB/s of encoding a text that lies in memory, for each number of threads, median of --repeat; and of training, "
        "counting and merging, on one. Without --tokenizer it encodes with the one it has trained.",
    .examples = "  cllm bench tokenizer --data text.txt\n"
                "  cllm bench tokenizer --data text.txt --tokenizer tokenizer.json --threads 1,2,8 --peer peer.txt\n",
    .notes = "--peer FILE holds figures of another encoder, a line each: its name, its MB/s on one thread and, if there is a third "
             "column, its seconds of training; they are printed beside ours with the ratio. scripts/peer_tokenizers.py "
             "measures Hugging Face's tokenizers so.\n",
};

enum { PIECE_BYTES = 256 * 1024, MAX_PIECES = 1 << 16 };

/* The text, cut where it may be; what a piece becomes has its room from the first pass on, as in `cllm tokenizer encode`. */
struct pieces {
    const struct tokenizer *tokenizer;
    const char *text;
    size_t begin[MAX_PIECES + 1], n;
    struct buffer ids[MAX_PIECES];
};

static void pieces_free(struct pieces *p)
{
    for (size_t i = 0; p && i < p->n; i++)
        buffer_release(&p->ids[i]);
    mem_free(p);
}

static enum status encode_pieces(size_t begin, size_t end, void *arg)
{
    struct pieces *p = arg;
    enum status status = STATUS_OK;
    for (size_t i = begin; i < end && status == STATUS_OK; i++) {
        buffer_clear(&p->ids[i]);
        status = tokenizer_encode_with(p->tokenizer, i ? TOKENIZER_CONTINUES : 0, p->text + p->begin[i],
                                       p->begin[i + 1] - p->begin[i], &p->ids[i], NULL);
    }
    return status;
}

static enum status cut_pieces(struct pieces *p, size_t len, struct error *err)
{
    for (size_t at = 0; at < len;) {
        if (p->n == MAX_PIECES)
            return error_set(err, STATUS_CONFIG, "a text of %zu bytes, more than %d pieces", len, (int)MAX_PIECES);
        size_t n = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;
        const size_t cut = n < len - at ? tokenizer_cut(p->tokenizer, 0, p->text + at, n) : n;
        at += cut ? cut : len - at;
        p->begin[++p->n] = at;
    }
    return STATUS_OK;
}

static enum status encode_with(struct pieces *p, size_t len, uint64_t threads, uint64_t repeat, double *mb_per_s,
                               struct error *err)
{
    double values[BENCH_MAX_REPEAT];
    struct pool_options options = pool_options_default();
    options.num_threads = (int)threads;
    struct pool *pool = threads > 1 ? pool_init(&options, err) : NULL;
    enum status status = threads == 1 ? STATUS_OK : pool ? pool_start(pool, err) : err->status;
    for (uint64_t i = 0; i <= repeat && status == STATUS_OK; i++) { /* the first warms up */
        const uint64_t start = clock_now_ns();
        static const struct parallel_options one_by_one = {.max_chunk = 1};
        status = parallel_for(pool, p->n, &one_by_one, encode_pieces, p);
        if (status != STATUS_OK)
            error_set(err, status, "the text cannot be encoded with this tokenizer");
        if (i)
            values[i - 1] = 1e3 * (double)len / (double)(clock_now_ns() - start);
    }
    pool_free(pool);
    if (status == STATUS_OK)
        *mb_per_s = bench_median(values, repeat);
    return status;
}

/* trained_s: our training, 0 when there was none. */
static enum status print_peers(const char *path, double ours, double trained_s, struct error *err)
{
    struct buffer text = {0};
    enum status status = file_read(path, 1 << 16, &text, err);
    for (char *line = text.data, *next; status == STATUS_OK && line && *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = 0;
        char name[64];
        double value, training_s;
        const int columns = sscanf(line, "%63s %lf %lf", name, &value, &training_s);
        if (columns < 2 || !(value > 0) || (columns == 3 && !(training_s > 0)))
            status = error_set(err, STATUS_FORMAT, "%s: \"%.100s\" should be a name, MB/s and perhaps seconds of training",
                               path, line);
        else
            printf("%-10s %8.1f MB/s on 1 thread; ours is %.1f times that\n", name, value, ours / value);
        if (status == STATUS_OK && columns == 3 && trained_s > 0)
            printf("%-10s %8.2f s of training; ours is %.1f times as fast\n", name, training_s, training_s / trained_s);
    }
    buffer_release(&text);
    return status;
}

static enum status train_on(const char *text, size_t len, uint64_t vocab_size, struct tokenizer **made, double *seconds,
                            struct error *err)
{
    static const char *const end_of_text = "<|endoftext|>";
    struct tokenizer *blank = tokenizer_blank("gpt2", &end_of_text, 1, err);
    struct word_counts *counts = blank ? word_counts_new(err) : NULL;
    const uint64_t start = clock_now_ns();
    enum status status = counts ? word_counts_add_text(counts, blank, 0, text, len, err) : err->status;
    const uint64_t counted = clock_now_ns();
    if (status == STATUS_OK && !(*made = tokenizer_train(blank, counts, vocab_size, 0, err)))
        status = err->status;
    *seconds = 1e-9 * (double)(clock_now_ns() - start);
    if (status == STATUS_OK)
        printf("training   %u tokens from %zu different words: counting %.2f s (%.1f MB/s), merging %.2f s\n",
               tokenizer_vocab_size(*made), word_counts_distinct(counts), 1e-9 * (double)(counted - start),
               1e3 * (double)len / (double)(counted - start), 1e-9 * (double)(clock_now_ns() - counted));
    word_counts_free(counts);
    tokenizer_free(blank);
    return status;
}

int bench_tokenizer(int argc, char **argv)
{
    const char *data = NULL, *path = NULL, *peer = NULL, *list = NULL;
    char automatic[64];
    uint64_t repeat = 5, vocab_size = 32000;
    struct option_def options[] = {
        OPT_TEXT("data", "FILE", &data, "a file of plain text"),
        OPT_TEXT("tokenizer", "PATH", &path, "a tokenizer.json; without it, one trained on the text"),
        OPT_U64("vocab-size", &vocab_size, 257, INT32_MAX / 2, "tokens to train (32000)"),
        OPT_TEXT("threads", "LIST", &list, "numbers of threads (1, and as many as there are cores)"),
        OPT_U64("repeat", &repeat, 1, BENCH_MAX_REPEAT, "measurements of each (5)"),
        OPT_TEXT("peer", "FILE", &peer, "figures of another encoder to compare with"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (!data) {
        command_say(usage.command, "which text? Give --data FILE");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct bench_list threads;
    struct buffer text = {0};
    struct tokenizer *tokenizer = NULL;
    struct pieces *pieces = mem_calloc(1, sizeof *pieces);
    double one = 0, trained_s = 0;
    bench_default_threads(automatic, sizeof automatic);
    enum status status = bench_parse_list("threads", list ? list : automatic, 1, POOL_THREADS_MAX, &threads, &err);
    if (status == STATUS_OK && !pieces)
        status = error_set(&err, STATUS_NOMEM, "no memory for the pieces of a text");
    if (status == STATUS_OK)
        status = file_read(data, (size_t)4 << 30, &text, &err);
    if (status == STATUS_OK)
        status = path ? ((tokenizer = tokenizer_load(path, &err)) ? STATUS_OK : err.status)
                      : train_on(text.data ? text.data : "", text.len, vocab_size, &tokenizer, &trained_s, &err);
    if (status == STATUS_OK) {
        pieces->tokenizer = tokenizer;
        pieces->text = text.data;
        status = cut_pieces(pieces, text.len, &err);
    }
    for (size_t i = 0; i < threads.n && status == STATUS_OK; i++) {
        double speed = 0;
        status = encode_with(pieces, text.len, threads.value[i], repeat, &speed, &err);
        size_t tokens = 0;
        for (size_t k = 0; k < pieces->n; k++)
            tokens += pieces->ids[k].len / sizeof(int32_t);
        if (status == STATUS_OK)
            printf("encoding   %8.1f MB/s on %llu thread%s (%zu tokens of %zu bytes)", speed,
                   (unsigned long long)threads.value[i], threads.value[i] == 1 ? "" : "s", tokens, text.len);
        if (status == STATUS_OK && one > 0)
            printf(", %.2f times one thread", speed / one);
        if (status == STATUS_OK)
            putchar('\n');
        if (threads.value[i] == 1)
            one = speed;
    }
    if (status == STATUS_OK && peer)
        status = one > 0 ? print_peers(peer, one, trained_s, &err)
                         : error_set(&err, STATUS_CONFIG, "--peer compares figures on 1 thread; add it to --threads");
    pieces_free(pieces);
    tokenizer_free(tokenizer);
    buffer_release(&text);
    return status == STATUS_OK ? EXIT_CODE_OK : command_failed(usage.command, &err);
}
