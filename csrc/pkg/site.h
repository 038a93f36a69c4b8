/* pkg/site.h: where a Python installation keeps its packages, found without starting it. */
#ifndef KERNMILL_PKG_SITE_H
#define KERNMILL_PKG_SITE_H

#include "core/arena.h"
#include "core/err.h"
#include "core/file.h"

/* {prefix}/lib/python3.N/site-packages (Debian: dist-packages), those that are there; none when
 * `prefix` is NULL. Errors: KM_ENOMEM. */
int km_site_packages(km_arena *a, const char *prefix, km_names *out, km_err *err);

#endif
