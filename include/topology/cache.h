/* SPDX-License-Identifier: MIT
 * topology/cache.h - how large one core's data caches are, for those who cut work into blocks.
 *
 * From the C library, which asks the CPU; quick, where topology_read looks at the whole machine.  Any thread.
 */
#ifndef TOPOLOGY_CACHE_H
#define TOPOLOGY_CACHE_H

#include <stddef.h>

/* Of level 1 or 2, always at least 16 KiB and at most 8 MiB; 32 KiB and 512 KiB where the system does not say. */
size_t cache_core_bytes(int level);

#endif
