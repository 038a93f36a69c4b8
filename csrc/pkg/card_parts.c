#include "pkg/card_parts.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "pkg/stage.h"
#include "pkg/system.h"
#include "pkg/torch_symbols.h"
#include "pkg/variant.h"
#include "record/environment.h"

void km_card_add_cell(km_str *out, const char *text)
{
    for (; *text; text++)
        if (*text == '|' || *text == '<')
            km_str_printf(out, "&#%d;", *text);
        else
            km_str_add_char(out, (unsigned char)*text < ' ' ? ' ' : *text);
}

/* ---- the files ---- */

static int add_package(km_card_files *f, km_card_package package, km_err *err)
{
    km_card_package *to = &f->items[f->count];

    *to = package;
    if (!to->name || !to->dir)
        return km_fail_nomem(err);
    if (km_package_digest_read(&f->arena, to->dir, &to->digest, err) < 0 ||
        km_libraries_read(&f->arena, to->dir, &to->libraries, err) < 0)
        return err ? err->code : KM_EIO;
    to->tested = km_test_runs_ask(&f->runs, &to->digest, &to->run);
    f->count++;
    return 0;
}

/* What one plan built: the wheel's package, then the folders. */
static int add_packages(km_card_files *f, const km_plan *p, km_err *err)
{
    km_arena *a = &f->arena;
    const char *name = f->plan_count > 1 ? km_arena_printf(a, "wheel, %s", p->host) : "wheel";
    const char *dir = km_path_join(a, km_stage_wheel_dir(a, p), p->m->import_name);
    km_card_package package = {
        .name = name, .dir = dir, .p = p, .flavor = p->wheel_flavor, .is_wheel = true
    };
    int rc = add_package(f, package, err);

    for (int flavor = 0; rc == 0 && flavor < KM_FLAVOR_COUNT; flavor++)
        for (const char *const *v = p->products[flavor].variants;
             rc == 0 && p->products[flavor].built && *v; v++) {
            package = (km_card_package){
                .name = *v, .dir = km_stage_hub_dir(a, p, *v), .p = p, .flavor = (km_flavor)flavor
            };
            rc = add_package(f, package, err);
        }
    return rc;
}

int km_card_files_read(km_card_files *f, const km_card_inputs *inputs, km_err *err)
{
    int rc;

    *f = (km_card_files){ .plans = inputs->plans,
                          .plan_count = inputs->count,
                          .wheels = inputs->wheels,
                          .runs = KM_TEST_RUNS_INIT };
    rc = km_test_runs_read_build(&f->runs, f->plans[0].build_dir, err);
    if (rc == 0 && inputs->tests)
        rc = km_test_runs_read(&f->runs, inputs->tests, err);
    for (size_t i = 0; rc == 0 && i < f->plan_count; i++)
        rc = add_packages(f, &f->plans[i], err);
    return rc;
}

void km_card_files_release(km_card_files *f)
{
    km_test_runs_release(&f->runs);
    km_arena_release(&f->arena);
}

/* ---- what it is ---- */

static void add_list(km_str *out, const char *title, const km_list *list, const char *separator,
                     const char *quote)
{
    km_str_printf(out, "| %s | %s", title, list->count ? "" : "not stated");
    for (size_t i = 0; i < list->count; i++) {
        km_str_printf(out, "%s%s", i ? separator : "", quote);
        km_card_add_cell(out, list->items[i]);
        km_str_add(out, quote);
    }
    km_str_add(out, " |\n");
}

void km_card_add_glance(const km_manifest *m, km_str *out)
{
    const km_card *card = &m->card;

    km_str_add(out, "\n## At a glance\n\n| | |\n|---|---|\n| what | ");
    km_card_add_cell(out, card->summary ? card->summary : "not stated");
    km_str_add(out, " |\n");
    add_list(out, "operators", &card->operators, ", ", "`");
    add_list(out, "layers", &card->layers, ", ", "`");
    add_list(out, "target models", &card->models, ", ", "");
    add_list(out, "dtypes", &card->dtypes, "; ", "");
    add_list(out, "shapes", &card->shapes, "; ", "");
    add_list(out, "limits", &card->limits, "; ", "");
    km_str_add(out, "| licence | ");
    km_card_add_cell(out, m->license);
    km_str_add(out, " |\n");
}

/* ---- how it is installed ---- */

