/* SPDX-License-Identifier: MIT
 * base/check.h - bugs of ours stop the program where they are seen.
 *
 * CHECK is always on; ASSERT only in builds with DEBUG_ASSERT (the sanitizer builds).  Neither is for input:
 * what a user or a file can cause is an `enum status`.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

void check_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (__builtin_expect(!(condition), 0))                                                                         \
            check_failed(#condition, __FILE__, __LINE__);                                                              \
    } while (0)

#ifdef DEBUG_ASSERT
#define ASSERT(condition) CHECK(condition)
#else
#define ASSERT(condition) ((void)sizeof(condition))
#endif

#endif
