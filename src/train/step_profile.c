/* SPDX-License-Identifier: MIT */
#include "train/step_profile.h"

#include "base/clock.h"
#include "runtime/team.h"

#include <inttypes.h>
#include <string.h>

/* Some megabytes of trace at most, however many spheres. */
enum { MAX_EVENTS = 1 << 18, MAX_EVENTS_OF_SPHERE = 1 << 13 };

enum status step_profile_init(struct step_profile *p, struct team *team, int width, uint64_t skip, uint64_t trace,
                              struct error *err)
{
    const int fair = MAX_EVENTS / team_size(team);
    const size_t events = trace == 0 ? 0 : fair < MAX_EVENTS_OF_SPHERE ? (size_t)fair : MAX_EVENTS_OF_SPHERE;
    const enum status status = team_profile_reserve(team, events, err);
    if (status == STATUS_OK)
        *p = (struct step_profile){.team = team, .width = width, .skip = skip, .trace = trace};
    return status;
}

void step_profile_begin(struct step_profile *p)
{
    if (!p->team || p->skip > 0)
        return;
    team_profile_set(p->team, p->trace > 0 ? PROFILE_EVENTS : PROFILE_TOTALS);
    p->start_ns = clock_now_ns();
}

void step_profile_end(struct step_profile *p, uint64_t step)
{
    if (!p->team)
        return;
    if (p->skip > 0) {
        p->skip--;
        return;
    }
    p->step_ns += clock_now_ns() - p->start_ns;
    team_profile_set(p->team, PROFILE_OFF); /* evaluations have the same marks */
    if (p->steps++ == 0)
        p->first_step = step;
    p->trace -= p->trace > 0;
}

/* ---- figures ---- */

int step_profile_phases(const struct step_profile *p, struct phase_total out[PROFILE_MAX_PHASES])
{
    int n = 0;
    for (int id = 0; id < p->width; id++) {
        const struct sphere_profile *s = team_profile(p->team, id);
        for (int i = 0; i < s->num_phases; i++) {
            const struct phase_total *add = &s->phases[i];
            int k = 0;
            while (k < n && strcmp(out[k].name, add->name) != 0)
                k++;
            if (k == n)
                out[n++] = (struct phase_total){.name = add->name};
            out[k].busy_ns += add->busy_ns;
            out[k].wait_ns += add->wait_ns;
            out[k].flops += add->flops;
            out[k].barriers += add->barriers;
        }
    }
    return n;
}

double step_profile_gflops(const struct step_profile *p, const struct phase_total *phase)
{
    return phase->flops && phase->busy_ns ? (double)phase->flops / (double)phase->busy_ns * p->width : 0;
}

double step_profile_share(const struct step_profile *p, uint64_t spheres_ns)
{
    return p->step_ns ? (double)spheres_ns / ((double)p->step_ns * p->width) : 0;
}

/* ---- the table ---- */

/* Milliseconds a step on one sphere, in the mean. */
static double mean_ms(const struct step_profile *p, uint64_t spheres_ns)
{
    return 1e-6 * (double)spheres_ns / ((double)p->steps * p->width);
}

static void phase_line(const struct step_profile *p, const struct phase_total *t, double peak_gflops,
                       struct buffer *out)
{
    const double gflops = step_profile_gflops(p, t);
    buffer_printf(out, "%-20s %10.3f  %5.1f%%  %10.3f  %8.1f", t->name, mean_ms(p, t->busy_ns),
                  100 * step_profile_share(p, t->busy_ns), mean_ms(p, t->wait_ns),
                  (double)t->barriers / ((double)p->steps * p->width));
    if (gflops > 0)
        buffer_printf(out, "  %8.1f", gflops);
    if (gflops > 0 && peak_gflops > 0)
        buffer_printf(out, "  %6.1f%%", 100 * gflops / peak_gflops);
    buffer_append_text(out, "\n");
}

