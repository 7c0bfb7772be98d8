/* SPDX-License-Identifier: MIT
 * check.h - the few macros of libcheck that bf16_checks.h uses, for a program of kernels alone (scripts/check_aarch64).
 */
#ifndef ALONE_CHECK_H
#define ALONE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define ck_assert_msg(condition, ...)                                                                                  \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: ", __FILE__, __LINE__);                                                                     \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)
#define ck_assert(condition)    ck_assert_msg(condition, "%s", #condition)
#define ck_assert_uint_eq(a, b) ck_assert_msg((a) == (b), "%s != %s", #a, #b)

#endif
