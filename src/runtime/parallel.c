/* SPDX-License-Identifier: MIT
 *
 * A loop is cut into as many parts as there are threads at work, each with a counter of its own; who has done its
 * part goes on to the next one that has something left.  Helpers are tasks of the pool; those that have not begun
 * when the work is gone are cancelled, so the caller only ever waits for a chunk in hand.
 */
#include "runtime/parallel.h"

#include "base/clock.h"
#include "base/detmath.h"
#include "base/memory.h"
#include "runtime/float_env_internal.h"
#include "runtime/pool_internal.h"
#include "runtime/sphere.h" /* SPHERE_FANOUT */

#include <fenv.h>
#include <math.h>
#include <string.h>

enum {
    PARTS_MAX = 64,
    THREADS_MAX = 256, /* of one loop */
    CHUNK_NS = 20000,     /* what a chunk should take: a thousand times what handing it out costs */
    CHUNK_SPLIT = 16,     /* towards the end chunks shrink to that part of it */
    ALONE_NS = 10000,     /* the caller works so long before it calls for help ... */
    HELP_NS = 20000,      /* ... and then only when so much is left, by its own pace; */
    LIGHT_NS = 500,       /* so short a beginning is repeated eight times over, any other once */
    AWAKE_ALONE_NS = 1000, AWAKE_HELP_NS = 4000, /* where a worker is awake and looks for work, nobody need be woken */
    TASKS_PER_THREAD = 4,
    LEAVES_MAX = 1728,
    LEAVES_FEW = 144,
    LEAF_LIGHT = 64,      /* elements below which a leaf is not worth its call, where that leaves enough of them */
    RESULTS_ON_STACK = 4096
};

struct part {
    alignas(CACHE_LINE) _Atomic size_t next;
    size_t end;
};

struct loop {
    enum status (*body)(size_t begin, size_t end, void *arg);
    void *arg;
    size_t min_chunk, max_chunk, line; /* line: elements on a cache line, 1 = chunks end anywhere */
    size_t tasks_per_thread, first_chunk;
    int num_parts;
    _Atomic int joined;
    _Atomic size_t failed_at; /* lowest `begin` of a failure so far; SIZE_MAX = none */
    pthread_mutex_t mu;
    enum status verdict;      /* of failed_at; guarded by mu */
    struct part *parts;
};

