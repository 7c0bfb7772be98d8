/* SPDX-License-Identifier: MIT
 * train_setup_internal.h - steps of a set-up, each of which makes a part of the run from the parts before it.
 *
 * train_setup.c has the order and what every run does, train_setup_new.c what a new one is made of, train_setup_recorded.c what
 * goes by the record of a run: one to go on with (its checkpoint) or to repeat (its events).
 */
#ifndef APP_TRAIN_SETUP_INTERNAL_H
#define APP_TRAIN_SETUP_INTERNAL_H

#include "app/train_run.h"

typedef enum status train_setup_step(struct train_run *r, struct error *err);

/* Of a new run: settings before the data is known; tokenizer, vocabulary and tokens; room for its documents. */
train_setup_step train_setup__new_settings, train_setup__new_data, train_setup__new_targets;

/* Of a recorded one: threads, back end and settings where the command line says nothing; tokenizer and tokens, which are the same; the same
 * settings once the data is known; for a replay the files that both runs have, and the events to repeat; for a resume the
 * checkpoint, and the events that are in force. */
train_setup_step train_setup__recorded_settings, train_setup__recorded_data, train_setup__same_settings;
train_setup_step train_setup__shared_files, train_setup__repeated_events;
train_setup_step train_setup__checkpoint, train_setup__resumed_events;

/* STATUS_CONFIG: "the WHAT is too long". */
enum status train_setup__text(char *to, size_t size, const char *text, const char *what, struct error *err);

#endif
