/* kernmill lab run: the team on this machine. */
#include <signal.h>
#include <stdio.h>

#include "cli/lab.h"
#include "core/limits.h"
#include "lab/local.h"

#define SLOTS_MAX 256

static volatile int stop;

static void on_stop(int signal)
{
    (void)signal;
    stop = 1;
}

static void say(void *context, const char *text)
{
    km_term_note(context, "%s", text);
}

static int make_options(km_lab_fields *f, km_local *o, km_err *err)
{
    *o = (km_local){ .command = f->worker,
                     .kind = f->kind,
                     .slots = f->slots ? (int)f->slots : 1,
                     .lease_s = f->lease,
                     .limit_s = f->limit,
                     .wait = f->wait,
                     .say = say,
                     .context = &f->common.term };
    if (!f->worker)
        return km_fail(err, KM_EUSAGE, "--worker is missing: the command that does a job");
    if (f->slots < 0 || f->slots > SLOTS_MAX)
        return km_fail(err, KM_EUSAGE, "--slots takes 1 to %d", SLOTS_MAX);
    if (f->lease < 0 || f->lease > KM_LAB_LEASE_S_MAX || f->limit < 0)
        return km_fail(err, KM_EUSAGE, "--lease takes 1 to %d seconds, --limit 1 or more",
                       KM_LAB_LEASE_S_MAX);
    return 0;
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    struct sigaction action = { .sa_handler = on_stop };
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    km_local_result r = { 0, 0, 0 };
    km_local o;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = make_options(f, &o, err);
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        rc = km_local_run(&lab, &o, &stop, &r, err);
    }
    if (rc == 0 && f->common.json)
        rc = km_print_json(json_pack("{s:i,s:I,s:I,s:I}", "schema", KM_JSON_SCHEMA, "done",
                                     (json_int_t)r.done, "failed", (json_int_t)r.failed, "lost",
                                     (json_int_t)r.lost),
                           err);
    else if (rc == 0)
        printf("%lld done, %lld tries failed, %lld lost\n", (long long)r.done, (long long)r.failed,
               (long long)r.lost);
    km_lab_close(&lab);
    return rc;
}

static const km_opt options[] = {
    KM_OPT_TEXT("worker", 'w', "CMD", km_lab_fields, worker,
                "does a job: its JSON on standard input"),
    KM_OPT_INT("slots", 'n', "N", km_lab_fields, slots, "jobs at once (default: 1)"),
    KM_OPT_TEXT("kind", 'k', "KIND", km_lab_fields, kind, "only work of this kind"),
    KM_OPT_INT("limit", 0, "S", km_lab_fields, limit, "seconds for one job (default: none)"),
    KM_OPT_INT("lease", 'l', "S", km_lab_fields, lease, "seconds without a beat (default: 120)"),
    KM_OPT_FLAG("wait", 0, km_lab_fields, wait, "go on when nothing waits, until it is stopped"),
    KM_LAB_OPT_DIR,
    KM_OPT_END,
};

extern const km_command km_cmd_lab_run;
const km_command km_cmd_lab_run = {
    .name = "lab run",
    .help = "do the jobs on this machine, several at once",
    .args = "",
    .more =
        "CMD runs by the shell in the lab's folder. Its result is KERNMILL_RUN_DIR/result.json, or "
        "the\n"
        "last line of its output when that is an object; another exit code than 0 gives the job "
        "back.\n"
        "Heartbeats, time limit and the killing of whole process groups are done here. Ends when\n"
        "nothing waits or the budget is spent; may be killed and started again at any time.",
    .options = options,
    .fields_size = sizeof(km_lab_fields),
    .run = run,
};
