/* What the files of a candidate need, against what the machine has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/explain_internal.h"

#define PROGRAM_GLIBC_MINOR 34

/* What to rebuild: the repository that the user named, if it is one. */
static const char *source(const struct judge *j)
{
    const char *manifest = km_path_join(j->a, j->root, "build.toml");

    return manifest && km_file_exists(manifest) ? j->root : "SOURCE";
}

static void read_module(struct judge *j, const char *depends)
{
    char text[16];
    const char *family = km_system_family(j->s->backend, text);

    for (size_t i = 0; km_system_modules[i].depends; i++) {
        const km_system_module *m = &km_system_modules[i];
        if (strcmp(m->depends, depends) != 0)
            continue;
        if (m->backend && strcmp(m->backend, family) != 0)
            break;
        if (!m->module || j->s->modules >> i & 1) {
            km_judge_say(j, KM_REASON_FOR, "python-depends", "its Python package %s is here",
                         m->package);
            return;
        }
        km_judge_say(j, KM_REASON_AGAINST, "python-depends",
                     "needs the Python package %s, which is not here", m->package);
        km_judge_fix(j, KM_COST_PIP, "pip install %s", m->package);
        return;
    }
    km_judge_say(j, KM_REASON_AGAINST, "python-depends",
                 "depends on '%s', which the client does not know for %s", depends, family);
    km_judge_impossible(j);
}

static void read_minver(struct judge *j, const km_version *least)
{
    const km_system *s = j->s;

    if (!least->count)
        return;
    if (!s->kernels.count || km_version_compare(&s->kernels, least) >= 0) {
        km_judge_say(j, s->kernels.count ? KM_REASON_FOR : KM_REASON_NOTE, "kernels",
                     "needs kernels %s or newer; here it is %s", km_version_text(j->a, least),
                     km_version_text(j->a, &s->kernels));
        return;
    }
    km_judge_say(j, KM_REASON_AGAINST, "kernels", "needs kernels %s or newer; here it is %s",
                 km_version_text(j->a, least), km_version_text(j->a, &s->kernels));
    km_judge_fix(j, KM_COST_PIP, "pip install --upgrade 'kernels>=%s'",
                 km_version_text(j->a, least));
}

/* archs.py: "9.0a" is that capability, "10.0f" and "8.0" its major from there on, "8.0+PTX" any
 * newer. -1: no capability at all. */
static int declared_runs(const char *arch, unsigned sm)
{
    unsigned major, minor;
    int n = 0;
    const char *rest;
    char suffix = 0;

    if (sscanf(arch, "%u.%u%n", &major, &minor, &n) != 2)
        return -1;
    rest = arch + n;
    if (*rest == 'a' || *rest == 'f')
        suffix = *rest++;
    if (*rest && strcmp(rest, "+PTX") != 0)
        return -1;
    if (suffix == 'a')
        return sm == major * 10 + minor;
    if (!suffix && *rest)
        return sm >= major * 10 + minor;
    return sm / 10 == major && sm % 10 >= minor;
}

static bool lacks_image(const km_candidate *c)
{
    for (size_t i = 0; i < c->reason_count; i++)
        if (c->reasons[i].side == KM_REASON_AGAINST && strcmp(c->reasons[i].code, "gpu") == 0)
            return true;
    return false;
}

/* The client asks about the current device, which is the first. What is built again for lack of an
 * image declares it, too. */
static void read_archs(struct judge *j, const km_metadata_facts *m)
{
    km_str list = KM_STR_INIT;
    bool runs = false, known = false;

    if (!m->arch_count || !j->s->gpu_count || !j->s->cuda_major || strcmp(m->type, "cuda") != 0)
        return;
    for (size_t i = 0; i < m->arch_count; i++) {
        int answer = declared_runs(m->archs[i], j->s->gpus[0]);
        km_str_printf(&list, "%s%s", i ? ", " : "", m->archs[i]);
        known |= answer >= 0;
        runs |= answer > 0;
    }
    if (known && !runs) {
        km_judge_say(j, KM_REASON_AGAINST, "declared-archs",
                     "declares %s, and the client refuses it on %u.%u (check_arch=False passes)",
                     list.data, j->s->gpus[0] / 10, j->s->gpus[0] % 10);
        if (!lacks_image(j->c))
            km_judge_fix(j, KM_COST_ARGUMENT,
                         "python3 -c \"import kernels, pathlib; "
                         "kernels.get_local_kernel(pathlib.Path('%s'))\"   # does not look at this",
                         j->root);
    }
    km_str_release(&list);
}

