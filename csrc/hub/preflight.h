/* hub/preflight.h: may this folder be published?
 *
 * Without a network. A finding that is an error is a no:
 *
 *     those of `kernmill check`    libraries, metadata.json, digests
 *     card, licence                README.md is there, with what the Hub reads, and names a licence
 *     untested, untested-gpu       tests.json, which pack wrote with the card, holds no passing run
 *                                  of all tests on these very files; for CUDA, none on a GPU
 *     secret                       a file holds what looks like a password
 */
#ifndef KERNMILL_HUB_PREFLIGHT_H
#define KERNMILL_HUB_PREFLIGHT_H

#include "hub/packed.h"
#include "pkg/check.h"

typedef struct {
    bool allow_untested; /* the card must say so then, and that is an error when it does not */
    const char *token;   /* must be in no file; or NULL */
} km_preflight;

/* Errors: those of reading; a no is a finding. On error *f is released. */
int km_preflight_run(km_findings *f, km_arena *a, const km_packed *p, const km_preflight *options,
                     km_err *err);

#endif
