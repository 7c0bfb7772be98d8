/* SPDX-License-Identifier: MIT */
#include "train/watchdog.h"

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "train/saver.h"
#include "train/threaded_training.h"
#include "train/threaded_training_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TIMES_LONGEST = 10, TIMES_FIRST = 30 };

static const uint64_t ns_per_s = 1000000000u;

/* ---- the rule ---- */

struct watchdog_rule watchdog_rule_new(double seconds, uint64_t step)
{
    return (struct watchdog_rule){.seconds = seconds, .step = step, .first_step = step};
}

uint64_t watchdog_rule_period_ns(const struct watchdog_rule *rule)
{
    const uint64_t most = ns_per_s / 4, eighth = (uint64_t)(rule->seconds * 1e9 / 8);
    return eighth < most ? eighth : most;
}

static uint64_t limit_ns(const struct watchdog_rule *rule)
{
    const double times = rule->step == rule->first_step ? TIMES_FIRST : 1;
    const uint64_t least = (uint64_t)(times * rule->seconds * 1e9), longest = TIMES_LONGEST * rule->longest_ns;
    return longest > least ? longest : least;
}

/* What of the time since the last look the laggard was silent by its own. */
static uint64_t own_silence(const struct watchdog_rule *rule, const struct watchdog_look *look, uint64_t passed_ns)
{
    const struct thread_state *was = &rule->thread, *is = &look->thread;
    if (!look->has_thread || look->tid != rule->tid)
        return passed_ns;
    if (is->state == 'R') { /* ready: only what it computed counts, the rest it was robbed of */
        const uint64_t ran_ns = is->run_ns > was->run_ns ? is->run_ns - was->run_ns : 0;
        return ran_ns < passed_ns ? ran_ns : passed_ns;
    }
    return is->state == 'D' && is->major_faults != was->major_faults ? 0 : passed_ns;
}

bool watchdog_rule_look(struct watchdog_rule *rule, const struct watchdog_look *look)
{
    const uint64_t passed_ns = look->now_ns - rule->last_ns;
    const uint64_t most_ns = 2 * watchdog_rule_period_ns(rule); /* later than that we did not run, and nor may others */
    const bool same = rule->running && look->pulse.running && rule->run == look->pulse.run &&
                      rule->beats == look->pulse.beats;
    if (same) {
        const uint64_t own_ns = own_silence(rule, look, passed_ns);
        rule->silent_ns += own_ns < most_ns ? own_ns : most_ns;
    } else {
        if (rule->silent_ns > rule->longest_ns)
            rule->longest_ns = rule->silent_ns;
        rule->silent_ns = 0;
    }
    rule->last_ns = look->now_ns;
    rule->running = look->pulse.running;
    rule->run = look->pulse.run;
    rule->beats = look->pulse.beats;
    rule->step = look->step > rule->first_step ? look->step : rule->step;
    rule->tid = look->tid;
    rule->thread = look->thread;
    return rule->silent_ns > limit_ns(rule);
}

static const char *state_text(int tid, bool has_thread, const struct thread_state *thread)
{
    if (tid == 0)
        return "it never had a thread";
    if (!has_thread)
        return "its thread is gone";
    switch (thread->state) {
    case 'R':
        return "its thread runs without getting anywhere";
    case 'S':
        return "its thread sleeps";
    case 'D':
        return "its thread waits for a device";
    case 't':
    case 'T':
        return "its thread is stopped";
    case 'Z':
    case 'X':
        return "its thread is dead";
    default:
        return "its thread is in a state of its own";
    }
}

void hang_text(const struct hang *h, char *out, size_t size)
{
    char cpu[32] = "";
    if (h->has_thread)
        snprintf(cpu, sizeof cpu, " on CPU %d", h->thread.cpu);
    snprintf(out, size, "sphere %d hangs in \"%s\"%s%s%s: no sign of life for %.1f s, %s", h->sphere.id, h->sphere.phase,
             h->sampling ? " of a sample" : "", h->sphere.state == MEMBER_WAITING ? ", coming out of a barrier," : "", cpu,
             h->seconds, state_text(h->sphere.tid, h->has_thread, &h->thread));
}

void save_stall_text(const struct save_stall *s, char *out, size_t size)
{
    snprintf(out, size, "the checkpoint of step %" PRIu64 " is not getting written: no sign of life for %.1f s, %s", s->step,
             s->seconds, state_text(1, s->has_thread, &s->thread));
}

/* ---- the thread ---- */

struct watchdog {
    struct threaded_training *system;
    struct watchdog_rule rule;
    void (*bite)(void *ctx, const struct hang *hang);
    void *ctx;
    struct thread *thread;
    struct mutex *mu;
    struct cond *changed;
    bool quit; /* guarded by mu, as what follows */
    struct saver *saver; /* NULL: none */
    void (*warn)(void *ctx, const struct save_stall *stall);
    /* the thread's own */
    struct watchdog_rule save_rule;
    uint64_t warned; /* of that save */
};

