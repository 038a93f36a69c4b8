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

static int write_wheel(const km_plan *p, pack_fields *f, const char *out, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    const char *path, *page;
    int rc = km_dir_make(out, err);

    if (rc == 0 && f->editable)
        rc = km_stage_editable(p, err);
    if (rc == 0)
        rc = km_wheel_write(&a, p, out, f->editable, &path, err);
    if (rc == 0)
        rc = put_into_index(&a, p, f, path, &page, err);
    if (rc == 0 && f->build.common.json)
        rc = km_print_json(
            json_pack("{s:i,s:s,s:s*}", "schema", KM_JSON_SCHEMA, "wheel", path, "index", page),
            err);
    else if (rc == 0)
        printf("%s\n%s%s", path, page ? page : "", page ? "\n" : "");
    km_arena_release(&a);
    return rc;
}

static int write_all(const km_plan *p, pack_fields *f, const char *out, km_err *err)
{
    km_pack_result r;
    const char *page = NULL;
    int rc = km_pack(p, out, f->records, f->tests, &r, err);

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
    if (rc == 0)
        rc = put_into_index(&r.arena, p, f, r.wheel, &page, err);
    if (rc == 0 && f->build.common.json)
        rc = km_print_json(json_pack("{s:i,s:s,s:s,s:s,s:o,s:s*}", "schema", KM_JSON_SCHEMA,
                                     "wheel", r.wheel, "hub", r.hub_dir, "card", r.card, "build",
                                     km_cli_describe(p), "index", page),
                           err);
    else if (rc == 0)
        printf("%s  (%lld bytes)\n%s\n%s\n%s%s", r.wheel, km_file_size(r.wheel, NULL), r.hub_dir,
               r.card, page ? page : "", page ? "\n" : "");
    km_pack_result_release(&r);
    return rc;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    pack_fields *f = fields;
    const char *out = f->out ? f->out : "dist";
    km_manifest m = { 0 };
    km_plan p = { 0 };
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = km_cli_build(&f->build, args[0], &m, &p, err);
    if (rc < 0)
        return rc;
    rc = f->wheel_only || f->editable ? write_wheel(&p, f, out, err) : write_all(&p, f, out, err);
    km_plan_release(&p);
    km_manifest_release(&m);
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
            "every machine.",
    .options = options,
    .fields_size = sizeof(pack_fields),
    .run = run,
};
