/* cli/cmd_pack.c: kernmill pack [PATH]: build, check, and write the wheel and the Hub layout. */
#include <stdio.h>

#include "cli/build_options.h"
#include "core/file.h"
#include "core/path.h"
#include "pkg/index.h"
#include "pkg/pack.h"
#include "pkg/stage.h"
#include "pkg/wheel.h"

typedef struct {
    km_build_fields build;
    const char *out, *records, *tests, *index;
    bool wheel_only, editable;
} pack_fields;

static const km_opt options[] = {
    KM_OPT_TEXT("output", 'o', "DIR", pack_fields, out, "where to write (default: dist)"),
    KM_OPT_TEXT("records", 'r', "PATH", pack_fields, records,
                "the card's figures (default: benchmarks/results)"),
    KM_OPT_TEXT("tests", 't', "PATH", pack_fields, tests,
                "records of `kernmill test` on other machines: a file, or a folder"),
    KM_OPT_TEXT("index", 0, "DIR", pack_fields, index,
                "also into a static index: DIR/simple, or of a slim wheel DIR/sm90"),
    KM_OPT_FLAG("wheel-only", 0, pack_fields, wheel_only, "write the wheel, not the Hub layout"),
    KM_OPT_FLAG("editable", 'e', pack_fields, editable, "a wheel that points at the sources"),
    KM_BUILD_OPTION_ROWS(pack_fields),
    KM_HOST_OPTION_ROW(pack_fields),
    KM_OPT_END,
};

/* Of the index that the wheel belongs into; *page is NULL when none was named. */
static int put_into_index(km_arena *a, const km_plan *p, const pack_fields *f, const char *wheel,
                          const char **page, km_err *err)
{
    const char *local, *dir;

    *page = NULL;
    if (!f->index)
        return 0;
    local = km_wheel_local(a, p);
    dir = local ? km_path_join(a, f->index, *local ? local : "simple") : NULL;
    return dir ? km_index_add(a, dir, wheel, page, err) : km_fail_nomem(err);
}

/* One wheel; its page of the index, or NULL. */
static int write_wheel(km_arena *a, const km_plan *p, const pack_fields *f, const char *out,
                       const char **path, const char **page, km_err *err)
{
    int rc = f->editable ? km_stage_editable(p, err) : 0;

    if (rc == 0)
        rc = km_wheel_write(a, p, out, f->editable, path, err);
    return rc == 0 ? put_into_index(a, p, f, *path, page, err) : rc;
}

static void print_wheel(const char *path, const char *page)
{
    printf("%s\n%s%s", path, page ? page : "", page ? "\n" : "");
}

static int write_wheels(const km_cli_built *b, const pack_fields *f, const char *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path = NULL, *page = NULL, *first = NULL;
    json_t *wheels = json_array();
    int rc = km_dir_make(out, err);

    for (size_t i = 0; rc == 0 && i < b->count; i++) {
        rc = write_wheel(&a, &b->plans[i], f, out, &path, &page, err);
        if (rc < 0)
            break;
        first = first ? first : path;
        json_array_append_new(wheels, json_string(path));
        if (!f->build.common.json)
            print_wheel(path, page);
    }
    if (rc == 0 && f->build.common.json)
        rc = km_print_json(json_pack("{s:i,s:s,s:O,s:s*}", "schema", KM_JSON_SCHEMA, "wheel", first,
                                     "wheels", wheels, "index", page),
                           err);
    json_decref(wheels);
    km_arena_release(&a);
    return rc;
}

static json_t *describe_all(const km_cli_built *b, const km_pack_result *r, const char *page)
{
    json_t *wheels = json_array();

    for (size_t i = 0; i < r->wheel_count; i++)
        json_array_append_new(wheels, json_string(r->wheels[i]));
    return json_pack("{s:i,s:s,s:o,s:s,s:s,s:o,s:s*}", "schema", KM_JSON_SCHEMA, "wheel",
                     r->wheels[0], "wheels", wheels, "hub", r->hub_dir, "card", r->card, "build",
                     km_cli_describe(b), "index", page);
}

static int show_all(const km_cli_built *b, const km_pack_result *r, const char *page, bool json,
                    km_err *err)
{
    if (json)
        return km_print_json(describe_all(b, r, page), err);
    for (size_t i = 0; i < r->wheel_count; i++)
        printf("%s  (%lld bytes)\n", r->wheels[i], km_file_size(r->wheels[i], NULL));
    printf("%s\n%s\n%s%s", r->hub_dir, r->card, page ? page : "", page ? "\n" : "");
    return 0;
}

static int write_all(const km_cli_built *b, pack_fields *f, const char *out, km_err *err)
{
    km_pack_result r;
    const char *page = NULL;
    int rc = km_pack(b->plans, b->count, out, f->records, f->tests, &r, err);

    for (size_t i = 0; i < r.findings.count; i++)
        km_term_note(&f->build.common.term, "%s: %s", r.findings.items[i].place,
                     r.findings.items[i].message);
    if (rc == 0 && f->records && !r.cells.shown)
        km_term_note(&f->build.common.term,
                     "the card says that nothing was measured: '%s' has %zu cells of other builds",
                     f->records, r.cells.others);
    if (rc == 0 && f->tests && !r.cells.runs_shown)
        km_term_note(&f->build.common.term,
                     "the card says that nothing was tested: '%s' has no run on these files",
                     f->tests);
    for (size_t i = 0; rc == 0 && i < b->count; i++)
        rc = put_into_index(&r.arena, &b->plans[i], f, r.wheels[i], &page, err);
    if (rc == 0)
        rc = show_all(b, &r, page, f->build.common.json, err);
    km_pack_result_release(&r);
    return rc;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    pack_fields *f = fields;
    const char *out = f->out ? f->out : "dist";
    km_cli_built b = { 0 };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0 && f->editable && f->build.hosts)
        rc = km_fail(err, KM_EUSAGE, "--editable is for this machine: leave --host out");
    if (rc == 0)
        rc = km_cli_build(&b, &f->build, args[0], err);
    if (rc == 0)
        rc = f->wheel_only || f->editable ? write_wheels(&b, f, out, err)
                                          : write_all(&b, f, out, err);
    km_cli_built_release(&b);
    return rc;
}

extern const km_command km_cmd_pack;
const km_command km_cmd_pack = {
    .name = "pack",
    .help = "build, check, and write the wheel and the Hub layout with its card",
    .args = "[PATH]",
    .more = "PATH is the repository or its build.toml; without one, the working folder. The card "
            "states\n"
            "what the files say, and what records of `kernmill test` and `kernmill bench` say of "
            "the very\n"
            "files that are packed, with the plots that `kernmill report` left beside them. With "
            "--arch\n"
            "or --cpu the wheel is slim: its version ends in +sm90 or +cpu, and it belongs into an "
            "index\n"
            "of its own, which pip is told by --extra-index-url; beside the fat one pip would take "
            "it on\n"
            "every machine. With --host x86_64,aarch64 there is a wheel for each processor, and "
            "one layout\n"
            "and card for all.",
    .options = options,
    .fields_size = sizeof(pack_fields),
    .run = run,
};
