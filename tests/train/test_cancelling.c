/* SPDX-License-Identifier: MIT
 *
 * A cancellation token reaches whatever may take long: within half a second it is over, and what it wrote is whole or gone.
 */
#include "train/fixture.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "formats/corpus.h"
#include "runtime/cancel.h"
#include "runtime/pool.h"
#include "runtime/thread.h"
#include "train/checkpoint.h"

#include <dirent.h>
#include <stdatomic.h>

enum { PROMPTLY_NS = 500000000 };

static struct fixture fixture;

static void begin(void)
{
    fixture_open(&fixture);
}

static void end(void)
{
    fixture_close(&fixture);
}

/* What a test does until it is cancelled, and when that was asked. */
struct request {
    struct cancel *token;
    uint64_t asked_ns;
};

static void cancel_soon(void *arg)
{
    struct request *request = arg;
    usleep(50000);
    request->asked_ns = clock_now_ns();
    cancel_request(request->token, "enough");
}

static struct fixture_run start_with(const struct train_settings *s, struct pool *pool, const struct cancel *stop,
                                     const struct cancel *cancel)
{
    struct error err = {0};
    struct fixture_run r = fixture_start(&fixture, s, 2, TEAM_PTHREAD);
    threaded_training_free(r.system);
    r.system = threaded_training_create_with(
        r.training, r.iterator,
        &(struct threaded_training_options){.num_threads = 3, .pool = pool, .stop = stop, .cancel = cancel}, &err);
    MADE_OR_SAY(r.system, err);
    return r;
}

/* An epoch (0) or evaluations without end (1), cancelled from outside; a stop (2, 3) ends the epoch well. */
START_TEST(a_training_is_cancelled)
{
    struct train_settings s = fixture_settings(5, 1, 100000000, 0);
    struct error err = {0};
    struct request request = {.token = cancel_new(NULL, &err)};
    const bool stop = _i >= 2, evaluate = _i % 2;
    struct fixture_run r = start_with(&s, NULL, stop ? request.token : NULL, stop ? NULL : request.token);
    struct thread *thread = thread_start("cancels", cancel_soon, &request, &err);
    MADE_OR_SAY(thread, err);
    enum status status = STATUS_OK;
    double val;
    while (status == STATUS_OK && !(threaded_training_stopping(r.system) && !evaluate))
        status = evaluate ? threaded_training_evaluate(r.system, 0, &val) : threaded_train_epoch(r.system);
    const uint64_t over_ns = clock_now_ns();
    thread_join(thread);
    ck_assert_int_eq(status, stop && !evaluate ? STATUS_OK : STATUS_CANCELLED);
    ck_assert_uint_lt(over_ns - request.asked_ns, PROMPTLY_NS);
    ck_assert_int_eq(threaded_train_epoch(r.system), stop ? STATUS_OK : STATUS_CANCELLED);
    fixture_stop(&r);
    cancel_free(request.token);
}
END_TEST

START_TEST(a_token_ends_a_pause)
{
    struct train_settings s = fixture_settings(1, 1, 100000000, 0);
    struct error err = {0};
    struct request request = {.token = cancel_new(NULL, &err)};
    struct fixture_run r = start_with(&s, NULL, NULL, request.token);
    threaded_training_command(r.system, TRAINING_PAUSE);
    struct thread *thread = thread_start("cancels", cancel_soon, &request, &err);
    MADE_OR_SAY(thread, err);
    ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_CANCELLED);
    const uint64_t over_ns = clock_now_ns();
    thread_join(thread);
    ck_assert_uint_lt(over_ns - request.asked_ns, PROMPTLY_NS);
    fixture_stop(&r);
    cancel_free(request.token);
}
END_TEST

/* Says stop at the n-th look. */
struct countdown {
    _Atomic int left;
};

static bool count_down(const void *ctx)
{
    return atomic_fetch_sub(&((struct countdown *)ctx)->left, 1) <= 0;
}

