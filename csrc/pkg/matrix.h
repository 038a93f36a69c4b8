/* pkg/matrix.h: every variant that a build.toml means, by the name of its Hub folder, and which of
 * them this machine can build.
 *
 * A C binding becomes one library for every torch, and means few: the CPU's, and CUDA's under the
 * names of two CUDA majors. Any other repository means what Hugging Face's builder makes of it,
 * whose table (the two newest torch, 2.12 and 2.13) is matrix.c's. What is not built yet is listed
 * with the reason, as is what another machine builds; a C binding is built here for another
 * processor, too, where zig is. */
#ifndef KERNMILL_PKG_MATRIX_H
#define KERNMILL_PKG_MATRIX_H

#include "pkg/manifest.h"

typedef struct {
    const char *name;  /* "torch-stable-abi210-cu126-x86_64-linux" */
    const char *tag;   /* of its wheel: "py3-none-manylinux_2_28_x86_64"; NULL: there is none */
    const char *wheel; /* the file's name; NULL: no wheel, or card.toml gives it no version */
    bool here;         /* `kernmill build` makes it on this machine */
    const char *why;   /* it does not; else NULL */
    const char *line;  /* what to type then, or, where `here` needs an option, with it; or NULL */
} km_planned;

typedef struct {
    km_arena arena;
    const char *binding;       /* "C", "C++", "tvm-ffi", "none" */
    const char *compiler;      /* the C compiler's path, or NULL */
    const char *cuda_compiler; /* "NVRTC 12.9", or NULL */
    km_planned *items;
    size_t count;
    size_t here; /* how many of them */
} km_matrix;

/* On error *out is released. Errors: KM_EENV when the installation is incomplete; KM_ENOMEM. */
int km_matrix_make(km_matrix *out, const km_manifest *m, km_err *err);

void km_matrix_release(km_matrix *x);

#endif
