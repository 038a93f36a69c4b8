/* pkg/entries.h: the entry points of a build's images: how many there may be, and that those which
 * the host code launches are there. */
#ifndef KERNMILL_PKG_ENTRIES_H
#define KERNMILL_PKG_ENTRIES_H

#include "pkg/plan.h"

/* Reads the images and the CUDA library of a finished build. Errors: KM_EFORMAT when there are more
 * entry points than card.toml allows, or a KM_FUNCTION names one that no image has; KM_EIO. */
int km_entries_check(const km_plan *p, km_err *err);

#endif
