/* kernmill lab import, export: what other labs and tools write and read. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/lab.h"
#include "core/path.h"
#include "lab/ledger.h"
#include "lab/parquet.h"
#include "lab/trackio.h"
#include "net/endpoint.h"
#include "pkg/home.h"

/* --- import --- */

static int run_import(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    km_ledger_report r;
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_ledger_read(&lab, args[0], &r, err);
    if (rc == 0)
        rc = km_print_json(json_pack("{s:i,s:s,s:I,s:I}", "schema", KM_JSON_SCHEMA, "form",
                                     km_ledger_names[r.form], "rows", (json_int_t)r.rows, "made",
                                     (json_int_t)r.made),
                           err);
    km_lab_close(&lab);
    return rc;
}

static const km_opt import_options[] = { KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_import;
const km_command km_cmd_lab_import = {
    .name = "lab import",
    .help = "take over what another lab tried: results.tsv, dag.json",
    .args = "FILE",
    .more = "FILE is the results.tsv of autoresearch (5 columns) or of multiautoresearch (17), or\n"
            "its dag.json. Each row becomes an idea at its end: accepted, rejected, failed or\n"
            "crashed; it is history, and nothing is done with it here. The score of a crash is "
            "none.\n"
            "A row that is here already is left alone. Out: {\"form\", \"rows\", \"made\": new "
            "ones}.",
    .options = import_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_import,
};

/* --- export --- */

typedef struct {
    km_common common;
    const char *dir, *tsv, *form, *dag, *parquet;
    bool trackio, all;
} export_fields;

/* Where Trackio itself looks. */
static int trackio_folder(km_arena *a, const char *given, const char **out, km_err *err)
{
    const char *asked = getenv("TRACKIO_DIR"), *home;
    int rc;

    *out = given ? given : asked && *asked ? asked : NULL;
    if (*out)
        return 0;
    rc = km_endpoint_home(a, &home, err);
    if (rc == 0 && !(*out = km_path_join(a, home, "trackio")))
        rc = km_fail_nomem(err);
    return rc;
}

static int export_trackio(km_lab *lab, const export_fields *f, const char *given, json_t *answer,
                          km_err *err)
{
    km_trackio_report r;
    const char *folder;
    int rc = trackio_folder(&lab->arena, given, &folder, err);

    if (rc == 0)
        rc = km_trackio_export(lab, folder, f->all, &r, err);
    if (rc == 0)
        json_object_set_new(answer, "trackio",
                            json_pack("{s:s,s:s,s:I,s:I}", "folder", folder, "project", r.project,
                                      "records", (json_int_t)r.records, "fragments",
                                      (json_int_t)r.fragments));
    return rc;
}

static int export_ledgers(km_lab *lab, const export_fields *f, json_t *answer, km_err *err)
{
    km_ledger_form form = KM_LEDGER_AUTORESEARCH;
    int rc = f->form ? km_ledger_form_of(f->form, &form, err) : 0;

    if (rc == 0 && form == KM_LEDGER_DAG)
        rc = km_fail(err, KM_EUSAGE, "a dag is no table: --dag FILE");
    if (rc == 0 && f->tsv)
        rc = km_ledger_write(lab, f->tsv, form, err);
    if (rc == 0 && f->dag)
        rc = km_ledger_write(lab, f->dag, KM_LEDGER_DAG, err);
    if (rc == 0 && f->tsv)
        json_object_set_new(answer, "tsv", json_string(f->tsv));
    if (rc == 0 && f->dag)
        json_object_set_new(answer, "dag", json_string(f->dag));
    return rc;
}

static int export_parquet(km_lab *lab, const char *dir, json_t *answer, km_err *err)
{
    km_parquet_python p;
    km_home home;
    int rc = km_home_find(&lab->arena, &home, err);

    p = (km_parquet_python){ home.python, home.python_package };
    if (rc == 0)
        rc = km_parquet_export(lab, &p, dir, err);
    if (rc == 0)
        json_object_set_new(answer, "parquet", json_string(dir));
    return rc;
}

static int check_export(const export_fields *f, size_t arg_count, km_err *err)
{
    if (!f->trackio && !f->parquet && !f->tsv && !f->dag)
        return km_fail(err, KM_EUSAGE, "say what to write: --trackio, --parquet, --tsv or --dag");
    if (!f->trackio && (arg_count || f->all))
        return km_fail(err, KM_EUSAGE, "a folder, or --all, goes with --trackio");
    return 0;
}

static int run_export(void *fields, const char **args, size_t arg_count, km_err *err)
{
    export_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *answer = json_pack("{s:i}", "schema", KM_JSON_SCHEMA);
    int rc = km_check_args(arg_count, 0, 1, err);

    if (rc == 0)
        rc = check_export(f, arg_count, err);
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = export_ledgers(&lab, f, answer, err);
    if (rc == 0 && f->parquet)
        rc = export_parquet(&lab, f->parquet, answer, err);
    if (rc == 0 && f->trackio)
        rc = export_trackio(&lab, f, arg_count ? args[0] : NULL, answer, err);
    if (rc == 0)
        rc = km_print_json(json_incref(answer), err);
    json_decref(answer);
    km_lab_close(&lab);
    return rc;
}

static const km_opt export_options[] = {
    KM_OPT_FLAG("trackio", 0, export_fields, trackio, "what is new, into Trackio's inbox"),
    KM_OPT_FLAG("all", 0, export_fields, all, "to Trackio: everything, not what is new alone"),
    KM_OPT_TEXT("parquet", 0, "DIR", export_fields, parquet, "every table, a Parquet file each"),
    KM_OPT_TEXT("tsv", 0, "FILE", export_fields, tsv, "what was tried, as a results.tsv"),
    KM_OPT_TEXT("form", 0, "NAME", export_fields, form,
                "of that: autoresearch (default) or multiautoresearch"),
    KM_OPT_TEXT("dag", 0, "FILE", export_fields, dag, "what was promoted, as a dag.json"),
    KM_OPT_TEXT("dir", 'C', "DIR", export_fields, dir,
                "the lab's folder (default: around this one)"),
    KM_OPT_END,
};

extern const km_command km_cmd_lab_export;
const km_command km_cmd_lab_export = {
    .name = "lab export",
    .help = "write what the lab knows for other tools: Trackio, Parquet, ledgers",
    .args = "[DIR]",
    .more =
        "--trackio [DIR] writes into DIR/inbox (default: TRACKIO_DIR, or trackio in HF_HOME),\n"
        "which `trackio show` imports when it starts and every 15 s: a run for each idea, by\n"
        "pairs, and a run \"lab\" with the champion, the queue, the budget, the job board and "
        "a\n"
        "report; alerts. Doing it again is harmless. --parquet wants pyarrow in the Python that\n"
        "KERNMILL_PYTHON or VIRTUAL_ENV name, and replaces an earlier export in its DIR.",
    .options = export_options,
    .fields_size = sizeof(export_fields),
    .run = run_export,
};
