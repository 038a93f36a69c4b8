/* kernmill lab run: the team on this machine. */
#include <signal.h>
#include <stdio.h>

#include "cli/lab.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "lab/local.h"
#include "lab/settings.h"

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

/* --- who does what --- */

enum { RESEARCH, PLAN, REVIEW, WORK, REPORT, EVALUATE, HOLDOUT, KINDS };

static const char *const kind_names[] = { "research", "plan",     "review", "work",
                                          "report",   "evaluate", "holdout" };
static const char *const role_names[] = { "researcher", "planner", "reviewer", "worker",
                                          "reporter" };

typedef struct {
    km_local_kind kinds[KINDS];
    km_team team;
    km_local options;
} roster;

/* Our own program, as a command for the shell. */
static const char *own_command(km_lab *lab, const char *row)
{
    char *self = NULL;

    if (km_path_real(&lab->arena, "/proc/self/exe", &self, NULL) < 0)
        return NULL;
    return km_arena_printf(&lab->arena, "'%s' lab %s -C '%s'", self, row, lab->root);
}

/* A role's prompt, where somebody wrote one, is for whoever else than us fills the role. */
static int add(km_lab *lab, roster *r, int kind, bool ours, km_local_kind k, km_err *err)
{
    char *prompt = NULL;

    if (!k.command)
        return 0;
    if (!ours && kind <= REPORT) {
        prompt = km_arena_printf(&lab->arena, "%s/roles/%s.md", lab->root, role_names[kind]);
        if (!prompt)
            return km_fail_nomem(err);
    }
    k.kind = kind_names[kind];
    k.prompt = prompt && km_file_exists(prompt) ? prompt : NULL;
    r->kinds[r->options.kind_count++] = k;
    return 0;
}

/* The command line wins over lab.toml; with [search] we are researcher and worker ourselves. */
static int add_roles(km_lab *lab, const km_lab_fields *f, const km_lab_settings *s, roster *r,
                     km_err *err)
{
    const char *given[] = { f->researcher, f->planner, f->reviewer, f->worker, f->reporter };
    const char *set[] = { s->roles.researcher, s->roles.planner, s->roles.reviewer, s->roles.worker,
                          s->roles.reporter };
    int rc = 0;

    for (int i = 0; rc == 0 && i <= REPORT; i++) {
        const char *command = given[i] ? given[i] : set[i];
        bool ours = !command && s->search.given && (i == RESEARCH || i == WORK);
        if (ours && !(command = own_command(lab, i == WORK ? "edit" : "suggest")))
            return km_fail_nomem(err);
        rc = add(lab, r, i, ours,
                 (km_local_kind){ .command = command,
                                  .limit_s = f->limit ? f->limit : s->roles.limit_s,
                                  .output_mb = s->roles.output_mb },
                 err);
        if (i == RESEARCH)
            r->team.researcher = command != NULL;
        r->team.planner = r->team.planner || (i == PLAN && command);
        r->team.reviewer = r->team.reviewer || (i == REVIEW && command);
        r->team.reporter = r->team.reporter || (i == REPORT && command);
    }
    return rc;
}

/* Its commands have limits of their own. */
static int add_evaluators(km_lab *lab, const km_lab_settings *s, roster *r, km_err *err)
{
    const char *command = s->evaluate.given ? own_command(lab, "evaluate") : NULL;

    if (!s->evaluate.given)
        return 0;
    if (!command)
        return km_fail_nomem(err);
    for (int kind = EVALUATE; kind <= HOLDOUT; kind++)
        r->kinds[r->options.kind_count++] = (km_local_kind){ .kind = kind_names[kind],
                                                             .command = command,
                                                             .at_once = (int)s->evaluate.at_once };
    return 0;
}

/* A lab whose lab.toml names no roles and no evaluator is a queue: one command does all its jobs.
 */
static int make_roster(km_lab *lab, km_lab_fields *f, roster *r, km_err *err)
{
    km_lab_settings s;
    int rc = km_lab_settings_read(&lab->arena, lab->root, &s, err);

    if (rc < 0)
        return rc;
    if (f->kind || !(s.roles.given || s.search.given || s.evaluate.given)) {
        if (!f->worker)
            return km_fail(err, KM_EUSAGE, "--worker is missing: the command that does a job");
        r->kinds[r->options.kind_count++] = (km_local_kind){ .kind = f->kind,
                                                             .command = f->worker,
                                                             .limit_s = f->limit,
                                                             .output_mb = s.roles.output_mb };
        return 0;
    }
    r->team = (km_team){ .open = (int64_t)2 * r->options.slots,
                         .say = say,
                         .context = &f->common.term };
    r->options.team = &r->team;
    rc = add_roles(lab, f, &s, r, err);
    return rc == 0 ? add_evaluators(lab, &s, r, err) : rc;
}

static int make_options(km_lab_fields *f, roster *r, km_err *err)
{
    *r = (roster){ .options = { .kinds = r->kinds,
                                .slots = f->slots ? (int)f->slots : 1,
                                .lease_s = f->lease,
                                .wait = f->wait,
                                .say = say,
                                .context = &f->common.term } };
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
    roster team;
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = make_options(f, &team, err);
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = km_lab_find_programs(&lab, err);
    if (rc == 0)
        rc = make_roster(&lab, f, &team, err);
    if (rc == 0) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        rc = km_local_run(&lab, &team.options, &stop, &r, err);
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
    KM_OPT_TEXT("researcher", 0, "CMD", km_lab_fields, researcher, "has ideas"),
    KM_OPT_TEXT("planner", 0, "CMD", km_lab_fields, planner, "says which are tried first"),
    KM_OPT_TEXT("reviewer", 0, "CMD", km_lab_fields, reviewer, "approves or rejects"),
    KM_OPT_TEXT("reporter", 0, "CMD", km_lab_fields, reporter, "tells what came of it"),
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
        "Where lab.toml says how commits are measured, the whole team: ideas are had, reviewed, "
        "worked on,\nmeasured and promoted, until there are none or the budget is spent. A role "
        "is filled by its CMD, or\nlab.toml's [roles]; a researcher and a worker for numbers are "
        "built in ([search]).\n\n"
        "CMD runs by the shell in the lab's folder, a worker's in its idea's git tree. Its result "
        "is\nKERNMILL_RUN_DIR/result.json, or the last line of its output when that is an object; "
        "another exit\ncode than 0 gives the job back. Heartbeats, time limit and the killing of "
        "whole process groups are\ndone here. May be killed and started again at any time.",
    .options = options,
    .fields_size = sizeof(km_lab_fields),
    .run = run,
};
