/* SPDX-License-Identifier: MIT */
#include "runtime/sphere.h"

int sphere_levels(int num_spheres)
{
    return num_spheres < 1 ? 0 : sphere_level(num_spheres - 1) + 1;
}

int sphere_level(int id)
{
    int level = 0;
    for (; id > 0; id = sphere_parent(id))
        level++;
    return level;
}

int sphere_parent(int id)
{
    return id > 0 ? (id - 1) / SPHERE_FANOUT : -1;
}

int sphere_first_child(int id)
{
    return SPHERE_FANOUT * id + 1;
}

int sphere_num_children(int id, int num_spheres)
{
    int after = num_spheres - sphere_first_child(id);
    return after < 0 ? 0 : after < SPHERE_FANOUT ? after : SPHERE_FANOUT;
}

int sphere_group(int id)
{
    return id % SPHERE_FANOUT;
}

struct share sphere_share(const struct sphere *me, size_t n)
{
    const size_t width = (size_t)me->width, id = (size_t)me->id;
    const size_t each = n / width, larger = n % width;
    const size_t begin = id * each + (id < larger ? id : larger);
    return (struct share){begin, begin + each + (id < larger)};
}

/* A unit belongs to the member within whose part of the whole the unit's middle lies: twice the cost before it plus
 * its own, against 2 * total * id / width.  Middles do not decrease, so the shares are contiguous and complete. */
struct share sphere_share_weighted(const struct sphere *me, size_t n, uint64_t (*cost)(size_t i, const void *ctx),
                                   const void *ctx)
{
    __extension__ typedef unsigned __int128 wide;
    const wide width = (wide)me->width, id = (wide)me->id;
    wide total = 0, before = 0;
    for (size_t i = 0; i < n; i++)
        total += cost(i, ctx);
    if (total == 0)
        return sphere_share(me, n);
    size_t i = 0, begin;
    for (; id > 0 && i < n && (2 * before + cost(i, ctx)) * width < 2 * total * id; i++)
        before += cost(i, ctx);
    begin = i;
    if (id + 1 == width)
        return (struct share){begin, n};
    for (; i < n && (2 * before + cost(i, ctx)) * width < 2 * total * (id + 1); i++)
        before += cost(i, ctx);
    return (struct share){begin, i};
}
