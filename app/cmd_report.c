/* SPDX-License-Identifier: MIT
 * app/cmd_report.c - `cllm report`: a run as one HTML page.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/file.h"
#include "train/run_view.h"

#include <stdio.h>

static const struct option_usage usage = {
    .command = "report",
    .synopsis = "cllm report RUN [options]",
    .summary = "Writes a page about a run: its curves, its spheres, samples, checkpoints, events and settings. The page is one "
               "file that needs no network. It only reads the run, which may be going on.",
    .examples = "  cllm report run1\n"
                "  cllm report run1 --out run1.html\n",
    .notes = "Without --out the page is report.html in the present directory.\n",
};

int cmd_report(int argc, char **argv)
{
    const char *run = NULL, *out = "report.html";
    struct option_def options[] = {
        OPT_TEXT("out", "FILE", &out, "where the page goes; what stood there is replaced"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &run, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1) {
        command_say("report", "which run? Give a run directory, as in `cllm report run1`");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct run_view view;
    struct buffer page = {0};
    enum status status = run_view_read(run, &view, &err);
    if (status == STATUS_OK) {
        status = run_report_html(&view, &page, &err);
        if (status == STATUS_OK)
            status = file_replace(out, page.data, page.len, &err);
        if (status == STATUS_OK)
            printf("%s\n", out);
    }
    run_view_release(&view);
    buffer_release(&page);
    return command_finish_output("report", status == STATUS_OK ? EXIT_CODE_OK : command_failed("report", &err));
}
