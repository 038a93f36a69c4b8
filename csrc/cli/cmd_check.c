/* cli/cmd_check.c: kernmill check PATH: is this source, library, wheel or folder fit to ship? */
#include <stdio.h>

#include "cli/command.h"
#include "cli/findings.h"
#include "core/str.h"
#include "pkg/check.h"

static const km_opt options[] = { KM_OPT_END };

static int print_json(km_findings *f, const char *path, km_err *err)
{
    char *shown = km_arena_strdup(&f->arena, path);

    if (shown) /* a path may be anything, JSON is UTF-8 */
        km_text_clean(shown);
    return km_print_json(json_pack("{s:i,s:s,s:s,s:I,s:o}", "schema", KM_JSON_SCHEMA, "path", shown,
                                   "kind", f->kind, "errors", (json_int_t)f->errors, "findings",
                                   km_findings_json(f)),
                         err);
}

static void print_text(const km_findings *f, const char *path)
{
    km_findings_print(f, stdout);
    printf("%s: %s, %zu error%s, %zu warning%s\n", path, f->kind, f->errors,
           f->errors == 1 ? "" : "s", f->count - f->errors, f->count - f->errors == 1 ? "" : "s");
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_common *common = fields;
    const char *path = arg_count ? args[0] : ".";
    km_findings f = { 0 };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = km_check(&f, path, err);
    if (rc < 0)
        return rc;
    if (common->json)
        rc = print_json(&f, path, err);
    else
        print_text(&f, path);
    if (rc == 0 && f.errors)
        rc = KM_EXIT_NO;
    km_findings_release(&f);
    return rc;
}

extern const km_command km_cmd_check;
const km_command km_cmd_check = {
    .name = "check",
    .help = "find what is wrong with a kernel repository, library, wheel or Hub folder",
    .args = "[PATH]",
    .more =
        "PATH is a repository (or its build.toml), a library, a wheel, or a folder in the Hub's\n"
        "layout; without one, the working folder.",
    .options = options,
    .fields_size = sizeof(km_common),
    .run = run,
};
