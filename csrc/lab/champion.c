#include "lab/champion.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"
#include "lab/branch.h"
#include "lab/clock.h"
#include "lab/event.h"
#include "lab/ledger.h"

#define REF "refs/lab/champion"

int km_champion_read(km_lab *lab, km_champion *out, km_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = km_db_query(&lab->db, &s, err,
                         "SELECT id, ifnull(hypothesis, 0), commit_id FROM champions"
                         " WHERE campaign = ? ORDER BY id DESC LIMIT 1",
                         "i", lab->campaign);

    *out = (km_champion){ 0, 0, NULL };
    if (rc < 0)
        return rc;
    rc = km_db_step(&lab->db, s, err);
    if (rc == 1)
        *out = (km_champion){ sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                              km_db_text(&lab->arena, s, 2) };
    sqlite3_finalize(s);
    if (rc == 1 && !out->commit)
        return km_fail_nomem(err);
    return rc;
}

int km_champion_runs(km_lab *lab, const km_champion *c, km_lab_runs *out, const char **block,
                     km_err *err)
{
    static const char of[] = " FROM runs WHERE value IS NOT NULL AND commit_id IN"
                             " (?1, (SELECT commit_id FROM hypotheses WHERE id = ?2))";
    char *first = km_arena_printf(&lab->arena,
                                  "SELECT block%s GROUP BY block ORDER BY count(*)"
                                  " DESC, block LIMIT 1",
                                  of);
    char *all = km_arena_printf(&lab->arena, "SELECT value%s AND block = ?3", of);
    sqlite3_stmt *s = NULL;
    int rc = first && all ? km_db_query(&lab->db, &s, err, first, "ti", c->commit, c->hypothesis)
                          : km_fail_nomem(err);

    *out = (km_lab_runs){ 0, 0, 0 };
    *block = "";
    if (rc < 0)
        return rc;
    rc = km_db_step(&lab->db, s, err);
    if (rc == 1)
        *block = km_db_text(&lab->arena, s, 0);
    sqlite3_finalize(s);
    if (rc <= 0 || !*block)
        return rc < 0 ? rc : 0;
    rc = km_db_query(&lab->db, &s, err, all, "tit", c->commit, c->hypothesis, *block);
    if (rc < 0)
        return rc;
    while ((rc = km_db_step(&lab->db, s, err)) == 1)
        km_lab_runs_add(out, sqlite3_column_double(s, 0));
    sqlite3_finalize(s);
    return rc;
}

int km_champion_settle(km_workspace *w, const char **late, km_err *err)
{
    km_err why = KM_ERR_INIT;
    const char *branch = NULL;
    const char *tip = NULL;
    km_champion c = { 0, 0, NULL };
    int rc = km_champion_read(w->lab, &c, err);

    *late = NULL;
    if (rc <= 0)
        return rc;
    rc = km_branch_find(w, &branch, err);
    if (rc == 0)
        rc = km_git_keep(&w->git, REF, c.commit, err);
    if (rc == 0)
        rc = km_branch_tip(w, branch, &tip, err);
    if (rc == 0 && strcmp(tip, c.commit) == 0)
        return 0;
    if (rc == 0)
        rc = km_git_is_ancestor(&w->git, tip, c.commit, err);
    if (rc == 1)
        rc = km_branch_advance(w, branch, tip, c.commit, &why);
    else if (rc == 0)
        *late = km_arena_printf(&w->lab->arena,
                                "'%s' has commits that the champion has not: `kernmill lab init`"
                                " makes it the baseline",
                                branch);
    if (rc == KM_ECHILD) {
        *late = km_arena_printf(&w->lab->arena, "'%s' stays behind the champion: %s", branch,
                                why.message);
        rc = 0;
    }
    return rc;
}

/* --- a successor --- */

