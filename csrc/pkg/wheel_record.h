/* pkg/wheel_record.h: the RECORD of a wheel, or of what was installed from it, line by line.
 *
 * By the rules of the wheel specification: "path,sha256=hash,size" for each file, "path,," for
 * those that cannot have a hash; a path with a comma or a quote stands in quotes. */
#ifndef KERNMILL_PKG_WHEEL_RECORD_H
#define KERNMILL_PKG_WHEEL_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/err.h"

typedef struct {
    const char *path;
    const char *rest; /* "sha256=...,123", as written */
    bool met;         /* the reader's: a file has that path */
} km_record_line;

typedef struct {
    km_record_line *lines; /* sorted by path; a path may stand twice */
    size_t count;
    const char **broken; /* lines without a path */
    size_t broken_count;
} km_wheel_record;

/* Everything in *out is in the arena. Errors: KM_ENOMEM. */
int km_wheel_record_read(km_arena *a, const char *text, size_t size, km_wheel_record *out,
                         km_err *err);

/* One of the lines with that path, or NULL. */
km_record_line *km_wheel_record_find(const km_wheel_record *r, const char *path);

#endif
