/* net/url.h: the few things that decide where a request goes, and who may see the token.
 *
 * Parsed by libcurl's own parser, so that what we check is what it connects to. An address that
 * carries a user or a password is refused: it would end up in messages and caches.
 */
#ifndef KERNMILL_NET_URL_H
#define KERNMILL_NET_URL_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/err.h"
#include "core/str.h"

typedef struct {
    const char *text;   /* the whole, as sent; in the arena, like all below */
    const char *scheme; /* "http" or "https" */
    const char *host;   /* lower-case */
    const char *port;   /* decimal, the scheme's own when none is written */
    const char *show;   /* without query and fragment, which may hold a signature: for messages */
} km_url;

/* Errors: KM_EFORMAT; the message quotes no more than `show` would. */
int km_url_parse(km_arena *a, const char *text, km_url *out, km_err *err);

/* Where `location`, absolute or relative, points from `base`. */
int km_url_join(km_arena *a, const km_url *base, const char *location, km_url *out, km_err *err);

/* Whether scheme, host and port are the same. Names are not resolved: "localhost" is not
 * "127.0.0.1". */
bool km_url_same_origin(const km_url *a, const km_url *b);

/* Whether the host is this machine by its very name: localhost, 127.0.0.0/8, ::1. */
bool km_url_is_loopback(const km_url *u);

/* Appends `text` with all but letters, digits and "-._~" escaped; with `keep_slash` also '/'
 * stays. */
void km_url_escape(km_str *out, const char *text, bool keep_slash);

#endif
