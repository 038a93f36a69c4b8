/* hub/choose.h: which variant of a kernel on a hub this machine would use.
 *
 * By the rules of pkg/explain.h, which are the `kernels` client's: the names of the folders and
 * what metadata.json says decide. The libraries are not here yet; what in them may be in the way,
 * `kernmill explain` says afterwards. */
#ifndef KERNMILL_HUB_CHOOSE_H
#define KERNMILL_HUB_CHOOSE_H

#include "net/cache.h"
#include "net/wire.h"

/* The branch of the newest version; "main" when there is no version. Borrowed. */
const char *km_choose_version(const km_hub_refs *refs);

/* The entries of a list that are a variant's metadata.json. In the arena. */
int km_choose_metadata(km_arena *a, const km_hub_tree *build, km_hub_tree *out, km_err *err);

/* Of a list of build/, whose metadata.json files are in the cache. *variant is in the arena.
 * Errors: KM_ENOFIT when none is for this machine, with the reason. */
int km_choose_from_list(km_arena *a, const km_cache *c, const km_hub_tree *build,
                        const char **variant, km_err *err);

/* Of a snapshot on the disk. Errors: the same. */
int km_choose_from_folder(km_arena *a, const char *root, const char **variant, km_err *err);

#endif
