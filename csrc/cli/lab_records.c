/* kernmill lab import, export: what other labs and tools write and read. */
#include <stdio.h>

#include "cli/lab.h"
#include "lab/ledger.h"

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
    const char *dir, *tsv, *form, *dag;
} export_fields;

static int export_ledgers(km_lab *lab, const export_fields *f, km_err *err)
{
    km_ledger_form form = KM_LEDGER_AUTORESEARCH;
    int rc = f->form ? km_ledger_form_of(f->form, &form, err) : 0;

    if (rc == 0 && form == KM_LEDGER_DAG)
        rc = km_fail(err, KM_EUSAGE, "a dag is no table: --dag FILE");
    if (rc == 0 && f->tsv)
        rc = km_ledger_write(lab, f->tsv, form, err);
    if (rc == 0 && f->dag)
        rc = km_ledger_write(lab, f->dag, KM_LEDGER_DAG, err);
    return rc;
}

static int run_export(void *fields, const char **args, size_t arg_count, km_err *err)
{
    export_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0 && !f->tsv && !f->dag)
        rc = km_fail(err, KM_EUSAGE, "say what to write: --tsv or --dag");
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = export_ledgers(&lab, f, err);
    if (rc == 0)
        rc = km_print_json(
            json_pack("{s:i,s:s*,s:s*}", "schema", KM_JSON_SCHEMA, "tsv", f->tsv, "dag", f->dag),
            err);
    km_lab_close(&lab);
    return rc;
}

static const km_opt export_options[] = {
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
    .help = "write what the lab knows for other tools: tables and ledgers",
    .args = "",
    .options = export_options,
    .fields_size = sizeof(export_fields),
    .run = run_export,
};
