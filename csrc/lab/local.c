#include "lab/local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "formats/json.h"
#include "lab/answer.h"
#include "lab/apply.h"
#include "lab/clock.h"
#include "lab/queue.h"
#include "lab/reading.h"
#include "lab/told.h"
#include "lab/workspace.h"

#define TICK_MS   20
#define TEAM_MS   100
#define KINDS_MAX 16
#define REFUSED   2 /* a result, by what it says */

/* A job that runs. */
struct run {
    pid_t pid; /* 0: the slot is free; the group's, too */
    int64_t job, token;
    int64_t began_ms, beat_ms;
    const km_local_kind *kind;
    char dir[KM_PATH_BYTES_MAX], tree[KM_PATH_BYTES_MAX]; /* tree "": the lab's folder */
    const char *killed;                                   /* why, or NULL */
    bool lost;                                            /* the job is another's */
    bool stopped; /* with the driver: no fault of the job's */
};

struct driver {
    km_lab *lab;
    const km_local *o;
    km_local_result *out;
    struct run *runs;
    int64_t lease_s, team_ms; /* team_ms: when the team was asked last */
    bool spent;               /* of the budget */
    char worker[64];
};

static void say(struct driver *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct driver *d, const char *format, ...)
{
    char text[1024];
    va_list values;

    if (!d->o->say)
        return;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    d->o->say(d->o->context, text);
}

/* --- the folder of a run --- */

static int write_job(km_lab *lab, struct run *r, const km_job *job, km_err *err)
{
    json_t *payload = json_loads(job->payload, JSON_DECODE_ANY, NULL);
    json_t *doc = json_pack(
        "{s:i,s:I,s:I,s:I,s:s,s:s,s:I,s:s,s:o,s:s*}", "schema", 1, "job", (json_int_t)job->id,
        "token", (json_int_t)job->token, "attempt", (json_int_t)job->attempts, "key", job->key,
        "kind", job->kind, "hypothesis", (json_int_t)job->hypothesis, "store", lab->store,
        "payload", payload ? payload : json_null(), "workspace", *r->tree ? r->tree : NULL);
    char path[KM_PATH_BYTES_MAX + 16];
    int rc = doc ? km_told_idea(lab, job->hypothesis, doc, err) : km_fail_nomem(err);

    if (rc == 0 && *r->tree) {
        snprintf(path, sizeof path, "%s/report.json", r->dir);
        json_object_set_new(doc, "report", json_string(path));
        rc = km_told_report(lab, path, err);
    }
    snprintf(path, sizeof path, "%s/job.json", r->dir);
    if (rc == 0)
        rc = km_json_write(path, doc, err);
    json_decref(doc);
    return rc;
}

static int make_folder(struct driver *d, struct run *r, const km_job *job, km_err *err)
{
    int n = snprintf(r->dir, sizeof r->dir, "%s/.lab/runs/%" PRId64 "/%" PRId64, d->lab->root,
                     job->id, job->token);

    if (n >= (int)sizeof r->dir)
        return km_fail(err, KM_ELIMIT, "the lab's path is too long");
    if (km_dir_make(r->dir, err) < 0)
        return KM_EIO;
    return write_job(d->lab, r, job, err);
}

/* The git tree of an idea's work; who only reads gets one that is closed. */
static int make_tree(struct driver *d, struct run *r, const km_job *job, km_err *err)
{
    bool writes = strcmp(job->kind, "work") == 0 && job->hypothesis;
    const char *path = NULL;
    km_workspace w;
    int rc = writes || km_reading_is(job->kind) ? km_workspace_open(&w, d->lab, err) : 0;

    *r->tree = '\0';
    if (rc > 0)
        rc = writes ? km_workspace_make(&w, &(km_worker_id){ job->hypothesis, job->id, job->token },
                                        &path, err)
                    : km_reading_tree(&w, job, &path, err);
    if (rc == 0 && path)
        snprintf(r->tree, sizeof r->tree, "%s", path);
    return rc;
}

/* What the command reads: the job, or a prompt and the job. *name: of the file in the folder. */
static int make_input(struct run *r, const char **name, km_err *err)
{
    char path[KM_PATH_BYTES_MAX + 16], *prompt = NULL, *job = NULL;
    km_arena a = KM_ARENA_INIT;
    km_str text = KM_STR_INIT;
    size_t size;
    int rc;

    *name = "job.json";
    if (!r->kind->prompt)
        return 0;
    snprintf(path, sizeof path, "%s/job.json", r->dir);
    rc = km_file_read(&a, r->kind->prompt, KM_LAB_BODY_BYTES_MAX, &prompt, &size, err);
    if (rc == 0)
        rc = km_file_read(&a, path, KM_LAB_BODY_BYTES_MAX, &job, &size, err);
    if (rc == 0) {
        km_str_printf(&text, "%s\n\nThe job:\n\n```json\n%s\n```\n", prompt, job);
        rc = km_str_check(&text, err);
    }
    snprintf(path, sizeof path, "%s/input", r->dir);
    if (rc == 0)
        rc = km_file_write(path, text.data, text.length, 0644, err);
    *name = "input";
    km_str_release(&text);
    km_arena_release(&a);
    return rc;
}