static void sphere_lines(const struct step_profile *p, struct buffer *out)
{
    buffer_append_text(out, "\nsphere  phase                ms working  ms waiting\n");
    for (int id = 0; id < p->width; id++) {
        const struct sphere_profile *s = team_profile(p->team, id);
        for (int i = 0; i < s->num_phases; i++)
            buffer_printf(out, "%6d  %-20s %10.3f  %10.3f\n", id, s->phases[i].name,
                          1e-6 * (double)s->phases[i].busy_ns / (double)p->steps,
                          1e-6 * (double)s->phases[i].wait_ns / (double)p->steps);
    }
}

void step_profile_table(const struct step_profile *p, double peak_gflops, bool spheres, struct buffer *out)
{
    if (p->steps == 0) {
        buffer_append_text(out, "no step was profiled\n");
        return;
    }
    struct phase_total phases[PROFILE_MAX_PHASES];
    const int n = step_profile_phases(p, phases);
    struct phase_total all = {.name = "all of the step"};
    for (int i = 0; i < n; i++) {
        all.busy_ns += phases[i].busy_ns;
        all.wait_ns += phases[i].wait_ns;
        all.flops += phases[i].flops;
        all.barriers += phases[i].barriers;
    }
    const uint64_t whole_ns = p->step_ns * (uint64_t)p->width, team_ns = all.busy_ns + all.wait_ns;
    const uint64_t outside_ns = whole_ns > team_ns ? whole_ns - team_ns : 0;
    buffer_printf(out,
                  "steps %" PRIu64 " to %" PRIu64 ": %.3f ms a step, of one sphere of %d in the mean:\n"
                  "phase                ms working   share  ms waiting  barriers   GFLOP/s%s\n",
                  p->first_step, p->first_step + p->steps - 1, 1e-6 * (double)p->step_ns / (double)p->steps, p->width,
                  peak_gflops > 0 ? "  of peak" : "");
    for (int i = 0; i < n; i++)
        phase_line(p, &phases[i], peak_gflops, out);
    buffer_printf(out, "%-20s %10s  %5.1f%%  %10.3f  %8.1f\n", "waiting", "", 100 * step_profile_share(p, all.wait_ns),
                  mean_ms(p, all.wait_ns), (double)all.barriers / ((double)p->steps * p->width));
    buffer_printf(out, "%-20s %10.3f  %5.1f%%\n", "outside the team", mean_ms(p, outside_ns),
                  100 * step_profile_share(p, outside_ns));
    all.busy_ns = whole_ns;
    buffer_printf(out, "%-20s %10.3f  %5.1f%%  %10s  %8s  %8.1f", all.name, mean_ms(p, whole_ns), 100.0, "", "",
                  step_profile_gflops(p, &all));
    if (peak_gflops > 0)
        buffer_printf(out, "  %6.1f%%", 100 * step_profile_gflops(p, &all) / peak_gflops);
    buffer_append_text(out, "\n");
    if (spheres)
        sphere_lines(p, out);
}

/* ---- the time line ---- */

void step_profile_trace(const struct step_profile *p, struct buffer *out)
{
    uint64_t first_ns = UINT64_MAX, left_out = 0;
    for (int id = 0; id < p->width; id++) {
        const struct sphere_profile *s = team_profile(p->team, id);
        if (s->num_events > 0 && s->events[0].begin_ns < first_ns)
            first_ns = s->events[0].begin_ns;
        left_out += s->events_left_out;
    }
    buffer_printf(out,
                  "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"first_step\":%" PRIu64 ",\"events_left_out\":%" PRIu64
                  "},\"traceEvents\":[\n",
                  p->first_step, left_out);
    for (int id = 0; id < p->width; id++) {
        const struct sphere_profile *s = team_profile(p->team, id);
        buffer_printf(out, "%s{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"sphere %d\"}}",
                      id ? ",\n" : "", id, id);
        for (size_t i = 0; i < s->num_events; i++) {
            const struct phase_event *e = &s->events[i];
            buffer_printf(out, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"name\":\"%s\"", id,
                          1e-3 * (double)(e->begin_ns - first_ns), 1e-3 * (double)(e->end_ns - e->begin_ns),
                          e->waiting ? "waiting" : e->name);
            if (e->waiting)
                buffer_printf(out, ",\"args\":{\"phase\":\"%s\"}", e->name);
            buffer_append_text(out, "}");
        }
    }
    buffer_append_text(out, "\n]}\n");
}
