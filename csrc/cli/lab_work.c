/* kernmill lab claim, beat, submit, fail, cancel: a worker and its job. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lab.h"
#include "core/limits.h"
#include "lab/apply.h"
#include "lab/queue.h"
#include "lab/reading.h"
#include "lab/told.h"
#include "lab/workspace.h"

static int check_lease(const km_lab_fields *f, km_err *err)
{
    if (f->lease < 0 || f->lease > KM_LAB_LEASE_S_MAX)
        return km_fail(err, KM_EUSAGE, "--lease takes 1 to %d seconds", KM_LAB_LEASE_S_MAX);
    return 0;
}

/* --- claim --- */

static int print_job(km_lab *lab, const km_job *job, const char *workspace, km_err *err)
{
    int rc;

    json_t *payload = json_loads(job->payload, JSON_DECODE_ANY, NULL);
    json_t *doc = json_pack("{s:i,s:I,s:I,s:I,s:s,s:s,s:o}", "schema", KM_JSON_SCHEMA, "job",
                            (json_int_t)job->id, "token", (json_int_t)job->token, "attempt",
                            (json_int_t)job->attempts, "key", job->key, "kind", job->kind,
                            "payload", payload ? payload : json_null());

    if (doc && job->hypothesis)
        json_object_set_new(doc, "hypothesis", json_integer((json_int_t)job->hypothesis));
    if (doc && workspace)
        json_object_set_new(doc, "workspace", json_string(workspace));
    rc = doc ? km_told_idea(lab, job->hypothesis, doc, err) : 0;
    if (rc == 0)
        return km_print_json(doc, err);
    json_decref(doc);
    return rc;
}

/* A work's tree, or one to read. When it cannot be made, the job is given back. */
static int make_tree(km_lab *lab, const km_job *job, const char **path, km_err *err)
{
    bool writes = strcmp(job->kind, "work") == 0 && job->hypothesis;
    km_workspace w;
    int rc;

    *path = NULL;
    if (!writes && !km_reading_is(job->kind))
        return 0;
    rc = km_workspace_open(&w, lab, err);
    if (rc > 0)
        rc = writes ? km_workspace_make(&w, &(km_worker_id){ job->hypothesis, job->id, job->token },
                                        path, err)
                    : km_reading_tree(&w, job, path, err);
    if (rc < 0)
        km_queue_fail(&lab->db, job->id, job->token, err ? err->message : "no tree", NULL);
    return rc;
}

static int run_claim(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    const char *kinds[] = { f->kind, NULL };
    km_job job = { 0 };
    const char *tree;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0 && (!f->worker || !*f->worker || strlen(f->worker) > KM_LAB_NAME_BYTES_MAX))
        rc = km_fail(err, KM_EUSAGE, "--worker names who takes it, in 1 to %d bytes",
                     KM_LAB_NAME_BYTES_MAX);
    if (rc == 0)
        rc = check_lease(f, err);
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_queue_claim(&lab.db, &lab.arena, lab.campaign, f->kind ? kinds : NULL, f->worker,
                            f->lease, &job, err);
    if (rc == 1) {
        rc = make_tree(&lab, &job, &tree, err);
        rc = rc == 0 ? print_job(&lab, &job, tree, err) : rc;
    } else if (rc == 0) {
        if (f->common.json)
            rc = km_print_json(json_pack("{s:i,s:n}", "schema", KM_JSON_SCHEMA, "job"), err);
        else
            km_term_note(&f->common.term, "nothing waits");
        rc = rc == 0 ? KM_EXIT_NO : rc;
    }
    km_lab_close(&lab);
    return rc;
}

