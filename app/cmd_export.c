/* SPDX-License-Identifier: MIT
 * app/cmd_export.c - `cllm export`: a run's metrics for other programs.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/file.h"
#include "train/metrics_export.h"
#include "train/run_view.h"

#include <stdio.h>
#include <sys/stat.h>

static const struct option_usage usage = {
    .command = "export",
    .synopsis = "cllm export RUN [--csv FILE] [--tensorboard DIR]",
    .summary = "Writes the metrics of a run as CSV, as events for TensorBoard, or both. It only reads the run, which may be "
               "going on.",
    .examples = "  cllm export run1 --csv run1.csv\n"
                "  cllm export run1 --tensorboard logs/run1 && tensorboard --logdir logs\n",
    .notes = "Done again, an export replaces what it wrote before.\n",
};

/* The run began when its run.json was written. */
static enum status write_tensorboard(const struct run_view *view, const char *dir, struct error *err)
{
    struct buffer path = {0}, name = {0}, events = {0};
    struct stat st;
    enum status status = STATUS_OK;
    if (stat(path_join(&path, view->path, "run.json"), &st) != 0)
        status = error_set(err, STATUS_IO, "cannot look at %s: %m", path.data ? path.data : "run.json");
    if (status == STATUS_OK && !file_is_directory(dir))
        status = file_make_directory(dir, err);
    if (status == STATUS_OK) {
        const long long start_s = st.st_mtime > 0 ? (long long)st.st_mtime : 0; /* a clock may stand before 1970 */
        buffer_printf(&name, "events.out.tfevents.%lld.cllm", start_s);
        metrics_export_tensorboard(&view->log, (double)start_s, &events);
        if (name.failed || events.failed)
            status = error_set(err, STATUS_NOMEM, "no memory for the events of %s", view->path);
        else
            status = file_replace(path_join(&path, dir, name.data), events.data, events.len, err);
    }
    if (status == STATUS_OK)
        printf("%s\n", path.data);
    buffer_release(&path);
    buffer_release(&name);
    buffer_release(&events);
    return status;
}

static enum status write_csv(const struct run_view *view, const char *file, struct error *err)
{
    struct buffer text = {0};
    metrics_export_csv(&view->log, &text);
    enum status status = text.failed ? error_set(err, STATUS_NOMEM, "no memory for the table of %s", view->path)
                                     : file_replace(file, text.data, text.len, err);
    if (status == STATUS_OK)
        printf("%s\n", file);
    buffer_release(&text);
    return status;
}

int cmd_export(int argc, char **argv)
{
    const char *run = NULL, *csv = NULL, *tensorboard = NULL;
    struct option_def options[] = {
        OPT_TEXT("csv", "FILE", &csv, "a table with a row for each step"),
        OPT_TEXT("tensorboard", "DIR", &tensorboard, "an event file in this directory, which is made when absent"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, &run, 1, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 1 || (!csv && !tensorboard)) {
        command_say("export", found != 1 ? "which run? Give a run directory, as in `cllm export run1 --csv run1.csv`"
                                         : "as what? Give --csv FILE or --tensorboard DIR");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct run_view view;
    enum status status = run_view_read(run, &view, &err);
    if (status == STATUS_OK && csv)
        status = write_csv(&view, csv, &err);
    if (status == STATUS_OK && tensorboard)
        status = write_tensorboard(&view, tensorboard, &err);
    if (status == STATUS_OK && (view.log.num_damaged || view.log.torn))
        fprintf(stderr, "%s", view.notices.data);
    run_view_release(&view);
    return command_finish_output("export", status == STATUS_OK ? EXIT_CODE_OK : command_failed("export", &err));
}
