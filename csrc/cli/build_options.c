#include "cli/build_options.h"

#include <string.h>

#include "pkg/build.h"

static int to_options(const km_build_fields *f, km_build_options *o, km_err *err)
{
    *o = (km_build_options){ .archs = f->archs,
                             .build_dir = f->build_dir,
                             .jobs = f->jobs,
                             .cpu_only = f->cpu_only,
                             .debug = f->debug,
                             .verbose = f->verbose,
                             .quiet = f->common.quiet };
    if (f->compiler && strcmp(f->compiler, "nvcc") == 0)
        o->use_nvcc = true;
    else if (f->compiler && strcmp(f->compiler, "nvrtc") != 0)
        return km_fail(err, KM_EUSAGE, "option '--compiler' wants nvrtc or nvcc, not '%s'",
                       f->compiler);
    if (f->jobs < 0)
        return km_fail(err, KM_EUSAGE, "option '--jobs' wants a number of at least 1");
    return 0;
}

int km_cli_build(const km_build_fields *f, const char *path, km_manifest *m, km_plan *p,
                 km_err *err)
{
    km_build_options o;
    int rc = to_options(f, &o, err);

    if (rc == 0)
        rc = km_manifest_read(m, path ? path : ".", err);
    if (rc < 0)
        return rc;
    rc = km_plan_make(p, m, &o, err);
    if (rc == 0) {
        rc = km_build(p, err);
        if (rc < 0)
            km_plan_release(p);
    }
    if (rc < 0)
        km_manifest_release(m);
    return rc;
}

json_t *km_cli_describe(const km_plan *p)
{
    json_t *products = json_array(), *archs = json_array();

    for (size_t i = 0; i < p->archs.count; i++) {
        char name[8];
        km_arch_name(&p->archs.items[i], name);
        json_array_append_new(archs,
                              json_pack("{s:s,s:b,s:b}", "sm", name, "cubin",
                                        p->archs.items[i].cubin, "ptx", p->archs.items[i].ptx));
    }
    for (int f = 0; f < KM_FLAVOR_COUNT; f++) {
        const km_product *product = &p->products[f];
        json_t *variants = json_array();
        for (const char *const *v = product->variants; product->built && *v; v++)
            json_array_append_new(variants, json_string(*v));
        if (product->built)
            json_array_append_new(
                products, json_pack("{s:s,s:s,s:s,s:s,s:o}", "flavor", km_flavor_names[f], "id",
                                    product->id, "hub_library", product->hub_library,
                                    "wheel_library", product->wheel_library, "variants", variants));
        else
            json_decref(variants);
    }
    return json_pack("{s:i,s:s,s:I,s:s,s:s,s:s*,s:o,s:o}", "schema", KM_JSON_SCHEMA, "name",
                     p->m->name, "version", (json_int_t)p->m->version, "build_dir", p->build_dir,
                     "compiler", p->compiler, "device_compiler", p->device_compiler, "archs", archs,
                     "products", products);
}
