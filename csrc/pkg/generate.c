#include "pkg/generate.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/torch_symbols.h"

/* work_dir/gen/<name> */
static int write_generated(const km_plan *p, const char *name, const km_str *text, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = km_arena_printf(&a, "%s/gen/%s", p->work_dir, name);
    int rc = path ? km_str_check(text, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_file_update(path, text->data, text->length, 0666, err);
    km_arena_release(&a);
    return rc;
}

static int write_namespace(const km_plan *p, km_flavor flavor, const char *kind, const char *name,
                           km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_str text = KM_STR_INIT;
    const char *file = km_arena_printf(&a, "namespace_%s_%s.c", kind, km_flavor_names[flavor]);
    int rc;

    km_str_printf(&text, "extern const char km_namespace[];\nconst char km_namespace[] = \"%s\";\n",
                  name);
    rc = file ? write_generated(p, file, &text, err) : km_fail_nomem(err);
    km_str_release(&text);
    km_arena_release(&a);
    return rc;
}

/* The section's name is the one in which NVIDIA's tools look for images. */
static int write_embedding(const km_plan *p, const km_plan_device *d, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_str text = KM_STR_INIT;
    const char *file = km_arena_printf(&a, "fatbin_%s.c", d->stem);
    int rc;

    km_str_printf(&text,
                  "__asm__(\".section .nv_fatbin, \\\"a\\\"\\n\"\n"
                  "        \".balign 64\\n\"\n"
                  "        \".globl km_fatbin_%s\\n\"\n"
                  "        \".hidden km_fatbin_%s\\n\"\n"
                  "        \".type km_fatbin_%s, @object\\n\"\n"
                  "        \"km_fatbin_%s: .incbin \\\"%s/image/%s.fatbin\\\"\\n\"\n"
                  "        \".size km_fatbin_%s, . - km_fatbin_%s\\n\"\n"
                  "        \".previous\\n\");\n",
                  d->stem, d->stem, d->stem, d->stem, p->work_dir, d->stem, d->stem, d->stem);
    rc = file ? write_generated(p, file, &text, err) : km_fail_nomem(err);
    km_str_release(&text);
    km_arena_release(&a);
    return rc;
}

/* Functions that do nothing and succeed, with the names that libtorch_cpu of torch 2.<minor>
 * exports; the one that defines an operator says so, for km_probe. */
static void stub_torch(km_str *source, unsigned minor)
{
    static const char define[] = "aoti_torch_library_def";
    size_t count;
    const km_torch_symbol *symbols = km_torch_symbols(&count);

    km_str_printf(source,
                  "int printf(const char *, ...);\n"
                  "long %s(void *library, const char *schema)\n"
                  "{\n    return printf(\"schema %%s\\n\", schema) < 0;\n}\n",
                  define);
    for (size_t i = 0; i < count; i++)
        if (!symbols[i].cuda && symbols[i].minor <= minor && strcmp(symbols[i].name, define) != 0)
            km_str_printf(source, "long %s(void) { return 0; }\n", symbols[i].name);
}

/* libdl's functions with the version they had before glibc 2.34 moved them, that of the oldest
 * glibc for a processor, and the linker's map. */
static void stub_dl(const km_plan *p, km_str *source, km_str *map)
{
    static const char *const names[] = { "dlopen", "dlsym", "dlclose", "dlerror" };

    km_str_printf(map, "GLIBC_%s { global:", strcmp(p->host, "aarch64") == 0 ? "2.17" : "2.2.5");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        km_str_printf(source, "void %s(void) {}\n", names[i]);
        km_str_printf(map, " %s;", names[i]);
    }
    km_str_add(map, " local: *; };\n");
}

static int write_sources_of_products(const km_plan *p, km_err *err)
{
    for (int f = 0; f < KM_FLAVOR_COUNT; f++)
        if (p->products[f].built &&
            (write_namespace(p, (km_flavor)f, "hub", p->products[f].id, err) < 0 ||
             write_namespace(p, (km_flavor)f, "wheel", p->m->import_name, err) < 0))
            return KM_EIO;
    for (size_t i = 0; i < p->device_count; i++)
        if (write_embedding(p, &p->devices[i], err) < 0)
            return KM_EIO;
    return 0;
}

static int write_stub_sources(const km_plan *p, km_err *err)
{
    km_str torch = KM_STR_INIT, dl = KM_STR_INIT, map = KM_STR_INIT;
    int rc;

    stub_torch(&torch, p->torch_minor);
    stub_dl(p, &dl, &map);
    rc = write_generated(p, "stub_torch.c", &torch, err);
    if (rc == 0)
        rc = write_generated(p, "stub_dl.c", &dl, err);
    if (rc == 0)
        rc = write_generated(p, "stub_dl.map", &map, err);
    km_str_release(&torch);
    km_str_release(&dl);
    km_str_release(&map);
    return rc;
}

int km_generate_sources(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *gen = km_path_join(&a, p->work_dir, "gen");
    int rc = gen ? km_dir_make(gen, err) : km_fail_nomem(err);

    km_arena_release(&a);
    if (rc == 0)
        rc = write_sources_of_products(p, err);
    return rc == 0 ? write_stub_sources(p, err) : rc;
}
