/* Runs as Hugging Face Jobs. One list a poll tells what goes on; a job of ours that is not in it is
 * asked for itself, and its log is read when it has ended (lab/jobs.h). Its cost is the flavor's
 * price for as long as it ran. A stage that we do not know is an error, and no sign of life. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"
#include "formats/json.h"
#include "lab/clock.h"
#include "lab/jobs.h"
#include "lab/lease.h"
#include "lab/run.h"

#define INTENT    '?'
#define GRACE_MS  60000 /* for the whole log of a job that has ended */
#define LOG_LINES 20000 /* 4 MiB of result are 5600 */
#define PAGES_MAX 100
#define TRIES_MAX 10

struct jobs {
    km_executor base;
    km_jobs_api api;
    char namespace[128], store[32];
    json_t *volumes;
    km_jobs_flavor flavor;
    int64_t asked_ms, retry_ms;
    int failures; /* in a row, of requests to begin a job */
    bool silent;
};

/* --- requests --- */

/* An answer's document; *status tells of a no. Errors: of the way there, KM_EFORMAT. */
static int ask(struct jobs *x, const char *method, const char *path, const char *body, long *status,
               json_t **doc, km_str *next, km_err *err)
{
    km_str text = KM_STR_INIT;
    int rc = x->api.call(x->api.context, method, path, body, false, status, &text, next, err);

    *doc = NULL;
    if (rc == 0 && (*status < 200 || *status > 299))
        rc = km_fail(err, *status == 401 || *status == 403 ? KM_EENV : KM_EIO, "%s", text.data);
    if (rc == 0 && text.length)
        rc = km_json_parse(text.data, text.length, path, doc, err);
    km_str_release(&text);
    return rc;
}

static void say_waiting(struct jobs *x, const km_err *why)
{
    if (!x->silent)
        km_executor_say(&x->base, "waiting for the Hub: %s", why->message);
    x->silent = true;
}

/* All jobs of this lab with this query: an array. */
static int list(struct jobs *x, const char *query, json_t **out, km_err *err)
{
    km_str path = KM_STR_INIT, next = KM_STR_INIT;
    json_t *page;
    long status;
    int rc = 0;

    *out = json_array();
    km_str_printf(&path, "/api/jobs/%s?label=%s=%s%s", x->namespace, KM_JOBS_LAB_LABEL, x->store,
                  query);
    for (int i = 0; rc == 0 && path.length && i < PAGES_MAX; i++) {
        rc = ask(x, "GET", path.data, NULL, &status, &page, &next, err);
        if (rc == 0 && json_array_extend(*out, page) < 0)
            rc = km_fail(err, KM_EFORMAT, "the Hub's list of jobs is none");
        json_decref(page);
        km_str_clear(&path);
        km_str_add(&path, next.data);
    }
    km_str_release(&path);
    km_str_release(&next);
    return rc;
}

static const char *label_of(const json_t *job, const char *key)
{
    return km_json_text_of(json_object_get(job, "labels"), key);
}

static const json_t *job_of(const json_t *all, const km_run *r)
{
    const json_t *job;
    size_t i;

    json_array_foreach(all, i, job)
    {
        if (*r->remote == INTENT ? strcmp(label_of(job, KM_JOBS_RUN_LABEL), r->remote + 1) == 0
                                 : strcmp(km_json_text_of(job, "id"), r->remote) == 0)
            return job;
    }
    return NULL;
}

/* --- start --- */

static int begun(struct jobs *x, km_run *r, const json_t *job, km_err *err)
{
    const char *id = km_json_text_of(job, "id");

    if (!*id || strlen(id) >= sizeof r->remote || *id == INTENT)
        return km_fail(err, KM_EFORMAT, "the Hub's job has no id");
    snprintf(r->remote, sizeof r->remote, "%s", id);
    r->state = KM_RUN_BEGUN;
    x->failures = 0;
    x->silent = false;
    return km_executor_place(&x->base, &r, 1, err);
}

