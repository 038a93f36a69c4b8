/* pkg/index.h: a static index of wheels, as pip and uv read it from a folder or any web server
 * (PEP 503, 658 and 714):
 *
 *     DIR/index.html                     the projects
 *     DIR/<project>/index.html           its wheels, each with its SHA-256 and Requires-Python
 *     DIR/<project>/<wheel>              and beside it <wheel>.metadata
 *
 * pip cannot choose a wheel by the GPU, and would take 1.0+sm90 before 1.0: so slim wheels have an
 * index of their own, and a user names it. */
#ifndef KERNMILL_PKG_INDEX_H
#define KERNMILL_PKG_INDEX_H

#include "core/arena.h"
#include "core/err.h"

/* Copies `wheel` into the index at `dir`, which is made when missing, and writes the pages anew
 * from what lies there. The same wheel again changes nothing; another one of the same name is
 * refused (KM_EUSAGE): installers keep what they have by name. *page: the project's index.html, in
 * the arena. Errors: KM_EFORMAT for what is no wheel; KM_EIO. */
int km_index_add(km_arena *a, const char *dir, const char *wheel, const char **page, km_err *err);

#endif
