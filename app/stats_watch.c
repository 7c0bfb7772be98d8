/* SPDX-License-Identifier: MIT */
#include "app/stats_watch.h"

#include "app/command.h"
#include "app/interrupt.h"
#include "base/file.h"
#include "base/human.h"
#include "base/utf8.h"
#include "train/run_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const uint64_t period_ns = 1000000000;

static void picture(const struct run_view *view, bool all, struct buffer *out)
{
    const struct metrics_log *log = &view->log;
    buffer_printf(out, "%s: %s\n", view->path, view->running ? "training" : "not training now");
    if (log->num_steps) {
        const struct metrics_step *s = &log->steps[log->num_steps - 1];
        struct human step, speed;
        buffer_printf(out, "step %s  loss %.4f  lr %.3g  norm %.3g  %s tokens/s  waiting %.1f%%\n", human_whole(&step, s->step),
                      s->loss, s->lr, s->grad_norm, human_count(&speed, s->tokens_per_s), 100 * s->wait_share);
    }
    if (log->num_vals)
        buffer_printf(out, "validation loss %.4f at step %" PRIu64 "\n", log->vals[log->num_vals - 1].loss,
                      log->vals[log->num_vals - 1].step);
    buffer_append_text(out, "\n");
    if (view->has_stats)
        stats_report_table(&view->stats, all, out);
    if (view->notices.len)
        buffer_printf(out, "\n%s", view->notices.data);
}

/* From the upper left corner on, each line cut to the width, as many as there is room for; the rest is cleared. */
static void draw(const char *text)
{
    struct winsize size;
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && size.ws_row > 1;
    const size_t columns = known ? size.ws_col - 1u : 79;
    int rows = known ? size.ws_row - 1 : 23;
    fputs("\033[H", stdout);
    for (; *text && rows-- > 0;) {
        const size_t whole = strcspn(text, "\n");
        const size_t len = whole > columns ? utf8_whole_prefix(text, columns) : whole;
        printf("%.*s\033[K\n", (int)len, text);
        text += whole + (text[whole] == '\n');
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

int stats_watch(const char *run, bool all)
{
    struct error err = {0};
    struct interrupt interrupt;
    struct buffer text = {0};
    enum status status = interrupt_begin(&interrupt, true, &err);
    if (status != STATUS_OK)
        return command_failed("stats", &err);
    bool running = true, first = true;
    while (status == STATUS_OK && running && !cancel_wanted(interrupt.token)) {
        struct run_view view;
        status = run_view_read(run, &view, &err);
        if (status != STATUS_OK)
            break;
        running = view.running;
        buffer_clear(&text);
        picture(&view, all, &text);
        run_view_release(&view);
        if (text.failed) {
            status = error_set(&err, STATUS_NOMEM, "no memory for the table");
            break;
        }
        if (first)
            fputs("\033[2J", stdout);
        first = false;
        draw(text.data);
        if (running)
            cancel_wait(interrupt.token, period_ns);
    }
    interrupt_end(&interrupt);
    const int code = interrupt_exit_code(&interrupt, status == STATUS_OK ? EXIT_CODE_OK : command_failed("stats", &err));
    interrupt_release(&interrupt);
    buffer_release(&text);
    return command_finish_output("stats", code);
}