static bool look_at(struct watchdog *w, struct heartbeat *laggard)
{
    struct watchdog_look look = {.now_ns = clock_now_ns()};
    if (threaded_training__look(w->system, &look.pulse, &look.step, laggard)) {
        look.tid = laggard->tid;
        look.has_thread = look.tid != 0 && thread_state_read(look.tid, &look.thread);
    }
    return watchdog_rule_look(&w->rule, &look);
}

/* All wait: one whose thread cannot even do that is to blame, where there is one. */
static void look_closer(const struct watchdog *w, struct hang *hang)
{
    struct heartbeat h;
    for (int id = 0; hang->sphere.state == MEMBER_WAITING && threaded_training__heartbeat(w->system, id, &h); id++) {
        struct thread_state thread;
        const bool there = h.tid != 0 && thread_state_read(h.tid, &thread);
        if (h.arrivals == hang->sphere.arrivals && (!there || strchr("tTZX", thread.state))) {
            hang->sphere = h;
            return;
        }
    }
}

static void bite(struct watchdog *w, const struct heartbeat *laggard)
{
    struct hang hang = {.sampling = threaded_training__watches_guest(w->system), .sphere = *laggard,
                        .seconds = 1e-9 * (double)w->rule.silent_ns};
    look_closer(w, &hang);
    hang.has_thread = hang.sphere.tid != 0 && thread_state_read(hang.sphere.tid, &hang.thread);
    if (!threaded_training__seize(w->system, w->rule.run, w->rule.beats, &hang.whole, &hang.step))
        return; /* it moved at the last moment */
    w->bite(w->ctx, &hang);
    threaded_training__release(w->system);
}

static void look_at_saver(struct watchdog *w, struct saver *saver, void (*warn)(void *ctx, const struct save_stall *stall))
{
    struct save_pulse pulse;
    saver_pulse(saver, &pulse);
    struct watchdog_look look = {.now_ns = clock_now_ns(), .step = 1, .tid = pulse.tid};
    look.pulse = (struct team_pulse){.running = pulse.writing, .run = pulse.saves, .beats = pulse.beats, .width = 1};
    look.has_thread = pulse.writing && thread_state_read(look.tid, &look.thread);
    if (!watchdog_rule_look(&w->save_rule, &look) || w->warned == pulse.saves)
        return;
    w->warned = pulse.saves;
    warn(w->ctx, &(struct save_stall){.step = pulse.step, .has_thread = look.has_thread, .thread = look.thread,
                                      .seconds = 1e-9 * (double)w->save_rule.silent_ns});
}

void watchdog_watch_saver(struct watchdog *w, struct saver *saver, void (*warn)(void *ctx, const struct save_stall *stall))
{
    mutex_lock(w->mu);
    w->saver = saver;
    w->warn = warn;
    mutex_unlock(w->mu);
}

static void watch(void *arg)
{
    struct watchdog *w = arg;
    struct heartbeat laggard;
    mutex_lock(w->mu);
    while (!w->quit) {
        cond_wait_for(w->changed, w->mu, watchdog_rule_period_ns(&w->rule));
        struct saver *saver = w->saver;
        void (*warn)(void *ctx, const struct save_stall *stall) = w->warn;
        mutex_unlock(w->mu);
        if (saver)
            look_at_saver(w, saver, warn);
        if (look_at(w, &laggard)) {
            bite(w, &laggard);
            w->rule = watchdog_rule_new(w->rule.seconds, w->rule.step);
        }
        mutex_lock(w->mu);
    }
    mutex_unlock(w->mu);
}

struct watchdog *watchdog_start(struct threaded_training *system, double seconds,
                                void (*bite_fn)(void *ctx, const struct hang *hang), void *ctx, struct error *err)
{
    struct watchdog *w = mem_calloc(1, sizeof *w);
    if (w) {
        w->mu = mutex_new();
        w->changed = cond_new();
    }
    if (!w || !w->mu || !w->changed) {
        error_set(err, STATUS_NOMEM, "no memory for the watchdog");
        watchdog_stop(w);
        return NULL;
    }
    struct team_pulse pulse;
    struct heartbeat ignored;
    uint64_t step;
    threaded_training__look(system, &pulse, &step, &ignored);
    w->system = system;
    w->rule = watchdog_rule_new(seconds, step);
    w->save_rule = watchdog_rule_new(seconds, 0);
    w->bite = bite_fn;
    w->ctx = ctx;
    w->thread = thread_start("watchdog", watch, w, err);
    if (!w->thread) {
        watchdog_stop(w);
        return NULL;
    }
    return w;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w)
        return;
    if (w->thread) {
        mutex_lock(w->mu);
        w->quit = true;
        cond_broadcast(w->changed);
        mutex_unlock(w->mu);
        thread_join(w->thread);
    }
    cond_free(w->changed);
    mutex_free(w->mu);
    mem_free(w);
}
