/* pkg/check_internal.h: what the files that check a package share. */
#ifndef KERNMILL_PKG_CHECK_INTERNAL_H
#define KERNMILL_PKG_CHECK_INTERNAL_H

#include "formats/zip.h"
#include "pkg/check.h"

/* An error "<message> '<subject>'" about the file `name`. */
int km_check_add(km_findings *f, const char *code, const char *name, km_err *err,
                 const char *message, const char *subject);

/* Whether a wheel's RECORD lists every member with its hash and size, once, and nothing else. */
int km_check_record(km_findings *f, const char *name, const km_zip *zip, const char *dist_info,
                    km_err *err);

/* As km_check_library, but a library that cannot be read is a finding: it is a part of something.
 */
int km_check_part(km_findings *f, const void *data, size_t size, const char *name,
                  const km_library_rules *rules, km_err *err);

#endif
