#include "pkg/matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"
#include "core/str.h"
#include "pkg/arch.h"
#include "pkg/device.h"
#include "pkg/plan.h"
#include "pkg/toolkit.h"
#include "pkg/variant.h"

#define VARIANTS_MAX 128

/* What stands in the way of a part of the build; both NULL: nothing. */
struct obstacle {
    const char *why, *line;
};

struct making {
    km_matrix *x;
    const km_manifest *m;
    struct obstacle source;         /* in the repository itself */
    struct obstacle ninja, c, cuda; /* c: for this processor, ninja's included */
    const char *zig;                /* for other processors, or NULL */
    km_err *err;
    int rc;
};

/* The systems of Hugging Face's builder. */
enum { X86_LINUX = 1, ARM_LINUX = 2, ARM_DARWIN = 4 };

static const struct {
    unsigned bit;
    const char *cpu, *os;
} systems[] = { { X86_LINUX, "x86_64", "linux" },
                { ARM_LINUX, "aarch64", "linux" },
                { ARM_DARWIN, "aarch64", "darwin" } };

/* What it builds for each torch, as of its 0.17. */
static const struct {
    km_backend backend;
    const char *compute;
    unsigned systems;
    unsigned torch[2]; /* 2.<minor>; 0: for one torch only */
    bool tvm_ffi;      /* also for tvm-ffi */
} computes[] = {
    { KM_BACKEND_CPU, "cpu", X86_LINUX | ARM_LINUX | ARM_DARWIN, { 12, 13 }, true },
    { KM_BACKEND_CUDA, "cu126", X86_LINUX | ARM_LINUX, { 12, 13 }, true },
    { KM_BACKEND_CUDA, "cu130", X86_LINUX | ARM_LINUX, { 12, 13 }, true },
    { KM_BACKEND_CUDA, "cu132", X86_LINUX | ARM_LINUX, { 12, 13 }, true },
    { KM_BACKEND_ROCM, "rocm71", X86_LINUX, { 12, 13 }, false },
    { KM_BACKEND_ROCM, "rocm72", X86_LINUX, { 12, 13 }, false },
    { KM_BACKEND_XPU, "xpu20253", X86_LINUX, { 12, 0 }, true },
    { KM_BACKEND_XPU, "xpu20260", X86_LINUX, { 13, 0 }, false },
    { KM_BACKEND_METAL, "metal", ARM_DARWIN, { 12, 13 }, false },
};

#define COMPUTES (sizeof computes / sizeof computes[0])

static bool is_within(const km_version *v, const km_version *least, const km_version *most)
{
    return (!least->count || km_version_compare(v, least) >= 0) &&
           (!most->count || km_version_compare(v, most) <= 0);
}

/* ---- tools ---- */

static void take(struct making *k, struct obstacle *o, const km_err *why)
{
    o->why = km_arena_printf(&k->x->arena, "%s%s%s", why->place, *why->place ? ": " : "",
                             why->message);
    o->line = *why->hint ? km_arena_strndup(&k->x->arena, why->hint, strcspn(why->hint, "\n"))
                         : NULL;
    if (!o->why)
        k->rc = km_fail_nomem(k->err);
}

static void find_c(struct making *k)
{
    const char *cc = getenv("CC");
    km_arena *a = &k->x->arena;

    k->x->compiler = km_path_program(a, cc && *cc ? cc : "cc");
    if (!km_path_program(a, "ninja"))
        k->ninja = (struct obstacle){ "there is no Ninja", "apt install ninja-build" };
    k->c = k->x->compiler ? k->ninja
                          : (struct obstacle){ "there is no C compiler", "apt install gcc" };
}

static void find_zig(struct making *k, const km_home *home)
{
    km_toolkit t;

    km_toolkit_find(&k->x->arena, home, &t);
    k->zig = t.zig;
}

