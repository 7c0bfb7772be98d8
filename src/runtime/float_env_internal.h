/* SPDX-License-Identifier: MIT
 * runtime/float_env_internal.h - whether the calling thread's floating-point environment is the default one.
 *
 * fegetenv and fesetenv take a tenth of a microsecond each; a look at the control words takes a nanosecond.
 */
#ifndef RUNTIME_FLOAT_ENV_INTERNAL_H
#define RUNTIME_FLOAT_ENV_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

/* False also where it is not known how to tell. */
static inline bool float_env_is_default(void)
{
#ifdef __x86_64__
    enum { MXCSR_FLAGS = 0x3f, MXCSR_DEFAULT = 0x1f80, X87_DEFAULT = 0x37f };
    uint16_t x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    return (__builtin_ia32_stmxcsr() & ~(unsigned)MXCSR_FLAGS) == MXCSR_DEFAULT && x87 == X87_DEFAULT;
#else
    return false;
#endif
}

#endif
