/* kernmill lab report, backup: all that is in a lab. */
#include <stdio.h>

#include "cli/lab.h"
#include "core/limits.h"
#include "formats/json.h"
#include "lab/champion.h"
#include "lab/event.h"
#include "lab/html.h"
#include "lab/overview.h"
#include "lab/queue.h"

/* --- report --- */

static int print_report(km_lab *lab, int64_t limit, km_err *err)
{
    json_t *o = NULL, *ideas = NULL, *events = NULL;
    int rc = km_overview(lab, &o, err);

    if (rc == 0)
        rc = km_overview_hypotheses(lab, &ideas, err);
    if (rc == 0)
        rc = km_event_list(&lab->db, NULL, limit, &events, err);
    if (rc == 0)
        rc = km_print_json(json_pack("{s:i,s:O,s:O,s:O}", "schema", KM_JSON_SCHEMA, "overview", o,
                                     "hypotheses", ideas, "events", events),
                           err);
    json_decref(o);
    json_decref(ideas);
    json_decref(events);
    return rc;
}

static int write_page(km_lab *lab, const km_lab_fields *f, km_err *err)
{
    int rc = km_html_write(lab, f->html, err);

    if (rc == 0 && f->common.json)
        return km_print_json(json_pack("{s:i,s:s}", "schema", KM_JSON_SCHEMA, "html", f->html),
                             err);
    if (rc == 0)
        puts(f->html);
    return rc;
}

/* By its own chain, the digests of results in it, and the commit that is known outside. */
static int check_history(km_lab *lab, km_err *err)
{
    km_err why = KM_ERR_INIT;
    km_workspace w;
    int rc = km_event_check(&lab->db, err);

    if (rc == 0)
        rc = km_queue_check(&lab->db, err);
    if (rc < 0 || km_workspace_open(&w, lab, &why) <= 0)
        return rc; /* a store alone, without its repository, can be read */
    return km_champion_check_history(&w, err);
}

static int run_report(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0 && f->html && f->limit)
        rc = km_fail(err, KM_EUSAGE, "the page shows no events: --events is for the JSON");
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = check_history(&lab, err);
    if (rc == 0)
        rc = f->html ? write_page(&lab, f, err)
                     : print_report(&lab, f->limit > 0 ? f->limit : INT64_MAX, err);
    km_lab_close(&lab);
    return rc;
}

static const km_opt report_options[] = {
    KM_OPT_TEXT("html", 'o', "FILE", km_lab_fields, html, "write one HTML page instead"),
    KM_OPT_INT("events", 'n', "N", km_lab_fields, limit, "the last N events (default: all)"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_report;
const km_command km_cmd_lab_report = {
    .name = "lab report",
    .help = "reporter: all that is known, and the history, as JSON; or as an HTML page",
    .args = "",
    .more =
        "Before that the history is held against its own chain of digests, and against the one "
        "that the\n"
        "champion's commit names: exit code 4 when it was changed. The page needs no other file, "
        "no network\n"
        "and no script: progress with intervals, ideas as a tree, reasons, work by worker, costs, "
        "alerts,\n"
        "holdout, jobs.",
    .options = report_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_report,
};

/* --- backup --- */

static int run_backup(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_db_backup(&lab.db, args[0], err);
    if (rc == 0)
        puts(args[0]);
    km_lab_close(&lab);
    return rc;
}

static const km_opt backup_options[] = { KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_backup;
const km_command km_cmd_lab_backup = {
    .name = "lab backup",
    .help = "copy the store as it is now, while others go on",
    .args = "FILE",
    .options = backup_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_backup,
};
