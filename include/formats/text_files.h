/* SPDX-License-Identifier: MIT
 * formats/text_files.h - the small files of a model beside its weights: tokenizer.json, templates, generation settings,
 * licence.  Held in memory from reading a model to writing it in another format.  Any thread, on distinct objects.
 */
#ifndef FORMATS_TEXT_FILES_H
#define FORMATS_TEXT_FILES_H

#include "base/buffer.h"
#include "base/status.h"

#include <stddef.h>

struct text_file {
    char *name; /* without a directory */
    struct buffer content;
};

struct text_files { /* {0} is empty */
    struct text_file *files; /* [count], in the order of their names once read from a directory */
    size_t count;
};

void text_files_release(struct text_files *files);

/* Adds the regular files of a directory but weights, their indices and what belongs to a training (manifest.json,
 * trainer_state.json).  Symbolic links are followed for names that a model has by custom (as in Hugging Face's cache),
 * and passed over otherwise: a copied model must not carry a file from elsewhere away with it.  STATUS_IO: such a name
 * borne by what is no regular file (a FIFO, a directory, a link to nothing).  STATUS_FORMAT: a file, or all together, too large
 * to be one of these. */
enum status text_files_read(struct text_files *files, const char *directory, struct error *err);

/* Takes over the content (which is empty afterwards), replacing a file of that name. */
enum status text_files_put(struct text_files *files, const char *name, struct buffer *content, struct error *err);

/* NULL: absent. */
const struct buffer *text_files_find(const struct text_files *files, const char *name);

/* Writes all into an existing directory, but those whose name is in `skip`, a NULL-terminated list. */
enum status text_files_write(const struct text_files *files, const char *directory, const char *const *skip,
                             struct error *err);

#endif
