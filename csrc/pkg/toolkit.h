/* pkg/toolkit.h: the parts of CUDA that a build needs: the run-time compiler, the headers that
 * device code may include, and `fatbinary`, which joins images. No driver and no host compiler.
 * And zig, which compiles C for another processor than this one.
 *
 * Each part is looked for by itself, in this order: KERNMILL_CUDA (a toolkit, or a folder of Python
 * packages), the folders of KERNMILL_SITE (the build backend passes its own site-packages), the
 * site-packages beside the program and of VIRTUAL_ENV, /usr/local/cuda. The compiler must be
 * NVRTC 12.9 for images that drivers from 525 on load; a newer one is used when it is all there is.
 */
#ifndef KERNMILL_PKG_TOOLKIT_H
#define KERNMILL_PKG_TOOLKIT_H

#include "core/arena.h"
#include "core/err.h"
#include "pkg/home.h"

typedef struct {
    const char *nvrtc;       /* libnvrtc.so.12 or .13; NULL: not found */
    const char *includes[3]; /* ends with NULL */
    const char *fatbinary;
    const char *nvcc; /* for `build --compiler nvcc`; NULL: not found */
    const char *zig;  /* for `build --host`, C for another processor; NULL: not found */
} km_toolkit;

/* What to type when something is missing. */
#define KM_TOOLKIT_INSTALL                                                                         \
    "pip install --no-deps nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79 "     \
    "nvidia-cuda-cccl-cu12==12.9.27 nvidia-cuda-nvcc==13.0.88"

#define KM_ZIG_INSTALL "pip install --no-deps ziglang==0.17.1"

/* Finds what there is; missing parts are NULL. */
void km_toolkit_find(km_arena *a, const km_home *home, km_toolkit *out);

/* KM_EENV with the line to type unless what the compiler needs is there: NVRTC and the headers, or
 * nvcc, which has its own; and fatbinary. */
int km_toolkit_check(const km_toolkit *t, bool use_nvcc, km_err *err);

#endif
