/* pkg/device.h: one .cu file compiled to one image, by NVRTC (opened at run time) or by nvcc.
 *
 * Images are cached by content: the key is a hash of the compiler's version, the options and every
 * file that goes in, so that a clean build of unchanged sources compiles nothing. The cache is
 * $KERNMILL_CACHE/device (default ~/.cache/kernmill/device); it may be deleted at any time. */
#ifndef KERNMILL_PKG_DEVICE_H
#define KERNMILL_PKG_DEVICE_H

#include <stdbool.h>

#include "core/err.h"
#include "pkg/arch.h"
#include "pkg/toolkit.h"

typedef struct {
    const char *source;             /* relative to the working folder, so that nothing else shows */
    const char *output;             /* .cubin or .ptx */
    const char *depfile;            /* Ninja's; NULL: none */
    km_arch arch;                   /* with exactly one of cubin and ptx */
    const char *const *dirs;        /* -I, ends with NULL; the toolkit's come after */
    const char *const *definitions; /* "NAME" or "NAME=value", ends with NULL */
    const char *const *flags;       /* passed on as they are, ends with NULL */
    bool line_info;
    bool use_nvcc;
} km_device_job;

/* Compiles, or takes the image from the cache. `*cached` says which.
 * Errors: KM_ECHILD with the compiler's messages; KM_EENV when the compiler cannot be loaded. */
int km_device_compile(const km_toolkit *t, const km_device_job *job, bool *cached, km_err *err);

/* Errors: KM_EUSAGE naming the first architecture that this NVRTC does not compile for. */
int km_device_check_archs(const km_toolkit *t, const km_archs *archs, km_err *err);

/* "NVRTC 12.9" or "nvcc V13.0.88", in the arena. */
int km_device_compiler_version(km_arena *a, const km_toolkit *t, bool use_nvcc, const char **out,
                               km_err *err);

#endif
