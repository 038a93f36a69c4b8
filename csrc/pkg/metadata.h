/* pkg/metadata.h: a Hub folder's metadata.json, as the `kernels` client reads it (0.17): name, id,
 * version, license, dependencies, backend, and a SHA-256 digest of every file. */
#ifndef KERNMILL_PKG_METADATA_H
#define KERNMILL_PKG_METADATA_H

#include "pkg/plan.h"

/* Writes dir/metadata.json for a folder whose other files are complete. */
int km_metadata_write(const km_plan *p, km_flavor flavor, const char *dir, km_err *err);

/* Whether every file of a folder is in its metadata.json with the right digest, and no other.
 * Errors: KM_EFORMAT naming the file. */
int km_metadata_verify(const char *dir, km_err *err);

#endif