static int entries(const char *path)
{
    int count = 0;
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* Cancelled at every place where it looks: the checkpoint before is there, the new one is whole or not there. */
START_TEST(a_checkpoint_is_whole_or_not_there)
{
    struct train_settings s = fixture_settings(1, 1, 100, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct error err = {0};
    char run[600], checkpoints[700];
    snprintf(run, sizeof run, "%s", fixture_path(&fixture, "run"));
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", run);
    OK_OR_SAY(file_make_directory(run, &err), err);
    OK_OR_SAY(checkpoint_save(r.training, run, 1, NULL, 0, NULL, &err), err);
    fixture_steps(&r, 1);
    enum status status = STATUS_CANCELLED;
    int looks = 0;
    for (; status == STATUS_CANCELLED; looks++) {
        struct countdown countdown = {looks};
        struct buffer latest = {0};
        file_writer_stop_when(count_down, &countdown);
        status = checkpoint_save(r.training, run, 1, NULL, 0, NULL, &err);
        file_writer_stop_when(NULL, NULL);
        ck_assert_int_eq(entries(checkpoints), status == STATUS_OK ? 3 : 2); /* step-0, step-1, latest */
        OK_OR_SAY(checkpoint_find_latest(run, &latest, NULL, &err), err);
        ck_assert(strstr(latest.data, status == STATUS_OK ? "step-00000001" : "step-00000000") != NULL);
        buffer_release(&latest);
    }
    ck_assert_int_eq(status, STATUS_OK);
    ck_assert_int_gt(looks, 4); /* each file of it */
    fixture_stop(&r);
}
END_TEST

START_TEST(reading_a_corpus_is_cancelled)
{
    struct error err = {0};
    char path[600];
    snprintf(path, sizeof path, "%s", fixture_path(&fixture, "text.txt"));
    struct file_writer *writer = file_writer_open(path, &err);
    MADE_OR_SAY(writer, err);
    for (int i = 0; i < 200000; i++)
        file_writer_write(writer, "ten bytes\n", 10);
    OK_OR_SAY(file_writer_close(writer, false, NULL, NULL, &err), err);
    struct corpus *corpus = corpus_open(path, &err);
    MADE_OR_SAY(corpus, err);
    struct countdown countdown = {5};
    corpus_stop_when(corpus, count_down, &countdown);
    struct corpus_piece piece;
    enum status status = STATUS_OK;
    int pieces = 0;
    for (bool more = true; status == STATUS_OK && more; pieces++)
        status = corpus_next(corpus, &piece, &more, &err);
    ck_assert_int_eq(status, STATUS_CANCELLED);
    ck_assert_int_le(pieces, 6);
    ck_assert_msg(strstr(err.text, path) != NULL, "%s", err.text);
    corpus_close(corpus);
}
END_TEST

/* The threads of a pool, with tasks running between the steps, give the weights that a team of its own gives. */
static enum status busy_for_a_moment(struct future *me, void *arg)
{
    (void)me;
    (void)arg;
    const uint64_t until = clock_now_ns() + 1000000;
    while (clock_now_ns() < until)
        ;
    return STATUS_OK;
}

START_TEST(a_shared_pool_gives_the_same_bits)
{
    struct train_settings s = fixture_settings(3, 1, 100, 0);
    struct error err = {0};
    struct pool_options options = pool_options_default();
    options.num_threads = 2;
    options.gang_threads = 3;
    struct pool *pool = pool_init(&options, &err);
    MADE_OR_SAY(pool, err);
    OK_OR_SAY(pool_start(pool, &err), err);
    struct fixture_run own = start_with(&s, NULL, NULL, NULL), shared = start_with(&s, pool, NULL, NULL);
    for (int step = 0; step < 5; step++) {
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(pool_submit(pool, POOL_BATCH, busy_for_a_moment, NULL, NULL), STATUS_OK);
        fixture_steps(&own, 1);
        fixture_steps(&shared, 1);
    }
    ck_assert(training_state_hash(own.training) == training_state_hash(shared.training));
    struct stats_report report;
    OK_OR_SAY(threaded_training_report(shared.system, &report, &err), err);
    ck_assert_int_eq(report.num_workers, 2);
    ck_assert_uint_eq(report.pool.created, 20);
    ck_assert_uint_ge(report.pool.gangs, 5);
    stats_report_release(&report);
    fixture_stop(&own);
    fixture_stop(&shared);
    ck_assert_int_eq(pool_stop(pool, POOL_DRAIN), STATUS_OK);
    ck_assert_int_eq(pool_free(pool), STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cancelling");
    TCase *tc = tcase_create("cancelling");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, a_training_is_cancelled, 0, 4);
    tcase_add_test(tc, a_token_ends_a_pause);
    tcase_add_test(tc, a_checkpoint_is_whole_or_not_there);
    tcase_add_test(tc, reading_a_corpus_is_cancelled);
    tcase_add_test(tc, a_shared_pool_gives_the_same_bits);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
