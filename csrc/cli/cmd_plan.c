/* cli/cmd_plan.c: kernmill plan [PATH]: every variant that a build.toml means, and which of them
 * this machine can build. */
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "pkg/matrix.h"

static const km_opt options[] = { KM_OPT_END };

static int print_json(const km_matrix *x, const km_manifest *m, km_err *err)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < x->count; i++) {
        const km_planned *p = &x->items[i];
        json_array_append_new(rows, json_pack("{s:s,s:s?,s:s?,s:b,s:s?,s:s?}", "name", p->name,
                                              "wheel_tag", p->tag, "wheel", p->wheel, "here",
                                              p->here, "why", p->why, "line", p->line));
    }
    return km_print_json(json_pack("{s:i,s:s,s:s,s:s,s:s?,s:s?,s:I,s:o}", "schema", KM_JSON_SCHEMA,
                                   "kernel", m->name, "path", m->path, "binding", x->binding,
                                   "compiler", x->compiler, "cuda_compiler", x->cuda_compiler,
                                   "here", (json_int_t)x->here, "variants", rows),
                         err);
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* A reason, or a line to type, is said once, under the last of the variants that share it. */
static void print_text(const km_matrix *x, const km_manifest *m)
{
    printf("%s: binding: %s; %zu variant%s, %zu to be built here\n", m->name, x->binding, x->count,
           x->count == 1 ? "" : "s", x->here);
    for (size_t i = 0; i < x->count; i++) {
        const km_planned *p = &x->items[i], *next = i + 1 < x->count ? p + 1 : NULL;
        printf("  %s  %s\n", p->here ? "here" : "no  ", p->name);
        if (p->here && p->wheel)
            printf("        wheel: %s\n", p->wheel);
        else if (p->here)
            printf("        wheel: none, for want of a version in card.toml\n");
        if (next && is_same(next->why, p->why) && is_same(next->line, p->line))
            continue;
        if (p->why)
            printf("        %s\n", p->why);
        if (p->line)
            printf("        %s\n", p->line);
    }
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    const km_common *common = fields;
    km_manifest m = { 0 };
    km_matrix x = { 0 };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = km_manifest_read(&m, arg_count ? args[0] : ".", err);
    if (rc < 0)
        return rc;
    rc = km_matrix_make(&x, &m, err);
    if (rc == 0) {
        if (common->json)
            rc = print_json(&x, &m, err);
        else
            print_text(&x, &m);
        if (rc == 0 && !x.here)
            rc = KM_EXIT_NO;
        km_matrix_release(&x);
    }
    km_manifest_release(&m);
    return rc;
}

extern const km_command km_cmd_plan;
const km_command km_cmd_plan = {
    .name = "plan",
    .help = "list the variants that a kernel repository means, and what can be built here",
    .args = "[PATH]",
    .more =
        "PATH is the repository or its build.toml; without one, the working folder. Nothing is\n"
        "built or written. Exit 1: none of the variants can be built on this machine.",
    .options = options,
    .fields_size = sizeof(km_common),
    .run = run,
};
