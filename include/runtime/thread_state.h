/* SPDX-License-Identifier: MIT
 * runtime/thread_state.h - what the system knows of a thread of this process: /proc/self/task/TID, proc(5).
 */
#ifndef RUNTIME_THREAD_STATE_H
#define RUNTIME_THREAD_STATE_H

#include <stdbool.h>
#include <stdint.h>

struct thread_state {
    char state;         /* 'R' runs or is ready to, 'S' sleeps, 'D' waits for a device, 't' and 'T' stopped, 'Z' is dead */
    int cpu;            /* where it ran last */
    uint64_t major_faults;
    uint64_t run_ns;    /* on a CPU */
    uint64_t robbed_ns; /* ready to run, and others had the CPU; 0 where the kernel does not count it */
};

/* False: there is no such thread (any more), or no /proc.  Allocates nothing. */
bool thread_state_read(int tid, struct thread_state *out);

int thread_tid(void); /* of the calling thread; asked for once */

#endif