/* --- the child --- */

/* After fork; this process has one thread. */
static void become_worker(const struct driver *d, const struct run *r, pid_t parent, int in,
                          int out)
{
    static char dir[KM_PATH_BYTES_MAX + 32], tree[KM_PATH_BYTES_MAX + 32];

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    snprintf(dir, sizeof dir, "KERNMILL_RUN_DIR=%s", r->dir);
    putenv(dir);
    snprintf(tree, sizeof tree, "KERNMILL_WORKSPACE=%s", r->tree);
    if (*r->tree)
        putenv(tree);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        chdir(*r->tree ? r->tree : d->lab->root) < 0)
        _exit(126);
    execl("/bin/sh", "sh", "-c", r->kind->command, (char *)NULL);
    _exit(127);
}

static int start(struct driver *d, struct run *r, const km_job *job, km_err *err)
{
    char path[KM_PATH_BYTES_MAX + 16];
    pid_t parent = getpid();
    const char *input;
    int in, out;

    if (make_tree(d, r, job, err) < 0 || make_folder(d, r, job, err) < 0 ||
        make_input(r, &input, err) < 0)
        return err ? err->code : KM_EIO;
    snprintf(path, sizeof path, "%s/%s", r->dir, input);
    in = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/output.log", r->dir);
    out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    r->pid = in < 0 || out < 0 ? -1 : fork();
    if (r->pid == 0)
        become_worker(d, r, parent, in, out);
    if (r->pid > 0)
        setpgid(r->pid, r->pid);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    r->job = job->id;
    r->token = job->token;
    r->began_ms = r->beat_ms = km_clock_boot_ms();
    r->killed = NULL;
    r->lost = r->stopped = false;
    if (r->pid > 0)
        return 0;
    r->pid = 0;
    return km_fail_errno(err, errno, "unable to start job %" PRId64, job->id);
}

static void kill_run(struct run *r, const char *why)
{
    if (!r->killed)
        r->killed = why;
    kill(-r->pid, SIGKILL);
}

/* --- its result --- */

/* The result as JSON on one line; its caller frees it. */
static int read_result(const struct run *r, char **body, km_err *err)
{
    json_t *doc, *cost;
    int rc = km_answer_of_run(r->dir, &doc, &cost, err);

    *body = rc == 0 ? json_dumps(doc, JSON_COMPACT) : NULL;
    json_decref(doc);
    json_decref(cost);
    return rc == 0 && !*body ? km_fail_nomem(err) : rc;
}

/* What a try has cost that gave nothing, as far as its output says so. */
static void spend_failed(struct driver *d, const struct run *r)
{
    json_t *doc, *cost, *body;
    char *text;

    km_answer_of_run(r->dir, &doc, &cost, NULL);
    body = cost ? json_pack("{s:O}", "cost", cost) : NULL;
    text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (text)
        km_apply_cost(d->lab, r->job, r->token, text, NULL);
    free(text);
    json_decref(body);
    json_decref(cost);
    json_decref(doc);
}

/* A result that is none of its job's kind is the worker's fault, and no end of ours. */
static int apply(struct driver *d, const struct run *r, const char *body, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = km_apply(d->lab, r->job, r->token, body, &why);

    if (rc == KM_EFORMAT || rc == KM_EUSAGE) {
        say(d, "job %" PRId64 ": %s", r->job, why.message);
        km_apply_cost(d->lab, r->job, r->token, body, NULL);
        rc = km_queue_fail(&d->lab->db, r->job, r->token, why.message, err);
        d->out->failed++;
        return rc < 0 ? rc : REFUSED;
    }
    if (rc < 0 && err)
        *err = why;
    return rc;
}

static int hand_in(struct driver *d, struct run *r, km_err *err)
{
    km_err why = KM_ERR_INIT;
    char *body;
    int rc = read_result(r, &body, &why);

    if (rc < 0) {
        d->out->failed++;
        say(d, "job %" PRId64 ": %s", r->job, why.message);
        spend_failed(d, r);
        rc = km_queue_fail(&d->lab->db, r->job, r->token, why.message, err);
        return rc < 0 ? rc : 0;
    }
    rc = apply(d, r, body, err);
    free(body);
    if (rc == 1) {
        d->out->done++;
        say(d, "job %" PRId64 ": done", r->job);
    } else if (rc == 0) {
        d->out->lost++;
        say(d, "job %" PRId64 ": another worker has it; this result is refused", r->job);
    }
    return rc < 0 ? rc : 0;
}

