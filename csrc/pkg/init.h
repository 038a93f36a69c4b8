/* pkg/init.h: a new kernel repository that builds and tests at once, from templates/kernel. */
#ifndef KERNMILL_PKG_INIT_H
#define KERNMILL_PKG_INIT_H

#include "core/err.h"
#include "core/file.h"
#include "pkg/home.h"

/* Makes the folder `dir` for a kernel called `name` ("my-kernel"); lists the files written in
 * *files. Errors: KM_EUSAGE for a name that cannot be one; KM_EIO when `dir` is there and not
 * empty: nothing is overwritten. */
int km_init(km_arena *a, const km_home *home, const char *dir, const char *name, km_names *files,
            km_err *err);

#endif