/* In the transaction. `branch`: of a baseline. Errors: KM_EUSAGE when another was first. */
static int succeed(km_workspace *w, const km_champion *now, int64_t hypothesis, const char *commit,
                   const char *branch, km_err *err)
{
    km_db *db = &w->lab->db;
    km_champion c = { 0, 0, NULL };
    int64_t id;
    int rc = km_champion_read(w->lab, &c, err);

    if (rc >= 0 && c.id != now->id)
        return km_fail(err, KM_EUSAGE, "another became champion meanwhile");
    if (rc >= 0)
        rc = km_db_run(db, NULL, err,
                       "INSERT INTO champions (campaign, previous, hypothesis, commit_id,"
                       " created_us) VALUES (?, nullif(?, 0), nullif(?, 0), ?, ?)",
                       "iiiti", w->lab->campaign, now->id, hypothesis, commit, km_clock_us());
    id = sqlite3_last_insert_rowid(db->handle);
    if (rc == 0)
        rc = km_event_add(db, "champion", id, hypothesis ? "promoted" : "baseline",
                          json_pack("{s:I,s:s,s:s*}", "hypothesis", (json_int_t)hypothesis,
                                    "commit", commit, "branch", branch),
                          err);
    return rc;
}

/* Whether a commit has a file, or a folder, of this name: 1 or 0. */
static int has(km_workspace *w, const char *commit, const char *type, const char *name)
{
    char *spec = km_arena_printf(&w->lab->arena, "%s:%s%s", commit, w->prefix, name), *is = NULL;

    return spec && km_git_text(&w->git, &is, NULL, KM_GIT("cat-file", "-t", spec)) == 0 &&
           strcmp(is, type) == 0;
}

/* The scores take no file's place that somebody wrote; those of a lab that was here before are
 * known by their master.json. */
static int check_scores(km_workspace *w, const char *tip, km_err *err)
{
    const char *scores = w->settings.workspace.scores;
    char *table = km_arena_printf(&w->lab->arena, "%s/results.tsv", scores);
    char *master = km_arena_printf(&w->lab->arena, "%s/live/master.json", scores);
    const char *taken = has(w, tip, "blob", scores) ? scores : table;

    if (!table || !master)
        return km_fail_nomem(err);
    if (!has(w, tip, "blob", taken) || has(w, tip, "blob", master))
        return 0;
    km_fail(err, KM_EUSAGE, "'%s' is somebody's, and the lab would write its scores there", taken);
    km_hint(err, "name another folder in lab.toml: [workspace] scores = \"scores\"");
    return KM_EUSAGE;
}

int km_champion_begin(km_workspace *w, km_err *err)
{
    const char *branch = NULL;
    const char *tip = NULL;
    km_champion c = { 0, 0, NULL };
    int rc = km_branch_find(w, &branch, err), ours = 0;

    if (rc == 0)
        rc = km_branch_tip(w, branch, &tip, err);
    if (rc == 0)
        rc = km_champion_read(w->lab, &c, err);
    if (rc > 0)
        ours = km_git_is_ancestor(&w->git, tip, c.commit, err);
    if (rc < 0 || ours)
        return rc < 0 ? rc : ours < 0 ? ours : 0;
    rc = c.commit ? 0 : check_scores(w, tip, err);
    if (rc == 0)
        rc = km_git_keep(&w->git, REF, tip, err);
    if (rc == 0)
        rc = km_db_begin(&w->lab->db, err);
    if (rc == 0)
        rc = succeed(w, &c, 0, tip, branch, err);
    if (rc == 0)
        return km_db_commit(&w->lab->db, err);
    km_db_rollback(&w->lab->db);
    return rc;
}

/* --- promotion --- */

/* *passed: 1 or 0 by the last use of the holdout since the idea was judged; -1: there is none. */
static int read_holdout(km_workspace *w, int64_t id, int64_t *passed, km_err *err)
{
    return km_db_int(&w->lab->db, passed, -1, err,
                     "SELECT passed FROM holdouts WHERE hypothesis = ?1 AND created_us >"
                     " (SELECT ifnull(max(created_us), 0) FROM decisions WHERE hypothesis = ?1)"
                     " ORDER BY id DESC LIMIT 1",
                     "i", id);
}

static int check_holdout(km_workspace *w, int64_t id, km_err *err)
{
    int64_t passed;
    int rc = w->settings.evaluate.holdout ? read_holdout(w, id, &passed, err) : 0;

    if (rc < 0 || !w->settings.evaluate.holdout || passed == 1)
        return rc;
    return km_fail(err, KM_EUSAGE,
                   passed ? "the holdout was not looked at since hypothesis %lld was judged"
                          : "hypothesis %lld is worse on the holdout",
                   (long long)id);
}

