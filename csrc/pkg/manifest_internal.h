/* pkg/manifest_internal.h: what the files that read build.toml share. */
#ifndef KERNMILL_PKG_MANIFEST_INTERNAL_H
#define KERNMILL_PKG_MANIFEST_INTERNAL_H

#include "pkg/manifest.h"

/* The index of `text` among `names` (which end with NULL), or -1 with an error at `at`. */
int km_manifest_pick(const km_fields *f, const char *key, const char *text, const km_toml *at,
                     const char *const *names, km_err *err);

/* Whether every item of the list is one of the names. */
int km_manifest_check_names(const km_fields *f, const char *key, const km_list *list,
                            const char *const *names, km_err *err);

/* [kernel.*] and [torch], [torch-noarch] or [tvm-ffi] of the document. */
int km_manifest_read_kernels(km_manifest *m, const km_toml *document, km_err *err);
int km_manifest_read_framework(km_manifest *m, const km_toml *document, km_err *err);

/* card.toml, when it is there. */
int km_manifest_read_card(km_manifest *m, km_err *err);

#endif
