/* pkg/arch.h: GPU architectures as the user names them.
 *
 * "90a" is machine code for sm_90a, "80+PTX" machine code and PTX, "75ptx" PTX alone. Manifests
 * write capabilities instead: "9.0a", "8.0+PTX". */
#ifndef KERNMILL_PKG_ARCH_H
#define KERNMILL_PKG_ARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/limits.h"
#include "pkg/manifest.h"

typedef struct {
    unsigned sm;     /* 90 */
    char suffix;     /* 'a', 'f' or 0 */
    bool cubin, ptx; /* which images are wanted */
} km_arch;

typedef struct {
    km_arch items[KM_ARCHS_MAX]; /* ascending, each sm and suffix once */
    size_t count;
} km_archs;

/* What is built when nobody says otherwise. */
#define KM_ARCHS_DEFAULT "75+PTX,80,86,89,90a,100,103,120"

/* Parses a list with commas. Errors: KM_EUSAGE with the entry. */
int km_archs_parse(const char *text, km_archs *out, km_err *err);

/* Adds one in its place; an arch that is there already gains the images. */
int km_archs_add(km_archs *list, km_arch arch, km_err *err);

/* From a section's cuda-capabilities, which km_manifest_read has checked. */
int km_archs_from_capabilities(const km_list *capabilities, km_archs *out, km_err *err);

/* "90a" */
void km_arch_name(const km_arch *arch, char out[8]);

#endif