static int give_back(struct driver *d, struct run *r, int status, km_err *err)
{
    char why[256];
    int rc;

    spend_failed(d, r);
    if (r->stopped) {
        say(d, "job %" PRId64 ": %s", r->job, r->killed);
        rc = km_queue_release(&d->lab->db, r->job, r->token, r->killed, err);
        return rc < 0 ? rc : 0;
    }
    if (r->lost) {
        d->out->lost++;
        say(d, "job %" PRId64 ": %s", r->job, r->killed);
        return 0;
    }
    if (r->killed)
        snprintf(why, sizeof why, "%s", r->killed);
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "ended by signal %d", WTERMSIG(status));
    else
        snprintf(why, sizeof why, "exit code %d; see %.180s/output.log", WEXITSTATUS(status),
                 strstr(r->dir, ".lab/"));
    d->out->failed++;
    say(d, "job %" PRId64 ": %s", r->job, why);
    rc = km_queue_fail(&d->lab->db, r->job, r->token, why, err);
    return rc < 0 ? rc : 0;
}

/* --- one turn --- */

static int reap(struct driver *d, struct run *r, km_err *err)
{
    siginfo_t ended = { 0 };
    int status = 0;
    bool good;

    waitid(P_PID, (id_t)r->pid, &ended, WEXITED | WNOHANG | WNOWAIT);
    if (!ended.si_pid)
        return 0;
    kill(-r->pid, SIGKILL); /* what it left running, while the number is still its own */
    good = waitpid(r->pid, &status, 0) > 0;
    r->pid = 0;
    good = good && WIFEXITED(status) && WEXITSTATUS(status) == 0 && !r->killed;
    return good ? hand_in(d, r, err) : give_back(d, r, status, err);
}

static int64_t output_bytes(const struct run *r)
{
    char path[KM_PATH_BYTES_MAX + 16];
    struct stat st;

    snprintf(path, sizeof path, "%s/output.log", r->dir);
    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

static int watch(struct driver *d, struct run *r, km_err *err)
{
    int64_t now = km_clock_boot_ms();
    int rc;

    if (r->kind->limit_s && now - r->began_ms > r->kind->limit_s * 1000)
        kill_run(r, "it took longer than its time limit");
    if (r->kind->output_mb && output_bytes(r) > r->kind->output_mb << 20)
        kill_run(r, "it printed more than its output limit");
    if (r->killed || now - r->beat_ms < d->lease_s * 1000 / 3)
        return 0;
    r->beat_ms = now;
    rc = km_queue_beat(&d->lab->db, r->job, r->token, d->lease_s, err);
    if (rc == 0) {
        r->lost = true;
        kill_run(r, "the job was cancelled, or its lease was lost");
    }
    return rc < 0 ? rc : 0;
}

/* Which kinds may be taken now, in `names` (which ends with NULL); false: none. */
static bool open_kinds(const struct driver *d, const char **names)
{
    size_t n = 0;

    for (size_t k = 0; k < d->o->kind_count; k++) {
        const km_local_kind *kind = &d->o->kinds[k];
        int running = 0;
        for (int i = 0; i < d->o->slots; i++)
            running += d->runs[i].pid != 0 && d->runs[i].kind == kind;
        if (!kind->at_once || running < kind->at_once)
            names[n++] = kind->kind;
    }
    names[n] = NULL;
    return n > 0;
}

static const km_local_kind *kind_of(const struct driver *d, const char *name)
{
    for (size_t k = 0; k < d->o->kind_count; k++)
        if (!d->o->kinds[k].kind || strcmp(d->o->kinds[k].kind, name) == 0)
            return &d->o->kinds[k];
    return NULL;
}

static int claim(struct driver *d, km_arena *a, km_job *job, km_err *err)
{
    const char *names[KINDS_MAX + 1];
    km_err why = KM_ERR_INIT;
    int rc;

    if (!open_kinds(d, names))
        return 0;
    rc = km_queue_claim(&d->lab->db, a, d->lab->campaign, names[0] ? names : NULL, d->worker,
                        d->lease_s, job, &why);
    if (rc == KM_EUSAGE) { /* the budget */
        d->spent = true;
        say(d, "%s", why.message);
        return 0;
    }
    if (rc < 0 && err)
        *err = why;
    return rc;
}

/* One that cannot be started is given back, with the reason. */
static int begin(struct driver *d, struct run *r, const km_job *job, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc;

    r->kind = kind_of(d, job->kind);
    rc = start(d, r, job, &why);
    if (rc == 0)
        return 1;
    say(d, "job %" PRId64 ": %s", job->id, why.message);
    d->out->failed++;
    rc = km_queue_fail(&d->lab->db, job->id, job->token, why.message, err);
    return rc < 0 ? rc : 0;
}

/* 1: a job was started; 0: there is none to start. */
static int fill(struct driver *d, struct run *r, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_job job;
    int rc = claim(d, &a, &job, err);

    if (rc == 1)
        rc = begin(d, r, &job, err);
    km_arena_release(&a);
    return rc;
}

/* How many run. */
static int turn(struct driver *d, bool stopping, int *running, km_err *err)
{
    bool more = !stopping;
    int rc = 0;

    *running = 0;
    for (int i = 0; i < d->o->slots && rc >= 0; i++) {
        struct run *r = &d->runs[i];
        if (r->pid && stopping && !r->killed) {
            r->stopped = true;
            kill_run(r, "the driver was told to stop");
        }
        if (r->pid)
            rc = watch(d, r, err);
        if (rc >= 0 && r->pid)
            rc = reap(d, r, err);
        if (rc >= 0 && !r->pid && more && !d->spent) {
            rc = fill(d, r, err);
            more = rc > 0;
        }
        *running += r->pid != 0;
    }
    return rc < 0 ? rc : 0;
}

/* --- those that came before --- */

/* "local/<pid>" of a process that is gone, of this boot. */
static int end_orphans(struct driver *d, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&d->lab->db, &s, err,
                         "SELECT id, token, worker FROM jobs WHERE state = 'leased'"
                         " AND worker LIKE 'local/%'",
                         "");
    struct {
        int64_t job, token;
    } gone[256];
    size_t n = 0;

    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&d->lab->db, s, err)) == 1 && n < sizeof gone / sizeof *gone) {
        long pid = strtol((const char *)sqlite3_column_text(s, 2) + strlen("local/"), NULL, 10);
        if (pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH) {
            gone[n].job = sqlite3_column_int64(s, 0);
            gone[n++].token = sqlite3_column_int64(s, 1);
        }
    }
    sqlite3_finalize(s);
    for (size_t i = 0; i < n && rc >= 0; i++)
        rc = km_queue_release(&d->lab->db, gone[i].job, gone[i].token, "its driver is gone", err);
    return rc < 0 ? rc : 0;
}

