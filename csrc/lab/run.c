#include "lab/run.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/str.h"
#include "formats/json.h"
#include "lab/answer.h"
#include "lab/apply.h"
#include "lab/reading.h"
#include "lab/told.h"
#include "lab/workspace.h"

char *km_run_path(const km_run *run, const char *name, char out[KM_RUN_PATH_BYTES])
{
    snprintf(out, KM_RUN_PATH_BYTES, "%s/%s", run->dir, name);
    return out;
}

int km_run_name(km_run *r, const km_lab *lab, const char *folder, const km_job *job, km_err *err)
{
    int n = snprintf(r->dir, sizeof r->dir, "%s/%s/%" PRId64 "/%" PRId64,
                     folder ? folder : lab->root, folder ? "runs" : ".lab/runs", job->id,
                     job->token);

    r->job = job->id;
    r->token = job->token;
    r->hypothesis = job->hypothesis;
    r->input = "job.json";
    snprintf(r->key, sizeof r->key, "%s", job->key);
    if (n >= (int)sizeof r->dir)
        return km_fail(err, KM_ELIMIT, "the lab's path is too long");
    return 0;
}

static int write_job(km_run *r, km_lab *lab, const km_job *job, km_err *err)
{
    json_t *payload = json_loads(job->payload, JSON_DECODE_ANY, NULL);
    json_t *doc = json_pack(
        "{s:i,s:I,s:I,s:I,s:s,s:s,s:I,s:s,s:o,s:s*}", "schema", 1, "job", (json_int_t)job->id,
        "token", (json_int_t)job->token, "attempt", (json_int_t)job->attempts, "key", job->key,
        "kind", job->kind, "hypothesis", (json_int_t)job->hypothesis, "store", lab->store,
        "payload", payload ? payload : json_null(), "workspace", *r->tree ? r->tree : NULL);
    char path[KM_RUN_PATH_BYTES];
    int rc = doc ? km_told_idea(lab, job->hypothesis, doc, err) : km_fail_nomem(err);

    if (rc == 0 && *r->tree) {
        json_object_set_new(doc, "report", json_string(km_run_path(r, "report.json", path)));
        rc = km_told_report(lab, path, err);
    }
    if (rc == 0)
        rc = km_json_write(km_run_path(r, "job.json", path), doc, err);
    json_decref(doc);
    return rc;
}

/* The git tree of an idea's work; who only reads gets one that is closed. */
static int make_tree(km_lab *lab, km_run *r, const km_job *job, km_err *err)
{
    bool writes = strcmp(job->kind, "work") == 0 && job->hypothesis;
    const char *path = NULL;
    km_workspace w;
    int rc = writes || km_reading_is(job->kind) ? km_workspace_open(&w, lab, err) : 0;

    *r->tree = '\0';
    if (rc > 0)
        rc = writes ? km_workspace_make(&w, &(km_worker_id){ job->hypothesis, job->id, job->token },
                                        &path, err)
                    : km_reading_tree(&w, job, &path, err);
    if (rc == 0 && path)
        snprintf(r->tree, sizeof r->tree, "%s", path);
    return rc;
}

/* What the command reads: the job, or a prompt and the job. */
static int make_input(km_run *r, km_err *err)
{
    char path[KM_RUN_PATH_BYTES], *prompt = NULL, *job = NULL;
    km_arena a = KM_ARENA_INIT;
    km_str text = KM_STR_INIT;
    size_t size;
    int rc;

    if (!r->kind->prompt)
        return 0;
    r->input = "input";
    rc = km_file_read(&a, r->kind->prompt, KM_LAB_BODY_BYTES_MAX, &prompt, &size, err);
    if (rc == 0)
        rc = km_file_read(&a, km_run_path(r, "job.json", path), KM_LAB_BODY_BYTES_MAX, &job, &size,
                          err);
    if (rc == 0) {
        km_str_printf(&text, "%s\n\nThe job:\n\n```json\n%s\n```\n", prompt, job);
        rc = km_str_check(&text, err);
    }
    if (rc == 0)
        rc = km_file_write(km_run_path(r, "input", path), text.data, text.length, 0644, err);
    km_str_release(&text);
    km_arena_release(&a);
    return rc;
}

int km_run_prepare(km_run *r, km_lab *lab, const char *folder, const km_job *job, km_err *err)
{
    int rc = km_run_name(r, lab, folder, job, err);

    if (rc == 0)
        rc = make_tree(lab, r, job, err);
    if (rc == 0)
        rc = km_dir_make(r->dir, err);
    if (rc == 0)
        rc = write_job(r, lab, job, err);
    return rc == 0 ? make_input(r, err) : rc;
}

void km_run_beat(const km_run *r)
{
    char path[KM_RUN_PATH_BYTES];
    int fd = open(km_run_path(r, "heartbeat", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return;
    futimens(fd, NULL);
    close(fd);
}

/* --- its result --- */

int km_run_result(const km_run *r, char **body, km_err *err)
{
    json_t *doc, *cost;
    int rc = km_answer_of_run(r->dir, &doc, &cost, err);

    *body = rc == 0 ? json_dumps(doc, JSON_COMPACT) : NULL;
    json_decref(doc);
    json_decref(cost);
    return rc == 0 && !*body ? km_fail_nomem(err) : rc;
}

void km_run_spend(km_lab *lab, const km_run *r)
{
    json_t *doc, *cost, *body;
    char *text;

    km_answer_of_run(r->dir, &doc, &cost, NULL);
    body = cost ? json_pack("{s:O}", "cost", cost) : NULL;
    text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (text)
        km_apply_cost(lab, r->job, r->token, text, NULL);
    free(text);
    json_decref(body);
    json_decref(cost);
    json_decref(doc);
}
