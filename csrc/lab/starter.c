#include "lab/starter.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "lab/git.h"

/* A lab to start from: a folder, and which file of it is its lab.toml. */
struct starter {
    char *folder, *toml;
};

static bool has(km_arena *a, const char *folder, const char *file)
{
    char *path = km_path_join(a, folder, file);

    return path && km_file_exists(path);
}

/* By its name: "rmsnorm", or "rmsnorm-cuda" with a rmsnorm/lab-cuda.toml. */
static bool find(km_arena *a, const char *labs, const char *name, struct starter *out)
{
    if (strchr(name, '/') || *name == '.')
        return false;
    *out = (struct starter){ km_path_join(a, labs, name), km_arena_strdup(a, "lab.toml") };
    if (out->folder && has(a, out->folder, "lab.toml"))
        return true;
    for (const char *dash = strchr(name, '-'); dash; dash = strchr(dash + 1, '-')) {
        out->folder = km_arena_printf(a, "%s/%.*s", labs, (int)(dash - name), name);
        out->toml = km_arena_printf(a, "lab%s.toml", dash);
        if (out->folder && out->toml && has(a, out->folder, out->toml))
            return true;
    }
    return false;
}

static void add_names(km_arena *a, const char *labs, const char *folder, km_str *list)
{
    char *path = km_path_join(a, labs, folder);
    km_names files = { NULL, 0 };

    if (!path || !has(a, path, "lab.toml") || km_dir_list(a, path, &files, NULL) < 0)
        return;
    km_str_printf(list, "%s%s", list->length ? ", " : "", folder);
    for (size_t i = 0; i < files.count; i++)
        if (km_starts_with(files.names[i], "lab-") && km_ends_with(files.names[i], ".toml"))
            km_str_printf(list, ", %s-%.*s", folder, (int)strlen(files.names[i]) - 9,
                          files.names[i] + 4);
}

static int refuse(km_arena *a, const char *labs, const char *name, km_err *err)
{
    km_str list = KM_STR_INIT;
    km_names names = { NULL, 0 };
    int rc = km_dir_list(a, labs, &names, err);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < names.count; i++)
        add_names(a, labs, names.names[i], &list);
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

/* One file; what another lab's lab.toml is stays behind, and what Python made of the files. */
static int copy(km_arena *a, const struct starter *s, const char *dir, const char *name,
                km_err *err)
{
    bool toml = km_starts_with(name, "lab") && km_ends_with(name, ".toml") && !strchr(name, '/');
    char *from = km_path_join(a, s->folder, name);
    char *to = km_path_join(a, dir, toml ? "lab.toml" : name);
    int rc;

    if ((toml && strcmp(name, s->toml) != 0) || strstr(name, "__pycache__/"))
        return 0;
    rc = from && to ? km_dir_make(km_path_dir(a, to), err) : km_fail_nomem(err);
    return rc == 0 ? km_file_copy(from, to, err) : rc;
}

int km_starter_copy(km_arena *a, const char *templates, const char *name, const char *dir,
                    km_err *err)
{
    char *labs = km_path_join(a, templates, "lab");
    km_git g = { a, dir, NULL };
    km_names files = { NULL, 0 };
    struct starter s;
    int rc = labs ? 0 : km_fail_nomem(err);

    if (rc == 0 && !find(a, labs, name, &s))
        return refuse(a, labs, name, err);
    if (rc == 0)
        rc = check_empty(a, dir, err);
    if (rc == 0)
        rc = km_dir_walk(a, s.folder, &files, err);
    for (size_t i = 0; rc == 0 && i < files.count; i++)
        rc = copy(a, &s, dir, files.names[i], err);
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
