/* lab/built.h: whether what was built of a commit is as it was built. */
#ifndef KERNMILL_LAB_BUILT_H
#define KERNMILL_LAB_BUILT_H

#include "core/hash.h"

/* A digest of the names below a folder, and of each one's inode, mode, size and times. Nothing is
 * read: who writes a file cannot set the time of its change (ctime). Errors: KM_ELIMIT, KM_EIO. */
int km_built_stamp(const char *folder, km_sha256 *out, km_err *err);

#endif
