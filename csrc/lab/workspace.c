#include "lab/workspace.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "formats/json.h"
#include "lab/champion.h"
#include "lab/manifest.h"
#include "lab/patch.h"
#include "lab/queue.h"
#include "lab/scan.h"
#include "lab/worktree.h"

int km_workspace_open(km_workspace *w, km_lab *lab, km_err *err)
{
    const char *folder;
    char *prefix = NULL;
    int rc;

    *w = (km_workspace){ .lab = lab };
    rc = km_lab_settings_read(&lab->arena, lab->root, &w->settings, err);
    if (rc < 0 || !w->settings.workspace.given)
        return rc;
    folder = km_path_join(&lab->arena, lab->root, w->settings.workspace.repository);
    w->git = (km_git){ &lab->arena, folder, NULL };
    rc = folder ? km_git_text(&w->git, &prefix, err, KM_GIT("rev-parse", "--show-prefix"))
                : km_fail_nomem(err);
    if (rc == KM_ECHILD || rc == KM_ENOENT) {
        rc = km_fail(err, KM_EUSAGE, "[workspace]: '%s' is no git repository", folder);
        km_hint(err, "git init there, and commit what ideas shall start from");
    }
    w->prefix = prefix;
    if (rc == 0)
        rc = km_scan_check_names(&w->settings.workspace.allow, err);
    return rc < 0 ? rc : 1;
}

/* --- the worktree of a lease --- */

/* Of a lease: "7.12.1", which is its worktree's name, and its ref's. */
static const char *name_of(const km_workspace *w, const km_worker_id *id)
{
    return km_arena_printf(&w->lab->arena, "%lld.%lld.%lld", (long long)id->hypothesis,
                           (long long)id->job, (long long)id->token);
}

static const char *place(const km_workspace *w, const char *name)
{
    return name ? km_arena_printf(&w->lab->arena, "%s/.lab/worktrees/%s", w->lab->root, name)
                : NULL;
}

/* The commit that an idea names, or the champion's. */
static int find_parent(km_workspace *w, const km_idea *idea, const char **out, km_err *err)
{
    char *commit = NULL, *spec;
    km_champion c = { 0, 0, NULL };
    int rc;

    if (!*idea->parent) {
        rc = km_champion_read(w->lab, &c, err);
        *out = c.commit;
        return rc == 0 ? km_fail(err, KM_EUSAGE, "the lab has no champion: `kernmill lab init`")
                       : rc;
    }
    spec = km_arena_printf(&w->lab->arena, "%s^{commit}", idea->parent);
    rc = spec ? km_git_text(&w->git, &commit, err, KM_GIT("rev-parse", "--verify", spec))
              : km_fail_nomem(err);
    if (rc == KM_ECHILD)
        rc = km_fail(err, KM_EUSAGE, "hypothesis %lld has the parent '%s', which is no commit here",
                     (long long)idea->id, idea->parent);
    *out = commit;
    return rc < 0 ? rc : 1;
}

int km_workspace_make(km_workspace *w, const km_worker_id *id, const char **path, km_err *err)
{
    const char *tree = place(w, name_of(w, id)), *parent = NULL;
    km_idea idea = { 0 };
    int rc = tree ? km_hypothesis_read(&w->lab->db, &w->lab->arena, id->hypothesis, &idea, err)
                  : km_fail_nomem(err);

    if (rc == 0)
        rc = find_parent(w, &idea, &parent, err);
    if (rc > 0)
        rc = km_worktree_add(w, parent, tree, err);
    if (rc == 0)
        rc = km_hypothesis_set(&w->lab->db, id->hypothesis, "parent", parent, err);
    if (rc < 0)
        return rc;
    *path = km_path_join(&w->lab->arena, tree, *w->prefix ? w->prefix : ".");
    return *path ? 0 : km_fail_nomem(err);
}

/* --- what was handed in --- */

/* What a commit is kept by, whatever the store comes to say of it: refs/lab/<name>. */
static int keep(km_workspace *w, const char *name, const char *commit, km_err *err)
{
    char *ref = km_arena_printf(&w->lab->arena, "refs/lab/%s", name);

    return ref ? km_git_keep(&w->git, ref, commit, err) : km_fail_nomem(err);
}

