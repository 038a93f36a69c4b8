/* pkg/identity.h: the name of one build: `<import name>_<12 hex>`, a hash of every source, every
 * flag and the compilers. The same tree and tools give the same name anywhere; any change gives
 * another, so that two builds can be loaded in one process. */
#ifndef KERNMILL_PKG_IDENTITY_H
#define KERNMILL_PKG_IDENTITY_H

#include "pkg/plan.h"

/* Errors: KM_EIO for a source that cannot be read; KM_ELIMIT. */
int km_identity(const km_plan *p, km_flavor flavor, char *out, size_t size, km_err *err);

#endif
