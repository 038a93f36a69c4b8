/* Runs under Slurm, on nodes that see the folder of the runs.
 *
 * Jobs are submitted with --no-requeue: it is our queue that tries again, with a new token and a
 * new folder, so that a try that was lost with its node can neither be mistaken for the next one
 * nor hand in a result, should it still run somewhere. What a node loses is an attempt, for a job
 * that kills its node must not do so for ever; a preemption is none.
 *
 * One squeue a poll tells of all our jobs; the exit file that a task leaves is the last word. While
 * the controller does not answer, everything waits. A job of ours that no lease has any more is
 * cancelled when it is seen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/file.h"
#include "lab/clock.h"
#include "lab/executor.h"
#include "lab/lease.h"
#include "lab/run.h"
#include "lab/slurm.h"
#include "lab/slurm_script.h"

#define GRACE_MS    10000 /* for a shared file system to show what a task left */
#define ALIVE_S     60    /* after a heartbeat */
#define INTENT      '?'
#define ARRAY_BYTES 2048

struct slurm {
    km_executor base;
    char name[64];    /* of our jobs */
    double gpus;      /* of a job */
    int64_t asked_ms; /* the last poll */
    int64_t retry_ms; /* no sbatch before */
    bool silent;      /* the controller does not answer, and it was said */
};

/* --- which row is whose --- */

/* "?7.2_3" is the fourth task of what was submitted as 7.2. */
static bool is_row_of(const km_slurm_row *row, const char *remote)
{
    const char *task = strchr(row->id, '_');
    char intent[192];

    if (*remote != INTENT)
        return strcmp(row->id, remote) == 0;
    snprintf(intent, sizeof intent, "%c%s%s", INTENT, row->comment, task ? task : "");
    return strcmp(intent, remote) == 0;
}

static const km_slurm_row *row_of(const km_slurm_rows *rows, const char *remote)
{
    for (size_t i = 0; i < rows->count; i++)
        if (is_row_of(&rows->rows[i], remote))
            return &rows->rows[i];
    return NULL;
}

/* False: the controller does not answer now. */
static bool list(struct slurm *x, km_slurm_rows *rows)
{
    km_err why = KM_ERR_INIT;

    if (km_slurm_list(x->name, rows, &why) == 0) {
        if (x->silent)
            km_executor_say(&x->base, "slurm answers again");
        x->silent = false;
        return true;
    }
    if (!x->silent)
        km_executor_say(&x->base, "waiting for slurm: %s", why.message);
    x->silent = true;
    return false;
}

/* --- start --- */

/* The runs that have no intent yet get one each, in pieces of an array's size. */
static int intend(struct slurm *x, km_run **runs, size_t count, km_err *err)
{
    size_t most = (size_t)x->base.settings->executor.array, n;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i += n) {
        n = most > 1 ? (count - i < most ? count - i : most) : 1;
        for (size_t k = 0; rc == 0 && k < n; k++) {
            km_run *r = runs[i + k];
            snprintf(r->remote, sizeof r->remote, "%c%" PRId64 ".%" PRId64, INTENT, runs[i]->job,
                     runs[i]->token);
            if (most > 1)
                snprintf(r->remote + strlen(r->remote), 24, "_%zu", k);
            rc = km_slurm_write_task(&x->base, r, err);
        }
        if (rc == 0 && most > 1)
            rc = km_slurm_write_array(runs + i, n, err);
    }
    return rc == 0 ? km_executor_place(&x->base, runs, count, err) : rc;
}

/* Those of an earlier try that may have reached Slurm after all. */
static int find_again(struct slurm *x, km_run **runs, size_t count, km_err *err)
{
    km_slurm_rows rows = { NULL, 0 };
    int rc = 0;

    if (!list(x, &rows)) {
        x->retry_ms = km_clock_boot_ms() + km_executor_poll_ms(&x->base);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const km_slurm_row *row = row_of(&rows, runs[i]->remote);
        if (!row) {
            runs[i]->state = runs[i]->killed ? KM_RUN_ENDED : KM_RUN_CLAIMED;
            continue;
        }
        snprintf(runs[i]->remote, sizeof runs[i]->remote, "%s", row->id);
        runs[i]->state = KM_RUN_BEGUN;
        rc = km_executor_place(&x->base, &runs[i], 1, err);
    }
    km_slurm_rows_release(&rows);
    return rc;
}

