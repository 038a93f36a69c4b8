/* kernmill lab status, report, backup: what is in a lab. */
#include <stdio.h>
#include <string.h>

#include "cli/lab.h"
#include "core/limits.h"
#include "formats/json.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/overview.h"

/* --- status --- */

static void print_counts(const char *what, const json_t *counts)
{
    const char *state;
    json_t *n;
    bool any = false;

    printf("%-11s", what);
    json_object_foreach((json_t *)(uintptr_t)counts, state, n)
    {
        printf("%s%s %lld", any ? ", " : " ", state, (long long)json_integer_value(n));
        any = true;
    }
    puts(any ? "" : " none");
}

static void print_status(const json_t *o)
{
    const char *kind;
    json_t *row;
    size_t k;

    printf("%s\n", km_json_text_of(o, "name"));
    print_counts("hypotheses", json_object_get(o, "hypotheses"));
    print_counts("jobs", json_object_get(o, "jobs"));
    json_object_foreach(json_object_get(o, "budget"), kind, row)
    {
        printf("%-11s %g", kind, km_json_number_of(row, "used"));
        if (json_object_get(row, "allowed"))
            printf(" of %g", km_json_number_of(row, "allowed"));
        puts("");
    }
    json_array_foreach(json_object_get(o, "workers"), k, row)
    {
        int64_t since = json_integer_value(json_object_get(row, "since_us"));
        printf("%-24s job %lld, %s, %lld s%s\n", km_json_text_of(row, "worker"),
               (long long)json_integer_value(json_object_get(row, "job")),
               km_json_text_of(row, "kind"), (long long)((km_clock_us() - since) / 1000000),
               json_integer_value(json_object_get(row, "late")) ? "; not heard of any more" : "");
    }
}

static int run_status(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *o = NULL;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_overview(&lab, &o, err);
    if (rc == 0 && f->common.json) {
        json_object_set_new(o, "schema", json_integer(KM_JSON_SCHEMA));
        rc = km_print_json(json_incref(o), err);
    } else if (rc == 0) {
        print_status(o);
    }
    json_decref(o);
    km_lab_close(&lab);
    return rc;
}

static const km_opt dir_options[] = { KM_LAB_OPT_DIR, KM_OPT_END };

extern const km_command km_cmd_lab_status;
const km_command km_cmd_lab_status = {
    .name = "lab status",
    .help = "how many ideas and jobs, who is at work, what is spent",
    .args = "",
    .options = dir_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_status,
};

/* --- report --- */

static int run_report(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    json_t *o = NULL, *ideas = NULL, *events = NULL;
    int64_t limit = f->limit > 0 ? f->limit : INT64_MAX;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_event_check(&lab.db, err);
    if (rc == 0)
        rc = km_overview(&lab, &o, err);
    if (rc == 0)
        rc = km_overview_hypotheses(&lab, &ideas, err);
    if (rc == 0)
        rc = km_event_list(&lab.db, NULL, limit, &events, err);
    if (rc == 0)
        rc = km_print_json(json_pack("{s:i,s:O,s:O,s:O}", "schema", KM_JSON_SCHEMA, "overview", o,
                                     "hypotheses", ideas, "events", events),
                           err);
    json_decref(o);
    json_decref(ideas);
    json_decref(events);
    km_lab_close(&lab);
    return rc;
}

static const km_opt report_options[] = {
    KM_OPT_INT("events", 'n', "N", km_lab_fields, limit, "the last N events (default: all)"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_report;
const km_command km_cmd_lab_report = {
    .name = "lab report",
    .help = "reporter: all that is known, and the history, as JSON",
    .args = "",
    .more = "Before that the history is held against its own chain of digests: exit code 4 when it "
            "was\n"
            "changed.",
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

extern const km_command km_cmd_lab_backup;
const km_command km_cmd_lab_backup = {
    .name = "lab backup",
    .help = "copy the store as it is now, while others go on",
    .args = "FILE",
    .options = dir_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_backup,
};
