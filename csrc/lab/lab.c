#include "lab/lab.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "lab/budget.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/schema.h"
#include "lab/settings.h"

static const char template[] =
    "# A lab: what is worked on, and what it may cost. After a change: kernmill lab init\n"
    "\n"
    "[lab]\n"
    "name = %s\n"
    "metric = \"metric\"      # the number that the evaluator writes\n"
    "direction = \"lower\"    # which way is better: lower, or higher\n"
    "effect = 0.0           # a gain up to this, in the metric's unit, is none\n"
    "\n"
    "[budget]               # when one is spent, nothing more is handed out\n"
    "runs = 1000\n"
    "# gpu_seconds = 7200   # this one, and money, end what runs, too\n"
    "# money = 20\n"
    "# tokens = 2000000\n"
    "\n"
    "# Ideas as commits, measured by programs that they may not change:\n"
    "#\n"
    "# [workspace]\n"
    "# change = [\"train.py\"]  # what an idea may change: files and folders of this repository\n"
    "#\n"
    "# [evaluate]            # for the shell; each sees KERNMILL_SEED, and a folder KERNMILL_OUT\n"
    "# build = \"make\"        # once for a commit, into KERNMILL_BUILD; may be missing\n"
    "# run = \"python3 train.py\"             # leaves what it makes in KERNMILL_OUT; may be "
    "missing\n"
    "# evaluate = \"python3 evaluate.py\"     # writes {\"metric\": 1.5} into the file "
    "KERNMILL_METRICS\n"
    "# holdout = \"python3 evaluate.py --holdout\"   # other data, looked at before a promotion\n"
    "# limit = 600           # seconds for a command\n"
    "# pairs = 8             # runs of parent and candidate, in turns, before a first verdict\n"
    "# pairs_max = 32        # of an idea; then it is undecided\n"
    "# at_once = 1           # measurements beside each other, of all drivers\n"
    "#\n"
    "# [search]              # ideas without anybody to have them: the numbers of a file\n"
    "# file = \"train.py\"     # lines NAME = value; #define NAME value in C; members in JSON\n"
    "# method = \"sweep\"      # or random, halving\n"
    "# [search.space]\n"
    "# RATE = [0.1, 0.3]\n"
    "#\n"
    "# [roles]               # a command for the shell for each; `lab init --agents` writes some\n"
    "# researcher = \"claude -p\"      # planner, reviewer, worker and reporter likewise\n"
    "# limit = 1800          # seconds\n"
    "#\n"
    "# [executor]            # where commands run: local, slurm or hf-jobs\n"
    "# name = \"local\"\n"
    "# slots = 2\n"
    "#\n"
    "# [alerts]\n"
    "# level = \"warn\"        # sent to KERNMILL_WEBHOOK_URL: info, warn or error\n";

/* --- lab.toml --- */

/* A folder's name as a string of TOML, which is written as JSON's are. */
static const char *quoted(km_arena *a, const char *name)
{
    json_t *text = json_string(name);
    char *dumped = json_dumps(text, JSON_ENCODE_ANY);
    const char *kept = dumped ? km_arena_strdup(a, dumped) : "\"lab\""; /* no UTF-8 */

    free(dumped);
    json_decref(text);
    return kept;
}

static int write_template(km_lab *lab, km_err *err)
{
    char *path = km_path_join(&lab->arena, lab->root, "lab.toml"), *text;
    char *full = realpath(lab->root, NULL);

    if (path && km_file_exists(path)) {
        free(full);
        return 0;
    }
    text = full ? km_arena_printf(&lab->arena, template, quoted(&lab->arena, km_path_base(full)))
                : NULL;
    free(full);
    if (!path || !text)
        return km_fail_nomem(err);
    return km_file_write(path, text, strlen(text), 0644, err);
}

/* --- the store --- */

/* The store is nothing for the repository around it. */
static int write_gitignore(km_lab *lab, km_err *err)
{
    char *path = km_arena_printf(&lab->arena, "%s/.lab/.gitignore", lab->root);

    return path ? km_file_update(path, "*\n", 2, 0644, err) : km_fail_nomem(err);
}

static int set_places(km_lab *lab, const char *dir, km_err *err)
{
    lab->root = km_arena_strdup(&lab->arena, dir);
    lab->store = km_arena_printf(&lab->arena, "%s/.lab/lab.db", dir);
    return lab->root && lab->store ? 0 : km_fail_nomem(err);
}

/* The one that there is. */
static int find_campaign(km_lab *lab, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err, "SELECT id, name FROM campaigns ORDER BY id LIMIT 1",
                         "");

    if (rc < 0)
        return rc;
    rc = km_db_step(&lab->db, s, err);
    if (rc == 1) {
        lab->campaign = sqlite3_column_int64(s, 0);
        lab->name = km_db_text(&lab->arena, s, 1);
    }
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

