#include "pkg/card.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/elf.h"
#include "formats/fatbin.h"
#include "pkg/template.h"

static void join(km_str *out, const km_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        km_str_printf(out, "%s`%s`", i ? ", " : "", list->items[i]);
}

/* The images of the CUDA library, most of them once for each device file. */
static int read_images(km_arena *a, const km_plan *p, km_fatbin *out, km_err *err)
{
    const char *path = p->products[KM_FLAVOR_CUDA].hub_library;
    const void *section;
    size_t size, section_size;
    char *data;

    if (km_file_read(a, path, KM_FILE_BYTES_MAX, &data, &size, err) < 0 ||
        km_elf_section(data, size, ".nv_fatbin", &section, &section_size, err) < 0)
        return err ? err->code : KM_EFORMAT;
    return km_fatbin_read_all(out, section, section_size, err);
}

static bool is_first(const km_fatbin *images, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (images->images[j].sm == images->images[i].sm &&
            images->images[j].kind == images->images[i].kind &&
            images->images[j].arch_specific == images->images[i].arch_specific)
            return false;
    return true;
}

int km_card_images(const km_plan *p, km_str *out, unsigned *oldest_driver, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_fatbin images = KM_FATBIN_INIT;
    int rc = read_images(&a, p, &images, err);

    *oldest_driver = 0;
    for (size_t i = 0; rc == 0 && i < images.count; i++) {
        const km_image *image = &images.images[i];
        unsigned driver = km_image_min_driver(image);
        if (!is_first(&images, i))
            continue;
        km_str_printf(out, "| sm_%u%s | %s | %u |\n", image->sm, image->arch_specific ? "a" : "",
                      image->kind == KM_IMAGE_PTX ? "PTX" : "machine code", driver);
        if (image->kind == KM_IMAGE_CUBIN && (!*oldest_driver || driver < *oldest_driver))
            *oldest_driver = driver;
    }
    km_fatbin_release(&images);
    km_arena_release(&a);
    return rc;
}

/* What was made for another processor than the one it was made on could not be run there. */
static void add_compilers(const km_plan *plans, size_t count, km_str *out)
{
    const km_plan *p = &plans[0];

    km_str_printf(out, "\nCompiled by %s", p->compiler);
    for (size_t i = 1; i < count; i++)
        km_str_printf(out, ", %s", plans[i].compiler);
    km_str_printf(out,
                  "%s%s. Loads in torch 2.%u and every newer one that was tried "
                  "(2.10 to 2.15).\n",
                  p->device_compiler ? " and " : "", p->device_compiler ? p->device_compiler : "",
                  p->torch_minor);
    for (size_t i = 0; i < count; i++)
        if (plans[i].is_cross)
            km_str_printf(out,
                          "\nThe folders for %s were compiled on another processor and not loaded "
                          "there.%s\n",
                          plans[i].host,
                          p->device_compiler ? " The GPU images are the same for every processor."
                                             : "");
}

static int add_build(const km_plan *plans, size_t count, km_str *out, km_err *err)
{
    const km_plan *p = &plans[0];
    unsigned oldest;

    km_str_add(out, "\n## What is in the folders\n\n| folder | library, bytes |\n|---|---|\n");
    for (size_t i = 0; i < count; i++)
        for (int f = 0; f < KM_FLAVOR_COUNT; f++) {
            const km_product *product = &plans[i].products[f];
            for (const char *const *v = product->variants; product->built && *v; v++)
                km_str_printf(out, "| `%s` | %lld |\n", *v,
                              km_file_size(product->hub_library, NULL));
        }
    add_compilers(plans, count, out);
    if (!p->products[KM_FLAVOR_CUDA].built)
        return 0;
    km_str_add(out,
               "\n| GPU architecture | image | oldest driver, by NVIDIA's rule |\n|---|---|---|\n");
    return km_card_images(p, out, &oldest, err);
}

int km_card_text(const km_plan *p, km_str *out, km_err *err)
{
    const km_manifest *m = p->m;
    km_arena a = KM_ARENA_INIT;
    km_str functions = KM_STR_INIT, layers = KM_STR_INIT;
    const char *path = km_path_join(&a, m->dir, "CARD.md");
    const char *version = km_arena_printf(&a, "%lld", (long long)m->version);
    int rc = path && version ? 0 : km_fail_nomem(err);

    join(&functions, &m->card.operators);
    join(&layers, &m->card.layers);
    if (rc == 0) {
        const km_template_value values[] = { { "repo_id", m->repo_id ? m->repo_id : m->name },
                                             { "name", m->name },
                                             { "version", version },
                                             { "license", m->license },
                                             { "upstream", m->upstream ? m->upstream : "" },
                                             { "source", m->source ? m->source : "" },
                                             { "functions", functions.data },
                                             { "layers", layers.data },
                                             { NULL, NULL } };
        if (km_file_exists(path))
            rc = km_template_expand_file(path, values, out, err);
        else
            km_str_printf(out, "---\nlibrary_name: kernels\nlicense: %s\n---\n# %s\n\n%s\n",
                          m->license, m->name, m->card.summary ? m->card.summary : "");
    }
    km_str_release(&functions);
    km_str_release(&layers);
    km_arena_release(&a);
    return rc == 0 ? km_str_check(out, err) : rc;
}

int km_card_write(const km_plan *plans, size_t count, const char *records, const char *hub_dir,
                  km_card_cells *cells, km_str *out, km_err *err)
{
    int rc = km_card_text(&plans[0], out, err);

    if (rc == 0)
        rc = km_card_speed(&plans[0], records, hub_dir, cells, out, err);
    if (rc == 0)
        rc = add_build(plans, count, out, err);
    return rc == 0 ? km_str_check(out, err) : rc;
}