void km_judge_metadata(struct judge *j, const km_metadata_facts *m, const km_variant *v)
{
    if (m->refused) {
        km_judge_say(j, KM_REASON_AGAINST, "metadata",
                     "the client cannot use its metadata.json: %s", m->refused);
        km_judge_impossible(j);
        return;
    }
    if (!m->has_module) {
        km_judge_say(j, KM_REASON_AGAINST, "module", "has no __init__.py for the client to import");
        km_judge_impossible(j);
    }
    if (!j->s->torch.count && v->kind != KM_VARIANT_TVM_FFI)
        km_judge_say(j, KM_REASON_NOTE, "torch", "there is no torch here");
    read_minver(j, &m->minver);
    for (size_t i = 0; i < m->depend_count; i++)
        read_module(j, m->depends[i]);
    for (size_t i = 0; i < m->kernel_count; i++)
        km_judge_say(j, KM_REASON_NOTE, "kernel-depends", "loads another kernel first: %s",
                     m->kernels[i]);
    read_archs(j, m);
}

/* ---- libraries ---- */

void km_judge_rebuild(struct judge *j, const char *from)
{
    if (j->s->glibc.part[1] >= PROGRAM_GLIBC_MINOR)
        km_judge_fix(j, KM_COST_BUILD * 4, "kernmill pack %s", from);
    else
        km_judge_impossible(j);
}

static void read_glibc(struct judge *j, const km_libraries *l)
{
    const km_library_facts *most = NULL;
    const km_system *s = j->s;
    bool enough;

    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].glibc.count &&
            (!most || km_version_compare(&l->items[i].glibc, &most->glibc) > 0))
            most = &l->items[i];
    if (!most || strcmp(s->os, "linux") != 0)
        return;
    if (!s->glibc.count) {
        km_judge_say(j, KM_REASON_NOTE, "glibc", "needs glibc %s; which is here is not known",
                     km_version_text(j->a, &most->glibc));
        return;
    }
    enough = km_version_compare(&s->glibc, &most->glibc) >= 0;
    km_judge_say(j, enough ? KM_REASON_FOR : KM_REASON_AGAINST, "glibc",
                 enough ? "needs glibc %s; here it is %s"
                        : "needs glibc %s; here it is %s (%s needs %s)",
                 km_version_text(j->a, &most->glibc), km_version_text(j->a, &s->glibc), most->name,
                 most->glibc_symbol);
    if (!enough)
        km_judge_rebuild(j, source(j));
}

static void read_library(struct judge *j, const km_library_facts *l)
{
    const km_system *s = j->s;

    if (l->broken) {
        km_judge_say(j, KM_REASON_AGAINST, "library", "%s cannot be read: %s", l->name, l->broken);
        km_judge_impossible(j);
        return;
    }
    if (strcmp(l->machine, s->cpu) != 0) {
        km_judge_say(j, KM_REASON_AGAINST, "machine", "%s is code for %s; the processor here is %s",
                     l->name, l->machine, s->cpu);
        km_judge_impossible(j);
    }
    if (l->x86_level && s->x86_level && l->x86_level > s->x86_level) {
        km_judge_say(j, KM_REASON_AGAINST, "x86-level",
                     "%s needs x86-64-v%u; the processor here has x86-64-v%u", l->name,
                     l->x86_level, s->x86_level);
        km_judge_impossible(j);
    }
    if (l->torch_minor && s->torch.count && s->torch.part[0] == 2 &&
        l->torch_minor > s->torch.part[1]) {
        km_judge_say(j, KM_REASON_AGAINST, "torch-symbol",
                     "%s needs '%s', which torch has from 2.%u on; here it is %s", l->name,
                     l->torch_symbol, l->torch_minor, km_version_text(j->a, &s->torch));
        j->c->fix.torch = km_arena_printf(j->a, "torch>=2.%u", l->torch_minor);
        j->c->fix.cost += KM_COST_TORCH;
    }
    if (l->cudart && l->cudart != s->cuda_major) {
        km_judge_say(j, KM_REASON_AGAINST, "cudart",
                     "%s needs libcudart.so.%u; torch here is for %s", l->name, l->cudart,
                     s->backend);
        if (!j->c->fix.compute)
            j->c->fix.compute = l->cudart == 12 ? "cu126" : "cu130";
        j->c->fix.cost += KM_COST_COMPUTE;
    }
}

/* What one GPU would run of all the libraries. */
struct images {
    size_t files, without, compiled; /* device files; with no image for it; by PTX alone */
    const km_image *cubin, *ptx;     /* one of each that is picked */
    const km_image *demanding;       /* the one that needs the newest driver */
};

static void pick_images(const km_libraries *l, unsigned sm, struct images *out)
{
    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; k < l->items[i].kernel_count; k++) {
            const km_image *image = km_fatbin_pick(&l->items[i].kernels[k], sm);
            out->files++;
            out->without += !image;
            if (!image)
                continue;
            out->compiled += image->kind == KM_IMAGE_PTX;
            *(image->kind == KM_IMAGE_PTX ? &out->ptx : &out->cubin) = image;
            if (!out->demanding || km_image_min_driver(image) > km_image_min_driver(out->demanding))
                out->demanding = image;
        }
}

