#include "lab/slurm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/proc.h"

#define TIMEOUT_MS 60000
#define ARGS_MAX   64

/* --- states --- */

static const struct {
    const char *name;
    km_slurm_state state;
} states[] = {
    { "PENDING", KM_SLURM_WAITS },        { "CONFIGURING", KM_SLURM_WAITS },
    { "REQUEUED", KM_SLURM_WAITS },       { "REQUEUE_FED", KM_SLURM_WAITS },
    { "REQUEUE_HOLD", KM_SLURM_WAITS },   { "RESV_DEL_HOLD", KM_SLURM_WAITS },
    { "SPECIAL_EXIT", KM_SLURM_WAITS },   { "RUNNING", KM_SLURM_RUNS },
    { "SUSPENDED", KM_SLURM_RUNS },       { "STOPPED", KM_SLURM_RUNS },
    { "RESIZING", KM_SLURM_RUNS },        { "SIGNALING", KM_SLURM_RUNS },
    { "STAGE_OUT", KM_SLURM_ENDS },       { "COMPLETING", KM_SLURM_ENDS },
    { "COMPLETED", KM_SLURM_COMPLETED },  { "FAILED", KM_SLURM_FAILED },
    { "TIMEOUT", KM_SLURM_FAILED },       { "CANCELLED", KM_SLURM_FAILED },
    { "OUT_OF_MEMORY", KM_SLURM_FAILED }, { "DEADLINE", KM_SLURM_FAILED },
    { "NODE_FAIL", KM_SLURM_FAILED },     { "PREEMPTED", KM_SLURM_LOST },
    { "BOOT_FAIL", KM_SLURM_FAILED },     { "REVOKED", KM_SLURM_LOST },
    { "LAUNCH_FAILED", KM_SLURM_FAILED }, { "RECONFIG_FAIL", KM_SLURM_FAILED },
};

km_slurm_state km_slurm_state_of(const char *state)
{
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i].name, state) == 0)
            return states[i].state;
    return KM_SLURM_UNKNOWN;
}

/* --- the programs --- */

static bool is_there(const char *program)
{
    const char *path = getenv("PATH");
    char full[KM_PATH_BYTES_MAX];

    for (size_t n; path && *path; path += n + (path[n] == ':')) {
        n = strcspn(path, ":");
        if (snprintf(full, sizeof full, "%.*s/%s", (int)n, path, program) < (int)sizeof full &&
            access(full, X_OK) == 0)
            return true;
    }
    return false;
}

int km_slurm_check(km_err *err)
{
    static const char *const programs[] = { "sbatch", "squeue", "scancel" };

    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (!is_there(programs[i])) {
            km_fail(err, KM_EENV, "%s is missing: [executor] is slurm", programs[i]);
            return km_hint(err, "run on a login node of the cluster; or apt install slurm-client, "
                                "and set SLURM_CONF; or --executor local");
        }
    return 0;
}

/* A program's standard output; what it says when it fails is the error. */
static int ask(const char *const *argv, km_proc_result *result, km_err *err)
{
    const km_proc p = { .argv = argv, .timeout_ms = TIMEOUT_MS };
    int rc = km_proc_run(&p, result, err);

    if (rc < 0 || result->exit_code == 0)
        return rc;
    while (km_ends_with(result->err.data, "\n"))
        result->err.data[--result->err.length] = '\0';
    return km_fail(err, KM_EENV, "%s: %.900s", argv[0],
                   *result->err.data ? result->err.data : "it failed and does not say why");
}

/* What passes: the controller is restarted, or busy. */
static bool is_transient(const km_err *why)
{
    static const char *const texts[] = {
        "ontact slurm controller", "ocket timed out", "emporarily unable", "connect failure",
        "onnection refused",       "ry again",        "onnection reset",   "ero Bytes were",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strstr(why->message, texts[i]))
            return true;
    return why->code == KM_ETIME;
}

static size_t add_option(char *room, size_t size, const char *option, const char *value,
                         const char **argv, size_t n)
{
    if (!value)
        return n;
    snprintf(room, size, "%s=%s", option, value);
    argv[n] = room;
    return n + 1;
}