/* An index has the wheels of every processor, and pip picks; of files the reader does. */
static void add_wheel_lines(const km_card_files *f, km_str *out)
{
    const km_manifest *m = f->plans[0].m;
    size_t count = m->card.index ? 1 : f->plan_count;

    for (size_t i = 0; i < count; i++) {
        const char *file = km_path_base(f->wheels[i]);
        const char *version = file + strlen(m->import_name) + 1;
        km_str_printf(out, "\nWith pip, beside torch%s%s; nothing is compiled:\n\n```sh\n",
                      count > 1 ? ", on " : "", count > 1 ? f->plans[i].host : "");
        if (m->card.index)
            km_str_printf(out, "pip install --no-deps --index-url %s %s==%.*s\n", m->card.index,
                          m->name, (int)strcspn(version, "-"), version);
        else
            km_str_printf(out, "pip install --no-deps %s\n", file);
        km_str_printf(out, "python -c \"import torch, %s\"\n```\n", m->import_name);
    }
    if (!m->card.index)
        km_str_printf(out,
                      "\n(the file%s as `kernmill pack` writes %s; no index is named in "
                      "card.toml)\n",
                      count > 1 ? "s" : "", count > 1 ? "them" : "it");
}

static void add_hub_lines(const km_manifest *m, km_str *out)
{
    km_str_printf(out,
                  "\nFrom the Hub, with the `kernels` package; `trust_remote_code=True` says that "
                  "you trust `%s`, and\nis not needed where the Hub lists its owner as a trusted "
                  "publisher:\n\n```python\nfrom kernels import get_kernel\n\n"
                  "kernel = get_kernel(\"%s\", version=%lld, trust_remote_code=True)\n```\n"
                  "\nInto the same cache with kernmill, every digest checked:\n\n```sh\n"
                  "kernmill get %s --version %lld\n```\n",
                  m->repo_id, m->repo_id, (long long)m->version, m->repo_id, (long long)m->version);
}

static void add_local_lines(const km_manifest *m, km_str *out)
{
    km_str_printf(out,
                  "\nFrom a copy of this folder, with the `kernels` package (build.toml names no "
                  "repository of the Hub):\n\n```python\nfrom pathlib import Path\n\n"
                  "from kernels import get_local_kernel\n\n"
                  "kernel = get_local_kernel(Path(\"%s\"))\n```\n",
                  m->name);
}

void km_card_add_install(const km_card_files *f, km_str *out)
{
    const km_manifest *m = f->plans[0].m;

    km_str_add(out, "\n## Install\n");
    if (f->wheels)
        add_wheel_lines(f, out);
    if (m->repo_id)
        add_hub_lines(m, out);
    else
        add_local_lines(m, out);
}

/* ---- what it needs ---- */

/* The oldest driver that runs some image of the libraries; 0: none of them has any. */
static unsigned oldest_driver(const km_libraries *l)
{
    unsigned oldest = 0;

    for (size_t i = 0; i < l->count; i++)
        for (size_t j = 0; j < l->items[i].kernel_count; j++)
            for (size_t k = 0; k < l->items[i].kernels[j].count; k++) {
                unsigned driver = km_image_min_driver(&l->items[i].kernels[j].images[k]);
                if (driver && (!oldest || driver < oldest))
                    oldest = driver;
            }
    return oldest;
}

/* The oldest driver for the torch that the folder is for, by NVIDIA's rule; 0: not known. */
static int torch_driver(const km_card_package *package)
{
    km_variant v;

    if (package->is_wheel || km_variant_parse(package->name, &v, NULL) < 0 || !v.cuda_major)
        return 0;
    return km_driver_for_cuda(v.cuda_major);
}

/* The newest torch in which all tests passed on these files. */
static const char *newest_torch(const km_card_files *f, const km_card_package *package)
{
    km_version newest = { 0 };
    const char *text = NULL;

    for (size_t i = 0; i < f->runs.count; i++) {
        const km_test_run *run = &f->runs.items[i];
        char number[32];
        km_version v;
        snprintf(number, sizeof number, "%.*s", (int)strspn(run->torch, "0123456789."), run->torch);
        if (run->failed || !run->whole || !km_test_run_is_of(run, &package->digest) ||
            !km_version_parse(number, &v) || v.count < 2)
            continue;
        if (!text || v.part[0] > newest.part[0] ||
            (v.part[0] == newest.part[0] && v.part[1] > newest.part[1])) {
            newest = v;
            text = run->torch;
        }
    }
    return text;
}

static void add_torch(const km_card_files *f, const km_card_package *package, km_str *out)
{
    const char *newest = newest_torch(f, package);
    unsigned floor = package->p->torch_minor;

    for (size_t i = 0; i < package->libraries.count; i++)
        if (package->libraries.items[i].torch_minor > floor)
            floor = package->libraries.items[i].torch_minor;
    km_str_printf(out, " 2.%u or newer; newest tested: ", floor);
    km_card_add_cell(out, newest ? newest : "not tested");
    km_str_add(out, " |");
}