int km_champion_ask_holdout(km_workspace *w, int64_t hypothesis, bool *asked, km_err *err)
{
    int64_t passed = -1;
    km_idea idea = { 0 };
    bool own;
    int rc = km_db_enter(&w->lab->db, &own, err);

    *asked = false;
    if (rc == 0)
        rc = km_hypothesis_read(&w->lab->db, &w->lab->arena, hypothesis, &idea, err);
    if (rc == 0)
        rc = read_holdout(w, hypothesis, &passed, err);
    if (rc == 0 && passed < 0 && w->settings.evaluate.holdout &&
        strcmp(idea.state, "accepted") == 0) {
        *asked = true;
        rc = km_workspace_ask(w, &idea, "holdout", KM_LAB_JUDGE_PAIRS, err);
    }
    return km_db_leave(&w->lab->db, own, rc, err);
}

static int check_review(km_workspace *w, int64_t id, km_err *err)
{
    int64_t approved;
    int rc = km_db_int(&w->lab->db, &approved, 0, err,
                       "SELECT count(*) FROM reviews WHERE hypothesis = ? AND verdict = 'approve'",
                       "i", id);

    if (rc == 0 && !approved)
        rc = km_fail(err, KM_EUSAGE, "nobody has approved hypothesis %lld", (long long)id);
    return rc;
}

/* In the transaction: whether it may be champion. */
static int check(km_workspace *w, const km_idea *idea, const km_champion *now, km_err *err)
{
    if (strcmp(idea->state, "accepted") != 0)
        return km_fail(err, KM_EUSAGE, "hypothesis %lld is %s; what is promoted was accepted",
                       (long long)idea->id, idea->state);
    if (strcmp(idea->parent, now->commit) != 0)
        return km_fail(err, KM_EUSAGE, "hypothesis %lld beat a champion that is none any more",
                       (long long)idea->id);
    if (check_review(w, idea->id, err) < 0 || check_holdout(w, idea->id, err) < 0)
        return err ? err->code : KM_EUSAGE;
    return 0;
}

/* master.json of the files that multiautoresearch keeps: what the branch's champion is. */
static char *master_json(km_workspace *w, const km_idea *idea)
{
    km_champion as = { 0, idea->id, idea->commit };
    char chain[KM_SHA256_HEX_BYTES] = "", *text, *kept;
    const char *block = "";
    int64_t events = 0;
    km_lab_runs runs;
    json_t *doc;

    if (km_champion_runs(w->lab, &as, &runs, &block, NULL) < 0 ||
        km_event_head(&w->lab->db, &events, chain, NULL) < 0)
        return NULL;
    doc = json_pack("{s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:s,s:{s:I,s:s},s:{s:I,s:o,s:o}}", "hash",
                    idea->commit, "parent_hash", idea->parent, "patch_id", idea->patch,
                    "contributor_id", idea->author, "message", idea->title, "hypothesis",
                    (json_int_t)idea->id, w->settings.metric,
                    runs.n ? km_json_real(runs.mean) : json_null(), "platform", block, "history",
                    "events", (json_int_t)events, "chain", chain, "runs", "n", (json_int_t)runs.n,
                    "mean", runs.n ? km_json_real(runs.mean) : json_null(), "sd",
                    runs.n > 1 ? km_json_real(km_lab_runs_sd(&runs)) : json_null());
    text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
    kept = text ? km_arena_printf(&w->lab->arena, "%s\n", text) : NULL;
    json_decref(doc);
    free(text);
    return kept;
}

/* A file of `dir` becomes <scores>/<name> in the index of `g`. */
static int add_file(km_workspace *w, const km_git *g, const char *dir, const char *name,
                    km_err *err)
{
    km_arena *a = &w->lab->arena;
    char *file = km_path_join(a, dir, km_path_base(name)), *blob = NULL, *info;
    int rc = file ? km_git_text(g, &blob, err,
                                KM_GIT("hash-object", "-w", "--no-filters", "--", file))
                  : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    info = km_arena_printf(a, "100644,%s,%s%s/%s", blob, w->prefix, w->settings.workspace.scores,
                           name);
    return info ? km_git_run(g, err, KM_GIT("update-index", "--add", "--cacheinfo", info))
                : km_fail_nomem(err);
}

/* master.json and results.tsv, by the names that multiautoresearch gives them. */
static int write_scores(km_workspace *w, const km_idea *idea, const char *dir, km_err *err)
{
    char *text = master_json(w, idea);
    char *json = km_path_join(&w->lab->arena, dir, "master.json");
    char *tsv = km_path_join(&w->lab->arena, dir, "results.tsv");
    int rc = text && json && tsv ? km_file_write(json, text, strlen(text), 0644, err)
                                 : km_fail_nomem(err);

    return rc == 0 ? km_ledger_write(w->lab, tsv, KM_LEDGER_MULTIAUTORESEARCH, err) : rc;
}

