/* SPDX-License-Identifier: MIT
 * How workers fall asleep and are woken (worker.c, pool_internal.h): SUBMITTERS threads put in tasks, WORKERS run
 * them, and when all that was submitted has been run the pool ends.
 *
 * `queue` stands for all queues together.  Checked in every interleaving of two submitters and two workers, or one
 * and three: no state where nobody can go on but tasks are left (a lost wake-up is an invalid end state), counters come
 * back to nought, and when the stopper sees awake = 0 (pool->active) nothing is left to run.
 *
 * -DBROKEN leaves out the last look before sleep; the check must then fail (scripts/model_check).
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 2
#endif
#ifndef TASKS
#define TASKS 2 /* each */
#endif

#define DOWN 0
#define SLEEPING 1
#define UP 2

byte queue = 0, ran = 0;
byte searching = 0, awake = WORKERS, submitting = SUBMITTERS;
bit idle[WORKERS];
byte word[WORKERS];
bit ending = 0;

inline raise_word(id)
{
    word[id] = UP /* the exchange; a sleeper is woken by the change */
}

/* The futex sleeps only while the word is SLEEPING. */
inline take_word(id)
{
    atomic { if :: word[id] == DOWN -> word[id] = SLEEPING :: else -> skip fi };
    (word[id] == UP);
    word[id] = DOWN
}

inline notify()
{
    if
    :: searching > 0 -> skip
    :: else ->
        v = 0;
        do
        :: v == WORKERS -> break
        :: else ->
            atomic { claimed = idle[v]; idle[v] = 0 };
            if
            :: claimed ->
                awake++;
                searching++;
                raise_word(v);
                break
            :: else -> v++
            fi
        od
    fi
}

inline end_search()
{
    atomic { searching--; last = (searching == 0) };
    if
    :: last ->
        if
        :: queue > 0 -> notify()
        :: else -> skip
        fi
    :: else -> skip
    fi
}

inline find()
{
    atomic { found = (queue > 0); if :: found -> queue-- :: else -> skip fi }
}

proctype submitter()
{
    byte i, v;
    bit claimed;
    for (i : 1 .. TASKS) {
        queue++;
        notify()
    }
    submitting-- /* the FIFOs are closed to it */
}

proctype worker(byte id)
{
    byte v;
    bit found, claimed, last, called;
    do
    :: ending -> break
    :: else ->
        find();
        if
        :: found -> ran++
        :: else ->
            searching++;
search:
            find();
            called = ending;
            if
            :: found || called -> end_search()
            :: else ->
                idle[id] = 1;
                searching--;
#ifndef BROKEN
                find();
#endif
                called = ending;
                if
                :: found || called ->
                    atomic { claimed = idle[id]; idle[id] = 0 };
                    if
                    :: !claimed ->
                        take_word(id);
                        awake--;
                        end_search()
                    :: else ->
                        if
                        :: queue > 0 -> notify()
                        :: else -> skip
                        fi
                    fi
                :: else ->
                    awake--;
                    take_word(id);
                    goto search
                fi
            fi;
            if
            :: found -> ran++
            :: else -> skip
            fi
        fi
    od
}

init {
    byte i, v;
    bit claimed;
    atomic {
        for (i : 0 .. WORKERS - 1) { run worker(i) };
        for (i : 1 .. SUBMITTERS) { run submitter() }
    };
    (submitting == 0);
    (awake == 0);
    assert(queue == 0 && ran == SUBMITTERS * TASKS);
    ending = 1;
    for (i : 0 .. WORKERS - 1) { /* pool__rouse */
        atomic { claimed = idle[i]; idle[i] = 0 };
        if
        :: claimed -> awake++; searching++; raise_word(i)
        :: else -> skip /* a nudge, which a worker asleep for want of work does not heed */
        fi
    };
    (_nr_pr == 1);
    assert(ran == SUBMITTERS * TASKS && searching == 0)
}