/* How long a run's remote is without the task's number. */
static size_t key_length(const km_run *r)
{
    return strcspn(r->remote, "_");
}

static bool is_same_batch(const km_run *a, const km_run *b)
{
    return b->state == KM_RUN_CLAIMED && key_length(a) == key_length(b) &&
           strncmp(a->remote, b->remote, key_length(a)) == 0;
}

/* The tasks of a batch that are still to be submitted: "0,1,2". */
static void list_tasks(km_run **runs, size_t count, const km_run *first, char out[ARRAY_BYTES])
{
    size_t n = 0;

    *out = '\0';
    for (size_t i = 0; i < count && n < ARRAY_BYTES - 32; i++)
        if (is_same_batch(first, runs[i]))
            n += (size_t)snprintf(out + n, ARRAY_BYTES - n, "%s%s", n ? "," : "",
                                  runs[i]->remote + key_length(first) + 1);
}

/* Of a batch: the longest of its kinds'; 0 when one has none. */
static int64_t limit_of(km_run **runs, size_t count, const km_run *first)
{
    int64_t longest = first->kind->limit_s;

    for (size_t i = 0; i < count && longest; i++)
        if (is_same_batch(first, runs[i]) &&
            (!runs[i]->kind->limit_s || runs[i]->kind->limit_s > longest))
            longest = runs[i]->kind->limit_s;
    return longest;
}

static int note_batch(struct slurm *x, km_run **runs, size_t count, const km_run *first,
                      const char *id, km_err *err)
{
    const km_run batch = *first;
    bool own;
    int rc = km_db_enter(&x->base.lab->db, &own, err);

    for (size_t i = 0; rc == 0 && i < count; i++) {
        char task[64];
        if (!is_same_batch(&batch, runs[i]))
            continue;
        snprintf(task, sizeof task, "%s", runs[i]->remote + key_length(&batch));
        snprintf(runs[i]->remote, sizeof runs[i]->remote, "%s%s", id, task);
        runs[i]->state = KM_RUN_BEGUN;
        rc = km_executor_place(&x->base, &runs[i], 1, err);
    }
    return km_db_leave(&x->base.lab->db, own, rc, err);
}

/* What sbatch refuses is nobody's: the driver gives it back. */
static int refuse(struct slurm *x, km_run **runs, size_t count, km_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (runs[i]->state == KM_RUN_CLAIMED)
            *runs[i]->remote = '\0';
    km_executor_place(&x->base, runs, count, NULL);
    km_hint(err, "see lab.toml's [executor]");
    return err ? err->code : KM_EENV;
}

static int submit(struct slurm *x, km_run **runs, size_t count, km_run *first, km_err *err)
{
    const bool array = strchr(first->remote, '_') != NULL;
    char key[96], tasks[ARRAY_BYTES], script[KM_RUN_PATH_BYTES + 128], id[64] = "";
    long long job, token;
    bool transient;
    km_err why = KM_ERR_INIT;
    int rc;

    snprintf(key, sizeof key, "%.*s", (int)key_length(first) - 1, first->remote + 1);
    if (sscanf(key, "%lld.%lld", &job, &token) != 2)
        return km_fail(err, KM_EBUG, "'%s' is no intent", first->remote);
    if (array)
        list_tasks(runs, count, first, tasks);
    snprintf(script, sizeof script, "%s/../../%lld/%lld/%s", first->dir, job, token,
             array ? "array.sh" : "task.sh");
    rc = km_slurm_submit(x->base.settings,
                         &(km_slurm_job){ .name = x->name,
                                          .comment = key,
                                          .script = script,
                                          .array = array ? tasks : NULL,
                                          .limit_s = limit_of(runs, count, first) },
                         id, &transient, &why);
    if (rc == 0)
        return note_batch(x, runs, count, first, id, err);
    if (!transient) {
        if (err)
            *err = why;
        return refuse(x, runs, count, err);
    }
    km_executor_say(&x->base, "waiting for slurm: %s", why.message);
    x->retry_ms = km_clock_boot_ms() + km_executor_poll_ms(&x->base);
    return 0;
}