static void fail(struct loop *loop, size_t begin, enum status status)
{
    (void)pthread_mutex_lock(&loop->mu);
    if (begin < atomic_load_explicit(&loop->failed_at, memory_order_relaxed)) {
        atomic_store_explicit(&loop->failed_at, begin, memory_order_relaxed);
        loop->verdict = status;
    }
    (void)pthread_mutex_unlock(&loop->mu);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Takes up to `wanted` elements of a part. */
static struct share take_chunk(const struct loop *loop, struct part *part, size_t wanted)
{
    size_t begin = atomic_load_explicit(&part->next, memory_order_relaxed);
    while (begin < part->end) {
        const size_t left = part->end - begin;
        size_t chunk = most(least(wanted, left / loop->tasks_per_thread), most(wanted / CHUNK_SPLIT, loop->min_chunk));
        chunk = least(chunk, left);
        if (chunk >= loop->line && chunk < left)
            chunk = least(left, (begin + chunk + loop->line - 1) / loop->line * loop->line - begin);
        if (atomic_compare_exchange_weak_explicit(&part->next, &begin, begin + chunk, memory_order_relaxed,
                                                  memory_order_relaxed))
            return (struct share){begin, begin + chunk};
    }
    return (struct share){0, 0};
}

/* One thread's work until nothing is left to take. */
static void work(struct loop *loop)
{
    const int first = atomic_fetch_add_explicit(&loop->joined, 1, memory_order_relaxed) % loop->num_parts;
    size_t wanted = loop->first_chunk;
    uint64_t then_ns = clock_now_ns();
    for (int k = 0; k < loop->num_parts; k++) {
        struct part *part = &loop->parts[(first + k) % loop->num_parts];
        for (;;) {
            if (atomic_load_explicit(&loop->failed_at, memory_order_relaxed) != SIZE_MAX)
                return;
            const struct share chunk = take_chunk(loop, part, wanted);
            if (chunk.begin == chunk.end)
                break;
            const enum status status = loop->body(chunk.begin, chunk.end, loop->arg);
            if (status != STATUS_OK) {
                fail(loop, chunk.begin, status);
                return;
            }
            const uint64_t now_ns = clock_now_ns(), took_ns = now_ns - then_ns + 1;
            then_ns = now_ns;
            const size_t length = chunk.end - chunk.begin;
            const double fitting = (double)length * CHUNK_NS / (double)took_ns;
            wanted = fitting < 2.0 * (double)length ? (size_t)fitting : 2 * length;
            wanted = least(most(wanted, loop->min_chunk), loop->max_chunk);
        }
    }
}

static enum status help(struct future *me, void *arg)
{
    (void)me;
    work(arg);
    return STATUS_OK;
}

/* Cuts what is left into parts and works on them with helpers. */
static void work_together(struct pool *pool, struct loop *loop, size_t begin, size_t end, int threads)
{
    struct part parts[PARTS_MAX];
    struct future *helpers[THREADS_MAX];
    const int num_parts = threads < PARTS_MAX ? threads : PARTS_MAX;
    const size_t length = end - begin;
    loop->parts = parts;
    loop->num_parts = num_parts;
    size_t at = begin;
    for (int i = 0; i < num_parts; i++) {
        const size_t k = (size_t)i + 1, of = (size_t)num_parts;
        size_t until = begin + length / of * k + length % of * k / of;
        if (until - at > loop->line)
            until = until / loop->line * loop->line;
        until = i + 1 == num_parts ? end : most(until, at);
        atomic_store_explicit(&parts[i].next, at, memory_order_relaxed);
        parts[i].end = until;
        at = until;
    }
    int called = 0;
    /* A crowd is not helped by tasks that will most likely find nothing left. */
    while (called + 1 < threads && !fifo_crowded(&pool->batch) &&
           pool_submit(pool, POOL_BATCH, help, loop, &helpers[called]) == STATUS_OK)
        called++;
    work(loop);
    while (called-- > 0) {
        if (!future_cancel(helpers[called]))
            (void)future_wait(helpers[called]);
        future_release(helpers[called]);
    }
}

static enum status run_loop(struct pool *pool, size_t n, const struct parallel_options *options,
                            enum status (*body)(size_t begin, size_t end, void *arg), void *arg)
{
    static const struct parallel_options NONE;
    const struct parallel_options *o = options ? options : &NONE;
    struct loop loop = {.body = body,
                        .arg = arg,
                        .min_chunk = o->min_chunk ? o->min_chunk : 1,
                        .max_chunk = o->max_chunk ? o->max_chunk : SIZE_MAX,
                        .line = o->element_bytes && o->element_bytes < CACHE_LINE ? CACHE_LINE / o->element_bytes : 1,
                        .tasks_per_thread = o->tasks_per_thread > 0 ? (size_t)o->tasks_per_thread : TASKS_PER_THREAD,
                        .failed_at = SIZE_MAX};
    loop.max_chunk = most(loop.max_chunk, loop.min_chunk);
    int threads = pool ? pool_size(pool) : 1;
    threads = o->max_threads > 0 && o->max_threads < threads ? o->max_threads : threads;
    threads = threads > THREADS_MAX ? THREADS_MAX : threads;

    /* Alone, in growing chunks of up to CHUNK_NS, until the pace is known and says that help pays. */
    size_t done = 0, chunk = threads == 1 ? SIZE_MAX : loop.min_chunk;
    const uint64_t start_ns = clock_now_ns();
    while (done < n) {
        const size_t end = least(chunk, loop.max_chunk) < n - done ? done + least(chunk, loop.max_chunk) : n;
        const enum status status = body(done, end, arg);
        if (status != STATUS_OK)
            return status;
        done = end;
        if (threads == 1 || done == n)
            continue;
        const uint64_t took_ns = clock_now_ns() - start_ns + 1;
        const double pace_ns = (double)took_ns / (double)done;
        const size_t more = took_ns < LIGHT_NS ? 8 * done : done; /* each chunk costs a look at the clock */
        chunk = most(CHUNK_NS / pace_ns < (double)more ? (size_t)(CHUNK_NS / pace_ns) : more, loop.min_chunk);
        const bool awake = pool__is_searching(pool);
        if (took_ns >= (awake ? AWAKE_ALONE_NS : ALONE_NS) &&
            pace_ns * (double)(n - done) >= (awake ? AWAKE_HELP_NS : HELP_NS))
            break;
    }
    if (done == n)
        return STATUS_OK;
    loop.first_chunk = chunk;
    if ((size_t)threads > (n - done - 1) / loop.min_chunk + 1)
        threads = (int)((n - done - 1) / loop.min_chunk + 1);
    if (pthread_mutex_init(&loop.mu, NULL) != 0)
        return STATUS_SYSTEM;
    work_together(pool, &loop, done, n, threads);
    (void)pthread_mutex_destroy(&loop.mu);
    return atomic_load_explicit(&loop.failed_at, memory_order_relaxed) == SIZE_MAX ? STATUS_OK : loop.verdict;
}

enum status parallel_for(struct pool *pool, size_t n, const struct parallel_options *options,
                         enum status (*body)(size_t begin, size_t end, void *arg), void *arg)
{
    if (!body)
        return STATUS_MISUSE;
    if (pool && atomic_load_explicit(&pool->state, memory_order_relaxed) != POOL_RUNNING &&
        !(pool__self(pool) && atomic_load_explicit(&pool->state, memory_order_relaxed) < POOL_ENDING))
        return STATUS_MISUSE;
    if (float_env_is_default())
        return run_loop(pool, n, options, body, arg);
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    const enum status status = run_loop(pool, n, options, body, arg);
    fesetenv(&before);
    return status;
}

static struct parallel_options rows_of(size_t row_work, size_t least_work)
{
    return (struct parallel_options){.min_chunk = row_work ? (least_work + row_work - 1) / row_work : 1};
}

struct parallel_options parallel_options_matmul(size_t rows, size_t cols)
{
    struct parallel_options options = rows_of(cols, 16384);
    options.min_chunk = most(1, least(options.min_chunk, rows));
    return options;
}

struct parallel_options parallel_options_attention(size_t heads, size_t seq_len)
{
    struct parallel_options options = rows_of(seq_len, 4096);
    options.min_chunk = most(1, least(options.min_chunk, heads * seq_len));
    return options;
}

/* --- map ---------------------------------------------------------------------------------------------------------- */

struct map {
    unsigned char *out;
    const unsigned char *in;
    size_t out_bytes, in_bytes;
    void (*fn)(void *out, const void *in, void *arg);
    void *arg;
};

static enum status map_range(size_t begin, size_t end, void *arg)
{
    const struct map *map = arg;
    for (size_t i = begin; i < end; i++)
        map->fn(map->out + i * map->out_bytes, map->in + i * map->in_bytes, map->arg);
    return STATUS_OK;
}

enum status parallel_map(struct pool *pool, void *out, size_t out_bytes, const void *in, size_t in_bytes, size_t n,
                         const struct parallel_options *options, void (*fn)(void *out, const void *in, void *arg),
                         void *arg)
{
    if (!fn || (n && !out))
        return STATUS_MISUSE;
    struct map map = {out, in, out_bytes, in_bytes, fn, arg};
    struct parallel_options with_lines = options ? *options : (struct parallel_options){0};
    if (!with_lines.element_bytes)
        with_lines.element_bytes = out_bytes;
    return parallel_for(pool, n, &with_lines, map_range, &map);
}

/* --- reduce ------------------------------------------------------------------------------------------------------- */

struct reduction {
    unsigned char *results;
    size_t result_bytes, leaf, n;
    enum status (*fold)(void *acc, size_t begin, size_t end, void *arg);
    void *arg;
};

static enum status fold_leaves(size_t begin, size_t end, void *arg)
{
    const struct reduction *r = arg;
    for (size_t i = begin; i < end; i++) {
        const size_t first = i * r->leaf, last = r->n - first < r->leaf ? r->n : first + r->leaf;
        const enum status status = r->fold(r->results + i * r->result_bytes, first, last, r->arg);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static size_t leaf_of(size_t n)
{
    const size_t few = (n + LEAVES_FEW - 1) / LEAVES_FEW, many = (n + LEAVES_MAX - 1) / LEAVES_MAX;
    return most(1, most(many, least(few, LEAF_LIGHT)));
}

enum status parallel_reduce(struct pool *pool, void *result, size_t result_bytes, size_t n,
                            const struct parallel_options *options,
                            enum status (*fold)(void *acc, size_t begin, size_t end, void *arg),
                            void (*combine)(void *acc, const void *more, void *arg), void *arg)
{
    if (!result || result_bytes == 0 || !fold || !combine)
        return STATUS_MISUSE;
    struct parallel_options over_leaves = options ? *options : (struct parallel_options){0};
    const size_t leaf = over_leaves.leaf ? over_leaves.leaf : leaf_of(n);
    const size_t leaves = n ? (n - 1) / leaf + 1 : 1;
    over_leaves.element_bytes = result_bytes;
    over_leaves.min_chunk = over_leaves.min_chunk ? (over_leaves.min_chunk - 1) / leaf + 1 : 0;
    over_leaves.max_chunk = over_leaves.max_chunk ? (over_leaves.max_chunk - 1) / leaf + 1 : 0;
    alignas(CACHE_LINE) unsigned char on_stack[RESULTS_ON_STACK];
    size_t bytes;
    if (!size_mul(leaves, result_bytes, &bytes))
        return STATUS_CONFIG;
    unsigned char *results = bytes <= sizeof on_stack ? on_stack : mem_alloc(bytes);
    if (!results)
        return STATUS_NOMEM;
    struct reduction reduction = {results, result_bytes, leaf, n, fold, arg};
    const enum status status = parallel_for(pool, leaves, &over_leaves, fold_leaves, &reduction);
    if (status == STATUS_OK) {
        /* Level by level; the result of a node stands where its first leaf's stood. */
        for (size_t stride = 1; stride < leaves; stride *= SPHERE_FANOUT)
            for (size_t node = 0; node < leaves; node += stride * SPHERE_FANOUT)
                for (size_t child = 1; child < SPHERE_FANOUT && node + child * stride < leaves; child++)
                    combine(results + node * result_bytes, results + (node + child * stride) * result_bytes, arg);
        memcpy(result, results, result_bytes);
    }
    if (results != on_stack)
        mem_free(results);
    return status;
}

/* --- plain matrices ----------------------------------------------------------------------------------------------- */

struct softmax {
    float *out;
    const float *in;
    size_t cols;
};

static enum status softmax_rows(size_t begin, size_t end, void *arg)
{
    const struct softmax *s = arg;
    for (size_t r = begin; r < end; r++) {
        const float *in = s->in + r * s->cols;
        float *out = s->out + r * s->cols;
        float highest = -INFINITY;
        bool nan = false;
        for (size_t c = 0; c < s->cols; c++) {
            highest = in[c] > highest ? in[c] : highest;
            nan = nan || isnan(in[c]);
        }
        double sum = 0.0;
        for (size_t c = 0; c < s->cols; c++) {
            const double e = nan ? NAN : isinf(in[c]) && in[c] < 0.0f ? 0.0 : det_exp((double)in[c] - (double)highest);
            out[c] = (float)e;
            sum += e;
        }
        const double scale = sum > 0.0 ? 1.0 / sum : nan ? NAN : 0.0;
        for (size_t c = 0; c < s->cols; c++)
            out[c] = (float)((double)out[c] * scale);
    }
    return STATUS_OK;
}

enum status parallel_softmax(struct pool *pool, float *out, const float *in, size_t rows, size_t cols)
{
    size_t elements, bytes;
    if (!size_mul(rows, cols, &elements) || !size_mul(elements, sizeof *out, &bytes))
        return STATUS_CONFIG;
    if (elements == 0)
        return STATUS_OK;
    if (!out || !in)
        return STATUS_MISUSE;
    struct softmax softmax = {out, in, cols};
    return parallel_for(pool, rows, NULL, softmax_rows, &softmax);
}

enum { TILE_ROWS = 4, TILE_COLS = 256 };

struct matmul {
    float *c;
    const float *a, *b;
    size_t m, n, k;
};

/* Tiles of rows begin … end-1: a tile's part of c stays in L1 while b passes by. */
static enum status matmul_tiles(size_t begin, size_t end, void *arg)
{
    const struct matmul *p = arg;
    const size_t last = end * TILE_ROWS < p->m ? end * TILE_ROWS : p->m;
    for (size_t row = begin * TILE_ROWS; row < last; row += TILE_ROWS)
        for (size_t col = 0; col < p->n; col += TILE_COLS) {
            const size_t rows = least(TILE_ROWS, last - row), cols = least(TILE_COLS, p->n - col);
            float sum[TILE_ROWS][TILE_COLS] = {{0}};
            for (size_t k = 0; k < p->k; k++)
                for (size_t r = 0; r < rows; r++) {
                    const float a = p->a[(row + r) * p->k + k];
                    const float *b = p->b + k * p->n + col;
                    for (size_t c = 0; c < cols; c++)
                        sum[r][c] += a * b[c];
                }
            for (size_t r = 0; r < rows; r++)
                memcpy(p->c + (row + r) * p->n + col, sum[r], cols * sizeof *p->c);
        }
    return STATUS_OK;
}

enum status parallel_matmul(struct pool *pool, float *c, const float *a, const float *b, size_t m, size_t n, size_t k)
{
    size_t size;
    if (!size_mul(m, n, &size) || !size_mul(size, sizeof *c, &size) || !size_mul(m, k, &size) ||
        !size_mul(size, sizeof *a, &size) || !size_mul(k, n, &size) || !size_mul(size, sizeof *b, &size))
        return STATUS_CONFIG;
    if (m == 0 || n == 0)
        return STATUS_OK;
    if (!c || (k && (!a || !b)))
        return STATUS_MISUSE;
    struct matmul product = {c, a, b, m, n, k};
    const size_t row_work = n <= SIZE_MAX / TILE_ROWS / (k + 1) ? n * (k + 1) * TILE_ROWS : SIZE_MAX;
    const struct parallel_options options = parallel_options_matmul((m - 1) / TILE_ROWS + 1, row_work);
    return parallel_for(pool, (m - 1) / TILE_ROWS + 1, &options, matmul_tiles, &product);
}
