/* core/nvrtc.h: NVIDIA's run-time compiler, opened by name: no header or library of CUDA's is
 * needed to build kernmill. */
#ifndef KERNMILL_CORE_NVRTC_H
#define KERNMILL_CORE_NVRTC_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/str.h"

typedef struct {
    void *library; /* never closed: it keeps threads and state of its own */
    int (*version)(int *major, int *minor);
    int (*create)(void **program, const char *source, const char *name, int, const char *const *,
                  const char *const *);
    int (*destroy)(void **program);
    int (*compile)(void *program, int count, const char *const *options);
    int (*log_size)(void *program, size_t *size);
    int (*log)(void *program, char *out);
    int (*cubin_size)(void *program, size_t *size);
    int (*cubin)(void *program, char *out);
    int (*ptx_size)(void *program, size_t *size);
    int (*ptx)(void *program, char *out);
    const char *(*error_string)(int code);
    int (*arch_count)(int *count); /* these two since CUDA 11.2 */
    int (*archs)(int *out);
} km_nvrtc;

#define KM_NVRTC_ARCHS_MAX 64

/* Errors: KM_EENV with the loader's reason. */
int km_nvrtc_open(km_nvrtc *n, const char *path, km_err *err);

/* The architectures it compiles for, 90 for sm_90, ascending; how many, 0 when it does not say. */
int km_nvrtc_archs(const km_nvrtc *n, int out[KM_NVRTC_ARCHS_MAX]);

/* Compiles `source` (terminated), called `name` in messages; appends the cubin or the PTX to `out`.
 * Errors: KM_ECHILD with the compiler's log. */
int km_nvrtc_compile(const km_nvrtc *n, const char *source, const char *name,
                     const char *const *options, size_t option_count, bool ptx, km_str *out,
                     km_err *err);

#endif
