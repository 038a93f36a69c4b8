#include "lab/starter.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "lab/git.h"

static bool is_lab(km_arena *a, const char *labs, const char *name)
{
    char *toml = km_arena_printf(a, "%s/%s/lab.toml", labs, name);

    return toml && !strchr(name, '/') && *name != '.' && km_file_exists(toml);
}

/* Which there are, with the hint that the error wants. */
static int refuse(km_arena *a, const char *labs, const char *name, km_err *err)
{
    km_str list = KM_STR_INIT;
    km_names names = { NULL, 0 };
    int rc = km_dir_list(a, labs, &names, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < names.count; i++)
        if (is_lab(a, labs, names.names[i]))
            km_str_printf(&list, "%s%s", list.length ? ", " : "", names.names[i]);
    rc = km_fail(err, KM_EUSAGE, "there is no lab '%s' to start from: %s", name, list.data);
    km_str_release(&list);
    return rc;
}

static int check_empty(km_arena *a, const char *dir, km_err *err)
{
    km_err none = KM_ERR_INIT;
    km_names names = { NULL, 0 };
    int rc = km_dir_list(a, dir, &names, &none);

    if (rc < 0 && rc != KM_ENOENT && err)
        *err = none;
    if (rc < 0)
        return rc == KM_ENOENT ? 0 : rc;
    return names.count ? km_fail(err, KM_EIO, "the folder '%s' is there and not empty", dir) : 0;
}

int km_starter_copy(km_arena *a, const char *templates, const char *name, const char *dir,
                    km_err *err)
{
    char *labs = km_path_join(a, templates, "lab"),
         *from = labs ? km_path_join(a, labs, name) : NULL;
    km_git g = { a, dir, NULL };
    km_names files = { NULL, 0 };
    int rc = from ? 0 : km_fail_nomem(err);

    if (rc == 0 && !is_lab(a, labs, name))
        rc = refuse(a, labs, name, err);
    if (rc == 0)
        rc = check_empty(a, dir, err);
    if (rc == 0)
        rc = km_dir_walk(a, from, &files, err);
    for (size_t i = 0; rc == 0 && i < files.count; i++) {
        char *to = km_path_join(a, dir, files.names[i]);
        rc = to ? km_dir_make(km_path_dir(a, to), err) : km_fail_nomem(err);
        if (rc == 0)
            rc = km_file_copy(km_path_join(a, from, files.names[i]), to, err);
    }
    if (rc == 0)
        rc = km_git_run(&g, err, KM_GIT("init", "-q", "-b", "main"));
    return rc == 0 ? km_git_run(&g, err, KM_GIT("add", "-A")) : rc;
}

int km_starter_commit(km_arena *a, const char *name, const char *dir, km_err *err)
{
    km_git g = { a, dir, NULL };
    char *text = km_arena_printf(a, "%s: where the lab starts", name);
    int rc = text ? km_git_run(&g, err, KM_GIT("add", "-A")) : km_fail_nomem(err);

    return rc == 0 ? km_git_run(&g, err, KM_GIT("commit", "-q", "-m", text)) : rc;
}
