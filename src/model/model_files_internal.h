/* SPDX-License-Identifier: MIT
 * model_files_internal.h - what each format gives to model_files.c.
 */
#ifndef MODEL_MODEL_FILES_INTERNAL_H
#define MODEL_MODEL_FILES_INTERNAL_H

#include "foreign_internal.h"
#include "model/model_files.h"
#include "model_internal.h"

/* A list of all parameters as the format has them, with the type each is written in; the caller frees it with mem_free. */
typedef enum status foreign_list_fn(const struct model *model, enum tensor_type type, struct foreign **out, size_t *n,
                                    struct error *err);
foreign_list_fn foreign_list_directory, foreign_list_gguf, foreign_list_llmc;

struct model *model_read_gguf(const char *path, struct model_source *source, struct error *err);
struct model *model_read_llmc(const char *path, struct model_source *source, struct error *err);

enum status model_check_gguf(const struct model *model, enum tensor_type type, const struct text_files *texts,
                             struct error *note, struct error *err);
enum status model_check_llmc(const struct model *model, enum tensor_type type, struct error *err);

enum status model_write_gguf(const struct model *model, const char *path, enum tensor_type type,
                             const struct text_files *texts, const char *name, struct error *err);
enum status model_write_llmc(const struct model *model, const char *path, enum tensor_type type, struct error *err);

/* The type of most elements. */
enum tensor_type most_of(const uint64_t elements[NUM_TENSOR_TYPES]);

#endif
