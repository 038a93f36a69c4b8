/* cli/cmd_build.c: kernmill build [PATH]: compile a kernel repository into importable folders. */
#include <stdio.h>

#include "cli/build_options.h"
#include "core/file.h"

typedef struct {
    km_build_fields build;
} build_fields;

static const km_opt options[] = {
    KM_BUILD_OPTION_ROWS(build_fields),
    KM_HOST_OPTION_ROW(build_fields),
    KM_OPT_END,
};

static void print_products(const km_plan *p)
{
    for (int f = 0; f < KM_FLAVOR_COUNT; f++) {
        const km_product *product = &p->products[f];
        for (const char *const *v = product->variants; product->built && *v; v++)
            printf("%s/%s  (%s, %lld bytes)\n", p->build_dir, *v, product->id,
                   km_file_size(product->hub_library, NULL));
    }
    printf("%s/wheel%s%s/%s\n", p->build_dir, p->is_cross ? "-" : "", p->is_cross ? p->host : "",
           p->m->import_name);
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    build_fields *f = fields;
    km_cli_built b = { 0 };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = km_cli_build(&b, &f->build, args[0], err);
    if (rc == 0 && f->build.common.json)
        rc = km_print_json(km_cli_describe(&b), err);
    else if (rc == 0)
        for (size_t i = 0; i < b.count; i++)
            print_products(&b.plans[i]);
    km_cli_built_release(&b);
    return rc;
}

extern const km_command km_cmd_build;
const km_command km_cmd_build = {
    .name = "build",
    .help = "compile a kernel repository: libraries, Python packages, Hub folders",
    .args = "[PATH]",
    .more = "PATH is the repository or its build.toml; without one, the working folder.\n"
            "What comes out stands in its folder 'build', and replaces what an earlier build left.",
    .options = options,
    .fields_size = sizeof(build_fields),
    .run = run,
};
