/* formats/zip_names.h: which names an archive may hold; for the reader and the writer of zip.h. */
#ifndef KERNMILL_FORMATS_ZIP_NAMES_H
#define KERNMILL_FORMATS_ZIP_NAMES_H

#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

/* Whether a member may be called by the `length` bytes at `name`, which a zero follows; a '/' at
 * the end is a folder's. The arena is for scratch. Errors: KM_EFORMAT with the reason. */
int km_zip_check_name(km_arena *arena, const char *name, size_t length, km_err *err);

/* Whether one disk can hold all of them, ASCII upper and lower case being the same: none twice, and
 * no file where another name needs a folder. Errors: KM_EFORMAT naming the two. */
int km_zip_check_names(km_arena *arena, const char *const *names, size_t count, km_err *err);

#endif
