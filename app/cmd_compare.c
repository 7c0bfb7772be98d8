/* SPDX-License-Identifier: MIT
 * app/cmd_compare.c - `cllm compare`: where two runs part.
 */
#include "app/command.h"
#include "app/options.h"
#include "base/file.h"
#include "train/run_compare.h"

#include <stdio.h>

static const struct option_usage usage = {
    .command = "compare",
    .synopsis = "cllm compare A B [options]",
    .summary = "Says at which step the results of two runs first differ (loss, lr, grad_norm and val_loss, bit by bit), "
               "what run.json says otherwise, and how they ended. It only reads the runs.",
    .examples = "  cllm compare run1 run2\n"
                "  cllm compare run1 run2 --out both.html\n",
    .notes = "Exit codes, as those of cmp: 0 the results are the same, whatever the settings; 1 they differ; 2 trouble.\n",
};

enum { SAME = 0, DIFFERENT = 1, TROUBLE = 2 };

static enum status say_result(const json_t *result, bool json, struct error *err)
{
    struct buffer text = {0};
    enum status status = json ? json_write(result, true, &text, err) : run_compare_text(result, &text, err);
    if (status == STATUS_OK)
        fputs(text.data, stdout);
    buffer_release(&text);
    return status;
}

int cmd_compare(int argc, char **argv)
{
    const char *runs[2] = {NULL, NULL}, *out = NULL;
    bool json = false;
    struct option_def options[] = {
        OPT_TEXT("out", "FILE", &out, "writes an HTML page with the curves of both, too"),
        OPT_FLAG("json", &json, "says it as JSON"),
        OPT_END,
    };
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, runs, 2, &found);
    if (code != OPTIONS_GO_ON)
        return code;
    if (found != 2) {
        command_say("compare", "which runs? Give two run directories, as in `cllm compare run1 run2`");
        return EXIT_CODE_USAGE;
    }
    struct error err = {0};
    struct run_view a = {0}, b = {0};
    struct buffer page = {0};
    json_t *result = NULL;
    enum status status = run_view_read(runs[0], &a, &err);
    if (status == STATUS_OK)
        status = run_view_read(runs[1], &b, &err);
    if (status == STATUS_OK && !(result = run_compare(&a, &b)))
        status = error_set(&err, STATUS_NOMEM, "no memory for the comparison");
    if (status == STATUS_OK && out)
        status = run_compare_html(&a, &b, result, &page, &err);
    if (status == STATUS_OK && out)
        status = file_replace(out, page.data, page.len, &err);
    if (status == STATUS_OK)
        status = say_result(result, json, &err);
    if (status == STATUS_OK && !json) {
        fputs(a.notices.len ? a.notices.data : "", stdout);
        fputs(b.notices.len ? b.notices.data : "", stdout);
    }
    code = json_is_true(json_object_get(result, "same")) ? SAME : DIFFERENT;
    if (status != STATUS_OK) {
        command_failed("compare", &err);
        code = TROUBLE;
    }
    json_decref(result);
    run_view_release(&a);
    run_view_release(&b);
    buffer_release(&page);
    return command_finish_output("compare", EXIT_CODE_OK) == EXIT_CODE_OK ? code : TROUBLE;
}
