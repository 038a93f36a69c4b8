#include "lab/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lab/champion.h"
#include "lab/clock.h"
#include "lab/driver_internal.h"
#include "lab/queue.h"
#include "lab/reading.h"
#include "lab/run.h"
#include "lab/workspace.h"

#define TICK_MS   20
#define TEAM_MS   100
#define TEAM_MOST 16 /* steps in one turn: the leases want a beat between them */
#define PAUSE_MS  300
#define KINDS_MAX 16

void km_driving_say(const struct km_driving *d, const char *format, ...)
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

const km_run_kind *km_driving_kind(const struct km_driving *d, const char *name)
{
    for (size_t k = 0; k < d->o->kind_count; k++)
        if (!d->o->kinds[k].kind || strcmp(d->o->kinds[k].kind, name) == 0)
            return &d->o->kinds[k];
    return NULL;
}

#define PIDS_OF_THE_MACHINE 4026531836L /* the kernel's PROC_PID_INIT_INO */

long km_driving_pids(void)
{
    char name[64] = "";
    long number = 0;

    if (readlink("/proc/self/ns/pid", name, sizeof name - 1) > 0)
        number = strtol(name + strcspn(name, "0123456789"), NULL, 10);
    return number == PIDS_OF_THE_MACHINE ? 0 : number;
}

void km_driving_worker(const km_executor *x, char out[64])
{
    long pids = km_driving_pids();
    int n = snprintf(out, 64, "%s/%ld", x->name, (long)getpid());

    if (pids)
        snprintf(out + n, 64 - (size_t)n, "@%ld", pids);
}

/* --- of one executor --- */

static size_t pick(struct km_driving *d, const km_executor *x, km_run_state state)
{
    size_t n = 0;

    for (int i = 0; i < d->run_count; i++)
        if (d->runs[i].state == state && d->runs[i].kind->executor == x)
            d->some[n++] = &d->runs[i];
    return n;
}

static int for_each(struct km_driving *d, km_run_state state, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < d->o->executor_count; i++) {
        km_executor *x = d->o->executors[i];
        size_t n = pick(d, x, state);
        if (n && state == KM_RUN_CLAIMED)
            rc = x->start(x, d->some, n, err);
        else if (n)
            rc = x->poll(x, d->some, n, err);
    }
    return rc;
}

/* --- claims --- */

static int gpus_taken(const struct km_driving *d, const km_executor *x)
{
    int n = 0;

    for (int i = 0; i < d->run_count; i++)
        n += d->runs[i].state != KM_RUN_FREE && d->runs[i].kind->executor == x &&
             d->runs[i].kind->gpu;
    return n;
}

/* 1: no more of a kind that runs `at_once`: another driver's disturb ours, too. */
static int is_full(const struct km_driving *d, const km_run_kind *kind, km_err *err)
{
    int64_t n;
    int rc;

    if (!kind->kind || !kind->at_once)
        return 0;
    rc = km_queue_at_work(&d->lab->db, d->lab->campaign, kind->kind, kind->beside, &n, err);
    return rc == 0 ? n >= kind->at_once : rc;
}

/* Which kinds this executor may take now, in `names` (which ends with NULL). 0: none. */
static int open_kinds(const struct km_driving *d, const km_executor *x, const char **names,
                      km_err *err)
{
    bool no_gpu = x->gpus && gpus_taken(d, x) >= x->gpus;
    size_t n = 0;
    int rc = 0;

    for (size_t k = 0; rc >= 0 && k < d->o->kind_count; k++) {
        const km_run_kind *kind = &d->o->kinds[k];
        if (kind->executor != x || (kind->gpu && no_gpu))
            continue;
        rc = is_full(d, kind, err);
        if (rc == 0)
            names[n++] = kind->kind;
    }
    names[n] = NULL;
    return rc < 0 ? rc : n > 0;
}

/* What is open, and what is taken, in one transaction: other drivers look, too. */
static int claim_open(struct km_driving *d, km_executor *x, km_job *job, km_err *err)
{
    const char *names[KINDS_MAX + 1] = { NULL };
    char worker[64];
    bool own;
    int rc = km_db_enter(&d->lab->db, &own, err);

    if (rc == 0)
        rc = open_kinds(d, x, names, err);
    km_driving_worker(x, worker);
    if (rc == 1)
        rc = km_queue_claim(&d->lab->db, &d->lab->arena, d->lab->campaign, names[0] ? names : NULL,
                            worker, d->lease_s, job, err);
    return km_db_leave(&d->lab->db, own, rc, err);
}

