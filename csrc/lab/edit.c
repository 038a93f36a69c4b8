#include "lab/edit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/limits.h"
#include "core/path.h"
#include "formats/json.h"

/* A file that is changed. */
struct edited {
    const char *name;
    char *path, *text; /* in the arena; as it will be */
};

struct edits {
    km_arena arena;
    const char *tree;
    struct edited *files;
    size_t count;
};

/* The file as the edits before have left it. A link could lead out of the tree. */
static int find(struct edits *e, const char *name, struct edited **out, km_err *err)
{
    char *real = NULL, *root = NULL;
    size_t size = 0, n;
    int rc = km_path_check_foreign(name, err);

    for (size_t i = 0; rc == 0 && i < e->count; i++)
        if (strcmp(e->files[i].name, name) == 0) {
            *out = &e->files[i];
            return 0;
        }
    *out = &e->files[e->count];
    **out = (struct edited){ name, rc == 0 ? km_path_join(&e->arena, e->tree, name) : NULL, NULL };
    if (rc == 0)
        rc = km_path_real(&e->arena, e->tree, &root, err);
    if (rc == 0 && (*out)->path)
        rc = km_path_real(&e->arena, (*out)->path, &real, err);
    n = rc == 0 ? strlen(root) : 0;
    if (rc == 0 && (strncmp(real, root, n) != 0 || real[n] != '/'))
        rc = km_fail(err, KM_EFORMAT, "'%s' is a link that leaves the tree", name);
    if (rc == 0)
        rc = km_file_read(&e->arena, real, KM_LAB_BODY_BYTES_MAX, &(*out)->text, &size, err);
    if (rc == 0 && strlen((*out)->text) != size)
        rc = km_fail(err, KM_EFORMAT, "'%s' is no text", name);
    (*out)->path = real;
    e->count += rc == 0;
    return rc == KM_ENOENT ? km_fail(err, KM_EFORMAT, "there is no '%s' in the tree", name) : rc;
}

static int replace(struct edits *e, const json_t *one, km_err *err)
{
    const char *name, *old, *new, *at, *next;
    struct edited *file = NULL;
    int rc;

    if (km_json_text(one, "file", &name, "'replace'", err) < 0 ||
        km_json_text(one, "old", &old, "'replace'", err) < 0 ||
        km_json_text(one, "new", &new, "'replace'", err) < 0)
        return KM_EFORMAT;
    rc = find(e, name, &file, err);
    if (rc < 0)
        return rc;
    at = *old ? strstr(file->text, old) : NULL;
    next = at ? strstr(at + 1, old) : NULL;
    if (!at || next)
        return km_fail(err, KM_EFORMAT, "'%s': the text to replace stands there %s: '%.64s'", name,
                       at ? "more than once" : "nowhere", old);
    file->text = km_arena_printf(&e->arena, "%.*s%s%s", (int)(at - file->text), file->text, new,
                                 at + strlen(old));
    return file->text ? 0 : km_fail_nomem(err);
}

/* With the permissions that it had: git keeps one of them. */
static int write_back(const struct edited *f, km_err *err)
{
    struct stat st;

    if (stat(f->path, &st) < 0)
        return km_fail_errno(err, errno, "unable to look at '%s'", f->path);
    return km_file_update(f->path, f->text, strlen(f->text), st.st_mode & 0777, err);
}

int km_edit_replace(const char *tree, const json_t *list, km_err *err)
{
    struct edits e = { .arena = KM_ARENA_INIT, .tree = tree };
    const json_t *one;
    size_t k;
    int rc = 0;

    e.files = km_arena_array(&e.arena, json_array_size(list) + 1, sizeof *e.files);
    if (!e.files)
        rc = km_fail_nomem(err);
    else if (!json_array_size(list))
        rc = km_fail(err, KM_EFORMAT, "'replace' is a list of {\"file\", \"old\", \"new\"}");
    json_array_foreach(list, k, one) if (rc == 0) rc = replace(&e, one, err);
    for (size_t i = 0; rc == 0 && i < e.count; i++)
        rc = write_back(&e.files[i], err);
    km_arena_release(&e.arena);
    return rc;
}