/* An earlier request may have reached the Hub after all. 1: found. */
static int find_again(struct jobs *x, km_run *r, km_err *err)
{
    km_str query = KM_STR_INIT;
    json_t *all = NULL;
    const json_t *job;
    int rc;

    km_str_printf(&query, "&label=%s=%s", KM_JOBS_RUN_LABEL, r->remote + 1);
    rc = list(x, query.data, &all, err);
    job = rc == 0 ? job_of(all, r) : NULL;
    if (job)
        rc = begun(x, r, job, err) < 0 ? KM_EFORMAT : 1;
    else if (rc == 0 && r->killed)
        r->state = KM_RUN_ENDED;
    json_decref(all);
    km_str_release(&query);
    return rc;
}

static int post(struct jobs *x, km_run *r, long *status, km_err *err)
{
    char path[192];
    json_t *spec = NULL, *job = NULL;
    char *body = NULL;
    int rc = km_jobs_spec(&x->base, r, x->store, x->volumes, &spec, err);

    *status = 400; /* what is wrong with a specification is so the next time, too */
    if (rc == 0 && !(body = json_dumps(spec, JSON_COMPACT)))
        rc = km_fail_nomem(err);
    snprintf(path, sizeof path, "/api/jobs/%s", x->namespace);
    if (rc == 0) {
        *status = 0;
        rc = ask(x, "POST", path, body, status, &job, NULL, err);
    }
    if (rc == 0)
        rc = begun(x, r, job, err);
    json_decref(job);
    json_decref(spec);
    free(body);
    return rc;
}

/* What the Hub refuses is refused for all; anything else may pass. */
static int not_begun(struct jobs *x, km_run *r, long status, const km_err *why, km_err *err)
{
    bool refused = status >= 400 && status < 500 && status != 408 && status != 409 && status != 429;

    if (why->code == KM_ELIMIT) {
        snprintf(r->why, sizeof r->why, "%.250s", why->message);
        r->state = KM_RUN_ENDED;
        return 0;
    }
    x->retry_ms = km_clock_boot_ms() + km_executor_poll_ms(&x->base);
    say_waiting(x, why);
    if (!refused && ++x->failures < TRIES_MAX)
        return 0;
    if (refused) {
        *r->remote = '\0';
        km_executor_place(&x->base, &r, 1, NULL);
    }
    if (err)
        *err = *why;
    return why->code;
}

static int begin(struct jobs *x, km_run *r, km_err *err)
{
    km_err why = KM_ERR_INIT;
    bool again = *r->remote == INTENT;
    long status = 0;
    int rc = 0;

    if (again)
        rc = find_again(x, r, &why);
    if (rc == 1 || r->state != KM_RUN_CLAIMED)
        return 0;
    if (rc == 0 && !again) {
        snprintf(r->remote, sizeof r->remote, "%c%" PRId64 ".%" PRId64, INTENT, r->job, r->token);
        rc = km_executor_place(&x->base, &r, 1, err);
        if (rc < 0)
            return rc;
    }
    if (rc == 0)
        rc = post(x, r, &status, &why);
    return rc < 0 ? not_begun(x, r, status, &why, err) : 0;
}

static int start(km_executor *base, km_run **runs, size_t count, km_err *err)
{
    struct jobs *x = (struct jobs *)base;
    int rc = 0;

    for (size_t i = 0; rc == 0 && km_clock_boot_ms() >= x->retry_ms && i < count; i++)
        rc = begin(x, runs[i], err);
    return rc;
}

/* --- poll --- */

/* What the job cost, by the Hub's own count of its seconds. */
static void count_cost(struct jobs *x, km_run *r, const json_t *job)
{
    const json_t *seconds = json_object_get(json_object_get(job, "durations"), "runningSecs");
    double s = 0;

    if (json_is_number(seconds))
        s = json_number_value(seconds);
    else if (r->running_ms)
        s = (double)(km_clock_boot_ms() - r->running_ms) / 1000;
    r->money = s * x->flavor.money_s;
    r->gpu_seconds = s * x->flavor.gpus;
}

