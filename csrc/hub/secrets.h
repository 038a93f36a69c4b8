/* hub/secrets.h: what looks like a password in a file that is about to become public. */
#ifndef KERNMILL_HUB_SECRETS_H
#define KERNMILL_HUB_SECRETS_H

#include <stddef.h>

#include "core/err.h"

typedef struct {
    const char *kind; /* "a Hugging Face token"; NULL: nothing was found */
    size_t line;      /* from 1 on */
} km_secret;

/* Looks for tokens by the shape that their issuers give them, for private keys, and for `own`, a
 * secret that is known (or NULL). The secret itself is in no message. A file of any size is read in
 * pieces. Errors: KM_EIO, KM_ENOENT; KM_ELIMIT for `own` beyond KM_TOKEN_BYTES_MAX. */
int km_secret_find(const char *path, const char *own, km_secret *out, km_err *err);

#endif
