/* What a driver that is gone has left. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "lab/clock.h"
#include "lab/driver_internal.h"
#include "lab/lease.h"
#include "lab/queue.h"
#include "lab/run.h"

#define LEASES_MAX 1024
#define A_TURN_MS  1000 /* more than it takes to find that a lease has ended */

struct orphan {
    km_job job;
    const char *remote;
    km_executor *executor; /* NULL: none of ours runs it */
};

struct orphans {
    struct orphan items[LEASES_MAX];
    size_t count;
};

static bool is_alive(long pid)
{
    return pid > 0 && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

static km_executor *executor_of(const struct km_driving *d, const char *worker)
{
    for (size_t i = 0; i < d->o->executor_count; i++) {
        size_t n = strlen(d->o->executors[i]->name);
        if (strncmp(worker, d->o->executors[i]->name, n) == 0 && worker[n] == '/')
            return d->o->executors[i];
    }
    return NULL;
}

/* "slurm/<pid>" whose process is gone, or was of another boot. Those of other names are people.
 * *foreign: a process that we do not see, for its ids are a container's, or ours are. */
static bool is_orphan(const char *worker, bool same_boot, bool *foreign)
{
    const char *pid = strchr(worker, '/');
    char *end = NULL;
    long n = pid ? strtol(pid + 1, &end, 10) : 0, pids = 0;

    *foreign = false;
    if (strncmp(worker, "local/", 6) != 0 && strncmp(worker, "slurm/", 6) != 0 &&
        strncmp(worker, "hf-jobs/", 8) != 0)
        return false;
    if (end && *end == '@')
        pids = strtol(end + 1, &end, 10);
    if (!pid || !pid[1] || *end)
        return false;
    *foreign = same_boot && pids != km_driving_pids();
    return !same_boot || (!*foreign && !is_alive(n));
}

static int read_orphan(struct km_driving *d, sqlite3_stmt *s, const char *boot, struct orphans *out,
                       km_err *err)
{
    km_arena *a = &d->lab->arena;
    const char *worker = km_db_text(a, s, 7), *lease_boot = km_db_text(a, s, 8);
    struct orphan *o = &out->items[out->count];
    bool foreign;

    *o = (struct orphan){ { sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                            sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3),
                            km_db_text(a, s, 4), km_db_text(a, s, 5), km_db_text(a, s, 6) },
                          km_db_text(a, s, 9),
                          NULL };
    if (!worker || !lease_boot || !o->job.key || !o->job.kind || !o->job.payload || !o->remote)
        return km_fail_nomem(err);
    o->executor = executor_of(d, worker);
    out->count += is_orphan(worker, strcmp(boot, lease_boot) == 0, &foreign);
    if (foreign) {
        km_driving_say(d, "job %" PRId64 ": %s, which is not seen from here, has it", o->job.id,
                       worker);
        if (sqlite3_column_int64(s, 10) + A_TURN_MS > d->foreign_ms)
            d->foreign_ms = sqlite3_column_int64(s, 10) + A_TURN_MS;
    }
    return 0;
}

static int find_orphans(struct km_driving *d, struct orphans *out, km_err *err)
{
    char boot[KM_BOOT_ID_BYTES];
    sqlite3_stmt *s = NULL;
    int rc = km_clock_boot_id(boot, err);

    out->count = 0;
    if (rc == 0)
        rc = km_db_query(
            &d->lab->db, &s, err,
            "SELECT j.id, ifnull(hypothesis, 0), j.token, attempts, key, kind,"
            " payload, j.worker, lease_boot, l.remote, lease_until_ms FROM jobs j JOIN leases l"
            " ON l.job = j.id AND l.token = j.token WHERE state = 'leased'"
            " AND campaign = ? ORDER BY j.id",
            "i", d->lab->campaign);
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&d->lab->db, s, err)) == 1 && out->count < LEASES_MAX)
        if ((rc = read_orphan(d, s, boot, out, err)) < 0)
            break;
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

/* Its time there counts from now. */
static int adopt(struct km_driving *d, const struct orphan *o, const km_run_kind *kind, km_run *r,
                 km_err *err)
{
    char worker[64], path[KM_RUN_PATH_BYTES];
    int rc;

    km_driving_worker(o->executor, worker);
    rc = km_lease_adopt(&d->lab->db, o->job.id, o->job.token, worker, d->lease_s, err);
    if (rc <= 0)
        return rc;
    *r = (km_run){ .kind = kind, .gpu = -1, .beat_ms = km_clock_boot_ms() };
    strncpy(r->remote, o->remote, sizeof r->remote - 1);
    rc = km_run_name(r, d->lab, d->o->folder, &o->job, err);
    if (rc == 0 && km_file_exists(km_run_path(r, "input", path)))
        r->input = "input";
    r->state = *r->remote == '?' ? KM_RUN_CLAIMED : KM_RUN_BEGUN;
    km_driving_say(d, "job %" PRId64 ": goes on in %s as %s", r->job, o->executor->name, r->remote);
    return rc;
}

/* A run elsewhere that we have no executor for may go on: its lease will end by itself. */
static int take(struct km_driving *d, const struct orphan *o, km_run *r, km_err *err)
{
    const km_run_kind *kind = km_driving_kind(d, o->job.kind);
    int rc;

    if (o->executor && o->executor->remote && *o->remote && kind && kind->executor == o->executor)
        return adopt(d, o, kind, r, err);
    if (*o->remote) {
        km_driving_say(d, "job %" PRId64 ": runs elsewhere as %s; not taken up", o->job.id,
                       o->remote);
        return 0;
    }
    rc = km_queue_release(&d->lab->db, o->job.id, o->job.token, "its driver is gone", err);
    return rc < 0 ? rc : 0;
}

int km_driving_take_over(struct km_driving *d, km_err *err)
{
    struct orphans *orphans = malloc(sizeof *orphans);
    int rc = orphans ? find_orphans(d, orphans, err) : km_fail_nomem(err);
    size_t n = 0;

    if (rc == 0) {
        d->run_count = d->o->slots + (int)orphans->count;
        d->runs = calloc((size_t)d->run_count, sizeof *d->runs);
        d->some = calloc((size_t)d->run_count, sizeof(km_run *));
        if (!d->runs || !d->some)
            rc = km_fail_nomem(err);
    }
    for (size_t i = 0; rc == 0 && i < orphans->count; i++) {
        rc = take(d, &orphans->items[i], &d->runs[n], err);
        n += d->runs[n].state != KM_RUN_FREE;
    }
    free(orphans);
    return rc;
}
