#include "pkg/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"
#include "pkg/device.h"
#include "pkg/identity.h"
#include "pkg/variant.h"

const char *const km_flavor_names[] = { "cpu", "cuda" };
const char *const km_hosts[] = { "x86_64", "aarch64", NULL };

typedef enum { SOURCE_C, SOURCE_DEVICE, SOURCE_HEADER, SOURCE_UNSUPPORTED } source_kind;

static source_kind kind_of(const char *path)
{
    static const struct {
        const char *ext;
        source_kind kind;
    } known[] = { { ".c", SOURCE_C },        { ".cu", SOURCE_DEVICE },  { ".h", SOURCE_HEADER },
                  { ".cuh", SOURCE_HEADER }, { ".inc", SOURCE_HEADER }, { ".hpp", SOURCE_HEADER } };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(km_path_ext(path), known[i].ext) == 0)
            return known[i].kind;
    return SOURCE_UNSUPPORTED;
}

/* An error at a value of build.toml. */
static int fail_at(const km_plan *p, const km_toml *at, km_err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int fail_at(const km_plan *p, const km_toml *at, km_err *err, const char *format, ...)
{
    char message[512];
    va_list ap;

    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    return km_fail_at(err, KM_EFORMAT, p->m->path, at->line, at->column, "%s", message);
}

static bool is_identifier(const char *text)
{
    static const char *const letters = "_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    bool digit_first = *text >= '0' && *text <= '9';

    while (*text && (strchr(letters, *text) || (*text >= '0' && *text <= '9')))
        text++;
    return !*text && !digit_first;
}

/* A source is compiled once: its object has its name. */
static int add_source(km_plan *p, const char *source, const km_kernel_section *k, const km_toml *at,
                      km_err *err)
{
    for (size_t i = 0; i < p->source_count; i++)
        if (!p->sources[i].section == !k && strcmp(p->sources[i].source, source) == 0)
            return fail_at(p, at, err, "source file '%s' is listed twice", source);
    p->sources[p->source_count++] = (km_plan_source){ source, k };
    return 0;
}

/* Device files are told apart by their stems, because images are linked in under them:
 * KM_IMAGE(stem).
 */
static int add_device(km_plan *p, const char *source, const km_kernel_section *k, const km_toml *at,
                      km_err *err)
{
    km_plan_device *d = &p->devices[p->device_count];

    *d = (km_plan_device){ source, km_path_stem(&p->arena, source), k, { .count = 0 } };
    if (!d->stem)
        return km_fail_nomem(err);
    if (!is_identifier(d->stem)) {
        fail_at(p, at, err, "device file '%s' is not named like a C identifier", source);
        return km_hint(err, "its images are linked in under that name: letters, digits and '_'");
    }
    for (size_t i = 0; i < p->device_count; i++)
        if (strcmp(p->devices[i].stem, d->stem) == 0)
            return fail_at(p, at, err, "two device files are called '%s.cu'", d->stem);
    if (p->o.archs || !k->cuda_capabilities.count) {
        const char *text = p->o.archs ? p->o.archs : KM_ARCHS_DEFAULT;
        if (km_archs_parse(text, &d->archs, err) < 0)
            return err ? err->code : KM_EUSAGE;
    } else if (km_archs_from_capabilities(&k->cuda_capabilities, &d->archs, err) < 0) {
        return KM_ELIMIT;
    }
    p->device_count++;
    return 0;
}

static int add_sources(km_plan *p, const km_list *src, const km_kernel_section *k, km_err *err)
{
    for (size_t i = 0; i < src->count; i++) {
        const char *source = src->items[i], *full = km_path_join(&p->arena, p->m->dir, source);
        const km_toml *at = src->places[i];
        if (!full)
            return km_fail_nomem(err);
        if (!km_file_exists(full))
            return fail_at(p, at, err, "source file '%s' is not there", source);
        switch (kind_of(source)) {
        case SOURCE_HEADER:
            break;
        case SOURCE_C:
            if (add_source(p, source, k, at, err) < 0)
                return KM_EFORMAT;
            break;
        case SOURCE_DEVICE:
            if (!k || k->backend != KM_BACKEND_CUDA)
                return fail_at(p, at, err, "'%s' belongs in a section with backend 'cuda'", source);
            if (add_device(p, source, k, at, err) < 0)
                return err ? err->code : KM_EFORMAT;
            break;
        case SOURCE_UNSUPPORTED:
            fail_at(p, at, err,
                    "'%s' is not built: a kernel here is C (.c) and CUDA device code (.cu)",
                    source);
            return km_hint(err, "C++ bindings and other languages are planned; see README.md");
        }
    }
    return 0;
}

static int gather_sources(km_plan *p, km_err *err)
{
    const km_manifest *m = p->m;
    size_t total = m->torch_src.count;

    for (size_t i = 0; i < m->kernel_count; i++)
        total += m->kernels[i].src.count;
    p->sources = km_arena_array(&p->arena, total + 1, sizeof *p->sources);
    p->devices = km_arena_array(&p->arena, total + 1, sizeof *p->devices);
    if (!p->sources || !p->devices)
        return km_fail_nomem(err);
    if (add_sources(p, &m->torch_src, NULL, err) < 0)
        return KM_EFORMAT;
    if (!p->source_count)
        return fail_at(p, m->framework_place, err, "'src' in [torch] names no C file");
    for (size_t i = 0; i < m->kernel_count; i++) {
        const km_kernel_section *k = &m->kernels[i];
        if (k->backend != KM_BACKEND_CPU && k->backend != KM_BACKEND_CUDA)
            continue;
        if (k->backend == KM_BACKEND_CUDA && !p->products[KM_FLAVOR_CUDA].built)
            continue;
        if (add_sources(p, &k->src, k, err) < 0)
            return KM_EFORMAT;
    }
    return 0;
}

static int check_kind(const km_plan *p, km_err *err)
{
    const km_manifest *m = p->m;

    if (m->framework != KM_TORCH) {
        fail_at(p, m->framework_place, err, "only [torch] kernels are built so far");
        return km_hint(err, "[torch-noarch] and [tvm-ffi] are planned; see README.md");
    }
    for (size_t i = 0; i < m->backend_names.count; i++)
        if (strcmp(m->backend_names.items[i], "cpu") != 0 &&
            strcmp(m->backend_names.items[i], "cuda") != 0)
            return fail_at(p, m->backend_names.places[i], err,
                           "backend '%s' is read but not built; 'cpu' and 'cuda' are",
                           m->backend_names.items[i]);
    return 0;
}

static int choose_flavors(km_plan *p, km_err *err)
{
    bool cuda = p->m->backends[KM_BACKEND_CUDA], cpu = p->m->backends[KM_BACKEND_CPU] || !cuda;

    if (!cpu && p->o.cpu_only) {
        km_fail(err, KM_EUSAGE, "--cpu leaves nothing to build: %s has no 'cpu' backend",
                p->m->name);
        return km_hint(err, "leave --cpu out, or add \"cpu\" to backends in %s", p->m->path);
    }
    p->products[KM_FLAVOR_CPU].built = cpu;
    p->products[KM_FLAVOR_CUDA].built = cuda && !p->o.cpu_only;
    p->wheel_flavor = p->products[KM_FLAVOR_CUDA].built ? KM_FLAVOR_CUDA : KM_FLAVOR_CPU;
    return 0;
}

/* The oldest torch, from stable-abi; a C binding cannot go below 2.10. */
static int choose_torch(km_plan *p, km_err *err)
{
    const km_version *v = &p->m->stable_abi[KM_BACKEND_CPU];

    if (!v->count)
        v = &p->m->stable_abi[KM_BACKEND_CUDA];
    p->torch_minor = v->count ? v->part[1] : 10;
    if (v->count && (v->part[0] != 2 || v->part[1] < 10))
        return fail_at(p, p->m->stable_abi_place, err,
                       "'stable-abi' is %u.%u; a C binding needs \"2.10\" or newer", v->part[0],
                       v->part[1]);
    return 0;
}

static void choose_variants(km_plan *p)
{
    km_product *cpu = &p->products[KM_FLAVOR_CPU], *cuda = &p->products[KM_FLAVOR_CUDA];
    unsigned minor = p->torch_minor;
    const char *host = p->host;
    km_arena *a = &p->arena;

    cpu->variants[0] = km_arena_printf(a, "torch-stable-abi2%u-cpu-%s-linux", minor, host);
    /* the same bytes: a client takes the folder of its CUDA major with a minor it has */
    cuda->variants[0] = km_arena_printf(a, "torch-stable-abi2%u-cu126-%s-linux", minor, host);
    cuda->variants[1] = km_arena_printf(a, "torch-stable-abi2%u-cu130-%s-linux", minor, host);
}

static int choose_host(km_plan *p, km_err *err)
{
    p->host = p->o.host ? p->o.host : KM_HOST_CPU;
    p->is_cross = strcmp(p->host, KM_HOST_CPU) != 0;
    for (const char *const *host = km_hosts; *host; host++)
        if (strcmp(*host, p->host) == 0)
            return 0;
    return km_fail(err, KM_EUSAGE, "there is no build for the processor '%s'; x86_64 and aarch64",
                   p->host);
}

/* The first line that a compiler says of itself. */
static int ask_version(km_plan *p, const char *option, const char **out, km_err *err)
{
    const char *const argv[] = { p->cc, option, NULL };
    km_proc proc = { .argv = argv, .timeout_ms = 30000 };
    km_proc_result r = KM_PROC_RESULT_INIT;
    int rc = km_proc_check(&proc, &r, err);

    if (rc == 0) {
        *out = km_arena_strndup(&p->arena, r.out.data, strcspn(r.out.data, "\n"));
        rc = *out ? 0 : km_fail_nomem(err);
    }
    km_proc_result_release(&r);
    return rc;
}

/* zig brings the headers and the symbols of glibc for every processor. Its own checks of undefined
 * behaviour, on in debug builds, would bring a run-time library along. */
static int find_cross_compiler(km_plan *p, km_err *err)
{
    const char *version;
    int rc;

    p->cc = p->toolkit.zig;
    if (!p->cc) {
        km_fail(err, KM_EENV, "zig is not found, which compiles C for %s", p->host);
        return km_hint(err, KM_ZIG_INSTALL);
    }
    p->cc_options = km_arena_printf(
        &p->arena, " cc -target %s-linux-gnu.2.28 -fno-sanitize=undefined", p->host);
    rc = ask_version(p, "version", &version, err);
    if (rc == 0) {
        p->compiler = km_arena_printf(&p->arena, "zig %s for %s-linux-gnu.2.28", version, p->host);
        rc = p->compiler && p->cc_options ? 0 : km_fail_nomem(err);
    }
    return rc;
}

static int find_compiler(km_plan *p, km_err *err)
{
    const char *cc = getenv("CC");

    p->cc_options = "";
    p->cc = km_path_program(&p->arena, cc && *cc ? cc : "cc");
    if (!p->cc) {
        km_fail(err, KM_EENV, "no C compiler: '%s' is not found", cc && *cc ? cc : "cc");
        return km_hint(err, "apt install gcc");
    }
    return ask_version(p, "--version", &p->compiler, err);
}

static void unite_archs(km_plan *p)
{
    p->archs.count = 0;
    for (size_t i = 0; i < p->device_count; i++)
        for (size_t j = 0; j < p->devices[i].archs.count; j++)
            km_archs_add(&p->archs, p->devices[i].archs.items[j], NULL);
}

static int find_tools(km_plan *p, km_err *err)
{
    if (km_home_find(&p->arena, &p->home, err) < 0)
        return KM_EENV;
    km_toolkit_find(&p->arena, &p->home, &p->toolkit);
    if ((p->is_cross ? find_cross_compiler(p, err) : find_compiler(p, err)) < 0)
        return KM_EENV;
    if (!p->products[KM_FLAVOR_CUDA].built)
        return 0;
    if (km_toolkit_check(&p->toolkit, p->o.use_nvcc, err) < 0 ||
        km_device_compiler_version(&p->arena, &p->toolkit, p->o.use_nvcc, &p->device_compiler,
                                   err) < 0)
        return KM_EENV;
    unite_archs(p);
    return p->o.use_nvcc ? 0 : km_device_check_archs(&p->toolkit, &p->archs, err);
}

static int choose_folders(km_plan *p, km_err *err)
{
    const char *dir = p->o.build_dir ? p->o.build_dir : km_path_join(&p->arena, p->m->dir, "build");
    char *real;

    if (!dir)
        return km_fail_nomem(err);
    if (km_dir_make(dir, err) < 0 || km_path_real(&p->arena, dir, &real, err) < 0)
        return KM_EIO;
    p->build_dir = real;
    p->work_dir = km_arena_printf(&p->arena, "%s/.kernmill%s%s", real, p->is_cross ? "-" : "",
                                  p->is_cross ? p->host : "");
    return p->work_dir ? km_dir_make(p->work_dir, err) : km_fail_nomem(err);
}

static int choose_products(km_plan *p, km_err *err)
{
    for (int f = 0; f < KM_FLAVOR_COUNT; f++) {
        km_product *product = &p->products[f];
        if (!product->built)
            continue;
        if (km_identity(p, (km_flavor)f, product->id, sizeof product->id, err) < 0)
            return err ? err->code : KM_EIO;
        product->hub_library = km_arena_printf(&p->arena, "%s/lib/hub-%s/lib%s.so", p->work_dir,
                                               km_flavor_names[f], p->m->import_name);
        product->wheel_library = km_arena_printf(&p->arena, "%s/lib/wheel-%s/lib%s.so", p->work_dir,
                                                 km_flavor_names[f], p->m->import_name);
        if (!product->hub_library || !product->wheel_library)
            return km_fail_nomem(err);
    }
    return 0;
}

/* What the manifest and its sources decide. */
static int plan_sources(km_plan *p, km_err *err)
{
    int rc = check_kind(p, err);

    if (rc == 0)
        rc = choose_flavors(p, err);
    if (rc == 0)
        rc = choose_torch(p, err);
    return rc == 0 ? gather_sources(p, err) : rc;
}

int km_plan_check(const km_manifest *m, km_err *err)
{
    km_plan p = { .m = m };
    int rc = plan_sources(&p, err);

    km_plan_release(&p);
    return rc;
}

int km_plan_make(km_plan *p, const km_manifest *m, const km_build_options *o, km_err *err)
{
    int rc;

    *p = (km_plan){ .m = m, .o = *o };
    rc = choose_host(p, err);
    if (rc == 0)
        rc = plan_sources(p, err);
    if (rc == 0)
        rc = find_tools(p, err);
    if (rc == 0)
        rc = choose_folders(p, err);
    if (rc == 0)
        rc = choose_products(p, err);
    choose_variants(p);
    if (rc < 0)
        km_plan_release(p);
    return rc;
}

void km_plan_release(km_plan *p)
{
    km_arena_release(&p->arena);
    *p = (km_plan){ 0 };
}
