/* SPDX-License-Identifier: MIT
 * runtime/heartbeat_internal.h - what the team tells the pulse of a member; all by the member.
 */
#ifndef RUNTIME_HEARTBEAT_INTERNAL_H
#define RUNTIME_HEARTBEAT_INTERNAL_H

#include <stdint.h>

struct sphere;

void heartbeat__begins(struct sphere *me, uint64_t run);
void heartbeat__waits(struct sphere *me);
void heartbeat__goes_on(struct sphere *me);
void heartbeat__is_done(struct sphere *me);

#endif