/* What they left in their trees. */
static int sweep_trees(struct driver *d, km_err *err)
{
    km_workspace w;
    int64_t count;
    int rc = km_workspace_open(&w, d->lab, err);

    if (rc > 0)
        rc = km_workspace_sweep(&w, &count, err);
    return rc == 0 && w.settings.workspace.given ? km_reading_sweep(&w, err) : rc;
}

/* Whether there is, or will be, something to do. */
static int go_on(struct driver *d, int running, bool stopping, bool *more, km_err *err)
{
    int64_t now = km_clock_boot_ms();
    bool busy = false;
    int rc = 0;

    if (d->o->team && !stopping && !d->spent) {
        busy = now - d->team_ms < TEAM_MS;
        if (!busy) {
            d->team_ms = now;
            rc = km_team_step(d->lab, d->o->team, &busy, err);
        }
    }
    *more = running || busy || (d->o->wait && !stopping && !d->spent);
    return rc;
}

int km_local_run(km_lab *lab, const km_local *o, const volatile int *stop, km_local_result *out,
                 km_err *err)
{
    const struct timespec tick = { 0, TICK_MS * 1000000L };
    struct driver d = { .lab = lab,
                        .o = o,
                        .out = out,
                        .runs = calloc((size_t)o->slots, sizeof *d.runs),
                        .lease_s = o->lease_s ? o->lease_s : KM_LAB_LEASE_S };
    bool more = true;
    int running = 0, rc;

    *out = (km_local_result){ 0, 0, 0 };
    if (!d.runs)
        return km_fail_nomem(err);
    if (o->kind_count > KINDS_MAX) {
        free(d.runs);
        return km_fail(err, KM_EBUG, "more kinds of jobs than %d", KINDS_MAX);
    }
    snprintf(d.worker, sizeof d.worker, "local/%ld", (long)getpid());
    rc = end_orphans(&d, err);
    if (rc == 0)
        rc = sweep_trees(&d, err);
    while (rc == 0 && more) {
        rc = turn(&d, *stop, &running, err);
        if (rc == 0)
            rc = go_on(&d, running, *stop, &more, err);
        if (rc == 0 && more)
            nanosleep(&tick, NULL);
    }
    if (rc == 0)
        rc = sweep_trees(&d, err);
    for (int i = 0; i < o->slots; i++)
        if (d.runs[i].pid)
            kill(-d.runs[i].pid, SIGKILL);
    free(d.runs);
    return rc;
}
