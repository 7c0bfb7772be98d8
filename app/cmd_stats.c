/* SPDX-License-Identifier: MIT
 * app/cmd_stats.c - `cllm stats`: what each sphere of a run did, after the run or while it goes on.
 */
#include "app/command.h"
#include "app/options.h"
#include "app/stats_watch.h"
#include "base/file.h"
#include "train/stats_report.h"

#include <stdio.h>
#include <unistd.h>

static const struct option_usage usage = {
    .command = "stats",
    .synopsis = "cllm stats RUN [options]",
    .summary = "Shows what the spheres of a run did: the whole, by level, by symmetry group, and each by itself "
               "where they are few. During a run the figures are at most some seconds old.",
    .examples = "  cllm stats run1\n"
                "  cllm stats run1 --spheres\n"
                "  cllm stats run1 --watch\n"
                "  cllm stats run1 --json | jq '.spheres[0].wait_ns'\n",
};

static enum status print_report(const struct stats_report *report, bool json, bool all, struct error *err)
{
    struct buffer text = {0};
    enum status status = STATUS_OK;
    if (json) {
        json_t *object = stats_report_json(report);
        status =
            object ? json_write(object, true, &text, err) : error_set(err, STATUS_NOMEM, "no memory for the figures");
        json_decref(object);
    } else {
        stats_report_table(report, all, &text);
        if (text.failed)
            status = error_set(err, STATUS_NOMEM, "no memory for the table");
    }
    if (status == STATUS_OK)
        fputs(text.data, stdout);
    buffer_release(&text);
    return status;
}

int cmd_stats(int argc, char **argv)
{
    bool json = false, all = false, watch = false;
    struct option_def options[] = {
        OPT_FLAG("spheres", &all, "every sphere, however many there are"),
        OPT_FLAG("json", &json, "as JSON, every sphere"),
        OPT_FLAG("watch", &watch, "on a terminal: drawn anew each second until the run ends or Ctrl-C; elsewhere as without"),
        OPT_END,
    };
    const char *run = NULL;
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &run, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1) {
        command_say("stats", "which run? Give a run directory, as in `cllm stats run1`");
        return EXIT_CODE_USAGE;
    }
    if (watch && json) {
        command_say("stats", "--watch draws on a terminal and --json is for programs: give one of them");
        return EXIT_CODE_USAGE;
    }
    if (watch && isatty(STDOUT_FILENO))
        return stats_watch(run, all);
    struct error err = {0};
    struct buffer path = {0};
    struct stats_report report = {0};
    enum status status = STATUS_OK;
    if (!file_is_directory(run))
        status = error_set(&err, STATUS_IO, "%s: no such run directory", run);
    else if (!file_exists(path_join(&path, run, "stats.json")))
        status = error_set(&err, STATUS_IO,
                           "%s has no stats.json: it is no run directory, or its run has not made a step yet", run);
    else
        status = stats_report_read(path.data, &report, &err);
    if (status == STATUS_OK)
        status = print_report(&report, json, all, &err);
    stats_report_release(&report);
    buffer_release(&path);
    code = status == STATUS_OK ? EXIT_CODE_OK : command_failed("stats", &err);
    return command_finish_output("stats", code);
}