static void end(struct jobs *x, km_run *r, const json_t *job, bool good)
{
    r->state = KM_RUN_ENDED;
    r->good = good;
    count_cost(x, r, job);
}

/* 1: the log is whole; 0: not yet. */
static int read_log(struct jobs *x, km_run *r, int *code, km_err *err)
{
    km_str path = KM_STR_INIT, text = KM_STR_INIT;
    long status;
    int rc;

    km_str_printf(&path, "/api/jobs/%s/%s/logs?tail=%d", x->namespace, r->remote, LOG_LINES);
    rc = x->api.call(x->api.context, "GET", path.data, NULL, true, &status, &text, NULL, err);
    if (rc == 0 && status != 200)
        rc = km_fail(err, KM_EIO, "%s", text.data);
    if (rc == 0)
        rc = km_jobs_read_log(r, text.data, code, err);
    km_str_release(&path);
    km_str_release(&text);
    return rc;
}

/* COMPLETED, or ERROR: then its log says more. */
static void end_by_log(struct jobs *x, km_run *r, const json_t *job, const char *stage)
{
    const char *message = km_json_text_of(json_object_get(job, "status"), "message");
    const bool completed = strcmp(stage, "COMPLETED") == 0;
    km_err why = KM_ERR_INIT;
    int code = 0, rc = read_log(x, r, &code, &why);

    if (!r->ended_ms)
        r->ended_ms = km_clock_boot_ms();
    if (rc == 1) {
        snprintf(r->why, sizeof r->why, "exit code %d; see `hf jobs logs %.60s`", code, r->remote);
        end(x, r, job, code == 0 && completed);
        return;
    }
    if (completed && !r->killed && km_clock_boot_ms() - r->ended_ms < GRACE_MS)
        return;
    snprintf(r->why, sizeof r->why,
             "the Hub says %s of %.60s%s%.60s, and its log has no end%s%.60s", stage, r->remote,
             *message ? ": " : "", message, rc < 0 ? ": " : "", rc < 0 ? why.message : "");
    end(x, r, job, false);
}

static void send_cancel(struct jobs *x, const char *id, bool *done)
{
    char path[320];
    km_str text = KM_STR_INIT;
    km_err why = KM_ERR_INIT;
    long status = 0;

    snprintf(path, sizeof path, "/api/jobs/%s/%.127s/cancel", x->namespace, id);
    if (x->api.call(x->api.context, "POST", path, NULL, false, &status, &text, NULL, &why) < 0)
        say_waiting(x, &why);
    *done = status >= 200 && status < 500;
    km_str_release(&text);
}

static void look(struct jobs *x, km_run *r, const json_t *job)
{
    const char *stage = km_json_text_of(json_object_get(job, "status"), "stage");

    if (strcmp(stage, "SCHEDULING") == 0)
        return;
    if (strcmp(stage, "RUNNING") == 0 || strcmp(stage, "UPDATING") == 0) {
        if (!r->running_ms) {
            r->running_ms = km_clock_boot_ms();
            r->gpus = x->flavor.gpus;
            r->money_s = x->flavor.money_s;
        }
        return;
    }
    if (strcmp(stage, "COMPLETED") == 0 || strcmp(stage, "ERROR") == 0) {
        end_by_log(x, r, job, stage);
        return;
    }
    if (strcmp(stage, "CANCELED") == 0 || strcmp(stage, "DELETED") == 0) {
        snprintf(r->why, sizeof r->why, "the Hub says %s of %.60s", stage, r->remote);
        end(x, r, job, false);
        return;
    }
    snprintf(r->why, sizeof r->why, "the Hub's stage '%.40s' of %.60s is not known", stage,
             r->remote);
    if (!r->told)
        send_cancel(x, r->remote, &r->told);
    end(x, r, job, false);
}

