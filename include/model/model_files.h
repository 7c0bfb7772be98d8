/* SPDX-License-Identifier: MIT
 * model/model_files.h - a model from and to what others use: a Hugging Face directory, a GGUF file, an llm.c checkpoint.
 *
 * Reading gives the weights as f32 in our layout and the small files beside them (for GGUF made from its keys); writing
 * takes the two.  The orders and shapes of other formats (Conv1D transposed, the rows of q and k in another order for
 * llama.cpp's rotation, a padded vocabulary) are dealt with here and nowhere else.  docs/formats.md says what of each
 * format is read, written and refused.  One thread at a time on one model.
 */
#ifndef MODEL_MODEL_FILES_H
#define MODEL_MODEL_FILES_H

#include "base/status.h"
#include "formats/tensor_type.h"
#include "formats/text_files.h"
#include "model/model.h"

enum model_format { MODEL_FORMAT_DIRECTORY, MODEL_FORMAT_GGUF, MODEL_FORMAT_LLMC };

/* "safetensors", "gguf", "llmc". */
const char *model_format_name(enum model_format format);

/* By what is there: a directory with a config.json, or the first bytes of a file.  STATUS_IO, or STATUS_FORMAT when it is
 * none of the three. */
enum status model_format_detect(const char *path, enum model_format *out, struct error *err);

struct model_source {
    enum model_format format;
    enum tensor_type type;   /* of most of the weights */
    struct text_files texts; /* for a directory those in it, config.json among them */
};
void model_source_release(struct model_source *source);

/* Reads a model in any format.  NULL: what the file's reader says, a tensor that is missing or has another shape than
 * the configuration wants, a value that is not finite, a model we do not do (STATUS_CONFIG). */
struct model *model_read(const char *path, struct model_source *source, struct error *err);

/* Whether a model can be said in a format and type, before anything is written: STATUS_CONFIG with what stands against
 * it.  For GGUF that includes the tokenizer among the small files.  *note (may be NULL) gets a sentence on what will not
 * be the same elsewhere; it is empty when there is nothing to say. */
enum status model_can_write(const struct model *model, enum model_format format, enum tensor_type type,
                            const struct text_files *texts, struct error *note, struct error *err);

/* Writes PATH, a file (GGUF, llm.c) or an existing empty directory.  `type` is that of the matrices; norms, biases and
 * positions are F32 in GGUF, and a row that no multiple of Q8_0's blocks becomes F16.  `name` goes into GGUF's
 * general.name.  What was written before a failure is left for the caller to remove. */
enum status model_write(const struct model *model, const char *path, enum model_format format, enum tensor_type type,
                        const struct text_files *texts, const char *name, struct error *err);

/* Reads what model_write wrote and holds every weight against the model: equal to the last bit after rounding to its type;
 * and the small files that the format keeps, byte for byte.  On success *back (may be NULL) is the model as read.
 * STATUS_FORMAT names the file, or the tensor and the element, that differ. */
enum status model_verify(const struct model *model, const char *path, enum model_format format, enum tensor_type type,
                         const struct text_files *texts, struct model **back, struct error *err);

#endif
