/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <check.h>
#include <string.h>

/* RFC 3720, appendix B.4, and the usual check value. */
START_TEST(known_vectors)
{
    unsigned char bytes[32] = {0};
    ck_assert_uint_eq(crc32c(0, "", 0), 0);
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u);
    ck_assert_uint_eq(crc32c(0, bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    ck_assert_uint_eq(crc32c(0, bytes, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    ck_assert_uint_eq(crc32c(0, bytes, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    ck_assert_uint_eq(crc32c(0, bytes, 32), 0x113fdb5cu);
}
END_TEST

/* The polynomial itself, a bit at a time, for every single byte; and pieces give what the whole gives. */
START_TEST(bits_and_pieces)
{
    unsigned char all[256];
    for (unsigned b = 0; b < 256; b++) {
        uint32_t crc = ~0u ^ b;
        for (int i = 0; i < 8; i++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
        all[b] = (unsigned char)b;
        ck_assert_uint_eq(crc32c(0, &all[b], 1), ~crc);
    }
    for (size_t cut = 0; cut <= sizeof all; cut++)
        ck_assert_uint_eq(crc32c(crc32c(0, all, cut), all + cut, sizeof all - cut), crc32c(0, all, sizeof all));
}
END_TEST

START_TEST(the_mask_rotates_and_adds)
{
    ck_assert_uint_eq(crc32c_mask(0), 0xa282ead8u);
    ck_assert_uint_eq(crc32c_mask(0x00008000u), 0xa282ead9u);
    ck_assert_uint_eq(crc32c_mask(1), 0xa282ead8u + 0x00020000u);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crc32c");
    TCase *tc = tcase_create("crc32c");
    tcase_add_test(tc, known_vectors);
    tcase_add_test(tc, bits_and_pieces);
    tcase_add_test(tc, the_mask_rotates_and_adds);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
