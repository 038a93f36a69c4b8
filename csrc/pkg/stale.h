/* pkg/stale.h: whether what was built is older than what it was built from. */
#ifndef KERNMILL_PKG_STALE_H
#define KERNMILL_PKG_STALE_H

#include "core/arena.h"

/* In build/; dated by the last build that had work to do. */
#define KM_BUILD_MARK "compile_commands.json"

/* The first source of a kernel repository (a path from its root, in `a`) that is younger than the
 * last build; NULL when none is, or when nothing was built there. By times: an editor's save that
 * changes nothing counts. */
const char *km_stale_source(km_arena *a, const char *repository);

#endif