/* One that the list of those that go on lacks. */
static int look_closer(struct jobs *x, km_run *r, km_err *err)
{
    km_str path = KM_STR_INIT;
    json_t *job = NULL;
    long status = 0;
    int rc;

    km_str_printf(&path, "/api/jobs/%s/%s", x->namespace, r->remote);
    rc = ask(x, "GET", path.data, NULL, &status, &job, NULL, err);
    if (rc == 0) {
        look(x, r, job);
    } else if (status == 404) {
        snprintf(r->why, sizeof r->why, "the Hub does not know %.60s any more", r->remote);
        end(x, r, NULL, false);
        rc = 0;
    }
    json_decref(job);
    km_str_release(&path);
    return rc;
}

/* A job of this lab that no lease has any more would only spend. */
static int end_strays(struct jobs *x, const json_t *all, km_err *err)
{
    const json_t *job;
    size_t i;
    int rc = 1;

    json_array_foreach(all, i, job)
    {
        const char *id = km_json_text_of(job, "id");
        char intent[128];
        bool done;
        snprintf(intent, sizeof intent, "%c%.100s", INTENT, label_of(job, KM_JOBS_RUN_LABEL));
        rc = km_lease_is_placed(&x->base.lab->db, x->base.name, id, intent, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            km_executor_say(&x->base, "the Hub's job %s has no lease: it is cancelled", id);
            send_cancel(x, id, &done);
        }
    }
    return 0;
}

static bool is_ours(km_run **runs, size_t count, const km_lease_left *left)
{
    for (size_t i = 0; i < count; i++)
        if (runs[i]->job == left->job && runs[i]->token == left->token)
            return true;
    return false;
}

static bool has_ended(const json_t *job)
{
    static const char *const stages[] = { "COMPLETED", "ERROR", "CANCELED", "DELETED" };
    const char *stage = km_json_text_of(json_object_get(job, "status"), "stage");

    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++)
        if (strcmp(stages[i], stage) == 0)
            return true;
    return false;
}

/* *job: NULL when the Hub has none. An intent may have become one that nobody heard of. */
static int find_left(struct jobs *x, const km_lease_left *left, json_t **job, km_err *err)
{
    km_str query = KM_STR_INIT;
    km_run as = { .job = left->job, .token = left->token };
    json_t *all = NULL;
    long status = 0;
    int rc;

    *job = NULL;
    snprintf(as.remote, sizeof as.remote, "%s", left->remote);
    if (*left->remote == INTENT) {
        km_str_printf(&query, "&label=%s=%s", KM_JOBS_RUN_LABEL, left->remote + 1);
        rc = list(x, query.data, &all, err);
        *job = rc == 0 ? json_incref((json_t *)(uintptr_t)job_of(all, &as)) : NULL;
    } else {
        km_str_printf(&query, "/api/jobs/%s/%s", x->namespace, left->remote);
        rc = ask(x, "GET", query.data, NULL, &status, job, NULL, err);
    }
    json_decref(all);
    km_str_release(&query);
    return status == 404 ? 0 : rc;
}

/* What a driver began that did not live to see its end has cost all the same. */
static int pay(struct jobs *x, const km_lease_left *left, km_err *err)
{
    km_run r = { .job = left->job, .token = left->token };
    json_t *job = NULL;
    int rc = 0;

    if (find_left(x, left, &job, NULL) < 0)
        return 0; /* with the next poll */
    count_cost(x, &r, job);
    if (!job || has_ended(job))
        rc = km_lease_spend(&x->base.lab->db, x->base.lab->campaign, r.job, r.token, r.gpu_seconds,
                            r.money, err);
    json_decref(job);
    return rc;
}

static int pay_all(struct jobs *x, km_run **runs, size_t count, km_err *err)
{
    km_lease_left left[16];
    size_t n;
    int rc = km_lease_unpaid(&x->base.lab->db, x->base.lab->campaign, x->base.name, left,
                             sizeof left / sizeof *left, &n, err);

    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!is_ours(runs, count, &left[i]))
            rc = pay(x, &left[i], err);
    return rc;
}

