/* pkg/check.h: is this source, library, wheel or Hub folder fit to ship?
 *
 * What cannot be read at all is an error of the function; what can be read and is wrong is a
 * finding, so that one run shows everything. Libraries are judged by .dynsym and .gnu.version_r,
 * which strip leaves alone. */
#ifndef KERNMILL_PKG_CHECK_H
#define KERNMILL_PKG_CHECK_H

#include "core/arena.h"
#include "core/err.h"
#include "pkg/manifest.h"

typedef enum { KM_FINDING_ERROR, KM_FINDING_WARNING } km_severity;

typedef struct {
    km_severity severity;
    const char *code;  /* stable, for scripts: "glibc-floor" */
    const char *place; /* file, or file:line:column */
    const char *message;
    const char *hint; /* or "" */
} km_finding;

typedef struct {
    km_arena arena;
    const char *kind; /* "repository", "library", "wheel" or "hub folder" */
    km_finding *items;
    size_t count;
    size_t errors; /* how many of them are errors */
} km_findings;

/* What a library is held to. */
typedef struct {
    unsigned torch_minor; /* must load in torch 2.<minor> */
    unsigned glibc_minor; /* glibc 2.<minor>; 28 for manylinux_2_28 */
    const char *machine;  /* "x86_64" or "aarch64"; NULL: either */
    const char *const
        *archs;        /* images it is declared to hold, "9.0a", "7.5+PTX"; NULL: not declared */
    bool wants_images; /* it is a CUDA library: images must be there */
} km_library_rules;

/* Looks at whatever `path` is. Errors: KM_ENOENT, KM_EFORMAT, KM_ELIMIT. On error *f is released.
 */
int km_check(km_findings *f, const char *path, km_err *err);

/* One library, from memory; `name` is what findings call it. Errors: those of km_elf_read. */
int km_check_library(km_findings *f, const void *data, size_t size, const char *name,
                     const km_library_rules *rules, km_err *err);

/* A repository's sources. */
int km_check_repository(km_findings *f, const km_manifest *m, km_err *err);

/* A wheel's bytes; a Hub folder with metadata.json. */
int km_check_wheel(km_findings *f, const void *data, size_t size, const char *name, km_err *err);
int km_check_hub_folder(km_findings *f, const char *dir, km_err *err);

/* Adds a finding. 0, KM_ENOMEM, or KM_ELIMIT beyond KM_FINDINGS_MAX. */
int km_findings_add(km_findings *f, km_severity severity, const char *code, const char *place,
                    const char *hint, km_err *err, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

void km_findings_release(km_findings *f);

#endif
