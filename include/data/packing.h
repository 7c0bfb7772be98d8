/* SPDX-License-Identifier: MIT
 * data/packing.h - what a token of a window sees and which of its targets count, where several documents lie in it.
 *
 * Windows are cut from the stream as ever, so that the position in the data stays one integer.  With
 * PACKING_DOCUMENTS a token sees only tokens of its own document, its position counts from where the document begins in the
 * window, and the target of a document's last token, which is the next document's first, does not count.  A token that
 * ends texts belongs to the document it ends: predicting it counts, predicting from it does not.
 */
#ifndef DATA_PACKING_H
#define DATA_PACKING_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packing { PACKING_NONE, PACKING_DOCUMENTS };

extern const char *const packing_names[]; /* in order, NULL-terminated */
const char *packing_name(enum packing packing);
/* STATUS_CONFIG with the names there are. */
enum status packing_parse(const char *name, enum packing *out, struct error *err);

/* Of a window of n inputs: begins[t] says whether target t begins a document.  Writes first [n], where in the window the
 * document of input t begins, and supervised [n], whether target t counts; supervised may be begins. */
void packing_mask(const bool *begins, size_t n, int32_t *first, bool *supervised);

#endif