static int poll_all(km_executor *base, km_run **runs, size_t count, km_err *err)
{
    struct jobs *x = (struct jobs *)base;
    int64_t now = km_clock_boot_ms();
    km_err why = KM_ERR_INIT;
    json_t *all = NULL;
    int rc;

    if (now - x->asked_ms < km_executor_poll_ms(base))
        return 0;
    x->asked_ms = now;
    for (size_t i = 0; i < count; i++)
        if (runs[i]->killed && !runs[i]->told)
            send_cancel(x, runs[i]->remote, &runs[i]->told);
    rc = list(x, "&stage=SCHEDULING&stage=RUNNING", &all, &why);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const json_t *job = job_of(all, runs[i]);
        if (job)
            look(x, runs[i], job);
        else
            rc = look_closer(x, runs[i], &why);
    }
    if (rc < 0)
        say_waiting(x, &why);
    else
        x->silent = false;
    rc = rc == 0 ? end_strays(x, all, err) : 0;
    if (rc == 0)
        rc = pay_all(x, runs, count, err);
    json_decref(all);
    return rc;
}

/* --- */

static void cancel(km_executor *base, km_run *r)
{
    (void)r;
    ((struct jobs *)base)->asked_ms = 0;
}

static void release(km_executor *base)
{
    struct jobs *x = (struct jobs *)base;

    json_decref(x->volumes);
    x->api.free(x->api.context);
    free(x);
}

static int read_namespace(struct jobs *x, km_err *err)
{
    const char *given = x->base.settings->executor.name_space, *name = given;
    json_t *who = NULL;
    long status;
    int rc = given ? 0 : ask(x, "GET", "/api/whoami-v2", NULL, &status, &who, NULL, err);

    if (rc == 0 && !given)
        name = km_json_text_of(who, "name");
    if (rc == 0 && (!*name || strlen(name) >= sizeof x->namespace ||
                    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-_.")]))
        rc = km_fail(err, KM_EFORMAT, "'%.100s' is no namespace of the Hub", name);
    if (rc == 0)
        snprintf(x->namespace, sizeof x->namespace, "%s", name);
    json_decref(who);
    return rc;
}

static int check_settings(const km_lab_settings *s, km_err *err)
{
    if (!s->executor.image || !s->executor.flavor)
        return km_fail(err, KM_EFORMAT, "lab.toml's [executor] has no %s, which hf-jobs needs",
                       s->executor.image ? "flavor" : "image");
    if (s->executor.timeout && !km_jobs_read_time(s->executor.timeout))
        return km_fail(err, KM_EFORMAT, "lab.toml's [executor] timeout '%s' is no time like 90m",
                       s->executor.timeout);
    return 0;
}

static int open_jobs(struct jobs *x, km_err *err)
{
    json_t *hardware = NULL;
    long status;
    int rc = check_settings(x->base.settings, err);

    if (rc == 0)
        rc = km_executor_store_id(x->base.lab, x->store, err);
    if (rc == 0)
        rc = km_jobs_read_volumes(&x->base.settings->executor.volumes, &x->volumes, err);
    if (rc == 0)
        rc = read_namespace(x, err);
    if (rc == 0)
        rc = ask(x, "GET", "/api/jobs/hardware", NULL, &status, &hardware, NULL, err);
    if (rc == 0)
        rc = km_jobs_read_flavor(hardware, x->base.settings->executor.flavor, &x->flavor, err);
    json_decref(hardware);
    return rc;
}

int km_executor_jobs(km_lab *lab, const km_lab_settings *settings, const km_jobs_api *api,
                     km_executor **out, km_err *err)
{
    struct jobs *x = calloc(1, sizeof *x);
    int rc;

    *out = NULL;
    if (!x) {
        api->free(api->context);
        return km_fail_nomem(err);
    }
    x->api = *api;
    x->base = (km_executor){ .name = "hf-jobs",
                             .remote = true,
                             .lab = lab,
                             .settings = settings,
                             .start = start,
                             .poll = poll_all,
                             .cancel = cancel,
                             .free = release };
    rc = open_jobs(x, err);
    if (rc < 0)
        release(&x->base);
    else
        *out = &x->base;
    return rc;
}
