/* pkg/variant.h: the names of Hub folders, by the grammar that the `kernels` client parses (0.17):
 *
 *     torch-stable-abi210-cu126-x86_64-linux     any torch from 2.10 on, CUDA 12.6
 *     torch213-cxx11-cpu-x86_64-linux            torch 2.13 alone
 *     tvm-ffi01-cuda-...                         tvm-ffi 0.1
 *     torch-cuda, torch-universal                no compiled code
 */
#ifndef KERNMILL_PKG_VARIANT_H
#define KERNMILL_PKG_VARIANT_H

#include <stdbool.h>

#include "core/err.h"

/* What this program builds for: the processor it was built for. */
#ifdef __aarch64__
#define KM_HOST_CPU "aarch64"
#else
#define KM_HOST_CPU "x86_64"
#endif

typedef enum {
    KM_VARIANT_STABLE,
    KM_VARIANT_TORCH,
    KM_VARIANT_TVM_FFI,
    KM_VARIANT_NOARCH
} km_variant_kind;

typedef struct {
    km_variant_kind kind;
    unsigned major, minor; /* of torch, or of tvm-ffi */
    unsigned cxx;          /* 11 or 98, of a name with the C++ ABI in it; 0 otherwise */
    char compute[16]; /* "cpu", "cu126", "rocm71", ...; of a noarch one "cuda", "universal", ... */
    unsigned cuda_major, cuda_minor; /* 12 and 6 of "cu126"; 0 otherwise */
    char cpu[16], os[16];            /* "x86_64", "linux"; "" of a noarch one */
} km_variant;

/* Errors: KM_EFORMAT saying which part is wrong. */
int km_variant_parse(const char *name, km_variant *out, km_err *err);

#endif