/* The tree as it lies there, as one commit on the parent, whatever its worker committed. */
static int make_commit(km_workspace *w, const km_idea *idea, const char *tree, const char *name,
                       km_taken *out, km_err *err)
{
    char *text = km_arena_printf(&w->lab->arena, "%s\n\nHypothesis: %lld\nProposed-by: %s\n",
                                 idea->title, (long long)idea->id,
                                 *idea->author ? idea->author : "unknown");
    int rc = text ? km_worktree_commit(w, tree, out->parent, text, &out->commit, err)
                  : km_fail_nomem(err);

    return rc == 0 ? keep(w, name, out->commit, err) : rc;
}

static void refuse(km_taken *t, const char *state, const char *reason)
{
    if (!t->state && reason) {
        t->state = state;
        t->reason = reason;
    }
}

/* The paths of a change; a protected one, a link or a module in it refuses it. */
static int read_change(km_workspace *w, km_taken *t, km_git_list *changed, km_err *err)
{
    km_arena *a = &w->lab->arena;
    const km_list *open = &w->settings.workspace.change;
    km_git_list raw;
    int rc = km_git_names(
        &w->git, &raw, err,
        KM_GIT("diff-tree", "-r", "-z", "--raw", "--no-renames", t->parent, t->commit));

    if (rc < 0)
        return rc;
    *changed = (km_git_list){ km_arena_array(a, raw.count + 1, sizeof(char *)), 0 };
    if (!changed->items)
        return km_fail_nomem(err);
    for (size_t i = 0; i + 1 < raw.count; i += 2) { /* ":100644 100644 id id M", path */
        char *path = raw.items[i + 1], *mode = strchr(raw.items[i], ' ');
        changed->items[changed->count++] = path;
        if (!km_manifest_is_open(path, w->prefix, open->items, open->count))
            refuse(t, "invalid", km_arena_printf(a, "it changes '%s', which is protected", path));
        if (mode && (strncmp(mode + 1, "12", 2) == 0 || strncmp(mode + 1, "16", 2) == 0))
            refuse(t, "invalid", km_arena_printf(a, "'%s' is a link or a module", path));
    }
    return 0;
}

static int scan(km_workspace *w, km_taken *t, km_err *err)
{
    km_scan found;
    int rc = km_scan_change(&w->git, &w->settings, t->parent, t->commit, &found, err);

    if (rc == 0 && found.count)
        refuse(t, "invalid", km_arena_printf(&w->lab->arena, "it touches %s", found.what));
    return rc;
}

/* The first idea that made the same change; one that ended without a result does not count. */
static int find_same(km_workspace *w, int64_t id, km_taken *t, km_err *err)
{
    int64_t other;
    int rc = km_db_int(&w->lab->db, &other, 0, err,
                       "SELECT id FROM hypotheses WHERE campaign = ? AND patch = ? AND id <> ?"
                       " AND state NOT IN ('duplicate', 'failed', 'crashed', 'timed_out',"
                       " 'cancelled', 'stale') ORDER BY id LIMIT 1",
                       "iti", w->lab->campaign, t->patch, id);

    if (rc == 0 && other)
        refuse(t, "duplicate",
               km_arena_printf(&w->lab->arena, "hypothesis %lld is the same change of the same %s",
                               (long long)other, "parent"));
    return rc;
}

static int identify(km_workspace *w, int64_t id, const km_git_list *changed, km_taken *t,
                    km_err *err)
{
    bool none;
    int rc = km_patch_id(&w->git, t->parent, t->commit, changed, t->patch, &none, err);

    if (rc == 0 && none)
        refuse(t, "duplicate",
               changed->count ? "it says what its parent says: only comments or spaces changed"
                              : "nothing was changed");
    return rc == 0 ? find_same(w, id, t, err) : rc;
}