/* The commit with the scores in it, on top of the idea's own, so that the branch goes forward
 * through it. Made in an index of its own: no tree is touched. */
static int make_commit(km_workspace *w, const km_idea *idea, char **out, km_err *err)
{
    km_arena *a = &w->lab->arena;
    char *dir = NULL, *tree = NULL;
    char *message = km_arena_printf(a, "Champion: %s\n\nHypothesis: %lld\n", idea->title,
                                    (long long)idea->id);
    km_git g = w->git;
    int rc = message ? km_dir_temporary(a, "scores", &dir, err) : km_fail_nomem(err);

    if (rc < 0)
        return rc;
    g.index = km_path_join(a, dir, "index");
    rc = g.index ? write_scores(w, idea, dir, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_git_run(&g, err, KM_GIT("read-tree", idea->commit));
    if (rc == 0)
        rc = add_file(w, &g, dir, "live/master.json", err);
    if (rc == 0)
        rc = add_file(w, &g, dir, "results.tsv", err);
    if (rc == 0)
        rc = km_git_text(&g, &tree, err, KM_GIT("write-tree"));
    if (rc == 0)
        rc = km_git_text(&g, out, err,
                         KM_GIT("commit-tree", tree, "-p", idea->commit, "-m", message));
    km_dir_remove(dir, NULL);
    return rc;
}

/* In the transaction, so that the scores are those of after it. The reference is made before the
 * store names the commit: what it names is never collected. */
static int promote(km_workspace *w, const km_idea *idea, const km_champion *now, km_err *err)
{
    char *made = NULL;
    char *ref = km_arena_printf(&w->lab->arena, "refs/lab/%lld.champion", (long long)idea->id);
    int rc = ref ? check(w, idea, now, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_hypothesis_move(&w->lab->db, idea->id, "promoted", "", err);
    if (rc == 0)
        rc = make_commit(w, idea, &made, err);
    if (rc == 0)
        rc = km_git_keep(&w->git, ref, made, err);
    return rc == 0 ? succeed(w, now, idea->id, made, NULL, err) : rc;
}

int km_champion_promote(km_workspace *w, int64_t hypothesis, km_err *err)
{
    km_champion now = { 0, 0, NULL };
    km_idea idea = { 0 };
    bool own;
    int rc = km_db_enter(&w->lab->db, &own, err);

    if (rc == 0)
        rc = km_hypothesis_read(&w->lab->db, &w->lab->arena, hypothesis, &idea, err);
    if (rc == 0)
        rc = km_champion_read(w->lab, &now, err);
    if (rc == 0)
        rc = km_fail(err, KM_EUSAGE, "the lab has no champion: `kernmill lab init`");
    if (rc > 0)
        rc = promote(w, &idea, &now, err);
    return km_db_leave(&w->lab->db, own, rc, err);
}

/* --- the history --- */

int km_champion_check_history(km_workspace *w, km_err *err)
{
    km_champion c = { 0, 0, NULL };
    char *spec, *text = NULL;
    json_t *doc = NULL, *history;
    int rc = km_champion_read(w->lab, &c, err);

    if (rc <= 0 || !c.hypothesis)
        return rc < 0 ? rc : 0;
    spec = km_arena_printf(&w->lab->arena, "%s:%s%s/live/master.json", c.commit, w->prefix,
                           w->settings.workspace.scores);
    if (!spec)
        return km_fail_nomem(err);
    if (km_git_text(&w->git, &text, NULL, KM_GIT("cat-file", "-p", spec)) < 0)
        return 0; /* another folder for scores than then */
    rc = km_json_parse(text, strlen(text), "master.json", &doc, err);
    history = json_object_get(doc, "history");
    if (rc == 0 && history)
        rc = km_event_is(&w->lab->db, (int64_t)km_json_number_of(history, "events"),
                         km_json_text_of(history, "chain"), err);
    if (rc == 0 && history)
        rc = km_fail(err, KM_EFORMAT,
                     "'%s': the history is not the one that the champion's commit %.12s names",
                     w->lab->store, c.commit);
    json_decref(doc);
    return rc < 0 ? rc : 0;
}