static const km_opt claim_options[] = {
    KM_OPT_TEXT("worker", 'w', "NAME", km_lab_fields, worker, "who takes it"),
    KM_OPT_TEXT("kind", 'k', "KIND", km_lab_fields, kind, "only work of this kind"),
    KM_OPT_INT("lease", 'l', "S", km_lab_fields, lease, "seconds without a beat (default: 120)"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_claim;
const km_command km_cmd_lab_claim = {
    .name = "lab claim",
    .help = "worker: take the next job",
    .args = "",
    .more =
        "Out: {\"job\", \"token\", \"attempt\", \"key\", \"kind\", \"payload\", "
        "\"hypothesis\"}; exit code 1 when\nnothing waits. In a lab with a [workspace] an "
        "idea's \"work\" has a \"workspace\", too: a git tree of\nits own. A worker that is not "
        "heard of for the length of its lease loses the job.",
    .options = claim_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_claim,
};

/* --- a word about a job that was claimed --- */

/* 1 is done; 0 is that the job is another's by now. */
static int answer(const km_lab_fields *f, int64_t job, int rc, const char *what, km_err *err)
{
    int printed = 0;

    if (rc < 0)
        return rc;
    if (f->common.json)
        printed = km_print_json(json_pack("{s:i,s:I,s:b}", "schema", KM_JSON_SCHEMA, "job",
                                          (json_int_t)job, "taken", rc == 1),
                                err);
    else if (rc == 1)
        printf("job %lld: %s\n", (long long)job, what);
    else
        fprintf(stderr, "kernmill: refused: job %lld is not token %ld's any more\n", (long long)job,
                f->token);
    if (printed < 0)
        return printed;
    return rc == 1 ? 0 : KM_EXIT_NO;
}

static int begin_word(km_lab *lab, const km_lab_fields *f, const char **args, size_t arg_count,
                      int64_t *job, km_err *err)
{
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = km_lab_id(args[0], job, err);
    if (rc == 0 && f->token < 1)
        rc = km_fail(err, KM_EUSAGE, "--token is missing: the number that the claim gave");
    if (rc == 0)
        rc = check_lease(f, err);
    return rc == 0 ? km_lab_open(lab, f->dir, err) : rc;
}

/* What one says of a job: 1, or 0 when it is another's. */
typedef int word(km_lab *lab, const km_lab_fields *f, int64_t job, km_err *err);

static int run_word(const km_lab_fields *f, const char **args, size_t arg_count, word *say,
                    const char *what, km_err *err)
{
    km_lab lab = KM_LAB_INIT;
    int64_t job = 0;
    int rc = begin_word(&lab, f, args, arg_count, &job, err);

    if (rc == 0)
        rc = answer(f, job, say(&lab, f, job, err), what, err);
    km_lab_close(&lab);
    return rc;
}

static int beat(km_lab *lab, const km_lab_fields *f, int64_t job, km_err *err)
{
    return km_queue_beat(&lab->db, job, f->token, f->lease, err);
}

static int submit(km_lab *lab, const km_lab_fields *f, int64_t job, km_err *err)
{
    json_t *doc;
    char *body = NULL;
    int rc = km_lab_read(f, &doc, err);

    if (rc == 0 && !(body = json_dumps(doc, JSON_COMPACT)))
        rc = km_fail_nomem(err);
    if (rc == 0)
        rc = km_apply(lab, job, f->token, body, err);
    free(body);
    json_decref(doc);
    return rc;
}

static int fail(km_lab *lab, const km_lab_fields *f, int64_t job, km_err *err)
{
    return km_queue_fail(&lab->db, job, f->token, f->why ? f->why : "", err);
}

static int run_beat(void *fields, const char **args, size_t arg_count, km_err *err)
{
    return run_word(fields, args, arg_count, beat, "heard", err);
}

static int run_submit(void *fields, const char **args, size_t arg_count, km_err *err)
{
    return run_word(fields, args, arg_count, submit, "done", err);
}

static int run_fail(void *fields, const char **args, size_t arg_count, km_err *err)
{
    return run_word(fields, args, arg_count, fail, "given back", err);
}

/* One that has ended is no error, but nothing was taken away. */
static int cancel(km_lab *lab, const km_lab_fields *f, int64_t job, km_err *err)
{
    int64_t there = 0;
    int rc = km_db_int(&lab->db, &there, 0, err, "SELECT 1 FROM jobs WHERE id = ?", "i", job);

    if (rc == 0 && !there)
        rc = km_fail(err, KM_EUSAGE, "there is no job %lld", (long long)job);
    if (rc == 0)
        rc = km_queue_cancel(&lab->db, job, f->why ? f->why : "", err);
    if (rc < 0)
        return rc;
    if (f->common.json)
        km_print_json(json_pack("{s:i,s:I,s:b}", "schema", KM_JSON_SCHEMA, "job", (json_int_t)job,
                                "taken", rc == 1),
                      err);
    else
        printf("job %lld: %s\n", (long long)job, rc == 1 ? "cancelled" : "it had ended before");
    return rc == 1 ? 0 : KM_EXIT_NO;
}

static int run_cancel(void *fields, const char **args, size_t arg_count, km_err *err)
{
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    int64_t job = 0;
    int rc = km_check_args(arg_count, 1, 1, err);

    if (rc == 0)
        rc = km_lab_id(args[0], &job, err);
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = cancel(&lab, f, job, err);
    km_lab_close(&lab);
    return rc;
}

static const km_opt beat_options[] = {
    KM_LAB_OPT_TOKEN,
    KM_OPT_INT("lease", 'l', "S", km_lab_fields, lease, "seconds until the next (default: 120)"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_beat;
const km_command km_cmd_lab_beat = {
    .name = "lab beat",
    .help = "worker: still at it; exit code 1 when the job is lost",
    .args = "JOB",
    .options = beat_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_beat,
};

static const km_opt submit_options[] = { KM_LAB_OPT_TOKEN, KM_LAB_OPT_IN, KM_LAB_OPT_DIR,
                                         KM_OPT_END };

extern const km_command km_cmd_lab_submit;
const km_command km_cmd_lab_submit = {
    .name = "lab submit",
    .help = "worker: hand in the result",
    .args = "JOB",
    .more = "In: any JSON object, kept as it is. Exit code 1 when the job is another worker's by "
            "now: then\n"
            "the result is refused.",
    .options = submit_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_submit,
};

static const km_opt fail_options[] = {
    KM_LAB_OPT_TOKEN,
    KM_OPT_TEXT("why", 'm', "TEXT", km_lab_fields, why, "what went wrong"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_fail;
const km_command km_cmd_lab_fail = {
    .name = "lab fail",
    .help = "worker: give the job back, for another try",
    .args = "JOB",
    .options = fail_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_fail,
};

static const km_opt cancel_options[] = {
    KM_OPT_TEXT("why", 'm', "TEXT", km_lab_fields, why, "the reason"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_cancel;
const km_command km_cmd_lab_cancel = {
    .name = "lab cancel",
    .help = "take a job away, whoever has it",
    .args = "JOB",
    .options = cancel_options,
    .fields_size = sizeof(km_lab_fields),
    .run = run_cancel,
};