/* Whether the images that the sections ask for can be made. */
static int check_archs(struct making *k, const km_toolkit *t, km_err *why)
{
    for (size_t i = 0; i < k->m->kernel_count; i++) {
        const km_kernel_section *section = &k->m->kernels[i];
        km_archs archs = { .count = 0 };
        int rc;
        if (section->backend != KM_BACKEND_CUDA)
            continue;
        rc = section->cuda_capabilities.count
                 ? km_archs_from_capabilities(&section->cuda_capabilities, &archs, why)
                 : km_archs_parse(KM_ARCHS_DEFAULT, &archs, why);
        if (rc == 0)
            rc = km_device_check_archs(t, &archs, why);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void find_cuda(struct making *k, const km_home *home)
{
    km_arena *a = &k->x->arena;
    km_err why = KM_ERR_INIT;
    km_toolkit t;

    km_toolkit_find(a, home, &t);
    if (km_toolkit_check(&t, false, &why) == 0 &&
        km_device_compiler_version(a, &t, false, &k->x->cuda_compiler, &why) == 0 &&
        check_archs(k, &t, &why) == 0)
        return;
    take(k, &k->cuda, &why);
    if (km_toolkit_check(&t, true, NULL) == 0 &&
        km_device_compiler_version(a, &t, true, &k->x->cuda_compiler, NULL) == 0)
        k->cuda.line = km_arena_printf(a, "kernmill build --compiler nvcc %s", k->m->dir);
}

/* ---- rows ---- */

static void add(struct making *k, const char *name, const char *tag, const char *wheel,
                struct obstacle o)
{
    km_matrix *x = k->x;

    if (!name || x->count == VARIANTS_MAX) {
        k->rc = !name ? km_fail_nomem(k->err)
                      : km_fail(k->err, KM_EBUG, "more than %d variants", VARIANTS_MAX);
        return;
    }
    x->items[x->count++] = (km_planned){ name, tag, wheel, !o.why, o.why, o.line };
    x->here += !o.why;
}

static struct obstacle elsewhere(struct making *k, const char *cpu)
{
    return (struct obstacle){ km_arena_printf(&k->x->arena,
                                              "is built on linux %s, or here (%s) by zig, which is "
                                              "not found",
                                              cpu, KM_HOST_CPU),
                              KM_ZIG_INSTALL };
}

/* One of a C binding: the wheel of the CPU variant of a kernel with CUDA is made by --cpu. */
static void add_ours(struct making *k, unsigned minor, km_backend backend, const char *compute,
                     const char *cpu)
{
    km_arena *a = &k->x->arena;
    const char *version = k->m->card.wheel_version;
    const char *tag = km_arena_printf(a, "py3-none-manylinux_2_28_%s", cpu);
    bool slim = k->m->backends[KM_BACKEND_CUDA] && backend == KM_BACKEND_CPU;
    bool is_cross = strcmp(cpu, KM_HOST_CPU) != 0;
    struct obstacle o = k->source;

    if (!o.why && is_cross && !k->zig)
        o = elsewhere(k, cpu);
    if (!o.why)
        o = is_cross ? k->ninja : k->c;
    if (!o.why && backend == KM_BACKEND_CUDA)
        o = k->cuda;
    if (!o.why && is_cross)
        o.line = km_arena_printf(a, "kernmill pack --host %s %s", cpu, k->m->dir);
    add(k, km_arena_printf(a, "torch-stable-abi2%u-%s-%s-linux", minor, compute, cpu), tag,
        version ? km_arena_printf(a, "%s-%s%s-%s.whl", k->m->import_name, version,
                                  slim ? "+cpu" : "", tag)
                : NULL,
        o);
}

static void add_binding(struct making *k)
{
    static const char *const cpus[] = { "x86_64", "aarch64" };
    const km_version *stable = &k->m->stable_abi[KM_BACKEND_CPU];
    bool cuda = k->m->backends[KM_BACKEND_CUDA];
    unsigned minor;

    if (!stable->count)
        stable = &k->m->stable_abi[KM_BACKEND_CUDA];
    minor = stable->count ? stable->part[1] : 10;
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        if (k->m->backends[KM_BACKEND_CPU] || !cuda)
            add_ours(k, minor, KM_BACKEND_CPU, "cpu", cpus[i]);
        if (cuda) {
            add_ours(k, minor, KM_BACKEND_CUDA, "cu126", cpus[i]);
            add_ours(k, minor, KM_BACKEND_CUDA, "cu130", cpus[i]);
        }
    }
}

/* Whether [general.cuda] and [torch] want it. */
static bool is_wanted(const km_manifest *m, size_t compute, unsigned minor)
{
    const km_backend_general *general = &m->of[computes[compute].backend];
    km_version torch = { 2, { 2, minor } }, cuda = { 2, { 0 } };
    unsigned number;

    if (!m->backends[computes[compute].backend])
        return false;
    if (sscanf(computes[compute].compute, "cu%u", &number) == 1) {
        cuda.part[0] = number / 10;
        cuda.part[1] = number % 10;
        if (!is_within(&cuda, &general->minver, &general->maxver))
            return false;
    }
    return is_within(&torch, &m->torch_minver, &m->torch_maxver);
}

/* One torch on one system. */
static void add_torch(struct making *k, size_t compute, size_t system, unsigned minor)
{
    km_arena *a = &k->x->arena;
    const char *cpu = systems[system].cpu, *os = systems[system].os;
    const km_version *stable = &k->m->stable_abi[computes[compute].backend];
    const char *abi = strcmp(os, "linux") == 0 ? "-cxx11" : "";

    if (stable->count)
        add(k,
            km_arena_printf(a, "torch-stable-abi%u%u-%s-%s-%s", stable->part[0], stable->part[1],
                            computes[compute].compute, cpu, os),
            NULL, NULL, k->source);
    else
        add(k,
            km_arena_printf(a, "torch2%u%s-%s-%s-%s", minor, abi, computes[compute].compute, cpu,
                            os),
            NULL, NULL, k->source);
}

/* With the stable ABI the newest torch alone is built. */
static void add_builder(struct making *k)
{
    for (size_t s = 0; s < sizeof systems / sizeof *systems; s++)
        for (size_t c = 0; c < COMPUTES; c++)
            for (int t = 1; t >= 0; t--) {
                unsigned minor = computes[c].torch[t];
                if (!(computes[c].systems & systems[s].bit) || !minor || !is_wanted(k->m, c, minor))
                    continue;
                add_torch(k, c, s, minor);
                if (k->m->stable_abi[computes[c].backend].count)
                    break;
            }
}

static void add_tvm_ffi(struct making *k)
{
    for (size_t s = 0; s < sizeof systems / sizeof *systems; s++)
        for (size_t c = 0; c < COMPUTES; c++)
            if (computes[c].tvm_ffi && computes[c].systems & systems[s].bit &&
                systems[s].bit != ARM_DARWIN && is_wanted(k->m, c, 12))
                add(k,
                    km_arena_printf(&k->x->arena, "tvm-ffi01-%s-%s-%s", computes[c].compute,
                                    systems[s].cpu, systems[s].os),
                    NULL, NULL, k->source);
}

static void add_noarch(struct making *k)
{
    for (int b = 0; b < KM_BACKEND_COUNT; b++)
        if (k->m->backends[b])
            add(k,
                km_arena_printf(&k->x->arena, "torch-%s",
                                b == KM_BACKEND_CANN ? "npu" : km_backend_names[b]),
                "py3-none-any", NULL, k->source);
}

/* ---- the whole ---- */

/* The language of the files that know torch. */
static bool is_c_binding(const km_manifest *m)
{
    bool c = false;

    for (size_t i = 0; i < m->torch_src.count; i++) {
        const char *ext = km_path_ext(m->torch_src.items[i]);
        c |= strcmp(ext, ".c") == 0;
        if (strcmp(ext, ".cpp") == 0 || strcmp(ext, ".cc") == 0 || strcmp(ext, ".cxx") == 0 ||
            strcmp(ext, ".cu") == 0)
            return false;
    }
    return c;
}

static void fill(struct making *k)
{
    switch (k->m->framework) {
    case KM_TORCH:
        k->x->binding = is_c_binding(k->m) ? "C" : "C++";
        if (is_c_binding(k->m))
            add_binding(k);
        else
            add_builder(k);
        break;
    case KM_TORCH_NOARCH:
        k->x->binding = "none";
        add_noarch(k);
        break;
    case KM_TVM_FFI:
        k->x->binding = "tvm-ffi";
        add_tvm_ffi(k);
        break;
    }
}

int km_matrix_make(km_matrix *out, const km_manifest *m, km_err *err)
{
    struct making k = { .x = out, .m = m, .err = err };
    km_err why = KM_ERR_INIT;
    km_home home;

    *out = (km_matrix){ 0 };
    k.rc = km_home_find(&out->arena, &home, err);
    out->items = km_arena_array(&out->arena, VARIANTS_MAX, sizeof *out->items);
    if (k.rc == 0 && !out->items)
        k.rc = km_fail_nomem(err);
    if (k.rc == 0) {
        if (km_plan_check(m, &why) < 0)
            take(&k, &k.source, &why);
        find_c(&k);
        find_zig(&k, &home);
        if (m->backends[KM_BACKEND_CUDA])
            find_cuda(&k, &home);
        fill(&k);
    }
    if (k.rc < 0)
        km_matrix_release(out);
    return k.rc;
}

void km_matrix_release(km_matrix *x)
{
    km_arena_release(&x->arena);
    *x = (km_matrix){ 0 };
}
