#include "lab/branch.h"

#include <string.h>
#include <sys/stat.h>

#include "core/path.h"
#include "core/str.h"

/* The one of the last baseline, or NULL. */
static int read_first(km_workspace *w, const char **name, km_err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = km_db_query(&w->lab->db, &s, err,
                         "SELECT json_extract(body, '$.branch') FROM events"
                         " WHERE what = 'baseline' ORDER BY id DESC LIMIT 1",
                         "");

    if (rc < 0)
        return rc;
    rc = km_db_step(&w->lab->db, s, err);
    if (rc == 1 && sqlite3_column_type(s, 0) == SQLITE_TEXT)
        *name = km_db_text(&w->lab->arena, s, 0);
    sqlite3_finalize(s);
    return rc < 0 ? rc : 0;
}

int km_branch_find(km_workspace *w, const char **name, km_err *err)
{
    char *head = NULL;
    int rc;

    *name = w->settings.workspace.branch;
    rc = *name ? 0 : read_first(w, name, err);
    if (rc < 0 || *name)
        return rc;
    rc = km_git_text(&w->git, &head, err, KM_GIT("symbolic-ref", "-q", "--short", "HEAD"));
    if (rc == KM_ECHILD) {
        rc = km_fail(err, KM_EUSAGE, "'%s' has no branch checked out", w->git.dir);
        km_hint(err, "name one in lab.toml: [workspace] branch = \"main\"");
    }
    *name = head;
    return rc;
}

int km_branch_tip(km_workspace *w, const char *name, const char **commit, km_err *err)
{
    char *spec = km_arena_printf(&w->lab->arena, "refs/heads/%s^{commit}", name), *id = NULL;
    int rc = spec ? km_git_text(&w->git, &id, err, KM_GIT("rev-parse", "--verify", "-q", spec))
                  : km_fail_nomem(err);

    *commit = id;
    if (rc == KM_ECHILD)
        km_fail(err, KM_EUSAGE, "the branch '%s' has no commit yet", name);
    if (rc == KM_ECHILD)
        rc = km_hint(err, "git add and git commit what ideas start from, then `kernmill lab init`");
    return rc;
}

/* The worktree that has the branch checked out, or NULL. */
static int find_tree(km_workspace *w, const char *ref, const char **out, km_err *err)
{
    char *wanted = km_arena_printf(&w->lab->arena, "branch %s", ref);
    km_git_list lines = { NULL, 0 };
    int rc = wanted ? km_git_names(&w->git, &lines, err,
                                   KM_GIT("worktree", "list", "--porcelain", "-z"))
                    : km_fail_nomem(err);

    *out = NULL;
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < lines.count; i++) {
        if (strncmp(lines.items[i], "worktree ", 9) == 0)
            *out = lines.items[i] + 9;
        if (strcmp(lines.items[i], wanted) == 0)
            return 0;
    }
    *out = NULL;
    return 0;
}

/* --- an advance that was cut off --- */

#define NO_FILE                                                                                    \
    "0000000000000000000000000000000000000000" /* what git calls one that is not there */

/* A file of the tree as it was, or as it is to be: then nobody's words are in it. `ids`: of both,
 * as git names them, a space between; of zeros where there is no file. */
static bool is_ours(const km_git *tree, const char *ids, const char *path)
{
    char *file = km_path_join(tree->arena, tree->dir, path), *id = NULL;
    struct stat st;

    if (!file || lstat(file, &st) < 0)
        return file && strstr(ids, NO_FILE);
    if (st.st_size == 0 && km_starts_with(ids, NO_FILE))
        return true; /* a new one, cut off before its first word */
    return km_git_text(tree, &id, NULL, KM_GIT("hash-object", "--", path)) == 0 && *id &&
           strstr(ids, id);
}

static int bring(const km_git *tree, const char *to, const char *status, const char *path,
                 km_err *err)
{
    if (*status == 'D')
        return km_git_run(tree, err, KM_GIT("rm", "-q", "-f", "--ignore-unmatch", "--", path));
    return km_git_run(tree, err, KM_GIT("checkout", "-q", to, "--", path));
}

/* Where all files that differ are ours, they are brought to what they are to be, and the branch
 * after them. 1; 0: somebody's change is in one. */
static int finish(const km_git *tree, const char *ref, const char *from, const char *to,
                  km_err *err)
{
    km_git_list raw = { NULL, 0 };
    int rc = km_git_names(
        tree, &raw, err,
        KM_GIT("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", from, to));

    for (size_t i = 0; rc == 0 && i + 1 < raw.count; i += 2) /* ":100644 100644 id id M", path */
        if (!is_ours(tree, raw.items[i] + strlen(":100644 100644 "), raw.items[i + 1]))
            return 0;
    for (size_t i = 0; rc == 0 && i + 1 < raw.count; i += 2)
        rc = bring(tree, to, strrchr(raw.items[i], ' ') + 1, raw.items[i + 1], err);
    if (rc == 0)
        rc = km_git_run(tree, err, KM_GIT("update-ref", ref, to, from));
    return rc < 0 ? rc : 1;
}

int km_branch_advance(km_workspace *w, const char *name, const char *from, const char *to,
                      km_err *err)
{
    const char *dir = NULL;
    char *ref = km_arena_printf(&w->lab->arena, "refs/heads/%s", name);
    int rc = ref ? find_tree(w, ref, &dir, err) : km_fail_nomem(err), done;
    km_git tree = { &w->lab->arena, dir, NULL };

    if (rc < 0)
        return rc;
    if (!dir)
        return km_git_run(&w->git, err, KM_GIT("update-ref", ref, to, from));
    rc = km_git_run(&tree, err, KM_GIT("merge", "-q", "--ff-only", to));
    if (rc != KM_ECHILD)
        return rc;
    done = finish(&tree, ref, from, to, NULL);
    return done > 0 ? 0 : rc;
}