static int write_campaign(km_lab *lab, const km_lab_settings *s, km_err *err)
{
    json_t *doc = json_pack("{s:s,s:s,s:f}", "metric", s->metric, "direction", s->direction,
                            "effect", s->effect);
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
    int rc = text ? 0 : km_fail_nomem(err);

    if (rc == 0 && !lab->campaign) {
        rc = km_db_run(&lab->db, NULL, err,
                       "INSERT INTO campaigns (name, settings, state, created_us)"
                       " VALUES (?, ?, 'open', ?)",
                       "tti", s->name, text, km_clock_us());
        lab->campaign = sqlite3_last_insert_rowid(lab->db.handle);
    } else if (rc == 0) {
        rc = km_db_run(&lab->db, NULL, err,
                       "UPDATE campaigns SET name = ?, settings = ? WHERE id = ?", "tti", s->name,
                       text, lab->campaign);
    }
    if (rc == 0)
        rc = km_event_add(&lab->db, "campaign", lab->campaign, "settings", json_incref(doc), err);
    lab->name = km_arena_strdup(&lab->arena, s->name);
    json_decref(doc);
    free(text);
    return rc;
}

static int write_settings(km_lab *lab, const km_lab_settings *s, km_err *err)
{
    int rc = km_db_begin(&lab->db, err);

    if (rc == 0)
        rc = find_campaign(lab, err);
    if (rc == 0)
        rc = write_campaign(lab, s, err);
    for (int i = 0; rc == 0 && i < KM_BUDGET_KINDS; i++)
        rc = km_budget_set(&lab->db, lab->campaign, (km_budget_kind)i, (double)s->budget[i], err);
    if (rc == 0)
        return km_db_commit(&lab->db, err);
    km_db_rollback(&lab->db);
    return rc;
}

int km_lab_make(km_lab *lab, const char *dir, bool *made, km_err *err)
{
    km_lab_settings s;
    int rc;

    *lab = (km_lab)KM_LAB_INIT;
    rc = km_dir_make(dir, err);
    if (rc == 0)
        rc = set_places(lab, dir, err);
    if (rc == 0)
        rc = write_template(lab, err);
    if (rc == 0)
        rc = km_lab_settings_read(&lab->arena, lab->root, &s, err);
    if (rc == 0)
        rc = km_dir_make(km_path_dir(&lab->arena, lab->store), err);
    if (rc == 0)
        rc = write_gitignore(lab, err);
    *made = rc == 0 && !km_file_exists(lab->store);
    if (rc == 0)
        rc = km_db_open(&lab->db, lab->store, &km_lab_schema, true, err);
    if (rc == 0)
        rc = write_settings(lab, &s, err);
    if (rc < 0)
        km_lab_close(lab);
    return rc;
}

int km_lab_open(km_lab *lab, const char *dir, km_err *err)
{
    char *at = realpath(dir ? dir : ".", NULL);
    int rc;

    *lab = (km_lab)KM_LAB_INIT;
    if (!at)
        return km_fail(err, KM_ENOENT, "there is no folder '%s'", dir ? dir : ".");
    for (;;) {
        rc = set_places(lab, at, err);
        if (rc < 0 || km_file_exists(lab->store) || !strrchr(at, '/') || !at[1])
            break;
        *(strrchr(at, '/') == at ? at + 1 : strrchr(at, '/')) = '\0';
    }
    free(at);
    if (rc == 0 && !km_file_exists(lab->store)) {
        rc = km_fail(err, KM_ENOENT, "there is no lab in '%s', nor above it", dir ? dir : ".");
        km_hint(err, "kernmill lab init");
    }
    if (rc == 0)
        rc = km_db_open(&lab->db, lab->store, &km_lab_schema, false, err);
    if (rc == 0)
        rc = find_campaign(lab, err);
    if (rc < 0)
        km_lab_close(lab);
    return rc;
}

int km_lab_kept(km_lab *lab, json_t **out, km_err *err)
{
    sqlite3_stmt *s;
    int rc = km_db_query(&lab->db, &s, err, "SELECT settings FROM campaigns WHERE id = ?", "i",
                         lab->campaign);

    *out = NULL;
    if (rc < 0)
        return rc;
    rc = km_db_step(&lab->db, s, err);
    if (rc == 1) {
        const char *text = (const char *)sqlite3_column_text(s, 0);
        rc = km_json_parse(text, strlen(text), "the campaign's settings", out, err);
    } else if (rc == 0) {
        rc = km_fail(err, KM_EUSAGE, "the lab has no campaign");
    }
    sqlite3_finalize(s);
    return rc;
}

void km_lab_close(km_lab *lab)
{
    km_db_close(&lab->db);
    km_arena_release(&lab->arena);
}

int km_lab_hold(km_lab *lab, const char *name, km_err *err)
{
    char *path = km_arena_printf(&lab->arena, "%s/.lab/%s", lab->root, name);

    return path ? km_file_lock(path, true, err) : km_fail_nomem(err);
}

km_arena km_lab_arena_begin(km_lab *lab)
{
    km_arena kept = lab->arena;

    lab->arena = (km_arena)KM_ARENA_INIT;
    return kept;
}

void km_lab_arena_end(km_lab *lab, km_arena kept)
{
    km_arena_release(&lab->arena);
    lab->arena = kept;
}
