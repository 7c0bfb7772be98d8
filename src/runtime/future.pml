/* SPDX-License-Identifier: MIT
 * The state word of a task and its future (future.c, worker.c): a worker takes the queue's entry, a waiter first
 * tries to run the task itself and else sleeps, another thread cancels, and the holder releases once both are back.
 *
 * Checked: the task runs once or was cancelled and never runs; the waiter does not sleep for ever; the record is given
 * back exactly once, when task, holder and queue have all let go of it, and nobody but a waker touches it afterwards.
 *
 * -DBROKEN lets the sleeper set its bit in two steps; the check must then fail (scripts/model_check).
 */
#define QUEUED 0
#define RUNNING 1
#define DONE 2
#define CANCELLED 3

byte phase = QUEUED;
bit waited = 0, held = 1, entered = 1;
byte changes = 0; /* counts changes of the word, for the futex's comparison */
byte runs = 0, freed = 0, back = 0;
bit cancel_won = 0;

inline give_back()
{
    freed++;
    assert(freed == 1)
}

inline finish()
{
    atomic {
        assert(freed == 0);
        phase = DONE;
        changes++;
        last = !held && !entered
    };
    if
    :: last -> give_back()
    :: else -> skip
    fi
}

proctype worker()
{
    bit mine, last;
    atomic { /* pool__take */
        assert(freed == 0);
        mine = (phase == QUEUED);
        if
        :: mine -> phase = RUNNING
        :: else -> skip
        fi;
        entered = 0;
        changes++;
        last = (phase >= DONE && !held)
    };
    if
    :: mine -> runs++; finish()
    :: else ->
        if
        :: last -> give_back()
        :: else -> skip
        fi
    fi
}

proctype waiter(bit may_run)
{
    bit mine = 0, last;
    byte seen;
    if
    :: may_run ->
        atomic { /* pool__claim */
            assert(freed == 0);
            mine = (phase == QUEUED);
            if
            :: mine -> phase = RUNNING; changes++
            :: else -> skip
            fi
        }
    :: else -> skip
    fi;
    if
    :: mine -> runs++; finish()
    :: else -> skip
    fi;
    do
    :: phase >= DONE -> break
    :: else ->
#ifdef BROKEN
        if
        :: phase < DONE -> waited = 1; seen = 255
        :: else -> seen = 254
        fi;
#else
        atomic {
            if
            :: phase < DONE -> if :: !waited -> waited = 1; changes++ :: else -> skip fi; seen = changes
            :: else -> seen = 254
            fi
        };
#endif
        if
        :: seen == 254 -> skip
        :: seen == 255 -> (changes > 100) /* slept without comparing: nobody wakes it */
        :: else -> (changes != seen) /* the futex: asleep while the word is as it was seen */
        fi
    od;
    back++
}

proctype canceller()
{
    bit last;
    atomic {
        assert(freed == 0);
        if
        :: phase == QUEUED -> phase = CANCELLED; changes++; cancel_won = 1
        :: else -> skip
        fi
    };
    back++
}

init {
    bit last;
    atomic { run worker(); run waiter(1); run waiter(0); run canceller() };
    (back == 3);
    atomic { /* future_release */
        assert(freed == 0);
        held = 0;
        last = (phase >= DONE && !entered)
    };
    if
    :: last -> give_back()
    :: else -> skip
    fi;
    (_nr_pr == 1);
    assert(freed == 1);
    assert(runs + cancel_won == 1)
}
