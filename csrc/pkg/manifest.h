/* pkg/manifest.h: build.toml, Hugging Face's kernel manifest in format 5, and card.toml beside it.
 *
 * build.toml holds only the keys of Hugging Face's format, whose tools reject others; card.toml
 * says what that format has no key for. Both are read whole and strictly: an unknown key, a wrong
 * type or a value that cannot be right is an error with file:line:column and, where there is one,
 * the key that was probably meant. Everything lives in the manifest's arena.
 */
#ifndef KERNMILL_PKG_MANIFEST_H
#define KERNMILL_PKG_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/err.h"
#include "formats/fields.h"

typedef enum {
    KM_BACKEND_CANN,
    KM_BACKEND_CPU,
    KM_BACKEND_CUDA,
    KM_BACKEND_METAL,
    KM_BACKEND_NEURON,
    KM_BACKEND_ROCM,
    KM_BACKEND_TPU,
    KM_BACKEND_XPU,
    KM_BACKEND_COUNT
} km_backend;

extern const char *const km_backend_names[KM_BACKEND_COUNT + 1]; /* ends with NULL */

typedef enum { KM_TORCH, KM_TORCH_NOARCH, KM_TVM_FFI } km_framework;

typedef struct {
    const char *repo_id;
    int64_t version;      /* -1 when `revision` is given */
    const char *revision; /* or NULL */
} km_kernel_depend;

typedef struct {
    km_kernel_depend *items;
    size_t count;
} km_kernel_depends;

/* [general.<backend>] */
typedef struct {
    km_version minver, maxver; /* cuda only */
    km_list python_depends;
    km_kernel_depends kernel_depends;
} km_backend_general;

/* [kernel.<name>] */
typedef struct {
    const char *name;
    km_backend backend;
    km_list depends, src, include, cxx_flags;
    km_list cuda_capabilities, cuda_flags; /* cuda */
    km_version cuda_minver;
    km_list rocm_archs, hip_flags; /* rocm */
    km_list sycl_flags;            /* xpu */
    const km_toml *place;
} km_kernel_section;

/* card.toml; texts are NULL or lists empty when not given. */
typedef struct {
    const char *summary;
    km_list operators, layers, models;
    km_list dtypes, shapes; /* what it takes, in words */
    km_list limits;
    int64_t entry_points; /* at most this many in a library; 0: no budget */
    const char *wheel_version;
    km_list
        requires; /* Requires-Dist lines besides torch's */
    const char *requires_python;
    const char *index; /* address of the index of wheels that has it */
} km_card;

typedef struct {
    km_arena arena;
    const char *dir;  /* the repository, absolute */
    const char *path; /* of build.toml, as given */

    int64_t edition;
    const char *name;        /* "kernmill-rmsnorm" */
    const char *import_name; /* "kernmill_rmsnorm": the Python package and stable op namespace */
    int64_t version;
    const char *license;
    const char *upstream, *source; /* git URLs or NULL */
    km_list backend_names;
    bool backends[KM_BACKEND_COUNT]; /* the same, by number */
    km_list python_depends;
    km_kernel_depends kernel_depends;
    const char *repo_id, *branch; /* [general.hub] or NULL */
    km_backend_general of[KM_BACKEND_COUNT];

    km_framework framework;
    const km_toml *framework_place, *stable_abi_place; /* for errors; the latter may be NULL */
    km_list torch_src, torch_pyext, torch_include, torch_cxx_flags;
    km_version torch_minver, torch_maxver;
    km_version stable_abi[KM_BACKEND_COUNT]; /* count 0: the full ABI */

    km_kernel_section *kernels;
    size_t kernel_count;

    bool has_card; /* card.toml is there */
    km_card card;
} km_manifest;

/* Reads `path`: a repository's folder or its build.toml. On error *m is released.
 * Errors: KM_ENOENT, KM_EFORMAT, KM_ELIMIT, with the place. */
int km_manifest_read(km_manifest *m, const char *path, km_err *err);

void km_manifest_release(km_manifest *m);

/* Whether a kernel of that name would hide a Python module, or a package that is installed beside
 * kernels. */
bool km_name_is_taken(const char *name);

#endif
