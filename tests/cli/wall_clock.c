/* SPDX-License-Identifier: MIT
 * A time of day that is set while a program runs: WALL_CLOCK_MS after it was loaded (700 without) an hour back, twice as long
 * after it a day forward of what it was.  Preloaded; the monotonic clock stays the system's.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long loaded_ns;
static long long after_ns = 700000000;

static long long monotonic_ns(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

__attribute__((constructor)) static void load(void)
{
    const char *ms = getenv("WALL_CLOCK_MS");
    if (ms)
        after_ns = atoll(ms) * 1000000;
    loaded_ns = monotonic_ns();
}

static time_t offset_s(void)
{
    const long long passed = monotonic_ns() - loaded_ns;
    return passed < after_ns ? 0 : passed < 2 * after_ns ? -3600 : 86400;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    const int rc = (int)syscall(SYS_clock_gettime, clock, now);
    if (rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
        now->tv_sec += offset_s();
    return rc;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    now->tv_sec = t.tv_sec;
    now->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}
