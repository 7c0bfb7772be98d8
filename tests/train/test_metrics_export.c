/* SPDX-License-Identifier: MIT */
#include "train/metrics_export.h"

#include "base/crc32c.h"

#include <check.h>
#include <math.h>
#include <string.h>

static const char lines[] = "{\"step\": 1, \"tokens\": 8, \"loss\": 0.1, \"lr\": 0.001, \"grad_norm\": null, \"elapsed_s\": 1.5}\n"
                            "{\"step\": 1, \"val_loss\": 0.30000000000000004}\n"
                            "{\"step\": 2, \"tokens\": 16, \"loss\": 2, \"lr\": 1e-7, \"grad_norm\": 3.0, \"elapsed_s\": 0.5}\n"
                            "{\"step\": 3, \"val_loss\": 0.5}\n";

static struct metrics_log parsed(void)
{
    struct metrics_log log;
    struct error err = {0};
    ck_assert(metrics_log_parse(lines, sizeof lines - 1, "FILE", &log, &err) == STATUS_OK);
    ck_assert_uint_eq(log.num_damaged, 0);
    return log;
}

START_TEST(a_row_for_each_step)
{
    struct metrics_log log = parsed();
    struct buffer text = {0};
    metrics_export_csv(&log, &text);
    ck_assert_str_eq(text.data, "step,tokens,loss,lr,grad_norm,val_loss,tokens_per_s,wait_share,elapsed_s\r\n"
                                "1,8,0.1,0.001,,0.30000000000000004,,,1.5\r\n"
                                "2,16,2,1e-07,3,,,,0.5\r\n"
                                "3,,,,,0.5,,,\r\n");
    buffer_release(&text);
    metrics_log_release(&log);
}
END_TEST

static uint64_t number_at(const struct buffer *b, size_t at, int bytes)
{
    uint64_t x = 0;
    ck_assert(at + (size_t)bytes <= b->len);
    for (int i = bytes; i-- > 0;)
        x = x << 8 | (unsigned char)b->data[at + (size_t)i];
    return x;
}

/* The records, their checksums, their times; and the first two byte by byte, from the description of the format. */
START_TEST(events_are_framed_and_in_order)
{
    static const char version[] = "\x09\0\0\0\0\0\0\x59\x40\x10\0\x1a\x0d" "brain.Event:2"; /* 100.0 s, step 0 */
    static const char loss[] = "\x0a\x11\x0a\x0atrain/loss\x15\xcd\xcc\xcc\x3d";            /* 0.1f */
    static const double times[] = {100, 101.5, 101.5, 102, 102};
    struct metrics_log log = parsed();
    struct buffer file = {0};
    metrics_export_tensorboard(&log, 100, &file);
    size_t at = 0, records = 0;
    for (; at < file.len; records++) {
        const size_t n = (size_t)number_at(&file, at, 8);
        double time;
        ck_assert_uint_eq(number_at(&file, at + 8, 4), crc32c_mask(crc32c(0, file.data + at, 8)));
        ck_assert_uint_eq(number_at(&file, at + 12 + n, 4), crc32c_mask(crc32c(0, file.data + at + 12, n)));
        if (records == 0)
            ck_assert(n == sizeof version - 1 && memcmp(file.data + at + 12, version, n) == 0);
        if (records == 1)
            ck_assert_ptr_nonnull(memmem(file.data + at + 12, n, loss, sizeof loss - 1));
        memcpy(&time, file.data + at + 13, sizeof time);
        ck_assert(records < 5 && time == times[records]);
        at += n + 16;
    }
    ck_assert_uint_eq(records, 5);
    ck_assert_uint_eq(at, file.len);
    buffer_release(&file);
    metrics_log_release(&log);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics_export");
    TCase *tc = tcase_create("metrics_export");
    tcase_add_test(tc, a_row_for_each_step);
    tcase_add_test(tc, events_are_framed_and_in_order);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
