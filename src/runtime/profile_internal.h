/* SPDX-License-Identifier: MIT
 * runtime/profile_internal.h - what the team tells the profile of a member; the first by the member, waits and goes_on
 * by a member that is profiled, run_ended by the caller of team_run when all members of a profiled run are back.
 */
#ifndef RUNTIME_PROFILE_INTERNAL_H
#define RUNTIME_PROFILE_INTERNAL_H

#include <stdint.h>

struct sphere;
struct team;

void profile__run_begins(struct sphere *me, uint64_t run_start_ns, uint64_t now_ns); /* sets me->profile */
void profile__waits(struct sphere *me, uint64_t now_ns);                             /* at a barrier, or it returns */
void profile__goes_on(struct sphere *me, uint64_t now_ns);                           /* the barrier is crossed */
void profile__run_ended(struct team *team, uint64_t now_ns);

#endif
