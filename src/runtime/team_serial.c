/* SPDX-License-Identifier: MIT
 *
 * The serial back end: one sphere, which is the caller.
 */
#include "runtime/team_internal.h"

static enum status start(struct team *team, struct error *err)
{
    (void)team;
    (void)err;
    return STATUS_OK;
}

static enum status run(struct team *team)
{
    team__member(team, 0);
    return STATUS_OK;
}

static void stop(struct team *team)
{
    (void)team;
}

const struct team_ops team__serial = {start, run, stop};
