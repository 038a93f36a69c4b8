/* kernmill lab run: the team, on this machine or through a cluster. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/lab.h"
#include "cli/net.h"
#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "core/proc.h"
#include "core/str.h"
#include "core/token.h"
#include "lab/champion.h"
#include "lab/clock.h"
#include "lab/driver.h"
#include "lab/executor.h"
#include "lab/settings.h"

#define SLOTS_MAX 256
#define TELL_MS   30000 /* between two; and for one */

static volatile int stop;

static void on_stop(int signal)
{
    (void)signal;
    stop = stop + 1;
}

/* --- who does what --- */

enum { RESEARCH, PLAN, REVIEW, WORK, REPORT, EVALUATE, HOLDOUT, KINDS };

static const char *const kind_names[] = { "research", "plan",     "review", "work",
                                          "report",   "evaluate", "holdout" };
static const char *const role_names[] = { "researcher", "planner", "reviewer", "worker",
                                          "reporter" };

typedef struct {
    km_lab_settings settings;
    km_executor *executors[2]; /* this machine, and another where that is asked for */
    km_run_kind kinds[KINDS];
    km_team team;
    km_driver options;
    km_term *term;
    const char *notify; /* the command that sends alerts; NULL: there is no webhook */
    const char *webhook;
    int64_t told_ms;
} roster;

/* --- what happens --- */

/* Sends what was not sent, by a process of its own, for it may take its time. What cannot be sent
 * stays, for the next time. */
static void tell(roster *r)
{
    const char *argv[] = { "/bin/sh", "-c", r->notify, NULL }, *env[] = { r->webhook, NULL };
    km_proc p = { .argv = argv, .env = env, .timeout_ms = TELL_MS };
    km_proc_result result = KM_PROC_RESULT_INIT;

    if (!r->notify)
        return;
    r->told_ms = km_clock_boot_ms();
    if (km_proc_run(&p, &result, NULL) < 0 || result.exit_code)
        km_term_note(r->term, "alerts were not sent: %s", result.err.data);
    km_proc_result_release(&result);
}

static void say(void *context, const char *text)
{
    roster *r = context;

    km_term_note(r->term, "%s", text);
    if (km_clock_boot_ms() - r->told_ms > TELL_MS)
        tell(r);
}

/* Our own program, as a command for the shell. */
static const char *own_command(km_lab *lab, const char *row)
{
    km_str text = KM_STR_INIT;
    char *self = NULL, *kept;

    if (km_path_real(&lab->arena, "/proc/self/exe", &self, NULL) < 0)
        return NULL;
    km_executor_quote(&text, self);
    km_str_printf(&text, " lab %s -C ", row);
    km_executor_quote(&text, lab->root);
    kept = km_str_check(&text, NULL) == 0 ? km_arena_strdup(&lab->arena, text.data) : NULL;
    km_str_release(&text);
    return kept;
}

static int find_webhook(km_lab *lab, roster *r, km_err *err)
{
    const char *address = km_token_variable("KERNMILL_WEBHOOK_URL");

    if (!address && !r->settings.alerts.webhook)
        return 0;
    r->notify = own_command(lab, "notify --quiet");
    if (address)
        r->webhook = km_arena_printf(&lab->arena, "KERNMILL_WEBHOOK_URL=%s", address);
    return r->notify && (r->webhook || !address) ? 0 : km_fail_nomem(err);
}

/* Who only reads and writes text does so here, unless lab.toml says where each kind runs. A tree of
 * ours is nowhere but here, and where Slurm's nodes see it. */
static bool goes_elsewhere(const roster *r, int kind)
{
    const km_list *kinds = &r->settings.executor.kinds;
    const bool sees_trees = strcmp(r->settings.executor.name, "hf-jobs") != 0;

    for (size_t i = 0; i < kinds->count; i++)
        if (strcmp(kinds->items[i], kind_names[kind]) == 0)
            return true;
    return !kinds->given && ((kind == WORK && sees_trees) || kind >= EVALUATE);
}

static void add_kind(roster *r, const km_run_kind *kind, bool elsewhere)
{
    const size_t last = r->options.executor_count - 1;
    km_run_kind *k = &r->kinds[r->options.kind_count++];

    *k = *kind;
    k->executor = r->executors[elsewhere ? last : 0];
    if (elsewhere && last && r->settings.executor.command)
        k->command = r->settings.executor.command;
}

