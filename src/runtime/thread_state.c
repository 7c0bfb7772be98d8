/* SPDX-License-Identifier: MIT */
#include "runtime/thread_state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The text of a small file of the thread's; false when there is none. */
static bool read_small(int tid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

bool thread_state_read(int tid, struct thread_state *out)
{
    char text[1024];
    *out = (struct thread_state){.cpu = -1};
    if (!read_small(tid, "stat", text, sizeof text))
        return false;
    /* The name, in parentheses, may hold anything; fields after it are counted from the state, which is the third. */
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || !p[2])
        return false;
    out->state = p[2];
    unsigned long long field, user = 0, kernel = 0;
    int number = 3;
    for (p += 3; *p == ' '; number++) {
        int n = 0;
        long long whole;
        if (sscanf(p, " %lld%n", &whole, &n) != 1)
            break;
        field = (unsigned long long)whole;
        p += n;
        if (number + 1 == 12)
            out->major_faults = field;
        else if (number + 1 == 14)
            user = field;
        else if (number + 1 == 15)
            kernel = field;
        else if (number + 1 == 39)
            out->cpu = (int)whole;
    }
    uint64_t run_ns, robbed_ns;
    if (read_small(tid, "schedstat", text, sizeof text) &&
        sscanf(text, "%" SCNu64 " %" SCNu64, &run_ns, &robbed_ns) == 2) {
        out->run_ns = run_ns;
        out->robbed_ns = robbed_ns;
    } else {
        const long ticks = sysconf(_SC_CLK_TCK);
        out->run_ns = (user + kernel) * (1000000000u / (uint64_t)(ticks > 0 ? ticks : 100));
    }
    return true;
}

int thread_tid(void)
{
    static _Thread_local int tid;
    if (!tid)
        tid = (int)syscall(SYS_gettid);
    return tid;
}