static int measure_protected(km_workspace *w, const char *tree, km_taken *t, km_err *err)
{
    const km_list *open = &w->settings.workspace.change;
    km_manifest m;
    int rc = km_manifest_make(&w->lab->arena, tree, w->prefix, open->items, open->count, &m, err);

    if (rc == KM_ENOENT) {
        refuse(t, "invalid",
               km_arena_printf(&w->lab->arena, "%s: it is protected",
                               err ? err->message : "a file is gone"));
        return 0;
    }
    if (rc == 0)
        memcpy(t->manifest, m.digest, sizeof t->manifest);
    return rc;
}

static int take(km_workspace *w, const km_idea *idea, const char *tree, const char *name,
                km_taken *t, km_err *err)
{
    km_git_list changed;
    int rc = make_commit(w, idea, tree, name, t, err);

    if (rc == 0)
        rc = read_change(w, t, &changed, err);
    if (rc == 0)
        rc = identify(w, idea->id, &changed, t, err);
    if (rc == 0)
        rc = scan(w, t, err);
    if (rc == 0)
        rc = measure_protected(w, tree, t, err);
    if (rc == 0 && (t->state && !t->reason))
        rc = km_fail_nomem(err);
    return rc;
}

int km_workspace_take(km_workspace *w, const km_worker_id *id, km_taken *out, km_err *err)
{
    const char *name = name_of(w, id), *tree = place(w, name);
    km_idea idea = { 0 };
    int rc = tree ? km_hypothesis_read(&w->lab->db, &w->lab->arena, id->hypothesis, &idea, err)
                  : km_fail_nomem(err);

    *out = (km_taken){ NULL, NULL, NULL, NULL, "", "" };
    if (rc < 0)
        return rc;
    if (!km_dir_exists(tree))
        return km_fail(err, KM_EUSAGE, "'%s' is gone: hypothesis %lld has no workspace", tree,
                       (long long)id->hypothesis);
    out->parent = idea.parent;
    return take(w, &idea, tree, name, out, err);
}

int km_workspace_drop(km_workspace *w, const km_worker_id *id, km_err *err)
{
    const char *tree = place(w, name_of(w, id));

    return tree ? km_worktree_remove(w, tree, err) : km_fail_nomem(err);
}

/* --- what nobody handed in --- */

static int say_where(const km_workspace *w, const char *tree, km_err *err)
{
    char *text = err ? km_arena_strdup(&w->lab->arena, err->message) : NULL;

    return km_fail(err, KM_ECHILD, "'%s' stays: %s", tree, text ? text : "git does not take it");
}

/* Of a lease that goes on, or of a name that is none of ours, there is nothing to do. */
static int sweep(km_workspace *w, const char *name, int64_t *count, km_err *err)
{
    const char *tree = place(w, name);
    long long hypothesis, job, token;
    int64_t goes_on = 0;
    km_taken t = { NULL, NULL, NULL, NULL, "", "" };
    km_idea idea = { 0 };
    int rc = 0;

    if (sscanf(name, "%lld.%lld.%lld", &hypothesis, &job, &token) != 3)
        return 0;
    rc = km_db_int(&w->lab->db, &goes_on, 0, err,
                   "SELECT 1 FROM jobs WHERE id = ? AND token = ? AND state = 'leased'", "ii",
                   (int64_t)job, (int64_t)token);
    if (rc < 0 || goes_on)
        return rc;
    rc = km_hypothesis_read(&w->lab->db, &w->lab->arena, hypothesis, &idea, err);
    t.parent = idea.parent;
    if (rc == 0 && !tree)
        rc = km_fail_nomem(err);
    if (rc == 0 && *idea.parent) { /* else its worker was never told of it */
        rc = make_commit(w, &idea, tree, name, &t, err);
        *count += rc == 0;
    }
    if (rc == KM_ECHILD)
        return say_where(w, tree, err);
    return rc == 0 ? km_worktree_remove(w, tree, err) : rc;
}