/* Moves those that have no intent to the end; how many have one. */
static size_t partition(km_run **runs, size_t count)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        if (*runs[i]->remote) {
            km_run *r = runs[i];
            runs[i] = runs[n];
            runs[n++] = r;
        }
    return n;
}

static int start(km_executor *base, km_run **runs, size_t count, km_err *err)
{
    struct slurm *x = (struct slurm *)base;
    size_t old = partition(runs, count);
    int rc = 0;

    if (km_clock_boot_ms() < x->retry_ms)
        return 0;
    if (old)
        rc = find_again(x, runs, old, err);
    if (rc == 0 && old < count)
        rc = intend(x, runs + old, count - old, err);
    for (size_t i = 0; rc == 0 && km_clock_boot_ms() >= x->retry_ms && i < count; i++)
        if (runs[i]->state == KM_RUN_CLAIMED)
            rc = submit(x, runs, count, runs[i], err);
    return rc;
}

/* --- poll --- */

static void end(struct slurm *x, km_run *r, bool good, bool excused, double seconds)
{
    r->state = KM_RUN_ENDED;
    r->good = good;
    r->excused = excused;
    r->gpu_seconds = x->gpus * seconds;
}

static double seconds_of(const km_run *r)
{
    return r->running_ms ? (double)(km_clock_boot_ms() - r->running_ms) / 1000 : 0;
}

/* What a task has written itself counts, whatever Slurm says. */
static bool end_by_exit(struct slurm *x, km_run *r)
{
    double seconds;
    int code;

    if (!km_slurm_read_exit(r, &code, &seconds))
        return false;
    snprintf(r->why, sizeof r->why, "exit code %d; see %.180s/output.log", code,
             strstr(r->dir, ".lab/") ? strstr(r->dir, ".lab/") : r->dir);
    end(x, r, code == 0, false, seconds);
    return true;
}

/* Long enough since it was seen to have ended. */
static bool is_over(km_run *r, int64_t grace_ms)
{
    if (!r->ended_ms)
        r->ended_ms = km_clock_boot_ms();
    return km_clock_boot_ms() - r->ended_ms >= grace_ms;
}

/* Slurm forgets a job some minutes after its end, or when its controller lost what it knew. */
static void look_at_unknown(struct slurm *x, km_run *r)
{
    char path[KM_RUN_PATH_BYTES];
    struct stat s;

    if (end_by_exit(x, r))
        return;
    if (stat(km_run_path(r, "heartbeat", path), &s) == 0 && time(NULL) - s.st_mtime < ALIVE_S &&
        !r->killed)
        return;
    if (!is_over(r, r->killed ? 0 : GRACE_MS))
        return;
    snprintf(r->why, sizeof r->why, "slurm does not know %.100s any more, and it left no word",
             r->remote);
    end(x, r, false, false, seconds_of(r));
}

static void look(struct slurm *x, km_run *r, const km_slurm_row *row)
{
    km_slurm_state state = row ? km_slurm_state_of(row->state) : KM_SLURM_UNKNOWN;

    if (!row) {
        look_at_unknown(x, r);
        return;
    }
    if (state == KM_SLURM_RUNS && !r->running_ms) {
        r->running_ms = km_clock_boot_ms();
        r->gpus = x->gpus;
    }
    if (state == KM_SLURM_WAITS)
        r->running_ms = 0;
    if (state == KM_SLURM_WAITS || state == KM_SLURM_RUNS) {
        r->ended_ms = 0;
        km_executor_check_output(&x->base, r);
        return;
    }
    if (end_by_exit(x, r))
        return;
    if (state == KM_SLURM_ENDS && !(r->killed && is_over(r, GRACE_MS))) /* its node may be gone */
        return;
    if (state == KM_SLURM_COMPLETED && !is_over(r, r->killed ? 0 : GRACE_MS))
        return;
    snprintf(r->why, sizeof r->why, "slurm says %s of %.100s, and it left no word", row->state,
             row->id);
    end(x, r, false, state == KM_SLURM_LOST, seconds_of(r));
}

