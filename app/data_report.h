/* SPDX-License-Identifier: MIT
 * app/data_report.h - what `cllm data check` prints: sample windows as text, figures, or all of it as JSON.
 */
#ifndef APP_DATA_REPORT_H
#define APP_DATA_REPORT_H

#include "data/survey.h"
#include "tokenizer/tokenizer.h"

#include <stdbool.h>

struct data_report {
    const char *path;
    const struct tokenizer *tokenizer; /* NULL: tokens are shown by their numbers */
    const struct survey *survey;
    struct survey_options options;
    const char *documents_by; /* "lines and files", "index", "token that ends texts", or NULL: nobody knows, all is one */
    bool invalid_known;       /* text was read */
    uint64_t invalid_bytes;
    double seconds;
};

/* To stdout.  color: documents in colours, what does not count in reverse; else brackets. */
enum status data_report_text(const struct data_report *report, bool color, struct error *err);
enum status data_report_json(const struct data_report *report, struct error *err);

#endif
