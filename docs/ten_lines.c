/* SPDX-License-Identifier: MIT
 * ten_lines.c - a language model trained from a C program: bytes of a file, one sphere for each usable core.
 *
 *     cc ten_lines.c $(pkg-config --cflags --libs cllm) -o ten_lines && ./ten_lines some.txt 100
 */
#include "train/threaded_training.h"

#include <stdlib.h>

int main(int argc, char **argv)
{
    struct error err = {0};
    struct train_settings s;
    train_settings_preset(&s, "demo", &err);
    s.model.vocab_size = 256;
    s.steps = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    struct tokens *text = tokens_open_bytes(argc > 1 ? argv[1] : "README.md", &err);
    struct batch_options options = {s.seq_len, s.batch_size, s.val_fraction, s.seed};
    struct batch_iterator *batches = batch_iterator_create(text, &options, &err);
    struct training *training = training_create(&s, &err);
    struct threaded_training *system = threaded_training_create(training, batches, 0);
    while (system && training_step(training) < s.steps && threaded_train_epoch(system) == STATUS_OK)
        printf("step %llu: loss %.3f\n", (unsigned long long)training_step(training), training_last_loss(training));
    if (system)
        threaded_training_print_stats(system);
    else
        fprintf(stderr, "%s\n", err.text[0] ? err.text : threaded_training_create_error());
    threaded_training_free(system);
    training_free(training);
    batch_iterator_free(batches);
    tokens_close(text);
    return system ? 0 : 1;
}