static int claim(struct km_driving *d, km_executor *x, km_job *job, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc = claim_open(d, x, job, &why);

    if (rc == KM_EUSAGE) { /* the budget */
        d->spent = true;
        km_driving_say(d, "%s", why.message);
        return 0;
    }
    if (rc < 0 && err)
        *err = why;
    return rc;
}

/* One that cannot be prepared is given back, with the reason; after a while it, or another one, is
 * taken. */
static int prepare(struct km_driving *d, km_run *r, const km_job *job, km_err *err)
{
    km_err why = KM_ERR_INIT;
    int rc;

    *r = (km_run){ .kind = km_driving_kind(d, job->kind), .gpu = -1 };
    rc = km_run_prepare(r, d->lab, d->o->folder, job, &why);
    r->beat_ms = km_clock_boot_ms();
    r->state = rc == 0 ? KM_RUN_CLAIMED : KM_RUN_FREE;
    if (rc == 0)
        return 1;
    km_driving_say(d, "job %" PRId64 ": %s", job->id, why.message);
    d->out->failed++;
    d->pause_ms = r->beat_ms + PAUSE_MS;
    rc = km_queue_fail(&d->lab->db, job->id, job->token, why.message, err);
    return rc < 0 ? rc : 0;
}

/* 1: a job was taken; 0: there is none to take. What that allocates goes with it. */
static int fill(struct km_driving *d, km_run *r, km_err *err)
{
    km_arena kept = km_lab_arena_begin(d->lab);
    km_job job;
    int rc = 0;

    for (size_t i = 0; rc == 0 && !d->spent && i < d->o->executor_count; i++) {
        rc = claim(d, d->o->executors[i], &job, err);
        if (rc == 1)
            rc = prepare(d, r, &job, err);
    }
    km_lab_arena_end(d->lab, kept);
    return rc;
}

static int fill_all(struct km_driving *d, int *running, km_err *err)
{
    int rc = 1;

    for (int i = 0; rc > 0 && *running < d->o->slots && i < d->run_count; i++)
        if (d->runs[i].state == KM_RUN_FREE) {
            rc = fill(d, &d->runs[i], err);
            *running += rc > 0;
        }
    return rc < 0 ? rc : 0;
}

/* --- one turn --- */

static int beat(struct km_driving *d, km_run *r, int64_t now, km_err *err)
{
    int rc;

    if (r->lost || now - r->beat_ms < d->lease_s * 1000 / 3)
        return 0;
    r->beat_ms = now;
    if (!r->kind->executor->remote)
        km_run_beat(r);
    rc = km_queue_beat(&d->lab->db, r->job, r->token, d->lease_s, err);
    if (rc == 0) {
        r->lost = true;
        km_executor_kill(r->kind->executor, r, "the job was cancelled, or its lease was lost");
    }
    return rc < 0 ? rc : 0;
}

static int watch(struct km_driving *d, km_run *r, bool stopping, km_err *err)
{
    int64_t now = km_clock_boot_ms();
    km_executor *x = r->kind->executor;

    if (stopping && !r->killed) {
        r->stopped = true;
        km_executor_kill(x, r, "the driver was told to stop");
    }
    if (r->kind->limit_s && r->running_ms && now - r->running_ms > r->kind->limit_s * 1000)
        km_executor_kill(x, r, "it took longer than its time limit");
    return beat(d, r, now, err);
}

/* Ten times a second, and at once when a result came in: what is claimed next is not measured
 * against a champion that goes by what was just said. */
static int ask_team(struct km_driving *d, bool stopping, km_err *err)
{
    int64_t now = km_clock_boot_ms();
    bool due = d->news || now - d->team_ms >= TEAM_MS;
    int rc = 0;

    d->busy = d->o->team && !stopping;
    if (!d->busy || !due)
        return 0;
    d->team_ms = now;
    d->news = false;
    d->o->team->spent = d->spent;
    for (int i = 0; rc == 0 && d->busy && i < TEAM_MOST; i++)
        rc = km_team_step(d->lab, d->o->team, &d->busy, err);
    return rc;
}

