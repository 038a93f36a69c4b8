/* pkg/plan.h: everything a build will do, decided before anything runs.
 *
 * A repository whose binding is C becomes up to two flavors of one library: `cpu` (CPU kernels) and
 * `cuda` (CPU and CUDA kernels). Each flavor is linked twice from the same objects: with the stable
 * op namespace for the wheel, and with `<name>_<12 hex>` for the Hub folders, so that several
 * versions can live in one process. Paths of sources are relative to the repository, those of
 * products absolute.
 *
 * A plan is for one processor. Where that is not this machine's, C is compiled by zig against its
 * glibc 2.28, device code is the same, and nothing that comes out can be loaded here: such a build
 * has a work folder and a wheel folder of its own, and leaves those of this machine alone.
 */
#ifndef KERNMILL_PKG_PLAN_H
#define KERNMILL_PKG_PLAN_H

#include "pkg/arch.h"
#include "pkg/home.h"
#include "pkg/manifest.h"
#include "pkg/toolkit.h"

typedef struct {
    const char *archs;     /* "90a,80+PTX"; NULL: the manifest's or the default */
    const char *build_dir; /* NULL: <repository>/build */
    const char *host;      /* "x86_64" or "aarch64"; NULL: this machine's */
    const char *beside;    /* another whose folders in build_dir stay, or NULL */
    long jobs;             /* 0: as many as there are processors */
    bool cpu_only;         /* leave the CUDA flavor out */
    bool debug;            /* line information, less optimisation */
    bool use_nvcc;         /* nvcc instead of NVRTC */
    bool verbose, quiet;
} km_build_options;

typedef enum { KM_FLAVOR_CPU, KM_FLAVOR_CUDA, KM_FLAVOR_COUNT } km_flavor;

extern const char *const km_flavor_names[KM_FLAVOR_COUNT]; /* "cpu", "cuda" */

/* A .cu file and the images made of it. */
typedef struct {
    const char *source;
    const char *stem; /* also the name its images are linked in under */
    const km_kernel_section *section;
    km_archs archs;
} km_plan_device;

/* A .c file. */
typedef struct {
    const char *source;
    const km_kernel_section *section; /* NULL: the binding, compiled for each flavor */
} km_plan_source;

typedef struct {
    bool built;
    char id[128];            /* op namespace and metadata id of the Hub folders */
    const char *hub_library; /* what the linker writes */
    const char *wheel_library;
    const char *variants[4]; /* Hub folder names, ends with NULL */
} km_product;

typedef struct {
    km_arena arena;
    const km_manifest *m;
    km_build_options o;
    km_home home;
    km_toolkit toolkit;
    const char *host;            /* the processor it is for: "x86_64" or "aarch64" */
    bool is_cross;               /* not this machine's */
    const char *compiler;        /* "gcc (Debian 12.2.0-14) 12.2.0" */
    const char *device_compiler; /* "NVRTC 12.9"; NULL without a CUDA flavor */
    const char *cc;              /* the program */
    const char *cc_options;      /* what makes it a compiler for `host`: " cc -target ..." or "" */
    const char *build_dir;       /* <repository>/build */
    const char *work_dir;        /* build_dir/.kernmill: objects, images, build.ninja; of a build
                                    for another processor, build_dir/.kernmill-<host> */
    km_plan_source *sources;
    size_t source_count;
    km_plan_device *devices;
    size_t device_count;
    km_archs archs;       /* of all devices together */
    unsigned torch_minor; /* the oldest torch 2.x it must load in */
    km_product products[KM_FLAVOR_COUNT];
    km_flavor wheel_flavor; /* what the wheel carries */
} km_plan;

/* `m` must outlive the plan. Errors: KM_EFORMAT (a source that is missing or of a kind that is not
 * built), KM_EENV (no C compiler, no CUDA compiler, no zig), KM_EUSAGE (architectures, a processor
 * that is not known). On error *p is released. */
int km_plan_make(km_plan *p, const km_manifest *m, const km_build_options *o, km_err *err);

/* The processors that `host` may name, ends with NULL. */
#define KM_HOSTS_MAX 2
extern const char *const km_hosts[KM_HOSTS_MAX + 1];

/* Whether km_plan_make would take this manifest and its sources, on a machine that has the tools.
 * Errors: as there, KM_EENV aside. */
int km_plan_check(const km_manifest *m, km_err *err);

void km_plan_release(km_plan *p);

#endif