int km_workspace_sweep(km_workspace *w, int64_t *count, km_err *err)
{
    const char *dir = km_path_join(&w->lab->arena, w->lab->root, ".lab/worktrees");
    km_names names = { NULL, 0 };
    int rc = dir ? 0 : km_fail_nomem(err), one;

    *count = 0;
    if (rc == 0 && km_dir_exists(dir))
        rc = km_dir_list(&w->lab->arena, dir, &names, err);
    for (size_t i = 0; i < names.count; i++) {
        one = sweep(w, names.names[i], count, rc < 0 ? NULL : err);
        rc = rc < 0 ? rc : one;
    }
    one = km_worktree_sweep(w, rc < 0 ? NULL : err);
    return rc < 0 ? rc : one;
}

/* --- the store --- */

int km_workspace_ask(km_workspace *w, const km_idea *idea, const char *kind, int64_t pairs,
                     km_err *err)
{
    km_db *db = &w->lab->db;
    /* what a holdout promotes is what the others are measured against */
    int64_t priority = strcmp(kind, "holdout") == 0 ? 2 : 1;
    km_job_request r = {
        .campaign = w->lab->campaign, .hypothesis = idea->id, .kind = kind, .priority = priority
    };
    int64_t open = 0, before = 0, id;
    uint32_t seed = 0;
    bool made;
    int rc = km_db_int(db, &open, 0, err,
                       "SELECT count(*) FROM jobs WHERE hypothesis = ? AND kind = ?"
                       " AND state IN ('queued', 'leased')",
                       "it", idea->id, kind);

    if (rc == 0)
        rc = km_db_int(db, &before, 0, err,
                       "SELECT count(*) FROM jobs WHERE hypothesis = ? AND kind = ?", "it",
                       idea->id, kind);
    if (rc < 0 || open)
        return rc;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return km_fail(err, KM_EIO, "the kernel gives no random numbers");
    r.key = km_arena_printf(&w->lab->arena, "hypothesis %lld, %s %lld", (long long)idea->id, kind,
                            (long long)before + 1);
    r.payload = km_arena_printf(&w->lab->arena,
                                "{\"parent\":\"%s\",\"candidate\":\"%s\",\"pairs\":%lld,"
                                "\"seed\":%u,\"holdout\":%s}",
                                idea->parent, idea->commit, (long long)pairs, seed,
                                strcmp(kind, "holdout") == 0 ? "true" : "false");
    if (!r.key || !r.payload)
        return km_fail_nomem(err);
    return km_queue_submit(db, &r, &id, &made, err);
}

int km_workspace_record(km_workspace *w, int64_t hypothesis, const km_taken *t, km_err *err)
{
    km_db *db = &w->lab->db;
    char *name = km_arena_printf(&w->lab->arena, "%lld", (long long)hypothesis);
    km_idea idea = { 0 };
    int rc = name ? keep(w, name, t->commit, err) : km_fail_nomem(err);

    if (rc == 0)
        rc = km_hypothesis_set(db, hypothesis, "commit_id", t->commit, err);
    if (rc == 0)
        rc = km_hypothesis_set(db, hypothesis, "patch", t->patch, err);
    if (rc == 0)
        rc = km_hypothesis_set(db, hypothesis, "manifest", t->manifest, err);
    if (rc == 0 && t->state)
        return km_hypothesis_move(db, hypothesis, t->state, t->reason, err);
    if (rc == 0)
        rc = km_hypothesis_read(db, &w->lab->arena, hypothesis, &idea, err);
    if (rc == 0 && w->settings.evaluate.given)
        rc = km_workspace_ask(w, &idea, "evaluate", w->settings.evaluate.pairs, err);
    return rc;
}

/* --- another parent --- */

#define OLD_PARENT "its parent is no champion any more"

/* The change, applied to `onto` by git's own three-way merge, in a tree made for it. *clean: it
 * applied. */
static int reapply(km_workspace *w, const km_idea *idea, const char *onto, const char *tree,
                   bool *clean, km_err *err)
{
    km_git g = { &w->lab->arena, tree, NULL };
    km_err conflict = KM_ERR_INIT;
    int rc = km_worktree_add(w, onto, tree, err);

    *clean = false;
    if (rc < 0)
        return rc;
    rc = km_git_run(&g, &conflict, KM_GIT("cherry-pick", "--no-commit", idea->commit));
    *clean = rc == 0;
    if (rc < 0 && rc != KM_ECHILD && err)
        *err = conflict;
    return rc == KM_ECHILD ? 0 : rc;
}

