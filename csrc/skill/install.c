#include "skill/install.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/path.h"
#include "formats/json.h"

typedef struct {
    const char *skill, *fresh, *old; /* the three names that a skill's folder has */
} folder_names;

static int name_folders(km_arena *a, const char *place, const char *name, folder_names *out,
                        km_err *err)
{
    out->skill = km_path_join(a, place, name);
    out->fresh = km_arena_printf(a, "%s/.%s.new", place, name);
    out->old = km_arena_printf(a, "%s/.%s.old", place, name);
    return out->skill && out->fresh && out->old ? 0 : km_fail_nomem(err);
}

/* Waits for another kernmill at the same place. Some network file systems cannot lock a folder:
 * there nothing is waited for. Returns a descriptor of the folder, to be closed. */
static int lock_folder(const char *place, km_err *err)
{
    int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return km_fail_errno(err, errno, "unable to open the folder '%s'", place);
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
        ;
    return fd;
}

static int rename_or_fail(const char *from, const char *to, km_err *err)
{
    if (rename(from, to) == 0)
        return 0;
    return km_fail_errno(err, errno, "unable to rename '%s' to '%s'", from, to);
}

/* A folder, and no link to one: that could come with a project, and what it leads to is not ours to
 * read or to move. */
static bool is_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* After one that was killed. */
static int tidy(const folder_names *n, km_err *err)
{
    struct stat st;
    int rc = 0;

    if (is_folder(n->old) && lstat(n->skill, &st) < 0)
        rc = rename_or_fail(n->old, n->skill, err);
    if (rc == 0)
        rc = km_dir_remove(n->fresh, err);
    return rc == 0 ? km_dir_remove(n->old, err) : rc;
}

/* --- what there is to do --- */

static int decide(km_arena *a, const km_skill *s, bool force, km_install *out, km_err *err)
{
    const km_installed *before = &out->before;
    int rc = km_installed_edits(a, before, &s->files, &out->edits, err);

    if (rc < 0)
        return rc;
    out->newer = before->pinned && km_installed_age(before) > 0;
    if (!before->there)
        out->state = KM_SKILL_ADD;
    else if (!force && (out->edits.count || out->newer))
        out->state = KM_SKILL_KEEP;
    else if (!out->edits.count && before->version && strcmp(before->version, KM_VERSION) == 0 &&
             km_skill_files_equal(&before->pins, &s->files))
        out->state = KM_SKILL_CURRENT;
    else
        out->state = KM_SKILL_UPDATE;
    return 0;
}

static int plan_locked(km_arena *a, const km_skill *s, bool force, km_install *out, km_err *err)
{
    int rc = force ? km_installed_read(a, out->path, &out->before, NULL)
                   : km_installed_read(a, out->path, &out->before, err);

    if (rc < 0 && force) /* a broken manifest is replaced, too */
        rc = km_installed_read_unpinned(a, out->path, &out->before, err);
    else if (rc < 0 && !*err->hint)
        km_hint(err, "repair it, or remove '%s', or replace it with --force", out->path);
    return rc == 0 ? decide(a, s, force, out, err) : rc;
}

int km_install_plan(km_arena *a, const km_skill *s, const km_place *p, bool force, km_install *out,
                    km_err *err)
{
    folder_names n = { NULL, NULL, NULL };
    int fd, rc = km_place_check(a, p, s->name, err);

    *out = (km_install){ .place = p->dir };
    if (rc == 0)
        rc = name_folders(a, p->dir, s->name, &n, err);
    if (rc < 0)
        return rc;
    out->path = n.skill;
    if (!km_dir_exists(p->dir))
        return decide(a, s, force, out, err);
    fd = lock_folder(p->dir, err);
    if (fd < 0)
        return fd;
    rc = tidy(&n, err);
    if (rc == 0)
        rc = plan_locked(a, s, force, out, err);
    close(fd);
    return rc;
}

/* --- doing it --- */

static int copy_one(km_arena *a, const char *from_dir, const char *to_dir, const char *path,
                    km_err *err)
{
    const char *from = km_path_join(a, from_dir, path), *to = km_path_join(a, to_dir, path);
    const char *dir = to ? km_path_dir(a, to) : NULL;
    int rc = from && dir ? km_dir_make(dir, err) : km_fail_nomem(err);

    return rc == 0 ? km_file_copy(from, to, err) : rc;
}

static int write_manifest(km_arena *a, const km_skill *s, const char *dir, km_err *err)
{
    const char *path = km_path_join(a, dir, KM_SKILL_MANIFEST);
    json_t *files = json_object(), *doc;
    int rc;

    for (size_t i = 0; i < s->files.count; i++)
        json_object_set_new(files, s->files.files[i].path, json_string(s->files.files[i].sha256));
    doc = json_pack("{s:i,s:s,s:s,s:o}", "schema", KM_SKILL_SCHEMA, "name", s->name, "version",
                    KM_VERSION, "files", files);
    rc = path && doc ? km_json_write(path, doc, err) : km_fail_nomem(err);
    json_decref(doc);
    return rc;
}

/* The skill's files, and the user's own. */
static int stage(km_arena *a, const km_skill *s, const km_install *i, const char *dir, km_err *err)
{
    const km_skill_files *there = &i->before.files;
    int rc = km_dir_make(dir, err);

    for (size_t n = 0; rc == 0 && n < s->files.count; n++)
        rc = copy_one(a, s->dir, dir, s->files.files[n].path, err);
    for (size_t n = 0; rc == 0 && n < there->count; n++) {
        const char *path = there->files[n].path;
        if (!km_skill_files_find(&s->files, path) && !km_skill_files_find(&i->before.pins, path))
            rc = copy_one(a, i->path, dir, path, err);
    }
    return rc == 0 ? write_manifest(a, s, dir, err) : rc;
}

static int swap(const folder_names *n, km_err *err)
{
    int rc;

    if (!is_folder(n->skill))
        return rename_or_fail(n->fresh, n->skill, err);
    if (renameat2(AT_FDCWD, n->fresh, AT_FDCWD, n->skill, RENAME_EXCHANGE) == 0)
        return 0;
    rc = rename_or_fail(n->skill, n->old, err);
    if (rc < 0)
        return rc;
    rc = rename_or_fail(n->fresh, n->skill, err);
    if (rc < 0)
        rename(n->old, n->skill);
    return rc;
}

int km_install_apply(km_arena *a, const km_skill *s, const km_install *i, km_err *err)
{
    folder_names n = { NULL, NULL, NULL };
    int fd, rc;

    if (i->state != KM_SKILL_ADD && i->state != KM_SKILL_UPDATE)
        return 0;
    rc = name_folders(a, i->place, s->name, &n, err);
    if (rc == 0)
        rc = km_dir_make(i->place, err);
    fd = rc == 0 ? lock_folder(i->place, err) : rc;
    if (fd < 0)
        return fd;
    rc = tidy(&n, err);
    if (rc == 0)
        rc = stage(a, s, i, n.fresh, err);
    if (rc == 0)
        rc = swap(&n, err);
    if (rc == 0 && fsync(fd) < 0)
        rc = km_fail_errno(err, errno, "unable to flush the folder '%s'", i->place);
    if (rc == 0)
        rc = tidy(&n, err);
    else
        tidy(&n, NULL);
    close(fd);
    return rc;
}