int km_slurm_submit(const km_lab_settings *s, const km_slurm_job *job, char id[64], bool *transient,
                    km_err *err)
{
    char room[8][KM_PATH_BYTES_MAX], minutes[32];
    const char *argv[ARGS_MAX] = { "sbatch", "--parsable", "--no-requeue", "--output=/dev/null" };
    const char *time = s->executor.time;
    km_proc_result result = KM_PROC_RESULT_INIT;
    km_err why = KM_ERR_INIT;
    size_t n = 4;
    int rc;

    *transient = false;
    if (s->executor.args.count > ARGS_MAX - 16)
        return km_fail(err, KM_ELIMIT, "lab.toml's [executor] has more than %d args for sbatch",
                       ARGS_MAX - 16);
    if (!time && job->limit_s) {
        snprintf(minutes, sizeof minutes, "%lld", (long long)(job->limit_s + 59) / 60);
        time = minutes;
    }
    n = add_option(room[0], sizeof room[0], "--job-name", job->name, argv, n);
    n = add_option(room[1], sizeof room[1], "--comment", job->comment, argv, n);
    n = add_option(room[2], sizeof room[2], "--array", job->array, argv, n);
    n = add_option(room[3], sizeof room[3], "--time", time, argv, n);
    n = add_option(room[4], sizeof room[4], "--partition", s->executor.partition, argv, n);
    n = add_option(room[5], sizeof room[5], "--account", s->executor.account, argv, n);
    n = add_option(room[6], sizeof room[6], "--gres", s->executor.gres, argv, n);
    for (size_t i = 0; i < s->executor.args.count; i++)
        argv[n++] = s->executor.args.items[i];
    argv[n++] = job->script;
    rc = ask(argv, &result, &why);
    *transient = rc < 0 && is_transient(&why);
    if (rc == 0 && sscanf(result.out.data, "%63[0-9]", id) != 1)
        rc = km_fail(&why, KM_EENV, "sbatch printed no number: '%.200s'", result.out.data);
    if (rc < 0 && err)
        *err = why;
    km_proc_result_release(&result);
    return rc;
}

/* --- squeue --- */

static bool read_row(char *line, km_slurm_row *out)
{
    return sscanf(line, "%63[^|]|%31[^|]|%95[^\n]", out->id, out->state, out->comment) == 3;
}

static int read_rows(char *text, km_slurm_rows *out, km_err *err)
{
    size_t lines = 1;
    char *rest = text;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    out->rows = calloc(lines, sizeof *out->rows);
    if (!out->rows)
        return km_fail_nomem(err);
    for (char *line; (line = strsep(&rest, "\n"));)
        out->count += read_row(line, &out->rows[out->count]);
    return 0;
}

int km_slurm_list(const char *name, km_slurm_rows *out, km_err *err)
{
    char named[128];
    const char *argv[] = { "squeue", "--noheader",        "--array", "--states=all",
                           named,    "--format=%i|%T|%k", NULL };
    km_proc_result result = KM_PROC_RESULT_INIT;
    int rc;

    *out = (km_slurm_rows){ NULL, 0 };
    snprintf(named, sizeof named, "--name=%s", name);
    rc = ask(argv, &result, err);
    if (rc == 0)
        rc = read_rows(result.out.data, out, err);
    km_proc_result_release(&result);
    return rc;
}

void km_slurm_rows_release(km_slurm_rows *rows)
{
    free(rows->rows);
    *rows = (km_slurm_rows){ NULL, 0 };
}

int km_slurm_cancel(const char *const *ids, size_t count, km_err *err)
{
    const char **argv = calloc(count + 2, sizeof *argv);
    km_proc_result result = KM_PROC_RESULT_INIT;
    int rc;

    if (!argv)
        return km_fail_nomem(err);
    argv[0] = "scancel";
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = ids[i];
    rc = ask(argv, &result, err);
    km_proc_result_release(&result);
    free((void *)argv);
    return rc;
}
