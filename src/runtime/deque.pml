/* SPDX-License-Identifier: MIT
 * The deque of deque.c: one owner, two thieves, capacity 2, so that slots are used again.
 *
 * Every operation on top, bottom and a slot is one atomic step, and all interleavings are tried: sequential
 * consistency, which is what the code asks of top and bottom; a slot's value is published by bottom.  Checked: each
 * item is taken once at most, in the end once exactly, thieves take the oldest first, and nobody blocks.
 *
 * -DBROKEN takes the exchange on top out of pop for the last item; the check must then fail (scripts/model_check).
 */
#define CAPACITY 2
#ifndef ITEMS
#define ITEMS 4
#endif

byte top = 1, bottom = 1; /* from 1, so that bottom - 1 stays a byte */
byte slot[CAPACITY];
byte taken[ITEMS + 1];
byte owner_done = 0;
byte last_stolen = 0;

inline take(item)
{
    d_step { taken[item]++; assert(taken[item] == 1) }
}

proctype owner()
{
    byte b, t, item, next = 1, top_seen = 1;
    bool won;
    do
    :: next <= ITEMS -> /* push, when there is room */
        b = bottom;
        if
        :: b - top_seen >= CAPACITY -> top_seen = top
        :: else -> skip
        fi;
        if
        :: b - top_seen >= CAPACITY -> skip
        :: else ->
            slot[b % CAPACITY] = next;
            bottom = b + 1;
            next++
        fi
    :: true -> /* pop */
        b = bottom - 1;
        t = top;
        if
        :: t > b -> /* empty at a glance */
            if
            :: next > ITEMS -> break
            :: else -> skip
            fi
        :: else ->
            bottom = b;
            t = top;
            item = 0;
            if
            :: t <= b -> item = slot[b % CAPACITY]
            :: else -> skip
            fi;
            if
            :: t < b -> take(item)
            :: else ->
                if
                :: t == b ->
#ifdef BROKEN
                    won = true;
                    top = t + 1;
#else
                    atomic { won = (top == t); if :: won -> top = t + 1 :: else -> skip fi };
#endif
                    if
                    :: won -> take(item)
                    :: else -> skip
                    fi
                :: else -> skip
                fi;
                bottom = b + 1
            fi
        fi
    od;
    owner_done = 1
}

proctype thief()
{
    byte t, b, item;
    do
    :: t = top;
        b = bottom;
        if
        :: t >= b ->
            if
            :: owner_done -> break
            :: else -> skip
            fi
        :: else ->
            item = slot[t % CAPACITY];
            atomic {
                if
                :: top == t ->
                    top = t + 1;
                    assert(item > last_stolen); /* oldest first */
                    last_stolen = item;
                    taken[item]++;
                    assert(taken[item] == 1)
                :: else -> skip
                fi
            }
        fi
    od
}

init {
    byte i;
    atomic { run owner(); run thief(); run thief() };
    (_nr_pr == 1);
    for (i : 1 .. ITEMS) { assert(taken[i] == 1) };
    assert(top == bottom)
}