/* A role's prompt, where somebody wrote one, is for whoever else than us fills the role. */
static int add(km_lab *lab, roster *r, int kind, bool ours, km_run_kind k, km_err *err)
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
    k.gpu = kind == WORK;
    add_kind(r, &k, goes_elsewhere(r, kind));
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
                 (km_run_kind){ .command = command,
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

/* Its commands have limits of their own; all of a job has one when it is given. */
static int add_evaluators(km_lab *lab, const km_lab_fields *f, const km_lab_settings *s, roster *r,
                          km_err *err)
{
    const char *command = s->evaluate.given ? own_command(lab, "evaluate") : NULL;

    if (!s->evaluate.given)
        return 0;
    if (!command)
        return km_fail_nomem(err);
    for (int kind = EVALUATE; kind <= HOLDOUT; kind++)
        add_kind(r,
                 &(km_run_kind){ .kind = kind_names[kind],
                                 .command = command,
                                 .at_once = (int)s->evaluate.at_once,
                                 .beside = kind_names[kind == EVALUATE ? HOLDOUT : EVALUATE],
                                 .limit_s = f->limit,
                                 .gpu = true },
                 goes_elsewhere(r, kind));
    return 0;
}

/* A lab whose lab.toml names no roles and no evaluator is a queue: one command does all its jobs.
 */
static int make_roster(km_lab *lab, km_lab_fields *f, roster *r, km_err *err)
{
    const km_lab_settings *s = &r->settings;
    int rc;

    if (f->kind || !(s->roles.given || s->search.given || s->evaluate.given)) {
        if (!f->worker && !s->executor.command)
            return km_fail(err, KM_EUSAGE, "--worker is missing: the command that does a job");
        add_kind(r,
                 &(km_run_kind){ .kind = f->kind,
                                 .command = f->worker ? f->worker : s->executor.command,
                                 .limit_s = f->limit,
                                 .output_mb = s->roles.output_mb,
                                 .gpu = true },
                 true);
        return 0;
    }
    r->team = (km_team){ .open = (int64_t)2 * r->options.slots, .say = say, .context = r };
    r->options.team = &r->team;
    if (strcmp(s->executor.name, "hf-jobs") == 0 && !s->executor.command) {
        km_fail(err, KM_EUSAGE, "[executor] is hf-jobs, where neither the lab nor its trees are");
        return km_hint(err, "its 'command' is what a job there runs: it is told the commits");
    }
    rc = add_roles(lab, f, s, r, err);
    return rc == 0 ? add_evaluators(lab, f, s, r, err) : rc;
}

/* --- where --- */

static int connect_jobs(km_jobs_api *out, km_err *err)
{
    static int (*const connect)(km_jobs_api *, km_err *) = KM_NET_RUN(km_jobs_connect);

    return connect ? connect(out, err) : KM_RUN_NET;
}

static int make_elsewhere(km_lab *lab, roster *r, km_err *err)
{
    const char *name = r->settings.executor.name;
    km_executor **out = &r->executors[1];
    km_jobs_api api;
    int rc = 0;

    if (strcmp(name, "slurm") == 0)
        rc = km_executor_slurm(lab, &r->settings, out, err);
    else if (strcmp(name, "hf-jobs") == 0 && (rc = connect_jobs(&api, err)) == 0)
        rc = km_executor_jobs(lab, &r->settings, &api, out, err);
    else if (rc == 0 && strcmp(name, "local") != 0)
        rc = km_fail(err, KM_EUSAGE, "--executor takes local, slurm or hf-jobs, not '%s'", name);
    return rc;
}

static int make_executors(km_lab *lab, km_lab_fields *f, roster *r, km_err *err)
{
    int rc = km_lab_settings_read(&lab->arena, lab->root, &r->settings, err);

    if (rc == 0 && f->executor)
        r->settings.executor.name = f->executor;
    if (rc == 0)
        rc = km_executor_local(lab, &r->settings, &r->executors[0], err);
    if (rc == 0)
        rc = make_elsewhere(lab, r, err);
    for (int i = 0; rc == 0 && i < 2 && r->executors[i]; i++) {
        r->executors[i]->say = say;
        r->executors[i]->context = r;
        r->options.executor_count++;
    }
    return rc;
}

/* Each job would fail. */
static int check_champion(km_lab *lab, const km_lab_settings *s, km_err *err)
{
    km_champion c;
    int rc = s->workspace.given ? km_champion_read(lab, &c, err) : 1;

    if (rc == 0)
        return km_fail(err, KM_EUSAGE, "the lab has no commit to start from: `kernmill lab init`");
    return rc < 0 ? rc : 0;
}

static int make_options(km_lab *lab, km_lab_fields *f, roster *r, km_err *err)
{
    int64_t slots;
    int rc = make_executors(lab, f, r, err);

    if (rc == 0)
        rc = check_champion(lab, &r->settings, err);
    if (rc != 0)
        return rc;
    slots = f->slots ? f->slots : r->settings.executor.slots ? r->settings.executor.slots : 1;
    r->options.kinds = r->kinds;
    r->options.executors = r->executors;
    r->options.slots = (int)slots;
    r->options.lease_s = f->lease;
    r->options.folder = r->settings.executor.folder;
    r->options.wait = f->wait;
    r->options.say = say;
    r->options.context = r;
    if (slots < 1 || slots > SLOTS_MAX)
        return km_fail(err, KM_EUSAGE, "--slots takes 1 to %d", SLOTS_MAX);
    if (f->lease < 0 || f->lease > KM_LAB_LEASE_S_MAX || f->limit < 0)
        return km_fail(err, KM_EUSAGE, "--lease takes 1 to %d seconds, --limit 1 or more",
                       KM_LAB_LEASE_S_MAX);
    return make_roster(lab, f, r, err);
}

static int run(void *fields, const char **args, size_t arg_count, km_err *err)
{
    struct sigaction action = { .sa_handler = on_stop };
    km_lab_fields *f = fields;
    km_lab lab = KM_LAB_INIT;
    km_driver_result r = { 0, 0, 0 };
    roster team = { .term = &f->common.term };
    int rc = km_check_args(arg_count, 0, 0, err);

    (void)args;
    if (rc == 0)
        rc = km_lab_open(&lab, f->dir, err);
    if (rc == 0)
        rc = make_options(&lab, f, &team, err);
    if (rc == 0)
        rc = km_lab_find_programs(&lab, err);
    if (rc == 0)
        rc = find_webhook(&lab, &team, err);
    if (rc == 0) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        rc = km_driver_run(&lab, &team.options, &stop, &r, err);
        tell(&team);
    }
    if (rc == 0 && f->common.json)
        rc = km_print_json(json_pack("{s:i,s:I,s:I,s:I}", "schema", KM_JSON_SCHEMA, "done",
                                     (json_int_t)r.done, "failed", (json_int_t)r.failed, "lost",
                                     (json_int_t)r.lost),
                           err);
    else if (rc == 0)
        printf("%lld done, %lld tries failed, %lld lost\n", (long long)r.done, (long long)r.failed,
               (long long)r.lost);
    for (int i = 0; i < 2; i++)
        if (team.executors[i])
            team.executors[i]->free(team.executors[i]);
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
    KM_OPT_TEXT("executor", 'x', "NAME", km_lab_fields, executor,
                "local, slurm or hf-jobs (default: lab.toml's [executor], or local)"),
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
    .help = "do the jobs, several at once, on this machine or a cluster",
    .args = "",
    .more =
        "Where lab.toml says how commits are measured, the whole team: ideas are had, reviewed, "
        "worked on,\nmeasured and promoted, until there are none or the budget is spent. A role "
        "is filled by its CMD, or\nlab.toml's [roles]; a researcher and a worker for numbers are "
        "built in ([search]).\n\n"
        "CMD runs by the shell in the lab's folder, a worker's in its idea's git tree. Its result "
        "is\nKERNMILL_RUN_DIR/result.json, or the last line of its output when that is an object; "
        "another exit\ncode than 0 gives the job back. Heartbeats, limits and the killing of whole "
        "process groups are done\nhere. May be killed and started again at any time: what runs "
        "under Slurm or as a Hugging Face Job is\ntaken up again. To stop it (Ctrl-C) ends what "
        "runs; twice does not wait for that.",
    .options = options,
    .fields_size = sizeof(km_lab_fields),
    .run = run,
};
