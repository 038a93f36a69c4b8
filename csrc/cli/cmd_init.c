/* cli/cmd_init.c: kernmill init NAME: a kernel repository that builds and tests at once. */
#include <stdio.h>

#include "cli/command.h"
#include "core/path.h"
#include "pkg/init.h"

typedef struct {
    km_common common;
    const char *dir;
} init_fields;

static const km_opt options[] = {
    KM_OPT_TEXT("directory", 'd', "DIR", init_fields, dir, "where to make it (default: NAME)"),
    KM_OPT_END,
};

static int make(km_arena *a, init_fields *f, const char *name, km_err *err)
{
    const char *dir = f->dir ? f->dir : name;
    km_names files = { NULL, 0 };
    km_home home;
    json_t *rows;
    int rc = km_home_find(a, &home, err);

    if (rc == 0)
        rc = km_init(a, &home, dir, name, &files, err);
    if (rc < 0)
        return rc;
    if (f->common.json) {
        rows = json_array();
        for (size_t i = 0; i < files.count; i++)
            json_array_append_new(rows, json_string(files.names[i]));
        return km_print_json(
            json_pack("{s:i,s:s,s:o}", "schema", KM_JSON_SCHEMA, "directory", dir, "files", rows),
            err);
    }
    for (size_t i = 0; i < files.count; i++)
        printf("%s/%s\n", dir, files.names[i]);
    km_term_note(&f->common.term,
                 "next: kernmill test %s; then write your kernel, CARD.md and card.toml", dir);
    return 0;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = make(&a, fields, args[0], err);
    km_arena_release(&a);
    return rc;
}

extern const km_command km_cmd_init;
const km_command km_cmd_init = {
    .name = "init",
    .help = "make a new kernel repository that builds and tests at once",
    .args = "NAME",
    .more = "NAME has 2 to 64 lower-case letters, digits and '-'; the Python package and the\n"
            "operators' namespace have '_' for '-'.",
    .options = options,
    .fields_size = sizeof(init_fields),
    .run = run,
};
