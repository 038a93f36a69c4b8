/* By the official program: `hf upload` makes the repository and the branch when they are missing,
 * speaks Xet, and makes one commit. It reads the token by itself. */
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/proc.h"
#include "hub/publish_internal.h"
#include "pkg/home.h"

#define TIMEOUT_MS (3600 * 1000)

/* Beside the Python that the program works with, else in PATH. */
static const char *find_hf(km_arena *a)
{
    km_home home;
    char *beside = NULL;

    if (km_home_find(a, &home, NULL) == 0 && home.python)
        beside = km_path_join(a, km_path_dir(a, home.python), "hf");
    return beside && km_file_exists(beside) ? beside : "hf";
}

/* As a pattern that means this name alone. */
static const char *pattern_of(km_arena *a, const char *path)
{
    km_str s = KM_STR_INIT;
    char *text;

    for (; *path; path++)
        km_str_printf(&s, strchr("*?[", *path) ? "[%c]" : "%c", *path);
    text = s.failed ? NULL : km_arena_strdup(a, s.data);
    km_str_release(&s);
    return text;
}

int km_publish_by_hf(struct publish *p, const char *revision, const km_changes *changes,
                     const char *message, km_err *err)
{
    const char *token = p->e->token ? km_arena_printf(p->a, "HF_TOKEN=%s", p->e->token) : NULL;
    const char *const env[] = { "HF_HUB_DISABLE_UPDATE_CHECK=1", token, NULL };
    const char **argv = km_arena_array(p->a, 2 * changes->count + 16, sizeof *argv);
    km_proc_result result = KM_PROC_RESULT_INIT;
    size_t n = 0;
    int rc;

    if (!argv)
        return km_fail_nomem(err);
    argv[n++] = find_hf(p->a);
    argv[n++] = "upload";
    argv[n++] = p->request->repo.id;
    argv[n++] = p->packed->folder;
    argv[n++] = ".";
    argv[n++] = "--repo-type=kernel";
    argv[n++] = km_arena_printf(p->a, "--revision=%s", revision);
    argv[n++] = km_arena_printf(p->a, "--commit-message=%s", message);
    if (p->request->private_repo)
        argv[n++] = "--private";
    for (size_t i = 0; i < changes->count; i++) {
        const km_change *c = &changes->items[i];
        argv[n++] = c->file ? "--include" : "--delete";
        argv[n++] = pattern_of(p->a, c->path);
    }
    for (size_t i = 0; i < n; i++)
        if (!argv[i])
            return km_fail_nomem(err);
    rc = km_proc_check(&(km_proc){ .argv = argv, .env = env, .timeout_ms = TIMEOUT_MS }, &result,
                       err);
    if (rc == KM_EENV)
        rc = km_hint(err,
                     "pip install huggingface_hub; or --transport http, for a hub without Xet");
    km_proc_result_release(&result);
    return rc;
}