static void tell_cancelled(struct slurm *x, km_run **runs, size_t count)
{
    const char **ids = calloc(count, sizeof *ids);
    km_err why = KM_ERR_INIT;
    size_t n = 0;

    for (size_t i = 0; ids && i < count; i++)
        if (runs[i]->killed && !runs[i]->told && *runs[i]->remote != INTENT)
            ids[n++] = runs[i]->remote;
    if (n && km_slurm_cancel(ids, n, &why) < 0)
        km_executor_say(&x->base, "%s", why.message);
    else
        for (size_t i = 0; ids && i < count; i++)
            runs[i]->told = runs[i]->told || runs[i]->killed;
    free((void *)ids);
}

/* A job of ours that goes on, and that no lease has, would only spend. */
static int end_strays(struct slurm *x, const km_slurm_rows *rows, km_err *err)
{
    int rc = 0;

    for (size_t i = 0; rc >= 0 && i < rows->count; i++) {
        const km_slurm_row *row = &rows->rows[i];
        const char *task = strchr(row->id, '_'), *id = row->id;
        km_slurm_state state = km_slurm_state_of(row->state);
        char intent[192];
        if (state != KM_SLURM_WAITS && state != KM_SLURM_RUNS)
            continue;
        snprintf(intent, sizeof intent, "%c%s%s", INTENT, row->comment, task ? task : "");
        rc = km_lease_is_placed(&x->base.lab->db, x->base.name, row->id, intent, err);
        if (rc == 0) {
            km_executor_say(&x->base, "slurm's %s has no lease: it is cancelled", row->id);
            km_slurm_cancel(&id, 1, NULL);
        }
    }
    return rc < 0 ? rc : 0;
}

static int poll_all(km_executor *base, km_run **runs, size_t count, km_err *err)
{
    struct slurm *x = (struct slurm *)base;
    int64_t now = km_clock_boot_ms();
    km_slurm_rows rows = { NULL, 0 };
    int rc;

    if (now - x->asked_ms < km_executor_poll_ms(base))
        return 0;
    x->asked_ms = now;
    tell_cancelled(x, runs, count);
    if (!list(x, &rows))
        return 0;
    for (size_t i = 0; i < count; i++)
        look(x, runs[i], row_of(&rows, runs[i]->remote));
    rc = end_strays(x, &rows, err);
    km_slurm_rows_release(&rows);
    return rc;
}

/* --- */

/* scancel follows with the next poll; what has not begun by then will not. */
static void cancel(km_executor *base, km_run *r)
{
    char path[KM_RUN_PATH_BYTES];

    km_file_write(km_run_path(r, "cancelled", path), "", 0, 0644, NULL);
    ((struct slurm *)base)->asked_ms = 0;
}

static void release(km_executor *base)
{
    free(base);
}

/* "gpu:2", "gpu:h100:2", "gpu": how many. */
static double gpus_of(const char *gres)
{
    const char *last = gres ? strrchr(gres, ':') : NULL;
    double n = last ? strtod(last + 1, NULL) : 0;

    if (!gres || strncmp(gres, "gpu", 3) != 0)
        return 0;
    return n > 0 ? n : 1;
}

int km_executor_slurm(km_lab *lab, const km_lab_settings *settings, km_executor **out, km_err *err)
{
    struct slurm *x = calloc(1, sizeof *x);
    char id[32];
    int rc = x ? km_slurm_check(err) : km_fail_nomem(err);

    *out = NULL;
    if (rc == 0)
        rc = km_executor_store_id(lab, id, err);
    if (rc < 0) {
        free(x);
        return rc;
    }
    snprintf(x->name, sizeof x->name, "kernmill-%s", id);
    x->gpus = gpus_of(settings->executor.gres);
    x->base = (km_executor){ .name = "slurm",
                             .remote = true,
                             .lab = lab,
                             .settings = settings,
                             .start = start,
                             .poll = poll_all,
                             .cancel = cancel,
                             .free = release };
    *out = &x->base;
    return 0;
}
