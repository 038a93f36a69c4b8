#include "pkg/identity.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/path.h"
#include "pkg/compile_flags.h"
#include "pkg/includes.h"

static void add_list(km_hasher *h, const km_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        km_hasher_add_text(h, list->items[i]);
    km_hasher_add_text(h, "");
}

/* A source and what it includes from the repository or the SDK, by name and content. */
static int add_source(const km_plan *p, km_hasher *h, const char *source,
                      const km_kernel_section *k, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *full = km_path_join(&a, p->m->dir, source);
    const char **dirs = km_include_dirs(&a, p, k);
    km_includes files;
    int rc = full && dirs ? 0 : km_fail_nomem(err);

    if (rc == 0)
        rc = km_includes_scan(&a, full, dirs, &files, err);
    for (size_t i = 0; rc == 0 && i < files.count; i++) {
        km_sha256 content;
        km_hasher_add_text(h, km_path_base(files.paths[i]));
        rc = km_hash_file(files.paths[i], &content, err);
        if (rc == 0)
            km_hasher_add(h, content.bytes, sizeof content.bytes);
    }
    km_arena_release(&a);
    return rc;
}

static int add_sources(const km_plan *p, km_flavor flavor, km_hasher *h, km_err *err)
{
    for (size_t i = 0; i < p->source_count; i++) {
        const km_plan_source *s = &p->sources[i];
        if (s->section && s->section->backend == KM_BACKEND_CUDA && flavor == KM_FLAVOR_CPU)
            continue;
        km_hasher_add_text(h, s->source);
        if (s->section)
            add_list(h, &s->section->cxx_flags);
        if (add_source(p, h, s->source, s->section, err) < 0)
            return err ? err->code : KM_EIO;
    }
    for (size_t i = 0; i < p->device_count && flavor == KM_FLAVOR_CUDA; i++) {
        const km_plan_device *d = &p->devices[i];
        km_hasher_add_text(h, d->source);
        add_list(h, &d->section->cuda_flags);
        for (size_t j = 0; j < d->archs.count; j++) {
            const km_arch *arch = &d->archs.items[j];
            char name[8], images[16];
            km_arch_name(arch, name);
            snprintf(images, sizeof images, "%s%s%s", name, arch->cubin ? "c" : "",
                     arch->ptx ? "p" : "");
            km_hasher_add_text(h, images);
        }
        if (add_source(p, h, d->source, d->section, err) < 0)
            return err ? err->code : KM_EIO;
    }
    return 0;
}

int km_identity(const km_plan *p, km_flavor flavor, char *out, size_t size, km_err *err)
{
    char hex[KM_SHA256_HEX_BYTES];
    km_sha256 hash;
    km_hasher h;
    int rc;

    km_hasher_init(&h);
    km_hasher_add_text(&h, "kernmill build 1");
    km_hasher_add_text(&h, km_flavor_names[flavor]);
    km_hasher_add_text(&h, p->compiler);
    km_hasher_add_text(&h, p->o.debug ? KM_CFLAGS_DEBUG : KM_CFLAGS_RELEASE);
    km_hasher_add_text(&h, flavor == KM_FLAVOR_CUDA ? p->device_compiler : "");
    add_list(&h, &p->m->torch_cxx_flags);
    rc = add_sources(p, flavor, &h, err);
    if (rc < 0) {
        km_hasher_final(&h, &hash, NULL);
        return rc;
    }
    if (km_hasher_final(&h, &hash, err) < 0)
        return KM_EBUG;
    km_hash_hex(&hash, hex);
    if (snprintf(out, size, "%s_%.12s", p->m->import_name, hex) >= (int)size)
        return km_fail(err, KM_ELIMIT, "the kernel's name is too long");
    return 0;
}
