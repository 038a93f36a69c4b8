/* net/wire_internal.h: between the files of net/wire*.c. */
#ifndef KERNMILL_NET_WIRE_INTERNAL_H
#define KERNMILL_NET_WIRE_INTERNAL_H

#include "net/wire.h"

/* Sends `fields` (freed here; NULL is KM_ENOMEM) as JSON of that media type. 2xx, and the status
 * `also` where it is not 0, is success. *doc: the answer's document, the caller's; `doc` NULL: it
 * is not read. */
int km_wire_post_as(const km_wire *w, const char *type, const char *url, json_t *fields, long also,
                    long *status, json_t **doc, km_err *err);

#endif
