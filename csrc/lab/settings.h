/* lab/settings.h: lab.toml, which people write.
 *
 *     [lab]
 *     name = "rmsnorm"             what is worked on; one lab, one campaign
 *     metric = "latency_ns"        the number that the evaluator writes
 *     direction = "lower"          or "higher": which way is better
 *     effect = 0.0                 a gain up to this is none, in the metric's unit
 *     [budget]                     what is spent of one: nothing more is handed out
 *     runs = 500
 *     gpu_seconds = 7200
 *     money = 20
 *     tokens = 2000000
 *     [workspace]                  ideas are commits (lab/workspace.h)
 *     repository = "."             a git repository, from the lab's folder
 *     change = ["train.py"]        what an idea may change: files and folders
 *     branch = "main"              that carries the champion (default: the one that was checked out
 *                                  when the lab was made)
 *     scores = "research"          a folder there, for results.tsv and live/master.json
 *     allow = ["seed"]             what a change may touch after all (lab/scan.h)
 *     [evaluate]                   how commits are measured (lab/evaluate.h): the shell's commands
 *     build = "make"               once for a commit, then left as it is; may be missing
 *     run = "python3 train.py"     each run; may be missing
 *     evaluate = "python3 evaluate.py"
 *     holdout = "python3 evaluate.py --holdout"
 *     pair = "python3 bench.py"    instead of evaluate, where one process measures both
 *     amount = "tokens"            what must have been evaluated, as much for both
 *     limit = 300                  seconds for a command
 *     pairs = 8                    asked for at once
 *     pairs_max = 32               of an idea; then it stays undecided
 *     at_once = 1                  jobs, where they would disturb each other
 *     [roles]                      who fills which, by a command for the shell (lab/team.h)
 *     researcher = "claude -p"     it reads roles/researcher.md, where that is, and the job
 *     worker = "codex exec -"
 *     limit = 1800                 seconds for one of its jobs
 *     output_mb = 256              MiB that one may print; more ends it
 *     [search]                     ideas without anybody to have them (lab/search.h)
 *     file = "params.h"            where the numbers stand
 *     method = "sweep"             "sweep", "random" or "halving"
 *     count = 64                   ideas at most; 0: as many as there are
 *     seed = 1                     of random and halving
 *     [search.space]
 *     THREADS = [64, 128, 256]
 *     [executor]                   where commands run (lab/executor.h)
 *     name = "slurm"               "local", "slurm" or "hf-jobs"
 *     kinds = ["evaluate"]         of jobs that go there; the rest runs here (default: all but
 *                                  research, plan, review and report)
 *     command = "..."              there, instead of the kind's own
 *     slots = 50                   jobs at once (default: 1; --slots wins)
 *     folder = "/shared/lab"       where runs have their folders and commands begin (default: the
 *                                  lab's): what the cluster sees, when the lab is on a local disk
 *     output_mb = 1024             a longer log ends its run
 *     cpu_seconds, memory_mb       of a process (setrlimit: CPU, DATA); local and slurm
 *     gpus = ["0", "1"]            local: one for each job, as CUDA_VISIBLE_DEVICES
 *     poll = 5                     seconds between two questions; slurm and hf-jobs
 *     partition, account, time, gres = "gpu:1", args = ["--qos=low"]      slurm: of sbatch
 *     array = 50                   slurm: at most so many jobs as one array (default: none)
 *     namespace, flavor = "h200", image = "ubuntu:24.04", timeout = "90m"        hf-jobs
 *     volumes = ["hf://buckets/acme/data:/data:ro"]
 *     secrets = ["HF_TOKEN"]       hf-jobs: names of variables of our own environment
 *     [alerts]                     what `lab notify` sends, and where to (lab/webhook.h)
 *     webhook = "https://..."      a secret: better in KERNMILL_WEBHOOK_URL, which wins
 *     level = "warn"               this and above: "info", "warn", "error"
 *     form = "slack"               or "discord", "plain"; default: by the address
 */
#ifndef KERNMILL_LAB_SETTINGS_H
#define KERNMILL_LAB_SETTINGS_H

#include "formats/fields.h"
#include "lab/budget.h"

typedef struct {
    const char *name, *metric, *direction;
    double effect;

    int64_t budget[KM_BUDGET_KINDS]; /* -1: no limit */

    struct {
        bool given;
        const char *repository, *branch, *scores;
        km_list change, allow;
    } workspace;

    struct {
        bool given;
        const char *build, *run, *evaluate, *holdout, *pair, *amount; /* NULL: there is none */
        int64_t limit_s, pairs, pairs_max, at_once;
    } evaluate;

    struct {
        bool given;
        const char *researcher, *planner, *reviewer, *worker, *reporter; /* NULL: nobody */
        int64_t limit_s, output_mb;                                      /* 0: none */
    } roles;

    struct {
        bool given;
        const char *file, *method;
        int64_t count, seed;
        const km_toml *space; /* a table of arrays, none empty */
    } search;

    struct {
        bool given;
        const char *name, *command, *folder;
        const char *partition, *account, *time, *gres;           /* NULL: sbatch's */
        const char *name_space, *flavor, *image, *timeout;       /* "namespace" */
        int64_t slots, output_mb, cpu_seconds, memory_mb, array; /* 0: none */
        double poll_s;
        km_list kinds, gpus, args, volumes, secrets;
    } executor;

    struct {
        const char *webhook, *level, *form; /* webhook, form: NULL when not given */
    } alerts;
} km_lab_settings;

/* Reads root/lab.toml; everything lives in the arena. Errors: KM_ENOENT; KM_EFORMAT with the place.
 */
int km_lab_settings_read(km_arena *a, const char *root, km_lab_settings *out, km_err *err);

#endif
