/* pkg/intact.h: does an installed kernel hold exactly the files that were built?
 *
 *   a Hub folder, its build/, one variant   every file against the digests of metadata.json
 *   the same in the Python client's cache   and every link against the blob that it names: the
 *                                           blob's name is its digest, metadata.json's too
 *   a wheel                                 every member against RECORD
 *   an installed distribution               every file of RECORD, and what else lies in its
 *                                           packages and its .dist-info
 *
 * A file that is changed, missing or not listed is a finding, and all of them are found; `code` of
 * a finding is "changed", "missing", "unlisted", "link", "metadata", "lock", "editable" or, of a
 * wheel, one of pkg/check.h's "record-...". With a lock (pkg/lock.h) every file is held against
 * that, too.
 *
 * Not looked at: bytecode, which Python writes itself and no list has; what lies beside build/.
 * metadata.json states its own files, not itself: outside of the cache, only a lock notices that
 * its licence, say, was changed. Whoever can write a folder can write its metadata.json: that it is
 * whole says nothing about who made it.
 */
#ifndef KERNMILL_PKG_INTACT_H
#define KERNMILL_PKG_INTACT_H

#include <stdint.h>

#include "pkg/check.h"
#include "pkg/lock.h"

typedef struct {
    km_findings findings; /* all of them errors; none: it holds what was built */
    size_t file_count;    /* whose content was read */
    uint64_t size_bytes;
    size_t bytecode_count; /* files that were left out */
} km_intact;

/* `target` is a path, or the name of a distribution or of its import folder, in the packages of the
 * Python that pkg/home.h finds; a path that is there comes first. `lock` may be NULL; only Hub
 * folders are in one. Errors: KM_ENOENT, KM_EUSAGE for what is none of these, KM_EFORMAT, KM_EIO.
 * On error *out is released. */
int km_intact_check(km_intact *out, const char *target, const km_lock *lock, km_err *err);

/* The variants in build/ of a cache's snapshot, or one of them. Those of which no more than
 * metadata.json was downloaded are not installed: they are left out, and KM_ENOENT when no other is
 * there. */
int km_intact_snapshot(km_intact *out, const char *snapshot, const char *variant,
                       const km_lock *lock, km_err *err);

void km_intact_release(km_intact *v);

#endif
