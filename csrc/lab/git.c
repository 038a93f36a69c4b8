#include "lab/git.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/path.h"
#include "core/proc.h"

#define GIT_MS (10 * 60 * 1000)

/* Who commits what nobody signs; and another repository that the caller stands in is not ours. */
static const char *const identity[] = {
    "GIT_AUTHOR_NAME=kernmill lab",    "GIT_AUTHOR_EMAIL=lab@kernmill.invalid",
    "GIT_COMMITTER_NAME=kernmill lab", "GIT_COMMITTER_EMAIL=lab@kernmill.invalid",
    "GIT_TERMINAL_PROMPT=0",           "LC_ALL=C",
};

#define IDENTITY (sizeof identity / sizeof *identity)

static void forget_repository(void)
{
    static const char *const names[] = { "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX",
                                         "GIT_COMMON_DIR" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static int run(const km_git *g, km_proc_result *result, bool check, km_err *err,
               const char *const *argv)
{
    const char *env[IDENTITY + 2] = { NULL };
    km_proc p = {
        .argv = argv, .env = env, .cwd = g->dir, .timeout_ms = GIT_MS, .output_bytes_max = 64u << 20
    };

    forget_repository();
    memcpy(env, identity, sizeof identity);
    if (g->index)
        env[IDENTITY] = km_arena_printf(g->arena, "GIT_INDEX_FILE=%s", g->index);
    if (g->index && !env[IDENTITY])
        return km_fail_nomem(err);
    return check ? km_proc_check(&p, result, err) : km_proc_run(&p, result, err);
}

int km_git_text(const km_git *g, char **out, km_err *err, const char *const *argv)
{
    km_proc_result result = KM_PROC_RESULT_INIT;
    int rc = run(g, &result, true, err, argv);

    if (rc == 0 && out) {
        size_t n = result.out.length;
        for (size_t i = 0; i < n; i++)
            if (!result.out.data[i])
                result.out.data[i] = ' ';
        while (n && result.out.data[n - 1] == '\n')
            n--;
        *out = km_arena_strndup(g->arena, result.out.data, n);
        rc = *out ? 0 : km_fail_nomem(err);
    }
    km_proc_result_release(&result);
    return rc;
}

int km_git_run(const km_git *g, km_err *err, const char *const *argv)
{
    return km_git_text(g, NULL, err, argv);
}

/* `text` holds zeros; *out borrows from it. */
static int split(const km_git *g, char *text, size_t size, km_git_list *out, km_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++)
        n += text[i] == '\0';
    out->count = 0;
    out->items = km_arena_array(g->arena, n + 1, sizeof *out->items);
    if (!out->items)
        return km_fail_nomem(err);
    for (char *at = text; out->count < n; at += strlen(at) + 1)
        out->items[out->count++] = at;
    return 0;
}

int km_git_names(const km_git *g, km_git_list *out, km_err *err, const char *const *argv)
{
    km_proc_result result = KM_PROC_RESULT_INIT;
    int rc = run(g, &result, true, err, argv);
    char *text = rc == 0 ? km_arena_alloc(g->arena, result.out.length + 1) : NULL;

    if (rc == 0 && !text)
        rc = km_fail_nomem(err);
    if (rc == 0) {
        memcpy(text, result.out.data, result.out.length);
        rc = split(g, text, result.out.length, out, err);
    }
    km_proc_result_release(&result);
    return rc;
}

/* How long the writing of one reference may take. */
#define LOCK_S  10
#define POLL_MS 100

/* Whether there is a lock of it, and *old: too old. */
static bool is_locked(const char *lock, bool *old)
{
    struct stat st;

    *old = false;
    if (lstat(lock, &st) < 0)
        return false;
    *old = time(NULL) - st.st_mtime > LOCK_S;
    return true;
}

int km_git_keep(const km_git *g, const char *ref, const char *commit, km_err *err)
{
    km_err why = KM_ERR_INIT, other = KM_ERR_INIT;
    char *name = km_arena_printf(g->arena, "%s.lock", ref), *lock = NULL;
    const char *path = NULL;
    bool old;
    int rc = name ? km_git_run(g, &why, KM_GIT("update-ref", ref, commit)) : km_fail_nomem(&why);

    if (rc == KM_ECHILD &&
        km_git_text(g, &lock, &other, KM_GIT("rev-parse", "--git-path", name)) == 0)
        path = km_path_join(g->arena, g->dir, lock);
    while (rc == KM_ECHILD && path && is_locked(path, &old)) {
        if (old)
            unlink(path);
        else
            poll(NULL, 0, POLL_MS);
        rc = km_git_run(g, &why, KM_GIT("update-ref", ref, commit));
    }
    if (rc < 0 && err)
        *err = why;
    return rc;
}

int km_git_is_ancestor(const km_git *g, const char *ancestor, const char *commit, km_err *err)
{
    km_proc_result result = KM_PROC_RESULT_INIT;
    int rc = run(g, &result, false, err, KM_GIT("merge-base", "--is-ancestor", ancestor, commit));

    if (rc == 0 && result.exit_code > 1)
        rc = km_fail(err, KM_ECHILD, "git: %s", result.err.data);
    if (rc == 0)
        rc = result.exit_code == 0;
    km_proc_result_release(&result);
    return rc;
}