static void add_python(const km_card_package *package, km_str *out)
{
    bool uses = false;

    for (size_t i = 0; i < package->libraries.count; i++)
        uses |= package->libraries.items[i].uses_python;
    if (package->is_wheel && package->p->m->card.requires_python)
        km_str_printf(out, " %s |", package->p->m->card.requires_python);
    else
        km_str_add(out, uses ? " not stated |" : " any |");
}

static void add_libraries(const km_libraries *l, km_str *out)
{
    const km_library_facts *first = l->count ? &l->items[0] : NULL;
    km_version glibc = { 0 };
    unsigned level = 0;
    bool picks = false;

    for (size_t i = 0; i < l->count; i++) {
        const km_library_facts *one = &l->items[i];
        if (one->glibc.count && (!glibc.count || one->glibc.part[1] > glibc.part[1]))
            glibc = one->glibc;
        level = one->x86_level > level ? one->x86_level : level;
        picks |= one->picks_isa;
    }
    if (glibc.count)
        km_str_printf(out, " %u.%u or newer |", glibc.part[0], glibc.part[1]);
    else
        km_str_add(out, " any |");
    if (!first || !first->machine || strcmp(first->machine, "x86_64") != 0)
        km_str_printf(out, " %s |\n", first && first->machine ? first->machine : "any");
    else
        km_str_printf(out, " x86-64%s%.0u%s |\n", level ? "-v" : ", baseline", level,
                      picks ? "; AVX2 and F16C (of x86-64-v3) where the processor has them" : "");
}

static bool is_first_image(const km_fatbin *all, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (all->images[j].sm == all->images[i].sm && all->images[j].kind == all->images[i].kind &&
            all->images[j].arch_specific == all->images[i].arch_specific &&
            all->images[j].family_specific == all->images[i].family_specific)
            return false;
    return true;
}

static void add_images(km_arena *a, const km_libraries *l, km_str *out)
{
    km_fatbin all = KM_FATBIN_INIT;
    size_t room = 0;

    for (size_t i = 0; i < l->count; i++)
        for (size_t j = 0; j < l->items[i].kernel_count; j++)
            room += l->items[i].kernels[j].count;
    all.images = km_arena_array(a, room, sizeof *all.images);
    for (size_t i = 0; all.images && i < l->count; i++)
        for (size_t j = 0; j < l->items[i].kernel_count; j++)
            for (size_t k = 0; k < l->items[i].kernels[j].count; k++)
                all.images[all.count++] = l->items[i].kernels[j].images[k];
    if (!all.count)
        return;
    km_str_add(out,
               "\n| GPU architecture | image | oldest driver, by NVIDIA's rule |\n|---|---|---|\n");
    for (size_t i = 0; i < all.count; i++) {
        const km_image *image = &all.images[i];
        if (image->kind != KM_IMAGE_OTHER && is_first_image(&all, i))
            km_str_printf(out, "| sm_%u%s | %s | %u |\n", image->sm,
                          image->arch_specific     ? "a"
                          : image->family_specific ? "f"
                                                   : "",
                          image->kind == KM_IMAGE_PTX ? "PTX" : "machine code",
                          km_image_min_driver(image));
    }
    km_str_add(out,
               "\nMachine code runs on that architecture and on later ones of the same major "
               "number (with an `a`: on no other);\nPTX is compiled by the driver for any later "
               "one.\n");
}

/* The processors, by the wheels' libraries. */
static void add_system(const km_card_files *f, km_str *out)
{
    const char *between = "";

    km_str_add(out, "\nLinux on ");
    for (size_t i = 0; i < f->count; i++) {
        const km_libraries *l = &f->items[i].libraries;
        if (!f->items[i].is_wheel)
            continue;
        km_str_printf(out, "%s%s", between, l->count ? l->items[0].machine : "any");
        between = " or ";
    }
    km_str_printf(out,
                  ". What the libraries call is in every torch from 2.%u to 2.%u that was looked "
                  "at.\n",
                  f->plans[0].torch_minor, KM_TORCH_MINOR_NEWEST);
}

void km_card_add_needs(km_card_files *f, km_str *out)
{
    const km_card_package *with_images = NULL;

    km_str_add(out, "\n## What it needs\n\nRead from the built files.\n\n"
                    "| files | torch | Python | NVIDIA driver | glibc | processor |\n"
                    "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < f->count; i++) {
        const km_card_package *package = &f->items[i];
        unsigned driver = oldest_driver(&package->libraries);
        int of_torch = torch_driver(package);
        km_str_printf(out, package->is_wheel ? "| %s |" : "| `%s` |", package->name);
        add_torch(f, package, out);
        add_python(package, out);
        if (driver && of_torch > (int)driver)
            km_str_printf(out, " %d or newer for torch; the images: %u |", of_torch, driver);
        else if (driver)
            km_str_printf(out, " %u or newer for a GPU |", driver);
        else
            km_str_add(out, " none |");
        add_libraries(&package->libraries, out);
        with_images = driver ? package : with_images;
    }
    add_system(f, out);
    if (with_images)
        add_images(&f->arena, &with_images->libraries, out);
}

