#include "skill/place.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/path.h"

const char *const km_harness_names[KM_HARNESSES] = { "claude", "codex", "opencode" };

static const struct {
    const char *project;
    const char *home;        /* below HOME */
    const char *variable;    /* whose folder counts instead, or NULL */
    const char *of_variable; /* below that */
} folders[KM_HARNESSES] = {
    { ".claude/skills", ".claude/skills", NULL, NULL },
    { ".agents/skills", ".agents/skills", NULL, NULL },
    { ".opencode/skills", ".config/opencode/skills", "XDG_CONFIG_HOME", "opencode/skills" },
};

int km_place_of(km_arena *a, km_harness h, bool user, km_place *out, km_err *err)
{
    const char *variable = folders[h].variable ? getenv(folders[h].variable) : NULL;
    const char *home = getenv("HOME"), *below = folders[h].home;

    *out = (km_place){ km_harness_names[h], "project", "", folders[h].project };
    if (!user)
        return 0;
    if (variable && variable[0] == '/') {
        home = variable;
        below = folders[h].of_variable;
    }
    if (!home || !*home)
        return km_fail(err, KM_EENV, "HOME is not set: where are the user's skills?");
    out->scope = "user";
    out->base = home;
    out->dir = km_path_join(a, home, below);
    return out->dir ? 0 : km_fail_nomem(err);
}

int km_place_named(const char *dir, km_place *out, km_err *err)
{
    *out = (km_place){ "", "dest", "", dir };
    return *dir ? 0 : km_fail(err, KM_EUSAGE, "the name of a folder is empty");
}

static int refuse_link(const char *path, km_err *err)
{
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
        return 0;
    km_fail(err, KM_EFORMAT, "'%s' is a symbolic link", path);
    return km_hint(err, "--dest with the name of the folder itself writes there");
}

int km_place_check(km_arena *a, const km_place *p, const char *name, km_err *err)
{
    char *path = km_path_join(a, p->dir, name);
    size_t at = strlen(p->base), end = strlen(p->dir);
    int rc = path ? 0 : km_fail_nomem(err);

    while (end > 1 && p->dir[end - 1] == '/')
        end--; /* "link/" would be looked through */
    if (strcmp(p->scope, "dest") == 0)
        at = end - 1; /* what is above a named folder is the user's business */
    for (size_t i = at + 1; rc == 0 && path[i]; i++) {
        if (path[i] != '/')
            continue;
        path[i] = '\0';
        rc = refuse_link(path, err);
        path[i] = '/';
    }
    return rc == 0 ? refuse_link(path, err) : rc;
}