/* "sm_75, sm_80, sm_90a, compute_75" */
static void list_images(const km_libraries *l, km_str *out)
{
    const char *const kinds[] = { "other_", "compute_", "sm_" };

    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; k < l->items[i].kernel_count; k++)
            for (size_t n = 0; n < l->items[i].kernels[k].count; n++) {
                const km_image *image = &l->items[i].kernels[k].images[n];
                char name[32];
                const char *met;
                snprintf(name, sizeof name, "%s%u%s", kinds[image->kind], image->sm,
                         image->arch_specific     ? "a"
                         : image->family_specific ? "f"
                                                  : "");
                met = strstr(out->data, name);
                while (met && met[strlen(name)] && met[strlen(name)] != ',')
                    met = strstr(met + 1, name);
                if (!met)
                    km_str_printf(out, "%s%s", out->length ? ", " : "", name);
            }
}

void km_judge_driver(struct judge *j, int branch, const char *what)
{
    if (j->s->driver <= 0 || j->s->driver >= branch)
        return;
    km_judge_say(j, KM_REASON_AGAINST, "driver", "%s needs driver %d or newer; here it is %d", what,
                 branch, j->s->driver);
    j->c->fix.cost += j->c->fix.driver ? 0 : KM_COST_DRIVER;
    j->c->fix.driver = branch > j->c->fix.driver ? branch : j->c->fix.driver;
}

static void read_gpu(struct judge *j, const km_libraries *l, unsigned sm)
{
    struct images found = { 0 };
    km_str list = KM_STR_INIT;
    char what[96];

    pick_images(l, sm, &found);
    list_images(l, &list);
    if (found.without == found.files) {
        km_judge_say(j, KM_REASON_AGAINST, "gpu", "holds no image that runs on sm_%u; it has %s",
                     sm, list.data);
        km_judge_fix(j, KM_COST_BUILD, "kernmill pack %s --arch %u", source(j), sm);
    } else if (found.cubin) {
        km_judge_say(j, KM_REASON_FOR, "gpu", "sm_%u runs its machine code for sm_%u%s", sm,
                     found.cubin->sm, found.cubin->arch_specific ? "a" : "");
    } else {
        km_judge_say(j, KM_REASON_FOR, "gpu",
                     "sm_%u runs its PTX of compute_%u, which the driver compiles at first use", sm,
                     found.ptx->sm);
    }
    if (found.without && found.without < found.files)
        km_judge_say(j, KM_REASON_NOTE, "gpu-part",
                     "%zu of its %zu device files hold no image for sm_%u", found.without,
                     found.files, sm);
    if (found.demanding) {
        snprintf(what, sizeof what, "its %s for sm_%u",
                 found.demanding->kind == KM_IMAGE_PTX ? "PTX" : "machine code", sm);
        km_judge_driver(j, (int)km_image_min_driver(found.demanding), what);
        if (j->s->driver >= (int)km_image_min_driver(found.demanding))
            km_judge_say(j, KM_REASON_FOR, "driver", "%s needs driver %u; here it is %d", what,
                         km_image_min_driver(found.demanding), j->s->driver);
    }
    km_str_release(&list);
}

static void read_images(struct judge *j, const km_libraries *l)
{
    km_str list = KM_STR_INIT;

    list_images(l, &list);
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].images_broken) {
            km_judge_say(j, KM_REASON_AGAINST, "images", "the GPU images of %s cannot be read: %s",
                         l->items[i].name, l->items[i].images_broken);
            km_judge_impossible(j);
        }
    for (size_t i = 0; i < j->s->gpu_count && list.length; i++)
        if (i == 0 || j->s->gpus[i] != j->s->gpus[i - 1])
            read_gpu(j, l, j->s->gpus[i]);
    if (!list.length && l->count)
        km_judge_say(j, KM_REASON_NOTE, "gpu", "its libraries hold no GPU images");
    else if (list.length && !j->s->gpu_count)
        km_judge_say(j, KM_REASON_NOTE, "gpu", "%s; it holds %s",
                     j->s->gpus_known ? "there is no GPU here" : "which GPU is here is not known",
                     list.data);
    km_str_release(&list);
}

void km_judge_libraries(struct judge *j, const km_libraries *l, unsigned cuda_major)
{
    char what[48];

    for (size_t i = 0; i < l->count; i++)
        read_library(j, &l->items[i]);
    read_glibc(j, l);
    if (!cuda_major)
        return;
    if (j->s->cuda_major == cuda_major) {
        snprintf(what, sizeof what, "torch for CUDA %u.%u", j->s->cuda_major, j->s->cuda_minor);
        km_judge_driver(j, km_driver_for_cuda(j->s->cuda_major), what);
    }
    read_images(j, l);
}
