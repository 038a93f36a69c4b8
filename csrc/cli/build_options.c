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

/* The one of km_hosts that `text` starts with, up to `n`; NULL: none. */
static const char *find_host(const char *text, size_t n)
{
    for (const char *const *host = km_hosts; *host; host++)
        if (strlen(*host) == n && strncmp(*host, text, n) == 0)
            return *host;
    return NULL;
}

/* "x86_64,aarch64" into hosts[], each once; where none is asked for NULL, which is this machine's.
 */
static int to_hosts(const char *list, const char *hosts[KM_HOSTS_MAX], size_t *count, km_err *err)
{
    *count = 0;
    for (const char *at = list; at; at = *at ? at + 1 : NULL) {
        size_t n = strcspn(at, ",");
        const char *host = find_host(at, n);
        if (!host)
            return km_fail(err, KM_EUSAGE, "option '--host' wants x86_64 or aarch64, not '%.*s'",
                           (int)n, at);
        for (size_t i = 0; i < *count; i++)
            if (hosts[i] == host)
                return km_fail(err, KM_EUSAGE, "option '--host' names %s twice", host);
        hosts[(*count)++] = host;
        at += n;
    }
    if (!list)
        hosts[(*count)++] = NULL;
    return 0;
}

static int build_one(km_cli_built *b, const km_build_options *o, km_err *err)
{
    km_plan *p = &b->plans[b->count];
    int rc = km_plan_make(p, &b->m, o, err);

    if (rc < 0)
        return rc;
    b->count++;
    return km_build(p, err);
}

int km_cli_build(km_cli_built *b, const km_build_fields *f, const char *path, km_err *err)
{
    const char *hosts[KM_HOSTS_MAX];
    size_t count;
    km_build_options o;
    int rc = to_options(f, &o, err);

    *b = (km_cli_built){ 0 };
    if (rc == 0)
        rc = to_hosts(f->hosts, hosts, &count, err);
    if (rc == 0)
        rc = km_manifest_read(&b->m, path ? path : ".", err);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        o.host = hosts[i];
        o.beside = count > 1 ? hosts[!i] : NULL;
        rc = build_one(b, &o, err);
    }
    return rc;
}

void km_cli_built_release(km_cli_built *b)
{
    for (size_t i = 0; i < b->count; i++)
        km_plan_release(&b->plans[i]);
    km_manifest_release(&b->m);
    b->count = 0;
}

static json_t *describe(const km_plan *p)
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
    return json_pack("{s:i,s:s,s:I,s:s,s:s,s:s,s:s*,s:o,s:o}", "schema", KM_JSON_SCHEMA, "name",
                     p->m->name, "version", (json_int_t)p->m->version, "build_dir", p->build_dir,
                     "host", p->host, "compiler", p->compiler, "device_compiler",
                     p->device_compiler, "archs", archs, "products", products);
}

json_t *km_cli_describe(const km_cli_built *b)
{
    json_t *root = describe(&b->plans[0]), *others = json_array();

    for (size_t i = 1; i < b->count; i++)
        json_array_append_new(others, describe(&b->plans[i]));
    if (b->count > 1)
        json_object_set(root, "others", others);
    json_decref(others);
    return root;
}