/* ---- how it was built ---- */

static void add_commit(const km_manifest *m, km_str *out)
{
    json_t *commit = km_environment_commit(m->dir);
    const char *text = json_string_value(commit);
    bool changed = text && text[strlen(text) - 1] == '+';

    if (m->source || m->upstream)
        km_str_printf(out, "| sources | %s |\n", m->source ? m->source : m->upstream);
    if (text)
        km_str_printf(out, "| source commit | `%.40s`%s |\n", text,
                      changed ? ", with changes that are not committed" : "");
    else
        km_str_add(out, "| source commit | not known: no git repository |\n");
    json_decref(commit);
}

static long long package_bytes(const km_card_package *package)
{
    km_arena a = KM_ARENA_INIT;
    long long sum = 0, size;
    km_names names;

    if (km_dir_walk(&a, package->dir, &names, NULL) < 0)
        names.count = 0;
    for (size_t i = 0; i < names.count; i++) {
        const char *path = km_path_join(&a, package->dir, names.names[i]);
        size = path && !strstr(names.names[i], "__pycache__") ? km_file_size(path, NULL) : 0;
        sum += size > 0 ? size : 0;
    }
    km_arena_release(&a);
    return sum;
}

static void add_sizes(const km_card_files *f, km_str *out)
{
    km_str_add(out, "\n| files | library, bytes | all files, bytes | SHA-256 of the library |\n"
                    "|---|---|---|---|\n");
    for (size_t i = 0; i < f->count; i++) {
        const km_card_package *package = &f->items[i];
        for (size_t j = 0; j < package->digest.library_count; j++) {
            const km_package_library *library = &package->digest.libraries[j];
            km_arena a = KM_ARENA_INIT;
            const char *path = km_path_join(&a, package->dir, library->name);
            km_str_printf(out, package->is_wheel ? "| %s |" : "| `%s` |", package->name);
            km_str_printf(out, " %lld | %lld | `%s` |\n", path ? km_file_size(path, NULL) : 0,
                          package_bytes(package), library->sha256);
            km_arena_release(&a);
        }
    }
    for (size_t i = 0; f->wheels && i < f->plan_count; i++)
        km_str_printf(out, "\nThe wheel `%s` has %lld bytes.\n", km_path_base(f->wheels[i]),
                      km_file_size(f->wheels[i], NULL));
}

/* Rows that each processor has of its own name it where there are several. */
static void add_compiler(const km_card_files *f, const km_plan *p, km_str *out)
{
    bool several = f->plan_count > 1;

    km_str_printf(out, "| C compiler%s%s | %s |\n", several ? ", " : "", several ? p->host : "",
                  p->compiler);
}

static void add_namespaces(const km_card_files *f, const km_plan *p, km_str *out)
{
    bool several = f->plan_count > 1;

    for (int flavor = 0; flavor < KM_FLAVOR_COUNT; flavor++)
        if (p->products[flavor].built)
            km_str_printf(out, "| operators, Hub folders with %s%s%s | `torch.ops.%s` |\n",
                          flavor == KM_FLAVOR_CUDA ? "CUDA" : "CPU alone", several ? ", " : "",
                          several ? p->host : "", p->products[flavor].id);
}

/* What was made for another processor than the one it was made on could not be run there. */
static void add_cross(const km_plan *p, km_str *out)
{
    if (p->is_cross)
        km_str_printf(
            out,
            "\nThe folders for %s were compiled on another processor and not loaded "
            "there.%s\n",
            p->host, p->device_compiler ? " The GPU images are the same for every processor." : "");
}

void km_card_add_build(const km_card_files *f, km_str *out)
{
    const km_plan *p = &f->plans[0];

    km_str_printf(out, "\n## How it was built\n\n| | |\n|---|---|\n| kernmill | %s |\n",
                  KM_VERSION);
    for (size_t i = 0; i < f->plan_count; i++)
        add_compiler(f, &f->plans[i], out);
    km_str_printf(out, "| device compiler | %s |\n",
                  p->device_compiler ? p->device_compiler : "none: a CPU build");
    km_str_printf(out, "| optimisation | %s |\n",
                  p->o.debug ? "less, with line information (--debug)" : "full");
    add_commit(p->m, out);
    km_str_printf(out, "| operators, wheel | `torch.ops.%s` |\n", p->m->import_name);
    for (size_t i = 0; i < f->plan_count; i++)
        add_namespaces(f, &f->plans[i], out);
    add_sizes(f, out);
    for (size_t i = 0; i < f->plan_count; i++)
        add_cross(&f->plans[i], out);
}