/* What waits or runs is of the old commit. */
static int record_rebased(km_workspace *w, const km_idea *idea, const km_taken *t, km_err *err)
{
    km_db *db = &w->lab->db;
    int rc = km_db_begin(db, err);

    if (rc == 0 && strcmp(idea->state, "evaluating") != 0)
        rc = km_hypothesis_move(db, idea->id, "evaluating", "its parent is another champion", err);
    if (rc == 0)
        rc = km_queue_drop(db, idea->id, OLD_PARENT, err);
    if (rc == 0)
        rc = km_hypothesis_set(db, idea->id, "parent", t->parent, err);
    if (rc == 0)
        rc = km_workspace_record(w, idea->id, t, err);
    if (rc == 0)
        return km_db_commit(db, err);
    km_db_rollback(db);
    return rc;
}

/* What does not apply is worked on again, on the champion; not for ever. */
static int work_again(km_workspace *w, const km_idea *idea, km_err *err)
{
    km_db *db = &w->lab->db;
    int64_t works = 0, job;
    bool own;
    int rc = km_db_enter(db, &own, err);

    if (rc == 0)
        rc = km_db_int(db, &works, 0, err,
                       "SELECT count(*) FROM jobs WHERE hypothesis = ? AND kind = 'work'", "i",
                       idea->id);
    if (rc == 0)
        rc = km_queue_drop(db, idea->id, OLD_PARENT, err);
    if (rc == 0 && works >= KM_LAB_ATTEMPTS)
        rc = km_hypothesis_move(db, idea->id, "stale",
                                "its change does not apply to the champion of now", err);
    else if (rc == 0)
        rc = km_hypothesis_set(db, idea->id, "parent", "", err);
    if (rc == 0 && works < KM_LAB_ATTEMPTS)
        rc = km_hypothesis_queue(db, idea->id, "work", NULL, &job, err);
    return km_db_leave(db, own, rc, err);
}

static int rebase(km_workspace *w, const km_idea *idea, const char *onto, km_err *err)
{
    char *name = km_arena_printf(&w->lab->arena, "%lld.%s", (long long)idea->id, onto);
    const char *tree = place(w, name);
    km_taken t = { NULL, NULL, onto, NULL, "", "" };
    bool clean = false;
    int rc = tree ? reapply(w, idea, onto, tree, &clean, err) : km_fail_nomem(err);

    if (rc == 0 && clean)
        rc = take(w, idea, tree, name, &t, err);
    if (tree)
        km_worktree_remove(w, tree, NULL);
    if (rc == 0 && clean)
        return record_rebased(w, idea, &t, err);
    return rc == 0 ? work_again(w, idea, err) : rc;
}

#define LOCK "rebase.lock" /* one rebase at a time, or two would work in the same tree */

/* Whether what it is by now is a commit that may become the champion. */
static bool has_commit(const km_idea *idea)
{
    return *idea->commit &&
           (strcmp(idea->state, "evaluating") == 0 || strcmp(idea->state, "undecided") == 0 ||
            strcmp(idea->state, "accepted") == 0);
}

int km_workspace_rebase(km_workspace *w, int64_t hypothesis, bool *moved, km_err *err)
{
    km_idea idea = { 0 };
    km_champion c = { 0, 0, NULL };
    int held = km_lab_hold(w->lab, LOCK, err), rc;

    *moved = false;
    if (held < 0)
        return held;
    rc = km_hypothesis_read(&w->lab->db, &w->lab->arena, hypothesis, &idea, err);
    if (rc == 0)
        rc = km_champion_read(w->lab, &c, err);
    if (rc > 0 && has_commit(&idea) && strcmp(idea.parent, c.commit) != 0) {
        *moved = true;
        rc = rebase(w, &idea, c.commit, err);
    }
    close(held);
    return rc < 0 ? rc : 0;
}