/* How many run. */
static int turn(struct km_driving *d, bool stopping, int *running, km_err *err)
{
    int rc = for_each(d, KM_RUN_BEGUN, err);

    if (rc == 0)
        rc = km_driving_hold_budget(d, err);
    *running = 0;
    for (int i = 0; rc == 0 && i < d->run_count; i++) {
        km_run *r = &d->runs[i];
        if (r->state == KM_RUN_CLAIMED || r->state == KM_RUN_BEGUN)
            rc = watch(d, r, stopping, err);
        if (rc == 0 && r->state == KM_RUN_CLAIMED && r->killed && !*r->remote)
            r->state = KM_RUN_ENDED;
        if (rc == 0 && r->state == KM_RUN_ENDED)
            rc = km_driving_settle(d, r, err);
        *running += r->state != KM_RUN_FREE;
    }
    if (km_clock_boot_ms() >= d->pause_ms)
        d->pause_ms = 0;
    if (rc == 0)
        rc = ask_team(d, stopping, err);
    if (rc == 0 && !stopping && !d->spent && !d->pause_ms)
        rc = fill_all(d, running, err);
    return rc == 0 ? for_each(d, KM_RUN_CLAIMED, err) : rc;
}

/* Whether there is, or will be, something to do. */
static bool go_on(const struct km_driving *d, int running, bool stopping)
{
    bool wait = d->o->wait || d->pause_ms || km_clock_boot_ms() < d->foreign_ms;

    return running || d->busy || (wait && !stopping && !d->spent);
}

/* What the workers that are gone left in their trees, and a driver in its branch. A tree that git
 * does not take stays where it is: it is said, and nobody else waits for it. */
static int sweep_trees(struct km_driving *d, km_err *err)
{
    const char *late = NULL;
    km_err why = KM_ERR_INIT;
    km_workspace w;
    int64_t count;
    int rc = km_workspace_open(&w, d->lab, err);

    if (rc <= 0)
        return rc;
    if (km_workspace_sweep(&w, &count, &why) < 0)
        km_driving_say(d, "not swept: %s", why.message);
    rc = km_reading_sweep(&w, err);
    if (rc == 0 && km_champion_settle(&w, &late, &why) < 0)
        late = why.message;
    if (late)
        km_driving_say(d, "%s", late);
    return rc;
}

/* What runs elsewhere with no run of ours: it is ended there, and what it cost is paid. */
static int poll_strays(struct km_driving *d, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < d->o->executor_count; i++) {
        km_executor *x = d->o->executors[i];
        if (x->remote)
            rc = x->poll(x, NULL, 0, err);
    }
    return rc;
}

/* Processes of ours end with us; what runs elsewhere goes on; what has not begun is given back. */
static void leave(struct km_driving *d)
{
    for (int i = 0; d->runs && i < d->run_count; i++) {
        km_run *r = &d->runs[i];
        if (r->state == KM_RUN_BEGUN && !r->kind->executor->remote)
            km_executor_kill(r->kind->executor, r, "the driver ended");
        if (r->state == KM_RUN_CLAIMED && !*r->remote)
            km_queue_release(&d->lab->db, r->job, r->token, "it could not begin", NULL);
    }
    free(d->runs);
    free(d->some);
}

int km_driver_run(km_lab *lab, const km_driver *o, const volatile int *stop, km_driver_result *out,
                  km_err *err)
{
    const struct timespec tick = { 0, TICK_MS * 1000000L };
    struct km_driving d = {
        .lab = lab, .o = o, .out = out, .lease_s = o->lease_s ? o->lease_s : KM_LAB_LEASE_S
    };
    bool more = true;
    int running = 0, rc;

    *out = (km_driver_result){ 0, 0, 0 };
    if (o->kind_count > KINDS_MAX)
        return km_fail(err, KM_EBUG, "more kinds of jobs than %d", KINDS_MAX);
    rc = km_driving_take_over(&d, err);
    if (rc == 0)
        rc = poll_strays(&d, err);
    if (rc == 0)
        rc = sweep_trees(&d, err);
    while (rc == 0 && more) {
        rc = turn(&d, *stop, &running, err);
        more = go_on(&d, running, *stop) && *stop < 2;
        if (rc == 0 && more)
            nanosleep(&tick, NULL);
    }
    if (rc == 0)
        rc = sweep_trees(&d, err);
    leave(&d);
    return rc;
}
