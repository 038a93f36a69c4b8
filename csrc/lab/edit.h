/* lab/edit.h: a change that its idea spells out: an old text and a new one. */
#ifndef KERNMILL_LAB_EDIT_H
#define KERNMILL_LAB_EDIT_H

#include <jansson.h>

#include "core/err.h"

/* [{"file", "old", "new"}]: in each file below `tree`, one after the other, the one place where
 * `old` stands becomes `new`. Nothing is written unless all fit. Errors: KM_EFORMAT when `old`
 * stands there more or less than once, or the file is not in the tree. */
int km_edit_replace(const char *tree, const json_t *list, km_err *err);

#endif
