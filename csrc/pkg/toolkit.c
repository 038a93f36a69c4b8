#include "pkg/toolkit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "pkg/site.h"

#define ROOTS_MAX 32

struct roots {
    const char *items[ROOTS_MAX];
    size_t count;
};

static void add(struct roots *r, const char *root)
{
    if (root && *root && r->count < ROOTS_MAX && km_dir_exists(root))
        r->items[r->count++] = root;
}

static void add_site_packages(km_arena *a, struct roots *r, const char *prefix)
{
    km_names sites;

    if (km_site_packages(a, prefix, &sites, NULL) == 0)
        for (size_t i = 0; i < sites.count; i++)
            add(r, sites.names[i]);
}

static void find_roots(km_arena *a, const km_home *home, struct roots *r)
{
    const char *site = getenv("KERNMILL_SITE");

    add(r, getenv("KERNMILL_CUDA"));
    while (site && *site) {
        size_t n = strcspn(site, ":");
        add(r, km_arena_strndup(a, site, n));
        site += n + (site[n] == ':');
    }
    add_site_packages(a, r, home->prefix);
    add_site_packages(a, r, getenv("VIRTUAL_ENV"));
    add(r, "/usr/local/cuda");
}

/* The first root/name that is there (and can be executed, when asked for), or NULL. */
static const char *first(km_arena *a, const struct roots *r, const char *const *names, int mode)
{
    for (size_t i = 0; i < r->count; i++)
        for (const char *const *name = names; *name; name++) {
            const char *path = km_path_join(a, r->items[i], *name);
            if (path && access(path, mode) == 0)
                return path;
        }
    return NULL;
}

/* The folder that holds a header found by first(). */
static const char *folder_of(km_arena *a, const char *header, const char *tail)
{
    return header ? km_arena_strndup(a, header, strlen(header) - strlen(tail) - 1) : NULL;
}

void km_toolkit_find(km_arena *a, const km_home *home, km_toolkit *out)
{
    static const char *const nvrtc[] = { "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
                                         "nvidia/cu13/lib/libnvrtc.so.13", "lib64/libnvrtc.so.12",
                                         "lib64/libnvrtc.so.13", NULL };
    static const char *const runtime[] = { "nvidia/cuda_runtime/include/cuda_bf16.h",
                                           "nvidia/cu13/include/cuda_bf16.h", "include/cuda_bf16.h",
                                           NULL };
    static const char *const cccl[] = { "nvidia/cuda_cccl/include/cuda/std/cstdint",
                                        "nvidia/cu13/include/cccl/cuda/std/cstdint",
                                        "include/cccl/cuda/std/cstdint", "include/cuda/std/cstdint",
                                        NULL };
    static const char *const fatbinary[] = { "nvidia/cu13/bin/fatbinary", "bin/fatbinary", NULL };
    static const char *const nvcc[] = { "bin/nvcc", NULL };
    static const char *const zig[] = { "ziglang/zig", NULL };
    struct roots roots = { .count = 0 };
    const char *found[2];

    *out = (km_toolkit){ 0 };
    find_roots(a, home, &roots);
    out->nvrtc = first(a, &roots, nvrtc, R_OK);
    out->fatbinary = first(a, &roots, fatbinary, X_OK);
    out->nvcc = km_path_program(a, "nvcc");
    if (!out->nvcc)
        out->nvcc = first(a, &roots, nvcc, X_OK);
    out->zig = first(a, &roots, zig, X_OK);
    if (!out->zig)
        out->zig = km_path_program(a, "zig");
    found[0] = folder_of(a, first(a, &roots, runtime, R_OK), "cuda_bf16.h");
    found[1] = folder_of(a, first(a, &roots, cccl, R_OK), "cuda/std/cstdint");
    for (int i = 0, n = 0; i < 2; i++)
        if (found[i])
            out->includes[n++] = found[i];
}

int km_toolkit_check(const km_toolkit *t, bool use_nvcc, km_err *err)
{
    const char *missing = NULL;

    if (use_nvcc ? !t->nvcc : !t->nvrtc)
        missing = use_nvcc ? "the program 'nvcc'" : "the CUDA run-time compiler (libnvrtc.so.12)";
    else if (!use_nvcc && !t->includes[0])
        missing = "a folder with the CUDA headers (cuda_bf16.h)";
    else if (!t->fatbinary)
        missing = "the program 'fatbinary'";
    if (!missing)
        return 0;
    km_fail(err, KM_EENV, "%s is not found", missing);
    return km_hint(err,
                   "%s\n  or name a folder that has it in KERNMILL_CUDA, or build without CUDA: "
                   "--cpu (pip: KERNMILL_CPU=1)",
                   KM_TOOLKIT_INSTALL);
}
