/* SPDX-License-Identifier: MIT
 * app/convert_proof.h - a model and what was read back of it, run side by side on fixed prompts.
 */
#ifndef APP_CONVERT_PROOF_H
#define APP_CONVERT_PROOF_H

#include "app/crew.h"
#include "base/status.h"
#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>

struct logits_proof {
    bool same_weights; /* all bits of all weights: then all bits of all logits have to be the same */
    size_t prompts, tokens;
    size_t same_choice;  /* positions at which both would choose the same next token */
    double largest;      /* difference of a logit */
    double spread;       /* standard deviation of the first model's logits */
};

/* STATUS_FORMAT: the weights are the same and the logits are not, or a logit is not finite. */
enum status prove_logits(struct model *model, struct model *back, const struct crew *crew, struct logits_proof *proof,
                         struct error *err);

#endif
