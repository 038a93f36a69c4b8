/* pkg/intact_internal.h: what the files of pkg/intact.h share. */
#ifndef KERNMILL_PKG_INTACT_INTERNAL_H
#define KERNMILL_PKG_INTACT_INTERNAL_H

#include "pkg/intact.h"

/* Adds an error about a file. */
int km_intact_say(km_intact *v, const char *code, const char *place, km_err *err,
                  const char *message);

/* The SHA-256 of a regular file, 64 digits, and its size, which are counted. 1: done; 0: there is
 * no such file to read, and *why says so; negative: an error. A link is followed when `links`. */
int km_intact_hash(km_intact *v, const char *path, bool links, char sha256[KM_SHA256_HEX_BYTES],
                   uint64_t *size_bytes, km_err *why, km_err *err);

/* One variant's folder. 0: done; 1: it is one of several in a cache, and only its metadata.json was
 * downloaded, as a client does that looks for another one: nothing is said. */
int km_intact_variant(km_intact *v, const char *dir, bool among_others, const km_lock *lock,
                      km_err *err);

int km_intact_wheel(km_intact *v, const char *path, km_err *err);

/* {site}/{dist_info}/RECORD. */
int km_intact_distribution(km_intact *v, const char *site, const char *dist_info, km_err *err);

/* The .dist-info in a folder of packages that has this name, or whose RECORD lists files of a
 * folder of this name. *out is NULL when there is none. */
int km_intact_find_distribution(km_arena *a, const char *site, const char *name, const char **out,
                                km_err *err);

#endif
