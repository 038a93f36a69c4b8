/* hub/packed.h: the folder that `kernmill pack` left, as it is to stand on a hub:
 *
 *     README.md  LICENSE*  tests.json  speed/...        beside
 *     build/<variant>/...                               each with metadata.json
 *
 * Every file is hashed both ways, as git names it and as LFS does. What Python left behind
 * (__pycache__, .pyc) is not part of it. */
#ifndef KERNMILL_HUB_PACKED_H
#define KERNMILL_HUB_PACKED_H

#include "net/wire_write.h"

typedef struct {
    const char *folder;
    const char *name, *license; /* what all variants' metadata.json say */
    long version;               /* from 1 on */
    const char **variants;      /* sorted */
    size_t variant_count;
    km_upload *files; /* sorted bytewise by path */
    size_t file_count;
    uint64_t size_bytes;
} km_packed;

/* Everything is in the arena. Errors: KM_EFORMAT when a file has no place in this layout, or when
 * the variants do not agree on name, version or licence; KM_ENOENT when there is no variant;
 * KM_EIO. */
int km_packed_read(km_arena *a, const char *folder, km_packed *out, km_err *err);

/* The variant that a path of a repository is in ("build/<variant>/..."): its length at *length, or
 * NULL. Borrowed from `path`. */
const char *km_packed_variant_of(const char *path, size_t *length);

bool km_packed_has_variant(const km_packed *p, const char *variant, size_t length);

/* NULL when there is none of that path. */
const km_upload *km_packed_find(const km_packed *p, const char *path);

#endif
